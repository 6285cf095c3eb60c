import type { ColumnSpec } from '../columns.ts';
import type { RowProgram, RowStep, RowValue } from './program.ts';

/** What the printed function needs besides the program: the columns in order, constants and the codes of texts. */
export interface PrintTerms {
  readonly columns: readonly ColumnSpec[];
  readonly outputs: number;
  readonly parameters: Readonly<Record<string, number>>;
  /** Returns the code of a text in a column's dictionary, or undefined when no row can hold it. */
  readonly codeOf: (column: string, text: string) => number | undefined;
}

/**
 * Prints `(c0, c1, …, o) => …` of a checked program. Every name in it is made here, every text column appears as its code,
 * and every expression is in parentheses, so nothing of the consumer's text reaches the engine.
 *
 * With one output the function returns it; with several it stores them in `o`, so that no row allocates. For the same reason
 * a missing number comes as NaN, and is made `undefined` only where JavaScript tells the two apart: as the operand of an
 * equality, of `??` or of `Number.isNaN`, and in a local that is used in such a place. Anywhere else (arithmetic, order,
 * `Math`, a condition, a result) both are the same.
 */
export function printRowFunction(program: RowProgram, terms: PrintTerms): string {
  const printer = new Printer(terms, program);
  const columns = terms.columns.map((_, index) => `c${index}`);
  const locals = Array.from({ length: program.locals }, (_, index) => `v${index}`);
  const declared = locals.length === 0 ? '' : `let ${locals.join(',')};`;
  const last = printer.step({
    kind: 'return',
    values: Array.from({ length: terms.outputs }, () => ({ kind: 'missing' })),
  });
  return `((${[...columns, 'o'].join(',')})=>{${declared}${program.steps.map((step) => printer.step(step)).join('')}${last}})`;
}

const MAX_PASSES = 4;

/** Whether the place of a value tells a missing number from NaN. */
type Place = 'exact' | 'numeric';

class Printer {
  readonly #terms: PrintTerms;
  readonly #names: ReadonlyMap<string, string>;
  readonly #maybeMissing: ReadonlySet<string>;
  readonly #exactLocals = new Set<number>();

  constructor(terms: PrintTerms, { steps, locals }: RowProgram) {
    this.#terms = terms;
    this.#names = new Map(terms.columns.map((column, index) => [column.name, `c${index}`]));
    this.#maybeMissing = new Set(
      terms.columns.flatMap(({ name, kind, isNullable }) =>
        isNullable && (kind === 'float64' || kind === 'int32') ? [name] : [],
      ),
    );
    // Printing notes which locals stand in exact places; a local in the value of an exact local is exact as well.
    for (let pass = 0, known = -1; known < this.#exactLocals.size; pass += 1) {
      known = this.#exactLocals.size;
      for (const step of steps) this.step(step);
      // A long chain of locals would take a pass for each: all of them exact is correct too, only slower for the rows.
      if (pass === MAX_PASSES) for (let index = 0; index < locals; index += 1) this.#exactLocals.add(index);
    }
  }

  step(step: RowStep): string {
    switch (step.kind) {
      case 'set':
        return `v${step.index}=${this.value(step.value, this.#exactLocals.has(step.index) ? 'exact' : 'numeric')};`;
      case 'if': {
        const no = step.no.length === 0 ? '' : `else{${step.no.map((each) => this.step(each)).join('')}}`;
        return `if(${this.value(step.test)}){${step.yes.map((each) => this.step(each)).join('')}}${no}`;
      }
      case 'return': {
        const [only] = step.values;
        if (this.#terms.outputs === 1) return `return ${only === undefined ? 'undefined' : this.value(only)};`;
        return `${step.values.map((each, index) => `o[${index}]=${this.value(each)};`).join('')}return;`;
      }
    }
  }

  value(value: RowValue, place: Place = 'numeric'): string {
    switch (value.kind) {
      case 'number':
        return numberText(value.value);
      case 'boolean':
        return value.value ? 'true' : 'false';
      case 'missing':
        return '(void 0)';
      case 'notANumber':
        return '(0/0)';
      case 'infinity':
        return '(1/0)';
      case 'column': {
        const name = this.#column(value.name);
        return place === 'exact' && this.#maybeMissing.has(value.name) ? `(${name}===${name}?${name}:void 0)` : name;
      }
      case 'parameter':
        return numberText(this.#terms.parameters[value.name] ?? Number.NaN);
      case 'local':
        if (place === 'exact') this.#exactLocals.add(value.index);
        return `v${value.index}`;
      case 'textIs': {
        // -1 is the code of a missing text; -2 is no row's code.
        const code = value.text === null ? -1 : (this.#terms.codeOf(value.column, value.text) ?? -2);
        return `(${this.#column(value.column)}${value.isNegated ? '!==' : '==='}${code})`;
      }
      case 'unary':
        return `(${value.operator} ${this.value(value.operand)})`;
      case 'binary': {
        const [left, right] = placesOf(value, place);
        return `(${this.value(value.left, left)}${value.operator}${this.value(value.right, right)})`;
      }
      case 'choice':
        return `(${this.value(value.test)}?${this.value(value.yes, place)}:${this.value(value.no, place)})`;
      case 'test':
        return `Number.${value.name}(${this.value(value.operand, value.name === 'isNaN' ? 'exact' : 'numeric')})`;
      case 'constant':
        return `Math.${value.name}`;
      case 'call':
        return `Math.${value.name}(${value.arguments.map((each) => this.value(each)).join(',')})`;
    }
  }

  #column(name: string): string {
    const printed = this.#names.get(name);
    if (printed === undefined) throw new RangeError(`column ${JSON.stringify(name)} is not declared`);
    return printed;
  }
}

/** The places of a binary operator's operands, when its own value stands in `place`. */
function placesOf({ operator, left, right }: Extract<RowValue, { kind: 'binary' }>, place: Place): [Place, Place] {
  switch (operator) {
    case '??':
      return ['exact', place];
    case '&&':
    case '||':
      return [place, place];
    case '==':
    case '!=':
    case '===':
    case '!==': {
      // NaN and `undefined` are both unequal to any number that is written down.
      const isWithNumber = left.kind === 'number' || right.kind === 'number';
      return isWithNumber ? ['numeric', 'numeric'] : ['exact', 'exact'];
    }
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
    case '**':
    case '<':
    case '<=':
    case '>':
    case '>=':
    case '&':
    case '|':
    case '^':
    case '<<':
    case '>>':
    case '>>>':
      return ['numeric', 'numeric'];
  }
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return '(0/0)';
  if (!Number.isFinite(value)) return value > 0 ? '(1/0)' : '(-1/0)';
  return value < 0 || Object.is(value, -0) ? `(${Object.is(value, -0) ? '-0' : value})` : String(value);
}

import { wireKind } from '../../columns.ts';
import type { BinaryOperator, MathFunction, RowProgram, RowStep, RowValue, UnaryOperator } from '../program.ts';
import type { PrintTerms } from '../print.ts';
import { Elementary } from './elementary.ts';
import { Further } from './further.ts';
import type { Graph, NodeId } from './graph.ts';
import type { Operation } from './instructions.ts';

/** The program uses something that only the printed JavaScript can do. */
export class NotVectorised extends Error {
  override readonly name = 'NotVectorised';
}

/**
 * A JavaScript value of two rows. A boolean is a mask (`truth`, of no row where it is missing); anything else is a double, NaN
 * where it is missing, with a mask of the rows where the double stands for a boolean.
 */
type Value =
  | { readonly kind: 'boolean'; readonly truth: NodeId; readonly missing: NodeId }
  | { readonly kind: 'number'; readonly double: NodeId; readonly missing: NodeId; readonly boolean: NodeId };

/** What is known after some steps: the locals, and the outputs of the rows that returned. */
interface State {
  readonly locals: ReadonlyMap<number, Value>;
  readonly returned: NodeId;
  readonly outputs: readonly Value[];
}

/**
 * Turns a checked program into a graph over two rows at a time, and returns each output as doubles, NaN where the row has none.
 * No value is computed for some rows only: both sides of a condition are, and a mask picks. That is right because every program
 * is total, and has no effect but its outputs. Throws NotVectorised, or GraphTooLarge.
 */
export function lowerProgram(graph: Graph, program: RowProgram, terms: PrintTerms): readonly NodeId[] {
  const lowering = new Lowering(graph, terms);
  const { outputs } = lowering.run(program.steps);
  return outputs.map((each) => lowering.double(each));
}

class Lowering {
  readonly #graph: Graph;
  readonly #terms: PrintTerms;
  readonly #elementary: Elementary;
  readonly #further: Further;
  readonly #absent: Value;

  constructor(graph: Graph, terms: PrintTerms) {
    this.#graph = graph;
    this.#terms = terms;
    this.#elementary = new Elementary(graph);
    this.#further = new Further(graph, this.#elementary);
    this.#absent = { kind: 'boolean', truth: graph.zero, missing: graph.ones };
  }

  run(steps: readonly RowStep[]): State {
    const outputs = Array.from({ length: this.#terms.outputs }, () => this.#absent);
    return this.#steps(steps, { locals: new Map(), returned: this.#graph.zero, outputs });
  }

  #steps(steps: readonly RowStep[], before: State): State {
    let state = before;
    for (const step of steps) {
      if (state.returned === this.#graph.ones) break;
      state = this.#step(step, state);
    }
    return state;
  }

  /** A row that returned may go on computing: nothing of it is looked at again. */
  #step(step: RowStep, state: State): State {
    const { locals, returned } = state;
    switch (step.kind) {
      case 'set':
        return { ...state, locals: new Map(locals).set(step.index, this.#value(step.value, locals)) };
      case 'return': {
        const outputs = step.values.map((value, i) =>
          this.#pick(returned, state.outputs[i] ?? this.#absent, this.#value(value, locals)),
        );
        return { ...state, returned: this.#graph.ones, outputs };
      }
      case 'if': {
        const test = this.#truth(this.#value(step.test, locals));
        const yes = this.#steps(step.yes, state);
        const no = this.#steps(step.no, state);
        const merged = new Map<number, Value>();
        for (const index of locals.keys()) {
          const [one, other] = [yes.locals.get(index), no.locals.get(index)];
          if (one !== undefined && other !== undefined) merged.set(index, this.#pick(test, one, other));
        }
        return {
          locals: merged,
          returned: this.#graph.select(test, yes.returned, no.returned),
          outputs: yes.outputs.map((output, i) => this.#pick(test, output, no.outputs[i] ?? this.#absent)),
        };
      }
    }
  }

  #value(value: RowValue, locals: ReadonlyMap<number, Value>): Value {
    const { zero, ones } = this.#graph;
    const deeper = (each: RowValue): Value => this.#value(each, locals);
    switch (value.kind) {
      case 'number':
        return this.#number(this.#graph.number(value.value));
      case 'boolean':
        return this.#mask(value.value ? ones : zero);
      case 'missing':
        return this.#absent;
      case 'notANumber':
        return this.#number(this.#graph.notANumber);
      case 'infinity':
        return this.#number(this.#graph.number(Infinity));
      case 'constant':
        return this.#number(this.#graph.number(Math[value.name]));
      case 'parameter':
        return this.#number(this.#graph.number(this.#terms.parameters[value.name] ?? Number.NaN));
      case 'local': {
        const local = locals.get(value.index);
        if (local === undefined) throw new RangeError('a local is read before it is set');
        return local;
      }
      case 'column':
        return this.#column(value.name);
      case 'textIs': {
        const { index } = this.#columnOf(value.column);
        const code = value.text === null ? -1 : (this.#terms.codeOf(value.column, value.text) ?? -2);
        const bits = BigInt.asUintN(32, BigInt(code));
        const same = this.#make('int32Equal', this.#graph.load(index, 'int32'), this.#graph.bits((bits << 32n) | bits));
        const isText = this.#make('widen32', same);
        return this.#mask(value.isNegated ? this.#make('not', isText) : isText);
      }
      case 'unary':
        return this.#unary(value.operator, deeper(value.operand));
      case 'binary':
        return this.#binary(value.operator, deeper(value.left), deeper(value.right), value.right);
      case 'choice':
        return this.#pick(this.#truth(deeper(value.test)), deeper(value.yes), deeper(value.no));
      case 'test': {
        const operand = deeper(value.operand);
        const double = this.double(operand);
        const isNumber = this.#make('not', this.#make('or', operand.missing, this.#isBoolean(operand)));
        if (value.name === 'isNaN')
          return this.#mask(this.#make('andNot', isNumber, this.#make('equal', double, double)));
        const isFinite = this.#make('less', this.#make('abs', double), this.#graph.number(Infinity));
        const isWhole = value.name === 'isFinite' ? ones : this.#make('equal', this.#make('trunc', double), double);
        return this.#mask(this.#make('and', isNumber, this.#make('and', isFinite, isWhole)));
      }
      case 'call':
        return this.#number(
          this.#call(
            value.name,
            value.arguments.map((each) => this.double(deeper(each))),
          ),
        );
    }
  }

  #columnOf(name: string): { readonly index: number; readonly column: PrintTerms['columns'][number] } {
    const index = this.#terms.columns.findIndex((column) => column.name === name);
    const column = this.#terms.columns[index];
    if (column === undefined) throw new RangeError(`column ${JSON.stringify(name)} is not declared`);
    return { index, column };
  }

  #column(name: string): Value {
    const { index, column } = this.#columnOf(name);
    const { zero } = this.#graph;
    switch (wireKind(column)) {
      case 'float64': {
        const double = this.#graph.load(index, 'float64');
        const missing = column.isNullable ? this.#make('not', this.#make('equal', double, double)) : zero;
        return { kind: 'number', double, missing, boolean: zero };
      }
      case 'int32':
        return this.#number(this.#make('fromInt32', this.#graph.load(index, 'int32')));
      case 'boolean': {
        const stored = this.#make(
          'widen32',
          this.#make('widen16', this.#make('widen8', this.#graph.load(index, 'int8'))),
        );
        const truth = this.#make('int64Equal', stored, this.#graph.bits(1n));
        return {
          kind: 'boolean',
          truth,
          missing: column.isNullable ? this.#make('int64Greater', zero, stored) : zero,
        };
      }
      case 'dictionary':
        throw new RangeError('a text has no value');
    }
  }

  #unary(operator: UnaryOperator, operand: Value): Value {
    switch (operator) {
      case '-':
        return this.#number(this.#make('negate', this.double(operand)));
      case '+':
        return this.#number(this.double(operand));
      case '!':
        return this.#mask(this.#make('not', this.#truth(operand)));
      case '~':
        return this.#fromInt32(this.#make('not', this.#elementary.int32(this.double(operand))));
    }
  }

  #binary(operator: BinaryOperator, left: Value, right: Value, rightNode: RowValue): Value {
    const arithmetic = (operation: Operation): Value =>
      this.#number(this.#make(operation, this.double(left), this.double(right)));
    const comparison = (operation: Operation): Value =>
      this.#mask(this.#make(operation, this.double(left), this.double(right)));
    const bitwise = (operation: Operation): Value =>
      this.#fromInt32(
        this.#make(operation, this.#elementary.int32(this.double(left)), this.#elementary.int32(this.double(right))),
      );
    switch (operator) {
      case '+':
        return arithmetic('add');
      case '-':
        return arithmetic('subtract');
      case '*':
        return arithmetic('multiply');
      case '/':
        return arithmetic('divide');
      case '<':
        return comparison('less');
      case '<=':
        return comparison('atMost');
      case '>':
        return comparison('greater');
      case '>=':
        return comparison('atLeast');
      case '==':
      case '===':
        return this.#mask(this.#areEqual(left, right, operator === '==='));
      case '!=':
      case '!==':
        return this.#mask(this.#make('not', this.#areEqual(left, right, operator === '!==')));
      case '&&':
        return this.#pick(this.#truth(left), right, left);
      case '||':
        return this.#pick(this.#truth(left), left, right);
      case '??':
        return this.#pick(left.missing, right, left);
      case '&':
        return bitwise('and');
      case '|':
        return bitwise('or');
      case '^':
        return bitwise('xor');
      case '<<':
      case '>>':
      case '>>>': {
        // Two rows are shifted by one number of bits.
        if (rightNode.kind !== 'number') throw new NotVectorised(operator);
        const value = this.#elementary.int32(this.double(left));
        const by = rightNode.value & 31;
        if (operator === '>>>')
          return this.#number(this.#make('fromUint32', this.#graph.make('uint32ShiftRight', [value], by)));
        return this.#fromInt32(this.#graph.make(operator === '<<' ? 'int32Shift' : 'int32ShiftRight', [value], by));
      }
      case '%':
        return arithmetic('remainder');
      case '**':
        throw new NotVectorised(operator);
    }
  }

  /** Both missing, or the same number; and when types count, both booleans or neither. */
  #areEqual(left: Value, right: Value, isStrict: boolean): NodeId {
    const bothMissing = this.#make('and', left.missing, right.missing);
    const same = this.#make('equal', this.double(left), this.double(right));
    const other = isStrict ? this.#make('xor', this.#isBoolean(left), this.#isBoolean(right)) : this.#graph.zero;
    return this.#make('or', bothMissing, this.#make('andNot', same, other));
  }

  #call(name: MathFunction, values: readonly NodeId[]): NodeId {
    const one = values[0] ?? this.#graph.notANumber;
    switch (name) {
      case 'abs':
      case 'ceil':
      case 'floor':
      case 'trunc':
      case 'sqrt':
        return this.#make(name, one);
      case 'round':
      case 'sign':
      case 'exp':
      case 'log':
        return this.#elementary[name](one);
      case 'min':
      case 'max':
        return values.reduce(
          (least, each) => this.#make(name, least, each),
          values[0] ?? this.#graph.number(name === 'min' ? Infinity : -Infinity),
        );
      case 'log1p':
      case 'log2':
      case 'log10':
      case 'expm1':
      case 'sinh':
      case 'cosh':
      case 'tanh':
        return this.#further[name](one);
      case 'cbrt':
      case 'pow':
      case 'hypot':
      case 'sin':
      case 'cos':
      case 'tan':
      case 'asin':
      case 'acos':
      case 'atan':
      case 'atan2':
        throw new NotVectorised(name);
    }
  }

  /** What `Number(value)` is: NaN for a missing one, 0 or 1 for a boolean. */
  double(value: Value): NodeId {
    if (value.kind === 'number') return value.double;
    const { one, notANumber } = this.#graph;
    return this.#graph.select(value.missing, notANumber, this.#make('and', value.truth, one));
  }

  #truth(value: Value): NodeId {
    if (value.kind === 'boolean') return value.truth;
    return this.#make('greater', this.#make('abs', value.double), this.#graph.zero);
  }

  #isBoolean(value: Value): NodeId {
    return value.kind === 'boolean' ? this.#make('not', value.missing) : value.boolean;
  }

  #pick(mask: NodeId, yes: Value, no: Value): Value {
    const missing = this.#graph.select(mask, yes.missing, no.missing);
    if (yes.kind === 'boolean' && no.kind === 'boolean')
      return { kind: 'boolean', truth: this.#graph.select(mask, yes.truth, no.truth), missing };
    return {
      kind: 'number',
      double: this.#graph.select(mask, this.double(yes), this.double(no)),
      missing,
      boolean: this.#graph.select(mask, this.#isBoolean(yes), this.#isBoolean(no)),
    };
  }

  #number(double: NodeId): Value {
    return { kind: 'number', double, missing: this.#graph.zero, boolean: this.#graph.zero };
  }

  #mask(truth: NodeId): Value {
    return { kind: 'boolean', truth, missing: this.#graph.zero };
  }

  #fromInt32(integers: NodeId): Value {
    return this.#number(this.#make('fromInt32', integers));
  }

  #make(operation: Operation, ...operands: readonly NodeId[]): NodeId {
    return this.#graph.make(operation, operands);
  }
}

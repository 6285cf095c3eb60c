import { javascriptLimits } from '../limits.ts';
import type { ColumnKind } from '../columns.ts';

/**
 * A row function as plain data. Only this is ever printed and run: the consumer's text is parsed into it by a worker
 * that holds no data, and what that worker answers is checked again here, so that even a worker that was taken over can
 * only hand back another program of the same small language.
 *
 * Every program is total and stateless by construction: there is no loop, no call but a fixed list of `Math` functions,
 * no name that outlives a row, and no text value, so no operator can throw or run long for chosen rows.
 */
export type RowValue =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'missing' }
  | { readonly kind: 'notANumber' }
  | { readonly kind: 'infinity' }
  | { readonly kind: 'column'; readonly name: string }
  | { readonly kind: 'parameter'; readonly name: string }
  | { readonly kind: 'local'; readonly index: number }
  | { readonly kind: 'textIs'; readonly column: string; readonly text: string | null; readonly isNegated: boolean }
  | { readonly kind: 'unary'; readonly operator: UnaryOperator; readonly operand: RowValue }
  | { readonly kind: 'binary'; readonly operator: BinaryOperator; readonly left: RowValue; readonly right: RowValue }
  | { readonly kind: 'choice'; readonly test: RowValue; readonly yes: RowValue; readonly no: RowValue }
  | { readonly kind: 'test'; readonly name: NumberTest; readonly operand: RowValue }
  | { readonly kind: 'constant'; readonly name: MathConstant }
  | { readonly kind: 'call'; readonly name: MathFunction; readonly arguments: readonly RowValue[] };

export type RowStep =
  | { readonly kind: 'set'; readonly index: number; readonly value: RowValue }
  | { readonly kind: 'return'; readonly values: readonly RowValue[] }
  | { readonly kind: 'if'; readonly test: RowValue; readonly yes: readonly RowStep[]; readonly no: readonly RowStep[] };

export interface RowProgram {
  readonly steps: readonly RowStep[];
  readonly locals: number;
}

export const unaryOperators = ['-', '+', '!', '~'] as const;
export type UnaryOperator = (typeof unaryOperators)[number];

// prettier-ignore
export const binaryOperators = [
  '+', '-', '*', '/', '%', '**', '<', '<=', '>', '>=', '==', '!=', '===', '!==', '&', '|', '^', '<<', '>>', '>>>', '&&', '||', '??',
] as const;
export type BinaryOperator = (typeof binaryOperators)[number];

// prettier-ignore
export const mathFunctions = [
  'abs', 'ceil', 'floor', 'round', 'trunc', 'sign', 'sqrt', 'cbrt', 'exp', 'expm1', 'log', 'log1p', 'log2', 'log10', 'min', 'max',
  'pow', 'hypot', 'sin', 'cos', 'tan', 'asin', 'acos', 'atan', 'atan2', 'sinh', 'cosh', 'tanh',
] as const;
export type MathFunction = (typeof mathFunctions)[number];

export const mathConstants = ['PI', 'E', 'LN2', 'LN10', 'SQRT2', 'SQRT1_2', 'LOG2E', 'LOG10E'] as const;
export type MathConstant = (typeof mathConstants)[number];

export const numberTests = ['isNaN', 'isFinite', 'isInteger'] as const;
export type NumberTest = (typeof numberTests)[number];

/** What a row function may read and how many numbers it returns. */
export interface RowInterface {
  readonly columns: readonly { readonly name: string; readonly kind: ColumnKind }[];
  readonly parameters: readonly string[];
  readonly outputs: number;
}

/** Accepts bytes-turned-data as a row program only if every node is of the language; anything else is undefined. */
export function decodeRowProgram(value: unknown, face: RowInterface): RowProgram | undefined {
  const reader = new ProgramReader(face);
  try {
    return reader.program(value);
  } catch (error) {
    if (error instanceof NotAProgram) return undefined;
    throw error;
  }
}

class NotAProgram extends Error {}

type Fields = Readonly<Record<string, unknown>>;

class ProgramReader {
  readonly #kinds: ReadonlyMap<string, ColumnKind>;
  readonly #face: RowInterface;
  #nodes = 0;
  #locals = 0;

  constructor(face: RowInterface) {
    this.#face = face;
    this.#kinds = new Map(face.columns.map((column) => [column.name, column.kind]));
  }

  program(value: unknown): RowProgram {
    const { steps, locals } = fieldsOf(value, ['steps', 'locals']);
    this.#locals = integerOf(locals, javascriptLimits.rowFunctionNodes);
    return { steps: this.#steps(steps, new Set(), 0), locals: this.#locals };
  }

  #steps(value: unknown, known: Set<number>, depth: number): readonly RowStep[] {
    return listOf(value).map((step) => this.#step(step, known, depth));
  }

  /** `known` grows with each local that is set here; a branch gets a copy, so a local of one branch is unknown after it. */
  #step(value: unknown, known: Set<number>, depth: number): RowStep {
    this.#count(depth);
    switch (kindOf(value)) {
      case 'set': {
        const step = fieldsOf(value, ['kind', 'index', 'value']);
        const index = integerOf(step.index, this.#locals - 1);
        const checked = { kind: 'set', index, value: this.#value(step.value, known, depth + 1) } as const;
        known.add(index);
        return checked;
      }
      case 'return': {
        const values = listOf(fieldsOf(value, ['kind', 'values']).values);
        if (values.length !== this.#face.outputs) throw new NotAProgram();
        return { kind: 'return', values: values.map((each) => this.#value(each, known, depth + 1)) };
      }
      case 'if': {
        const step = fieldsOf(value, ['kind', 'test', 'yes', 'no']);
        return {
          kind: 'if',
          test: this.#value(step.test, known, depth + 1),
          yes: this.#steps(step.yes, new Set(known), depth + 1),
          no: this.#steps(step.no, new Set(known), depth + 1),
        };
      }
      default:
        throw new NotAProgram();
    }
  }

  #value(value: unknown, known: ReadonlySet<number>, depth: number): RowValue {
    this.#count(depth);
    const deeper = (each: unknown): RowValue => this.#value(each, known, depth + 1);
    switch (kindOf(value)) {
      case 'number': {
        const node = fieldsOf(value, ['kind', 'value']);
        if (typeof node.value !== 'number' || !Number.isFinite(node.value)) throw new NotAProgram();
        return { kind: 'number', value: node.value };
      }
      case 'boolean': {
        const node = fieldsOf(value, ['kind', 'value']);
        if (typeof node.value !== 'boolean') throw new NotAProgram();
        return { kind: 'boolean', value: node.value };
      }
      case 'missing':
        fieldsOf(value, ['kind']);
        return { kind: 'missing' };
      case 'notANumber':
        fieldsOf(value, ['kind']);
        return { kind: 'notANumber' };
      case 'infinity':
        fieldsOf(value, ['kind']);
        return { kind: 'infinity' };
      case 'column': {
        const name = textOf(fieldsOf(value, ['kind', 'name']).name);
        const kind = this.#kinds.get(name);
        // A text column is only ever compared: its code must not become a number.
        if (kind === undefined || kind === 'dictionary') throw new NotAProgram();
        return { kind: 'column', name };
      }
      case 'parameter':
        return { kind: 'parameter', name: oneOf(fieldsOf(value, ['kind', 'name']).name, this.#face.parameters) };
      case 'local': {
        const index = integerOf(fieldsOf(value, ['kind', 'index']).index, this.#locals - 1);
        if (!known.has(index)) throw new NotAProgram();
        return { kind: 'local', index };
      }
      case 'textIs': {
        const node = fieldsOf(value, ['kind', 'column', 'text', 'isNegated']);
        const column = textOf(node.column);
        if (this.#kinds.get(column) !== 'dictionary' || typeof node.isNegated !== 'boolean') throw new NotAProgram();
        const text = node.text === null ? null : textOf(node.text);
        return { kind: 'textIs', column, text, isNegated: node.isNegated };
      }
      case 'unary': {
        const node = fieldsOf(value, ['kind', 'operator', 'operand']);
        return { kind: 'unary', operator: oneOf(node.operator, unaryOperators), operand: deeper(node.operand) };
      }
      case 'binary': {
        const node = fieldsOf(value, ['kind', 'operator', 'left', 'right']);
        const operator = oneOf(node.operator, binaryOperators);
        return { kind: 'binary', operator, left: deeper(node.left), right: deeper(node.right) };
      }
      case 'choice': {
        const node = fieldsOf(value, ['kind', 'test', 'yes', 'no']);
        return { kind: 'choice', test: deeper(node.test), yes: deeper(node.yes), no: deeper(node.no) };
      }
      case 'test': {
        const node = fieldsOf(value, ['kind', 'name', 'operand']);
        return { kind: 'test', name: oneOf(node.name, numberTests), operand: deeper(node.operand) };
      }
      case 'constant':
        return { kind: 'constant', name: oneOf(fieldsOf(value, ['kind', 'name']).name, mathConstants) };
      case 'call': {
        const node = fieldsOf(value, ['kind', 'name', 'arguments']);
        return { kind: 'call', name: oneOf(node.name, mathFunctions), arguments: listOf(node.arguments).map(deeper) };
      }
      default:
        throw new NotAProgram();
    }
  }

  #count(depth: number): void {
    this.#nodes += 1;
    if (this.#nodes > javascriptLimits.rowFunctionNodes || depth > javascriptLimits.rowFunctionDepth)
      throw new NotAProgram();
  }
}

function kindOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'kind')
    ? (value as Fields).kind
    : undefined;
}

function fieldsOf<K extends string>(value: unknown, names: readonly K[]): Readonly<Record<K, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NotAProgram();
  const keys = Object.keys(value);
  if (keys.length !== names.length || !names.every((name) => Object.hasOwn(value, name))) throw new NotAProgram();
  return value as Readonly<Record<K, unknown>>;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value) || value.length > javascriptLimits.rowFunctionNodes) throw new NotAProgram();
  return value;
}

function integerOf(value: unknown, largest: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > largest) throw new NotAProgram();
  return value;
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new NotAProgram();
  return value;
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw new NotAProgram();
  return found;
}

/**
 * Expressions over released noisy cells and keys, evaluated in the gateway. This is post-processing: it sees what the
 * consumer gets anyway, so nothing in it costs privacy. Whatever has no value (a root of a negative number, a division by
 * zero, an overflow) is NULL.
 */
import { familyOf, type SqlType } from '../types.ts';
import { refuse } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import type { Typed } from '../typed.ts';

export type Value = number | string | boolean | null;

/** Values by the name that the compiler gave a released column. */
export type Released = (name: string) => Value;

/** Throws Refusal when an expression holds something that is not evaluated here. */
export function checkEvaluable(expression: Typed): void {
  if (expression.kind === 'constant') {
    if (['date', 'timestamp', 'interval'].includes(expression.literal.kind))
      refuse(
        'differential-shape',
        'dates cannot be compared with noisy results',
        expression.at,
        'compare dates in WHERE or FILTER',
      );
    return;
  }
  if (expression.kind === 'column') {
    const family = familyOf(expression.type);
    if (family === 'date' || family === 'interval')
      refuse(
        'differential-shape',
        'dates cannot be computed with after the noise',
        expression.at,
        'group by the result',
      );
    return;
  }
  if (expression.kind === 'case') {
    for (const { when, value } of expression.whens) {
      checkEvaluable(when);
      checkEvaluable(value);
    }
    checkEvaluable(expression.otherwise);
    return;
  }
  const { name, args, type, at } = expression;
  const isKnown = Object.hasOwn(NUMERIC, name) || OTHERS.has(name);
  const isCast = name === 'cast' || name === 'try_cast';
  if (!isKnown && !isCast)
    refuse('differential-shape', `\`${name}\` cannot be used on noisy results`, at, 'compute it from the result');
  if (isCast && !args.every((arg) => arg.type === null || isPlainCast(arg.type, type)))
    refuse('differential-shape', 'noisy results can be cast to numbers only', at, 'compute it from the result');
  for (const arg of args) checkEvaluable(arg);
}

/** Casts within one family, which CASE brings along, and of truth values to numbers. */
function isPlainCast(from: SqlType, to: SqlType): boolean {
  const [a, b] = [familyOf(from), familyOf(to)];
  return a === b || (a === 'boolean' && b === 'number');
}

export function evaluate(expression: Typed, released: Released): Value {
  switch (expression.kind) {
    case 'constant': {
      const { literal } = expression;
      if (literal.kind === 'boolean' || literal.kind === 'text') return literal.value;
      return constantValue(literal);
    }
    case 'column':
      return released(expression.sql);
    case 'case': {
      const taken = expression.whens.find(({ when }) => evaluate(when, released) === true);
      return evaluate(taken?.value ?? expression.otherwise, released);
    }
    case 'call':
      return call(expression, released);
    default:
      return expression satisfies never;
  }
}

function call({ name, args, type }: Typed & { kind: 'call' }, released: Released): Value {
  const value = (i: number): Value => {
    const arg = args[i];
    return arg === undefined ? null : evaluate(arg, released);
  };
  switch (name) {
    case 'and':
    case 'or': {
      const decisive = name === 'or';
      const all = args.map((arg) => evaluate(arg, released));
      if (all.includes(decisive)) return decisive;
      return all.includes(null) ? null : !decisive;
    }
    case 'not': {
      const one = value(0);
      return one === null ? null : one === false;
    }
    case 'is null':
      return value(0) === null;
    case 'is not null':
      return value(0) !== null;
    case 'is distinct from':
      return value(0) !== value(1);
    case 'is not distinct from':
      return value(0) === value(1);
    case 'in':
    case 'not in': {
      const [input, ...options] = args.map((arg) => evaluate(arg, released));
      if (input === null || input === undefined) return null;
      if (options.includes(input)) return name === 'in';
      return options.includes(null) ? null : name === 'not in';
    }
    case 'coalesce':
    case 'ifnull':
      return args.map((arg) => evaluate(arg, released)).find((one) => one !== null) ?? null;
    case 'nullif':
      return value(0) === value(1) ? null : value(0);
    case 'greatest':
    case 'least': {
      const present = args.map((arg) => evaluate(arg, released)).filter((one) => one !== null);
      const better = (a: Value, b: Value): boolean => compared(a, b) > 0 === (name === 'greatest');
      return present.reduce<Value>((best, one) => (best === null || better(one, best) ? one : best), null);
    }
    case 'cast':
    case 'try_cast': {
      const one = value(0);
      const number = typeof one === 'boolean' && familyOf(type) === 'number' ? Number(one) : one;
      return type.kind === 'integer' && typeof number === 'number' ? finite(Math.round(number)) : number;
    }
    default:
  }
  if (COMPARED.has(name)) {
    const [a, b] = [value(0), value(1)];
    if (a === null || b === null) return null;
    const order = compared(a, b);
    if (name === '=') return order === 0;
    if (name === '<>') return order !== 0;
    if (name === '<') return order < 0;
    if (name === '<=') return order <= 0;
    return name === '>' ? order > 0 : order >= 0;
  }
  const numbers = args.map((arg) => evaluate(arg, released));
  if (!numbers.every((one) => typeof one === 'number')) return null;
  const compute = Object.hasOwn(NUMERIC, name) ? NUMERIC[name] : undefined;
  if (compute === undefined) throw new Error(`\`${name}\` was not checked`);
  return finite(compute(numbers as readonly number[]));
}

const COMPARED = new Set(['=', '<>', '<', '<=', '>', '>=']);
const OTHERS = new Set([
  ...COMPARED,
  'and',
  'or',
  'not',
  'is null',
  'is not null',
  'is distinct from',
  'is not distinct from',
  'in',
  'not in',
  'coalesce',
  'ifnull',
  'nullif',
  'greatest',
  'least',
]);

const one =
  (compute: (a: number) => number) =>
  (args: readonly number[]): number =>
    compute(args[0] ?? NaN);
const two =
  (compute: (a: number, b: number) => number) =>
  (args: readonly number[]): number =>
    compute(args[0] ?? NaN, args[1] ?? NaN);
const power = two((a, b) => a ** b);

const NUMERIC: Readonly<Record<string, (args: readonly number[]) => number>> = {
  '+': two((a, b) => a + b),
  '-': two((a, b) => a - b),
  '*': two((a, b) => a * b),
  '/': two((a, b) => a / b),
  '//': two((a, b) => Math.trunc(a / b)),
  '%': two((a, b) => a % b),
  pow: power,
  power,
  '**': power,
  '^': power,
  abs: one(Math.abs),
  sign: one(Math.sign),
  floor: one(Math.floor),
  ceil: one(Math.ceil),
  ceiling: one(Math.ceil),
  trunc: one(Math.trunc),
  sqrt: one(Math.sqrt),
  ln: one(Math.log),
  log: one(Math.log10),
  log10: one(Math.log10),
  log2: one(Math.log2),
  exp: one(Math.exp),
  round: ([a = NaN, places = 0]) => {
    const scale = 10 ** places;
    // Halves away from zero, as the engine rounds.
    return (Math.sign(a) * Math.round(Math.abs(a) * scale)) / scale;
  },
};

/** −0 is 0, and what is not finite is no value. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value + 0 : null;
}

/** Order of two values of one type; text by code points, as the engine orders it. */
export function compared(a: Value, b: Value): number {
  if (a === b) return 0;
  if (typeof a === 'string' && typeof b === 'string') {
    const [x, y] = [Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8')];
    return Buffer.compare(x, y);
  }
  return Number(a) < Number(b) ? -1 : 1;
}

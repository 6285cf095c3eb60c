/**
 * Measures as whole numbers. An expression over bounded columns becomes an integer f in [low, high] that stands for
 * f · step, so that sums are exact in any order and one row moves them by a number that is known before anything is read.
 *
 * Argument. Columns come in fixed point from the layout, clipped to declared bounds. Sums, products and choices of integers
 * in intervals are integers in the interval that interval arithmetic gives; multiplying with a constant changes the step
 * alone. Where a result would be wider than MAX_BITS it is divided by a power of two, which is monotone: the ends divide
 * along, one outwards. No operation can overflow or fail: operands stay below 2^62, products below 2^124.
 */
import type { Rational } from '../../release/discrete-laplace.ts';
import { fixedPointStep } from '../fixed-point-step.ts';
import { FIXED_POINT } from '../layout.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { reference } from '../rows.ts';
import { wordFor } from '../rights.ts';
import type { Literal } from '../syntax.ts';
import type { BaseColumn, Typed } from '../typed.ts';

export interface FixedPoint {
  /** Yields BIGINT, or NULL where there is no value. */
  readonly sql: string;
  readonly low: bigint;
  readonly high: bigint;
  readonly step: Rational;
}

/** Widest measure of sums: 2^62 times 2^40 rows fits a sum of 127 bits. */
export const MAX_BITS = 62;
/** Widest measure of which squares and products are summed. */
export const MAX_MOMENT_BITS = 42;

/** The fixed-point form of a numeric expression over rows. Throws Refusal for what has no bounds. */
export function fixedPointOf(expression: Typed): FixedPoint {
  switch (expression.kind) {
    case 'constant':
      return constantOf(expression.literal, expression.at);
    case 'column':
      return columnOf(expression.base, expression.at);
    case 'case':
      return caseOf(expression);
    case 'call':
      return callOf(expression);
    default:
      return expression satisfies never;
  }
}

/** The same measure with at most `bits` bits: coarser, when it has to be. */
export function narrowed(value: FixedPoint, bits: number): FixedPoint {
  const largest = magnitude(value);
  if (largest < 1n << BigInt(bits)) return value;
  const by = 1n << BigInt(largest.toString(2).length - bits + 1);
  return {
    sql: `CAST((CAST(${value.sql} AS HUGEINT) // ${huge(by)}) AS BIGINT)`,
    low: value.low / by - 1n,
    high: value.high / by + 1n,
    step: reduced({ numerator: value.step.numerator * by, denominator: value.step.denominator }),
  };
}

function columnOf(base: BaseColumn | null, at: Place): FixedPoint {
  if (base === null) return refuse('measure-not-allowed', 'an aggregate works on columns of a table', at);
  if (base.column.grid !== undefined)
    return { sql: reference(base.relation, FIXED_POINT(base.column.name)), ...base.column.grid };
  const bounds = boundsOf(base, at);
  const step = fixedPointStep(base.column.type, bounds);
  // Rounded outwards: the layout rounds to the nearest step.
  const [low, high] = [BigInt(Math.floor(bounds.low / step)), BigInt(Math.ceil(bounds.high / step))];
  const rational = Number.isInteger(step)
    ? { numerator: BigInt(step), denominator: 1n }
    : { numerator: 1n, denominator: BigInt(Math.round(1 / step)) };
  const sql = base.table.isPublic
    ? publicColumn(base, step, { low, high })
    : reference(base.relation, FIXED_POINT(base.column.name));
  return { sql, low, high, step: rational };
}

/** Public tables have no fixed-point columns in the layout; their bounds hold by clamping here. */
function publicColumn(base: BaseColumn, step: number, { low, high }: { low: bigint; high: bigint }): string {
  const value = `CAST(${reference(base.relation, base.column.name)} AS DOUBLE)`;
  return `CASE WHEN isfinite(${value}) THEN CAST(least(greatest(round(${value} / CAST('${step}' AS DOUBLE)), CAST('${low}' AS DOUBLE)), CAST('${high}' AS DOUBLE)) AS BIGINT) END`;
}

/** Declared bounds; of public tables also what their values are, which is no secret. */
export function boundsOf(base: BaseColumn, at: Place): { readonly low: number; readonly high: number } {
  const declared = base.column.grants.map((grant) => grant.bounds).find((one) => one !== null);
  if (declared !== undefined && declared !== null) return declared;
  const { low, high } = base.column.facts ?? { low: null, high: null };
  if (base.table.isPublic && low !== null && high !== null) return { low, high };
  return refuse(
    'bounds-missing',
    `\`${base.column.name}\` has no declared bounds, which noise needs`,
    at,
    'ask the provider to declare `bounds`',
  );
}

function constantOf(literal: Literal, at: Place): FixedPoint {
  if (literal.kind === 'null') return { sql: 'CAST(NULL AS BIGINT)', low: 0n, high: 0n, step: ONE };
  const value = rationalOf(literal);
  if (value === null) return refuse('measure-not-allowed', 'a number is needed in an aggregate', at);
  const { numerator, denominator } = value;
  if (abs(numerator) >= 1n << BigInt(MAX_BITS)) return refuse('constant-too-large', 'the constant is too large', at);
  return { sql: whole(numerator), low: numerator, high: numerator, step: { numerator: 1n, denominator } };
}

function rationalOf(literal: Literal): Rational | null {
  if (literal.kind === 'integer') return { numerator: literal.value, denominator: 1n };
  if (literal.kind === 'decimal')
    return reduced({ numerator: literal.unscaled, denominator: 10n ** BigInt(literal.scale) });
  if (literal.kind !== 'double') return null;
  const match = /^([-+]?)(\d{1,30})(?:\.(\d{0,30}))?(?:[eE]([-+]?\d{1,2}))?$/.exec(literal.text);
  if (match === null) return null;
  const [, sign = '', digits = '', fraction = '', exponent = '0'] = match;
  const unscaled = BigInt(`${sign === '-' ? '-' : ''}${digits}${fraction}`);
  const places = fraction.length - Number(exponent);
  return places >= 0
    ? reduced({ numerator: unscaled, denominator: 10n ** BigInt(places) })
    : { numerator: unscaled * 10n ** BigInt(-places), denominator: 1n };
}

function caseOf({ whens, otherwise, at }: Typed & { kind: 'case' }): FixedPoint {
  const values = [...whens.map(({ value }) => value), otherwise].map(fixedPointOf);
  const { sides, step } = aligned(values, at);
  const branches = whens.map(({ when }, i) => `WHEN ${printTyped(when)} THEN ${sides[i]?.sql ?? 'NULL'}`);
  const rest = sides.at(-1)?.sql ?? 'NULL';
  const sql = `CASE ${branches.join(' ')} ELSE ${rest} END`;
  return { sql, ...hull(sides.flatMap(({ low, high }) => [low, high])), step };
}

function callOf(expression: Typed & { kind: 'call' }): FixedPoint {
  const { name, args, at } = expression;
  const [first, second] = args;
  if (first === undefined) return notOffered(name, at);
  switch (name) {
    case 'cast':
      // A lossless cast changes no value.
      return fixedPointOf(first);
    case 'coalesce':
    case 'ifnull': {
      const { sides, step } = aligned(args.map(fixedPointOf), at);
      const sql = `coalesce(${sides.map((side) => side.sql).join(', ')})`;
      return { sql, ...hull(sides.flatMap(({ low, high }) => [low, high])), step };
    }
    case '+':
    case '-': {
      if (second === undefined) return notOffered(name, at);
      const { sides, step } = aligned([fixedPointOf(first), fixedPointOf(second)], at);
      const [a, b] = sides as [FixedPoint, FixedPoint];
      const ends = name === '+' ? [a.low + b.low, a.high + b.high] : [a.low - b.high, a.high - b.low];
      return operation(name, a, b, { ...hull(ends), step });
    }
    case '*': {
      if (second === undefined) return notOffered(name, at);
      const [constant, other] = first.kind === 'constant' ? [first, second] : [second, first];
      const factor = constant.kind === 'constant' ? rationalOf(constant.literal) : null;
      if (factor !== null) return scaled(fixedPointOf(other), factor, at);
      const [a, b] = [fixedPointOf(first), fixedPointOf(second)];
      const ends = hull([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]);
      return operation(name, a, b, { ...ends, step: times(a.step, b.step) });
    }
    case '/': {
      const divisor = second?.kind === 'constant' ? rationalOf(second.literal) : null;
      if (divisor === null || divisor.numerator === 0n) return notOffered(name, at);
      const sign = divisor.numerator < 0n ? -1n : 1n;
      const inverse = { numerator: sign * divisor.denominator, denominator: sign * divisor.numerator };
      return scaled(fixedPointOf(first), inverse, at);
    }
    default:
      return notOffered(name, at);
  }
}

function notOffered(name: string, at: Place): never {
  return refuse(
    'measure-not-allowed',
    `${wordFor(name)} cannot be used inside an aggregate with noise`,
    at,
    'aggregate columns, their sums and products, or CASE over them',
  );
}

/** Multiplied with a constant: the step takes its size, the whole number its sign. */
function scaled(value: FixedPoint, factor: Rational, at: Place): FixedPoint {
  // The zero is made of the value, so that a missing value stays missing.
  if (factor.numerator === 0n) return { sql: `(${value.sql} * ${whole(0n)})`, low: 0n, high: 0n, step: ONE };
  const step = times(value.step, { numerator: abs(factor.numerator), denominator: factor.denominator });
  checkStep(step, at);
  if (factor.numerator > 0n) return { ...value, step };
  return { sql: `(${whole(0n)} - ${value.sql})`, low: -value.high, high: -value.low, step };
}

function operation(operator: string, a: FixedPoint, b: FixedPoint, result: Omit<FixedPoint, 'sql'>): FixedPoint {
  const isNarrow = magnitude(result) < 1n << BigInt(MAX_BITS);
  if (isNarrow) return { ...result, sql: `(${a.sql} ${operator} ${b.sql})` };
  const sql = `(CAST(${a.sql} AS HUGEINT) ${operator} CAST(${b.sql} AS HUGEINT))`;
  return narrowed({ ...result, sql }, MAX_BITS - 1);
}

/** The same values on one common step, which divides each. */
function aligned(values: readonly FixedPoint[], at: Place): { sides: readonly FixedPoint[]; step: Rational } {
  // A step of a value that is always 0 (or missing) binds nobody.
  const binding = values.filter((value) => magnitude(value) > 0n);
  const step = binding.map((value) => value.step).reduce(commonStep, binding[0]?.step ?? ONE);
  checkStep(step, at);
  const sides = values.map((value): FixedPoint => {
    if (magnitude(value) === 0n) return { ...value, step };
    const by = (value.step.numerator * step.denominator) / (value.step.denominator * step.numerator);
    if (by === 1n) return value;
    const [low, high] = [value.low * by, value.high * by];
    if (magnitude({ low, high }) >= 1n << BigInt(MAX_BITS))
      return refuse(
        'measure-not-allowed',
        'values of such different precision cannot be added with noise',
        at,
        'aggregate them one by one',
      );
    return { sql: `(${value.sql} * ${whole(by)})`, low, high, step };
  });
  return { sides, step };
}

/** Steps are public, and numbers of estimates in the end: they have to stay in the range of those. */
function checkStep({ numerator, denominator }: Rational, at: Place): void {
  if (numerator < 1n << 200n && denominator < 1n << 200n) return;
  refuse('constant-too-large', 'the constants of an aggregate are too far apart', at);
}

/** The largest rational of which both are whole multiples. */
function commonStep(a: Rational, b: Rational): Rational {
  const numerator = gcd(a.numerator * b.denominator, b.numerator * a.denominator);
  return reduced({ numerator, denominator: a.denominator * b.denominator });
}

function times(a: Rational, b: Rational): Rational {
  return reduced({ numerator: a.numerator * b.numerator, denominator: a.denominator * b.denominator });
}

function reduced({ numerator, denominator }: Rational): Rational {
  const common = gcd(abs(numerator), denominator);
  return common === 0n
    ? { numerator, denominator }
    : { numerator: numerator / common, denominator: denominator / common };
}

function gcd(left: bigint, right: bigint): bigint {
  let [a, b] = [left, right];
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

function hull(ends: readonly bigint[]): { readonly low: bigint; readonly high: bigint } {
  return {
    low: ends.reduce((a, b) => (a < b ? a : b)),
    high: ends.reduce((a, b) => (a > b ? a : b)),
  };
}

function magnitude({ low, high }: { readonly low: bigint; readonly high: bigint }): bigint {
  return abs(low) > abs(high) ? abs(low) : abs(high);
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value;
}

const ONE: Rational = { numerator: 1n, denominator: 1n };
const whole = (value: bigint): string => `CAST('${value}' AS BIGINT)`;
const huge = (value: bigint): string => `CAST('${value}' AS HUGEINT)`;

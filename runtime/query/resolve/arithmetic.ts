import {
  BIGINT,
  type Digits,
  digitsOf,
  DOUBLE,
  familyOf,
  HUGEINT,
  isFloating,
  printType,
  type SqlType,
} from '../types.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import type { Literal } from '../syntax.ts';
import type { Typed } from '../typed.ts';

/** Where an expression is evaluated: over private rows, or over values that were already released. */
export type Over = 'rows' | 'released';

/** Largest constant in arithmetic over rows; larger ones could push chosen values over an edge of a type. */
const MAX_ROW_CONSTANT = 1e9;
const MIN_ROW_CONSTANT = 1e-9;
/** Digits of exact values up to which sums of any number of rows fit, and by how many constants may add to longer ones. */
const MAX_ROW_DIGITS = 28;
const MAX_ROW_REACH = 6;

export type Operator = '+' | '-' | '*' | '/' | '//' | '%';

/**
 * Arithmetic that cannot fail. Over rows an error or a NULL made by overflow would be a hidden filter on values, so the
 * digits that a result can need are bounded here, and the operands widened (BIGINT, HUGEINT, DECIMAL(38), DOUBLE) until
 * it fits. Over released values TRY suffices: whatever it shows was computable from the answer.
 */
export function arithmetic(operator: Operator, left: Typed, right: Typed, over: Over, at: Place): Typed {
  const [a, b] = [numeric(left, at), numeric(right, at)];
  if (over === 'rows') for (const side of [left, right]) checkConstant(side, operator, at);
  if (operator === '/' || operator === '//' || operator === '%') return division(operator, left, right, over, at);
  const digits = resultDigits(operator, a, b);
  if (digits === null) return floating(operator, left, right, at);
  const total = digits.whole + digits.scale;
  // Constants that push a value or its sum over the edge of a type would pick rows by their values.
  if (over === 'rows' && total > MAX_ROW_DIGITS && reach(operator, reachOf(left), reachOf(right)) > MAX_ROW_REACH)
    return floating(operator, left, right, at);
  if (digits.scale === 0 && isWhole(left) && isWhole(right)) {
    if (total > 38 && over === 'rows') return floating(operator, left, right, at);
    const type = total <= 18 ? BIGINT : HUGEINT;
    const sql = `(${widen(left, type)} ${operator} ${widen(right, type)})`;
    return call(operator, [left, right], type, digits, total > 38 ? `TRY(${sql})` : sql, at);
  }
  if (digits.scale > 38) return floating(operator, left, right, at);
  const sql = `(${decimal(left, total > 18)} ${operator} ${decimal(right, false)})`;
  const type: SqlType = { kind: 'decimal', width: total <= 18 ? 18 : 38, scale: digits.scale };
  if (total <= 38) return call(operator, [left, right], type, digits, sql, at);
  return call(operator, [left, right], type, { whole: 38 - digits.scale, scale: digits.scale }, `TRY(${sql})`, at);
}

/** `/` gives DOUBLE and NULL for a zero divisor; over rows the divisor must be a constant. */
function division(operator: '/' | '//' | '%', left: Typed, right: Typed, over: Over, at: Place): Typed {
  if (over === 'rows') {
    if (right.kind !== 'constant') {
      refuse(
        'division-by-column',
        'over rows a division needs a constant divisor',
        at,
        'divide the aggregates instead',
      );
    }
    if (constantValue(right.literal) === 0) refuse('division-by-zero', 'a division by the constant 0', at);
  }
  if (operator === '/') {
    const sql = `(CAST(${printTyped(left)} AS DOUBLE) / nullif(CAST(${printTyped(right)} AS DOUBLE), 0))`;
    return call('/', [left, right], DOUBLE, null, sql, at);
  }
  if (!isWhole(left) || !isWhole(right)) {
    if (operator === '%') {
      const sql = `fmod(CAST(${printTyped(left)} AS DOUBLE), nullif(CAST(${printTyped(right)} AS DOUBLE), 0))`;
      return call('%', [left, right], DOUBLE, null, sql, at);
    }
    refuse('type-mismatch', `\`${operator}\` needs whole numbers`, at, operator === '//' ? 'floor(a / b)' : null);
  }
  const digits = resultDigits('+', digitsFor(left), digitsFor(right));
  const type = (digits?.whole ?? 39) <= 18 ? BIGINT : HUGEINT;
  const sql = `(${widen(left, type)} ${operator} nullif(${widen(right, type)}, 0))`;
  return call(operator, [left, right], type, digitsFor(left), sql, at);
}

export function negate(arg: Typed, over: Over, at: Place): Typed {
  return arithmetic(
    '-',
    { kind: 'constant', literal: { kind: 'integer', value: 0n }, type: INTEGER, at },
    arg,
    over,
    at,
  );
}

const INTEGER: SqlType = { kind: 'integer', bits: 32, isSigned: true };

/** Decimal digits by which the constants of an expression can make a value longer. */
function reachOf(expression: Typed): number {
  if (expression.kind === 'constant') {
    const { literal } = expression;
    const value = Math.abs(constantValue(literal) ?? 0);
    return Math.max(0, Math.log10(Math.max(value, 1)), literal.kind === 'decimal' ? literal.scale : 0);
  }
  if (expression.kind !== 'call') return 0;
  const [first = 0, ...others] = expression.args.map(reachOf);
  return others.reduce((sum, one) => reach(expression.name, sum, one), first);
}

function reach(operator: string, a: number, b: number): number {
  return operator === '*' ? a + b : Math.max(a, b);
}

function floating(operator: Operator, left: Typed, right: Typed, at: Place): Typed {
  const sql = `(CAST(${printTyped(left)} AS DOUBLE) ${operator} CAST(${printTyped(right)} AS DOUBLE))`;
  return call(operator, [left, right], DOUBLE, null, sql, at);
}

function resultDigits(operator: '+' | '-' | '*', a: Digits | null, b: Digits | null): Digits | null {
  if (a === null || b === null) return null;
  if (operator === '*') return { whole: a.whole + b.whole, scale: a.scale + b.scale };
  return { whole: Math.max(a.whole, b.whole) + 1, scale: Math.max(a.scale, b.scale) };
}

/** Digits bound of an expression: declared bounds where there are some, else what the type can hold. */
export function digitsFor(expression: Typed): Digits | null {
  switch (expression.kind) {
    case 'constant': {
      const literal = expression.literal;
      if (literal.kind === 'integer') return { whole: literal.value.toString().replace('-', '').length, scale: 0 };
      if (literal.kind !== 'decimal') return literal.kind === 'null' ? { whole: 1, scale: 0 } : null;
      const digits = literal.unscaled.toString().replace('-', '').length;
      return { whole: Math.max(0, digits - literal.scale), scale: literal.scale };
    }
    case 'column':
    case 'call':
      return expression.digits ?? digitsOf(expression.type);
    case 'case':
      return expression.type === null ? { whole: 1, scale: 0 } : digitsOf(expression.type);
    default:
      return expression satisfies never;
  }
}

function numeric(expression: Typed, at: Place): Digits | null {
  if (expression.type !== null && familyOf(expression.type) !== 'number') {
    refuse('type-mismatch', `arithmetic on a value of type ${printType(expression.type)}`, at);
  }
  return expression.type !== null && isFloating(expression.type) ? null : digitsFor(expression);
}

function isWhole(expression: Typed): boolean {
  return expression.type === null || expression.type.kind === 'integer';
}

function widen(expression: Typed, type: SqlType): string {
  const sql = printTyped(expression);
  const has = expression.kind === 'constant' ? null : expression.type;
  return has !== null && printType(has) === printType(type) ? sql : `CAST(${sql} AS ${printType(type)})`;
}

/** An operand as DECIMAL: whole numbers get the width they need; `wide` makes DuckDB compute in 128 bits. */
function decimal(expression: Typed, wide: boolean): string {
  const sql = printTyped(expression);
  const digits = digitsFor(expression) ?? { whole: 38, scale: 0 };
  const type = expression.type;
  if (type?.kind === 'decimal' && (!wide || type.width > 18)) return sql;
  const width = Math.min(
    38,
    Math.max(wide ? 19 : 1, digits.whole + digits.scale, type?.kind === 'decimal' ? type.width : 1),
  );
  return `CAST(${sql} AS DECIMAL(${width},${Math.min(digits.scale, width)}))`;
}

function call(
  name: string,
  args: readonly Typed[],
  type: SqlType,
  digits: Digits | null,
  sql: string,
  at: Place,
): Typed {
  return { kind: 'call', name, args, type, digits, sql, at };
}

export function constantValue(literal: Literal): number | null {
  if (literal.kind === 'integer') return Number(literal.value);
  if (literal.kind === 'decimal') return Number(literal.unscaled) / 10 ** literal.scale;
  return literal.kind === 'double' ? Number(literal.text) : null;
}

function checkConstant(side: Typed, operator: Operator, at: Place): void {
  if (side.kind !== 'constant') return;
  const value = constantValue(side.literal);
  if (value === null) return;
  const size = Math.abs(value);
  const isScaling = operator === '*' || operator === '/';
  if (size > MAX_ROW_CONSTANT || (isScaling && size !== 0 && size < MIN_ROW_CONSTANT)) {
    refuse(
      'constant-too-large',
      `the constant ${value} is out of range for arithmetic over rows`,
      at,
      `keep constants between ${MIN_ROW_CONSTANT} and ${MAX_ROW_CONSTANT}`,
    );
  }
}

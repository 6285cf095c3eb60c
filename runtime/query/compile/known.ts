import { type CatalogueTable, keyColumnsOf } from '../catalogue.ts';
import type { Typed } from '../typed.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { isFloating } from '../types.ts';
import { rangeOfWide } from './wide-values.ts';

/**
 * What is known of values in every row that a block looks at: from the layout's exact facts of private columns, and from
 * what WHERE demands. Columns that a LEFT JOIN can leave empty are public ones; of those nothing is taken as known.
 */
export interface Known {
  /** The value is there in every row; for floating columns it is finite. */
  isComplete(expression: Typed): boolean;
  /** The value is zero in no row. */
  isNeverZero(expression: Typed): boolean;
  /** The domain of the privacy unit of which each has one value of its own, at least where it is there; null: none. */
  unitOf(expression: Typed): string | null;
}

export const NOTHING_KNOWN: Known = { isComplete: () => false, isNeverZero: () => false, unitOf: () => null };

interface Range {
  readonly low: number;
  readonly high: number;
}

export function knownOf(predicates: readonly Typed[], tables: readonly CatalogueTable[] = []): Known {
  const isDemanded = (sql: string): boolean =>
    predicates.some(
      (one) =>
        one.kind === 'call' &&
        Object.hasOwn(SIDES, one.name) &&
        one.args.some((arg) => arg.kind === 'column' && arg.sql === sql),
    );

  const isComplete = (expression: Typed): boolean => {
    if (expression.kind === 'constant') return expression.literal.kind !== 'null';
    if (expression.kind === 'column') {
      const { base, sql, type } = expression;
      if (base === null || base.table.isPublic) return false;
      const wide = rangeOfWide(expression);
      if (wide !== null) {
        const {
          isComplete: isNeverNull,
          low,
          high,
        } = base.column.facts ?? { isComplete: false, low: null, high: null };
        return isNeverNull && low !== null && high !== null && -low < wide.most && high < wide.most;
      }
      // A comparison is true only of a value that is there; that does not make a floating one finite.
      return base.column.facts?.isComplete === true || (isDemanded(sql) && !isFloating(type));
    }
    return isExact(expression) && expression.args.every(isComplete);
  };

  const rangeOf = (expression: Typed): Range | null => {
    if (expression.kind === 'constant') {
      const value = constantValue(expression.literal);
      return value === null ? null : { low: value, high: value };
    }
    if (expression.kind !== 'column' || expression.base === null || expression.base.table.isPublic) return null;
    const facts = expression.base.column.facts;
    let range: Range = { low: facts?.low ?? -Infinity, high: facts?.high ?? Infinity };
    for (const predicate of predicates) range = narrowed(range, predicate, expression.sql);
    return range;
  };

  const isNeverZero = (expression: Typed): boolean => {
    if (isFloating(expression.type ?? { kind: 'double' })) return false;
    if (expression.kind !== 'call') {
      const range = rangeOf(expression);
      return range !== null && (range.low > 0 || range.high < 0);
    }
    if (!isExact(expression)) return false;
    const [left, right] = expression.args;
    if (left === undefined || right === undefined) return false;
    // Exact types: a product is zero only if a factor is.
    if (expression.name === '*') return isNeverZero(left) && isNeverZero(right);
    const [a, b] = [rangeOf(left), rangeOf(right)];
    if (a === null || b === null) return false;
    const sum = expression.name === '+' ? b : { low: -b.high, high: -b.low };
    // Bounds are rounded to doubles: a sum this close to zero may be zero.
    const doubt =
      MAX_ROUNDING * Math.max(...[a.low, a.high, sum.low, sum.high].filter(Number.isFinite).map(Math.abs), 0);
    return a.low + sum.low > doubt || a.high + sum.high < -doubt;
  };
  const unitOf = (expression: Typed): string | null => {
    if (expression.kind !== 'column' || expression.base === null) return null;
    const { table, column } = expression.base;
    const own = table.units.find((unit) => keyColumnsOf(tables, table, unit).join('\n') === column.name);
    return own?.domain ?? null;
  };
  return { isComplete, isNeverZero, unitOf };
}

/** Far more than doubles lose, far less than money cares about. */
const MAX_ROUNDING = 1e-9;

/** Comparisons that are true only of values that are there, by what they say of their left side. */
const SIDES: Readonly<Record<string, 'equal' | 'less' | 'greater' | 'other'>> = {
  '=': 'equal',
  '<': 'less',
  '<=': 'less',
  '>': 'greater',
  '>=': 'greater',
  '<>': 'other',
};

function narrowed(range: Range, predicate: Typed, sql: string): Range {
  if (predicate.kind !== 'call') return range;
  const side = Object.hasOwn(SIDES, predicate.name) ? SIDES[predicate.name] : undefined;
  const [left, right] = predicate.args;
  if (
    side === undefined ||
    side === 'other' ||
    left === undefined ||
    right === undefined ||
    predicate.args.length !== 2
  )
    return range;
  const [column, constant] = left.kind === 'column' ? [left, right] : [right, left];
  if (column.kind !== 'column' || column.sql !== sql || constant.kind !== 'constant') return range;
  const value = constantValue(constant.literal);
  if (value === null) return range;
  const isBelow = side === 'equal' || (side === 'less') === (column === left);
  const isAbove = side === 'equal' || !isBelow;
  return {
    low: isAbove ? Math.max(range.low, value) : range.low,
    high: isBelow ? Math.min(range.high, value) : range.high,
  };
}

/** Sums, differences and products of exact numbers that always fit: with their operands there, the value is there. */
function isExact(expression: Typed): expression is Typed & { readonly kind: 'call' } {
  return (
    expression.kind === 'call' &&
    ['+', '-', '*'].includes(expression.name) &&
    expression.type !== null &&
    ['integer', 'decimal'].includes(expression.type.kind) &&
    !expression.sql.includes('TRY')
  );
}

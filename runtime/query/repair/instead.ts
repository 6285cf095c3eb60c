import type { AggregateFunction } from '../../policy/model.ts';
import type { KnownColumn } from './known-columns.ts';

type Make = (value: string) => string;

const CALLS: Readonly<Record<Exclude<AggregateFunction, 'correlation' | 'regressionSlope' | 'histogram'>, Make>> = {
  avg: (value) => `avg(${value})`,
  sum: (value) => `sum(${value})`,
  count: (value) => `count(${value})`,
  variance: (value) => `variance(${value})`,
  stddev: (value) => `stddev(${value})`,
  quantile: (value) => `median(${value})`,
};

/** What tells most of the same: the first that the policy grants is offered first. */
const NEAREST: Readonly<Record<string, readonly (keyof typeof CALLS)[]>> = {
  min: ['avg', 'sum', 'count'],
  max: ['avg', 'sum', 'count'],
  avg: ['quantile', 'sum', 'count'],
  mean: ['avg', 'quantile', 'sum', 'count'],
  median: ['avg', 'sum', 'count'],
  quantile_cont: ['avg', 'sum', 'count'],
  quantile_disc: ['quantile', 'avg', 'sum', 'count'],
  mode: ['quantile', 'avg', 'count'],
  sum: ['avg', 'count'],
  variance: ['stddev', 'avg'],
  stddev: ['variance', 'avg'],
};
const ANY = ['avg', 'sum', 'quantile', 'count'] as const;

/** Calls that the policy grants on a column, for a call that it does not grant; the nearest in meaning first. */
export function functionsInstead(name: string, column: KnownColumn): readonly Make[] {
  const granted = (NEAREST[name] ?? ANY).filter((one) => column.functions.has(one)).map((one) => CALLS[one]);
  const extreme: readonly Make[] =
    (name === 'min' || name === 'max') && column.functions.has('quantile')
      ? [(value) => `quantile_cont(${value}, ${name === 'min' ? 0.05 : 0.95})`]
      : [];
  const distinct: readonly Make[] =
    name === 'count' && column.rights.has('countDistinct') ? [(value) => `count(distinct ${value})`] : [];
  return [...extreme, ...distinct, ...granted];
}

/** Most edits by which a misspelt name may differ. */
const MAX_DISTANCE = 2;

/** The one name that is nearest to a misspelt one; null when none is near, or two are equally near. */
export function nearestName(name: string, names: readonly string[]): string | null {
  if (names.some((one) => one.toLowerCase() === name.toLowerCase())) return null;
  const near = names
    .map((one) => ({ one, far: distance(name.toLowerCase(), one.toLowerCase()) }))
    .filter(({ one, far }) => far <= MAX_DISTANCE && far < one.length / 2)
    .toSorted((a, b) => a.far - b.far);
  const [first, second] = near;
  return first === undefined || second?.far === first.far ? null : first.one;
}

/** Levenshtein's distance; anything longer than 128 characters is far. */
function distance(a: string, b: string): number {
  if (a.length > 128 || b.length > 128) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

import type { ColumnIntent } from '../../runtime/homomorphic/choose.ts';
import type { HomomorphicProgram } from '../../runtime/homomorphic/program.ts';

/** One program to measure: how its columns are made, what it computes, and the same in SQL. */
export interface BenchCase {
  readonly name: string;
  readonly program: {
    readonly name: HomomorphicProgram['name'];
    readonly columns: readonly string[];
    readonly weights?: readonly number[];
    readonly parameters?: Readonly<Record<string, number>>;
  };
  readonly intent: Omit<ColumnIntent, 'column' | 'rows'>;
  readonly groups: number;
  /** The plaintext peer over table `t` with the same columns and a column `g`. */
  readonly sql: string;
}

/** Values of column `c`, row `i`: the same formula in JavaScript and in SQL. */
export const VALUE_SQL = (c: number): string => `((i * 7919 + ${c} * 104729) % 4001)`;
/** The same as `VALUE_SQL`. */
export function valueAt(i: number, c: number): number {
  return (i * 7919 + c * 104729) % 4001;
}

const ALIGNMENT = `sha256:${'b'.repeat(64)}`;
const exact = { low: 0, high: 4000, decimals: 0 } as const;
const names = (count: number): string[] => Array.from({ length: count }, (_, c) => `x${c}`);
const WEIGHTS = Array.from({ length: 16 }, (_, i) => ((i * 7) % 63) + 1);
const LOGISTIC = Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? 0.75 : -0.5));

/** Every program of the encrypted-data shape. */
export const CASES: readonly BenchCase[] = [
  {
    name: 'sum',
    program: { name: 'sum', columns: names(1) },
    intent: { ...exact, programs: ['sum'] },
    groups: 0,
    sql: 'select sum(x0) from t',
  },
  {
    name: 'mean',
    program: { name: 'mean', columns: names(1) },
    intent: { ...exact, programs: ['mean'] },
    groups: 0,
    sql: 'select avg(x0) from t',
  },
  {
    name: 'sum of 64-bit values (two moduli)',
    program: { name: 'sum', columns: names(1) },
    intent: { low: -(1n << 62n), high: 1n << 62n, decimals: 0, programs: ['sum'] },
    groups: 0,
    sql: 'select sum(x0) from t',
  },
  {
    name: 'variance',
    program: { name: 'variance', columns: names(1) },
    intent: { ...exact, programs: ['variance'] },
    groups: 0,
    sql: 'select var_pop(x0) from t',
  },
  {
    name: 'weighted sum of 16 columns',
    program: { name: 'linear', columns: names(16), weights: WEIGHTS },
    intent: { ...exact, programs: ['linear'], alignment: ALIGNMENT },
    groups: 0,
    sql: `select avg(${WEIGHTS.map((w, c) => `${w} * x${c}`).join(' + ')}) from t`,
  },
  {
    name: 'group sums, 16 groups',
    program: { name: 'groupSums', columns: names(1) },
    intent: { ...exact, programs: ['groupSums'], groups: Array.from({ length: 16 }, (_, g) => `g${g}`) },
    groups: 16,
    sql: 'select g, sum(x0) from t group by g',
  },
  {
    name: 'histogram of 8 categories',
    program: { name: 'histogram', columns: names(1) },
    intent: { low: 0, high: 7, decimals: 0, programs: ['histogram'], categories: [0, 1, 2, 3, 4, 5, 6, 7] },
    groups: 0,
    sql: 'select x0 % 8, count(*) from t group by 1',
  },
  {
    name: 'dot product',
    program: { name: 'dot', columns: names(2) },
    intent: { ...exact, programs: ['dot'], alignment: ALIGNMENT },
    groups: 0,
    sql: 'select sum(x0 * x1) from t',
  },
  {
    name: 'logistic score by a cubic, 8 columns',
    program: { name: 'logistic', columns: names(8), weights: LOGISTIC },
    intent: { low: 0, high: 1, decimals: 0, programs: ['logistic'], alignment: ALIGNMENT },
    groups: 0,
    sql: `select avg(0.5 + 0.15012 * z - 0.0015930078125 * z * z * z) from (select ${LOGISTIC.map((w, c) => `${w} * x${c} / 4000.0`).join(' + ')} as z from t)`,
  },
];

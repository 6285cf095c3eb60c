/**
 * The shape that every differentially private aggregate has: integer queries with a declared sensitivity, and an estimate
 * computed from their noisy answers alone.
 *
 * Setting, for all mechanisms. Neighbours: two datasets of which one has all rows of one privacy unit more. Precondition:
 * ingest kept at most M rows per unit (chosen by a keyed hash, so that which rows stay does not depend on other units) and
 * turned each measure into an integer in [low, high]; null, NaN and missing count as no value. Then one unit is at most M
 * rows, over *all* groups together: a whole table of groups costs what one group costs.
 */
import { unreachable } from '../columns.ts';
import type { Rational } from '../discrete-laplace.ts';
import type { Noise, Sensitivity } from '../noise.ts';

/** Rows that a unit keeps, at most; and groups of the answer that they can be in, where fewer are known before any row is read. */
export interface ContributionBound {
  readonly maxRowsPerUnit: number;
  readonly maxGroupsPerUnit?: number;
}

/** A bounded column in fixed point: the integer f stands for f · step. */
export interface Measure {
  readonly name: string;
  readonly low: bigint;
  readonly high: bigint;
  readonly step: Rational;
}

/** What the exact part computes per group, over the bounded rows; integers all of them. */
export type ExactColumn =
  | { readonly kind: 'rows' }
  /** Rows in which the measure has a value. */
  | { readonly kind: 'present'; readonly measure: string }
  | { readonly kind: 'sum'; readonly measure: string }
  | { readonly kind: 'squares'; readonly measure: string }
  /** Rows in which both have a value, and over these rows the sums that the name says. */
  | {
      readonly kind: 'pairs' | 'pairSumX' | 'pairSumY' | 'pairSquaresX' | 'pairSquaresY' | 'pairProducts';
      readonly x: string;
      readonly y: string;
    }
  | { readonly kind: 'distinctUnits' }
  | { readonly kind: 'distinctValues'; readonly column: string }
  /** Rows whose value lies in bin `bin` of the declared bins of a column. */
  | { readonly kind: 'bin'; readonly column: string; readonly bin: number };

/** The stable name of an exact column, used as the key of exact answers. */
export function exactId(column: ExactColumn): string {
  switch (column.kind) {
    case 'rows':
    case 'distinctUnits':
      return column.kind;
    case 'present':
    case 'sum':
    case 'squares':
      return JSON.stringify([column.kind, column.measure]);
    case 'distinctValues':
      return JSON.stringify([column.kind, column.column]);
    case 'bin':
      return JSON.stringify([column.kind, column.column, column.bin]);
    case 'pairs':
    case 'pairSumX':
    case 'pairSumY':
    case 'pairSquaresX':
    case 'pairSquaresY':
    case 'pairProducts':
      return JSON.stringify([column.kind, column.x, column.y]);
    default:
      return unreachable(column);
  }
}

/** Reads exact answers of one group. */
export type ReadExact = (column: ExactColumn) => bigint;

/** A vector of integers to which one share of the budget adds noise. Two queries with one id are the same query. */
export interface NoisyQuery extends Sensitivity {
  readonly id: string;
  readonly reads: readonly ExactColumn[];
  readonly evaluate: (read: ReadExact) => readonly bigint[];
}

/** The noisy answer of a query, and its noise. */
export interface NoisyAnswer {
  readonly values: readonly bigint[];
  readonly noise: Noise;
}

/** A released number with the interval that holds the bounded, exact one with probability 0.95 or more. */
export interface Estimate {
  readonly value: number;
  /** The value itself when it is a whole number by nature (counts). */
  readonly integer: bigint | null;
  readonly low: number;
  readonly high: number;
  /** Standard deviation of the noise in `value`, in the same unit; for ratios, of the numerator's part. */
  readonly noiseScale: number;
}

export interface Mechanism {
  readonly queries: readonly NoisyQuery[];
  /** Post-processing: sees noisy answers only. One estimate per output column. */
  readonly estimate: (answer: (id: string) => NoisyAnswer) => readonly Estimate[];
}

/** Probability that an interval may miss. */
export const MISS = 0.05;

/** The single noisy value of a one-dimensional answer. */
export function single(answer: NoisyAnswer): bigint {
  const [value] = answer.values;
  if (value === undefined || answer.values.length !== 1) throw new Error('a query should have had one answer');
  return value;
}

/** M as a bigint; throws `RangeError` when it is not a positive safe integer. */
export function rowsPerUnit(bound: ContributionBound): bigint {
  const { maxRowsPerUnit } = bound;
  if (!Number.isSafeInteger(maxRowsPerUnit) || maxRowsPerUnit < 1)
    throw new RangeError('a contribution bound is at least 1');
  return BigInt(maxRowsPerUnit);
}

/** Groups that a unit's rows can be in: no more than it has rows. Throws `RangeError` as `rowsPerUnit` does. */
export function groupsPerUnit(bound: ContributionBound): bigint {
  const rows = rowsPerUnit(bound);
  const { maxGroupsPerUnit: groups } = bound;
  if (groups === undefined) return rows;
  if (!Number.isSafeInteger(groups) || groups < 1) throw new RangeError('a bound of groups is at least 1');
  return BigInt(groups) < rows ? BigInt(groups) : rows;
}

/** `value` brought into [low, high]. */
export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

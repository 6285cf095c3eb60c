/**
 * Reducers of row functions (after Airavat, Roy et al. 2010): a checked function gives one number per row; trusted code clamps
 * it, rounds it to a grid and adds it up per declared key. What leaves is a noisy sum, mean or count of the clamped numbers.
 *
 * Argument: the function is total and keeps no state, so a row's number depends on that row alone; clamped and rounded it is
 * a bounded measure like any column, and sum.ts, mean.ts and count.ts apply with M rows per unit.
 */
import type { Cell } from './column-values.ts';
import type { Rational } from './discrete-laplace.ts';
import type { DpAggregate } from './mechanisms/aggregate.ts';
import { exactId, type Measure } from './mechanisms/mechanism.ts';
import type { ExactGroup } from './release-noised.ts';

export type RowReducer = 'sum' | 'avg' | 'count';

/** The measure that a row function's numbers are: [low, high] in whole steps, rounded inwards. */
export function rowMeasure(range: { readonly low: number; readonly high: number; readonly step: Rational }): Measure {
  const { numerator, denominator } = range.step;
  const inSteps = (value: number): number => (value * Number(denominator)) / Number(numerator);
  const [low, high] = [Math.ceil(inSteps(range.low)), Math.floor(inSteps(range.high))];
  if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || low > high)
    throw new RangeError('odd range or step of a row function');
  return { name: 'row', low: BigInt(low), high: BigInt(high), step: range.step };
}

export function rowAggregate(reducer: RowReducer, measure: Measure): DpAggregate {
  return reducer === 'count' ? { kind: 'count', measure: measure.name } : { kind: reducer, measure };
}

/** What the worker's loop adds up for one key. */
export interface RowTotals {
  readonly key: readonly Cell[];
  readonly rows: bigint;
  /** Sum of the clamped numbers in steps. */
  readonly sum: bigint;
}

/**
 * Totals as exact groups. A sum that its rows cannot have is brought to the nearest one that they can: the worker's word is
 * not trusted, and an error here would be a signal that the worker could send.
 */
export function rowGroups(totals: readonly RowTotals[], { name, low, high }: Measure): readonly ExactGroup[] {
  return totals.map(({ key, rows, sum }) => {
    const count = rows < 0n ? 0n : rows;
    const [least, most] = [low * count, high * count];
    const possible = sum < least ? least : sum > most ? most : sum;
    return {
      key,
      values: new Map([
        [exactId({ kind: 'rows' }), count],
        [exactId({ kind: 'present', measure: name }), count],
        [exactId({ kind: 'sum', measure: name }), possible],
      ]),
    };
  });
}

/**
 * Number of rows, or of rows in which a measure has a value.
 *
 * Argument: a unit has at most M rows and each adds 1 to the count of one group, so the vector of counts moves by at most
 * M in L1. All M rows can be in one group, so L2 is M as well.
 */
import { deviation, halfWidth } from '../noise.ts';
import {
  exactId,
  MISS,
  rowsPerUnit,
  single,
  type ContributionBound,
  type Estimate,
  type ExactColumn,
  type Mechanism,
  type NoisyAnswer,
  type NoisyQuery,
} from './mechanism.ts';

export function countQuery(
  column: ExactColumn & { kind: 'rows' | 'present' | 'pairs' },
  bound: ContributionBound,
): NoisyQuery {
  const m = rowsPerUnit(bound);
  return { id: exactId(column), l1: m, l2Squared: m * m, reads: [column], evaluate: (read) => [read(column)] };
}

/** `measure` null counts rows. */
export function count(measure: string | null, bound: ContributionBound): Mechanism {
  const query = countQuery(measure === null ? { kind: 'rows' } : { kind: 'present', measure }, bound);
  return { queries: [query], estimate: (answer) => [wholeNumber(single(answer(query.id)), answer(query.id))] };
}

/** A noisy whole number that cannot be negative; setting it to 0 is post-processing. */
export function wholeNumber(noisy: bigint, { noise }: NoisyAnswer): Estimate {
  const width = halfWidth(noise, MISS);
  const integer = noisy < 0n ? 0n : noisy;
  const low = Math.max(0, Number(noisy) - width);
  const high = Math.max(0, Number(noisy) + width);
  return { value: Number(integer), integer, low, high, noiseScale: deviation(noise) };
}

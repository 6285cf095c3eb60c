/**
 * Counts over declared bins.
 *
 * Argument: bins are disjoint and declared in the policy, so a row adds 1 to at most one bin and a unit moves the vector of
 * all bins by at most M in L1, and in L2 when its rows share a bin. The whole histogram costs what one count costs. The
 * bin edges are no secret: edges taken from the data would be.
 */
import { wholeNumber } from './count.ts';
import { rowsPerUnit, type ContributionBound, type ExactColumn, type Mechanism, type NoisyQuery } from './mechanism.ts';

/** A column with declared inner edges e₁ < … < eₖ: bin 0 is below e₁, bin i is [eᵢ, eᵢ₊₁), bin k is from eₖ on. */
export interface Bins {
  readonly column: string;
  readonly edges: readonly number[];
}

export const MAX_BINS = 1024;

/** Throws `RangeError` when edges are missing, not ascending or too many. */
export function binsQuery({ column, edges }: Bins, bound: ContributionBound): NoisyQuery {
  const isAscending = edges.every((edge, i) => Number.isFinite(edge) && (i === 0 || edge > (edges[i - 1] ?? edge)));
  if (edges.length === 0 || edges.length >= MAX_BINS || !isAscending)
    throw new RangeError('bin edges are not ascending', { cause: 'bins' });
  const m = rowsPerUnit(bound);
  const reads = Array.from({ length: edges.length + 1 }, (_, bin): ExactColumn => ({ kind: 'bin', column, bin }));
  const id = JSON.stringify(['bins', column, edges]);
  return { id, l1: m, l2Squared: m * m, reads, evaluate: (read) => reads.map(read) };
}

/** One estimate per bin. */
export function histogram(bins: Bins, bound: ContributionBound): Mechanism {
  const query = binsQuery(bins, bound);
  return {
    queries: [query],
    estimate: (answer) => {
      const noisy = answer(query.id);
      return noisy.values.map((value) => wholeNumber(value, noisy));
    },
  };
}

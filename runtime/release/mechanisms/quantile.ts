/**
 * A quantile over declared bins, read from a noisy distribution function.
 *
 * Argument: the noisy histogram is differentially private (histogram.ts); cumulating it and reading any number of quantiles
 * off it is post-processing. Nothing about a single value is released: the answer is an edge or a point between two edges.
 *
 * Interval: the exact quantile's bin j is the first with T(j) = (1 − q)·Σ_{i≤j} cᵢ − q·Σ_{i>j} cᵢ ≥ 0. The noise in T(j) is a
 * sum of independent symmetric unimodal parts, hence unimodal, and P(|X| ≥ λσ) ≤ 4/(9λ²) (Vysochanskij and Petunin 1980).
 * With λ = 4.22 each of the two tests "T(j) could be ≥ 0" and "T(j − 1) could be < 0" is wrong with probability 0.025.
 */
import { deviation } from '../noise.ts';
import { binsQuery, type Bins } from './histogram.ts';
import type { ContributionBound, Estimate, Mechanism, NoisyAnswer } from './mechanism.ts';

const LAMBDA = 4.22;

export interface QuantileRange {
  /** The value that stands for the open end below the first edge, and above the last: the column's declared bounds. */
  readonly low: number;
  readonly high: number;
}

/** `q` lies in [0, 1]; throws `RangeError` otherwise, or when the range does not enclose the edges. */
export function quantile(q: number, bins: Bins, range: QuantileRange, bound: ContributionBound): Mechanism {
  if (!(q >= 0 && q <= 1)) throw new RangeError('a quantile lies between 0 and 1');
  const limits = [range.low, ...bins.edges, range.high];
  if (!limits.every((limit, i) => i === 0 || limit >= (limits[i - 1] ?? limit)))
    throw new RangeError('a range encloses its bins', { cause: 'bins' });
  const query = binsQuery(bins, bound);
  return { queries: [query], estimate: (answer) => [quantileEstimate(q, limits, answer(query.id))] };
}

/** A quantile from noisy counts of bins; `limits` has one more entry than there are bins. */
export function quantileEstimate(q: number, limits: readonly number[], { values, noise }: NoisyAnswer): Estimate {
  const counts = values.map(Number);
  const last = counts.length - 1;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const sigma = deviation(noise);
  let below = 0;
  const tests = counts.map((count, j) => {
    below += count;
    const parts = (1 - q) ** 2 * (j + 1) + q ** 2 * (last - j);
    return { at: below - q * total, width: LAMBDA * sigma * Math.sqrt(parts) };
  });
  const couldBe = (j: number): boolean => {
    const [own, before] = [tests[j], tests[j - 1]];
    const reaches = j === last || (own !== undefined && own.at + own.width >= 0);
    return reaches && (before === undefined || before.at - before.width < 0);
  };
  const candidates = counts.flatMap((_, j) => (couldBe(j) ? [j] : []));
  const found = tests.findIndex((test) => test.at >= 0);
  const bin = total > 0 && found >= 0 ? found : last >> 1;
  const value = within(limits, bin, (tests[bin - 1]?.at ?? -q * total) * -1, counts[bin] ?? 0);
  const low = limits[Math.min(bin, ...candidates)] ?? value;
  const high = limits[Math.max(bin, ...candidates) + 1] ?? value;
  // Noise is in counts; in the column's unit, a quarter of the interval stands for one standard deviation.
  return { value, integer: null, low, high, noiseScale: (high - low) / 4 };
}

/** A point in a bin, by the share of its count that the quantile still needs. */
function within(limits: readonly number[], bin: number, needed: number, count: number): number {
  const [from, to] = [limits[bin] ?? 0, limits[bin + 1] ?? 0];
  const share = count > 0 ? Math.min(1, Math.max(0, needed / count)) : 0.5;
  return from + (to - from) * share;
}

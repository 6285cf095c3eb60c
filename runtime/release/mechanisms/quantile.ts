/**
 * A quantile over declared bins, read from a noisy distribution function.
 *
 * Argument: the noisy histogram is differentially private (histogram.ts); cumulating it and reading any number of quantiles
 * off it is post-processing. Nothing about a single value is released: the answer is an edge or a point between two edges.
 *
 * Interval: the exact quantile's bin j is the first with T(j) = (1 − q)·Σ_{i≤j} cᵢ − q·Σ_{i>j} cᵢ ≥ 0. The noise in T(j) is a
 * weighted sum of independent draws, whose tail is bounded in noise.ts, so that each of the two tests "T(j) could be ≥ 0" and
 * "T(j − 1) could be < 0" is wrong with probability 0.025 at most.
 */
import { type Noise, weightedTail } from '../noise.ts';
import { binsQuery, type Bins } from './histogram.ts';
import { MISS, type ContributionBound, type Estimate, type Mechanism, type NoisyAnswer } from './mechanism.ts';

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
  let known: { readonly noise: Noise; readonly widths: readonly number[] } | null = null;
  const widthsOf = (noise: Noise): readonly number[] => {
    // Every group of an answer has the same noise.
    if (known?.noise !== noise) known = { noise, widths: testWidths(q, bins.edges.length + 1, noise) };
    return known.widths;
  };
  return {
    queries: [query],
    estimate: (answer) => {
      const noisy = answer(query.id);
      return [quantileEstimate(q, limits, noisy, widthsOf(noisy.noise))];
    },
  };
}

/** How far the noise of T(j) may reach to one side, for each bin j. */
function testWidths(q: number, bins: number, noise: Noise): readonly number[] {
  return Array.from({ length: bins }, (_, j) => {
    const parts = [
      { weight: 1 - q, count: j + 1 },
      { weight: q, count: bins - 1 - j },
    ];
    return weightedTail(noise, parts, MISS / 2);
  });
}

/** A quantile from noisy counts of bins; `limits` has one more entry than there are bins. */
export function quantileEstimate(
  q: number,
  limits: readonly number[],
  { values, noise }: NoisyAnswer,
  widths = testWidths(q, values.length, noise),
): Estimate {
  const counts = values.map(Number);
  const last = counts.length - 1;
  const total = counts.reduce((sum, count) => sum + count, 0);
  let below = 0;
  const tests = counts.map((count, j) => {
    below += count;
    return { at: below - q * total, width: widths[j] ?? Infinity };
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

/**
 * Sum of a bounded measure.
 *
 * Argument: a row adds an integer f in [low, high] to one group, at most max(|low|, |high|) in size; M rows add at most M
 * times that in L1, and in L2 when all are in one group. Neighbours differ by adding or removing a unit, so the width
 * high − low is *not* enough: with low = 100, high = 101 a row that comes moves the sum by 101.
 *
 * Sums of integers are exact in any order; floating-point sums are not, and their rounding moves by more than the
 * sensitivity says (Casacuberta et al., *Widespread Underestimation of Sensitivity*, 2022).
 */
import { toNumber } from '../discrete-laplace.ts';
import { deviation, halfWidth } from '../noise.ts';
import {
  exactId,
  MISS,
  rowsPerUnit,
  single,
  type ContributionBound,
  type Measure,
  type Mechanism,
  type NoisyQuery,
} from './mechanism.ts';

export function sum(measure: Measure, bound: ContributionBound): Mechanism {
  const column = { kind: 'sum', measure: measure.name } as const;
  const largest = largestMagnitude(measure);
  const l1 = rowsPerUnit(bound) * largest;
  const query: NoisyQuery = {
    id: exactId(column),
    l1,
    l2Squared: l1 * l1,
    reads: [column],
    evaluate: (read) => [read(column)],
  };
  const step = toNumber(measure.step);
  return {
    queries: [query],
    estimate: (answer) => {
      const noisy = Number(single(answer(query.id)));
      const { noise } = answer(query.id);
      const width = halfWidth(noise, MISS);
      const [low, high] = [(noisy - width) * step, (noisy + width) * step];
      return [{ value: noisy * step, integer: null, low, high, noiseScale: deviation(noise) * step }];
    },
  };
}

/** The largest |f| in bounds, at least 1 so that an all-zero measure still has a sensitivity; throws for empty bounds. */
function largestMagnitude({ low, high, name }: Measure): bigint {
  if (low > high) throw new RangeError(`the bounds of measure ${name} are empty`);
  const [a, b] = [low < 0n ? -low : low, high < 0n ? -high : high];
  const largest = a > b ? a : b;
  return largest === 0n ? 1n : largest;
}

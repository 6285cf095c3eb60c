/**
 * Mean of a bounded measure: middle + noisy centred sum / max(1, noisy count), clamped to the bounds.
 *
 * Argument: the two noisy answers are each differentially private at their shares of the budget (see count.ts, centred.ts);
 * dividing and clamping is post-processing. The clamp uses public bounds only.
 */
import { toNumber } from '../discrete-laplace.ts';
import { deviation } from '../noise.ts';
import { centredSumQuery, centreOf, momentsOf } from './centred.ts';
import { countQuery } from './count.ts';
import { atLeastOne, intervalOf, mapped, quotient } from './interval.ts';
import { clamp, MISS, single, type ContributionBound, type Measure, type Mechanism } from './mechanism.ts';

export function mean(measure: Measure, bound: ContributionBound): Mechanism {
  const centre = centreOf(measure);
  const rows = countQuery({ kind: 'present', measure: measure.name }, bound);
  const sum = centredSumQuery(momentsOf(measure.name), centre, bound);
  const step = toNumber(measure.step);
  const toValue = (centred: number): number =>
    clamp(Number(centre.middle) + centred, Number(measure.low), Number(measure.high)) * step;
  return {
    queries: [rows, sum],
    estimate: (answer) => {
      const n = Math.max(1, Number(single(answer(rows.id))));
      const value = toValue(Number(single(answer(sum.id))) / n);
      const counts = atLeastOne(intervalOf(answer(rows.id), MISS / 2));
      const { low, high } = mapped(quotient(intervalOf(answer(sum.id), MISS / 2), counts), toValue);
      return [{ value, integer: null, low, high, noiseScale: (deviation(answer(sum.id).noise) * step) / n }];
    },
  };
}

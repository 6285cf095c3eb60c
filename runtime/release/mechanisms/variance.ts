/**
 * Variance and standard deviation of a bounded measure, from noisy count, centred sum and centred squares.
 *
 * Argument: three differentially private answers at their shares (count.ts, centred.ts), the rest is post-processing. The
 * exact variance is at most reach², so the estimate is clamped to [0, reach²] before scaling.
 */
import { toNumber } from '../discrete-laplace.ts';
import { deviation } from '../noise.ts';
import { centredSquaresQuery, centredSumQuery, centreOf, momentsOf, squareOffset } from './centred.ts';
import { countQuery } from './count.ts';
import { atLeastOne, difference, intervalOf, mapped, perDegree, quotient, square } from './interval.ts';
import { clamp, MISS, single, type ContributionBound, type Measure, type Mechanism } from './mechanism.ts';

export interface VarianceForm {
  /** `sample` divides by n − 1, `population` by n. */
  readonly of: 'sample' | 'population';
  /** Whether the standard deviation is asked for. */
  readonly isRoot: boolean;
}

export function variance(measure: Measure, form: VarianceForm, bound: ContributionBound): Mechanism {
  const centre = centreOf(measure);
  const columns = momentsOf(measure.name);
  const rows = countQuery({ kind: 'present', measure: measure.name }, bound);
  const sum = centredSumQuery(columns, centre, bound);
  const squares = centredSquaresQuery(columns, centre, bound);
  const offset = Number(squareOffset(centre));
  const most = Number(centre.reach * centre.reach);
  const step = toNumber(measure.step);
  const scaled = (raw: number, n: number): number => {
    const corrected = clamp(raw, 0, most) * (form.of === 'sample' ? perDegree(n) : 1);
    return form.isRoot ? Math.sqrt(corrected) * step : corrected * step * step;
  };
  return {
    queries: [rows, sum, squares],
    estimate: (answer) => {
      const n = Math.max(1, Number(single(answer(rows.id))));
      const average = Number(single(answer(sum.id))) / n;
      const value = scaled(Number(single(answer(squares.id))) / n + offset - average * average, n);
      const third = MISS / 3;
      const counts = atLeastOne(intervalOf(answer(rows.id), third));
      const means = quotient(intervalOf(answer(sum.id), third), counts);
      const meanSquares = mapped(quotient(intervalOf(answer(squares.id), third), counts), (value) => value + offset);
      const { low, high } = difference(meanSquares, square(means));
      const noise = (deviation(answer(squares.id).noise) / n) * step * step;
      return [
        {
          value,
          integer: null,
          // `perDegree` falls with n, so the ends take the count's opposite ends.
          low: Math.min(value, scaled(low, counts.high)),
          high: Math.max(value, scaled(high, counts.low)),
          noiseScale: form.isRoot ? noise / (2 * Math.max(value, step)) : noise,
        },
      ];
    },
  };
}

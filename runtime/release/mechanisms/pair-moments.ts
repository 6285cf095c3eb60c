/**
 * Covariance of two bounded measures, where the least-squares line meets the axis, and how much of y it explains.
 *
 * Argument: all three are computed from the noisy answers that correlation and slope are computed from (linear-relation.ts),
 * each differentially private at its share. What is done with them here is post-processing; nothing else is read.
 */
import { toNumber } from '../discrete-laplace.ts';
import { deviation } from '../noise.ts';
import { centreOf } from './centred.ts';
import {
  atLeastOne,
  difference,
  intervalOf,
  type Interval,
  mapped,
  perDegree,
  product,
  quotient,
  square,
} from './interval.ts';
import { linearRelation, type Pair, queriesOf } from './linear-relation.ts';
import { clamp, MISS, single, type ContributionBound, type Mechanism, type NoisyQuery } from './mechanism.ts';

/** Covariance over the rows that have both values; `sample` divides by one row less. */
export function covariance(pair: Pair, of: 'sample' | 'population', bound: ContributionBound): Mechanism {
  const { rows, sumX, sumY, products } = queriesOf(pair, bound);
  const unit = toNumber(pair.x.step) * toNumber(pair.y.step);
  // No two bounded values vary together by more than the product of their distances from the middle of the bounds.
  const widest = Number(centreOf(pair.x).reach) * Number(centreOf(pair.y).reach) * (of === 'sample' ? 2 : 1);
  const corrected = (n: number): number => (of === 'sample' ? perDegree(n) : 1);
  return {
    queries: [rows, sumX, sumY, products],
    estimate: (answer) => {
      const n = Math.max(1, Number(single(answer(rows.id))));
      const average = (query: NoisyQuery): number => Number(single(answer(query.id))) / n;
      const exact = average(products) - average(sumX) * average(sumY);
      const value = clamp(exact * corrected(n), -widest, widest) * unit;
      const miss = MISS / 4;
      const counts = atLeastOne(intervalOf(answer(rows.id), miss));
      const about = (query: NoisyQuery): Interval => quotient(intervalOf(answer(query.id), miss), counts);
      const covariances = difference(about(products), product(about(sumX), about(sumY)));
      const scales = { low: corrected(counts.high), high: corrected(counts.low) };
      const { low, high } = mapped(product(covariances, scales), (end) => clamp(end, -widest, widest) * unit);
      const noiseScale = Math.min(widest, (deviation(answer(products.id).noise) / n) * corrected(n)) * unit;
      return [{ value, integer: null, low: Math.min(value, low), high: Math.max(value, high), noiseScale }];
    },
  };
}

/** The share of the variance of y that a line of x explains: the square of the correlation. */
export function determination(pair: Pair, bound: ContributionBound): Mechanism {
  const correlation = linearRelation(pair, 'correlation', bound);
  return {
    queries: correlation.queries,
    estimate: (answer) =>
      correlation.estimate(answer).map(({ value, low, high, noiseScale }) => ({
        value: value ** 2,
        integer: null,
        ...square({ low, high }),
        noiseScale: Math.min(1, 2 * noiseScale),
      })),
  };
}

/** Where the least-squares line of y on x is at x = 0. */
export function intercept(pair: Pair, bound: ContributionBound): Mechanism {
  const slope = linearRelation(pair, 'regressionSlope', bound);
  const { rows, sumX, sumY } = queriesOf(pair, bound);
  const real = (measure: Pair['x'], centred: number): number =>
    (Number(centreOf(measure).middle) + centred) * toNumber(measure.step);
  return {
    queries: slope.queries,
    estimate: (answer) => {
      const n = Math.max(1, Number(single(answer(rows.id))));
      const mean = (measure: Pair['x'], query: NoisyQuery): number => {
        const reach = Number(centreOf(measure).reach);
        return real(measure, clamp(Number(single(answer(query.id))) / n, -reach, reach));
      };
      const counts = atLeastOne(intervalOf(answer(rows.id), MISS / 5));
      const about = (measure: Pair['x'], query: NoisyQuery): Interval => {
        const reach = Number(centreOf(measure).reach);
        const centred = quotient(intervalOf(answer(query.id), MISS / 5), counts);
        return mapped(centred, (end) => real(measure, clamp(end, -reach, reach)));
      };
      return slope.estimate(answer).map((line) => {
        const value = mean(pair.y, sumY) - line.value * mean(pair.x, sumX);
        const { low, high } = difference(about(pair.y, sumY), product(line, about(pair.x, sumX)));
        const noiseScale = line.noiseScale * Math.abs(mean(pair.x, sumX));
        return { value, integer: null, low: Math.min(value, low), high: Math.max(value, high), noiseScale };
      });
    },
  };
}

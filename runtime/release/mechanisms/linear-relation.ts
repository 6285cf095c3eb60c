/**
 * Correlation of two bounded measures, and the slope of the least-squares line of y on x.
 *
 * Argument: over the rows in which both have a value, the centred sums of x, y, x², y² and xy are each differentially
 * private at their shares (centred.ts); a product of centred values lies in ±reach(x)·reach(y), so a unit moves its sum by at
 * most M times that. The ratios are post-processing. A degenerate denominator gives 0 and the widest interval, never an error:
 * an error would tell.
 */
import { toNumber } from '../discrete-laplace.ts';
import { deviation } from '../noise.ts';
import { centredSquaresQuery, centredSumQuery, centreOf, squareOffset, type MomentColumns } from './centred.ts';
import { countQuery } from './count.ts';
import { atLeastOne, difference, intervalOf, mapped, product, quotient, square, type Interval } from './interval.ts';
import {
  clamp,
  exactId,
  MISS,
  rowsPerUnit,
  single,
  type ContributionBound,
  type Measure,
  type Mechanism,
  type NoisyAnswer,
  type NoisyQuery,
} from './mechanism.ts';

export interface Pair {
  readonly x: Measure;
  readonly y: Measure;
}

export function linearRelation(
  pair: Pair,
  form: 'correlation' | 'regressionSlope',
  bound: ContributionBound,
): Mechanism {
  const queries = queriesOf(pair, bound);
  const { rows, sumX, sumY, squaresX, squaresY, products } = queries;
  const [offsetX, offsetY] = [squareOffset(centreOf(pair.x)), squareOffset(centreOf(pair.y))].map(Number) as [
    number,
    number,
  ];
  const slopeUnit = toNumber(pair.y.step) / toNumber(pair.x.step);
  const isSlope = form === 'regressionSlope';
  // Values at opposite corners of the bounds give the steepest line that bounded data can have by one grid step of x.
  const steepest = Number(pair.y.high - pair.y.low);
  const finish = (covariance: number, varianceX: number, varianceY: number): number => {
    if (isSlope) return varianceX > 0 ? clamp(covariance / varianceX, -steepest, steepest) * slopeUnit : 0;
    return varianceX > 0 && varianceY > 0 ? clamp(covariance / Math.sqrt(varianceX * varianceY), -1, 1) : 0;
  };
  const widest = isSlope ? steepest * slopeUnit : 1;
  return {
    queries: isSlope ? [rows, sumX, sumY, squaresX, products] : [rows, sumX, sumY, squaresX, squaresY, products],
    estimate: (answer) => {
      const n = Math.max(1, Number(single(answer(rows.id))));
      const average = (query: NoisyQuery): number => Number(single(answer(query.id))) / n;
      const varianceX = average(squaresX) + offsetX - average(sumX) ** 2;
      const varianceY = isSlope ? 1 : average(squaresY) + offsetY - average(sumY) ** 2;
      const value = finish(average(products) - average(sumX) * average(sumY), varianceX, varianceY);
      const miss = MISS / (isSlope ? 5 : 6);
      const counts = atLeastOne(intervalOf(answer(rows.id), miss));
      const about = (query: NoisyQuery): Interval => quotient(intervalOf(answer(query.id), miss), counts);
      const covariances = difference(about(products), product(about(sumX), about(sumY)));
      const spread = (squares: NoisyQuery, sum: NoisyQuery, offset: number): Interval =>
        difference(
          mapped(about(squares), (value) => value + offset),
          square(about(sum)),
        );
      const spreadX = spread(squaresX, sumX, offsetX);
      const spreadY = isSlope ? { low: 1, high: 1 } : spread(squaresY, sumY, offsetY);
      const noiseScale = noiseOf(
        answer(products.id),
        n,
        isSlope ? varianceX : Math.sqrt(varianceX * varianceY),
        widest,
      );
      if (!(spreadX.low > 0 && spreadY.low > 0))
        return [{ value, integer: null, low: -widest, high: widest, noiseScale }];
      const corners = [covariances.low, covariances.high].flatMap((covariance) => [
        finish(covariance, spreadX.low, spreadY.low),
        finish(covariance, spreadX.high, spreadY.high),
      ]);
      return [
        { value, integer: null, low: Math.min(value, ...corners), high: Math.max(value, ...corners), noiseScale },
      ];
    },
  };
}

function noiseOf({ noise }: NoisyAnswer, n: number, denominator: number, widest: number): number {
  return denominator > 0 ? Math.min(widest, deviation(noise) / n / denominator) : widest;
}

/** The noisy answers that every function of pairs is made of. */
export interface PairQueries {
  readonly rows: NoisyQuery;
  readonly sumX: NoisyQuery;
  readonly sumY: NoisyQuery;
  readonly squaresX: NoisyQuery;
  readonly squaresY: NoisyQuery;
  readonly products: NoisyQuery;
}

export function queriesOf({ x, y }: Pair, bound: ContributionBound): PairQueries {
  const names = { x: x.name, y: y.name };
  const [centreX, centreY] = [centreOf(x), centreOf(y)];
  const pairs = { kind: 'pairs', ...names } as const;
  const columnsX: MomentColumns = {
    rows: pairs,
    sum: { kind: 'pairSumX', ...names },
    squares: { kind: 'pairSquaresX', ...names },
  };
  const columnsY: MomentColumns = {
    rows: pairs,
    sum: { kind: 'pairSumY', ...names },
    squares: { kind: 'pairSquaresY', ...names },
  };
  const productColumn = { kind: 'pairProducts', ...names } as const;
  const l1 = rowsPerUnit(bound) * centreX.reach * centreY.reach;
  const products: NoisyQuery = {
    id: `centred ${exactId(productColumn)}`,
    l1,
    l2Squared: l1 * l1,
    reads: [pairs, columnsX.sum, columnsY.sum, productColumn],
    evaluate: (read) => [
      read(productColumn) -
        centreX.middle * read(columnsY.sum) -
        centreY.middle * read(columnsX.sum) +
        centreX.middle * centreY.middle * read(pairs),
    ],
  };
  return {
    rows: countQuery(pairs, bound),
    sumX: centredSumQuery(columnsX, centreX, bound),
    sumY: centredSumQuery(columnsY, centreY, bound),
    squaresX: centredSquaresQuery(columnsX, centreX, bound),
    squaresY: centredSquaresQuery(columnsY, centreY, bound),
    products,
  };
}

/** The aggregates of the differentially private mode as plain data, and the mechanism of each. */
import { unreachable } from '../columns.ts';
import { countDistinct, type Distinct } from './count-distinct.ts';
import { count } from './count.ts';
import { histogram, type Bins } from './histogram.ts';
import { linearRelation, type Pair } from './linear-relation.ts';
import { mean } from './mean.ts';
import type { ContributionBound, Measure, Mechanism } from './mechanism.ts';
import { covariance, determination, intercept } from './pair-moments.ts';
import { quantile, type QuantileRange } from './quantile.ts';
import { sum } from './sum.ts';
import { variance } from './variance.ts';

export type DpAggregate =
  /** `measure` null counts rows, else rows in which the measure has a value. */
  | { readonly kind: 'count'; readonly measure: string | null }
  | { readonly kind: 'sum' | 'avg'; readonly measure: Measure }
  | { readonly kind: 'variance' | 'stddev'; readonly measure: Measure; readonly of: 'sample' | 'population' }
  | ({ readonly kind: 'countDistinct' } & Distinct)
  /** One output column per bin. */
  | { readonly kind: 'histogram'; readonly bins: Bins }
  | { readonly kind: 'quantile'; readonly q: number; readonly bins: Bins; readonly range: QuantileRange }
  | ({ readonly kind: 'correlation' | 'regressionSlope' | 'determination' | 'intercept' } & Pair)
  | ({ readonly kind: 'covariance'; readonly of: 'sample' | 'population' } & Pair);

export function mechanismOf(aggregate: DpAggregate, bound: ContributionBound): Mechanism {
  switch (aggregate.kind) {
    case 'count':
      return count(aggregate.measure, bound);
    case 'sum':
      return sum(aggregate.measure, bound);
    case 'avg':
      return mean(aggregate.measure, bound);
    case 'variance':
    case 'stddev':
      return variance(aggregate.measure, { of: aggregate.of, isRoot: aggregate.kind === 'stddev' }, bound);
    case 'countDistinct':
      return countDistinct(aggregate, bound);
    case 'histogram':
      return histogram(aggregate.bins, bound);
    case 'quantile':
      return quantile(aggregate.q, aggregate.bins, aggregate.range, bound);
    case 'correlation':
    case 'regressionSlope':
      return linearRelation(aggregate, aggregate.kind, bound);
    case 'determination':
      return determination(aggregate, bound);
    case 'intercept':
      return intercept(aggregate, bound);
    case 'covariance':
      return covariance(aggregate, aggregate.of, bound);
    default:
      return unreachable(aggregate);
  }
}

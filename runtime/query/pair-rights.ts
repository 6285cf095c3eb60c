import type { AggregateFunction } from '../policy/model.ts';

/**
 * Rights that a function of pairs needs on both columns, exact or with noise. All are made of the pairs' number, sums, squares
 * and products: corr(y, x) and regr_slope(y, x) are free of scale or of one of the scales, but covar(x, x) is a variance, the
 * intercept a mean, and so they need those rights as well.
 */
export const PAIR_RIGHTS: Readonly<Record<string, readonly AggregateFunction[]>> = {
  corr: ['correlation'],
  regr_r2: ['correlation'],
  covar_pop: ['correlation', 'variance'],
  covar_samp: ['correlation', 'variance'],
  regr_slope: ['regressionSlope'],
  regr_intercept: ['regressionSlope', 'avg'],
  regr_avgx: ['avg'],
  regr_avgy: ['avg'],
  regr_count: ['count'],
};

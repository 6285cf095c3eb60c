const ONE_OF =
  'add the column to GROUP BY, or count and average it: a group holds several of its values; this is for columns that the group keys decide';
export const BY_GROUP = 'group by the column: its values are the rows of the answer';
const EXACT = 'sum(x): floating-point columns are added up in this way already';
const MOMENT = 'avg, variance, stddev and quantile_cont are offered, where the policy grants them';

/** What to ask in place of aggregates that single rows or single values decide. */
export const INSTEAD: Readonly<Record<string, string>> = {
  mode: 'count(*) with GROUP BY the column, ORDER BY count(*) DESC LIMIT 1',
  approx_top_k: 'count(*) with GROUP BY the column, ORDER BY count(*) DESC LIMIT 10',
  entropy: 'count(*) AS n with GROUP BY the column in a sub-query, and entropy(n) of that by your own formula',
  histogram: 'count(*) with GROUP BY floor(x / width), where the column may be grouped by',
  first: ONE_OF,
  last: ONE_OF,
  any_value: ONE_OF,
  arbitrary: ONE_OF,
  arg_max: 'group by the column and ORDER BY the aggregate DESC LIMIT 1',
  arg_min: 'group by the column and ORDER BY the aggregate LIMIT 1',
  max_by: 'group by the column and ORDER BY the aggregate DESC LIMIT 1',
  min_by: 'group by the column and ORDER BY the aggregate LIMIT 1',
  list: BY_GROUP,
  array_agg: BY_GROUP,
  string_agg: BY_GROUP,
  group_concat: BY_GROUP,
  listagg: BY_GROUP,
  bit_and: 'one row decides a bit: count_if(condition) counts them',
  bit_or: 'one row decides a bit: count_if(condition) counts them',
  bit_xor: 'one row decides a bit: count_if(condition) counts them',
  favg: 'avg(x)',
  fsum: EXACT,
  kahan_sum: EXACT,
  sumkahan: EXACT,
  product: MOMENT,
  geomean: MOMENT,
  geometric_mean: MOMENT,
  skewness: MOMENT,
  kurtosis: MOMENT,
  kurtosis_pop: MOMENT,
  mad: 'quantile_cont(x, 0.75) - quantile_cont(x, 0.25), where the policy grants `quantile`',
  sem: 'stddev(x) / sqrt(count(x))',
  regr_sxx: 'var_pop(x) * regr_count(y, x)',
  regr_syy: 'var_pop(y) * regr_count(y, x)',
  regr_sxy: 'covar_pop(y, x) * regr_count(y, x)',
};

import { BIGINT, DATE, DOUBLE, type SqlType, TEXT } from './types.ts';

/**
 * Every scalar function a query can call, in one table. All are total: no input makes them fail, so that no error can
 * speak of a row. What DuckDB lets fail is wrapped in TRY, and only over released values.
 *
 * `args`: what each argument must be; `!` marks a constant; a trailing `…` repeats the last one.
 * `rows`: whether it may be evaluated over private rows (else over released values only).
 */
export interface ScalarFunction {
  readonly args: readonly string[];
  readonly rows: boolean;
  readonly result: SqlType | 'first' | 'common';
  readonly sql: (...args: string[]) => string;
  /** Arguments that may be left out at the end. */
  readonly optional?: number;
}

const f = (
  args: string,
  result: ScalarFunction['result'],
  sql: ScalarFunction['sql'],
  more: { rows?: boolean; optional?: number } = {},
): ScalarFunction => ({
  args: args.split(' ').filter(Boolean),
  result,
  sql,
  rows: more.rows ?? true,
  optional: more.optional ?? 0,
});
const plain =
  (name: string) =>
  (...args: string[]): string =>
    `${name}(${args.join(', ')})`;
const whole =
  (name: string) =>
  (arg = ''): string =>
    `CAST(${name}(${arg}) AS BIGINT)`;
const attempt =
  (name: string) =>
  (...args: string[]): string =>
    `TRY(${name}(${args.join(', ')}))`;
const double = (arg = ''): string => `CAST(${arg} AS DOUBLE)`;

const text1 = (name: string): ScalarFunction => f('text', TEXT, plain(name));
const pair = (name: string): ScalarFunction => f('text text!', { kind: 'boolean' }, plain(name));
const part = (name: string): ScalarFunction => f('date', BIGINT, whole(name));
const released = (name: string): ScalarFunction =>
  f('number', DOUBLE, (arg = '') => `TRY(${name}(${double(arg)}))`, { rows: false });

export const SCALARS: Readonly<Record<string, ScalarFunction>> = {
  // Text.
  lower: text1('lower'),
  lcase: text1('lower'),
  upper: text1('upper'),
  ucase: text1('upper'),
  trim: text1('trim'),
  ltrim: text1('ltrim'),
  rtrim: text1('rtrim'),
  length: f('text', BIGINT, plain('length')),
  len: f('text', BIGINT, plain('length')),
  char_length: f('text', BIGINT, plain('length')),
  left: f('text number!', TEXT, plain('left')),
  right: f('text number!', TEXT, plain('right')),
  substring: f('text number! number!', TEXT, plain('substring'), { optional: 1 }),
  substr: f('text number! number!', TEXT, plain('substring'), { optional: 1 }),
  concat: f('any any…', TEXT, (...args) => `concat(${args.map((arg) => `CAST(${arg} AS VARCHAR)`).join(', ')})`),
  concat_ws: f(
    'text! any any…',
    TEXT,
    (by = '', ...args) => `concat_ws(${[by, ...args.map((arg) => `CAST(${arg} AS VARCHAR)`)].join(', ')})`,
  ),
  '||': f('any any', TEXT, (a, b) => `(CAST(${a} AS VARCHAR) || CAST(${b} AS VARCHAR))`),
  contains: pair('contains'),
  starts_with: pair('starts_with'),
  prefix: pair('starts_with'),
  '^@': pair('starts_with'),
  ends_with: pair('ends_with'),
  suffix: pair('ends_with'),
  '~~~': f('text text!', { kind: 'boolean' }, (a, b) => `(${a} GLOB ${b})`),
  strlen: f('text', BIGINT, plain('strlen')),
  '~~': f('text text!', { kind: 'boolean' }, (a, b) => `(${a} LIKE ${b})`),
  '!~~': f('text text!', { kind: 'boolean' }, (a, b) => `(${a} NOT LIKE ${b})`),
  '~~*': f('text text!', { kind: 'boolean' }, (a, b) => `(${a} ILIKE ${b})`),
  '!~~*': f('text text!', { kind: 'boolean' }, (a, b) => `(${a} NOT ILIKE ${b})`),
  // Dates.
  year: part('year'),
  quarter: part('quarter'),
  month: part('month'),
  week: part('week'),
  weekofyear: part('week'),
  yearweek: part('yearweek'),
  day: part('day'),
  dayofmonth: part('dayofmonth'),
  dayofweek: part('dayofweek'),
  weekday: part('dayofweek'),
  isodow: part('isodow'),
  dayofyear: part('dayofyear'),
  hour: part('hour'),
  dayname: f('date', TEXT, plain('dayname')),
  monthname: f('date', TEXT, plain('monthname')),
  last_day: f('date', DATE, attempt('last_day')),
  // Numbers.
  floor: f('number', 'first', plain('floor')),
  ceil: f('number', 'first', plain('ceil')),
  ceiling: f('number', 'first', plain('ceil')),
  trunc: f('number', 'first', plain('trunc')),
  round: f('number number!', 'first', plain('round'), { optional: 1 }),
  abs: f('number', 'first', attempt('abs')),
  sign: f('number', BIGINT, whole('sign'), { rows: false }),
  sqrt: released('sqrt'),
  ln: released('ln'),
  log: released('log10'),
  log10: released('log10'),
  log2: released('log2'),
  exp: released('exp'),
  pow: f('number number', DOUBLE, (a, b) => `TRY(pow(${double(a)}, ${double(b)}))`, { rows: false }),
  power: f('number number', DOUBLE, (a, b) => `TRY(pow(${double(a)}, ${double(b)}))`, { rows: false }),
  '**': f('number number', DOUBLE, (a, b) => `TRY(pow(${double(a)}, ${double(b)}))`, { rows: false }),
  '^': f('number number', DOUBLE, (a, b) => `TRY(pow(${double(a)}, ${double(b)}))`, { rows: false }),
  // Any type.
  coalesce: f('any any…', 'common', plain('coalesce')),
  ifnull: f('any any', 'common', plain('coalesce')),
  nullif: f('any any', 'first', plain('nullif')),
  greatest: f('any any…', 'common', plain('greatest')),
  least: f('any any…', 'common', plain('least')),
};

/** Parts of a date that `date_part`, `extract` and `date_trunc` know. */
export const DATE_PARTS: readonly string[] = [
  'year',
  'quarter',
  'month',
  'week',
  'day',
  'dow',
  'isodow',
  'doy',
  'hour',
  'yearweek',
  'decade',
  'century',
];
export const TRUNCATIONS: readonly string[] = ['year', 'quarter', 'month', 'week', 'day', 'hour', 'decade', 'century'];
export const DIFFERENCES: readonly string[] = ['year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', 'second'];

/** Aggregates over private rows: the policy's name of the function, which decides the right that is needed. */
export const AGGREGATES: Readonly<Record<string, string>> = {
  count_star: 'rows',
  count: 'count',
  sum: 'sum',
  avg: 'avg',
  mean: 'avg',
  min: 'extremum',
  max: 'extremum',
  var_samp: 'variance',
  variance: 'variance',
  var_pop: 'variance',
  stddev: 'stddev',
  stddev_samp: 'stddev',
  stddev_pop: 'stddev',
  corr: 'correlation',
  covar_pop: 'covariance',
  covar_samp: 'covariance',
  regr_r2: 'correlation',
  regr_slope: 'regressionSlope',
  regr_intercept: 'regressionSlope',
  regr_count: 'pairs',
  regr_avgx: 'pairs',
  regr_avgy: 'pairs',
  approx_count_distinct: 'count',
  median: 'quantile',
  quantile: 'quantile',
  quantile_cont: 'quantile',
  quantile_disc: 'quantile',
  approx_quantile: 'quantile',
  bool_and: 'any',
  bool_or: 'any',
};

/** Aggregates that DuckDB knows and that are offered nowhere; known by name, so that a refusal can say what is meant. */
export const OTHER_AGGREGATES: readonly string[] =
  `approx_top_k arbitrary array_agg avg_distinct bit_and bit_or bit_xor bitstring_agg entropy favg
   fsum geomean geometric_mean histogram json_group_array json_group_object kahan_sum kurtosis kurtosis_pop list
   mad map_from_entries product regr_avgx regr_avgy regr_count regr_sxx regr_sxy regr_syy reservoir_quantile sem
   skewness sumkahan`.split(/\s+/);

/** Aggregates of two numbers. */
export const PAIRS: readonly string[] = [
  'corr',
  'covar_pop',
  'covar_samp',
  'regr_slope',
  'regr_intercept',
  'regr_r2',
  'regr_count',
  'regr_avgx',
  'regr_avgy',
  'regr_sxx',
  'regr_syy',
  'regr_sxy',
];

/** Aggregates over values that were already released: nothing is protected there any more. */
export const RELEASED_AGGREGATES: readonly string[] = [
  'count_star',
  'count',
  'sum',
  'avg',
  'mean',
  'min',
  'max',
  'median',
  'quantile',
  'approx_quantile',
  'quantile_cont',
  'quantile_disc',
  'stddev',
  'stddev_samp',
  'stddev_pop',
  'variance',
  'var_samp',
  'var_pop',
  'bool_and',
  'bool_or',
  'any_value',
  'mode',
  'first',
  'last',
  'arg_max',
  'arg_min',
  'max_by',
  'min_by',
  'string_agg',
  'group_concat',
  'listagg',
  ...PAIRS,
  'approx_count_distinct',
  'skewness',
  'kurtosis',
  'kurtosis_pop',
  'geomean',
  'geometric_mean',
  'product',
  'mad',
  'sem',
  'entropy',
  'bit_and',
  'bit_or',
  'bit_xor',
];

export const COMPARISONS: readonly string[] = [
  '=',
  '<>',
  '<',
  '>',
  '<=',
  '>=',
  'is distinct from',
  'is not distinct from',
];

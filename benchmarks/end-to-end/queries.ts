/** A query that an analyst would ask; the same text goes to Glovebox and to plain DuckDB. */
export interface BenchQuery {
  readonly name: string;
  readonly what: string;
  readonly sql: string;
  /** What a correct runtime releases: the same rows where enough units stand behind them and behind what the filter left out. */
  readonly expected: string;
}

/** Units behind every cell; the policy of the benchmark's datasets says the same. */
export const MIN_UNITS = 20;

interface Parts {
  readonly name: string;
  readonly what: string;
  readonly keys: string;
  readonly aggregates: string;
  readonly from: string;
  readonly where?: string;
}

function query({ name, what, keys, aggregates, from, where }: Parts): BenchQuery {
  const sql = `select ${keys}, ${aggregates} from ${from}${where === undefined ? '' : ` where ${where}`} group by ${keys}`;
  const enough = `count(distinct person_id) filter (where ${where ?? 'true'}) >= ${MIN_UNITS}`;
  const leftOut = `count(distinct person_id) filter (where (${where ?? 'true'}) is not true)`;
  const names = keys.split(', ').map((key) => key.slice(key.indexOf('.') + 1));
  const shown = `select ${keys} from ${from} group by ${keys} having ${enough} and (${leftOut} = 0 or ${leftOut} >= ${MIN_UNITS})`;
  return {
    name,
    what,
    sql,
    expected: `select answer.* from (${sql}) as answer semi join (${shown}) as shown using (${names.join(', ')})`,
  };
}

const JOINED = 'visits join shops on visits.shop_id = shops.shop_id';

export const SMALL_QUERY: BenchQuery = query({
  name: 'small',
  what: 'a count by one key',
  keys: 'category',
  aggregates: 'count(*) as n',
  from: 'visits',
});

export const QUERIES: readonly BenchQuery[] = [
  query({
    name: 'A',
    what: '100 groups of one key: count, sum, average',
    keys: 'category',
    aggregates: 'count(*) as n, sum(amount) as total, avg(amount) as mean',
    from: 'visits',
  }),
  query({
    name: 'B',
    what: 'join to a dimension, filter, text key of 52 values',
    keys: 'shops.city',
    aggregates: 'count(*) as n, sum(visits.amount) as total',
    from: JOINED,
    where: 'visits.weight > 1',
  }),
  query({
    name: 'C',
    what: 'join, filter, three keys, 17,500 groups, sum of a product',
    keys: 'visits.category, visits.weekday, visits.band',
    aggregates: 'count(*) as n, sum(visits.amount * visits.weight) as total',
    from: JOINED,
    where: "shops.kind <> 'kind 0'",
  }),
  query({
    name: 'D',
    what: 'filter, two keys, six aggregates (TPC-H Q1-like)',
    keys: 'weekday, band',
    aggregates:
      'count(*) as n, sum(amount) as total, avg(amount) as mean, sum(weight) as weights, avg(weight) as weight_mean, sum(amount * weight) as weighted',
    from: 'visits',
    where: 'amount < 9000',
  }),
];

const PER_PERSON = 'select person_id, count(*) as n from visits group by person_id';
const VALUES_PER_PERSON = `select avg(n) as mean, stddev_samp(n) as deviation from (${PER_PERSON})`;

/** Those of the engine, and some that take long without a policy: of short ones the fixed cost of a job decides. */
export const LARGE_QUERIES: readonly BenchQuery[] = [
  ...QUERIES,
  query({
    name: 'E',
    what: 'people by city, behind a join',
    keys: 'shops.city',
    aggregates: 'count(distinct person_id) as people',
    from: JOINED,
  }),
  query({
    name: 'F',
    what: 'three keys, 17,500 groups, five aggregates',
    keys: 'category, weekday, band',
    aggregates:
      'count(*) as n, sum(amount) as total, avg(amount) as mean, sum(weight) as weights, avg(weight) as weight_mean',
    from: 'visits',
  }),
  {
    name: 'G',
    what: 'mean and deviation of visits per person',
    sql: VALUES_PER_PERSON,
    expected: VALUES_PER_PERSON,
  },
  query({
    name: 'H',
    what: 'city and category, 5,200 groups, a sum with FILTER',
    keys: 'shops.city, visits.category',
    aggregates:
      'count(*) as n, sum(visits.amount) as total, sum(visits.amount) filter (where visits.weekday < 5) as week',
    from: JOINED,
  }),
];

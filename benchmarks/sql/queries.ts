/** The queries that the SQL benchmark asks, and the policy's view of its tables. */
import type { AggregateFunction, ColumnGrant, ColumnRight } from '../../runtime/policy/model.ts';
import type { LearntColumn } from '../../runtime/dataset/column-facts.ts';
import { UNIT_WORDS } from '../../runtime/query/layout.ts';
import type { CatalogueColumn, CatalogueTable, TableCuboid } from '../../runtime/query/catalogue.ts';
import type { SqlType } from '../../runtime/query/types.ts';

export interface BenchQuery {
  readonly name: string;
  readonly sql: string;
  /** `large` tables take the ratio's side of the goal, `small` ones the fixed cost's. */
  readonly data: 'large' | 'small';
}

const INTEGER: SqlType = { kind: 'integer', bits: 32, isSigned: true };
const TEXT: SqlType = { kind: 'text' };
const DATE: SqlType = { kind: 'date' };
const DOUBLE: SqlType = { kind: 'double' };
const BOOLEAN: SqlType = { kind: 'boolean' };
const MONEY: SqlType = { kind: 'decimal', width: 15, scale: 2 };
const ALL: readonly AggregateFunction[] = ['sum', 'avg', 'count'];

function grant(rights: readonly ColumnRight[], more: Partial<ColumnGrant> = {}): ColumnGrant {
  return { consumers: null, rights, functions: [], bounds: null, values: null, bins: null, ...more };
}
const key = (name: string): CatalogueColumn => ({ name, type: INTEGER, grants: [grant(['join'])] });
const dimension = (name: string, type: SqlType): CatalogueColumn => ({
  name,
  type,
  grants: [grant(['group', 'filter', 'order', 'compare', 'join'])],
});
const measure = (name: string, type: SqlType, bounds: ColumnGrant['bounds']): CatalogueColumn => ({
  name,
  type,
  grants: [grant(['aggregate'], { functions: ALL, bounds }), grant(['filter'])],
});
const open = (name: string, type: SqlType): CatalogueColumn => ({ name, type, grants: [grant([])] });

interface Outline {
  readonly columns: readonly CatalogueColumn[];
  readonly unit: { readonly keyColumns: readonly string[]; readonly viaOrders?: true } | null;
}

const OUTLINES: Readonly<Record<string, Outline>> = {
  facts: {
    columns: [
      key('person'),
      dimension('g', INTEGER),
      dimension('place', INTEGER),
      dimension('day', INTEGER),
      dimension('product', INTEGER),
      measure('x', INTEGER, { low: 0, high: 1000 }),
      measure('w', INTEGER, { low: 0, high: 20 }),
      measure('y', DOUBLE, { low: 0, high: 12_500 }),
    ],
    unit: { keyColumns: ['person'] },
  },
  places: {
    columns: [open('place', INTEGER), open('region', TEXT), open('zone', INTEGER), open('is_open', BOOLEAN)],
    unit: null,
  },
  visits: {
    columns: [
      key('patient'),
      dimension('ward', TEXT),
      dimension('age', INTEGER),
      measure('cost', INTEGER, { low: 0, high: 1000 }),
    ],
    unit: { keyColumns: ['patient'] },
  },
  lineitem: {
    columns: [
      key('l_orderkey'),
      key('l_partkey'),
      key('l_suppkey'),
      measure('l_quantity', MONEY, { low: 0, high: 50 }),
      measure('l_extendedprice', MONEY, { low: 0, high: 200_000 }),
      measure('l_discount', MONEY, { low: 0, high: 1 }),
      measure('l_tax', MONEY, { low: 0, high: 1 }),
      ...['l_returnflag', 'l_linestatus', 'l_shipmode'].map((name) => dimension(name, TEXT)),
      ...['l_shipdate', 'l_commitdate', 'l_receiptdate'].map((name) => dimension(name, DATE)),
    ],
    unit: { keyColumns: [], viaOrders: true },
  },
  orders: {
    columns: [key('o_orderkey'), key('o_custkey'), dimension('o_orderdate', DATE), dimension('o_orderpriority', TEXT)],
    unit: { keyColumns: ['o_custkey'] },
  },
  customer: { columns: [key('c_custkey'), key('c_nationkey')], unit: { keyColumns: ['c_custkey'] } },
  nation: {
    columns: [open('n_nationkey', INTEGER), open('n_name', TEXT), open('n_regionkey', INTEGER)],
    unit: null,
  },
  region: { columns: [open('r_regionkey', INTEGER), open('r_name', TEXT)], unit: null },
  supplier: { columns: [open('s_suppkey', INTEGER), open('s_nationkey', INTEGER)], unit: null },
  part: { columns: [open('p_partkey', INTEGER), open('p_type', TEXT)], unit: null },
};

/** By which columns the layout adds rows of a table up, as `LayoutTable.dimensions`. */
export function dimensionsOf(name: string): readonly (readonly string[])[] {
  const columns = OUTLINES[name]?.columns ?? [];
  const having = (right: ColumnRight): string[] =>
    columns
      .filter(({ type, grants }) => type.kind !== 'double' && grants.some(({ rights }) => rights.includes(right)))
      .map((column) => column.name);
  const keys = having('group');
  return [keys, [...having('filter'), ...having('join')].filter((column) => !keys.includes(column))];
}

/** Which of its measures cuboids add up. */
export function measuresOf(name: string): readonly string[] {
  const isAdded = ({ type, grants }: CatalogueColumn): boolean =>
    type.kind !== 'double' && grants.some(({ rights }) => rights.includes('aggregate'));
  return (OUTLINES[name]?.columns ?? []).filter(isAdded).map((column) => column.name);
}

/** The tables of a policy in the attached file `d0`, with the rows that each has. */
export function benchTables(
  rowCounts: ReadonlyMap<string, bigint>,
  facts: ReadonlyMap<string, Readonly<Record<string, LearntColumn>>>,
  cuboids: ReadonlyMap<string, readonly TableCuboid[]> = new Map(),
): readonly CatalogueTable[] {
  return Object.entries(OUTLINES).map(([name, { columns, unit }]): CatalogueTable => ({
    dataset: 'bench/tables',
    names: [name],
    physical: `"d0"."${name}"`,
    isPublic: unit === null,
    columns: columns.map((column) => ({ ...column, ...learntOf(facts.get(name)?.[column.name]) })),
    units:
      unit === null
        ? []
        : [
            {
              keyColumns: unit.keyColumns,
              domain: name === 'facts' ? 'person' : name === 'visits' ? 'patient' : 'customer',
              hash: '__gb_u0',
              oneHot: '__gb_b0',
              tag: '__gb_t0',
              words: UNIT_WORDS(0),
              ...(name === 'facts' ? { sides: new Map(['x', 'w', 'y'].map((one) => [one, `__gb_s_${one}`])) } : {}),
              ...(unit.viaOrders === true ? { path: [{ from: 'l_orderkey', table: 'orders', to: 'o_orderkey' }] } : {}),
            },
          ],
    joins: 'allowed',
    rowCount: rowCounts.get(name) ?? 0n,
    cuboids: cuboids.get(name) ?? [],
  }));
}

/** As `catalogueTables` hands on what the layout learnt. */
function learntOf(learnt: LearntColumn | undefined): Partial<CatalogueColumn> {
  if (learnt === undefined) return {};
  const { distinctValues, ...facts } = learnt;
  return { distinctValues, facts };
}

const large = (name: string, sql: string): BenchQuery => ({ name, sql, data: 'large' });
const small = (name: string, sql: string): BenchQuery => ({ name, sql, data: 'small' });

export const BENCH_QUERIES: readonly BenchQuery[] = [
  large('A group', 'SELECT g, count(*) AS n, sum(x) AS s, avg(x) AS m FROM facts GROUP BY g'),
  large('A filter', 'SELECT g, count(*) AS n, sum(x) AS s, avg(x) AS m FROM facts WHERE day < 3 GROUP BY g'),
  large(
    'B join',
    'SELECT region, count(*) AS n, sum(x) AS s FROM facts JOIN places USING (place) WHERE is_open GROUP BY region',
  ),
  large(
    'C join, many groups',
    'SELECT day, zone, product, sum(x * w) AS s FROM facts JOIN places USING (place) WHERE is_open GROUP BY day, zone, product',
  ),
  large(
    'filters',
    'SELECT g, sum(x) FILTER (WHERE day < 3) AS a, sum(x) FILTER (WHERE w > 5) AS b, count(*) AS n FROM facts GROUP BY g',
  ),
  large('share', 'SELECT g, avg(CASE WHEN x > 500 THEN 1.0 ELSE 0 END) AS s FROM facts GROUP BY g'),
  large(
    'filters by two keys, join',
    'SELECT region, g, sum(x) AS s, sum(x) FILTER (WHERE day < 3) AS a, count(*) FILTER (WHERE day >= 3) AS b FROM facts JOIN places USING (place) GROUP BY region, g',
  ),
  large(
    'many groups, own filter',
    'SELECT g, day, product, count(*) AS n, sum(x) AS s FROM facts WHERE w > 2 GROUP BY g, day, product',
  ),
  large('double', 'SELECT g, sum(y) AS s, avg(y) AS m FROM facts GROUP BY g'),
  large(
    'cohort',
    'SELECT g, count(*) AS n, sum(x) AS s FROM facts WHERE person IN (SELECT person FROM facts WHERE place = 7) GROUP BY g',
  ),
  large(
    'values per person',
    'SELECT avg(n) AS n, avg(s) AS s, count(*) AS people FROM (SELECT person, count(*) AS n, sum(x) AS s FROM facts GROUP BY person)',
  ),
  large(
    'values per person, filter',
    'SELECT avg(n) AS n, avg(s) AS s, count(*) AS people FROM (SELECT person, count(*) AS n, sum(x) AS s FROM facts WHERE place < 300 GROUP BY person)',
  ),
  large(
    'values beside everybody',
    'SELECT g, count(*) AS n, sum(coalesce(v.n, 0)) AS s FROM facts LEFT JOIN (SELECT person, count(*) AS n FROM facts WHERE place < 100 GROUP BY person) v USING (person) GROUP BY g',
  ),
  large(
    'Q1',
    `SELECT l_returnflag, l_linestatus, sum(l_quantity) AS sum_qty, sum(l_extendedprice) AS sum_base_price,
       sum(l_extendedprice * (1 - l_discount)) AS sum_disc_price, sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) AS sum_charge,
       avg(l_quantity) AS avg_qty, avg(l_extendedprice) AS avg_price, avg(l_discount) AS avg_disc, count(*) AS count_order
     FROM lineitem WHERE l_shipdate <= CAST('1998-09-02' AS date) GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus`,
  ),
  large(
    'Q5',
    `SELECT n_name, sum(l_extendedprice * (1 - l_discount)) AS revenue FROM customer, orders, lineitem, supplier, nation, region
     WHERE c_custkey = o_custkey AND l_orderkey = o_orderkey AND l_suppkey = s_suppkey AND c_nationkey = s_nationkey
       AND s_nationkey = n_nationkey AND n_regionkey = r_regionkey AND r_name = 'ASIA'
       AND o_orderdate >= CAST('1994-01-01' AS date) AND o_orderdate < CAST('1995-01-01' AS date)
     GROUP BY n_name ORDER BY revenue DESC`,
  ),
  large(
    'Q6',
    `SELECT sum(l_extendedprice * l_discount) AS revenue FROM lineitem WHERE l_shipdate >= CAST('1994-01-01' AS date)
       AND l_shipdate < CAST('1995-01-01' AS date) AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24`,
  ),
  large(
    'Q12',
    `SELECT l_shipmode, sum(CASE WHEN o_orderpriority = '1-URGENT' OR o_orderpriority = '2-HIGH' THEN 1 ELSE 0 END) AS high_line_count,
       sum(CASE WHEN o_orderpriority <> '1-URGENT' AND o_orderpriority <> '2-HIGH' THEN 1 ELSE 0 END) AS low_line_count
     FROM orders, lineitem WHERE o_orderkey = l_orderkey AND l_shipmode IN ('MAIL', 'SHIP') AND l_commitdate < l_receiptdate
       AND l_shipdate < l_commitdate AND l_receiptdate >= CAST('1994-01-01' AS date) AND l_receiptdate < CAST('1995-01-01' AS date)
     GROUP BY l_shipmode ORDER BY l_shipmode`,
  ),
  large(
    'Q14',
    `SELECT 100.00 * sum(CASE WHEN p_type LIKE 'PROMO%' THEN l_extendedprice * (1 - l_discount) ELSE 0 END)
       / sum(l_extendedprice * (1 - l_discount)) AS promo_revenue
     FROM lineitem, part WHERE l_partkey = p_partkey AND l_shipdate >= date '1995-09-01' AND l_shipdate < CAST('1995-10-01' AS date)`,
  ),
  small('small count', 'SELECT ward, count(*) AS n FROM visits GROUP BY ward ORDER BY ward'),
  small('small filter', 'SELECT ward, count(*) AS n, avg(cost) AS m FROM visits WHERE age < 50 GROUP BY ward'),
];

import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { AggregateFunction, ColumnGrant } from '../../runtime/policy/model.ts';
import type { CatalogueColumn, CatalogueTable } from '../../runtime/query/catalogue.ts';
import type { SqlType } from '../../runtime/query/types.ts';
import { column, DATE, grant, INTEGER, measure, TEXT, UNIT_COLUMNS } from './clinic.ts';

/** Tables in the shape of TPC-H, small and generated; customers are the privacy unit, reached through orders. */
const MONEY: SqlType = { kind: 'decimal', width: 15, scale: 2 };
const ALL: readonly AggregateFunction[] = ['sum', 'avg', 'count'];
const dimension = (name: string, type: SqlType): CatalogueColumn =>
  column(name, type, grant(['group', 'filter', 'compare', 'join', 'order']));
const key = (name: string): CatalogueColumn =>
  column(name, INTEGER, grant(['join', 'group', 'filter', 'countDistinct']));
const amount = (name: string, bounds: ColumnGrant['bounds']): CatalogueColumn =>
  column(name, MONEY, measure(ALL, bounds), grant(['filter']));

function table(
  name: string,
  isPublic: boolean,
  columns: readonly CatalogueColumn[],
  unit: CatalogueTable['units'][number] | null,
): CatalogueTable {
  return {
    dataset: `tpch/${name}`,
    names: [name],
    physical: `"main"."${name}"`,
    isPublic,
    columns,
    units: unit === null ? [] : [unit],
    joins: 'allowed',
    rowCount: 0n,
  };
}

const UNIT = { domain: 'customer', hash: '__gb_u0', oneHot: '__gb_b0' } as const;

export const TPCH: readonly CatalogueTable[] = [
  table(
    'lineitem',
    false,
    [
      key('l_orderkey'),
      key('l_partkey'),
      key('l_suppkey'),
      amount('l_quantity', { low: 0, high: 50 }),
      amount('l_extendedprice', { low: 0, high: 200_000 }),
      amount('l_discount', { low: 0, high: 1 }),
      amount('l_tax', { low: 0, high: 1 }),
      dimension('l_returnflag', TEXT),
      dimension('l_linestatus', TEXT),
      dimension('l_shipdate', DATE),
      dimension('l_commitdate', DATE),
      dimension('l_receiptdate', DATE),
      dimension('l_shipinstruct', TEXT),
      dimension('l_shipmode', TEXT),
    ],
    { ...UNIT, keyColumns: [], path: [{ from: 'l_orderkey', table: 'orders', to: 'o_orderkey' }] },
  ),
  table(
    'orders',
    false,
    [
      key('o_orderkey'),
      key('o_custkey'),
      dimension('o_orderdate', DATE),
      dimension('o_orderpriority', TEXT),
      dimension('o_shippriority', INTEGER),
    ],
    { ...UNIT, keyColumns: ['o_custkey'] },
  ),
  table('customer', false, [key('c_custkey'), key('c_nationkey'), dimension('c_mktsegment', TEXT)], {
    ...UNIT,
    keyColumns: ['c_custkey'],
  }),
  table('nation', true, [column('n_nationkey', INTEGER), column('n_name', TEXT), column('n_regionkey', INTEGER)], null),
  table('region', true, [column('r_regionkey', INTEGER), column('r_name', TEXT)], null),
  table('supplier', true, [column('s_suppkey', INTEGER), column('s_nationkey', INTEGER)], null),
  table(
    'part',
    true,
    [
      column('p_partkey', INTEGER),
      column('p_type', TEXT),
      column('p_brand', TEXT),
      column('p_container', TEXT),
      column('p_size', INTEGER),
    ],
    null,
  ),
];

const PICK = (list: string, number: string): string => `([${list}])[1 + CAST((${number}) % len([${list}]) AS INTEGER)]`;

/** Makes the tables: `orders` orders of a tenth as many customers, four lines each. */
export async function openTpch(orders: number, threads = '1'): Promise<DuckDBConnection> {
  const instance = await DuckDBInstance.create(':memory:', { threads });
  const connection = await instance.connect();
  const customers = Math.max(1, Math.floor(orders / 10));
  await connection.run(`
CREATE TABLE region AS SELECT * FROM (VALUES (0, 'AFRICA'), (1, 'AMERICA'), (2, 'ASIA')) t(r_regionkey, r_name);
CREATE TABLE nation AS SELECT i::INTEGER AS n_nationkey, 'NATION ' || i AS n_name, (i % 3)::INTEGER AS n_regionkey FROM range(9) r(i);
CREATE TABLE supplier AS SELECT i::INTEGER AS s_suppkey, (i % 9)::INTEGER AS s_nationkey FROM range(40) r(i);
CREATE TABLE part AS SELECT i::INTEGER AS p_partkey, ${PICK("'PROMO TIN', 'STANDARD STEEL', 'PROMO BRASS', 'ECONOMY NICKEL'", 'i')} AS p_type,
  'Brand#' || (1 + i % 3) AS p_brand, ${PICK("'SM CASE', 'MED BAG', 'LG BOX'", 'i // 3')} AS p_container, (1 + i % 15)::INTEGER AS p_size FROM range(200) r(i);
CREATE TABLE customer AS SELECT *, ${UNIT_COLUMNS('c_custkey')} FROM (
  SELECT i::INTEGER AS c_custkey, (i % 9)::INTEGER AS c_nationkey, ${PICK("'BUILDING', 'MACHINERY', 'AUTOMOBILE'", 'i // 9')} AS c_mktsegment FROM range(${customers}) r(i));
CREATE TABLE orders AS SELECT *, ${UNIT_COLUMNS('o_custkey')} FROM (
  SELECT i::INTEGER AS o_orderkey, (i * 7 % ${customers})::INTEGER AS o_custkey, DATE '1992-01-01' + (hash(i) % 2400)::INTEGER AS o_orderdate,
    ${PICK("'1-URGENT', '2-HIGH', '3-MEDIUM', '5-LOW'", 'hash(i + 5)')} AS o_orderpriority, 0::INTEGER AS o_shippriority FROM range(${orders}) r(i));
CREATE TABLE lineitem AS SELECT l.*, o.__gb_u0, o.__gb_b0 FROM (
  SELECT (i // 4)::INTEGER AS l_orderkey, (hash(i) % 200)::INTEGER AS l_partkey, (hash(i + 1) % 40)::INTEGER AS l_suppkey,
    (1 + hash(i + 2) % 50)::DECIMAL(15,2) AS l_quantity, ((90000 + hash(i + 3) % 10000000) / 100)::DECIMAL(15,2) AS l_extendedprice,
    ((hash(i + 4) % 11) / 100)::DECIMAL(15,2) AS l_discount, ((hash(i + 6) % 9) / 100)::DECIMAL(15,2) AS l_tax,
    ${PICK("'A', 'N', 'R'", 'hash(i + 7)')} AS l_returnflag, ${PICK("'O', 'F'", 'hash(i + 8)')} AS l_linestatus,
    DATE '1992-01-02' + (hash(i) % 2500)::INTEGER AS l_shipdate, DATE '1992-01-02' + (hash(i) % 2500 + hash(i + 9) % 60)::INTEGER AS l_commitdate,
    DATE '1992-01-02' + (hash(i) % 2500 + 1 + hash(i + 10) % 30)::INTEGER AS l_receiptdate,
    ${PICK("'DELIVER IN PERSON', 'COLLECT COD'", 'hash(i + 11)')} AS l_shipinstruct, ${PICK("'AIR', 'AIR REG', 'MAIL', 'SHIP', 'TRUCK'", 'hash(i + 12)')} AS l_shipmode
  FROM range(${orders * 4}) r(i)) l JOIN orders o ON l.l_orderkey = o.o_orderkey;
`);
  return connection;
}

/** The eight queries whose shape an aggregate-only policy can answer, in TPC-H's own words. */
export const TPCH_QUERIES: Readonly<Record<number, string>> = {
  1: `SELECT l_returnflag, l_linestatus, sum(l_quantity) AS sum_qty, sum(l_extendedprice) AS sum_base_price,
        sum(l_extendedprice * (1 - l_discount)) AS sum_disc_price, sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) AS sum_charge,
        avg(l_quantity) AS avg_qty, avg(l_extendedprice) AS avg_price, avg(l_discount) AS avg_disc, count(*) AS count_order
      FROM lineitem WHERE l_shipdate <= CAST('1998-09-02' AS date) GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus`,
  3: `SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate, o_shippriority
      FROM customer, orders, lineitem WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
        AND o_orderdate < CAST('1995-03-15' AS date) AND l_shipdate > CAST('1995-03-15' AS date)
      GROUP BY l_orderkey, o_orderdate, o_shippriority ORDER BY revenue DESC, o_orderdate LIMIT 10`,
  5: `SELECT n_name, sum(l_extendedprice * (1 - l_discount)) AS revenue FROM customer, orders, lineitem, supplier, nation, region
      WHERE c_custkey = o_custkey AND l_orderkey = o_orderkey AND l_suppkey = s_suppkey AND c_nationkey = s_nationkey
        AND s_nationkey = n_nationkey AND n_regionkey = r_regionkey AND r_name = 'ASIA'
        AND o_orderdate >= CAST('1994-01-01' AS date) AND o_orderdate < CAST('1995-01-01' AS date)
      GROUP BY n_name ORDER BY revenue DESC`,
  6: `SELECT sum(l_extendedprice * l_discount) AS revenue FROM lineitem WHERE l_shipdate >= CAST('1994-01-01' AS date)
        AND l_shipdate < CAST('1995-01-01' AS date) AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24`,
  10: `SELECT c_custkey, sum(l_extendedprice * (1 - l_discount)) AS revenue, n_name FROM customer, orders, lineitem, nation
      WHERE c_custkey = o_custkey AND l_orderkey = o_orderkey AND o_orderdate >= CAST('1993-10-01' AS date)
        AND o_orderdate < CAST('1994-01-01' AS date) AND l_returnflag = 'R' AND c_nationkey = n_nationkey
      GROUP BY c_custkey, n_name ORDER BY revenue DESC LIMIT 20`,
  12: `SELECT l_shipmode, sum(CASE WHEN o_orderpriority = '1-URGENT' OR o_orderpriority = '2-HIGH' THEN 1 ELSE 0 END) AS high_line_count,
        sum(CASE WHEN o_orderpriority <> '1-URGENT' AND o_orderpriority <> '2-HIGH' THEN 1 ELSE 0 END) AS low_line_count
      FROM orders, lineitem WHERE o_orderkey = l_orderkey AND l_shipmode IN ('MAIL', 'SHIP') AND l_commitdate < l_receiptdate
        AND l_shipdate < l_commitdate AND l_receiptdate >= CAST('1994-01-01' AS date) AND l_receiptdate < CAST('1995-01-01' AS date)
      GROUP BY l_shipmode ORDER BY l_shipmode`,
  14: `SELECT 100.00 * sum(CASE WHEN p_type LIKE 'PROMO%' THEN l_extendedprice * (1 - l_discount) ELSE 0 END)
        / sum(l_extendedprice * (1 - l_discount)) AS promo_revenue
      FROM lineitem, part WHERE l_partkey = p_partkey AND l_shipdate >= date '1995-09-01' AND l_shipdate < CAST('1995-10-01' AS date)`,
  19: `SELECT sum(l_extendedprice * (1 - l_discount)) AS revenue FROM lineitem, part
      WHERE (p_partkey = l_partkey AND p_brand = 'Brand#1' AND p_container IN ('SM CASE', 'MED BAG') AND l_quantity >= 1 AND l_quantity <= 11
          AND p_size BETWEEN 1 AND 15 AND l_shipmode IN ('AIR', 'AIR REG') AND l_shipinstruct = 'DELIVER IN PERSON')
        OR (p_partkey = l_partkey AND p_brand = 'Brand#2' AND p_container IN ('MED BAG', 'LG BOX') AND l_quantity >= 10 AND l_quantity <= 20
          AND p_size BETWEEN 1 AND 15 AND l_shipmode IN ('AIR', 'AIR REG') AND l_shipinstruct = 'DELIVER IN PERSON')`,
};

/** The tables that the SQL benchmark asks: made once per size into a DuckDB file, laid out as the runtime lays tables out. */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { learnColumns } from '../../runtime/dataset/column-facts.ts';
import { makeCuboids } from '../../runtime/dataset/cuboids.ts';
import { sketchWords, UNIT_WORDS } from '../../runtime/query/layout.ts';
import { dimensionsOf, measuresOf } from './queries.ts';

/** Raised whenever the statements below change, so that no old file is measured. */
const FORM = 7;

export interface BenchData {
  /** Rows of the two large tables. */
  readonly rows: number;
  readonly folder: string;
}

/** Path of the file for this size; made when it is missing. Rows follow from hashes of their number: no seed to lose. */
export async function benchFile({ rows, folder }: BenchData): Promise<string> {
  const path = join(folder, `sql-${rows}-v${FORM}.duckdb`);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  const making = `${path}.making`;
  await rm(making, { force: true });
  const instance = await DuckDBInstance.create(making, { threads: '2' });
  const connection = await instance.connect();
  for (const statement of statements(rows)) await connection.run(statement);
  for (const name of ['facts', 'lineitem']) {
    const dimensions = dimensionsOf(name);
    const measures = measuresOf(name);
    const columns = [...new Set([...dimensions.flat(), ...measures])];
    const table = { name, columns, units: [UNIT_KEY], rows: null, bounds: {}, maxRowsPerUnit: null, isTagged: true };
    const learnt = await learnColumns(connection, name, columns);
    await makeCuboids(
      connection,
      { ...table, hasLanes: true, dimensions, measures },
      { columns: learnt, rowCount: rows },
    );
  }
  await connection.run('CHECKPOINT');
  connection.closeSync();
  instance.closeSync();
  await rename(making, path);
  return path;
}

/** Only how many units there are matters. */
const UNIT_KEY = { columns: ['person'], via: [] };

/** As the layout does it: a 64-bit hash of the unit, the one bit that it sets, and a tag of the row. */
const UNIT = (key: string): string =>
  `hash(${key}) AS __gb_u0, (1::UBIGINT << (hash(${key}) & 63)) AS __gb_b0, hash(random(), hash(${key})) AS __gb_t0`;
/** And what the row adds to a sketch. */
const sketched = (select: string): string => {
  const words = sketchWords('__gb_t0', '__gb_u0').map((word, i) => `${word} AS ${UNIT_WORDS(0)[i]}`);
  return `SELECT *, ${words.join(', ')} FROM (${select})`;
};
/** On which side of a cut the values of a measure are, as the layout shows it. */
const SIDES = (name: string, cut: number): string =>
  `CAST((1::UBIGINT << (__gb_u0 & 31)) << CASE WHEN ${name} > ${cut} THEN 32 ELSE 0 END AS UBIGINT) AS __gb_s_${name}`;
const PICK = (list: string, number: string): string => `([${list}])[1 + CAST((${number}) % len([${list}]) AS INTEGER)]`;

function statements(rows: number): string[] {
  const orders = Math.ceil(rows / 4);
  const people = Math.max(100, Math.floor(rows / 10));
  const customers = Math.max(100, Math.floor(orders / 10));
  return [
    // Shapes A, B and C: a fact table of a tenth as many people, and a dimension of 2,000 places.
    `CREATE TABLE places AS SELECT i::INTEGER AS place, 'region ' || (i % 52) AS region, (i % 50)::INTEGER AS zone, hash(i) % 4 <> 0 AS is_open FROM range(2000) r(i)`,
    `CREATE TABLE facts AS ${sketched(`SELECT *, ${SIDES('x', 500)}, ${SIDES('w', 10)}, ${SIDES('y', 6250)} FROM (SELECT *, ${UNIT('person')} FROM (
       SELECT (hash(i) % ${people})::INTEGER AS person, (hash(i + 1) % 100)::INTEGER AS g, (hash(i + 2) % 2000)::INTEGER AS place,
         (hash(i + 3) % 7)::INTEGER AS day, (hash(i + 4) % 50)::INTEGER AS product, (1 + hash(i + 5) % 1000)::INTEGER AS x,
         (1 + hash(i + 6) % 20)::INTEGER AS w, (hash(i + 7) % 100000) / 8.0::DOUBLE AS y FROM range(${rows}) r(i)))`)}`,
    // Small data: what a query costs beyond its rows.
    `CREATE TABLE visits AS ${sketched(`SELECT *, ${UNIT('patient')} FROM (
       SELECT (i % 300)::INTEGER AS patient, 'ward ' || (i % 6) AS ward, (20 + i % 60)::INTEGER AS age, (i % 997)::INTEGER AS cost FROM range(1800) r(i))`)}`,
    `CREATE TABLE region AS SELECT * FROM (VALUES (0, 'AFRICA'), (1, 'AMERICA'), (2, 'ASIA'), (3, 'EUROPE'), (4, 'MIDDLE EAST')) t(r_regionkey, r_name)`,
    `CREATE TABLE nation AS SELECT i::INTEGER AS n_nationkey, 'NATION ' || i AS n_name, (i % 5)::INTEGER AS n_regionkey FROM range(25) r(i)`,
    `CREATE TABLE supplier AS SELECT i::INTEGER AS s_suppkey, (i % 25)::INTEGER AS s_nationkey FROM range(${Math.max(100, Math.floor(orders / 150))}) r(i)`,
    `CREATE TABLE part AS SELECT i::INTEGER AS p_partkey, ${PICK("'PROMO TIN', 'STANDARD STEEL', 'MEDIUM BRASS', 'ECONOMY NICKEL', 'SMALL COPPER'", 'hash(i)')} AS p_type FROM range(${Math.max(200, Math.floor(orders / 7))}) r(i)`,
    `CREATE TABLE customer AS ${sketched(`SELECT *, ${UNIT('c_custkey')} FROM (
       SELECT i::INTEGER AS c_custkey, (hash(i) % 25)::INTEGER AS c_nationkey FROM range(${customers}) r(i))`)}`,
    `CREATE TABLE orders AS ${sketched(`SELECT *, ${UNIT('o_custkey')} FROM (
       SELECT i::INTEGER AS o_orderkey, (hash(i) % ${customers})::INTEGER AS o_custkey, DATE '1992-01-01' + (hash(i + 1) % 2406)::INTEGER AS o_orderdate,
         ${PICK("'1-URGENT', '2-HIGH', '3-MEDIUM', '4-NOT SPECIFIED', '5-LOW'", 'hash(i + 5)')} AS o_orderpriority FROM range(${orders}) r(i))`)}`,
    `CREATE TABLE lineitem AS ${sketched(`SELECT l_orderkey, l_partkey, l_suppkey, l_quantity, l_extendedprice, l_discount, l_tax, l_returnflag, l_linestatus,
         l_shipdate, l_commitdate, l_receiptdate, l_shipmode, ${UNIT(`(hash(l_orderkey::BIGINT) % ${customers})::INTEGER`)} FROM (
       SELECT *, (l_shipdate + (1 + hash(i + 10) % 30)::INTEGER)::DATE AS l_receiptdate FROM (
       SELECT i, (i // 4)::INTEGER AS l_orderkey, (hash(i + 13) % ${Math.max(200, Math.floor(orders / 7))})::INTEGER AS l_partkey,
         (hash(i + 14) % ${Math.max(100, Math.floor(orders / 150))})::INTEGER AS l_suppkey, (1 + hash(i + 2) % 50)::DECIMAL(15,2) AS l_quantity,
         ((90000 + hash(i + 3) % 10000000) / 100)::DECIMAL(15,2) AS l_extendedprice, ((hash(i + 4) % 11) / 100)::DECIMAL(15,2) AS l_discount,
         ((hash(i + 6) % 9) / 100)::DECIMAL(15,2) AS l_tax, ${PICK("'A', 'N', 'R'", 'hash(i + 7)')} AS l_returnflag, ${PICK("'O', 'F'", 'hash(i + 8)')} AS l_linestatus,
         (DATE '1992-01-01' + (hash(i // 4 + 1) % 2406)::INTEGER + (1 + hash(i + 11) % 121)::INTEGER)::DATE AS l_shipdate,
         (DATE '1992-01-01' + (hash(i // 4 + 1) % 2406)::INTEGER + (30 + hash(i + 9) % 61)::INTEGER)::DATE AS l_commitdate,
         ${PICK("'AIR', 'FOB', 'MAIL', 'RAIL', 'REG AIR', 'SHIP', 'TRUCK'", 'hash(i + 12)')} AS l_shipmode FROM range(${rows}) r(i)) l)`)}`,
  ];
}

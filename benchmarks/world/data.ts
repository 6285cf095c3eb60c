import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';

/** Everything random about the data comes from a hash of the row's number and this. */
export const SEED = 20_260_101;
/** Raised when the data changes: older files are then left alone and new ones made. */
const FORM = 2;

/** Files of one size, the same bytes of content on every machine. */
export interface BenchData {
  readonly rows: number;
  readonly visits: string;
  readonly shops: string;
  /** The same tables in DuckDB's own format, for the floor. */
  readonly plain: string;
}

/** Makes the data of a size once; later calls find it in the cache folder. */
export async function prepareData(cache: string, rows: number, progress: (text: string) => void): Promise<BenchData> {
  const folder = join(cache, `data-v${FORM}-${rows}`);
  const data = dataIn(folder, rows);
  if (existsSync(folder)) return data;
  progress(`making ${rows} rows, once`);
  const temporary = `${folder}.new`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  const made = dataIn(temporary, rows);
  const instance = await DuckDBInstance.create(made.plain);
  const connection = await instance.connect();
  try {
    await connection.run(`CREATE TABLE visits AS ${visitsSql(rows)}`);
    await connection.run(`CREATE TABLE shops AS ${shopsSql()}`);
    for (const table of ['visits', 'shops'] as const)
      await connection.run(`COPY ${table} TO '${made[table].replaceAll("'", "''")}' (FORMAT parquet)`);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
  await rename(temporary, folder);
  return data;
}

function dataIn(folder: string, rows: number): BenchData {
  return {
    rows,
    visits: join(folder, 'visits.parquet'),
    shops: join(folder, 'shops.parquet'),
    plain: join(folder, 'plain.duckdb'),
  };
}

const draw = (column: number, below: number): string => `(hash(i, ${column}, ${SEED}) % ${below})::INTEGER`;

/**
 * Whole numbers only: their sums do not depend on the order in which threads add. No amount is zero: a product whose zero
 * rows rest on few units is withheld, which the floor does not do.
 */
function visitsSql(rows: number): string {
  return `SELECT ${draw(1, Math.max(1, Math.floor(rows / 10)))} AS person_id, ${draw(2, 1000)} AS shop_id,
    ${draw(3, 100)} AS category, ${draw(4, 7)} AS weekday, ${draw(5, 25)} AS band, ${draw(6, 10_000)} + 1 AS amount,
    ${draw(7, 5)} + 1 AS weight FROM range(${rows}) AS t(i)`;
}

function shopsSql(): string {
  return `SELECT i::INTEGER AS shop_id, 'kind ' || ${draw(8, 5)} AS kind, 'city ' || ${draw(9, 52)} AS city FROM range(1000) AS t(i)`;
}

/** What the runtime learns of a laid-out table when it makes it. It stays in the runtime: see `ColumnFacts`. */
import type { DuckDBConnection } from '@duckdb/node-api';
import type { ColumnFacts } from '../query/catalogue.ts';
import { quoteName } from './sql-text.ts';

export interface LearntColumn extends ColumnFacts {
  /** Rough: within a few per cent. */
  readonly distinctValues: number;
}

/** The number of distinct values is an estimate, sometimes too low by more than a tenth. */
const LEAST_SHARE_OF_UNIQUE = 0.8;
const FLOATING = /^(DOUBLE|FLOAT)$/;
const NUMBER = /^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|DECIMAL.*)$/;

/**
 * One scan of a table in the connected database, given as printed SQL; columns that enforcement added are left out. Of a
 * private table one more for each of `keys`, columns that are a privacy unit by themselves, that could be unique.
 */
export async function learnColumns(
  connection: DuckDBConnection,
  table: string,
  columns: readonly string[],
  { isPublic = false, keys = [] }: { readonly isPublic?: boolean; readonly keys?: readonly string[] } = {},
): Promise<Readonly<Record<string, LearntColumn>>> {
  if (columns.length === 0) return {};
  const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${table}`);
  const types = new Map(described.getRows().map(([name, type]) => [String(name), String(type)]));
  const facts = columns.flatMap((name) => {
    const [column, type] = [quoteName(name), types.get(name) ?? ''];
    const there = FLOATING.test(type) ? `coalesce(isfinite(${column}), FALSE)` : `${column} IS NOT NULL`;
    const ends = NUMBER.test(type)
      ? [`CAST(min(${column}) AS DOUBLE)`, `CAST(max(${column}) AS DOUBLE)`]
      : ['NULL', 'NULL'];
    return [`count(*) FILTER (WHERE ${there}) = count(*)`, ...ends, `approx_count_distinct(${column})`];
  });
  facts.push('count(*)');
  const row = (await connection.runAndReadAll(`SELECT ${facts.join(', ')} FROM ${table}`)).getRows()[0] ?? [];
  const learnt = columns.map((name, index): readonly [string, LearntColumn] => {
    const [isComplete, low, high, distinct] = row.slice(4 * index, 4 * index + 4);
    const number = (value: unknown): number | null =>
      typeof value === 'number' && Number.isFinite(value) ? value : null;
    return [
      name,
      { isComplete: isComplete === true, low: number(low), high: number(high), distinctValues: Number(distinct) },
    ];
  });
  if (!isPublic) {
    const unique = new Set<string>();
    for (const [name, { distinctValues }] of learnt) {
      // Most keys of units stand in several rows of each: an estimate tells, and nothing is counted.
      const mayBe = keys.includes(name) && distinctValues >= LEAST_SHARE_OF_UNIQUE * Number(row.at(-1));
      if (mayBe && (await isUnique(connection, table, name))) unique.add(name);
    }
    return Object.fromEntries(
      learnt.map(([name, facts]) => [name, unique.has(name) ? { ...facts, isUnique: true } : facts]),
    );
  }
  const repeats = await mostRepeatsOf(connection, table, columns);
  return Object.fromEntries(
    learnt.map(([name, facts]) => [name, { ...facts, mostRepeats: repeats.get(name) ?? Number.MAX_SAFE_INTEGER }]),
  );
}

/** Whether no value stands in two rows. Missing values may: a join meets none of them. */
async function isUnique(connection: DuckDBConnection, table: string, name: string): Promise<boolean> {
  const column = quoteName(name);
  const twice = `SELECT 1 FROM ${table} WHERE ${column} IS NOT NULL GROUP BY ${column} HAVING count(*) > 1 LIMIT 1`;
  return (await connection.runAndReadAll(twice)).currentRowCount === 0;
}

/** Of public tables: how many rows of it one value can join. A missing value joins none. */
async function mostRepeatsOf(
  connection: DuckDBConnection,
  table: string,
  columns: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const name of columns) {
    const column = quoteName(name);
    const counted = `SELECT count(*) AS n FROM ${table} WHERE ${column} IS NOT NULL GROUP BY ${column}`;
    const rows = (await connection.runAndReadAll(`SELECT coalesce(max(n), 0) FROM (${counted})`)).getRows();
    found.set(name, Number(rows[0]?.[0]));
  }
  return found;
}

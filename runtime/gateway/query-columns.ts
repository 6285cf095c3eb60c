import { QUERY_BLOCK_ROWS, type QueryColumn } from '../homomorphic/query.ts';
import type { CatalogueTable } from '../query/catalogue.ts';
import type { EnforcedQuery } from '../query/enforced.ts';

/** Digits after the point that are kept of a column of floating-point numbers. */
export const FLOAT_DECIMALS = 2;

/** What the policy and the catalogue say of a column: bounds in scaled whole numbers. */
export function queryColumnOf(table: CatalogueTable, name: string): QueryColumn | null {
  const column = table.columns.find((one) => one.name === name);
  if (column === undefined) return null;
  const { type } = column;
  const decimals =
    type.kind === 'integer'
      ? 0
      : type.kind === 'decimal'
        ? type.scale
        : type.kind === 'double' || type.kind === 'float'
          ? FLOAT_DECIMALS
          : null;
  const bounds = column.grants.flatMap((grant) =>
    grant.rights.includes('aggregate') && grant.bounds !== null ? [grant.bounds] : [],
  );
  if (decimals === null || bounds.length === 0) return null;
  const low = Math.max(...bounds.map((one) => one.low)) * 10 ** decimals;
  const high = Math.min(...bounds.map((one) => one.high)) * 10 ** decimals;
  if (!(low <= high) || Math.abs(low) > 1e15 || Math.abs(high) > 1e15) return null;
  return { column: name, decimals, low: BigInt(Math.ceil(low)), high: BigInt(Math.floor(high)) };
}

/** Nobody is shown how many rows there are: the next power of two stands for it, and what is added is zeros. */
export function publicRows(rowCount: bigint): number {
  let rows = QUERY_BLOCK_ROWS;
  while (BigInt(rows) < rowCount) rows *= 2;
  return rows;
}

/** Our own SQL: distinct units, and each column's total, clipped and scaled row by row; missing and not finite is zero. */
export function totalsQuery(table: CatalogueTable, unit: string, columns: readonly QueryColumn[]): EnforcedQuery {
  const sums = columns.map((column, i) => `CAST(coalesce(sum(${clipped(column)}), 0) AS BIGINT) AS s${i}`);
  const result = `SELECT CAST(count(DISTINCT ${quoted(unit)}) AS BIGINT) AS units, ${sums.join(', ')} FROM ${table.physical}`;
  return wholeNumbers(table, result, ['units', ...columns.map((_, i) => `s${i}`)]);
}

/**
 * Our own SQL: each column row by row, clipped and scaled as in the totals. Rows stand in the order of their unit, so a
 * row has the same number whenever it is asked for; `order` names what they are sorted by.
 */
export function rowsQuery(
  table: CatalogueTable,
  order: readonly string[],
  columns: readonly QueryColumn[],
): EnforcedQuery {
  const values = columns.map((column, i) => `CAST(${clipped(column)} AS BIGINT) AS s${i}`);
  const keys = [...order.map(quoted), ...columns.map((_, i) => `s${i}`)].join(', ');
  const result = `SELECT ${values.join(', ')} FROM ${table.physical} ORDER BY ${keys}`;
  return wholeNumbers(
    table,
    result,
    columns.map((_, i) => `s${i}`),
  );
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

function clipped({ column, decimals, low, high }: QueryColumn): string {
  const value = `CAST(${quoted(column)} AS DOUBLE)`;
  const scaled = `CAST(round(${value} * ${10 ** decimals}) AS HUGEINT)`;
  return `CASE WHEN isfinite(${value}) AND abs(${value}) < 1e15 THEN greatest(least(${scaled}, ${high}), ${low}) ELSE 0 END`;
}

function wholeNumbers(table: CatalogueTable, result: string, names: readonly string[]): EnforcedQuery {
  const whole = { kind: 'integer', bits: 64, isSigned: true } as const;
  return {
    setup: [],
    reads: [table.physical],
    result,
    outputs: names.map((name) => ({ name, type: whole, role: 'cell' })),
    certificates: [],
    summary: 'SELECT CAST(0 AS BIGINT) AS withheldCells',
    inWords: [],
    canonical: '',
  };
}

import { QUERY_BLOCK_ROWS, type QueryColumn } from '../../homomorphic/query.ts';
import type { CatalogueTable } from '../../query/catalogue.ts';
import type { EnforcedQuery } from '../../query/enforced.ts';

/** Digits after the point that are kept of a column of floating-point numbers. */
export const FLOAT_DECIMALS = 2;
/** Digits, before and after the point together, of the largest mean: four more are left for weights. */
const MEAN_DIGITS = 7;

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

/**
 * The columns as a mean is told of them: with as many digits more as leave room for weights. A mean lies within the same
 * bounds as its values, so bounds grow with the digits and with nothing else.
 */
export function meanColumns(columns: readonly QueryColumn[]): readonly QueryColumn[] {
  const most = columns.reduce((top, { low, high }) => {
    const magnitude = -low > high ? -low : high;
    return magnitude > top ? magnitude : top;
  }, 1n);
  const more = Math.max(0, MEAN_DIGITS - most.toString().length);
  const factor = 10n ** BigInt(more);
  return columns.map(({ column, decimals, low, high }) => ({
    column,
    decimals: decimals + more,
    low: low * factor,
    high: high * factor,
  }));
}

/**
 * Our own SQL: the fewest distinct units that have a value in each column, and each column's total, clipped and scaled
 * row by row; missing and not finite is zero. Units without a value do not count: a total over a column that few fill in
 * is about those few, however many rows there are.
 */
export function totalsQuery(table: CatalogueTable, unit: string, columns: readonly QueryColumn[]): EnforcedQuery {
  return numberOfEach(table, unit, columns, (column) => `coalesce(sum(${clipped(column)}), 0)`);
}

/** As `totalsQuery`, each column's mean over the values that are present, rounded to the column's digits. */
export function meansQuery(table: CatalogueTable, unit: string, columns: readonly QueryColumn[]): EnforcedQuery {
  return numberOfEach(table, unit, columns, (column) => {
    const count = `count(*) FILTER (WHERE ${present(column)})`;
    const total = `CAST(coalesce(sum(${clipped(column)}), 0) AS DOUBLE)`;
    return `CASE WHEN ${count} = 0 THEN 0 ELSE round(${total} / ${count}) END`;
  });
}

function numberOfEach(
  table: CatalogueTable,
  unit: string,
  columns: readonly QueryColumn[],
  numberOf: (column: QueryColumn) => string,
): EnforcedQuery {
  const units = columns.map((column) => `count(DISTINCT ${quoted(unit)}) FILTER (WHERE ${present(column)})`);
  const numbers = columns.map((column, i) => `CAST(${numberOf(column)} AS BIGINT) AS s${i}`);
  const result = `SELECT CAST(least(${units.join(', ')}) AS BIGINT) AS units, ${numbers.join(', ')} FROM ${table.physical}`;
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

const asDouble = (column: string): string => `CAST(${quoted(column)} AS DOUBLE)`;

/** Whether a row has a value that counts: neither missing nor infinite, nor too large for any bounds. */
function present({ column }: QueryColumn): string {
  return `isfinite(${asDouble(column)}) AND abs(${asDouble(column)}) < 1e15`;
}

function clipped(column: QueryColumn): string {
  const { decimals, low, high } = column;
  const scaled = `CAST(round(${asDouble(column.column)} * ${10 ** decimals}) AS HUGEINT)`;
  return `CASE WHEN ${present(column)} THEN greatest(least(${scaled}, ${high}), ${low}) ELSE 0 END`;
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

/** Noisy answers as temporary tables of the engine that computes with them: printed values, each with its type. */
import type { Cell } from '../../release/column-values.ts';
import type { DpAggregate } from '../../release/mechanisms/aggregate.ts';
import { BIGINT, DOUBLE, printType, type SqlType } from '../types.ts';
import { quoteText } from '../print.ts';
import { aggregateName } from './answer.ts';
import type { NoisyBlock } from './noisy-block.ts';

/** Which row of the noisy answer it is, counted from 0. */
export const ROW_NUMBER = 'rn';

export const noisyTable = (block: number): string => `temp."gb_n${block}"`;

/** Most characters that noisy tables may take as statements, together: half of what travels ahead of a job (MAX_SETUP_BYTES). */
export const MAX_NOISY_TEXT = 32 * 1024 * 1024;
/** Rows in one statement: the engine reads several short lists much faster than a long one. */
const ROWS_PER_STATEMENT = 1_000;

/**
 * The statements that fill the table of a block: its keys k0…, its aggregates a0…, and the number of the row. Without rows
 * it makes the table as the plan of a query needs it. Values are written as texts, and get their types once per column.
 */
export function fillNoisyTable(
  block: Pick<NoisyBlock, 'keys' | 'aggregates'>,
  index: number,
  rows: readonly (readonly Cell[])[],
): string[] {
  const types = [
    ...block.keys.map(({ type }) => type),
    ...block.aggregates.map((one) => cellType(one.aggregate)),
    BIGINT,
  ];
  const names = [...block.keys.map((_, i) => `k${i}`), ...block.aggregates.map((_, i) => aggregateName(i)), ROW_NUMBER];
  const columns = types.map((type, i) => `${typed(`c${i}`, type)} AS ${names[i] ?? ''}`).join(', ');
  const listed = (values: readonly (readonly Cell[])[]): string => {
    const printed = values.map((row) => `(${types.map((type, i) => textOf(row[i] ?? null, type)).join(',')})`);
    return `SELECT ${columns} FROM (VALUES ${printed.join(',')}) AS v(${types.map((_, i) => `c${i}`).join(', ')})`;
  };
  const table = `"gb_n${index}"`;
  if (rows.length === 0) return [`CREATE TEMP TABLE ${table} AS ${listed([types.map(() => null)])} WHERE false`];
  const numbered = rows.map((row, number) => [...row, BigInt(number)]);
  const parts = Array.from({ length: Math.ceil(numbered.length / ROWS_PER_STATEMENT) }, (_, part) =>
    listed(numbered.slice(part * ROWS_PER_STATEMENT, (part + 1) * ROWS_PER_STATEMENT)),
  );
  return parts.map((select, part) =>
    part === 0 ? `CREATE TEMP TABLE ${table} AS ${select}` : `INSERT INTO temp.${table} ${select}`,
  );
}

export function cellType({ kind }: DpAggregate): SqlType {
  return kind === 'count' || kind === 'countDistinct' ? BIGINT : DOUBLE;
}

/** The value that a text written by `textOf` stands for. */
function typed(column: string, type: SqlType): string {
  if (type.kind === 'date')
    return orEndless(column, type, LAST_DAY, `CAST(DATE '1970-01-01' + CAST(${column} AS INTEGER) AS DATE)`);
  if (type.kind === 'timestamp')
    return orEndless(column, type, LAST_MOMENT, `make_timestamp(CAST(${column} AS BIGINT))`);
  return `CAST(${column} AS ${printType(type)})`;
}

/** Infinite days and moments are the largest numbers, which the engine refuses to count with. */
const LAST_DAY = 2n ** 31n - 1n;
const LAST_MOMENT = 2n ** 63n - 1n;

function orEndless(column: string, type: SqlType, last: bigint, otherwise: string): string {
  const endless = ['', '-'].map((sign) => `WHEN '${sign}${last}' THEN CAST('${sign}infinity' AS ${printType(type)})`);
  return `CASE ${column} ${endless.join(' ')} ELSE ${otherwise} END`;
}

/** A released cell as a quoted text. Days and microseconds since 1970 stay numbers: not every moment has a text. */
function textOf(cell: Cell, type: SqlType): string {
  if (cell === null) return 'NULL';
  if (type.kind === 'decimal') return quoteText(decimalText(BigInt(cell), type.scale));
  // What a quoted constant cannot hold is a key that nobody can compute with; as a group it is there all the same.
  return quoteText(String(cell).replaceAll('\0', '\uFFFD'));
}

function decimalText(unscaled: bigint, scale: number): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const whole = digits.slice(0, digits.length - scale);
  return `${unscaled < 0n ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`;
}

import { quoteName, quoteText } from '../dataset/sql-text.ts';
import type { SqlType } from '../query/catalogue.ts';
import type { EnforcedQuery } from '../query/enforced.ts';
import { ROW_RANK } from '../query/layout.ts';
import type { ColumnKind } from '../sandbox/javascript/columns.ts';
import type { UnitPart } from '../sandbox/javascript/source.ts';
import type { ReadColumn, RowsRequest } from './javascript-rows.ts';

/**
 * Our own statements: only the named columns, cast to what code reads; rows of rank below the bound; and the number of the
 * unit within the part that is read when it is asked for, never its key or its hash. With one row per unit the position of the row is its unit's number, which saves a join.
 */
export function statementsOf(
  request: Pick<RowsRequest, 'table' | 'columns' | 'rowsPerUnit' | 'isSorted' | 'isNumbered'>,
  part: UnitPart,
): EnforcedQuery {
  const { table, columns, rowsPerUnit, isSorted } = request;
  const [unit] = table.units;
  if (unit === undefined) throw new RangeError('the table has no privacy unit');
  const hash = `t.${quoteName(unit.hash)}`;
  const rank = `t.${quoteName(ROW_RANK)}`;
  const conditions = [
    ...(rowsPerUnit === null ? [] : [`${rank} < ${Math.trunc(rowsPerUnit)}`]),
    ...(part.first === 0 ? [] : [`${hash} >= ${boundary(part.first, part.of)}`]),
    ...(part.end === part.of ? [] : [`${hash} < ${boundary(part.end, part.of)}`]),
  ];
  const bound = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  const values = columns.map((column, i) => `${expressionOf(column)} AS c${i}`);
  const isJoined = request.isNumbered && rowsPerUnit !== 1;
  const setup = isJoined
    ? [
        `CREATE TEMP TABLE units AS SELECT h, CAST(row_number() OVER () - 1 AS INTEGER) AS n FROM (SELECT DISTINCT ${hash} AS h FROM ${table.physical} AS t${bound})`,
      ]
    : [];
  const from = `${table.physical} AS t${isJoined ? ` JOIN units ON units.h = ${hash}` : ''}`;
  const order = isSorted ? ` ORDER BY ${[hash, ...(rowsPerUnit === null ? [] : [rank])].join(', ')}` : '';
  return {
    setup,
    result: `SELECT ${[...values, ...(isJoined ? ['units.n AS u'] : [])].join(', ')} FROM ${from}${bound}${order}`,
    outputs: [
      ...columns.map((column, i) => ({ name: `c${i}`, type: sentType(column.kind), role: 'cell' as const })),
      ...(isJoined ? [{ name: 'u', type: INTEGER, role: 'cell' as const }] : []),
    ],
    certificates: [],
    summary: 'SELECT CAST(NULL AS BIGINT)',
    inWords: [],
    canonical: '',
  };
}

/** Where a fraction of the keyed hashes' range begins, as a literal of their own type: the layout's hashes are 64 bits, even. */
const boundary = (numerator: number, of: number): string =>
  `${((BigInt(numerator) << 64n) / BigInt(of)).toString()}::UBIGINT`;

const INTEGER: SqlType = { kind: 'integer', bits: 32, isSigned: true };

function sentType(kind: ColumnKind): SqlType {
  switch (kind) {
    case 'float64':
      return { kind: 'double' };
    case 'boolean':
      return { kind: 'boolean' };
    case 'int32':
    case 'dictionary':
      return INTEGER;
  }
}

function expressionOf({ name, type, kind, texts, other }: ReadColumn): string {
  const column = `t.${quoteName(name)}`;
  if (kind === 'dictionary') {
    // No stored text holds a NUL, so a program's text that does is never found.
    const cases = texts
      .map((text, code) => (text.includes('\0') ? '' : ` WHEN ${quoteText(text)} THEN ${code}`))
      .join('');
    const rest = other === 'missing' ? 'NULL' : `CASE WHEN ${column} IS NULL THEN NULL ELSE ${texts.length} END`;
    return `CAST(${cases === '' ? rest : `CASE ${column}${cases} ELSE ${rest} END`} AS INTEGER)`;
  }
  switch (type.kind) {
    case 'date':
      return `CAST(${column} - DATE '1970-01-01' AS INTEGER)`;
    case 'timestamp':
    case 'timestampWithZone':
      return `(CAST(epoch_us(${column}) AS DOUBLE) / 1000)`;
    case 'boolean':
      return column;
    case 'integer':
    case 'decimal':
    case 'double':
    case 'float':
    case 'text':
    case 'interval':
      return `CAST(${column} AS ${kind === 'int32' ? 'INTEGER' : 'DOUBLE'})`;
  }
}

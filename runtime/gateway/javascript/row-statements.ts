import { quoteName, quoteText } from '../../dataset/sql-text.ts';
import type { SqlType } from '../../query/types.ts';
import type { EnforcedQuery } from '../../query/enforced.ts';
import { ROW_RANK } from '../../query/layout.ts';
import type { ColumnKind } from '../../sandbox/javascript/columns.ts';
import type { UnitPart } from '../../sandbox/javascript/source.ts';
import type { ReadColumn, RowsRequest } from './row-request.ts';

/**
 * Our own statements: only the named columns, cast to what code reads; rows of rank below the bound; and the number of the
 * unit within the part that is read when it is asked for, never its key or its hash. With one row per unit the position of the row is its unit's number, which saves a join.
 */
export function statementsOf(
  request: Pick<RowsRequest, 'table' | 'columns' | 'rowsPerUnit' | 'isSorted' | 'isNumbered'>,
  part: UnitPart,
): EnforcedQuery {
  const { table, columns, rowsPerUnit, isSorted } = request;
  const hash = hashOf(table);
  const bound = boundOf({ table, rowsPerUnit }, part);
  const values = columns.map((column, i) => `${expressionOf(column)} AS c${i}`);
  const isJoined = request.isNumbered && rowsPerUnit !== 1;
  const setup = isJoined
    ? [
        `CREATE TEMP TABLE units AS SELECT h, CAST(row_number() OVER () - 1 AS INTEGER) AS n FROM (SELECT DISTINCT ${hash} AS h FROM ${table.physical} AS t${bound})`,
      ]
    : [];
  const from = `${table.physical} AS t${isJoined ? ` JOIN units ON units.h = ${hash}` : ''}`;
  const order = isSorted ? ` ORDER BY ${[hash, ...(rowsPerUnit === null ? [] : [RANK])].join(', ')}` : '';
  return {
    ...PLAIN,
    setup,
    result: `SELECT ${[...values, ...(isJoined ? ['units.n AS u'] : [])].join(', ')} FROM ${from}${bound}${order}`,
    outputs: [
      ...columns.map((column, i) => ({ name: `c${i}`, type: sentType(column.kind), role: 'cell' as const })),
      ...(isJoined ? [{ name: 'u', type: INTEGER, role: 'cell' as const }] : []),
    ],
  };
}

/** The whole of a table's units. */
export const WHOLE: UnitPart = { first: 0, end: 1, of: 1 };

/** Our own statements say nothing of cells that are withheld. */
const PLAIN = { certificates: [], summary: 'SELECT CAST(NULL AS BIGINT)', inWords: [], canonical: '' } as const;

const RANK = `t.${quoteName(ROW_RANK)}`;

function hashOf({ units: [unit] }: RowsRequest['table']): string {
  if (unit === undefined) throw new RangeError('the table has no privacy unit');
  return `t.${quoteName(unit.hash)}`;
}

/** Which rows are read: those of the part, of each unit no more than the bound. */
function boundOf({ table, rowsPerUnit }: Pick<RowsRequest, 'table' | 'rowsPerUnit'>, part: UnitPart): string {
  const hash = hashOf(table);
  const conditions = [
    ...(rowsPerUnit === null ? [] : [`${RANK} < ${Math.trunc(rowsPerUnit)}`]),
    ...(part.first === 0 ? [] : [`${hash} >= ${boundary(part.first, part.of)}`]),
    ...(part.end === part.of ? [] : [`${hash} < ${boundary(part.end, part.of)}`]),
  ];
  return conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
}

/** Groups of rows: a column, and for some of the groups the keys by which its stored values are known. */
export interface StatedGroups {
  readonly column: ReadColumn | undefined;
  readonly keys: readonly (readonly [key: number, group: number])[];
}

type GroupedRequest = Pick<RowsRequest, 'table' | 'columns' | 'rowsPerUnit'>;

/** Rows and different units of each group in a part, as `g`, `n` and `u`; a group without rows is absent. */
export function countStatement(request: GroupedRequest, groups: StatedGroups, part: UnitPart): EnforcedQuery {
  const { setup, from, group } = groupedFrom(request, groups);
  const units = `CAST(count(DISTINCT ${hashOf(request.table)}) AS DOUBLE)`;
  return {
    ...PLAIN,
    setup,
    result: `SELECT ${group} AS g, CAST(count(*) AS DOUBLE) AS n, ${units} AS u FROM ${from}${boundOf(request, part)} GROUP BY ALL`,
    outputs: [
      { name: 'g', type: INTEGER, role: 'cell' },
      { name: 'n', type: { kind: 'double' }, role: 'cell' },
      { name: 'u', type: { kind: 'double' }, role: 'cell' },
    ],
  };
}

/** The rows of the groups that are named, group after group and in each by the units, with the number of the group last. */
export function groupedStatement(request: GroupedRequest, groups: StatedGroups, part: UnitPart): EnforcedQuery {
  const { columns, table } = request;
  const { setup, from, group } = groupedFrom(request, groups);
  // The code of a text that was joined is there already: no row is compared with each of thousands of texts.
  const isJoined = (column: ReadColumn): boolean => column === groups.column && column.kind === 'dictionary';
  const values = columns.map((column, i) => `${isJoined(column) ? 'groups.code' : expressionOf(column)} AS c${i}`);
  return {
    ...PLAIN,
    setup,
    result: `SELECT ${[...values, `${group} AS g`].join(', ')} FROM ${from}${boundOf(request, part)} ORDER BY ${group}, ${hashOf(table)}, ${RANK}`,
    outputs: [
      ...columns.map((column, i) => ({ name: `c${i}`, type: sentType(column.kind), role: 'cell' as const })),
      { name: 'g', type: INTEGER, role: 'cell' },
    ],
  };
}

/** Keys are joined, not compared one after the other: there may be thousands. Numbers of every kind are exact as doubles. */
function groupedFrom(
  { table }: GroupedRequest,
  { column, keys }: StatedGroups,
): { readonly setup: readonly string[]; readonly from: string; readonly group: string } {
  const from = `${table.physical} AS t`;
  if (column === undefined) return { setup: [], from, group: 'CAST(0 AS INTEGER)' };
  const { texts } = column;
  const isText = column.kind === 'dictionary';
  const [type, stored] = isText ? ['VARCHAR', `t.${quoteName(column.name)}`] : ['DOUBLE', expressionOf(column)];
  // A row joined twice would be in two groups. No stored text holds a NUL, so a key that does is never found.
  const rows = [...new Map(keys)].flatMap(([key, group]) => {
    if (!isText) return [`(${doubleText(key)}, ${Math.trunc(group)}, 0)`];
    const text = texts[key] ?? '\0';
    return text.includes('\0') ? [] : [`(${quoteText(text)}, ${Math.trunc(group)}, ${Math.trunc(key)})`];
  });
  const values = rows.length === 0 ? `(CAST(NULL AS ${type}), 0, 0)` : rows.join(', ');
  return {
    setup: [
      `CREATE TEMP TABLE groups AS SELECT k, CAST(g AS INTEGER) AS g, CAST(code AS INTEGER) AS code FROM (VALUES ${values}) AS v(k, g, code) WHERE k IS NOT NULL`,
    ],
    from: `${from} JOIN groups ON groups.k = CAST(${stored} AS ${type})`,
    group: 'groups.g',
  };
}

function doubleText(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError('a key is not a finite number');
  return `CAST('${value}' AS DOUBLE)`;
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

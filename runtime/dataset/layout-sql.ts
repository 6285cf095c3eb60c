/** The statements that make a layout file; pure text, so that it can be tested without an engine. */
import { FIXED_POINT, ROW_RANK, UNIT_HASH, type LayoutTable } from '../query/layout.ts';
import type { PrivacyUnit } from '../policy/model.ts';
import { DatasetError } from './dataset-error.ts';
import { clippedExpression, fixedPointExpression, fixedPointStep } from './fixed-point.ts';
import { sideColumns } from './layout-sides.ts';
import { contentOf, oneHotColumns, tagColumns } from './layout-tags.ts';
import { DATASET_LIMITS } from './limits.ts';
import type { StoredColumn } from './metadata.ts';
import { quoteName, quoteText } from './sql-text.ts';

/** A table of record as the layout maker sees it. */
export interface RecordTable {
  readonly name: string;
  readonly path: string;
  readonly columns: readonly StoredColumn[];
}

export interface LayoutStatements {
  readonly create: string;
  /** Each must yield no row; otherwise a join path leads to several units for one row. */
  readonly uniqueness: readonly { readonly sql: string; readonly table: string; readonly column: string }[];
}

const SOURCE = 's';
/**
 * Digest of all that the row holds, of columns that the policy does not name, too. INVARIANT: not its place in the file. A
 * version with one person more has other places for everybody, and nothing in it would be known again.
 */
const ROW = '"__gb_row"';
/** Where every row is its own unit: which of several rows alike it is. */
const TWIN = '"__gb_twin"';
const PLACE = '"__gb_place"';
const UNIT_KEY = '"__gb_key"';

/**
 * Statements for one table. `scope` is the printed row scope, null for all rows; `hashKeyHex` is the secret of the unit
 * hash, 32 bytes.
 */
export function layoutStatements(
  table: LayoutTable,
  records: readonly RecordTable[],
  scope: string | null,
  hashKeyHex: string,
): LayoutStatements {
  const record = recordOf(records, table.name);
  const columns = table.columns.map((name) => columnOf(record, name));
  if (columns.length === 0) throw new DatasetError('invalid-layout', `table \`${table.name}\`: no column is named`);
  const isDifferentiallyPrivate = table.maxRowsPerUnit !== null;
  if (isDifferentiallyPrivate && table.units.length > 1) {
    throw new DatasetError(
      'invalid-layout',
      `table \`${table.name}\`: differential privacy bounds the rows of one privacy unit, and the policy names ${table.units.length}`,
    );
  }
  const joins: string[] = [];
  const uniqueness: LayoutStatements['uniqueness'][number][] = [];
  const units = table.units.map((unit, i) => unitKey(unit, i, table, records, joins, uniqueness));
  const visible = columns.map((column) => `${visibleExpression(table, column)} AS ${quoteName(column.name)}`);
  const where = scope === null ? '' : ` WHERE ${scope}`;
  const isRowUnit = table.units.some((unit) => unit.columns.length === 0);
  // A digest of a row costs as much as a copy of it: only where it is looked at.
  const isDigested = table.units.length > 0 && (isRowUnit || table.isTagged);
  const content = contentOf(record.columns);
  const twin = `row_number() OVER (PARTITION BY ${content}) AS ${TWIN}`;
  const own = isDigested ? [`${content} AS ${ROW}`, ...(isRowUnit ? [twin] : [])] : [];
  // Counting rows alike puts them in another order than that of the file.
  const place = isRowUnit ? [`file_row_number AS ${PLACE}`] : [];
  const source = `read_parquet(${quoteText(record.path)}${isRowUnit ? ', file_row_number=true' : ''})`;
  const rows = `(SELECT ${['*', ...own, ...place].join(', ')} FROM ${source}${where})`;
  const from = `FROM ${rows} AS ${SOURCE}${joins.join('')}`;
  const helpers = [...(isDigested ? [ROW] : []), ...(isRowUnit ? [PLACE] : [])];
  const ranked = isDifferentiallyPrivate ? rankedRows(columns, units, helpers, { from, hashKeyHex }) : null;
  // Hashing costs far more than joining: a unit that has many rows is hashed once.
  const hashed = units.map(({ key, text }, i) => {
    const column = quoteName(UNIT_HASH(i));
    if (key === null) return { column: `${hashExpression(text, hashKeyHex)} AS ${column}`, join: '' };
    const once = `(SELECT k, ${hashExpression(text, hashKeyHex)} AS h FROM (SELECT DISTINCT ${key} AS k ${from}))`;
    return {
      column: `h${i}.h AS ${column}`,
      join: ` LEFT JOIN ${once} AS h${i} ON h${i}.k IS NOT DISTINCT FROM ${ranked === null ? key : `${SOURCE}.${UNIT_KEY}`}`,
    };
  });
  const kept = ranked === null ? helpers : [...helpers, quoteName(ROW_RANK)];
  const helping = kept.map((name) => `${SOURCE}.${name} AS ${name}`);
  const inner = `SELECT ${[...visible, ...helping, ...hashed.map(({ column }) => column)].join(', ')} ${ranked ?? from}${hashed.map(({ join }) => join).join('')}`;
  const fixed = isDifferentiallyPrivate ? fixedColumns(table, columns) : [];
  const rank =
    isDifferentiallyPrivate && ranked === null
      ? [
          rankColumn(
            columns.map(({ name }) => quoteName(name)),
            { key: quoteName(UNIT_HASH(0)), isMissing: units[0]?.key === null ? null : isNobody() },
            hashKeyHex,
          ),
        ]
      : [];
  // Ordered by rank, a scan of `rank < bound` reads only the first row groups.
  const order = isDifferentiallyPrivate ? ` ORDER BY ${quoteName(ROW_RANK)}` : isRowUnit ? ` ORDER BY ${PLACE}` : '';
  const select = [
    helpers.length === 0 ? '*' : `* EXCLUDE (${helpers.join(', ')})`,
    ...oneHotColumns(table),
    ...tagColumns(table, ROW),
    ...sideColumns(table, `SELECT ${visible.join(', ')} FROM ${rows} AS ${SOURCE}`),
    ...fixed,
    ...rank,
  ].join(', ');
  return { create: `CREATE TABLE ${quoteName(table.name)} AS SELECT ${select} FROM (${inner})${order}`, uniqueness };
}

function visibleExpression(table: LayoutTable, column: StoredColumn): string {
  const name = `${SOURCE}.${quoteName(column.name)}`;
  const bounds = Object.hasOwn(table.bounds, column.name) ? table.bounds[column.name] : undefined;
  if (bounds !== undefined) return clippedExpression(name, column.type, bounds);
  // One infinity or NaN would turn a whole sum into an oracle: they count as no value.
  const isFloating = column.type.kind === 'double' || column.type.kind === 'float';
  return isFloating ? `CASE WHEN isfinite(${name}) THEN ${name} END` : name;
}

function fixedColumns(table: LayoutTable, columns: readonly StoredColumn[]): string[] {
  return columns.flatMap(({ name, type }) => {
    const bounds = Object.hasOwn(table.bounds, name) ? table.bounds[name] : undefined;
    if (bounds === undefined) return [];
    // Clipped in single precision, a value can lie beyond bounds that single precision cannot hold.
    const clipped =
      type.kind === 'float'
        ? clippedExpression(`CAST(${quoteName(name)} AS DOUBLE)`, { kind: 'double' }, bounds)
        : quoteName(name);
    return [`${fixedPointExpression(clipped, fixedPointStep(type, bounds))} AS ${quoteName(FIXED_POINT(name))}`];
  });
}

/**
 * FROM of rows that have their rank already, with the unit's key; null where rows are ranked by the unit's hash. Sorting by a
 * short key before it is hashed costs half of sorting by the hash, and finds the hashes of neighbours in one place.
 */
function rankedRows(
  columns: readonly StoredColumn[],
  units: readonly UnitKey[],
  helpers: readonly string[],
  { from, hashKeyHex }: { readonly from: string; readonly hashKeyHex: string },
): string | null {
  const [unit] = units;
  if (unit === undefined || unit.key === null || !unit.isShort) return null;
  const own = columns.map(({ name }) => `${SOURCE}.${quoteName(name)}`);
  const kept = [...own, ...helpers.map((name) => `${SOURCE}.${name}`), `${unit.key} AS ${UNIT_KEY}`];
  return `FROM (SELECT ${[...kept, rankColumn(own, { key: unit.key, isMissing: `${unit.key} IS NULL` }, hashKeyHex)].join(', ')} ${from}) AS ${SOURCE}`;
}

/**
 * The row's rank within its unit. INVARIANT: it depends on nothing but the rows of its own unit (their content and the
 * key), so adding or removing another unit never changes which rows of this one are kept; that is what the sensitivity
 * bound rests on. A row number would break it.
 *
 * Rows whose unit is unknown (its key is missing, or the path to it ends nowhere) may be anybody's: as rows of one unit more
 * they would push each other out, so that one person moved twice as many as the bound. They get the last rank, which no
 * bound reaches, and count nowhere behind noise.
 */
function rankColumn(
  content: readonly string[],
  { key, isMissing }: { readonly key: string; readonly isMissing: string | null },
  hashKeyHex: string,
): string {
  const salt = BigInt(`0x${hashKeyHex.slice(0, 16)}`);
  const place = `row_number() OVER (PARTITION BY ${key} ORDER BY hash(${content.join(', ')}, ${salt}::UBIGINT)) - 1`;
  const rank = isMissing === null ? place : `CASE WHEN ${isMissing} THEN ${LAST_RANK} ELSE ${place} END`;
  return `CAST(${rank} AS UINTEGER) AS ${quoteName(ROW_RANK)}`;
}
const LAST_RANK = 2 ** 32 - 1;

/** Over the hash of the unit: whether it is that of a missing key. */
function isNobody(): string {
  return `${quoteName(UNIT_HASH(0))} = 0`;
}

/**
 * SHA-256 over key and text, cut to 64 bits. The key fills the head of the first block and is of fixed length; the cut
 * output cannot be extended, so the plain prefix construction is a sound keyed hash here. The text of a missing key is `n`,
 * and its hash 0: rows of nobody are told by that wherever units are counted.
 */
function hashExpression(text: string, hashKeyHex: string): string {
  return `CASE WHEN ${text} = 'n' THEN 0::UBIGINT ELSE CAST('0x' || left(sha256('${hashKeyHex}' || ${text}), 16) AS UBIGINT) END`;
}

interface UnitKey {
  /** What distinguishes units, over the rows; null when every row is its own unit. */
  readonly key: string | null;
  /** What is hashed: over the column `k` that holds `key`, or over the rows when there is none. */
  readonly text: string;
  /** The key is a few bytes of fixed length. */
  readonly isShort?: true;
}

/** Types whose equal values have equal texts (as 0.0 and -0.0, or one month and thirty days, have not). */
const PLAIN_KEYS: ReadonlySet<string> = new Set(['integer', 'text', 'boolean', 'date']);

function unitKey(
  unit: PrivacyUnit,
  index: number,
  table: LayoutTable,
  records: readonly RecordTable[],
  joins: string[],
  uniqueness: LayoutStatements['uniqueness'][number][],
): UnitKey {
  if (unit.columns.length === 0) {
    if (unit.via.length > 0)
      throw new DatasetError('invalid-layout', `table \`${table.name}\`: a join path needs unit columns at its end`);
    return {
      key: null,
      text: `('r' || ${quoteText(table.name)} || '#' || CAST(${SOURCE}.${ROW} AS VARCHAR) || '#' || CAST(${SOURCE}.${TWIN} AS VARCHAR))`,
    };
  }
  if (unit.via.length > DATASET_LIMITS.maxJoinSteps) {
    throw new DatasetError(
      'invalid-layout',
      `table \`${table.name}\`: a join path of ${unit.via.length} steps, at most ${DATASET_LIMITS.maxJoinSteps} are allowed`,
    );
  }
  let record = recordOf(records, table.name);
  let alias = SOURCE;
  unit.via.forEach((step, i) => {
    const from = columnOf(record, step.from);
    const next = recordOf(records, step.table);
    const to = columnOf(next, step.to);
    const nextAlias = `j${index}_${i}`;
    const path = quoteText(next.path);
    joins.push(
      ` LEFT JOIN read_parquet(${path}) AS ${nextAlias} ON ${alias}.${quoteName(from.name)} = ${nextAlias}.${quoteName(to.name)}`,
    );
    const key = quoteName(to.name);
    uniqueness.push({
      sql: `SELECT 1 FROM read_parquet(${path}) WHERE ${key} IS NOT NULL GROUP BY ${key} HAVING count(*) > 1 LIMIT 1`,
      table: next.name,
      column: to.name,
    });
    record = next;
    alias = nextAlias;
  });
  const columns = unit.columns.map((name) => columnOf(record, name));
  const [only] = columns;
  if (columns.length === 1 && only !== undefined && PLAIN_KEYS.has(only.type.kind))
    return {
      key: `${alias}.${quoteName(only.name)}`,
      text: `coalesce('k' || CAST(k AS VARCHAR), 'n')`,
      ...(only.type.kind === 'integer' || only.type.kind === 'date' ? { isShort: true } : {}),
    };
  const parts = columns.map(({ name }) => `CAST(${alias}.${quoteName(name)} AS VARCHAR)`);
  // Lengths keep ('ab', 'c') and ('a', 'bc') apart. One missing part makes the unit unknown: all such rows share a hash, see isNobody.
  const joined =
    parts.length === 1
      ? (parts[0] ?? '')
      : parts.map((part) => `(CAST(length(${part}) AS VARCHAR) || ':' || ${part})`).join(' || ');
  return { key: `coalesce('k' || ${joined}, 'n')`, text: 'k' };
}

function recordOf(records: readonly RecordTable[], name: string): RecordTable {
  const found = records.find((record) => record.name === name);
  if (found === undefined) throw new DatasetError('invalid-layout', `table \`${name}\` is not in the dataset`);
  return found;
}

function columnOf(record: RecordTable, name: string): StoredColumn {
  const found = record.columns.find((column) => column.name === name);
  if (found === undefined)
    throw new DatasetError('invalid-layout', `column \`${name}\` is not in table \`${record.name}\``);
  return found;
}

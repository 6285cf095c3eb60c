import { DEFAULT_RUN_LIMITS, runEnforced } from '../dataset/run-enforced.ts';
import { quoteName, quoteText } from '../dataset/sql-text.ts';
import { linkOf, WorkerFault } from '../dataset/worker-link.ts';
import type { OpenDataset } from '../job/prepare-sql.ts';
import type { CatalogueColumn, CatalogueTable, SqlType } from '../query/catalogue.ts';
import type { EnforcedQuery } from '../query/enforced.ts';
import { ROW_RANK } from '../query/layout.ts';
import type { ColumnBatch as TableBatch, ColumnData as TableColumn } from '../release/columns.ts';
import type { ColumnBatch, ColumnData, ColumnKind, ColumnSpec } from '../sandbox/javascript/columns.ts';
import { javascriptLimits } from '../sandbox/javascript/limits.ts';
import type { ColumnSource, GroupKey, UnitPart } from '../sandbox/javascript/source.ts';
import type { WorkerPool } from '../sandbox/pool.ts';

/** A column as code reads it, and the texts that it may tell apart. */
export interface ReadColumn extends ColumnSpec {
  readonly type: SqlType;
  /** Codes are positions in this list; any other text is `other`. */
  readonly texts: readonly string[];
  /** What a text outside of the list becomes: missing, or the code after the last one. */
  readonly other: 'missing' | 'unlisted';
}

export interface RowsRequest {
  readonly pool: WorkerPool;
  readonly party: string;
  readonly dataset: OpenDataset;
  readonly table: CatalogueTable;
  readonly columns: readonly ReadColumn[];
  /** Rows of a unit that are read at most, chosen by the layout's rank; null reads all. */
  readonly rowsPerUnit: number | null;
  /** Whether rows come unit by unit in an order that depends on each unit's own rows alone. */
  readonly isSorted: boolean;
  readonly signal: AbortSignal;
}

/** Values that are kept between rounds instead of being read again, at most. */
const KEPT_VALUES = 8_000_000;
/** Values (rows × columns, and the unit) that one part of a table should have, so that a job holds no more at one time. */
const PART_VALUES = 4_000_000;
/** What the engine may use for one part; half a GiB for the whole SQL worker then. */
const ENGINE_MIB = 384;
/** Parts of the largest table. */
const MAX_PARTS = 256;

/** The size of a table to the next lower power of two: what block numbers and predicted errors may rest on. */
export function roughly(rows: number): number {
  return rows < 1 ? 1 : 2 ** Math.floor(Math.log2(rows));
}

/**
 * In how many parts a table is read by a job that holds rows or wants them sorted. INVARIANT: it rests on the magnitude of the
 * table alone, because the parts decide which units can share a block.
 */
export function partsFor(rows: number, columns: number): number {
  return Math.max(1, Math.min(MAX_PARTS, Math.ceil((1.5 * roughly(rows) * (columns + 1)) / PART_VALUES)));
}

/**
 * The rows of a table for code, read by a jailed SQL worker with statements of our own and handed on batch by batch: what is in
 * memory at once is a few batches, unless the table is small enough to be kept for the next round. A large table is read part by
 * part where the engine would have to hold it; parts follow the order of the units, so together they are sorted too.
 *
 * INVARIANT: nothing that describes the whole table goes to the code. A dictionary of the texts that occur would tell every
 * block about the rows of all others, so codes come from lists that are public or the program's own.
 */
export function rowSource(request: RowsRequest): ColumnSource {
  const { columns, table, isSorted, rowsPerUnit } = request;
  const rows = Number(table.rowCount);
  const parts = partsFor(rows, columns.length);
  const isKept = rows * (columns.length + 1) <= KEPT_VALUES;
  let kept: readonly ColumnBatch[] | null = null;
  async function* batches(part?: UnitPart): AsyncGenerator<ColumnBatch, void, void> {
    if (part !== undefined) {
      yield* readRows(request, part);
      return;
    }
    if (kept !== null) {
      yield* kept;
      return;
    }
    const collected: ColumnBatch[] = [];
    // A sort and the numbers of units both hold what they work on; a plain scan holds nothing.
    const isHolding = isSorted || rowsPerUnit !== 1;
    for await (const batch of isHolding && parts > 1 ? inParts(request, parts) : readRows(request, WHOLE)) {
      if (isKept) collected.push(batch);
      yield batch;
    }
    if (isKept) kept = collected;
  }
  return {
    columns: columns.map(({ name, kind, isNullable }) => ({ name, kind, isNullable })),
    dictionaries: new Map(columns.filter(({ kind }) => kind === 'dictionary').map(({ name, texts }) => [name, texts])),
    // Every unit has a row, so there are at most as many.
    units: Math.max(1, rows),
    parts,
    batches,
  };
}

const WHOLE: UnitPart = { first: 0, end: 1, of: 1 };

/** All rows, part after part; units of later parts are numbered on. */
async function* inParts(request: RowsRequest, of: number): AsyncGenerator<ColumnBatch, void, void> {
  let first = 0;
  for (let part = 0; part < of; part += 1) {
    let next = first;
    for await (const batch of readRows(request, { first: part, end: part + 1, of })) {
      const { unit } = batch;
      for (let i = 0; unit !== undefined && i < batch.rows; i += 1) {
        unit[i] = (unit[i] ?? 0) + first;
        next = Math.max(next, (unit[i] ?? 0) + 1);
      }
      yield batch;
    }
    first = next;
  }
}

async function* readRows(request: RowsRequest, part: UnitPart): AsyncGenerator<ColumnBatch, void, void> {
  const { pool, party, dataset, columns, signal } = request;
  const query = statementsOf(request, part);
  const guestPath = `/data/${dataset.database}.duckdb`;
  const worker = await pool.lease({ kind: 'sql', party, mounts: [{ hostPath: dataset.file, guestPath }], signal });
  let isClean = false;
  try {
    const path = worker.isolation === 'process' ? dataset.file : guestPath;
    const run = runEnforced(linkOf(worker), [{ alias: dataset.database, path }], query, {
      limits: { ...DEFAULT_RUN_LIMITS, engine: { ...DEFAULT_RUN_LIMITS.engine, memoryMiB: ENGINE_MIB } },
      signal,
    });
    let first = 0;
    for await (const batch of run.batches()) {
      yield decoded(batch, columns, first);
      first += batch.rowCount;
    }
    if (run.outcome.kind !== 'done') throw new WorkerFault('the rows could not be read');
    isClean = true;
  } finally {
    if (isClean) worker.release();
    else await worker.destroy();
  }
}

/**
 * Our own statements: only the named columns, cast to what code reads; rows of rank below the bound; and the number of the
 * unit within the part that is read, never its key or its hash. With one row per unit the position of the row is its unit's number, which saves a join.
 */
export function statementsOf(
  request: Pick<RowsRequest, 'table' | 'columns' | 'rowsPerUnit' | 'isSorted'>,
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
  const isNumbered = rowsPerUnit !== 1;
  const setup = isNumbered
    ? [
        `CREATE TEMP TABLE units AS SELECT h, CAST(row_number() OVER () - 1 AS INTEGER) AS n FROM (SELECT DISTINCT ${hash} AS h FROM ${table.physical} AS t${bound})`,
      ]
    : [];
  const from = `${table.physical} AS t${isNumbered ? ` JOIN units ON units.h = ${hash}` : ''}`;
  const order = isSorted ? ` ORDER BY ${[hash, ...(rowsPerUnit === null ? [] : [rank])].join(', ')}` : '';
  return {
    setup,
    result: `SELECT ${[...values, ...(isNumbered ? ['units.n AS u'] : [])].join(', ')} FROM ${from}${bound}${order}`,
    outputs: [
      ...columns.map((column, i) => ({ name: `c${i}`, type: sentType(column.kind), role: 'cell' as const })),
      ...(isNumbered ? [{ name: 'u', type: INTEGER, role: 'cell' as const }] : []),
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

/** How a column reaches code; undefined for a type that has no form there. Dates are days, timestamps milliseconds since 1970. */
export function kindOfType(type: SqlType): ColumnKind | undefined {
  switch (type.kind) {
    case 'boolean':
      return 'boolean';
    case 'date':
      return 'int32';
    case 'integer':
      return type.bits < 32 || (type.bits === 32 && type.isSigned) ? 'int32' : 'float64';
    case 'decimal':
    case 'double':
    case 'float':
    case 'timestamp':
    case 'timestampWithZone':
      return 'float64';
    case 'text':
      return 'dictionary';
    case 'interval':
      return undefined;
  }
}

/** The values that the policy itself lists for a text column; undefined when it lists none. */
export function declaredTexts(column: CatalogueColumn): readonly string[] | undefined {
  for (const { values } of column.grants) {
    if (!Array.isArray(values)) continue;
    const listed = values as readonly { readonly kind: string; readonly value?: unknown; readonly text?: string }[];
    return listed.map((literal) => (literal.kind === 'number' ? (literal.text ?? '') : String(literal.value)));
  }
  return undefined;
}

/** Texts among the keys of a group. */
export const textKeys = (keys: readonly GroupKey[]): readonly string[] => keys.filter((key) => typeof key === 'string');

function decoded(batch: TableBatch, columns: readonly ReadColumn[], first: number): ColumnBatch {
  const rows = batch.rowCount;
  if (rows > javascriptLimits.batchRows) throw new WorkerFault('a batch has too many rows');
  const unit = batch.columns[columns.length];
  return {
    rows,
    columns: columns.map(({ kind }, i) => columnOf(batch.columns[i], kind, rows)),
    unit:
      unit === undefined
        ? Int32Array.from({ length: rows }, (_, i) => first + i)
        : (columnOf(unit, 'int32', rows).values as Int32Array),
  };
}

function columnOf(data: TableColumn | undefined, kind: ColumnKind, rows: number): ColumnData {
  if (data === undefined) throw new WorkerFault('a batch lacks a column');
  const validity = bytesOf(data.validity, rows);
  switch (kind) {
    case 'float64':
      return { values: new Float64Array(aligned(data.values, rows * 8)), validity };
    case 'int32':
    case 'dictionary':
      return { values: new Int32Array(aligned(data.values, rows * 4)), validity };
    case 'boolean':
      return { values: Int8Array.from(bytesOf(data.values, rows) ?? []), validity };
  }
}

/** One byte per bit; undefined for no bitmap. */
function bytesOf(bitmap: Uint8Array | null, rows: number): Uint8Array | undefined {
  if (bitmap === null) return undefined;
  const bytes = new Uint8Array(rows);
  for (let i = 0; i < rows; i++) bytes[i] = ((bitmap[i >> 3] ?? 0) >> (i & 7)) & 1;
  return bytes;
}

/** A copy at an address that any typed array can view; the batch's own buffer is used again by the channel. */
function aligned(values: Uint8Array, size: number): ArrayBuffer {
  if (values.byteLength < size) throw new WorkerFault('a column is shorter than its batch');
  return Uint8Array.from(values.subarray(0, size)).buffer;
}

import type { OpenDataset } from '../job/sql-engine.ts';
import type { CatalogueColumn, CatalogueTable, SqlType } from '../query/catalogue.ts';
import type { ColumnBatch, ColumnKind, ColumnSpec } from '../sandbox/javascript/columns.ts';
import type { ColumnSource, GroupKey, UnitPart } from '../sandbox/javascript/source.ts';
import type { WorkerPool } from '../sandbox/pool.ts';
import { groupedRows } from './javascript-grouped-rows.ts';
import { decodeRows } from './javascript-row-batches.ts';
import { engineBatches, foldRows } from './javascript-row-engine.ts';
import { statementsOf, WHOLE } from './javascript-row-statements.ts';

/** A column as code reads it, and the texts that it may tell apart. */
export interface ReadColumn extends ColumnSpec {
  readonly type: SqlType;
  /** Codes are positions in this list; any other text is `other`. */
  readonly texts: readonly string[];
  /** What a text outside of the list becomes: missing, or the code after the last one. */
  readonly other: 'missing' | 'unlisted';
}

/** What is asked of the catalogue's table: its name in the engine, its size, and the hash of its first privacy unit. */
export type RowsTable = Pick<CatalogueTable, 'physical' | 'rowCount'> & {
  readonly units: readonly Pick<CatalogueTable['units'][number], 'hash'>[];
};

export interface RowsRequest {
  readonly pool: WorkerPool;
  readonly party: string;
  readonly dataset: Pick<OpenDataset, 'file' | 'database'>;
  readonly table: RowsTable;
  readonly columns: readonly ReadColumn[];
  /** Rows of a unit that are read at most, chosen by the layout's rank; null reads all. */
  readonly rowsPerUnit: number | null;
  /** Whether rows come unit by unit in an order that depends on each unit's own rows alone. */
  readonly isSorted: boolean;
  /** Whether each row says whose it is; without, the bound on the rows of a unit is all that is known of units. */
  readonly isNumbered: boolean;
  /** Whether the job reads the rows once, so that nothing is won by keeping them. */
  readonly isReadOnce?: boolean;
  readonly signal: AbortSignal;
}

/** Values that are kept between rounds instead of being read again, at most. */
const KEPT_VALUES = 8_000_000;
/** Values (rows × columns, and the unit) that one part of a table should have, so that a job holds no more at one time. */
const PART_VALUES = 4_000_000;
/** Rows of a table, roughly, from which on a kernel goes to them: that costs a fresh worker afterwards. */
const FOLD_ROWS = 2 ** 20;
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
  return partsOfValues(1.5 * roughly(rows) * (columns + 1));
}

/** In how many parts that many values are read. */
export function partsOfValues(values: number): number {
  return Math.max(1, Math.min(MAX_PARTS, Math.ceil(values / PART_VALUES)));
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
  const { columns, table, isSorted, isNumbered, rowsPerUnit } = request;
  const rows = Number(table.rowCount);
  const parts = partsFor(rows, columns.length);
  const isKept = rows * (columns.length + 1) <= KEPT_VALUES;
  const isFolding = !isSorted && !isNumbered && roughly(rows) >= FOLD_ROWS && (!isKept || request.isReadOnce === true);
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
    const isHolding = isSorted || (isNumbered && rowsPerUnit !== 1);
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
    ...(rowsPerUnit === null ? {} : { boundedRowsPerUnit: rowsPerUnit }),
    parts,
    batches,
    grouped: (groupBy) => groupedRows(request, groupBy),
    ...(isFolding ? { fold: (kernel) => foldRows(request, kernel) } : {}),
  };
}

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
  let first = 0;
  for await (const batch of engineBatches(request, statementsOf(request, part))) {
    yield decodeRows(batch, request, first);
    first += batch.rowCount;
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

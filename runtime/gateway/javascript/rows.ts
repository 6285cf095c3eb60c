import type { CatalogueColumn } from '../../query/catalogue.ts';
import type { SqlType } from '../../query/types.ts';
import type { ColumnBatch, ColumnKind } from '../../sandbox/javascript/columns.ts';
import type { ColumnSource, GroupKey, UnitPart } from '../../sandbox/javascript/source.ts';
import { groupedRows } from './grouped-rows.ts';
import { decodeRows } from './row-batches.ts';
import { engineBatches, foldRows } from './row-engine.ts';
import { partsFor, roughly, type RowsRequest } from './row-request.ts';
import { statementsOf, WHOLE } from './row-statements.ts';

/** Values that are kept between rounds instead of being read again, at most. */
const KEPT_VALUES = 8_000_000;
/** Rows of a table, roughly, from which on a kernel goes to them: that costs a fresh worker afterwards. */
const FOLD_ROWS = 2 ** 20;
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

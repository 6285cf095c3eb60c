/** Puts rows into an order that depends on their values alone. */
import { batchFromRows, rowsOf, type Cell } from './column-values.ts';
import type { ColumnBatch, Schema } from './columns.ts';

/** All rows of the batches as one batch, sorted column by column; nulls last. */
export function sortedBatch(schema: Schema, batches: readonly ColumnBatch[]): readonly ColumnBatch[] {
  const rows = batches.flatMap((batch) => rowsOf(schema, batch));
  if (rows.length === 0) return [];
  return [batchFromRows(schema, rows.toSorted(compareRows))];
}

/** Compares rows cell by cell; nulls last. Cells of one column have one type. */
export function compareRows(a: readonly Cell[], b: readonly Cell[]): number {
  for (const [i, cell] of a.entries()) {
    const order = compareCells(cell, b[i] ?? null);
    if (order !== 0) return order;
  }
  return 0;
}

function compareCells(a: Cell, b: Cell): number {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  return a < b ? -1 : 1;
}

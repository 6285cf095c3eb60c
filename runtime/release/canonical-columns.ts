/**
 * Copies checked columns so that equal values have equal bytes and nothing else travels along.
 *
 * The attack prevented: a worker that is in a consumer's hands writes data into bytes that mean nothing (under nulls, in
 * padding bits, in NaN payloads, in the sign of zero, in text that no row refers to) and a client reads them back.
 */
import { cellAt, columnFromCells, columnOf, type Cell } from './column-values.ts';
import { unreachable, type ColumnBatch, type ColumnData, type ColumnType, type Schema } from './columns.ts';

/** A canonical copy, and how many cells became null because they were not finite. */
export interface CanonicalColumn {
  readonly data: ColumnData;
  readonly notFinite: number;
}

/**
 * Copies the rows `keep` of a checked batch in canonical form. `hide(column, row)` turns a cell into null. Infinities and
 * NaN become null: they are what an overflow oracle reads, and no honest released number needs them.
 */
export function canonicalColumns(
  schema: Schema,
  batch: ColumnBatch,
  keep: readonly number[],
  hide: (column: number, row: number) => boolean,
): readonly CanonicalColumn[] {
  return schema.map((column, index) => {
    const data = columnOf(batch, index);
    let notFinite = 0;
    const cells = keep.map((row): Cell => {
      if (hide(index, row)) return null;
      const cell = cellAt(column.type, data, row);
      if (cell === null || isFinite(column.type, cell)) return cell;
      notFinite++;
      return null;
    });
    return { data: columnFromCells(column.type, cells), notFinite };
  });
}

/** A canonical copy of a whole checked batch; cells that are not finite become null. */
export function canonicalBatch(schema: Schema, batch: ColumnBatch): ColumnBatch {
  const keep = Array.from({ length: batch.rowCount }, (_, row) => row);
  return {
    rowCount: batch.rowCount,
    columns: canonicalColumns(schema, batch, keep, () => false).map((column) => column.data),
  };
}

// DuckDB spells infinite dates and timestamps as the extreme integers; year 1 to 9999 is what every client can print.
const FIRST_DAY = -719_162;
const LAST_DAY = 2_932_896;
const MICROS_PER_DAY = 86_400_000_000n;
const FIRST_MICROS = BigInt(FIRST_DAY) * MICROS_PER_DAY;
const LAST_MICROS = BigInt(LAST_DAY + 1) * MICROS_PER_DAY - 1n;

function isFinite(type: ColumnType, cell: Exclude<Cell, null>): boolean {
  switch (type.kind) {
    case 'float64':
      return Number.isFinite(cell);
    case 'date32':
      return typeof cell === 'number' && cell >= FIRST_DAY && cell <= LAST_DAY;
    case 'timestampMicros':
      return typeof cell === 'bigint' && cell >= FIRST_MICROS && cell <= LAST_MICROS;
    case 'bool':
    case 'int32':
    case 'int64':
    case 'decimal128':
    case 'utf8':
      return true;
    default:
      return unreachable(type);
  }
}

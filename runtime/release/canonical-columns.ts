/**
 * Copies checked columns so that equal values have equal bytes and nothing else travels along.
 *
 * The attack prevented: a worker that is in a consumer's hands writes data into bytes that mean nothing (under nulls, in
 * padding bits, in NaN payloads, in the sign of zero, in text that no row refers to) and a client reads them back.
 */
import { cellReader, columnFromCells, columnOf, type Cell } from './column-values.ts';
import { unreachable, viewOf, type ColumnBatch, type ColumnData, type ColumnType, type Schema } from './columns.ts';

/** A canonical copy, and how many cells became null because they were not finite. */
export interface CanonicalColumn {
  readonly data: ColumnData;
  readonly notFinite: number;
}

/** Which rows to copy and which of their cells become null; `null` copies every row as it is. */
export interface Selection {
  readonly keep: readonly number[];
  readonly hides: (column: number, row: number) => boolean;
}

/**
 * Copies a checked batch, or a selection of it, in canonical form. Infinities and NaN become null: they are what an overflow
 * oracle reads, and no honest released number needs them.
 */
export function canonicalColumns(
  schema: Schema,
  batch: ColumnBatch,
  selection: Selection | null,
): readonly CanonicalColumn[] {
  return schema.map((column, index) => {
    const data = columnOf(batch, index);
    const whole = selection === null ? wholeColumn(column.type, data, batch.rowCount) : null;
    if (whole !== null) return { data: whole, notFinite: 0 };
    const read = cellReader(column.type, data);
    const rows = selection?.keep ?? Array.from({ length: batch.rowCount }, (_, row) => row);
    let notFinite = 0;
    const cells = rows.map((row): Cell => {
      if (selection?.hides(index, row) === true) return null;
      const cell = read(row);
      if (cell === null || isFinite(column.type, cell)) return cell;
      notFinite++;
      return null;
    });
    return { data: columnFromCells(column.type, cells), notFinite };
  });
}

/** A canonical copy of a whole checked batch; cells that are not finite become null. */
export function canonicalBatch(schema: Schema, batch: ColumnBatch): ColumnBatch {
  return { rowCount: batch.rowCount, columns: canonicalColumns(schema, batch, null).map((column) => column.data) };
}

/**
 * The fast way for a column without nulls and of a type whose bytes are canonical as they are, or nearly so; `null` when it
 * must be rebuilt cell by cell. A checked column without nulls has no bytes that no row refers to.
 */
function wholeColumn(type: ColumnType, { validity, values, offsets }: ColumnData, rowCount: number): ColumnData | null {
  if (validity !== null) return null;
  switch (type.kind) {
    case 'int32':
    case 'int64':
    case 'decimal128':
      return { validity: null, values: values.slice(), offsets: null };
    case 'utf8':
      return { validity: null, values: values.slice(), offsets: offsets?.slice() ?? null };
    case 'float64': {
      const copy = values.slice();
      const view = viewOf(copy);
      for (let row = 0; row < rowCount; row++) {
        const value = view.getFloat64(row * 8, true);
        if (!Number.isFinite(value)) return null;
        if (value === 0) view.setFloat64(row * 8, 0, true);
      }
      return { validity: null, values: copy, offsets: null };
    }
    case 'bool':
    case 'date32':
    case 'timestampMicros':
      return null;
    default:
      return unreachable(type);
  }
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

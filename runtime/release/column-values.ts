/** Reading, building and selecting rows of column batches. Values cross as plain JavaScript values. */
import {
  bitAt,
  bitmapBytes,
  isValid,
  readInt128,
  unreachable,
  viewOf,
  writeInt128,
  type ColumnBatch,
  type ColumnData,
  type ColumnType,
  type Schema,
} from './columns.ts';

/**
 * One value of a column: `boolean` for bool, `number` for int32, float64 and date32, `bigint` for int64, timestampMicros
 * and decimal128 (unscaled), `string` for utf8, `null` for no value.
 */
export type Cell = boolean | number | bigint | string | null;

/** Reads the values of one column; made once per column, because a view per cell is what reading would cost most. */
export function cellReader(type: ColumnType, data: ColumnData): (row: number) => Cell {
  const { values, offsets } = data;
  const view = viewOf(values);
  const unlessNull =
    (read: (row: number) => Cell): ((row: number) => Cell) =>
    (row) =>
      isValid(data, row) ? read(row) : null;
  switch (type.kind) {
    case 'bool':
      return unlessNull((row) => bitAt(values, row));
    case 'int32':
    case 'date32':
      return unlessNull((row) => view.getInt32(row * 4, true));
    case 'int64':
    case 'timestampMicros':
      return unlessNull((row) => view.getBigInt64(row * 8, true));
    case 'float64':
      return unlessNull((row) => view.getFloat64(row * 8, true));
    case 'decimal128':
      return unlessNull((row) => readInt128(view, row * 16));
    case 'utf8':
      return unlessNull((row) => TEXT_DECODER.decode(values.subarray(offsets?.[row] ?? 0, offsets?.[row + 1] ?? 0)));
    default:
      return unreachable(type);
  }
}

/** All rows of a batch as arrays of cells; for tests, the command line and small results. */
export function rowsOf(schema: Schema, batch: ColumnBatch): Cell[][] {
  const readers = schema.map((column, i) => cellReader(column.type, columnOf(batch, i)));
  return Array.from({ length: batch.rowCount }, (_, row) => readers.map((read) => read(row)));
}

/** Builds a batch from rows; throws `TypeError` or `RangeError` when a cell does not fit its column. */
export function batchFromRows(schema: Schema, rows: readonly (readonly Cell[])[]): ColumnBatch {
  return {
    rowCount: rows.length,
    columns: schema.map((column, i) =>
      columnFromCells(
        column.type,
        rows.map((row) => row[i] ?? null),
      ),
    ),
  };
}

/** Builds one column from cells, in canonical form; throws when a cell does not fit the type. */
export function columnFromCells(type: ColumnType, cells: readonly Cell[]): ColumnData {
  const validity = validityOf(cells);
  const rowCount = cells.length;
  switch (type.kind) {
    case 'utf8': {
      const texts = cells.map((cell) => TEXT_ENCODER.encode(cell === null ? '' : expectType(cell, 'string')));
      const offsets = new Int32Array(rowCount + 1);
      texts.forEach((text, i) => (offsets[i + 1] = (offsets[i] ?? 0) + text.length));
      const values = new Uint8Array(offsets[rowCount] ?? 0);
      texts.forEach((text, i) => values.set(text, offsets[i] ?? 0));
      return { validity, values, offsets };
    }
    case 'bool': {
      const values = new Uint8Array(bitmapBytes(rowCount));
      cells.forEach((cell, i) => {
        if (cell !== null && expectType(cell, 'boolean')) setBit(values, i);
      });
      return { validity, values, offsets: null };
    }
    case 'int32':
    case 'date32':
      return fixed(validity, cells, 4, (view, at, cell) => {
        const value = expectType(cell, 'number');
        if (value !== (value | 0)) throw new RangeError('a cell does not fit 32 bits');
        view.setInt32(at, value, true);
      });
    case 'int64':
    case 'timestampMicros':
      return fixed(validity, cells, 8, (view, at, cell) => {
        const value = expectType(cell, 'bigint');
        if (value !== BigInt.asIntN(64, value)) throw new RangeError('a cell does not fit 64 bits');
        view.setBigInt64(at, value, true);
      });
    case 'float64':
      return fixed(validity, cells, 8, (view, at, cell) => view.setFloat64(at, expectType(cell, 'number') + 0, true));
    case 'decimal128': {
      const limit = 10n ** BigInt(type.precision);
      return fixed(validity, cells, 16, (view, at, cell) => {
        const value = expectType(cell, 'bigint');
        if (value >= limit || value <= -limit) throw new RangeError('a cell exceeds the precision of its column');
        writeInt128(view, at, value);
      });
    }
    default:
      return unreachable(type);
  }
}

/** The buffers of column `index`; throws when there is none. */
export function columnOf(batch: ColumnBatch, index: number): ColumnData {
  const data = batch.columns[index];
  if (data === undefined) throw new RangeError(`a batch has no column ${index}`);
  return data;
}

/** Sets bit `index`, least significant bit of each byte first. */
export function setBit(bitmap: Uint8Array, index: number): void {
  bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) | (1 << (index & 7));
}

const TEXT_ENCODER = new TextEncoder();
const TEXT_DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

interface TypeNames {
  readonly boolean: boolean;
  readonly number: number;
  readonly bigint: bigint;
  readonly string: string;
}

function expectType<Name extends keyof TypeNames>(cell: Cell, name: Name): TypeNames[Name] {
  if (typeof cell !== name) throw new TypeError(`a cell should be a ${name} and is a ${typeof cell}`);
  return cell as TypeNames[Name];
}

function validityOf(cells: readonly Cell[]): Uint8Array | null {
  if (cells.every((cell) => cell !== null)) return null;
  const validity = new Uint8Array(bitmapBytes(cells.length));
  cells.forEach((cell, i) => {
    if (cell !== null) setBit(validity, i);
  });
  return validity;
}

function fixed(
  validity: Uint8Array | null,
  cells: readonly Cell[],
  width: number,
  write: (view: DataView, at: number, cell: Cell) => void,
): ColumnData {
  const values = new Uint8Array(cells.length * width);
  const view = viewOf(values);
  cells.forEach((cell, i) => {
    if (cell !== null) write(view, i * width, cell);
  });
  return { validity, values, offsets: null };
}

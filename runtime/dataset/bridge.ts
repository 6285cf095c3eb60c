/**
 * From the engine's result chunks to column batches without one JavaScript object per value: vectors are copied as
 * bytes, bitmaps are merged by shifting, narrow integers are widened in place.
 */
import duckdb from '@duckdb/node-bindings';
import { DuckDBTypeId, type DuckDBDataChunk, type DuckDBType } from '@duckdb/node-api';
import { bitmapBytes, type ColumnBatch, type ColumnData, type ColumnType } from '../release/columns.ts';
import { TextBuilder } from './bridge-text.ts';
import { BitmapBuilder } from './bridge-bitmap.ts';
import { grown, type ColumnBuilder, type Vector } from './bridge-buffer.ts';

/** Collects result chunks into batches. */
export class BatchBuilder {
  readonly #columns: readonly ColumnBuilder[];
  #rows = 0;

  constructor(columns: readonly ColumnBuilder[]) {
    this.#columns = columns;
  }

  get rowCount(): number {
    return this.#rows;
  }

  get byteLength(): number {
    let bytes = 0;
    for (const column of this.#columns) bytes += column.byteLength;
    return bytes;
  }

  append(chunk: DuckDBDataChunk): void {
    const rows = chunk.rowCount;
    this.#columns.forEach((column, i) => column.append(duckdb.data_chunk_get_vector(chunk.chunk, i), rows));
    this.#rows += rows;
  }

  /** The rows so far as views into the builder: copy them before `reset` or the next `append`. */
  view(): ColumnBatch {
    return { rowCount: this.#rows, columns: this.#columns.map((column) => column.view()) };
  }

  reset(): void {
    for (const column of this.#columns) column.reset();
    this.#rows = 0;
  }
}

/** A builder that turns the engine's type into the column type, or `null` when that would not be exact. */
export function columnBuilder(source: DuckDBType, target: ColumnType): ColumnBuilder | null {
  // An allow-list on purpose: a type that is not named here is refused.
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check
  switch (source.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return target.kind === 'bool' ? new BooleanBuilder() : null;
    case DuckDBTypeId.TINYINT:
      return integers(target, 1, (raw, n) => new Int8Array(raw.buffer, raw.byteOffset, n), true);
    case DuckDBTypeId.UTINYINT:
      return integers(target, 1, (raw, n) => raw.subarray(0, n), true);
    case DuckDBTypeId.SMALLINT:
      return integers(target, 2, (raw, n) => new Int16Array(raw.buffer, raw.byteOffset, n), true);
    case DuckDBTypeId.USMALLINT:
      return integers(target, 2, (raw, n) => new Uint16Array(raw.buffer, raw.byteOffset, n), true);
    case DuckDBTypeId.INTEGER:
      if (target.kind === 'int32') return new FixedBuilder(4);
      return integers(target, 4, (raw, n) => new Int32Array(raw.buffer, raw.byteOffset, n), true);
    case DuckDBTypeId.UINTEGER:
      return integers(target, 4, (raw, n) => new Uint32Array(raw.buffer, raw.byteOffset, n), false);
    case DuckDBTypeId.BIGINT:
      if (target.kind === 'int64') return new FixedBuilder(8);
      return isInt128(target) ? new DecimalBuilder(8, true) : null;
    case DuckDBTypeId.UBIGINT:
      return isInt128(target) ? new DecimalBuilder(8, false) : null;
    case DuckDBTypeId.HUGEINT:
      return isInt128(target) ? new FixedBuilder(16) : null;
    case DuckDBTypeId.DECIMAL: {
      if (target.kind !== 'decimal128' || target.scale !== source.scale || target.precision < source.width) return null;
      return source.width > 18 ? new FixedBuilder(16) : new DecimalBuilder(decimalBytes(source.width), true);
    }
    case DuckDBTypeId.FLOAT:
      if (target.kind !== 'float64') return null;
      return new WideningBuilder(4, 8, (raw, n, out, at) => {
        new Float64Array(out.buffer, at, n).set(new Float32Array(raw.buffer, raw.byteOffset, n));
      });
    case DuckDBTypeId.DOUBLE:
      return target.kind === 'float64' ? new FixedBuilder(8) : null;
    case DuckDBTypeId.VARCHAR:
      return target.kind === 'utf8' ? new TextBuilder() : null;
    case DuckDBTypeId.DATE:
      return target.kind === 'date32' ? new FixedBuilder(4) : null;
    case DuckDBTypeId.TIMESTAMP:
    case DuckDBTypeId.TIMESTAMP_TZ:
      return target.kind === 'timestampMicros' ? new FixedBuilder(8) : null;
    default:
      return null;
  }
}

type Numbers = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array;
type ReadNumbers = (raw: Uint8Array, count: number) => Numbers;

function integers(target: ColumnType, width: 1 | 2 | 4, read: ReadNumbers, fits32: boolean): ColumnBuilder | null {
  if (target.kind === 'int32' && fits32) {
    return new WideningBuilder(width, 4, (raw, n, out, at) => new Int32Array(out.buffer, at, n).set(read(raw, n)));
  }
  if (target.kind === 'float64') {
    return new WideningBuilder(width, 8, (raw, n, out, at) => new Float64Array(out.buffer, at, n).set(read(raw, n)));
  }
  const words = target.kind === 'int64' ? 2 : isInt128(target) ? 4 : 0;
  if (words === 0) return null;
  return new WideningBuilder(width, words * 4, (raw, n, out, at) => {
    const source = read(raw, n);
    const destination = new Int32Array(out.buffer, at, n * words);
    for (let i = 0, j = 0; i < n; i++, j += words) {
      const value = source[i] ?? 0;
      destination[j] = value;
      destination.fill(value < 0 ? -1 : 0, j + 1, j + words);
    }
  });
}

const isInt128 = (type: ColumnType): boolean => type.kind === 'decimal128' && type.scale === 0 && type.precision === 38;

/** Storage bytes of a DECIMAL by its width (DuckDB's physical types). */
const decimalBytes = (width: number): 2 | 4 | 8 => (width <= 4 ? 2 : width <= 9 ? 4 : 8);

/** Values whose bytes are the same on both sides. */
class FixedBuilder implements ColumnBuilder {
  readonly #width: number;
  readonly #validity = new BitmapBuilder();
  #values: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #rows = 0;

  constructor(width: number) {
    this.#width = width;
  }

  get byteLength(): number {
    return this.#rows * this.#width + this.#validity.byteLength;
  }

  append(vector: Vector, rows: number): void {
    this.#validity.append(vector, rows);
    const at = this.#rows * this.#width;
    this.#values = grown(this.#values, at + rows * this.#width);
    this.#values.set(duckdb.vector_get_data(vector, rows * this.#width), at);
    this.#rows += rows;
  }

  view(): ColumnData {
    const values = this.#values.subarray(0, this.#rows * this.#width);
    return { validity: this.#validity.view(), values, offsets: null };
  }

  reset(): void {
    this.#rows = 0;
    this.#validity.reset();
  }
}

type Widen = (raw: Uint8Array, rows: number, out: Uint8Array<ArrayBuffer>, at: number) => void;

/** Numbers that are wider in the batch than in the engine. */
class WideningBuilder implements ColumnBuilder {
  readonly #from: number;
  readonly #to: number;
  readonly #widen: Widen;
  readonly #validity = new BitmapBuilder();
  #values: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #rows = 0;

  constructor(from: number, to: number, widen: Widen) {
    this.#from = from;
    this.#to = to;
    this.#widen = widen;
  }

  get byteLength(): number {
    return this.#rows * this.#to + this.#validity.byteLength;
  }

  append(vector: Vector, rows: number): void {
    this.#validity.append(vector, rows);
    const at = this.#rows * this.#to;
    this.#values = grown(this.#values, at + rows * this.#to);
    this.#widen(duckdb.vector_get_data(vector, rows * this.#from), rows, this.#values, at);
    this.#rows += rows;
  }

  view(): ColumnData {
    return { validity: this.#validity.view(), values: this.#values.subarray(0, this.#rows * this.#to), offsets: null };
  }

  reset(): void {
    this.#rows = 0;
    this.#validity.reset();
  }
}

/** Decimals and 64-bit integers as 128-bit: the low words copied, the rest filled with the sign. */
class DecimalBuilder extends WideningBuilder {
  constructor(from: 2 | 4 | 8, isSigned: boolean) {
    super(from, 16, (raw, rows, out, at) => {
      const destination = new Int32Array(out.buffer, at, rows * 4);
      if (from === 8) {
        const source = new Int32Array(raw.buffer, raw.byteOffset, rows * 2);
        for (let i = 0, j = 0; i < rows; i++, j += 4) {
          const high = source[2 * i + 1] ?? 0;
          destination[j] = source[2 * i] ?? 0;
          destination[j + 1] = high;
          destination[j + 2] = destination[j + 3] = isSigned ? high >> 31 : 0;
        }
        return;
      }
      const source =
        from === 4
          ? new Int32Array(raw.buffer, raw.byteOffset, rows)
          : new Int16Array(raw.buffer, raw.byteOffset, rows);
      for (let i = 0, j = 0; i < rows; i++, j += 4) {
        const value = source[i] ?? 0;
        destination[j] = value;
        destination[j + 1] = destination[j + 2] = destination[j + 3] = value >> 31;
      }
    });
  }
}

/** One byte per value in the engine, one bit in the batch. */
class BooleanBuilder implements ColumnBuilder {
  readonly #validity = new BitmapBuilder();
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #rows = 0;

  get byteLength(): number {
    return bitmapBytes(this.#rows) + this.#validity.byteLength;
  }

  append(vector: Vector, rows: number): void {
    this.#validity.append(vector, rows);
    this.#bytes = grown(this.#bytes, this.#rows + rows);
    this.#bytes.set(duckdb.vector_get_data(vector, rows), this.#rows);
    this.#rows += rows;
  }

  view(): ColumnData {
    const values = new Uint8Array(bitmapBytes(this.#rows));
    for (let i = 0; i < this.#rows; i++)
      if (this.#bytes[i] === 1) values[i >> 3] = (values[i >> 3] ?? 0) | (1 << (i & 7));
    return { validity: this.#validity.view(), values, offsets: null };
  }

  reset(): void {
    this.#rows = 0;
    this.#validity.reset();
  }
}

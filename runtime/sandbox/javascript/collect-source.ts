import type {
  ColumnBatch as TableBatch,
  ColumnData as TableColumnData,
  ColumnType,
  Schema,
} from '../../release/columns.ts';
import type { ColumnBatch, ColumnData, ColumnKind, ColumnSpec } from './columns.ts';
import { javascriptLimits } from './limits.ts';
import type { ColumnSource } from './source.ts';

/** Returns how a table's column type reaches JavaScript; dates are days, timestamps milliseconds since 1970. */
export function columnKindOf(type: ColumnType): ColumnKind {
  switch (type.kind) {
    case 'bool':
      return 'boolean';
    case 'int32':
    case 'date32':
      return 'int32';
    case 'int64':
    case 'float64':
    case 'decimal128':
    case 'timestampMicros':
      return 'float64';
    case 'utf8':
      return 'dictionary';
  }
}

/** The columns of a schema as a computation sees them, without the unit's own. */
export function columnSpecsOf(schema: Schema, unit: string): readonly ColumnSpec[] {
  return schema
    .filter((column) => column.name !== unit)
    .map((column) => ({ name: column.name, kind: columnKindOf(column.type), isNullable: column.nullable }));
}

/**
 * Reads checked batches of a table into a source: texts become codes of one dictionary per column, the column `unit` becomes
 * unit numbers and is dropped, so that no worker with consumer code ever sees a unit's key. Rows without a unit are left out:
 * they belong to nobody whose contribution could be bounded. Throws RangeError for tables beyond the limits.
 */
export async function collectSource(
  schema: Schema,
  unit: string,
  batches: AsyncIterable<TableBatch> | Iterable<TableBatch>,
): Promise<ColumnSource> {
  const unitIndex = schema.findIndex((column) => column.name === unit);
  const unitColumn = schema[unitIndex];
  if (unitColumn === undefined) throw new RangeError('the table has no unit column');
  const units = new Numbering(javascriptLimits.units, Infinity);
  const dictionaries = schema.map(() => new Numbering(2 ** 31 - 1, javascriptLimits.dictionaryBytes));
  const collected: ColumnBatch[] = [];
  let rows = 0;
  for await (const batch of batches) {
    rows += batch.rowCount;
    if (rows > javascriptLimits.rows) throw new RangeError('too many rows');
    const keys = batch.columns[unitIndex];
    if (keys === undefined) throw new RangeError('a batch has no unit column');
    const known = validityOf(keys, batch.rowCount);
    const keep = known === undefined ? undefined : Int32Array.from(indexesOf(known));
    const columns = schema.flatMap((column, i) => {
      if (i === unitIndex) return [];
      const data = batch.columns[i];
      const numbering = dictionaries[i];
      if (data === undefined || numbering === undefined) throw new RangeError('a batch lacks a column');
      return [picked(valuesOf(column.type, data, batch.rowCount, numbering), keep)];
    });
    const numbers = unitNumbers(unitColumn.type, keys, batch.rowCount, units);
    collected.push({
      rows: keep?.length ?? batch.rowCount,
      columns,
      unit: keep === undefined ? numbers : keep.map((i) => numbers[i] ?? 0),
    });
  }
  const columns = columnSpecsOf(schema, unit);
  const texts = schema.flatMap((column, i) =>
    column.type.kind === 'utf8' && i !== unitIndex ? [[column.name, dictionaries[i]?.texts ?? []] as const] : [],
  );
  return { columns, dictionaries: new Map(texts), units: units.count, batches: () => collected };
}

/** Numbers values from 0 in the order of their first appearance. */
class Numbering {
  readonly #numbers = new Map<string | number | bigint, number>();
  readonly #texts: string[] = [];
  readonly #most: number;
  #bytesLeft: number;

  constructor(most: number, bytes: number) {
    this.#most = most;
    this.#bytesLeft = bytes;
  }

  get count(): number {
    return this.#numbers.size;
  }

  get texts(): readonly string[] {
    return this.#texts;
  }

  of(value: string | number | bigint): number {
    const known = this.#numbers.get(value);
    if (known !== undefined) return known;
    const next = this.#numbers.size;
    if (next >= this.#most) throw new RangeError('too many different values');
    if (typeof value === 'string' && this.#bytesLeft !== Infinity) {
      this.#bytesLeft -= value.length * 2;
      if (this.#bytesLeft < 0) throw new RangeError('the texts of a column are too many or too long');
      this.#texts.push(value);
    }
    this.#numbers.set(value, next);
    return next;
  }
}

/** One byte per row, or undefined when every row has a value. */
function validityOf({ validity }: TableColumnData, rows: number): Uint8Array | undefined {
  if (validity === null) return undefined;
  return Uint8Array.from({ length: rows }, (_, i) => ((validity[i >> 3] ?? 0) >> (i & 7)) & 1);
}

function* indexesOf(validity: Uint8Array): Generator<number> {
  for (let i = 0; i < validity.length; i++) if (validity[i] === 1) yield i;
}

function picked({ values, validity }: ColumnData, keep: Int32Array | undefined): ColumnData {
  if (keep === undefined) return { values, validity };
  const some = values instanceof BigInt64Array ? Float64Array.from(values, Number) : values;
  const next = new (some.constructor as new (length: number) => Exclude<typeof some, BigInt64Array>)(keep.length);
  for (let i = 0; i < keep.length; i++) next[i] = some[keep[i] ?? 0] ?? 0;
  return { values: next, validity: validity && Uint8Array.from(keep, (i) => validity[i] ?? 0) };
}

function valuesOf(type: ColumnType, data: TableColumnData, rows: number, numbering: Numbering): ColumnData {
  const validity = validityOf(data, rows);
  const view = new DataView(data.values.buffer, data.values.byteOffset, data.values.byteLength);
  switch (type.kind) {
    case 'bool':
      return {
        values: Int8Array.from({ length: rows }, (_, i) => ((data.values[i >> 3] ?? 0) >> (i & 7)) & 1),
        validity,
      };
    case 'int32':
    case 'date32':
      return { values: new Int32Array(aligned(data, rows * 4)), validity };
    case 'float64':
      return { values: new Float64Array(aligned(data, rows * 8)), validity };
    case 'int64':
      return { values: Float64Array.from(new BigInt64Array(aligned(data, rows * 8)), Number), validity };
    case 'timestampMicros': {
      const micros = new BigInt64Array(aligned(data, rows * 8));
      return { values: Float64Array.from(micros, (each) => Number(each) / 1000), validity };
    }
    case 'decimal128': {
      const unit = 10 ** type.scale;
      return { values: Float64Array.from({ length: rows }, (_, i) => Number(wide(view, i)) / unit), validity };
    }
    case 'utf8':
      return { values: codesOf(data, rows, validity, numbering), validity };
  }
}

function codesOf(
  data: TableColumnData,
  rows: number,
  validity: Uint8Array | undefined,
  numbering: Numbering,
): Int32Array {
  const decoder = new TextDecoder();
  const { offsets, values } = data;
  if (offsets === null) throw new RangeError('a text column has no offsets');
  return Int32Array.from({ length: rows }, (_, i) =>
    validity?.[i] === 0 ? -1 : numbering.of(decoder.decode(values.subarray(offsets[i] ?? 0, offsets[i + 1] ?? 0))),
  );
}

function unitNumbers(type: ColumnType, data: TableColumnData, rows: number, units: Numbering): Int32Array {
  const validity = validityOf(data, rows);
  if (type.kind === 'utf8') return codesOf(data, rows, validity, units);
  const view = new DataView(data.values.buffer, data.values.byteOffset, data.values.byteLength);
  const keyOf = (i: number): number | bigint => {
    switch (type.kind) {
      case 'int32':
      case 'date32':
        return view.getInt32(i * 4, true);
      case 'int64':
      case 'timestampMicros':
        return view.getBigInt64(i * 8, true);
      case 'decimal128':
        return wide(view, i);
      case 'bool':
      case 'float64':
        throw new RangeError(`a unit cannot be named by a ${type.kind}`);
    }
  };
  return Int32Array.from({ length: rows }, (_, i) => (validity?.[i] === 0 ? -1 : units.of(keyOf(i))));
}

/** A copy of the first `size` bytes of a column, at an address that any typed array can view. */
function aligned(data: TableColumnData, size: number): ArrayBuffer {
  if (data.values.length < size) throw new RangeError('a column is shorter than its batch');
  return Uint8Array.from(data.values.subarray(0, size)).buffer;
}

/** A 128-bit little-endian integer. */
function wide(view: DataView, i: number): bigint {
  return (view.getBigInt64(i * 16 + 8, true) << 64n) | view.getBigUint64(i * 16, true);
}

/** One Arrow column type: what it is stored as, and how rows of it become column data. Lengths are checked, never assumed. */
import { DataType, DateUnit, Precision, TimeUnit, type Dictionary } from 'apache-arrow';
import type { SqlType } from '../../query/types.ts';
import { setBit } from '../../release/column-values.ts';
import { bitAt, bitmapBytes, type ColumnData } from '../../release/columns.ts';
import type { ArrowData } from './arrow-body.ts';

export interface ArrowColumn {
  readonly type: SqlType;
  /** Whether offsets stand before the values of a record batch. */
  readonly hasOffsets: boolean;
  /** The dictionary that its values are places in, and the width of that one's offsets; null for plain columns. */
  readonly dictionary: { readonly id: number; readonly width: OffsetWidth } | null;
  /**
   * Rows [from, to) of a column; `from` is a multiple of 8, `words` its dictionary. Throws `RangeError` when a buffer is
   * too short.
   */
  slice(data: ArrowData, from: number, to: number, words: Words | undefined): ColumnData;
  /** Bytes of texts in rows [from, to): a few bytes of a dictionary's places stand for texts of any length. */
  textBytes(data: ArrowData, from: number, to: number, words: Words | undefined): number;
}

type OffsetWidth = 4 | 8;
/** The texts of a dictionary. */
export type Words = readonly Uint8Array[];

/** The converter for an Arrow type, or null when datasets cannot hold it. */
export function arrowColumn(type: DataType): ArrowColumn | null {
  if (DataType.isBool(type)) return fixed({ kind: 'boolean' }, booleans);
  if (DataType.isInt(type)) {
    // The library takes any width that a file names.
    const bits = ([8, 16, 32, 64] as const).find((known) => known === type.bitWidth);
    return bits === undefined ? null : integers(bits, type.isSigned);
  }
  if (DataType.isFloat(type)) {
    if (type.precision === Precision.DOUBLE) return copied({ kind: 'double' }, 8);
    return type.precision === Precision.SINGLE
      ? widened({ kind: 'float' }, 4, 8, (source, i, out, j) => out.setFloat64(j, source.getFloat32(i, true), true))
      : null;
  }
  if (DataType.isDecimal(type)) {
    const { precision, scale, bitWidth } = type;
    if (bitWidth !== 128 || precision < 1 || precision > 38 || scale < 0 || scale > precision) return null;
    return copied({ kind: 'decimal', width: precision, scale }, 16);
  }
  const width = offsetWidth(type);
  if (width !== null)
    return {
      type: { kind: 'text' },
      hasOffsets: true,
      dictionary: null,
      slice: (data, from, to) => texts(data, from, to, width),
      textBytes: (data, from, to) => {
        const bytes = bytesOf(data.offsets, (to + 1) * width);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        return offsetAt(view, to, width) - offsetAt(view, from, width);
      },
    };
  if (DataType.isDate(type)) {
    if (type.unit === DateUnit.DAY) return copied({ kind: 'date' }, 4);
    if (type.unit !== DateUnit.MILLISECOND) return null;
    return widened({ kind: 'date' }, 8, 4, (source, i, out, j) =>
      out.setInt32(j, Math.floor(Number(source.getBigInt64(i, true)) / 86_400_000), true),
    );
  }
  if (DataType.isTimestamp(type)) {
    const stored: SqlType = {
      kind:
        type.timezone === null || type.timezone === undefined || type.timezone === ''
          ? 'timestamp'
          : 'timestampWithZone',
    };
    return timestamps(stored, type.unit);
  }
  if (DataType.isDictionary(type)) return dictionary(type);
  return null;
}

function offsetWidth(type: DataType): OffsetWidth | null {
  return DataType.isUtf8(type) ? 4 : DataType.isLargeUtf8(type) ? 8 : null;
}

/** A column of fixed width. */
function fixed(type: SqlType, slice: ArrowColumn['slice']): ArrowColumn {
  return { type, hasOffsets: false, dictionary: null, slice, textBytes: () => 0 };
}

function integers(bits: 8 | 16 | 32 | 64, isSigned: boolean): ArrowColumn {
  const type: SqlType = { kind: 'integer', bits, isSigned };
  if (bits === 8)
    return widened(type, 1, 4, (s, i, out, j) => out.setInt32(j, isSigned ? s.getInt8(i) : s.getUint8(i), true));
  if (bits === 16)
    return widened(type, 2, 4, (s, i, out, j) =>
      out.setInt32(j, isSigned ? s.getInt16(i, true) : s.getUint16(i, true), true),
    );
  if (bits === 32 && isSigned) return copied(type, 4);
  if (bits === 32) return widened(type, 4, 8, (s, i, out, j) => out.setUint32(j, s.getUint32(i, true), true));
  return isSigned
    ? copied(type, 8)
    : widened(type, 8, 16, (s, i, out, j) => out.setBigUint64(j, s.getBigUint64(i, true), true));
}

const MICROS: Readonly<Record<number, { readonly times: bigint; readonly over: bigint }>> = {
  [TimeUnit.SECOND]: { times: 1_000_000n, over: 1n },
  [TimeUnit.MILLISECOND]: { times: 1000n, over: 1n },
  [TimeUnit.MICROSECOND]: { times: 1n, over: 1n },
  [TimeUnit.NANOSECOND]: { times: 1n, over: 1000n },
};

/** Nanoseconds are kept to the microsecond, towards the past. */
function timestamps(type: SqlType, unit: TimeUnit): ArrowColumn | null {
  if (unit === TimeUnit.MICROSECOND) return copied(type, 8);
  const scale = MICROS[unit];
  if (scale === undefined) return null;
  return widened(type, 8, 8, (source, i, out, j) => {
    const value = source.getBigInt64(i, true) * scale.times;
    const micros =
      scale.over === 1n ? value : (value - (((value % scale.over) + scale.over) % scale.over)) / scale.over;
    if (micros !== BigInt.asIntN(64, micros)) throw new RangeError('a timestamp lies outside of the calendar');
    out.setBigInt64(j, micros, true);
  });
}

function copied(type: SqlType, width: number): ArrowColumn {
  return fixed(type, (data, from, to) => {
    const values = bytesOf(data.values, to * width).slice(from * width, to * width);
    return { validity: validityOf(data, from, to), values, offsets: null };
  });
}

type Convert = (source: DataView, at: number, out: DataView, to: number) => void;

function widened(type: SqlType, width: number, target: number, convert: Convert): ArrowColumn {
  return fixed(type, (data, from, to) => {
    const bytes = bytesOf(data.values, to * width);
    const source = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const values = new Uint8Array((to - from) * target);
    const out = new DataView(values.buffer);
    const validity = validityOf(data, from, to);
    for (let row = from; row < to; row++) {
      if (validity === null || bitAt(validity, row - from)) convert(source, row * width, out, (row - from) * target);
    }
    return { validity, values, offsets: null };
  });
}

function booleans(data: ArrowData, from: number, to: number): ColumnData {
  const values = bytesOf(data.values, bitmapBytes(to)).slice(from >> 3, bitmapBytes(to));
  return { validity: validityOf(data, from, to), values, offsets: null };
}

function texts(data: ArrowData, from: number, to: number, width: OffsetWidth): ColumnData {
  const starts = offsetsOf(data, from, to, width);
  const first = starts[0] ?? 0;
  const last = starts.at(-1) ?? 0;
  if (first < 0 || last < first) throw new RangeError('text offsets decrease');
  // checkBatch, which every batch passes, compares all the offsets between.
  const values = bytesOf(data.values, last).slice(first, last);
  return { validity: validityOf(data, from, to), values, offsets: Int32Array.from(starts, (start) => start - first) };
}

function offsetsOf(data: ArrowData, from: number, to: number, width: OffsetWidth): number[] {
  const bytes = bytesOf(data.offsets, (to + 1) * width);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: to - from + 1 }, (_, i) => offsetAt(view, from + i, width));
}

function offsetAt(view: DataView, row: number, width: OffsetWidth): number {
  return width === 4 ? view.getInt32(row * width, true) : Number(view.getBigInt64(row * width, true));
}

/** Dictionary-encoded text: categories of data frames. Other dictionaries are not taken. */
function dictionary(type: Dictionary): ArrowColumn | null {
  const width = offsetWidth(type.dictionary as DataType);
  const { bitWidth, isSigned } = type.indices;
  if (width === null || ![8, 16, 32].includes(bitWidth)) return null;
  return {
    type: { kind: 'text' },
    hasOffsets: false,
    dictionary: { id: type.id, width },
    textBytes(data, from, to, words = []) {
      const bytes = bytesOf(data.values, (to * bitWidth) / 8);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      let sum = 0;
      for (let row = from; row < to; row++) sum += words[indexAt(view, row, bitWidth, isSigned)]?.byteLength ?? 0;
      return sum;
    },
    slice(data, from, to, words) {
      if (words === undefined) throw new RangeError('a dictionary is missing');
      const bytes = bytesOf(data.values, (to * bitWidth) / 8);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const validity = validityOf(data, from, to);
      const offsets = new Int32Array(to - from + 1);
      const parts: Uint8Array[] = [];
      for (let row = from, at = 0; row < to; row++) {
        if (validity === null || bitAt(validity, row - from)) {
          const word = words[indexAt(view, row, bitWidth, isSigned)];
          if (word === undefined) throw new RangeError('an index points outside of its dictionary');
          parts.push(word);
          at += word.byteLength;
        }
        offsets[row - from + 1] = at;
      }
      return { validity, values: new Uint8Array(Buffer.concat(parts)), offsets };
    },
  };
}

function indexAt(view: DataView, row: number, bits: number, isSigned: boolean): number {
  if (bits === 8) return isSigned ? view.getInt8(row) : view.getUint8(row);
  if (bits === 16) return isSigned ? view.getInt16(row * 2, true) : view.getUint16(row * 2, true);
  return isSigned ? view.getInt32(row * 4, true) : view.getUint32(row * 4, true);
}

/** The texts of a dictionary; a null among them would make a value that looks present and is not, so it is refused. */
export function dictionaryWords(data: ArrowData, width: OffsetWidth): Words {
  if (data.validity !== null) throw new RangeError('a dictionary holds a null');
  if (data.length === 0) return [];
  const { values, offsets } = texts(data, 0, data.length, width);
  return Array.from({ length: data.length }, (_, i) => {
    const [start = 0, end = 0] = [offsets?.[i], offsets?.[i + 1]];
    if (end < start) throw new RangeError('text offsets decrease');
    return values.subarray(start, end);
  });
}

function validityOf(data: ArrowData, from: number, to: number): Uint8Array | null {
  if (data.validity === null) return null;
  const source = bytesOf(data.validity, bitmapBytes(to));
  const validity = new Uint8Array(bitmapBytes(to - from));
  let hasNull = false;
  for (let row = from; row < to; row++) {
    if (bitAt(source, row)) setBit(validity, row - from);
    else hasNull = true;
  }
  return hasNull ? validity : null;
}

function bytesOf(buffer: Uint8Array | null, needed: number): Uint8Array<ArrayBuffer> {
  if (buffer === null || buffer.byteLength < needed) throw new RangeError('a buffer is shorter than its rows');
  return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength);
}

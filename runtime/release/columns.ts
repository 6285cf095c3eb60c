/**
 * The one in-memory layout of tabular data inside the runtime: a minimal subset of the Apache Arrow columnar format
 * (little-endian, bit-packed validity and booleans, 32-bit offsets), so that a worker's bytes, the release gate and the
 * Arrow encoder share buffers without an Arrow library in the core.
 *
 * Bytes from a worker are hostile until `checkBatch` accepted them. `canonicalBatch` then removes every bit that carries
 * no value (bytes under nulls, padding bits, NaN payloads, the sign of zero), because each of them is a covert channel.
 */

/** The closed list of value types that can be released. `decimal128` with precision 38 and scale 0 carries 128-bit integers. */
export type ColumnType =
  | { readonly kind: 'bool' }
  | { readonly kind: 'int32' }
  | { readonly kind: 'int64' }
  | { readonly kind: 'float64' }
  | { readonly kind: 'decimal128'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'utf8' }
  /** Days since 1970-01-01. */
  | { readonly kind: 'date32' }
  /** Microseconds since 1970-01-01T00:00:00, without a time zone. */
  | { readonly kind: 'timestampMicros' };

/** One named column of a schema. */
export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly nullable: boolean;
}

/** The columns of a table, in order; names are unique. */
export type Schema = readonly Column[];

/**
 * The buffers of one column. `validity` has bit i (least significant first) set when row i has a value; `null` means no
 * row is null. `values` holds the fixed-width values, bit-packed booleans, or the UTF-8 bytes that `offsets` cuts.
 */
export interface ColumnData {
  readonly validity: Uint8Array | null;
  readonly values: Uint8Array;
  /** `rowCount + 1` offsets into `values`; present exactly for `utf8`. */
  readonly offsets: Int32Array | null;
}

/** Some rows of a table, column by column. */
export interface ColumnBatch {
  readonly rowCount: number;
  readonly columns: readonly ColumnData[];
}

/** Upper limits that a batch must keep before anything else looks at it. */
export interface ColumnLimits {
  readonly maxColumns: number;
  readonly maxRowsPerBatch: number;
  readonly maxBytesPerBatch: number;
  readonly maxNameLength: number;
}

export const DEFAULT_COLUMN_LIMITS: ColumnLimits = {
  maxColumns: 256,
  maxRowsPerBatch: 1 << 20,
  maxBytesPerBatch: 1 << 28,
  maxNameLength: 256,
};

/** What a check of outside bytes answers; `problem` names the shape that was wrong and never a value. */
export type Check = { readonly kind: 'ok' } | { readonly kind: 'bad'; readonly problem: string };

const OK: Check = { kind: 'ok' };
const bad = (problem: string): Check => ({ kind: 'bad', problem });

/** Bytes of one value, or `null` for bit-packed (`bool`) and variable-width (`utf8`) types. */
export function valueWidth(type: ColumnType): number | null {
  switch (type.kind) {
    case 'bool':
    case 'utf8':
      return null;
    case 'int32':
    case 'date32':
      return 4;
    case 'int64':
    case 'float64':
    case 'timestampMicros':
      return 8;
    case 'decimal128':
      return 16;
    default:
      return unreachable(type);
  }
}

/** Whether two types are the same, parameters included. */
export function sameType(a: ColumnType, b: ColumnType): boolean {
  if (a.kind === 'decimal128' && b.kind === 'decimal128') return a.precision === b.precision && a.scale === b.scale;
  return a.kind === b.kind;
}

/** Checks names (unique, printable, well-formed Unicode), types and the number of columns. */
export function checkSchema(schema: Schema, limits: ColumnLimits = DEFAULT_COLUMN_LIMITS): Check {
  if (!Array.isArray(schema)) return bad('the schema is not a list');
  if (schema.length === 0 || schema.length > limits.maxColumns) return bad('the number of columns is out of limits');
  const names = new Set<string>();
  for (const [i, column] of schema.entries()) {
    if (typeof column !== 'object' || column === null) return bad(`column ${i} is not an object`);
    if (!isPrintableName(column.name, limits.maxNameLength)) return bad(`the name of column ${i} is not printable`);
    if (names.has(column.name)) return bad(`the name of column ${i} is not unique`);
    names.add(column.name);
    if (typeof column.nullable !== 'boolean') return bad(`column ${i} does not say whether it is nullable`);
    if (!isKnownType(column.type)) return bad(`the type of column ${i} is unknown`);
  }
  return OK;
}

/** Checks every length, offset, bitmap and UTF-8 sequence of a batch against its schema, exactly and without trust. */
export function checkBatch(schema: Schema, batch: ColumnBatch, limits: ColumnLimits = DEFAULT_COLUMN_LIMITS): Check {
  const { rowCount, columns } = batch;
  if (!Number.isSafeInteger(rowCount) || rowCount < 0 || rowCount > limits.maxRowsPerBatch) {
    return bad('the row count is out of limits');
  }
  if (!Array.isArray(columns) || columns.length !== schema.length)
    return bad('the batch has the wrong number of columns');
  let bytes = 0;
  for (const [i, column] of schema.entries()) {
    const data = columns[i] as ColumnData | undefined;
    if (typeof data !== 'object' || data === null) return bad(`column ${i} is missing`);
    const problem = problemOf(column, data, rowCount);
    if (problem !== null) return bad(`column ${i}: ${problem}`);
    bytes += byteLengthOf(data);
    if (bytes > limits.maxBytesPerBatch) return bad('the batch has too many bytes');
  }
  return OK;
}

/** Bytes that the buffers of a batch occupy. */
export function batchByteLength(batch: ColumnBatch): number {
  return batch.columns.reduce((sum, data) => sum + byteLengthOf(data), 0);
}

/** Whether row `row` of a column has a value. */
export function isValid(data: ColumnData, row: number): boolean {
  return data.validity === null || bitAt(data.validity, row);
}

/** Bit `index`, least significant bit of each byte first. */
export function bitAt(bitmap: Uint8Array, index: number): boolean {
  return (((bitmap[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
}

/** Bytes that a bitmap of `bits` bits occupies. */
export function bitmapBytes(bits: number): number {
  return (bits + 7) >> 3;
}

/** Makes the compiler prove that a switch covers every case. */
export function unreachable(value: never): never {
  throw new Error(`not a known case: ${JSON.stringify(value)}`);
}

const MAX_DECIMAL_PRECISION = 38;

function isKnownType(type: ColumnType): boolean {
  if (typeof type !== 'object' || type === null) return false;
  switch (type.kind) {
    case 'bool':
    case 'int32':
    case 'int64':
    case 'float64':
    case 'utf8':
    case 'date32':
    case 'timestampMicros':
      return true;
    case 'decimal128':
      return (
        Number.isInteger(type.precision) &&
        type.precision >= 1 &&
        type.precision <= MAX_DECIMAL_PRECISION &&
        Number.isInteger(type.scale) &&
        type.scale >= 0 &&
        type.scale <= type.precision
      );
    default:
      return false;
  }
}

function isPrintableName(name: unknown, maxLength: number): boolean {
  // Control, format, surrogate and unassigned characters in a name could forge log lines or hide one name behind another.
  return typeof name === 'string' && name.length > 0 && name.length <= maxLength && !/[\p{C}\p{Zl}\p{Zp}]/u.test(name);
}

function problemOf(column: Column, data: ColumnData, rowCount: number): string | null {
  const { validity, values, offsets } = data;
  if (!(values instanceof Uint8Array)) return 'the values are not bytes';
  if (validity !== null) {
    if (!(validity instanceof Uint8Array)) return 'the validity bitmap is not bytes';
    if (validity.length !== bitmapBytes(rowCount)) return 'the validity bitmap has the wrong length';
    if (!column.nullable && !allBitsSet(validity, rowCount)) return 'a column that is not nullable has a null';
  }
  if (column.type.kind === 'utf8') return utf8Problem(values, offsets, rowCount);
  if (offsets !== null) return 'offsets belong to text columns only';
  const width = valueWidth(column.type);
  const expected = width === null ? bitmapBytes(rowCount) : width * rowCount;
  if (values.length !== expected) return 'the values have the wrong length';
  if (column.type.kind === 'decimal128') return decimalProblem(data, column.type.precision, rowCount);
  return null;
}

function utf8Problem(values: Uint8Array, offsets: Int32Array | null, rowCount: number): string | null {
  if (!(offsets instanceof Int32Array)) return 'a text column has no offsets';
  if (offsets.length !== rowCount + 1) return 'the offsets have the wrong length';
  if (offsets[0] !== 0) return 'the first offset is not zero';
  if (offsets[rowCount] !== values.length) return 'the last offset is not the number of bytes';
  for (let i = 0; i < rowCount; i++) {
    const end = offsets[i + 1] ?? -1;
    if (end < (offsets[i] ?? 0)) return 'the offsets decrease';
    // With the whole buffer valid UTF-8, a value is valid exactly when its edges are not inside a character.
    if (end < values.length && ((values[end] ?? 0) & 0xc0) === 0x80) return 'an offset cuts a character';
  }
  try {
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(values);
  } catch {
    return 'the text is not valid UTF-8';
  }
  return null;
}

function decimalProblem(data: ColumnData, precision: number, rowCount: number): string | null {
  const view = viewOf(data.values);
  const limit = 10n ** BigInt(precision);
  for (let i = 0; i < rowCount; i++) {
    if (!isValid(data, i)) continue;
    const value = readInt128(view, i * 16);
    if (value >= limit || value <= -limit) return 'a decimal exceeds its precision';
  }
  return null;
}

/** A `DataView` over exactly the bytes of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads a little-endian two's-complement 128-bit integer. */
export function readInt128(view: DataView, offset: number): bigint {
  return (view.getBigInt64(offset + 8, true) << 64n) | view.getBigUint64(offset, true);
}

/** Writes a little-endian two's-complement 128-bit integer; bits above 128 are dropped. */
export function writeInt128(view: DataView, offset: number, value: bigint): void {
  view.setBigUint64(offset, BigInt.asUintN(64, value), true);
  view.setBigInt64(offset + 8, BigInt.asIntN(64, value >> 64n), true);
}

function allBitsSet(bitmap: Uint8Array, bits: number): boolean {
  for (let i = 0; i < bits; i++) if (!bitAt(bitmap, i)) return false;
  return true;
}

function byteLengthOf(data: ColumnData): number {
  return data.values.byteLength + (data.validity?.byteLength ?? 0) + (data.offsets?.byteLength ?? 0);
}

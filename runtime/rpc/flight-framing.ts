import * as arrow from 'apache-arrow';
import * as metadata from 'apache-arrow/ipc/metadata/message';
import { VectorLoader } from 'apache-arrow/visitor/vectorloader';
import {
  batchByteLength,
  bitmapBytes,
  isValid,
  unreachable,
  valueWidth,
  type Column,
  type ColumnBatch,
  type ColumnData,
  type ColumnType,
  type Schema,
} from '../release/columns.ts';

/**
 * Between released columns and Arrow Flight: `FlightData` messages made by hand in one buffer, and read back without a
 * copy. Everything that touches Arrow's own library is here (its metadata classes are not covered by its versioning;
 * test/rpc/flight-framing.test.ts is the contract).
 */

/** Rows of one batch are split until a frame is at most this large; other clients accept 4 MiB by default. */
export const MAX_FRAME_BYTES: number = 2 << 20;

/** The first message of a stream: the schema. */
export function schemaFrame(schema: Schema): Buffer {
  return frame(schemaMessage(schema), [], 0);
}

/** The messages of one batch, each at most about `maxBytes`. */
export function* batchFrames(
  schema: Schema,
  batch: ColumnBatch,
  maxBytes: number = MAX_FRAME_BYTES,
): Generator<Buffer> {
  const bytes = batchByteLength(batch);
  if (bytes <= maxBytes || batch.rowCount <= 8) {
    yield batchFrame(batch);
    return;
  }
  // Slices start at multiples of 8 rows, so that bitmaps are cut between bytes.
  const parts = Math.ceil(bytes / maxBytes);
  const step = Math.max(8, Math.floor(batch.rowCount / parts / 8) * 8);
  for (let start = 0; start < batch.rowCount; start += step) {
    const end = Math.min(start + step, batch.rowCount);
    const part = sliceBatch(schema, batch, start, end);
    if (batchByteLength(part) > maxBytes && end - start > 8) yield* batchFrames(schema, part, maxBytes);
    else yield batchFrame(part);
  }
}

/** The schema as an encapsulated IPC message: the form of `FlightInfo.schema` and `SchemaResult.schema`. */
export function encapsulatedSchema(schema: Schema): Buffer {
  const message = schemaMessage(schema);
  const length = pad8(message.length);
  const out = Buffer.alloc(8 + length);
  out.writeInt32LE(-1, 0);
  out.writeInt32LE(length, 4);
  out.set(message, 8);
  return out;
}

/** Arrow's schema of released columns. */
export function arrowSchema(schema: Schema): arrow.Schema {
  return new arrow.Schema(
    schema.map((column) => new arrow.Field(column.name, arrowType(column.type), column.nullable)),
  );
}

/** The bytes of the two fields of a `FlightData` message that carry data, as views. */
export interface FlightFrame {
  readonly header: Uint8Array;
  readonly body: Uint8Array;
}

/** Splits a `FlightData` message; throws a RangeError when it is damaged. */
export function parseFrame(bytes: Uint8Array): FlightFrame {
  let at = 0;
  let header: Uint8Array = NOTHING;
  let body: Uint8Array = NOTHING;
  const readVarint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a FlightData message is damaged');
  };
  while (at < bytes.length) {
    const tag = readVarint();
    if ((tag & 7) !== 2) throw new RangeError('a FlightData message has an unexpected field');
    const length = readVarint();
    if (length > bytes.length - at) throw new RangeError('a FlightData message ends early');
    const value = bytes.subarray(at, at + length);
    at += length;
    if (tag >>> 3 === 2) header = value;
    else if (tag >>> 3 === 1000) body = value;
  }
  return { header, body };
}

/** Reads a stream of `FlightData` messages; columns are views of the received bytes. */
export class FlightReader {
  #schema: arrow.Schema | null = null;

  /** The schema; null before the first message. */
  get schema(): arrow.Schema | null {
    return this.#schema;
  }

  /** The batch of one message; null for the schema message. */
  read(bytes: Uint8Array): arrow.RecordBatch | null {
    const { header, body } = parseFrame(bytes);
    const message = metadata.Message.decode(header);
    if (message.isSchema()) {
      this.#schema = message.header();
      return null;
    }
    const schema = this.#schema;
    if (schema === null) throw new RangeError('a FlightData stream does not start with its schema');
    if (!message.isRecordBatch()) throw new RangeError('a FlightData message is neither schema nor record batch');
    const batch = message.header();
    // apache-arrow's typed arrays need 8-byte alignment; frames of this runtime have it and are read in place.
    const aligned = body.byteOffset % 8 === 0 ? body : new Uint8Array(body);
    const loader = new VectorLoader(aligned, batch.nodes, batch.buffers, new Map(), message.version);
    const children = loader.visitMany(schema.fields.map((field: arrow.Field) => field.type));
    const data = arrow.makeData({ type: new arrow.Struct(schema.fields), length: batch.length, children });
    return new arrow.RecordBatch(schema, data);
  }
}

function batchFrame(batch: ColumnBatch): Buffer {
  const nodes: metadata.FieldNode[] = [];
  const regions: metadata.BufferRegion[] = [];
  const buffers: Uint8Array[] = [];
  let bodyLength = 0;
  const add = (bytes: Uint8Array): void => {
    regions.push(new metadata.BufferRegion(bodyLength, bytes.byteLength));
    buffers.push(bytes);
    bodyLength += pad8(bytes.byteLength);
  };
  for (const data of batch.columns) {
    const nullCount = countNulls(data, batch.rowCount);
    nodes.push(new metadata.FieldNode(batch.rowCount, nullCount));
    add(nullCount === 0 || data.validity === null ? NOTHING : data.validity);
    if (data.offsets !== null) add(bytesOf(data.offsets));
    add(data.values);
  }
  const message = metadata.Message.from(new metadata.RecordBatch(batch.rowCount, nodes, regions, null), bodyLength);
  return frame(metadata.Message.encode(message), buffers, bodyLength);
}

const NOTHING = new Uint8Array(0);

/**
 * `FlightData { 2: data_header, 1000: data_body }` in one buffer. The header is padded with zero bytes, which
 * flatbuffers ignore, until the body starts at a multiple of 8 behind grpc's 5-byte prefix.
 */
function frame(header: Uint8Array, buffers: readonly Uint8Array[], bodyLength: number): Buffer {
  let headerLength = header.length;
  let prefix = 1 + varintLength(headerLength) + headerLength;
  if (bodyLength > 0) {
    for (; ; headerLength++) {
      prefix = 1 + varintLength(headerLength) + headerLength + 2 + varintLength(bodyLength);
      if ((GRPC_PREFIX + prefix) % 8 === 0) break;
    }
  }
  // INVARIANT: every byte is written below; allocUnsafe would otherwise release memory of this process.
  const out = Buffer.allocUnsafe(prefix + bodyLength);
  out[0] = HEADER_TAG;
  let at = writeVarint(out, 1, headerLength);
  out.set(header, at);
  out.fill(0, at + header.length, at + headerLength);
  at += headerLength;
  if (bodyLength === 0) return out;
  out.set(BODY_TAG, at);
  at = writeVarint(out, at + BODY_TAG.length, bodyLength);
  for (const bytes of buffers) {
    out.set(bytes, at);
    const end = at + pad8(bytes.byteLength);
    out.fill(0, at + bytes.byteLength, end);
    at = end;
  }
  if (at !== out.length) throw new Error('a FlightData frame was not filled');
  return out;
}

const GRPC_PREFIX = 5;
const HEADER_TAG = 0x12;
/** Field 1000, length-delimited. */
const BODY_TAG = Uint8Array.of(0xc2, 0x3e);

function schemaMessage(schema: Schema): Uint8Array {
  return metadata.Message.encode(metadata.Message.from(arrowSchema(schema)));
}

function arrowType(type: ColumnType): arrow.DataType {
  switch (type.kind) {
    case 'bool':
      return new arrow.Bool();
    case 'int32':
      return new arrow.Int32();
    case 'int64':
      return new arrow.Int64();
    case 'float64':
      return new arrow.Float64();
    case 'decimal128':
      return new arrow.Decimal(type.scale, type.precision, 128);
    case 'utf8':
      return new arrow.Utf8();
    case 'date32':
      return new arrow.DateDay();
    case 'timestampMicros':
      return new arrow.TimestampMicrosecond();
    default:
      return unreachable(type);
  }
}

function sliceBatch(schema: Schema, batch: ColumnBatch, start: number, end: number): ColumnBatch {
  const columns = batch.columns.map((data, index) => sliceColumn(schema[index], data, start, end));
  return { rowCount: end - start, columns };
}

function sliceColumn(column: Column | undefined, data: ColumnData, start: number, end: number): ColumnData {
  if (column === undefined) throw new RangeError('a batch has more columns than its schema');
  const bits = (bitmap: Uint8Array): Uint8Array => {
    const slice = bitmap.slice(start >> 3, (start >> 3) + bitmapBytes(end - start));
    // Bits behind the last row belong to rows of the next slice, or are padding.
    const used = (end - start) & 7;
    if (used !== 0) slice[slice.length - 1] = (slice.at(-1) ?? 0) & ((1 << used) - 1);
    return slice;
  };
  const validity = data.validity === null ? null : bits(data.validity);
  if (data.offsets !== null) {
    const first = data.offsets[start] ?? 0;
    const offsets = data.offsets.slice(start, end + 1).map((offset) => offset - first);
    return { validity, offsets, values: data.values.subarray(first, data.offsets[end] ?? first) };
  }
  const width = valueWidth(column.type);
  const values = width === null ? bits(data.values) : data.values.subarray(start * width, end * width);
  return { validity, offsets: null, values };
}

function countNulls(data: ColumnData, rowCount: number): number {
  if (data.validity === null) return 0;
  let nulls = 0;
  for (let row = 0; row < rowCount; row++) if (!isValid(data, row)) nulls++;
  return nulls;
}

function bytesOf(offsets: Int32Array): Uint8Array {
  return new Uint8Array(offsets.buffer, offsets.byteOffset, offsets.byteLength);
}

function pad8(length: number): number {
  return (length + 7) & ~7;
}

function varintLength(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

function writeVarint(out: Uint8Array, at: number, value: number): number {
  let left = value;
  let next = at;
  while (left > 0x7f) {
    out[next++] = (left & 0x7f) | 0x80;
    left >>>= 7;
  }
  out[next++] = left;
  return next;
}

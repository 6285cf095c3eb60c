/**
 * One column batch as bytes between a SQL worker and the gateway. Both sides know the schema beforehand, so only
 * buffers travel:
 *
 *   u32 row count, u32 column count,
 *   per column: u32 validity bytes (0 = no nulls), u32 offset bytes (0 = not text), u32 value bytes,
 *   then per column validity, offsets, values, each padded with zeros to 8 bytes.
 *
 * All little-endian. The gateway treats the bytes as hostile.
 */
import {
  checkBatch,
  DEFAULT_COLUMN_LIMITS,
  type Check,
  type ColumnBatch,
  type ColumnData,
  type ColumnLimits,
  type Schema,
} from '../release/columns.ts';

const HEADER_BYTES = 8;
const COLUMN_BYTES = 12;
const pad8 = (bytes: number): number => (bytes + 7) & ~7;

/** Bytes that `encodeBatch` will take for this batch. */
export function encodedBytes(batch: ColumnBatch): number {
  let bytes = pad8(HEADER_BYTES + COLUMN_BYTES * batch.columns.length);
  for (const { validity, offsets, values } of batch.columns) {
    bytes += pad8(validity?.byteLength ?? 0) + pad8(offsets?.byteLength ?? 0) + pad8(values.byteLength);
  }
  return bytes;
}

/** Copies a batch into one frame payload; every padding byte is zero. */
export function encodeBatch(batch: ColumnBatch): Uint8Array {
  // Zero-filled on purpose: padding must not carry this process's memory out.
  const out = new Uint8Array(encodedBytes(batch));
  const view = new DataView(out.buffer);
  view.setUint32(0, batch.rowCount, true);
  view.setUint32(4, batch.columns.length, true);
  let at = pad8(HEADER_BYTES + COLUMN_BYTES * batch.columns.length);
  const put = (bytes: Uint8Array): void => {
    out.set(bytes, at);
    at += pad8(bytes.byteLength);
  };
  batch.columns.forEach(({ validity, offsets, values }, i) => {
    const entry = HEADER_BYTES + i * COLUMN_BYTES;
    view.setUint32(entry, validity?.byteLength ?? 0, true);
    view.setUint32(entry + 4, offsets?.byteLength ?? 0, true);
    view.setUint32(entry + 8, values.byteLength, true);
    if (validity !== null) put(validity);
    if (offsets !== null) put(new Uint8Array(offsets.buffer, offsets.byteOffset, offsets.byteLength));
    put(values);
  });
  return out;
}

export type DecodedBatch = { readonly kind: 'batch'; readonly batch: ColumnBatch } | Extract<Check, { kind: 'bad' }>;

const bad = (problem: string): DecodedBatch => ({ kind: 'bad', problem });

/** Reads a frame payload against the agreed schema; every length, offset and text is checked, nothing is trusted. */
export function decodeBatch(
  schema: Schema,
  payload: Uint8Array,
  limits: ColumnLimits = DEFAULT_COLUMN_LIMITS,
): DecodedBatch {
  const tableEnd = pad8(HEADER_BYTES + COLUMN_BYTES * schema.length);
  if (payload.byteLength < tableEnd) return bad('the frame is too short');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const rowCount = view.getUint32(0, true);
  if (view.getUint32(4, true) !== schema.length) return bad('the frame has the wrong number of columns');
  let at = tableEnd;
  const take = (bytes: number): Uint8Array | null => {
    if (at + pad8(bytes) > payload.byteLength) return null;
    const taken = payload.subarray(at, at + bytes);
    at += pad8(bytes);
    return taken;
  };
  const columns: ColumnData[] = [];
  for (let i = 0; i < schema.length; i++) {
    const entry = HEADER_BYTES + i * COLUMN_BYTES;
    const validity = take(view.getUint32(entry, true));
    const offsetBytes = take(view.getUint32(entry + 4, true));
    const values = take(view.getUint32(entry + 8, true));
    if (validity === null || offsetBytes === null || values === null) return bad('a buffer leaves the frame');
    if (offsetBytes.byteLength % 4 !== 0) return bad('the offsets are not whole numbers');
    columns.push({
      validity: validity.byteLength === 0 ? null : validity,
      // A copy, because a frame's payload begins at any address and a view of 32-bit numbers must not.
      offsets: offsetBytes.byteLength === 0 ? null : new Int32Array(new Uint8Array(offsetBytes).buffer),
      values,
    });
  }
  if (at !== payload.byteLength) return bad('the frame is longer than its buffers');
  const batch: ColumnBatch = { rowCount, columns };
  const check = checkBatch(schema, batch, limits);
  return check.kind === 'ok' ? { kind: 'batch', batch } : check;
}

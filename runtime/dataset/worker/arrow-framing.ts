/**
 * The frame of an Arrow IPC file or stream: where each message lies and where it ends. The library follows these numbers
 * without a look: a lying length sends it round in circles, and a stream that breaks off in the middle reads as one with
 * fewer rows. So they are checked here, before the library sees the bytes.
 *
 * Source: Arrow Columnar Format, "Serialization and Interprocess Communication"; FlatBuffers internals (tables, vectors).
 */
import { Message } from 'apache-arrow';

const CONTINUATION = -1;
const MAGIC = 'ARROW1';
/** Leading magic with its padding; the trailing one has none. */
const HEAD_BYTES = 8;
/** A footer's length and the magic after it. */
const TAIL_BYTES = 4 + MAGIC.length;
/** A block of a footer: offset, metadata length with padding, body length. */
const BLOCK_BYTES = 24;
/** Positions of the fields of a footer's table. */
const FOOTER_FIELD = { dictionaries: 2, recordBatches: 3 } as const;
/** Schema, dictionary and record batch; tensors are none of a table's. */
const STREAM_TYPES: readonly number[] = [1, 2, 3];
const HEADER_TYPE = { dictionaries: 2, recordBatches: 3 } as const;

/** Checks that the messages of a stream follow each other up to the end mark. Throws `RangeError` naming the byte. */
export function checkStreamFrame(bytes: Uint8Array): void {
  for (let at = 0; ;) {
    const message = messageAt(bytes, at, bytes.length);
    if (message === null) {
      const end = at + (isContinued(bytes, at) ? 8 : 4);
      if (bytes.subarray(end).some((byte) => byte !== 0)) throw new RangeError(`byte ${end}: bytes after the end mark`);
      return;
    }
    if (!STREAM_TYPES.includes(message.headerType)) throw new RangeError(`byte ${at}: a message of no known kind`);
    at = message.end;
  }
}

/** Checks that the footer of a file lies in the file and names messages that do. Throws `RangeError` naming the byte. */
export function checkFileFrame(bytes: Uint8Array): void {
  const tail = bytes.length - TAIL_BYTES;
  if (tail < HEAD_BYTES || Buffer.from(bytes.subarray(-MAGIC.length)).toString('latin1') !== MAGIC)
    throw new RangeError('the file has no end mark; it was cut');
  const length = viewOf(bytes).getInt32(tail, true);
  if (length < 4 || length > tail - HEAD_BYTES)
    throw new RangeError(`byte ${tail}: a footer of ${length} bytes, and ${tail - HEAD_BYTES} are there`);
  const start = tail - length;
  for (const kind of ['dictionaries', 'recordBatches'] as const)
    for (const offset of blockOffsets(bytes.subarray(start, tail), kind, start)) {
      const message = offset < HEAD_BYTES ? null : messageAt(bytes, offset, start);
      if (message === null || message.headerType !== HEADER_TYPE[kind])
        throw new RangeError(`byte ${offset}: the footer names a message there, and there is none of that kind`);
    }
}

/** The message at a byte, which must end before `limit`; null for the end mark. */
function messageAt(bytes: Uint8Array, at: number, limit: number): { end: number; headerType: number } | null {
  const prefix = isContinued(bytes, at) ? 8 : 4;
  if (at + prefix > limit) throw new RangeError(`byte ${at}: a message should begin; the file was cut`);
  const length = viewOf(bytes).getInt32(at + prefix - 4, true);
  if (length === 0) return null;
  const body = at + prefix + length;
  if (length < 0 || body > limit)
    throw new RangeError(`byte ${at}: a message of ${length} bytes, and ${limit - at - prefix} are left`);
  const { headerType, bodyLength } = headOf(bytes.subarray(at + prefix, body), at);
  if (!Number.isSafeInteger(bodyLength) || bodyLength < 0 || body + bodyLength > limit)
    throw new RangeError(`byte ${body}: a body of ${bodyLength} bytes, and ${limit - body} are left`);
  return { end: body + bodyLength, headerType };
}

function headOf(metadata: Uint8Array, at: number): { headerType: number; bodyLength: number } {
  try {
    const { headerType, bodyLength } = Message.decode(metadata);
    return { headerType, bodyLength };
  } catch (cause) {
    throw new RangeError(`byte ${at}: the message cannot be read`, { cause });
  }
}

/** Since format version 0.15 a mark stands before the length. */
function isContinued(bytes: Uint8Array, at: number): boolean {
  return at + 4 <= bytes.length && viewOf(bytes).getInt32(at, true) === CONTINUATION;
}

function blockOffsets(footer: Uint8Array, kind: keyof typeof FOOTER_FIELD, start: number): readonly number[] {
  const view = viewOf(footer);
  try {
    const table = view.getUint32(0, true);
    const fields = table - view.getInt32(table, true);
    const slot = 4 + 2 * FOOTER_FIELD[kind];
    const field = slot < view.getUint16(fields, true) ? view.getUint16(fields + slot, true) : 0;
    if (field === 0) return [];
    const vector = table + field + view.getUint32(table + field, true);
    const count = view.getUint32(vector, true);
    if (count > (footer.length - vector - 4) / BLOCK_BYTES) throw new RangeError('a vector longer than the footer');
    return Array.from({ length: count }, (_, i) => Number(view.getBigInt64(vector + 4 + i * BLOCK_BYTES, true)));
  } catch (cause) {
    throw new RangeError(`byte ${start}: the footer is damaged`, { cause });
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * The frame of an Arrow IPC file or stream: where each message lies and where it ends. The library follows these numbers
 * without a look: a lying length sends it round in circles, and a stream that breaks off in the middle reads as one with
 * fewer rows. So they are checked here, message by message, and a file's footer must name just the messages that are there.
 *
 * Source: Arrow Columnar Format, "Serialization and Interprocess Communication".
 */
import { type Footer, type Header, readFooter, readMetadata } from './arrow-metadata.ts';

const CONTINUATION = -1;
const MAGIC = 'ARROW1';
/** Leading magic with its padding; the trailing one has none. */
const HEAD_BYTES = 8;
/** A footer's length and the magic after it. */
const TAIL_BYTES = 4 + MAGIC.length;

export interface Framed {
  readonly messages: readonly FramedMessage[];
  /** What a file says of its columns at its end, as it stands; null for a stream, whose first message says it. */
  readonly footer: Uint8Array | null;
}

export interface FramedMessage {
  /** Byte at which it begins. */
  readonly at: number;
  readonly header: Header;
  /** As it stands, for who decodes the schema. */
  readonly metadata: Uint8Array;
  readonly body: Uint8Array;
}

/** The messages of a stream, which follow each other up to the end mark. Throws `RangeError` naming the byte. */
export function streamMessages(bytes: Uint8Array): Framed {
  if (bytes.length < 8 || bytes.subarray(-4).some((byte) => byte !== 0))
    throw new RangeError('the stream has no end mark; it was cut');
  const { messages, end } = messagesFrom(bytes, 0, bytes.length);
  if (bytes.subarray(end).some((byte) => byte !== 0)) throw new RangeError(`byte ${end}: bytes after the end mark`);
  if (messages[0]?.header.kind !== 'schema') throw new RangeError('byte 0: the schema should stand there');
  return { messages, footer: null };
}

/** The messages of a file; those that its footer lists, and no others. Throws `RangeError` naming the byte. */
export function fileMessages(bytes: Uint8Array): Framed {
  const tail = bytes.length - TAIL_BYTES;
  if (tail < HEAD_BYTES || Buffer.from(bytes.subarray(-MAGIC.length)).toString('latin1') !== MAGIC)
    throw new RangeError('the file has no end mark; it was cut');
  const length = viewOf(bytes).getInt32(tail, true);
  if (length < 4 || length > tail - HEAD_BYTES)
    throw new RangeError(`byte ${tail}: a footer of ${length} bytes, and ${tail - HEAD_BYTES} are there`);
  const start = tail - length;
  const footer = bytes.subarray(start, tail);
  const listed = footerAt(footer, start);
  const { messages } = messagesFrom(bytes, HEAD_BYTES, start);
  checkListed(messages, listed, start);
  return { messages, footer };
}

function footerAt(bytes: Uint8Array, start: number): Footer {
  try {
    return readFooter(bytes);
  } catch (cause) {
    throw new RangeError(`byte ${start}: the footer is damaged`, { cause });
  }
}

/** A footer that leaves a batch out, or names one twice, makes other rows of a file than it holds. */
function checkListed(messages: readonly FramedMessage[], footer: Footer, start: number): void {
  const [first] = messages;
  if (first?.header.kind === 'schema' && first.header.schema !== footer.schema)
    throw new RangeError(`byte ${start}: the footer describes other columns than the file begins with`);
  for (const [kind, listed] of [
    ['dictionary', footer.dictionaries],
    ['batch', footer.batches],
  ] as const) {
    const there = new Set(messages.flatMap(({ at, header }) => (header.kind === kind ? [at] : [])));
    for (const offset of listed)
      if (!there.delete(offset))
        throw new RangeError(`byte ${offset}: the footer names a message there, and there is none of that kind`);
    for (const offset of there) throw new RangeError(`byte ${offset}: a message that the footer does not name`);
  }
}

/** Messages from a byte on, up to the end mark or, where a file has none, to `limit`; and the byte after them. */
function messagesFrom(
  bytes: Uint8Array,
  from: number,
  limit: number,
): { readonly messages: readonly FramedMessage[]; readonly end: number } {
  const messages: FramedMessage[] = [];
  for (let at = from; ;) {
    if (at === limit && from > 0) return { messages, end: at };
    const message = messageAt(bytes, at, limit);
    if (message === null) return { messages, end: at + (isContinued(bytes, at) ? 8 : 4) };
    if (message.header.kind === 'schema' && messages.length > 0)
      throw new RangeError(`byte ${at}: a second schema; a file or stream has one`);
    messages.push(message);
    at = message.end;
  }
}

/** The message at a byte, which must end before `limit`; null for the end mark. */
function messageAt(bytes: Uint8Array, at: number, limit: number): (FramedMessage & { readonly end: number }) | null {
  const prefix = isContinued(bytes, at) ? 8 : 4;
  if (at + prefix > limit) throw new RangeError(`byte ${at}: a message should begin; the file was cut`);
  const length = viewOf(bytes).getInt32(at + prefix - 4, true);
  if (length === 0) return null;
  const start = at + prefix + length;
  if (length < 0 || start > limit)
    throw new RangeError(`byte ${at}: a message of ${length} bytes, and ${limit - at - prefix} are left`);
  const metadata = bytes.subarray(at + prefix, start);
  const { header, bodyLength } = metadataOf(metadata, at);
  const end = start + bodyLength;
  if (bodyLength < 0 || end > limit)
    throw new RangeError(`byte ${start}: a body of ${bodyLength} bytes, and ${limit - start} are left`);
  return { at, header, metadata, body: bytes.subarray(start, end), end };
}

function metadataOf(metadata: Uint8Array, at: number): ReturnType<typeof readMetadata> {
  try {
    return readMetadata(metadata);
  } catch (cause) {
    // What the engine says of a place outside of a buffer helps nobody.
    const isOurs = cause instanceof RangeError && !cause.message.startsWith('Offset is outside');
    throw new RangeError(`byte ${at}: ${isOurs ? cause.message : 'the message cannot be read'}`, { cause });
  }
}

/** Since format version 0.15 a mark stands before the length. */
function isContinued(bytes: Uint8Array, at: number): boolean {
  return at + 4 <= bytes.length && viewOf(bytes).getInt32(at, true) === CONTINUATION;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

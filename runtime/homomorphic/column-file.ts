import { createHash } from 'node:crypto';
import { COLUMN_LIMITS, columnHeaderText, parseColumnHeader, rowsPerBlock } from './column.ts';
import type { ColumnBlock, ColumnHeader, ColumnTotals } from './column.ts';
import { HomomorphicFault } from './fault.ts';
import { ciphertextBytes, freshShape, type CiphertextShape } from './layout.ts';
import { PROFILES } from './profiles.ts';
import { checkCiphertext } from './validate.ts';

/*
 * A column file is a magic number and records `u8 type | u32le length | payload`:
 * header (JSON), blocks (`u32le group | u32le rows | one ciphertext per channel`), end (`u64le rows | u64le blocks |
 * sha256 of everything before this record`). Every length follows from the header, so there is nothing to guess.
 */
const MAGIC = Buffer.from('GBHEC\0\0\u0001', 'latin1');
const HEADER = 1;
const BLOCK = 2;
const END = 3;
const END_BYTES = 8 + 8 + 32;
const RECORD_HEAD_BYTES = 5;

/** Writes column files chunk by chunk: each call returns the next bytes of the file. */
export class ColumnFileWriter {
  readonly #header: ColumnHeader;
  readonly #hash = createHash('sha256');
  readonly #blockBytes: number;
  #rows = 0n;
  #blocks = 0n;

  constructor(header: ColumnHeader) {
    this.#header = parseColumnHeader(columnHeaderText(header));
    this.#blockBytes = blockRecordBytes(this.#header);
  }

  /** The first bytes of the file. */
  start(): Uint8Array {
    return this.#hashed(Buffer.concat([MAGIC, record(HEADER, Buffer.from(columnHeaderText(this.#header)))]));
  }

  /** One block; ciphertext lengths must be those of the profiles. */
  block(block: ColumnBlock): Uint8Array {
    const bytes = new Uint8Array(this.#blockBytes);
    writeBlockRecord(bytes, block);
    return this.sealed({ bytes, blocks: 1, rows: block.rows });
  }

  /** Blocks whose records are made already, by `writeBlockRecord`. */
  sealed({
    bytes,
    blocks,
    rows,
  }: {
    readonly bytes: Uint8Array;
    readonly blocks: number;
    readonly rows: number;
  }): Uint8Array {
    if (bytes.byteLength !== blocks * this.#blockBytes) throw new RangeError('these are not blocks of this column');
    this.#rows += BigInt(rows);
    this.#blocks += BigInt(blocks);
    return this.#hashed(bytes);
  }

  /** The last bytes, and the totals with the digest of the whole file. */
  end(): { readonly bytes: Uint8Array; readonly totals: ColumnTotals } {
    const payload = Buffer.alloc(END_BYTES);
    payload.writeBigUInt64LE(this.#rows, 0);
    payload.writeBigUInt64LE(this.#blocks, 8);
    this.#hash.copy().digest().copy(payload, 16);
    const bytes = this.#hashed(record(END, payload));
    const digest = `sha256:${this.#hash.digest('hex')}`;
    return { bytes, totals: { rows: Number(this.#rows), blocks: Number(this.#blocks), digest } };
  }

  #hashed(bytes: Uint8Array): Uint8Array {
    this.#hash.update(bytes);
    return bytes;
  }
}

/** Bytes of one block's record: the same for every block of a column. */
export function blockRecordBytes(header: Pick<ColumnHeader, 'channels' | 'form'>): number {
  return RECORD_HEAD_BYTES + 8 + channelShapes(header).reduce((sum, shape) => sum + ciphertextBytes(shape), 0);
}

/** Writes one block's record over `bytes`, which must have room for exactly it. */
export function writeBlockRecord(bytes: Uint8Array, { group, rows, channels }: ColumnBlock): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint8(0, BLOCK);
  view.setUint32(1, bytes.byteLength - RECORD_HEAD_BYTES, true);
  view.setUint32(5, group, true);
  view.setUint32(9, rows, true);
  let at = RECORD_HEAD_BYTES + 8;
  for (const channel of channels) {
    if (at + channel.byteLength > bytes.byteLength) throw new RangeError('a ciphertext does not fit its channel');
    bytes.set(channel, at);
    at += channel.byteLength;
  }
  if (at !== bytes.byteLength) throw new RangeError('a block misses a channel');
}

/** What a strict reader meets, in this order: one header, blocks, one end. */
export type ColumnEvent =
  | { readonly kind: 'header'; readonly header: ColumnHeader }
  | { readonly kind: 'block'; readonly block: ColumnBlock; readonly index: number }
  | { readonly kind: 'end'; readonly totals: ColumnTotals };

/**
 * Reads a column file from untrusted bytes in any chunking, holding one record at a time. Every ciphertext is validated
 * (pass `check: 'frame'` only for files this runtime stored itself: then neither residues nor digests are looked at,
 * hashing would cost several times what adding does, and `digest` is empty); truncated, extended or damaged input throws
 * `bad-column` or `bad-ciphertext`, and nothing may be used before the `end` event has confirmed the digest.
 */
export async function* readColumnFile(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options?: { readonly check?: 'full' | 'frame' },
): AsyncGenerator<ColumnEvent, void> {
  const input = new ByteQueue(chunks);
  const hash = createHash('sha256');
  const isHashed = options?.check !== 'frame';
  const take = async (length: number): Promise<Uint8Array> => {
    const bytes = await input.take(length);
    if (isHashed) hash.update(bytes);
    return bytes;
  };
  if (Buffer.compare(await take(MAGIC.byteLength), MAGIC) !== 0) refuse('it does not begin like one');
  const first = headOf(await take(RECORD_HEAD_BYTES));
  if (first.type !== HEADER || first.length > COLUMN_LIMITS.headerBytes) refuse('its header is missing or too long');
  const header = parseColumnHeader(Buffer.from(await take(first.length)).toString('utf8'));
  yield { kind: 'header', header };

  const shapes = channelShapes(header);
  const blockBytes = 8 + shapes.reduce((sum, shape) => sum + ciphertextBytes(shape), 0);
  const capacity = rowsPerBlock(header);
  let rows = 0;
  for (let index = 0; ; index++) {
    const before = hash.copy();
    const head = headOf(await take(RECORD_HEAD_BYTES));
    if (head.type === END && head.length === END_BYTES) {
      const payload = Buffer.from(await take(END_BYTES));
      const isTrue = payload.readBigUInt64LE(0) === BigInt(rows) && payload.readBigUInt64LE(8) === BigInt(index);
      if (!isTrue || (isHashed && !before.digest().equals(payload.subarray(16))))
        refuse('its digest or totals are wrong');
      if (!(await input.isAtEnd())) refuse('bytes follow its end');
      yield { kind: 'end', totals: { rows, blocks: index, digest: isHashed ? `sha256:${hash.digest('hex')}` : '' } };
      return;
    }
    if (head.type !== BLOCK || head.length !== blockBytes) refuse(`record ${index} is not a block of this column`);
    if (index >= COLUMN_LIMITS.blocks) refuse(`it has more than ${COLUMN_LIMITS.blocks} blocks`);
    const block = blockOf(await take(blockBytes), shapes);
    const isKnown = block.group < Math.max(1, header.groups.length);
    if (!isKnown || block.rows < 1 || block.rows > capacity)
      refuse(`block ${index} has an impossible group or row count`);
    if (isHashed) {
      block.channels.forEach((bytes, i) => {
        const shape = shapes[i];
        if (shape !== undefined) checkCiphertext(shape, bytes);
      });
    }
    rows += block.rows;
    yield { kind: 'block', block, index };
  }
}

/** The shape of each channel's ciphertext in the form the header names. */
export function channelShapes(header: Pick<ColumnHeader, 'channels' | 'form'>): readonly CiphertextShape[] {
  return header.channels.map((channel) => freshShape(PROFILES[channel.profile], header.form));
}

function blockOf(payload: Uint8Array, shapes: readonly CiphertextShape[]): ColumnBlock {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  let at = 8;
  const channels = shapes.map((shape) => {
    const length = ciphertextBytes(shape);
    const bytes = payload.subarray(at, at + length);
    at += length;
    return bytes;
  });
  return { group: view.getUint32(0, true), rows: view.getUint32(4, true), channels };
}

function headOf(bytes: Uint8Array): { readonly type: number; readonly length: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { type: view.getUint8(0), length: view.getUint32(1, true) };
}

function record(type: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(RECORD_HEAD_BYTES);
  head.writeUInt8(type, 0);
  head.writeUInt32LE(payload.byteLength, 1);
  return Buffer.concat([head, payload]);
}

/** Chunks in, exact lengths out; holds no more than the record asked for and one chunk. */
class ByteQueue {
  readonly #iterator: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#iterator = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  }

  async take(length: number): Promise<Uint8Array> {
    if (this.#rest.byteLength >= length) return this.#cut(length);
    const whole = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (this.#rest.byteLength === 0 && !(await this.#more())) refuse('it ends too early');
      const part = this.#cut(Math.min(this.#rest.byteLength, length - filled));
      whole.set(part, filled);
      filled += part.byteLength;
    }
    return whole;
  }

  async isAtEnd(): Promise<boolean> {
    return this.#rest.byteLength === 0 && !(await this.#more());
  }

  #cut(length: number): Uint8Array {
    const part = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return part;
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#iterator.next();
      if (next.done === true) return false;
      if (next.value.byteLength > 0) {
        this.#rest = next.value;
        return true;
      }
    }
  }
}

function refuse(complaint: string): never {
  throw new HomomorphicFault('bad-column', `cannot read this encrypted column: ${complaint}`);
}

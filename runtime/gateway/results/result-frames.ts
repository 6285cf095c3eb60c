import { createHash, hash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { WrittenResult } from '../../job/needs.ts';
import { MAX_FRAME_BYTES } from '../../rpc/flight-framing.ts';

/** A length stands before each frame; a length of 0 ends them, and the SHA-256 of each follows in large files. */
export const LENGTH_BYTES = 4;
/** Results up to here are read at once. */
export const SMALL_BYTES = 2 << 20;
const MAX_SMALL_FILE_BYTES = 2 * SMALL_BYTES;
const DIGEST_BYTES = 32;

/** A result's file does not hold what was released. */
export class ResultChanged extends Error {
  override readonly name = 'ResultChanged';
}
const notWhole = (): ResultChanged => new ResultChanged('a result file is not whole, or was changed');

/**
 * The frames of a result's file, in order; each may be used until the next is asked for. Throws `ResultChanged` where
 * the file is not what was recorded, before any byte of the frame that was changed is given out.
 */
export async function* framesOf(path: string, recorded: WrittenResult): AsyncGenerator<Uint8Array, void, void> {
  const { bytes, framesSha256 } = recorded;
  if (bytes <= SMALL_BYTES && framesSha256 === undefined) yield* smallFrames(path, recorded);
  else yield* largeFrames(path, recorded);
}

/**
 * A small file was written moments ago as a rule and lies in the page cache: reading it here takes less time than
 * telling another thread to.
 */
function* smallFrames(path: string, { bytes, sha256 }: WrittenResult): Generator<Uint8Array, void, void> {
  if (statSync(path).size > MAX_SMALL_FILE_BYTES) throw notWhole();
  const file = readFileSync(path);
  const frames: Uint8Array[] = [];
  const hash = createHash('sha256');
  let left = bytes;
  for (let at = 0; ;) {
    const length = lengthIn(file, at);
    if (length === null) break;
    at += LENGTH_BYTES;
    if (length > file.byteLength - at) throw notWhole();
    const frame = file.subarray(at, at + length);
    hash.update(frame);
    frames.push(frame);
    left -= length;
    at += length;
  }
  if (left !== 0 || hash.digest('hex') !== sha256) throw notWhole();
  yield* frames;
}

/**
 * Frames of a large file, in two pieces of memory by turns: while one frame is sent the next is read. New memory for
 * each would cost more than all the rest: the collector of garbage runs at every few of them (measured).
 */
async function* largeFrames(path: string, recorded: WrittenResult): AsyncGenerator<Uint8Array, void, void> {
  const file = await open(path, 'r');
  const slots: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)];
  let turn: 0 | 1 = 0;
  /** A frame and the length of the one after it. */
  const load = (length: number): Promise<Buffer> => {
    turn = turn === 0 ? 1 : 0;
    const needed = length + LENGTH_BYTES;
    if (slots[turn].byteLength < needed) slots[turn] = Buffer.allocUnsafeSlow(needed + SLOT_ROOM_BYTES);
    const reading = exactly(file, slots[turn].subarray(0, needed));
    // Whoever waits for it sees the failure; a reader that leaves does not.
    reading.catch(() => undefined);
    return reading;
  };
  try {
    const check = await checkOf(file, recorded);
    const first = lengthIn(await exactly(file, Buffer.alloc(LENGTH_BYTES)), 0);
    // Every result has at least the frame of its schema.
    if (first === null || first === 0) throw notWhole();
    let next: { length: number; reading: Promise<Buffer> } | null = { length: first, reading: load(first) };
    while (next !== null) {
      const { length, reading } = next;
      const piece: Buffer = await reading;
      if (piece.byteLength < length) throw notWhole();
      const following = lengthIn(piece, length);
      const isLast = following === null || following === 0;
      const frame = piece.subarray(0, length);
      if (!check(frame, isLast)) throw notWhole();
      next = isLast ? null : { length: following, reading: load(following) };
      yield frame;
    }
  } finally {
    await file.close();
  }
}

/** Frames differ in size by a little. */
const SLOT_ROOM_BYTES = 64 << 10;

/** Whether a frame may be given out; it is asked about each in order. */
type Check = (frame: Uint8Array, isLast: boolean) => boolean;

/**
 * Each frame against its own digest, and the digests against the record. Results of versions that kept none are
 * compared as a whole, with their last frame held back until they are.
 */
async function checkOf(file: FileHandle, { bytes, sha256, framesSha256 }: WrittenResult): Promise<Check> {
  let left = bytes;
  if (framesSha256 === undefined) {
    const whole = createHash('sha256');
    return (frame, isLast) => {
      whole.update(frame);
      left -= frame.byteLength;
      return left >= 0 && (!isLast || (left === 0 && whole.digest('hex') === sha256));
    };
  }
  const { size } = await file.stat();
  const count = (size - bytes - LENGTH_BYTES) / (LENGTH_BYTES + DIGEST_BYTES);
  if (!Number.isInteger(count) || count < 1 || count > bytes) throw notWhole();
  const digests = Buffer.alloc(count * DIGEST_BYTES);
  const { bytesRead } = await file.read(digests, 0, digests.byteLength, size - digests.byteLength);
  if (bytesRead !== digests.byteLength || hash('sha256', digests) !== framesSha256) throw notWhole();
  let at = 0;
  return (frame, isLast) => {
    const digest = digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
    at += 1;
    left -= frame.byteLength;
    return digest.equals(hash('sha256', frame, 'buffer')) && isLast === (at === count) && (!isLast || left === 0);
  };
}

/** The length of a frame at a place; null where the file ends. */
function lengthIn(piece: Buffer, at: number): number | null {
  if (piece.byteLength === at) return null;
  if (piece.byteLength < at + LENGTH_BYTES) throw notWhole();
  const length = piece.readUInt32LE(at);
  if (length > MAX_FRAME_BYTES * 2) throw notWhole();
  return length;
}

/** Fills the buffer with the next bytes of a file; with fewer only at its end. */
async function exactly(file: FileHandle, buffer: Buffer): Promise<Buffer> {
  let filled = 0;
  while (filled < buffer.byteLength) {
    const { bytesRead } = await file.read(buffer, filled, buffer.byteLength - filled, null);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

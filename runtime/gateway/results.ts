import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writev,
  writevSync,
} from 'node:fs';
import { mkdir, open, rename, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ResultWriter } from '../job/needs.ts';
import type { ColumnBatch, Schema } from '../release/columns.ts';
import { batchFrames, MAX_FRAME_BYTES, schemaFrame } from '../rpc/flight-framing.ts';

/** How long a released result can be fetched again, milliseconds; after that its file is removed. */
export const RESULT_LIFE_MS = 24 * 3_600_000;
const SUFFIX = '.frames';
/** Bytes gathered before they are written. */
const WRITE_BYTES = 1 << 20;

/**
 * Released results wait in files of their own: each a sequence of (u32 little-endian length, FlightData message). They
 * hold only what passed the gate. A file whose release was never recorded is removed at start.
 */
export class Results {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Opens the folder; `isReleased` says which jobs' results were recorded before the last process ended. */
  static async open(folder: string, isReleased: (jobId: string) => Promise<boolean>): Promise<Results> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(folder)) {
      const jobId = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : null;
      if (jobId === null || !(await isReleased(jobId))) await rm(join(folder, name), { force: true });
    }
    return new Results(folder);
  }

  create(jobId: string, schema: Schema): Promise<ResultWriter> {
    return Promise.resolve(new FileWriter(this.#pathOf(jobId), schema));
  }

  exists(jobId: string): boolean {
    return existsSync(this.#pathOf(jobId));
  }

  /** The frames of a result, in order, each in memory of its own; else as `lend`. */
  async *read(jobId: string, recorded: RecordedResult): AsyncGenerator<Uint8Array, void, void> {
    for await (const frame of this.lend(jobId, recorded)) yield Uint8Array.from(frame);
  }

  /**
   * The frames of a result, in order. A frame may be used until the next one is asked for: its memory is used again.
   * Throws at the end of a file that does not hold the bytes that were recorded: a reader must not take a part for the
   * whole. A small file is read and compared as a whole before its first frame.
   */
  async *lend(jobId: string, recorded: RecordedResult): AsyncGenerator<Uint8Array, void, void> {
    const path = this.#pathOf(jobId);
    if (recorded.bytes <= SMALL_BYTES) yield* smallFrames(path, recorded);
    else yield* largeFrames(path, recorded.bytes);
  }

  /** Makes a released result the result of another job too, durable; throws when its bytes are not those recorded. */
  async copy(from: string, to: string, recorded: { readonly bytes: number; readonly sha256: string }): Promise<void> {
    const path = this.#pathOf(to);
    const file = await open(`${path}.part`, 'w', 0o600);
    try {
      const hash = createHash('sha256');
      for await (const frame of this.read(from, recorded)) {
        const length = Buffer.alloc(LENGTH_BYTES);
        length.writeUInt32LE(frame.byteLength);
        hash.update(frame);
        const { bytesWritten } = await file.writev([length, frame]);
        if (bytesWritten !== LENGTH_BYTES + frame.byteLength) throw new Error(NOT_WHOLE);
      }
      if (hash.digest('hex') !== recorded.sha256) throw new Error(NOT_WHOLE);
      await file.sync();
      await file.close();
      await rename(`${path}.part`, path);
    } catch (error) {
      await file.close().catch(() => undefined);
      await rm(`${path}.part`, { force: true });
      throw error;
    }
  }

  async remove(jobId: string): Promise<void> {
    await rm(this.#pathOf(jobId), { force: true });
  }

  /** Removes results that are older than they may be; answers how many. */
  async sweep(nowMs: number): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: nowMs }));
      if (nowMs - mtimeMs > RESULT_LIFE_MS) {
        await rm(path, { force: true });
        removed += 1;
      }
    }
    return removed;
  }

  #pathOf(jobId: string): string {
    if (!/^[a-z0-9-]{1,80}$/.test(jobId)) throw new Error('not a job id');
    return join(this.#folder, `${jobId}${SUFFIX}`);
  }
}

/** What a job's record says of its result. */
export interface RecordedResult {
  readonly bytes: number;
  readonly sha256: string;
}

const LENGTH_BYTES = 4;
/** Results up to here are read at once. */
const SMALL_BYTES = 256 << 10;
const MAX_SMALL_FILE_BYTES = 2 * SMALL_BYTES;
const NOT_WHOLE = 'a result file is not whole';

/**
 * A small file was written moments ago as a rule and lies in the page cache: reading it here takes less time than
 * telling another thread to.
 */
function* smallFrames(path: string, { bytes, sha256 }: RecordedResult): Generator<Uint8Array, void, void> {
  if (statSync(path).size > MAX_SMALL_FILE_BYTES) throw new Error(NOT_WHOLE);
  const file = readFileSync(path);
  const frames: Uint8Array[] = [];
  const hash = createHash('sha256');
  let left = bytes;
  for (let at = 0; ;) {
    const length = lengthIn(file, at);
    if (length === null) break;
    at += LENGTH_BYTES;
    if (length > file.byteLength - at) throw new Error(NOT_WHOLE);
    const frame = file.subarray(at, at + length);
    hash.update(frame);
    frames.push(frame);
    left -= length;
    at += length;
  }
  if (left !== 0 || hash.digest('hex') !== sha256) throw new Error(NOT_WHOLE);
  yield* frames;
}

/**
 * Frames of a large file, in two pieces of memory by turns: while one frame is sent the next is read. New memory for
 * each would cost more than all the rest: the collector of garbage runs at every few of them (measured).
 */
async function* largeFrames(path: string, bytes: number): AsyncGenerator<Uint8Array, void, void> {
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
  let left = bytes;
  try {
    const first = lengthIn(await exactly(file, Buffer.alloc(LENGTH_BYTES)), 0);
    let next = first === null ? null : { length: first, reading: load(first) };
    while (next !== null) {
      const { length } = next;
      const piece = await next.reading;
      if (piece.byteLength < length) throw new Error(NOT_WHOLE);
      const following = lengthIn(piece, length);
      next = following === null ? null : { length: following, reading: load(following) };
      left -= length;
      yield piece.subarray(0, length);
    }
  } finally {
    await file.close();
  }
  if (left !== 0) throw new Error(NOT_WHOLE);
}

/** Frames differ in size by a little. */
const SLOT_ROOM_BYTES = 64 << 10;

/** The length of a frame at a place; null where the file ends. */
function lengthIn(piece: Buffer, at: number): number | null {
  if (piece.byteLength === at) return null;
  if (piece.byteLength < at + LENGTH_BYTES) throw new Error(NOT_WHOLE);
  const length = piece.readUInt32LE(at);
  if (length > MAX_FRAME_BYTES * 2) throw new Error('a result file holds a frame that is too long');
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

class FileWriter implements ResultWriter {
  readonly #path: string;
  readonly #schema: Schema;
  readonly #hash = createHash('sha256');
  #file: number | null;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #bytes = 0;

  constructor(path: string, schema: Schema) {
    this.#file = openSync(`${path}.part`, 'w', 0o600);
    this.#path = path;
    this.#schema = schema;
    this.#add(schemaFrame(schema));
  }

  async write(batch: ColumnBatch): Promise<void> {
    for (const frame of batchFrames(this.#schema, batch)) {
      this.#add(frame);
      if (this.#pendingBytes >= WRITE_BYTES) await this.#flush();
    }
  }

  async finish(): Promise<RecordedResult> {
    // A small result is written here and now: it goes into the page cache, which no other thread is needed for.
    if (this.#pendingBytes <= SMALL_BYTES) this.#written(writevSync(this.#open(), this.#pending));
    else await this.#flush();
    renameSync(`${this.#path}.part`, this.#path);
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  async settle(): Promise<void> {
    await promisify(fsync)(this.#open());
    this.#close();
  }

  async discard(): Promise<void> {
    this.#close();
    await rm(`${this.#path}.part`, { force: true }).catch(() => undefined);
    await rm(this.#path, { force: true }).catch(() => undefined);
  }

  #add(frame: Uint8Array): void {
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(frame.byteLength);
    this.#hash.update(frame);
    this.#pending.push(length, frame);
    this.#pendingBytes += LENGTH_BYTES + frame.byteLength;
    this.#bytes += frame.byteLength;
  }

  async #flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    const { bytesWritten } = await promisify(writev)(this.#open(), this.#pending);
    this.#written(bytesWritten);
  }

  /** A disk may take a part only; what follows would stand in the wrong place. */
  #written(bytes: number): void {
    if (bytes !== this.#pendingBytes) throw new Error('a result file could not be written whole');
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  #open(): number {
    if (this.#file === null) throw new Error('the result file is closed');
    return this.#file;
  }

  #close(): void {
    const file = this.#file;
    this.#file = null;
    if (file !== null) closeSync(file);
  }
}

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
import { mkdir, open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
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

  /**
   * The frames of a result, in order. Throws at the end of a file that does not hold the bytes that were recorded: a
   * reader must not take a part for the whole. A small file is read and compared as a whole before its first frame.
   */
  async *read(jobId: string, recorded: RecordedResult): AsyncGenerator<Uint8Array, void, void> {
    const path = this.#pathOf(jobId);
    if (recorded.bytes <= SMALL_BYTES) yield* smallFrames(path, recorded);
    else yield* largeFrames(path, recorded.bytes);
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
  for (let at = 0; at < file.byteLength;) {
    const length = lengthIn(file, at);
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

/** Bytes of a large file that are read at once: some frames, so that few calls go to the thread that reads. */
const READ_BYTES = 4 << 20;

/** Each piece is read into memory of its own and its frames are views of it: nothing is copied. */
async function* largeFrames(path: string, bytes: number): AsyncGenerator<Uint8Array, void, void> {
  const file = await open(path, 'r');
  let left = bytes;
  try {
    let piece: Buffer = Buffer.alloc(0);
    let at = 0;
    /** What has been read and not been given out yet, and more of it: at least `needed` bytes, or null at the end. */
    const refill = async (needed: number): Promise<Buffer | null> => {
      const rest = piece.subarray(at);
      const next = await pieceOf(file, rest, Math.max(READ_BYTES, needed));
      return next.byteLength < needed ? null : next;
    };
    for (;;) {
      if (piece.byteLength - at < LENGTH_BYTES) {
        const more = await refill(LENGTH_BYTES);
        if (more === null) {
          if (piece.byteLength !== at) throw new Error(NOT_WHOLE);
          break;
        }
        [piece, at] = [more, 0];
      }
      const whole = LENGTH_BYTES + lengthIn(piece, at);
      if (piece.byteLength - at < whole) {
        const more = await refill(whole);
        if (more === null) throw new Error(NOT_WHOLE);
        [piece, at] = [more, 0];
      }
      const frame = piece.subarray(at + LENGTH_BYTES, at + whole);
      at += whole;
      left -= frame.byteLength;
      yield frame;
    }
  } finally {
    await file.close();
  }
  if (left !== 0) throw new Error(NOT_WHOLE);
}

/** The length of a frame at a place. */
function lengthIn(piece: Buffer, at: number): number {
  if (piece.byteLength < at + LENGTH_BYTES) throw new Error(NOT_WHOLE);
  const length = piece.readUInt32LE(at);
  if (length > MAX_FRAME_BYTES * 2) throw new Error('a result file holds a frame that is too long');
  return length;
}

/** `rest` and the bytes of the file behind it, `bytes` in all; fewer only at the end of the file. */
async function pieceOf(file: FileHandle, rest: Buffer, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(bytes);
  let filled = rest.copy(buffer);
  while (filled < bytes) {
    const { bytesRead } = await file.read(buffer, filled, bytes - filled, null);
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

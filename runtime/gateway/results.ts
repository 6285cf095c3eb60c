import { createHash } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
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

  async create(jobId: string, schema: Schema): Promise<ResultWriter> {
    const path = this.#pathOf(jobId);
    const file = await open(`${path}.part`, 'w', 0o600);
    return new FileWriter(file, path, schema);
  }

  async exists(jobId: string): Promise<boolean> {
    return stat(this.#pathOf(jobId)).then(
      () => true,
      () => false,
    );
  }

  /**
   * The frames of a result, in order. Each is read into memory of its own, together with the length of the next one: no
   * copy is made, and a small result costs one small allocation. Throws at the end of a file that does not hold the bytes
   * that were recorded: a reader must not take a part for the whole.
   */
  async *read(jobId: string, bytes: number): AsyncGenerator<Uint8Array, void, void> {
    const file = await open(this.#pathOf(jobId), 'r');
    let left = bytes;
    try {
      let length = lengthIn(await exactly(file, LENGTH_BYTES), 0);
      while (length !== null) {
        const piece = await exactly(file, length + LENGTH_BYTES);
        if (piece.byteLength < length) throw new Error(NOT_WHOLE);
        left -= length;
        yield piece.subarray(0, length);
        length = lengthIn(piece, length);
      }
    } finally {
      await file.close();
    }
    if (left !== 0) throw new Error(NOT_WHOLE);
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

const LENGTH_BYTES = 4;
const NOT_WHOLE = 'a result file is not whole';

/** The length of a frame at a place; null where the file ends. */
function lengthIn(piece: Buffer, at: number): number | null {
  if (piece.byteLength === at) return null;
  if (piece.byteLength < at + LENGTH_BYTES) throw new Error(NOT_WHOLE);
  const length = piece.readUInt32LE(at);
  if (length > MAX_FRAME_BYTES * 2) throw new Error('a result file holds a frame that is too long');
  return length;
}

/** The next bytes of a file; fewer only at its end. */
async function exactly(file: FileHandle, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(bytes);
  let filled = 0;
  while (filled < bytes) {
    const { bytesRead } = await file.read(buffer, filled, bytes - filled, null);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

class FileWriter implements ResultWriter {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #schema: Schema;
  readonly #hash = createHash('sha256');
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #bytes = 0;
  #isClosed = false;

  constructor(file: FileHandle, path: string, schema: Schema) {
    this.#file = file;
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

  async finish(): Promise<{ readonly bytes: number; readonly sha256: string }> {
    await this.#flush();
    await this.#file.sync();
    await this.#close();
    await rename(`${this.#path}.part`, this.#path);
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  async discard(): Promise<void> {
    await this.#close().catch(() => undefined);
    await rm(`${this.#path}.part`, { force: true }).catch(() => undefined);
    await rm(this.#path, { force: true }).catch(() => undefined);
  }

  #add(frame: Uint8Array): void {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(frame.byteLength);
    this.#hash.update(frame);
    this.#pending.push(length, frame);
    this.#pendingBytes += 4 + frame.byteLength;
    this.#bytes += frame.byteLength;
  }

  async #flush(): Promise<void> {
    const pieces = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (pieces.length > 0) await this.#file.writev(pieces);
  }

  async #close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#file.close();
  }
}

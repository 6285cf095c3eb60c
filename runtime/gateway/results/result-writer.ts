import { createHash, hash } from 'node:crypto';
import { closeSync, fsync, openSync, renameSync, writev, writevSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { ResultWriter, WrittenResult } from '../../job/needs.ts';
import type { ColumnBatch, Schema } from '../../release/columns.ts';
import { batchFrames, schemaFrame } from '../../rpc/flight-framing.ts';
import { LENGTH_BYTES, SMALL_BYTES } from './result-frames.ts';

/** Bytes gathered before they are written. */
const WRITE_BYTES = 1 << 20;

/** Writes a result's frames into a file that has its name only when it is whole. */
export class ResultFileWriter implements ResultWriter {
  readonly #path: string;
  readonly #schema: Schema;
  readonly #hash = createHash('sha256');
  /** Of each frame that was written; only for results that are too large to be read at once. */
  readonly #digests: Uint8Array[] = [];
  #file: number | null;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #bytes = 0;

  readonly #onSmall: (frames: readonly Uint8Array[] | null) => void;

  /** `onSmall` is given the frames of a small result once its file is whole, which nobody may change; null: discarded. */
  constructor(path: string, schema: Schema, onSmall: (frames: readonly Uint8Array[] | null) => void = () => {}) {
    this.#onSmall = onSmall;
    this.#file = openSync(`${path}.part`, 'w', 0o600);
    this.#path = path;
    this.#schema = schema;
    this.#add(schemaFrame(schema));
  }

  async write(batch: ColumnBatch): Promise<void> {
    for (const frame of batchFrames(this.#schema, batch)) {
      this.#add(frame);
      // A result that may still be a small one is kept whole.
      if (this.#bytes > SMALL_BYTES && this.#pendingBytes >= WRITE_BYTES) await this.#flush();
    }
  }

  async finish(): Promise<WrittenResult> {
    const isSmall = this.#bytes <= SMALL_BYTES;
    // A small result is written here and now: it goes into the page cache, which no other thread is needed for.
    const frames = isSmall ? this.#pending.filter((_, at) => at % 2 === 1) : [];
    if (isSmall) this.#written(writevSync(this.#open(), this.#pending));
    else await this.#flush();
    const framesSha256 = isSmall ? {} : { framesSha256: await this.#writeDigests() };
    renameSync(`${this.#path}.part`, this.#path);
    if (isSmall) this.#onSmall(frames);
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex'), ...framesSha256 };
  }

  async settle(): Promise<void> {
    await promisify(fsync)(this.#open());
    this.#close();
  }

  async discard(): Promise<void> {
    this.#onSmall(null);
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
    for (let at = 1; at < this.#pending.length; at += 2)
      this.#digests.push(hash('sha256', this.#pending[at] ?? new Uint8Array(0), 'buffer'));
    const { bytesWritten } = await promisify(writev)(this.#open(), this.#pending);
    this.#written(bytesWritten);
  }

  /** What lets each frame be checked before it is sent; answers what the digests are themselves checked by. */
  async #writeDigests(): Promise<string> {
    const digests = Buffer.concat(this.#digests);
    this.#pending = [Buffer.alloc(LENGTH_BYTES), digests];
    this.#pendingBytes = LENGTH_BYTES + digests.byteLength;
    const { bytesWritten } = await promisify(writev)(this.#open(), this.#pending);
    this.#written(bytesWritten);
    return hash('sha256', digests);
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

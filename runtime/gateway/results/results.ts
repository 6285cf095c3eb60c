import { hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ResultWriter, WrittenResult } from '../../job/needs.ts';
import type { Schema } from '../../release/columns.ts';
import { Fault } from '../../rpc/fault.ts';
import { framesOf, LENGTH_BYTES, ResultChanged } from './result-frames.ts';
import { ResultFileWriter } from './result-writer.ts';

/** How long a released result can be fetched again, milliseconds; after that its file is removed. */
export const RESULT_LIFE_MS = 24 * 3_600_000;
const SUFFIX = '.frames';
/** A file that was found changed is put aside under this ending: the operator may look at it, nobody fetches it. */
const CHANGED = '.changed';
/** Names that are made here. What else lies in the folder, or where a link leads, is somebody else's: it is not removed. */
const OWN = /^[a-z0-9-]{1,80}\.(frames|frames\.part|changed)$/;

/**
 * Released results wait in files of their own: each a sequence of (u32 little-endian length, FlightData message). They
 * hold only what passed the gate. A file whose release was never recorded is removed at start.
 */
export class Results {
  readonly #folder: string;
  readonly #onChanged: (jobId: string) => void;
  /** Small results that were written a moment ago, as they lie in their files. */
  readonly #latest = new Map<string, readonly Uint8Array[]>();

  private constructor(folder: string, onChanged: (jobId: string) => void) {
    this.#folder = folder;
    this.#onChanged = onChanged;
  }

  /**
   * Opens the folder; `isReleased` says which jobs' results were recorded before the last process ended. `onChanged`
   * hears of a result whose file is not what was released.
   */
  static async open(
    folder: string,
    isReleased: (jobId: string) => Promise<boolean>,
    onChanged: (jobId: string) => void = () => {},
  ): Promise<Results> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(folder)) {
      if (!OWN.test(name)) continue;
      const jobId = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : null;
      if (jobId === null || !(await isReleased(jobId))) await rm(join(folder, name), { force: true });
    }
    return new Results(folder, onChanged);
  }

  create(jobId: string, schema: Schema): Promise<ResultWriter> {
    const keep = (frames: readonly Uint8Array[] | null): void => {
      this.#latest.delete(jobId);
      if (frames === null || frames.reduce((sum, { byteLength }) => sum + byteLength, 0) > MAX_LATEST_BYTES) return;
      const [oldest] = this.#latest.keys();
      if (this.#latest.size >= MAX_LATEST && oldest !== undefined) this.#latest.delete(oldest);
      this.#latest.set(jobId, frames);
    };
    return Promise.resolve(new ResultFileWriter(this.#pathOf(jobId), schema, keep));
  }

  /** The frames of a small result that was written a moment ago, once, without its file; else null. */
  take(jobId: string): readonly Uint8Array[] | null {
    const frames = this.#latest.get(jobId) ?? null;
    this.#latest.delete(jobId);
    return frames;
  }

  exists(jobId: string): boolean {
    return existsSync(this.#pathOf(jobId));
  }

  /** The frames of a result, in order, each in memory of its own; else as `lend`. */
  async *read(jobId: string, recorded: WrittenResult): AsyncGenerator<Uint8Array, void, void> {
    for await (const frame of this.lend(jobId, recorded)) yield Uint8Array.from(frame);
  }

  /**
   * The frames of a result, in order. A frame may be used until the next one is asked for: its memory is used again.
   * A file that does not hold the bytes that were recorded is the fault `result-changed`, before a byte of a changed
   * frame is given out; it is then kept no more, and the question can be asked again.
   */
  async *lend(jobId: string, recorded: WrittenResult): AsyncGenerator<Uint8Array, void, void> {
    const path = this.#pathOf(jobId);
    try {
      yield* framesOf(path, recorded);
    } catch (cause) {
      if (!(cause instanceof ResultChanged)) throw cause;
      await rename(path, path.replace(SUFFIX, CHANGED)).catch(() => undefined);
      this.#onChanged(jobId);
      throw new Fault('result-changed', CHANGED_MESSAGE, { cause });
    }
  }

  /** Makes a released result the result of another job too, durable; throws when its bytes are not those recorded. */
  async copy(from: string, to: string, recorded: WrittenResult): Promise<void> {
    const path = this.#pathOf(to);
    const file = await open(`${path}.part`, 'w', 0o600);
    const write = async (length: number, bytes: Uint8Array): Promise<void> => {
      const prefix = Buffer.alloc(LENGTH_BYTES);
      prefix.writeUInt32LE(length);
      const { bytesWritten } = await file.writev([prefix, bytes]);
      if (bytesWritten !== LENGTH_BYTES + bytes.byteLength) throw new Error('a result file could not be written whole');
    };
    try {
      const digests: Uint8Array[] = [];
      for await (const frame of this.read(from, recorded)) {
        await write(frame.byteLength, frame);
        if (recorded.framesSha256 !== undefined) digests.push(hash('sha256', frame, 'buffer'));
      }
      if (recorded.framesSha256 !== undefined) await write(0, Buffer.concat(digests));
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
    this.#latest.delete(jobId);
    await rm(this.#pathOf(jobId), { force: true });
  }

  /** Removes results that are older than they may be; answers how many. */
  async sweep(nowMs: number): Promise<number> {
    let removed = 0;
    for (const name of (await readdir(this.#folder)).filter((one) => OWN.test(one))) {
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

/** As many jobs as end at the same time; those whose result waits behind a ticket are forgotten by and by. */
const MAX_LATEST = 32;
const MAX_LATEST_BYTES = 64 << 10;

const CHANGED_MESSAGE =
  'the kept file of this result is not what was released: it was changed or damaged, and is not sent; ask the question again';

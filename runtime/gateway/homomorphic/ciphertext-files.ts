import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/** How long an upload that was interrupted can be continued, milliseconds. */
export const PARTIAL_LIFE_MS = 24 * 3_600_000;
/** Uploads of one party that may lie unfinished. */
export const MAX_PARTIALS = 16;
const PARTIAL = '.part';

/** Files of uploaded keys, columns and queries: named by owner and digest, so that no party meets another's. */
export class CiphertextFiles {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Opens the folder, and removes what was half made when the last process ended; interrupted uploads stay. */
  static async open(folder: string): Promise<CiphertextFiles> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(folder)) if (name.endsWith('.new')) await rm(join(folder, name), { force: true });
    return new CiphertextFiles(folder);
  }

  /** Path of the stored form of an object. */
  pathOf(owner: string, digest: string): string {
    return join(this.#folder, `${ownerPart(owner)}-${hexOf(digest)}`);
  }

  /** Bytes of an interrupted upload that are here already. */
  async partial(owner: string, digest: string): Promise<number> {
    return (await stat(`${this.pathOf(owner, digest)}${PARTIAL}`).catch(() => null))?.size ?? 0;
  }

  /** Continues or begins an upload at `offset`, which must be what `partial` says, or 0 to begin anew. */
  async receive(owner: string, digest: string, offset: number): Promise<IncomingFile> {
    const path = `${this.pathOf(owner, digest)}${PARTIAL}`;
    const hash = createHash('sha256');
    if (offset === 0) return new IncomingFile(path, await open(path, 'w', 0o600), hash, 0);
    const handle = await open(path, 'r+');
    try {
      await handle.truncate(offset);
      for await (const chunk of createReadStream(path, { end: offset - 1 })) hash.update(chunk as Buffer);
      return new IncomingFile(path, handle, hash, offset);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Writes the stored form of an object: whole and on disk, or not at all. */
  async store(owner: string, digest: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
    const path = this.pathOf(owner, digest);
    const temporary = `${path}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await write(file);
      await file.sync();
    } catch (error) {
      await file.close();
      await rm(temporary, { force: true });
      throw error;
    }
    await file.close();
    await rename(temporary, path);
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  /** The stored bytes of an object, front to back. */
  read(owner: string, digest: string): AsyncIterable<Uint8Array> {
    return createReadStream(this.pathOf(owner, digest), { highWaterMark: 1 << 20 });
  }

  async remove(owner: string, digest: string): Promise<void> {
    await rm(this.pathOf(owner, digest), { force: true });
  }

  /**
   * Removes interrupted uploads of a party that are too old; answers how many are left, with those that are `underWay` by
   * digest and may have no file yet: many that begin at once would each find room.
   */
  async sweep(owner: string, nowMs: number, underWay: readonly string[]): Promise<number> {
    const left = new Set(underWay.map((digest) => `${ownerPart(owner)}-${hexOf(digest)}${PARTIAL}`));
    for (const name of await readdir(this.#folder)) {
      if (!name.startsWith(ownerPart(owner)) || !name.endsWith(PARTIAL)) continue;
      const path = join(this.#folder, name);
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: nowMs }));
      if (nowMs - mtimeMs > PARTIAL_LIFE_MS) await rm(path, { force: true });
      else left.add(name);
    }
    return left.size;
  }
}

/** An upload on its way to disk. */
export class IncomingFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #hash: Hash;
  #bytes: number;
  #isClosed = false;

  constructor(path: string, handle: FileHandle, hash: Hash, bytes: number) {
    this.path = path;
    this.#handle = handle;
    this.#hash = hash;
    this.#bytes = bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.byteLength;) {
      const { bytesWritten } = await this.#handle.write(chunk, at, chunk.byteLength - at, this.#bytes + at);
      at += bytesWritten;
    }
    this.#hash.update(chunk);
    this.#bytes += chunk.byteLength;
  }

  /** Nothing more comes: the digest of what did. */
  async finish(): Promise<string> {
    await this.close();
    return `sha256:${this.#hash.digest('hex')}`;
  }

  /** Keeps what came, so that the upload can go on later. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#handle.close();
  }

  async discard(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
  }
}

const ownerPart = (owner: string): string => createHash('sha256').update(owner).digest('hex').slice(0, 32);

function hexOf(digest: string): string {
  const match = /^sha256:([0-9a-f]{64})$/.exec(digest);
  if (match?.[1] === undefined) throw new RangeError('not a digest');
  return match[1];
}

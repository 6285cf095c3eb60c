import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';

const LINE_BYTES = 65;

/**
 * The key holder's durable list of jobs that were decrypted: one line of 64 hex digits (SHA-256 of the job's name) each,
 * forced to disk before `claimOnce` answers true. A line that a crash cut short counts for nothing: its answer never left.
 * Several processes may share it: lines of others are read before each claim and after it, and a name that two claimed in
 * the same moment is nobody's.
 */
export class ClaimFile implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #claimed = new Set<string>();
  /** Bytes of the file that are in `#claimed`. */
  #read = 0;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Opens or makes the file (owner only); throws when it holds anything but claims. */
  static async open(path: string): Promise<ClaimFile> {
    const file = await open(path, 'a+', 0o600);
    try {
      const claims = new ClaimFile(file);
      await claims.#catchUp();
      if ((await file.stat()).size !== claims.#read) await file.truncate(claims.#read);
      return claims;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** How many jobs are claimed. */
  get size(): number {
    return this.#claimed.size;
  }

  /** True once per job name, and only after the claim is on disk; claims are made one after another. */
  claimOnce(jobId: string): Promise<boolean> {
    const claim = this.#last.then(() => this.#claim(createHash('sha256').update(jobId).digest('hex')));
    this.#last = claim.catch(() => undefined);
    return claim;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    await this.#file.close();
  }

  async #claim(name: string): Promise<boolean> {
    await this.#catchUp();
    if (this.#claimed.has(name)) return false;
    // remembered first: when writing fails the job stays unclaimable in this process, which errs on the safe side
    this.#claimed.add(name);
    await this.#file.appendFile(`${name}\n`);
    await this.#file.datasync();
    const since = await this.#catchUp();
    return since.filter((line) => line === name).length === 1;
  }

  /** Reads the whole lines that were appended since, by whomever. */
  async #catchUp(): Promise<readonly string[]> {
    const { size } = await this.#file.stat();
    if (size < this.#read) throw new Error('the list of claims was cut short while it was open');
    const bytes = Buffer.alloc(size - this.#read - ((size - this.#read) % LINE_BYTES));
    for (let at = 0; at < bytes.byteLength;) {
      const { bytesRead } = await this.#file.read(bytes, at, bytes.byteLength - at, this.#read + at);
      if (bytesRead === 0) throw new Error('the list of claims was cut short while it was open');
      at += bytesRead;
    }
    const lines = bytes.toString('latin1').split('\n').slice(0, -1);
    if (lines.length * LINE_BYTES !== bytes.byteLength || !lines.every((line) => /^[0-9a-f]{64}$/.test(line)))
      throw new Error('the list of claims is damaged: it holds something else than claims');
    this.#read += bytes.byteLength;
    for (const line of lines) this.#claimed.add(line);
    return lines;
  }
}

import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';

const LINE_BYTES = 65;

/**
 * The key holder's durable list of jobs that were decrypted: one line of 64 hex digits (SHA-256 of the job's name) each,
 * forced to disk before `claimOnce` answers true. A line that a crash cut short counts for nothing: its answer never left.
 */
export class ClaimFile implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #claimed: Set<string>;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(file: FileHandle, claimed: Set<string>) {
    this.#file = file;
    this.#claimed = claimed;
  }

  /** Opens or makes the file (owner only); throws when it holds anything but claims. One process may have it open. */
  static async open(path: string): Promise<ClaimFile> {
    const file = await open(path, 'a+', 0o600);
    try {
      const text = await file.readFile('latin1');
      const whole = text.slice(0, text.length - (text.length % LINE_BYTES));
      const lines = whole === '' ? [] : whole.slice(0, -1).split('\n');
      if (!lines.every((line) => /^[0-9a-f]{64}$/.test(line)))
        throw new Error(`${path} is damaged: it holds something else than claims`);
      if (whole.length !== text.length) await file.truncate(whole.length);
      return new ClaimFile(file, new Set(lines));
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
    if (this.#claimed.has(name)) return false;
    // remembered first: when writing fails the job stays unclaimable in this process, which errs on the safe side
    this.#claimed.add(name);
    await this.#file.appendFile(`${name}\n`);
    await this.#file.datasync();
    return true;
  }
}

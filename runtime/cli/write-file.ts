import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';

/**
 * Writes a file that somebody asked for whole or not at all: beside its place first, then in it. What is no plain file
 * (`/dev/stdout`, a pipe) is written into directly. Throws what the file system says, with the path that was asked for.
 */
export function writeWhole(file: string, data: string | Uint8Array, mode = 0o666): void {
  const whole = new WholeFile(file, mode);
  try {
    whole.write(data);
    whole.end();
  } finally {
    whole[Symbol.dispose]();
  }
}

/** The same piece by piece; what has not come to its end when it is disposed of leaves no trace. */
export class WholeFile implements Disposable {
  readonly #file: string;
  readonly #beside: string | null;
  readonly #descriptor: number;
  #isOpen = true;
  #isPlaced = false;

  constructor(file: string, mode = 0o666) {
    this.#file = file;
    const there = statSync(file, { throwIfNoEntry: false });
    const isInPlace = there !== undefined && !there.isFile();
    this.#beside = isInPlace ? null : `${file}.${randomBytes(4).toString('hex')}.part`;
    this.#descriptor = this.#told(() =>
      this.#beside === null ? openSync(file, 'w') : openSync(this.#beside, 'wx', mode),
    );
  }

  write(data: string | Uint8Array): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    this.#told(() => {
      for (let at = 0; at < bytes.byteLength;) at += writeSync(this.#descriptor, bytes, at);
    });
  }

  end(): void {
    this.#told(() => {
      if (this.#beside !== null) fsyncSync(this.#descriptor);
      this.#close();
      if (this.#beside !== null) renameSync(this.#beside, this.#file);
    });
    this.#isPlaced = true;
  }

  [Symbol.dispose](): void {
    this.#close();
    if (!this.#isPlaced && this.#beside !== null) rmSync(this.#beside, { force: true });
  }

  #close(): void {
    if (this.#isOpen) closeSync(this.#descriptor);
    this.#isOpen = false;
  }

  /** People know the file that they named, not the one beside it. */
  #told<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw Object.assign(error as NodeJS.ErrnoException, { path: this.#file });
    }
  }
}

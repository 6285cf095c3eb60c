import { closeSync, fstatSync, openSync, renameSync, rmSync, truncateSync, writeSync } from 'node:fs';

export interface LogFileOptions {
  readonly file: string;
  /** The file is put aside before it grows beyond this, bytes. */
  readonly maxBytes: number;
  /** Files put aside that are kept: `file.1` is the latest. 0: the file is emptied instead. */
  readonly keep: number;
}

/** Tries to open the file again after a failure at most this often, milliseconds. */
const REOPEN_EVERY_MS = 1000;

/**
 * A log that never fills the disk and never stops the runtime: lines that cannot be written are counted and told with
 * the next one that can. Opening at the start must succeed.
 */
export class LogFile {
  readonly #options: LogFileOptions;
  #handle: number | undefined;
  #bytes = 0;
  #lost = 0;
  #triedMs = 0;

  constructor(options: LogFileOptions) {
    this.#options = options;
    this.#open();
  }

  /** One line with its newline. */
  write(line: string): void {
    try {
      if (this.#handle === undefined) {
        if (performance.now() - this.#triedMs < REOPEN_EVERY_MS) throw new Error('closed');
        this.#open();
      }
      if (this.#bytes > 0 && this.#bytes + Buffer.byteLength(line) > this.#options.maxBytes) this.#putAside();
      if (this.#lost > 0) {
        this.#append(
          `${JSON.stringify({ level: 40, time: new Date().toISOString(), msg: 'log.lost', lines: this.#lost })}\n`,
        );
        this.#lost = 0;
      }
      this.#append(line);
    } catch {
      // A full disk: the runtime refuses what it cannot record; its log alone is no reason to end.
      this.#lost += 1;
    }
  }

  /** Opens the file by its name again: after somebody else moved it away (logrotate, SIGHUP). */
  reopen(): void {
    this.#close();
    try {
      this.#open();
    } catch {
      // Tried again with the next lines.
    }
  }

  close(): void {
    this.#close();
  }

  #open(): void {
    this.#triedMs = performance.now();
    this.#handle = openSync(this.#options.file, 'a', 0o600);
    this.#bytes = fstatSync(this.#handle).size;
  }

  #close(): void {
    if (this.#handle !== undefined) closeSync(this.#handle);
    this.#handle = undefined;
  }

  #append(text: string): void {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) at += writeSync(this.#handle ?? -1, bytes, at);
    this.#bytes += bytes.length;
  }

  #putAside(): void {
    const { file, keep } = this.#options;
    this.#close();
    if (keep === 0) truncateSync(file);
    else {
      rmSync(`${file}.${keep}`, { force: true });
      for (let n = keep - 1; n >= 1; n--) {
        try {
          renameSync(`${file}.${n}`, `${file}.${n + 1}`);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        }
      }
      renameSync(file, `${file}.1`);
    }
    this.#open();
  }
}

import { closeSync, fstatSync, openSync, readSync, constants } from 'node:fs';

/** Bytes of a file that is read whole: many times the largest key or document. */
export const MAX_TEXT_BYTES = 256 * 2 ** 20;
const STEP_BYTES = 1 << 20;

/** A failure of the file itself, told like those of the system. */
export class UnreadableFile extends Error {
  override readonly name = 'UnreadableFile';
  /** `EISDIR`: a folder; `ENOTFILE`: a device, a socket or a pipe that nobody may ever write to; `EFBIG`: longer than allowed. */
  readonly code: 'EISDIR' | 'ENOTFILE' | 'EFBIG';
  readonly path: string;

  constructor(code: 'EISDIR' | 'ENOTFILE' | 'EFBIG', path: string) {
    super(`${code}: ${path}`);
    this.code = code;
    this.path = path;
  }
}

/**
 * The text of a file that somebody named; 0: standard input. Throws UnreadableFile, or what the system says, instead of
 * waiting for a pipe without a writer or reading a device that never ends.
 */
export function readText(file: string | 0, maxBytes: number = MAX_TEXT_BYTES): string {
  return readWhole(file, maxBytes).toString('utf8');
}

/** The same as bytes. */
export function readWhole(file: string | 0, maxBytes: number = MAX_TEXT_BYTES): Buffer {
  if (file === 0) return readAll(0, 'standard input', maxBytes);
  const isOfShell = isShellPipe(file);
  // Opening a named pipe would wait for somebody who writes.
  const opened = openSync(file, constants.O_RDONLY | (isOfShell ? 0 : constants.O_NONBLOCK));
  try {
    const found = fstatSync(opened);
    // Reading a folder fails in the system's words, which name no path.
    if (found.isDirectory()) throw new UnreadableFile('EISDIR', file);
    if (!found.isFile() && !(found.isFIFO() && isOfShell)) throw new UnreadableFile('ENOTFILE', file);
    return readAll(opened, file, maxBytes);
  } finally {
    closeSync(opened);
  }
}

/** A pipe that the shell opened, `<(…)` or `/dev/stdin`: it has a writer. */
export function isShellPipe(path: string): boolean {
  return /^\/(dev|proc)\//.test(path);
}

function readAll(opened: number, name: string, maxBytes: number): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  for (;;) {
    const part = Buffer.allocUnsafe(STEP_BYTES);
    const read = readSync(opened, part);
    if (read === 0) return Buffer.concat(parts, size);
    size += read;
    if (size > maxBytes) throw new UnreadableFile('EFBIG', name);
    parts.push(part.subarray(0, read));
  }
}

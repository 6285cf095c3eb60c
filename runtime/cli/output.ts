import { status } from '@grpc/grpc-js';
import { GloveboxError } from '../client/error.ts';
import type { Reason } from '../gen/messages.ts';
import { HomomorphicFault } from '../homomorphic/fault.ts';

/** 0 done, 1 refused or withheld, 2 wrong usage, 3 something is broken. */
export type ExitCode = 0 | 1 | 2 | 3;

/** A message that makes no sense as it was typed. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What every command is given: where to write, and whether a machine reads. */
export interface Output {
  readonly isJson: boolean;
  /** The answer, once: a document with `--json`, otherwise the lines that `forPeople` makes of it. */
  answer<T>(value: T, forPeople: (value: T) => string): void;
  /** For people who wait; nothing when a machine reads or nobody looks. */
  progress(text: string): void;
  endProgress(): void;
}

export function output(isJson: boolean): Output {
  const isWatched = process.stderr.isTTY && !isJson;
  let width = 0;
  return {
    isJson,
    answer: (value, forPeople) => {
      const text = isJson ? toJson(value) : safeForTerminal(forPeople(value));
      process.stdout.write(text.endsWith('\n') || text === '' ? text : `${text}\n`);
    },
    progress: (text) => {
      if (!isWatched) return;
      process.stderr.write(`\r${safeForTerminal(text).padEnd(width)}`);
      width = text.length;
    },
    endProgress: () => {
      if (isWatched && width > 0) process.stderr.write(`\r${' '.repeat(width)}\r`);
      width = 0;
    },
  };
}

/**
 * Text with what steers a terminal made visible: queries, notes and names come from other parties, and an escape sequence
 * in one could hide a line, or write one, on the screen of whoever looks at it. Bidirectional overrides reorder it.
 */
export function safeForTerminal(text: string): string {
  return text.replaceAll(
    /(?![\n\t])\p{Cc}|\p{Bidi_Control}/gu,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** JSON in which whole numbers beyond 2^53 are text and bytes are base64. */
export function toJson(value: unknown): string {
  return `${JSON.stringify(
    value,
    (_key, one: unknown) => {
      if (typeof one === 'bigint')
        return one <= BigInt(Number.MAX_SAFE_INTEGER) && one >= -BigInt(Number.MAX_SAFE_INTEGER)
          ? Number(one)
          : String(one);
      if (one instanceof Uint8Array) return Buffer.from(one).toString('base64');
      return one;
    },
    2,
  )}\n`;
}

/** A table with a line under its head; numbers to the right. */
export function tableText(
  head: readonly string[],
  rows: readonly (readonly (string | number | bigint | boolean | null)[])[],
): string {
  const cells = [head, ...rows.map((row) => row.map((cell) => (cell === null ? '·' : String(cell))))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ''))));
  const isNumeric = head.map(
    (_, column) =>
      rows.length > 0 &&
      rows.every((row) => row[column] === null || typeof row[column] === 'number' || typeof row[column] === 'bigint'),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const gap = ' '.repeat((widths[column] ?? 0) - widthOf(cell));
        return isNumeric[column] === true ? gap + cell : cell + gap;
      })
      .join('  ')
      .trimEnd();
  const [first = [], ...others] = cells;
  return [line(first), widths.map((width) => '─'.repeat(width)).join('  '), ...others.map(line)].join('\n');
}

/** Chinese and other wide characters take two columns of a terminal. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text)
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/.test(
      character,
    )
      ? 2
      : 1;
  return width;
}

export function reasonLines(reasons: readonly Reason[]): string {
  return reasons
    .map(({ code, message, clause, at, remedy }) => {
      const place = at === null ? '' : `${at.line}:${at.column} `;
      const rule = clause === null || clause === '' ? '' : `\n    rule: ${clause}`;
      const help = remedy === null || remedy === '' ? '' : `\n    what would be allowed: ${remedy}`;
      return `  ${place}${message} [${code}]${rule}${help}`;
    })
    .join('\n');
}

/** What is wrong with a file that somebody named. A full or broken disk is not among them. */
const FILE_FAILURES: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'there is no such file or folder'],
  ['EACCES', 'this user may not'],
  ['EPERM', 'this user may not'],
  ['EISDIR', 'it is a folder'],
  ['ENOTFILE', 'it is neither a file nor a pipe of the shell'],
  ['EFBIG', 'it is too large to be what is asked for'],
  ['ENOTDIR', 'a part of its path is a file'],
  ['EEXIST', 'it exists'],
  ['ENAMETOOLONG', 'the name is too long'],
  ['ELOOP', 'its links lead in a circle'],
  ['EROFS', 'nothing can be written there'],
]);

const cut = (path: string): string => (path.length > 200 ? `${path.slice(0, 200)}…` : path);

/** How a failure ends the program, and what it says. */
export function failureOf(error: unknown): {
  readonly exit: ExitCode;
  readonly code: string;
  readonly message: string;
  readonly reasons: readonly Reason[];
} {
  if (error instanceof UsageError) return { exit: 2, code: 'usage', message: error.message, reasons: [] };
  if (error instanceof GloveboxError)
    return { exit: exitOf(error), code: error.code, message: error.message, reasons: error.reasons };
  // A file that somebody made for another: wrong when it is not what it should be, broken only when we are.
  if (error instanceof HomomorphicFault && error.blame === 'caller')
    return { exit: 2, code: error.code, message: error.message, reasons: [] };
  const { code, message, path } = error as NodeJS.ErrnoException;
  const why = FILE_FAILURES.get(code ?? '');
  // reading a folder as a file tells no path
  if (why !== undefined)
    return {
      exit: 2,
      code: 'file',
      message: `cannot use ${path === undefined ? 'a file' : `\`${cut(path)}\``}: ${why}`,
      reasons: [],
    };
  return { exit: 3, code: 'fault', message: message ?? String(error), reasons: [] };
}

function exitOf(error: GloveboxError): ExitCode {
  switch (error.status) {
    case status.INVALID_ARGUMENT:
    case status.OUT_OF_RANGE:
      return 2;
    case status.PERMISSION_DENIED:
    case status.UNAUTHENTICATED:
    case status.NOT_FOUND:
    case status.ALREADY_EXISTS:
    case status.FAILED_PRECONDITION:
    case status.RESOURCE_EXHAUSTED:
    case status.ABORTED:
    case status.CANCELLED:
      return 1;
    default:
      return 3;
  }
}

import { status } from '@grpc/grpc-js';
import { GloveboxError } from '../client/error.ts';
import type { Reason } from '../gen/messages.ts';

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
      const text = isJson ? toJson(value) : forPeople(value);
      process.stdout.write(text.endsWith('\n') || text === '' ? text : `${text}\n`);
    },
    progress: (text) => {
      if (!isWatched) return;
      process.stderr.write(`\r${text.padEnd(width)}`);
      width = text.length;
    },
    endProgress: () => {
      if (isWatched && width > 0) process.stderr.write(`\r${' '.repeat(width)}\r`);
      width = 0;
    },
  };
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
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR')
    return { exit: 2, code: 'file', message, reasons: [] };
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

/** What the SQL engine says of a disk, as the file system would have said it. */
import { DatasetError } from './dataset-error.ts';
import { firstLine } from './sql-text.ts';

/** Words of the C library in the engine's messages, and the codes that they stand for. */
const WORDS: readonly (readonly [words: string, code: string])[] = [
  ['No space left on device', 'ENOSPC'],
  ['Disk quota exceeded', 'EDQUOT'],
  ['File too large', 'EFBIG'],
  ['Read-only file system', 'EROFS'],
  ['Input/output error', 'EIO'],
  ['Too many open files', 'EMFILE'],
];

/**
 * The engine's error as a fault of the disk, with its code; everything else as it is. Without this a full disk reads as a
 * failure of the runtime, or as files that somebody changed, and nobody makes room.
 */
export function asDiskFault(cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof DatasetError || 'code' in cause) return cause;
  const code = WORDS.find(([words]) => cause.message.includes(words))?.[1];
  return code === undefined ? cause : Object.assign(new Error(firstLine(cause), { cause }), { code });
}

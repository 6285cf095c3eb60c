/** Which names datasets, tables and columns may have. */
import { RESERVED_PREFIX } from '../query/layout.ts';
import { DatasetError } from './dataset-error.ts';
import { DATASET_LIMITS } from './limits.ts';

const DATASET_NAME = /^[a-z0-9][a-z0-9._-]{0,62}(\/[a-z0-9][a-z0-9._-]{0,62}){0,3}$/;

/** Throws unless `name` is a dataset name such as `hospital/visits`. */
export function checkDatasetName(name: string): void {
  if (DATASET_NAME.test(name) && !name.includes('..')) return;
  throw new DatasetError(
    'invalid-name',
    `cannot use \`${printable(name)}\` as a dataset name: lower-case letters, digits, \`.\`, \`_\` and \`-\` are allowed, in up to four parts joined by \`/\``,
  );
}

/** Throws unless every name can stand in a policy and in SQL without being taken for another one. */
export function checkNames(names: readonly string[], what: 'table' | 'column', where: string): void {
  const limit = what === 'table' ? DATASET_LIMITS.maxTables : DATASET_LIMITS.maxColumns;
  if (names.length === 0) throw new DatasetError('invalid-file', `${where}: there is no ${what}`);
  if (names.length > limit)
    throw new DatasetError('too-large', `${where}: ${names.length} ${what}s, at most ${limit} are allowed`);
  const seen = new Map<string, string>();
  for (const [i, name] of names.entries()) {
    const problem = nameProblem(name);
    if (problem !== null) {
      throw new DatasetError('invalid-name', `${where}: ${what} ${i + 1} \`${printable(name)}\`: ${problem}`);
    }
    // The engine takes names without regard to case, so two that differ only in case are one.
    const folded = name.toLowerCase();
    const other = seen.get(folded);
    if (other !== undefined) {
      const how = other === name ? 'appears twice' : `differs from \`${other}\` only in case`;
      throw new DatasetError('invalid-name', `${where}: ${what} \`${name}\` ${how}; rename one of them`);
    }
    seen.set(folded, name);
  }
}

function nameProblem(name: string): string | null {
  if (name === '') return 'the name is empty; give it one';
  if (name.length > DATASET_LIMITS.maxNameLength)
    return `the name is longer than ${DATASET_LIMITS.maxNameLength} characters`;
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(name)) return 'the name holds a control or invisible character';
  if (name.trim() !== name) return 'the name begins or ends with a space';
  if (name.toLowerCase().startsWith(RESERVED_PREFIX))
    return `names that begin with \`${RESERVED_PREFIX}\` belong to the runtime; rename it`;
  // Every engine table has this pseudo column; a source column of the same name would hide it.
  if (name.toLowerCase() === 'rowid') return '`rowid` belongs to the engine; rename it';
  return null;
}

/** A name with everything unprintable escaped and cut to a length fit for a message. */
export function printable(name: string, maxLength = 60): string {
  const cut = name.length > maxLength ? `${name.slice(0, maxLength)}…` : name;
  return cut.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}

import { refuse } from '../refusal.ts';
import type { Syntax } from '../syntax.ts';
import { isColumnName, MAX_NAME } from './default-name.ts';
import { list, text } from './node.ts';

/** What a consumer calls a column; the gate would let no other name out. */
export function columnName(name: string, at: Syntax['at']): string {
  if (name !== '' && !isColumnName(name))
    refuse(
      'wrong-arguments',
      'a column name is too long or holds characters that do not print',
      at,
      `use at most ${MAX_NAME} characters`,
    );
  return name;
}

export function names(value: unknown): string[] {
  return list(value).map(text);
}

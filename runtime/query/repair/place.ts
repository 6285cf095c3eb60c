import type { Reason } from '../../policy/reason.ts';
import { selectBlocks, type SelectBlock } from './clauses.ts';
import { tokensOf } from './tokens.ts';

/** The reason with the place that it means, where it is about a clause and the parser gave no place. */
export function placedReason(text: string, reason: Reason): Reason {
  if (reason.at !== null) return reason;
  const tokens = tokensOf(text);
  if (tokens === null) return reason;
  const offset = offsetFor(reason.code, selectBlocks(tokens));
  return offset === null ? reason : { ...reason, at: lineAndColumn(text, offset) };
}

function offsetFor(code: string, blocks: readonly SelectBlock[]): number | null {
  const clauses = blocks.flatMap((block) => block.clauses);
  switch (code) {
    case 'rows-picked':
      return clauses.find(({ name }) => name === 'order' || name === 'limit')?.start ?? null;
    case 'rows-not-released':
      return clauses.find(({ name }) => name === 'select')?.items[0]?.start ?? null;
    default:
      return null;
  }
}

/** 1-based, in characters. */
function lineAndColumn(text: string, offset: number): { readonly line: number; readonly column: number } {
  const lines = text.slice(0, offset).split('\n');
  return { line: lines.length, column: Array.from(lines.at(-1) ?? '').length + 1 };
}

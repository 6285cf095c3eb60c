import type { Reason } from '../../policy/reason.ts';
import { type Place, type Refusal, toReason } from '../refusal.ts';
import { placeOf } from '../text.ts';
import { selectBlocks } from './clauses.ts';
import { type Token, tokensOf } from './tokens.ts';

/** The refusal as a reason, with its place in the consumer's text: the parser's own, else the one that is meant. */
export function reasonOf(refusal: Refusal, clause: string, text: string): Reason {
  return placedReason(
    text,
    toReason(refusal, clause, (place) => located(text, place)),
  );
}

function located(text: string, place: Place): { readonly line: number; readonly column: number } | null {
  if (place === null) return null;
  if (typeof place === 'number') return placeOf(text, place);
  const found = tokensOf(text)?.find((token) => isWord(token, place.words));
  return found === undefined ? null : lineAndColumn(text, found.start);
}

const isWord = (token: Token, words: readonly string[]): boolean => token.kind === 'word' && words.includes(token.text);

/** The reason with the place that it means, where it is about a clause and the parser gave no place. */
export function placedReason(text: string, reason: Reason): Reason {
  if (reason.at !== null) return reason;
  const tokens = tokensOf(text);
  if (tokens === null) return reason;
  const offset = offsetFor(reason.code, tokens);
  return offset === null ? reason : { ...reason, at: lineAndColumn(text, offset) };
}

function offsetFor(code: string, tokens: readonly Token[]): number | null {
  const clauses = selectBlocks(tokens).flatMap((block) => block.clauses);
  switch (code) {
    case 'rows-picked':
      return clauses.find(({ name }) => name === 'order' || name === 'limit')?.start ?? null;
    case 'rows-not-released':
      return (
        clauses.find(({ name }) => name === 'select')?.items[0]?.start ??
        // A query may begin with FROM.
        tokens.find(({ kind }) => kind === 'word')?.start ??
        null
      );
    default:
      return null;
  }
}

/** 1-based, in characters. */
function lineAndColumn(text: string, offset: number): { readonly line: number; readonly column: number } {
  const lines = text.slice(0, offset).split('\n');
  return { line: lines.length, column: Array.from(lines.at(-1) ?? '').length + 1 };
}

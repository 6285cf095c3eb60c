import { MAX_QUERY_BYTES } from '../text.ts';

/**
 * Cuts SQL text into tokens with their places. It understands just enough to edit a query without touching what stands
 * in literals and comments; what a token means is decided by the real parser, which reads every repaired text again.
 */
export interface Token {
  readonly kind: 'word' | 'quoted' | 'text' | 'number' | 'mark';
  /** As written; words in lower case, quoted names without their quotes. */
  readonly text: string;
  /** Offsets into the text, UTF-16 units: start inclusive, end exclusive. */
  readonly start: number;
  readonly end: number;
}

/** Most tokens that are looked at; a longer query is not repaired. */
export const MAX_TOKENS = 4000;

const PATTERN =
  /\s+|--[^\n]*|\/\*[\s\S]*?\*\/|\/\*[\s\S]*|(?<word>[\p{L}_][\p{L}\p{N}_$]*)|(?<quoted>"(?:[^"]|"")*")|(?<text>'(?:[^']|'')*')|(?<number>\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?<mark>[<>!=|:]{1,3}|[^\s])/gu;

/** The tokens of a text without spaces and comments; null when there are more than `MAX_TOKENS`, or the text is no query. */
export function tokensOf(text: string): readonly Token[] | null {
  if (text.length > MAX_QUERY_BYTES) return null;
  const tokens: Token[] = [];
  for (const match of text.matchAll(PATTERN)) {
    const { word, quoted, text: literal, number, mark } = match.groups ?? {};
    const start = match.index;
    const end = start + match[0].length;
    if (word !== undefined) tokens.push({ kind: 'word', text: word.toLowerCase(), start, end });
    else if (quoted !== undefined)
      tokens.push({ kind: 'quoted', text: quoted.slice(1, -1).replaceAll('""', '"'), start, end });
    else if (literal !== undefined) tokens.push({ kind: 'text', text: literal, start, end });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number, start, end });
    else if (mark !== undefined) tokens.push({ kind: 'mark', text: mark, start, end });
    if (tokens.length > MAX_TOKENS) return null;
  }
  return tokens;
}

/** UTF-16 offset of a place (1-based line and column in characters); null when it lies outside. */
export function offsetOf(text: string, at: { readonly line: number; readonly column: number }): number | null {
  const lines = text.split('\n');
  const line = lines[at.line - 1];
  if (line === undefined) return null;
  const before = lines.slice(0, at.line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  const characters = Array.from(line);
  return at.column > characters.length + 1 ? null : before + characters.slice(0, at.column - 1).join('').length;
}

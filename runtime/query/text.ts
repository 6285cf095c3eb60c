import type { Denied } from '../policy/reason.ts';
import { denied, reason } from '../policy/reason.ts';

/** Longest query text, bytes of UTF-8. A parser needs seconds for 50,000 `AND true`; 16 KiB keeps it below 10 ms. */
export const MAX_QUERY_BYTES = 16 * 1024;
/** Deepest nesting of the syntax tree; also given to the parser as `max_expression_depth`. */
export const MAX_DEPTH = 200;
/** Most nodes in one syntax tree. */
export const MAX_NODES = 20_000;
/** Most queries that one query is made of, each counted as often as it is used. */
export const MAX_COMPILED = 500;
/** Longest expression as it is printed, characters. */
export const MAX_PRINTED = 32 * 1024;
/** Most statements that one query is run as. */
export const MAX_STATEMENTS = 60;
/** Most statements of one query with those that compare its cells: as many as the parser's worker plans at once. */
export const MAX_PLANNED_STATEMENTS = 512;
/** Most bytes of all statements of one query as JSON: they travel to the parser's worker in one message of 1 MiB. */
export const MAX_STATEMENT_BYTES = 896 * 1024;
/** Most columns, keys, cells or relations in one query. */
export const MAX_ITEMS = 200;

/** The checks that come before any parser sees the text: well-formed UTF-8, no NUL, not too long. */
export function checkText(bytes: Uint8Array): { readonly kind: 'text'; readonly text: string } | Denied {
  if (bytes.length > MAX_QUERY_BYTES) {
    return denied(
      reason('query-too-long', `the query has ${bytes.length} bytes`, {
        remedy: `shorten it to at most ${MAX_QUERY_BYTES} bytes`,
      }),
    );
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return denied(reason('query-not-utf8', 'the query is not well-formed UTF-8'));
  }
  if (text.includes('\0')) return denied(reason('query-not-utf8', 'the query contains a NUL character'));
  return { kind: 'text', text };
}

/** Line and column (1-based, in characters) of a byte offset into the UTF-8 of the text; null when outside. */
export function placeOf(text: string, byteOffset: number): { line: number; column: number } | null {
  if (byteOffset < 0) return null;
  const before = Buffer.from(text, 'utf8').subarray(0, byteOffset).toString('utf8');
  if (byteOffset > Buffer.byteLength(text)) return null;
  const lines = before.split('\n');
  return { line: lines.length, column: Array.from(lines.at(-1) ?? '').length + 1 };
}

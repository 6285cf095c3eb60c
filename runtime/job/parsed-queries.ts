import type { ParsedSql } from './prepare-sql.ts';

/** Characters of texts that are remembered in all: their trees take about fifty times as much memory. */
const MAX_CHARACTERS = 512 * 1024;
/** A longer text is seldom asked twice. */
const MAX_TEXT_CHARACTERS = 8 * 1024;

/**
 * Trees of texts that were parsed before: parsing knows no data, so the same text has the same tree. Each party has its
 * own, so that nobody learns from the time of an answer that somebody else asks the same.
 */
export class ParsedQueries {
  readonly #parse: (text: string, signal: AbortSignal) => Promise<ParsedSql>;
  readonly #trees = new Map<string, ParsedSql>();
  #characters = 0;

  constructor(parse: (text: string, signal: AbortSignal) => Promise<ParsedSql>) {
    this.#parse = parse;
  }

  /** What the parser made of a text, which nobody may change. */
  async parse(party: string, text: string, signal: AbortSignal): Promise<ParsedSql> {
    const key = JSON.stringify([party, text]);
    const known = this.#trees.get(key);
    if (known !== undefined) {
      // The least recently used goes first.
      this.#trees.delete(key);
      this.#trees.set(key, known);
      return known;
    }
    const parsed = await this.#parse(text, signal);
    if (parsed.kind !== 'ast' || text.length > MAX_TEXT_CHARACTERS) return parsed;
    deepFreeze(parsed.ast);
    if (!this.#trees.has(key)) this.#characters += key.length;
    this.#trees.set(key, parsed);
    for (const [oldest] of this.#trees) {
      if (this.#characters <= MAX_CHARACTERS) break;
      this.#trees.delete(oldest);
      this.#characters -= oldest.length;
    }
    return parsed;
  }
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
}

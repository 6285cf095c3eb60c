import type { ParsedSql } from './sql-engine.ts';

/** Characters of texts that are remembered in all: their trees take about fifty times as much memory. */
const MAX_CHARACTERS = 512 * 1024;
/** A longer text is seldom asked twice. */
const MAX_TEXT_CHARACTERS = 8 * 1024;
/** Texts that are parsed ahead at once. */
const MAX_UNDER_WAY = 8;

/**
 * Trees of texts that were parsed before: parsing knows no data, so the same text has the same tree. Each party has its
 * own, so that nobody learns from the time of an answer that somebody else asks the same.
 */
export class ParsedQueries {
  readonly #parse: (text: string, signal: AbortSignal) => Promise<ParsedSql>;
  readonly #trees = new Map<string, ParsedSql>();
  /** Texts that are being parsed ahead of their job. */
  readonly #underWay = new Map<string, Promise<ParsedSql>>();
  #characters = 0;

  constructor(parse: (text: string, signal: AbortSignal) => Promise<ParsedSql>) {
    this.#parse = parse;
  }

  /** Begins to parse a text whose job is about to ask for it. */
  ahead(party: string, text: string, signal: AbortSignal): void {
    const key = JSON.stringify([party, text]);
    if (this.#trees.has(key) || this.#underWay.has(key) || this.#underWay.size >= MAX_UNDER_WAY) return;
    const parsing = this.#parseAnew(key, text, signal).finally(() => this.#underWay.delete(key));
    // The job that it was for parses anew, and hears what is wrong.
    parsing.catch(() => undefined);
    this.#underWay.set(key, parsing);
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
    const underWay = this.#underWay.get(key);
    const begun = underWay === undefined ? null : await unlessAborted(underWay, signal);
    return begun ?? (await this.#parseAnew(key, text, signal));
  }

  async #parseAnew(key: string, text: string, signal: AbortSignal): Promise<ParsedSql> {
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

/** What the promise resolves to; null when it rejects. Rejects as soon as the signal is aborted. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | null> {
  const aborted = Promise.withResolvers<null>();
  const stop = (): void => aborted.resolve(null);
  signal.addEventListener('abort', stop, { once: true });
  try {
    signal.throwIfAborted();
    const first = await Promise.race([promise.catch(() => null), aborted.promise]);
    signal.throwIfAborted();
    return first;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
}

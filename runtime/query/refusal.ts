import type { Reason } from '../policy/reason.ts';

/**
 * Where in the consumer's text: byte offset as the parser gave it; words of which the first in the text marks the place,
 * where the parser gives none (set operations, samples); or null.
 */
export type Place = number | { readonly words: readonly string[] } | null;

/**
 * Carries a denial out of a deep recursion over the query. It never leaves this folder: `compileQuery` turns it into
 * an answer. Built from the query and the policy alone, so it cannot speak of rows.
 */
export class Refusal extends Error {
  readonly code: string;
  readonly place: Place;
  readonly remedy: string | null;

  constructor(code: string, message: string, place: Place = null, remedy: string | null = null) {
    super(message);
    this.name = 'Refusal';
    this.code = code;
    this.place = place;
    this.remedy = remedy;
  }
}

export function refuse(code: string, message: string, place: Place = null, remedy: string | null = null): never {
  throw new Refusal(code, message, place, remedy);
}

export function toReason(
  refusal: Refusal,
  clause: string,
  place: (offset: Place) => { readonly line: number; readonly column: number } | null,
): Reason {
  return {
    code: refusal.code,
    message: refusal.message,
    clause,
    at: place(refusal.place),
    remedy: refusal.remedy,
  };
}

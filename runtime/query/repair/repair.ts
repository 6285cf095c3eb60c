import type { Reason } from '../../policy/reason.ts';
import { candidatesFor } from './candidates.ts';
import type { KnownColumn } from './known-columns.ts';

/** Most texts that are tried for one refused query. */
export const MAX_TRIES = 32;
/** Most changes that one offered query may have. */
export const MAX_CHANGES = 16;

export interface Repaired {
  /** A query that was tried and would pass. */
  readonly text: string;
  /** What was changed, in words, in order. */
  readonly changes: readonly string[];
}

/** Why a text would be refused; null when it would pass. It must be the whole decision, not a part of it. */
export type TryText = (text: string) => Promise<readonly Reason[] | null>;

/**
 * Looks for a query near a refused one that would pass. Each reason suggests small edits of the text at its place; the
 * edited text goes through the whole decision again, and only one that passed is answered.
 *
 * INVARIANT: nothing is offered that was not tried. Reads no row: the decision does not, and the edits come from the
 * text, the reasons and the policy alone.
 */
export async function repairQuery(
  text: string,
  reasons: readonly Reason[],
  columns: readonly KnownColumn[],
  tryText: TryText,
): Promise<Repaired | null> {
  const seen = new Set<string>([text]);
  let tries = 0;
  const search = async (from: string, why: readonly Reason[], changes: readonly string[]): Promise<Repaired | null> => {
    const [first] = why;
    if (first === undefined || changes.length >= MAX_CHANGES) return null;
    for (const candidate of candidatesFor(from, first, columns)) {
      if (seen.has(candidate.text) || tries >= MAX_TRIES) continue;
      seen.add(candidate.text);
      tries++;
      const refused = await tryText(candidate.text);
      const made = [...changes, candidate.change];
      if (refused === null) return { text: candidate.text, changes: made };
      // The same complaint again: this edit did not help, and building on it would only pile up changes.
      if (isSame(first, refused[0])) continue;
      const found = await search(candidate.text, refused, made);
      if (found !== null) return found;
    }
    return null;
  };
  return await search(text, reasons, []);
}

const isSame = (a: Reason, b: Reason | undefined): boolean =>
  b !== undefined &&
  a.code === b.code &&
  a.message === b.message &&
  a.at?.line === b.at?.line &&
  a.at?.column === b.at?.column;

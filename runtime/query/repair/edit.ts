import type { Clause, Item, SelectBlock, Span } from './clauses.ts';
import type { KnownColumn } from './known-columns.ts';
import type { Token } from './tokens.ts';

/** One edited text and what the edit did. */
export interface Candidate {
  readonly text: string;
  readonly change: string;
}

/** A piece of the text, and what stands there instead. */
export interface Edit extends Span {
  readonly by: string;
}

/** A query that was refused, cut into clauses, and the columns that its policy shows. */
export interface Query {
  readonly text: string;
  readonly tokens: readonly Token[];
  readonly blocks: readonly SelectBlock[];
  readonly columns: readonly KnownColumn[];
}

/** An item of a clause. */
export interface Place {
  readonly clause: Clause;
  readonly item: Item;
}

/** Removes items with their commas or ANDs; a clause that is left empty goes as a whole. */
export function drop(
  query: Query,
  block: SelectBlock,
  places: readonly Place[],
  change: string,
  more: readonly Edit[] = [],
): readonly Candidate[] {
  const edits: Edit[] = [...more];
  for (const clause of block.clauses) {
    const gone = new Set(places.filter((one) => one.clause === clause).map(({ item }) => item));
    if (gone.size === 0) continue;
    const kept = clause.items.filter((item) => !gone.has(item));
    const [first, last] = [clause.items[0], clause.items.at(-1)];
    if (first === undefined || last === undefined) continue;
    if (kept.length === 0) edits.push({ start: clause.start, end: clause.end, by: '' });
    else {
      const glue = clause.name === 'where' || clause.name === 'having' ? ' and ' : ', ';
      const by = kept.map(({ start, end }) => query.text.slice(start, end)).join(glue);
      edits.push({ start: first.start, end: last.end, by });
    }
  }
  return apply(query, edits, change);
}

/** The text after edits, which must not overlap. */
export function apply(query: Query, edits: readonly Edit[], change: string): readonly Candidate[] {
  let text = query.text;
  let before = Number.POSITIVE_INFINITY;
  for (const { start, end, by } of edits.toSorted((a, b) => b.start - a.start)) {
    if (end > before) return [];
    text = `${text.slice(0, start)}${by}${text.slice(end)}`;
    before = start;
  }
  return text === query.text ? [] : [{ text: text.trim(), change }];
}

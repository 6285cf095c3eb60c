import type { Item } from './clauses.ts';
import type { KnownColumn } from './known-columns.ts';
import type { Token } from './tokens.ts';
import type { Query } from './edit.ts';

/** The only known column that an expression is, `t.cost` or `cost`; undefined for anything else. */
export function columnOf(query: Query, tokens: readonly Token[]): KnownColumn | undefined {
  const isPath = tokens.every(({ kind, text }, index) =>
    index % 2 === 0 ? kind === 'word' || kind === 'quoted' : text === '.',
  );
  const name = tokens.at(-1)?.text.toLowerCase();
  if (!isPath || name === undefined) return undefined;
  const used = tablesNamed(query);
  const found = query.columns.filter((column) => column.name.toLowerCase() === name);
  return found.find(({ table }) => used.has(table.toLowerCase())) ?? found[0];
}

/** Every word of the text that could name a table, in lower case. */
export const tablesNamed = ({ tokens }: Query): ReadonlySet<string> =>
  new Set(
    tokens
      .filter(({ kind }) => kind === 'word' || kind === 'quoted')
      .flatMap(({ text }) => text.toLowerCase().split('/')),
  );

/** `cost AS c` and `cost c` without the alias. */
export function withoutAlias(tokens: readonly Token[]): readonly Token[] {
  const as = tokens.findLastIndex(({ kind, text }) => kind === 'word' && text === 'as');
  if (as > 0 && as === tokens.length - 2) return tokens.slice(0, as);
  const [before, last] = tokens.slice(-2);
  const isBare = last?.kind === 'word' || last?.kind === 'quoted';
  return tokens.length > 1 && isBare && before !== undefined && before.text !== '.' && before.kind !== 'mark'
    ? tokens.slice(0, -1)
    : tokens;
}

/** The alias that an item of SELECT is given; null for none. */
export function aliasOf(item: Item): string | null {
  const bare = withoutAlias(item.tokens);
  return bare.length === item.tokens.length ? null : (item.tokens.at(-1)?.text.toLowerCase() ?? null);
}

/** The last name of a plain column. */
export function nameIn(item: Item): string | null {
  const order = item.tokens.filter(
    ({ kind, text }) => kind !== 'word' || !['asc', 'desc', 'nulls', 'first', 'last'].includes(text),
  );
  const last = order.at(-1);
  const isPath = order.every(({ kind, text }, index) => (index % 2 === 0 ? kind !== 'mark' : text === '.'));
  return isPath && last !== undefined ? last.text.toLowerCase() : null;
}

/** An item without its alias, in lower case, so that two spellings of one expression compare equal. */
export function expressionText(query: Query, item: Item): string {
  const bare = withoutAlias(item.tokens);
  return query.text.slice(bare[0]?.start ?? 0, bare.at(-1)?.end ?? 0).toLowerCase();
}

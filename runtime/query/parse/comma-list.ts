import type { Select, Source, Syntax } from '../syntax.ts';

/**
 * `FROM trips t, (VALUES ('bus', 'public')) AS m(mode, label) WHERE t.mode = m.mode` is the inner join with that condition
 * behind ON: lists of constants are read where they are joined, so the condition that links one is moved to it.
 */
export function linkLists(
  from: Source,
  where: Syntax | null,
): { readonly from: Source; readonly where: Select['where'] } {
  // What WHERE keeps of these may be kept of their left side as well; RIGHT and FULL JOIN bring rows back.
  if (from.kind !== 'join' || from.type === 'right' || from.type === 'full') return { from, where };
  const under = linkLists(from.left, where);
  const source: Source = { ...from, left: under.from };
  const [last, first] = [nameOfList(from.right), nameOfList(from.left)];
  const list = last ?? first;
  if (from.type !== 'cross' || list === null || under.where === null) return { from: source, where: under.where };
  const terms = termsOf(under.where);
  const others = relationsOf(last === null ? from.right : from.left);
  const link = terms.find((term) => isLink(term, list, others));
  if (link === undefined) return { from: source, where: under.where };
  return { from: { ...source, type: 'inner', condition: link }, where: joined(terms.filter((one) => one !== link)) };
}

/** What a list of constants is called; null for every other source, and for a list without a name. */
function nameOfList(source: Source): string | null {
  const isList = source.kind === 'values' || (source.kind === 'derived' && isValues(source));
  return isList && 'alias' in source && source.alias !== '' ? source.alias.toLowerCase() : null;
}

function isValues({ query }: Source & { kind: 'derived' }): boolean {
  if (query.kind !== 'select' || query.from.kind !== 'values' || query.where !== null) return false;
  const [item, ...others] = query.items;
  return item?.expression.kind === 'star' && others.length === 0;
}

/** A column of the list beside one of what stands before it, both with their tables named. */
function isLink(term: Syntax, list: string, before: readonly string[]): boolean {
  if (term.kind !== 'call' || term.name !== '=' || term.args.length !== 2) return false;
  const [left, right] = term.args.map((one) => (one.kind === 'column' ? one.path.at(-2)?.toLowerCase() : undefined));
  if (left === undefined || right === undefined || before.includes(list)) return false;
  return (left === list && before.includes(right)) || (right === list && before.includes(left));
}

/** What the sources of a FROM are called. */
export function relationsOf(source: Source): readonly string[] {
  if (source.kind === 'join') return [...relationsOf(source.left), ...relationsOf(source.right)];
  const alias = 'alias' in source && source.alias !== '' ? source.alias : null;
  const name = alias ?? (source.kind === 'table' ? source.name : null);
  return name === null ? [] : [name.toLowerCase()];
}

/** Conditions that all must hold; `and` of the parser is flat or nested. */
export function termsOf(condition: Syntax): readonly Syntax[] {
  return condition.kind === 'call' && condition.name === 'and' ? condition.args.flatMap(termsOf) : [condition];
}

export function joined(terms: readonly Syntax[]): Syntax | null {
  const [first] = terms;
  if (first === undefined || terms.length === 1) return first ?? null;
  return { kind: 'call', name: 'and', args: terms, distinct: false, filter: null, at: first.at };
}

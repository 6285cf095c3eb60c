/**
 * `SELECT c.segment, avg((SELECT count(*) FROM accounts a WHERE a.customer = c.customer)) FROM customers c …`: a value looked up
 * for each row, as the LEFT JOIN that it is: `LEFT JOIN (SELECT customer, count(*) … GROUP BY customer)`, under the rules and
 * minima of one. Who has none there has no value; a count is 0 then, but not where few are withheld.
 */
import { joined, relationsOf, termsOf } from '../parse/comma-list.ts';
import { type Place, refuse } from '../refusal.ts';
import { type Query, type Select, type SelectItem, type Source, type Syntax, wordsOf } from '../syntax.ts';
import { isAggregateCall } from './aggregate-calls.ts';
import { mapSelect, mapSyntax } from './map-syntax.ts';

/** What the joined sub-queries are called: no name that anybody writes. */
export const LOOKED_UP = '__looked_up_';

const COUNTS: ReadonlySet<string> = new Set(['count', 'count_star', 'count_if', 'approx_count_distinct']);

interface Lookup {
  readonly value: Syntax;
  readonly query: Select;
  readonly on: Syntax;
}

/** The SELECT with the values joined; the same object where it looks up none. Throws Refusal. */
export function withLookups(select: Select, missing: 'zero' | 'withheld' = 'zero'): Select {
  if (select.from.kind === 'none' || select.items.some(({ expression }) => expression.kind === 'star')) return select;
  const outer = relationsOf(select.from);
  const lookups = new Map<string, Lookup>();
  const found = (one: Syntax): Syntax | null => {
    if (one.kind !== 'subquery' || one.test !== 'scalar') return null;
    const words = wordsOf(one.query);
    const alias = `${LOOKED_UP}${lookups.size}`;
    const lookup = lookups.get(words) ?? lookupOf(one.query, outer, { alias, missing });
    if (lookup === null) return null;
    lookups.set(words, lookup);
    return lookup.value;
  };
  const where = select.where === null ? null : mapSyntax(select.where, found);
  const groups = select.groups.map((group) => mapSyntax(group, found));
  const keys = new Set(select.groups.flatMap((group) => lookedUpIn(keyNamed(select, group))));
  // Of a group that is one value, where the keys decide what is looked up.
  const ofGroup = (one: Syntax): Syntax | null => {
    if (one.kind === 'call' && isAggregateCall(one)) return mapSyntax(one, found);
    const value = found(one);
    if (value === null || one.kind !== 'subquery' || keys.has(wordsOf(one.query))) return value;
    return mapSyntax(value, (part) => (part.kind === 'column' ? call('any_value', part.at, part) : null));
  };
  const asked = mapSelect(select, groups.length > 0 ? ofGroup : found);
  if (lookups.size === 0) return select;
  const from = [...lookups.values()].reduce(
    (left, { query, on }, index): Source => ({
      kind: 'join',
      type: 'left',
      left,
      right: { kind: 'derived', query, alias: `${LOOKED_UP}${index}`, columns: [], at: on.at },
      condition: on,
      using: [],
      at: on.at,
    }),
    select.from,
  );
  return { ...asked, from, where, groups };
}

/** A group key as it is written: GROUP BY names an output by its place or its alias. */
function keyNamed({ items }: Select, group: Syntax): Syntax {
  if (group.kind === 'constant' && group.literal.kind === 'integer')
    return items[Number(group.literal.value) - 1]?.expression ?? group;
  const name = group.kind === 'column' && group.path.length === 1 ? group.path[0]?.toLowerCase() : undefined;
  return items.find(({ alias }) => alias !== '' && alias.toLowerCase() === name)?.expression ?? group;
}

function lookedUpIn(syntax: Syntax): string[] {
  const words: string[] = [];
  mapSyntax(syntax, (one) => {
    if (one.kind === 'subquery') words.push(wordsOf(one.query));
    return null;
  });
  return words;
}

/** null where it speaks of nothing outside. */
function lookupOf(
  query: Query,
  outer: readonly string[],
  { alias, missing }: { readonly alias: string; readonly missing: 'zero' | 'withheld' },
): Lookup | null {
  if (query.kind !== 'select') return null;
  const inner = relationsOf(query.from);
  const isOuter = (one: Syntax): boolean => {
    const table = one.kind === 'column' ? one.path.at(-2)?.toLowerCase() : undefined;
    return table !== undefined && outer.includes(table) && !inner.includes(table);
  };
  const [item, ...others] = query.items;
  const terms = query.where === null ? [] : termsOf(query.where);
  if (item === undefined || ![...terms, item.expression].some((one) => holds(one, isOuter))) return null;
  const links = terms.flatMap((term) => linkOf(term, isOuter));
  const rest = terms.filter((term) => linkOf(term, isOuter).length === 0);
  const isPlain =
    others.length + query.groups.length + query.groupSets.length + query.orders.length === 0 &&
    query.commonTables.length === 0 &&
    !(query.groupAll || query.distinct) &&
    [query.having, query.qualify, query.orderAll, query.limit, query.offset].every((part) => part === null);
  if (!isPlain || links.length === 0 || [...rest, item.expression].some((one) => holds(one, isOuter)))
    return refuse(
      'sql-not-allowed',
      'a value is looked up by `its column = a column outside` alone',
      item.expression.at,
      'join it: `LEFT JOIN (SELECT key, count(*) AS n … GROUP BY key) v ON v.key = t.key`',
    );
  const at = item.expression.at;
  const named = (name: string): Syntax => ({ kind: 'column', path: [alias, name], at });
  const made: Syntax[] = [];
  const labels: string[] = [];
  // No name that anybody writes: it stands beside the columns outside.
  const add = (one: Syntax, of: Syntax): Syntax => {
    const index = made.push(one) - 1;
    const label = `${labelOf(of)} looked up${index === 0 ? '' : ` ${index}`}`;
    labels.push(label);
    return named(label);
  };
  const zero: Syntax = { kind: 'constant', literal: { kind: 'integer', value: 0n }, at };
  const calculated = mapSyntax(item.expression, (one) => {
    if (one.kind !== 'call' || !isAggregateCall(one)) return null;
    const value = add(one, one);
    return COUNTS.has(one.name) && missing === 'zero' ? call('coalesce', at, value, zero) : value;
  });
  // Of a plain value one row has it; were there several, the engine would refuse them.
  const value = made.length > 0 ? calculated : add(call('max', at, item.expression), item.expression);
  const output = (expression: Syntax, name: string): SelectItem => ({ expression, alias: name, defaultName: name });
  const items = [
    ...links.map(({ own }, index) => output(own, `__k${index}`)),
    ...made.map((one, index) => output(one, labels[index] ?? '')),
  ];
  const on = joined(links.map(({ asked }, index) => call('=', at, asked, named(`__k${index}`)))) ?? zero;
  return { value, on, query: { ...query, items, where: joined(rest), groups: links.map(({ own }) => own) } };
}

/** What a refusal calls it. */
function labelOf(one: Syntax): string {
  if (one.kind === 'column') return one.path.at(-1)?.toLowerCase() ?? '';
  if (one.kind !== 'call' || one.name === 'count_star') return one.kind === 'call' ? 'count(*)' : 'a value';
  return `${one.name}(${one.args.map(labelOf).join(', ')})`;
}

const call = (name: string, at: Place, ...args: Syntax[]): Syntax => ({
  kind: 'call',
  name,
  args,
  distinct: false,
  filter: null,
  at,
});

/** `own = outside`, in either order. */
function linkOf(
  term: Syntax,
  isOuter: (one: Syntax) => boolean,
): readonly { readonly own: Syntax; readonly asked: Syntax }[] {
  const [a, b] = term.kind === 'call' && term.name === '=' ? term.args : [];
  if (a?.kind !== 'column' || b?.kind !== 'column' || isOuter(a) === isOuter(b)) return [];
  return [isOuter(a) ? { own: b, asked: a } : { own: a, asked: b }];
}

function holds(syntax: Syntax, test: (one: Syntax) => boolean): boolean {
  let isThere = false;
  mapSyntax(syntax, (one) => {
    if (test(one)) isThere = true;
    return null;
  });
  return isThere;
}

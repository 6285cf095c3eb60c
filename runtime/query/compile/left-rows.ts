/**
 * `SELECT c.segment, count(a.account) FROM customers c LEFT JOIN accounts a ON a.customer = c.customer GROUP BY c.segment`: rows
 * of a private table beside all units, as values per unit beside them: `LEFT JOIN (SELECT customer, count(*) … GROUP BY
 * customer)`, of which the outer aggregates are sums. `WHERE a.customer IS NULL` asks who has none.
 *
 * The rewritten query stands under all rules for values per unit; this file only knows that it says the same.
 */
import type { CatalogueTable } from '../catalogue.ts';
import { joined, termsOf } from '../parse/comma-list.ts';
import { printable } from '../parse/literal.ts';
import { refuse } from '../refusal.ts';
import { BARE, type Select, type SelectItem, type Source, type Syntax, wordsOf } from '../syntax.ts';
import { BIGINT } from '../types.ts';
import { isAggregateCall } from './aggregate-calls.ts';
import { mapSelect, mapSyntax } from './map-syntax.ts';
import type { Scope } from './state.ts';
import { inEmptyRow, isNeverNull, zeroFilled } from './without-row.ts';

type Call = Syntax & { readonly kind: 'call' };
type Column = Syntax & { readonly kind: 'column' };
type Table = Source & { readonly kind: 'table' };

const VALUES = '__of_each';
const ROWS = '__n';

/** The SELECT over values per unit; the same object where it is another one, or says more than they can. */
export function withUnitValues(
  select: Select,
  tables: readonly CatalogueTable[],
  scope: Scope,
  sums: 'exact' | 'noisy',
): Select {
  const from = asLeftJoin(select.from);
  if (from.kind !== 'join' || from.type !== 'left' || from.right.kind !== 'table' || from.isNatural === true)
    return select;
  const found = (source: Table): CatalogueTable | undefined =>
    source.schema === '' && !scope.tables.has(source.name.toLowerCase())
      ? tables.find(({ names }) => names.some((name) => name.toLowerCase() === source.name.toLowerCase()))
      : undefined;
  const [right, lefts] = [from.right, tablesIn(from.left)];
  const [table, before] = [found(right), lefts?.map(found)];
  if (table === undefined || table.isPublic || table.brought === true) return select;
  const known = before?.every((one) => one !== undefined) ? before : [];
  // Of a table of the consumer's own an outer join is what it says, and refused.
  if (from !== select.from && known.some((one) => one?.brought === true)) return select;
  if (known.length === 0 || select.items.some(({ expression }) => expression.kind === 'star')) return select;
  const has = (one: CatalogueTable | undefined, name: string): boolean =>
    one?.columns.some((column) => column.name.toLowerCase() === name) === true;
  const own = nameOf(right);
  const isOwn = (one: Syntax): one is Column => {
    if (one.kind !== 'column') return false;
    const name = one.path.at(-1)?.toLowerCase() ?? '';
    if (one.path.length > 1) return one.path.at(-2)?.toLowerCase() === own;
    return has(table, name) && !known.some((left) => has(left, name));
  };
  const at = from.at;
  const column = (path: readonly string[]): Column => ({ kind: 'column', path, at });
  const holderOf = (name: string): string => {
    const at = known.findIndex((one) => has(one, name.toLowerCase()));
    return nameOf(lefts?.[at] ?? lefts?.[0] ?? right);
  };
  const terms = [
    ...from.using.map((name) => equal(column([holderOf(name), name]), column([own, name]))),
    ...(from.condition === null ? [] : termsOf(from.condition)),
  ];
  const links = terms.flatMap((term) => linkOf(term, isOwn));
  const inside = terms.filter((term) => linkOf(term, isOwn).length === 0);
  if (links.length === 0 || !inside.every((term) => speaksOnlyOf(term, isOwn) || isConstant(term))) return select;
  // Whoever has no row there does not meet such a condition.
  if (select.where !== null && termsOf(select.where).some((term) => asksForValue(term, isOwn)))
    return { ...select, from: { ...from, type: 'inner' } };
  const isLink = (one: Syntax): boolean => isOwn(one) && links.some((link) => nameIn(link.own) === nameIn(one));
  const none = withoutPartner(select, { from, links: isLink, isOwn });
  if (none !== null) return none;
  const keys = keysNamed(select);
  const isOfUnits = isOneRowEach(known, { keys, links, isOwn });
  const isByUnit = keys.some(
    (key) => isUnitKey(known, key) || links.some(({ other }) => nameIn(other) === nameIn(key)),
  );
  const isOfPublic = known.every((one) => one?.isPublic === true);
  if ((isOfPublic || (!isByUnit && !isCounted(select, isLink))) && onlyOfRight(select, isOwn))
    return { ...select, from: { ...from, type: 'inner' } };
  // What is summed up of groups that were released would take those that were withheld for none.
  if (isOfPublic) return select;
  const made: { readonly words: string; readonly expression: Syntax; readonly name: string }[] = [];
  const value = (expression: Call): Syntax => {
    const words = wordsOf(expression);
    const index = made.findIndex((one) => one.words === words);
    const named = `${expression.name}(${expression.args.map(nameIn).join(', ')})`;
    const name = made.some((one) => one.name === named) ? `${named} ${made.length}` : named;
    if (index === -1) made.push({ words, expression, name });
    return column([VALUES, made[index]?.name ?? name]);
  };
  let isOther = false;
  const instead = (one: Syntax): Syntax | null => {
    if (one.kind === 'subquery' || one.kind === 'window') isOther = true;
    if (one.kind === 'call' && isAggregateCall(one)) {
      const meant = ofUnits(one, {
        isOwn,
        isLink,
        value,
        rows: column([VALUES, ROWS]),
        links,
        isOfUnits,
        sums,
        holds: (name) => has(table, name),
      });
      if (meant === null) isOther = true;
      return meant ?? one;
    }
    if (isOwn(one)) isOther = true;
    return null;
  };
  const where = select.where === null ? null : mapSyntax(select.where, instead);
  const groups = isOfUnits ? [] : select.groups.map((group) => mapSyntax(group, instead));
  const asked = mapSelect(select, instead);
  if (isOther || (isOfUnits && (select.having !== null || select.distinct))) return select;
  const output = (expression: Syntax, name: string): SelectItem => ({ expression, alias: name, defaultName: name });
  const items = [
    ...links.map((link, index) => output(link.own, `__k${index}`)),
    output(call('count_star'), ROWS),
    ...made.map(({ expression, name }) => output(expression, name)),
  ];
  const query: Select = {
    ...BARE,
    items,
    from: right,
    where: joined(inside),
    groups: links.map((link) => link.own),
  };
  const on = joined(links.map((link, index) => equal(link.other, column([VALUES, `__k${index}`]))));
  const values: Source = { kind: 'derived', query, alias: VALUES, columns: [], at };
  return {
    ...asked,
    where,
    groups,
    ...(isOfUnits ? { groupSets: [], groupAll: false } : {}),
    from: { ...from, right: values, condition: on, using: [] },
  };
}

/** `visits RIGHT JOIN patients` as the LEFT JOIN that it is. */
function asLeftJoin(from: Source): Source {
  if (from.kind !== 'join' || from.type !== 'right' || from.left.kind !== 'table') return from;
  return { ...from, type: 'left', left: from.right, right: from.left };
}

/** A flag, or a comparison of a column with constants: it is met by no row in which the column is missing. */
function asksForValue(term: Syntax, isOwn: (one: Syntax) => boolean): boolean {
  if (isOwn(term)) return true;
  if (term.kind !== 'call' || !COMPARED.has(term.name)) return false;
  const columns = term.args.filter((arg) => !isConstant(arg));
  return columns.length === 1 && columns.every((one) => one.kind === 'column' && isOwn(one));
}

const COMPARED: ReadonlySet<string> = new Set(['=', '<>', '<', '<=', '>', '>=', 'in', 'not in', 'is not null']);

/** `WHERE a.customer IS NULL`: who has none; null where that is not asked. */
function withoutPartner(
  select: Select,
  {
    from,
    links,
    isOwn,
  }: {
    readonly from: Source & { readonly kind: 'join' };
    readonly links: (one: Syntax) => boolean;
    readonly isOwn: (one: Syntax) => boolean;
  },
): Select | null {
  const terms = select.where === null ? [] : termsOf(select.where);
  const isNone = (term: Syntax): boolean =>
    term.kind === 'call' && term.name === 'is null' && term.args[0] !== undefined && links(term.args[0]);
  const rest = terms.filter((term) => !isNone(term));
  if (rest.length === terms.length) return null;
  const orders = select.orders.map(({ expression }) => expression);
  const all = [...select.items.map(({ expression }) => expression), ...rest, ...select.groups, ...orders];
  if ([...all, select.having, select.qualify].some((one) => one !== null && names(one, isOwn))) return null;
  return { ...select, from: { ...from, type: 'anti' }, where: joined(rest) };
}

/** Whether the rows of each unit are counted and nothing else: then those who have none count as well. */
function isCounted(select: Select, isLink: (one: Syntax) => boolean): boolean {
  let isOther = false;
  mapSelect(select, (one) => {
    if (one.kind !== 'call' || !isAggregateCall(one)) return null;
    const [arg] = one.args;
    const isCount = one.name === 'count_star' || (one.name === 'count' && arg !== undefined && isLink(arg));
    if (!isCount || one.filter !== null) isOther = true;
    return one;
  });
  return !isOther;
}

/** Whether every aggregate takes columns of the right side alone: whoever has no row there adds nothing to any of them. */
function onlyOfRight(select: Select, isOwn: (one: Syntax) => boolean): boolean {
  let [some, isOther] = [false, false];
  const look = (one: Syntax): Syntax | null => {
    if (one.kind === 'subquery' || one.kind === 'window') isOther = true;
    if (one.kind === 'call' && isAggregateCall(one)) {
      some = true;
      const parts = [...one.args, ...(one.filter === null ? [] : [one.filter])];
      const isNullFree = ADDED.has(one.name) && one.args.every((arg) => arg.kind === 'column');
      if (!isNullFree || !parts.every((part) => speaksOnlyOf(part, isOwn))) isOther = true;
      return one;
    }
    if (isOwn(one)) isOther = true;
    return null;
  };
  mapSelect(select, look);
  for (const part of [...select.groups, ...(select.where === null ? [] : [select.where])]) mapSyntax(part, look);
  return some && !isOther;
}

const ADDED: ReadonlySet<string> = new Set('count sum avg min max median quantile_cont stddev variance'.split(' '));

/** Whether each row on the left is a group: one table of one row of each unit, grouped by the unit that is linked. */
function isOneRowEach(
  [left, ...others]: readonly (CatalogueTable | undefined)[],
  { keys, links, isOwn }: Pick<Parts, 'links' | 'isOwn'> & { readonly keys: readonly Syntax[] },
): boolean {
  if (left?.isOneOfEachUnit !== true || others.length > 0) return false;
  const units = left.units[0]?.keyColumns.map((name) => name.toLowerCase()) ?? [];
  const grouped = keys.map(nameIn);
  return (
    units.length === links.length &&
    keys.every((key) => key.kind === 'column' && !isOwn(key)) &&
    units.every((unit) => grouped.includes(unit) && links.some(({ other }) => nameIn(other) === unit))
  );
}

function isUnitKey(tables: readonly (CatalogueTable | undefined)[], key: Syntax): boolean {
  const named = nameIn(key);
  return tables.some((table) =>
    table?.units.some(({ keyColumns }) => keyColumns.some((name) => name.toLowerCase() === named)),
  );
}

/** The group keys as they are written: GROUP BY names outputs by their place, by their alias, or all of them. */
function keysNamed({ items, groups, groupAll }: Select): readonly Syntax[] {
  const plain = items.filter(
    ({ expression }) => !names(expression, (one) => one.kind === 'call' && isAggregateCall(one)),
  );
  if (groupAll) return plain.map(({ expression }) => expression);
  return groups.map((group) => {
    if (group.kind === 'constant' && group.literal.kind === 'integer')
      return items[Number(group.literal.value) - 1]?.expression ?? group;
    const item = group.kind === 'column' && group.path.length === 1 ? nameIn(group) : '';
    return plain.find(({ alias }) => alias !== '' && alias.toLowerCase() === item)?.expression ?? group;
  });
}

interface Parts {
  readonly isOwn: (one: Syntax) => boolean;
  readonly isLink: (one: Syntax) => boolean;
  readonly value: (expression: Call) => Syntax;
  readonly rows: Syntax;
  readonly links: readonly { readonly own: Column; readonly other: Column }[];
  /** Each row on the left is a group of its own: nothing is added up. */
  readonly isOfUnits: boolean;
  readonly sums: 'exact' | 'noisy';
  /** Whether the table on the right has a column of that name. */
  readonly holds: (name: string) => boolean;
}

/** An aggregate of the joined rows as one of the values of units; null for what they do not say. */
function ofUnits(aggregate: Call, { isOwn, isLink, value, rows, links, isOfUnits, sums, holds }: Parts): Syntax | null {
  const { name, args, distinct, filter } = aggregate;
  const [arg] = args;
  const sum = (one: Syntax): Syntax => (isOfUnits ? one : call('sum', one));
  // A count is a whole number of 64 bits; a noisy one is shown as it is.
  const count = (one: Syntax): Syntax =>
    isOfUnits || sums === 'noisy'
      ? sum(one)
      : { kind: 'cast', arg: sum(one), type: BIGINT, isTry: true, at: aggregate.at };
  if (filter !== null) return null;
  if (name === 'count_star') return count(call('coalesce', rows, number(1n)));
  if (arg === undefined || args.length !== 1) return null;
  const isOfRight = speaksOnlyOf(arg, isOwn);
  if (distinct) {
    if (name !== 'count' || isOfUnits) return null;
    if (!isOfRight) return speaksOnlyOf(arg, (one) => !isOwn(one)) ? aggregate : null;
    const link = links.find(({ own }) => isLink(arg) && nameIn(own) === nameIn(arg));
    return link === undefined ? null : { ...aggregate, args: [link.other], filter: call('is not null', rows) };
  }
  if (!isOfRight) return null;
  if (name === 'count' && isLink(arg)) return count(call('coalesce', rows, number(0n)));
  const empty = inEmptyRow(arg);
  if (empty === null) return null;
  const isEmpty = empty.kind === 'null';
  if (name === 'count') {
    // Rows without a value would have to be held to the minimum in each group out here.
    if (!isOfUnits && sums === 'exact' && holds(nameIn(arg)))
      refuse(
        'aggregate-not-granted',
        `of private rows that are left-joined the column is counted that links them, not \`${printable(nameIn(arg))}\``,
        aggregate.at,
        `count(${links[0]?.own.path.join('.') ?? 'column'}), or an inner join`,
      );
    return count(call('coalesce', value(aggregate), number(isEmpty ? 0n : 1n)));
  }
  const summed = name === 'sum' ? zeroFilled(arg) : null;
  if (summed !== null) {
    // Of several units it changes nothing to add 0 for whoever has no row, or no value in any.
    const made = value({ ...aggregate, args: [summed] });
    return isOfUnits ? call('coalesce', made, number(0n)) : sum(made);
  }
  if (!isEmpty && !isNeverNull(arg)) return null;
  const made = value(aggregate);
  const filled = isEmpty ? made : call('coalesce', made, { kind: 'constant', literal: empty, at: aggregate.at });
  if (name === 'sum') return sum(filled);
  if (isOfUnits && (name === 'avg' || name === 'min' || name === 'max')) return filled;
  return null;
}

const call = (name: string, ...args: Syntax[]): Call => ({
  kind: 'call',
  name,
  args,
  distinct: false,
  filter: null,
  at: args[0]?.at ?? null,
});
const equal = (a: Syntax, b: Syntax): Syntax => call('=', a, b);
const number = (value: bigint): Syntax => ({ kind: 'constant', literal: { kind: 'integer', value }, at: null });
const nameOf = ({ alias, name }: { readonly alias: string; readonly name: string }): string =>
  (alias === '' ? name : alias).toLowerCase();
const nameIn = (one: Syntax): string => (one.kind === 'column' ? (one.path.at(-1)?.toLowerCase() ?? '') : '');

/** The tables of inner and left joins without anything else in them; null where something else is. */
function tablesIn(source: Source): readonly Table[] | null {
  if (source.kind === 'table') return [source];
  if (source.kind !== 'join' || (source.type !== 'inner' && source.type !== 'left')) return null;
  const [left, right] = [tablesIn(source.left), tablesIn(source.right)];
  return left === null || right === null ? null : [...left, ...right];
}

/** `its column = a column before it`, in either order. */
function linkOf(
  term: Syntax,
  isOwn: (one: Syntax) => one is Column,
): readonly { readonly own: Column; readonly other: Column }[] {
  const [a, b] = term.kind === 'call' && term.name === '=' ? term.args : [];
  if (a?.kind !== 'column' || b?.kind !== 'column' || isOwn(a) === isOwn(b)) return [];
  return [isOwn(a) ? { own: a, other: b } : { own: b, other: a }];
}

/** TRUE, as generated text says it. */
const isConstant = (term: Syntax): boolean => !names(term, ({ kind }) => kind === 'column' || kind === 'star');

/** Whether some column is named, and each that is passes. */
function speaksOnlyOf(syntax: Syntax, test: (one: Syntax) => boolean): boolean {
  let [some, isOther] = [false, false];
  mapSyntax(syntax, (one) => {
    if (one.kind === 'subquery' || one.kind === 'window' || one.kind === 'star') isOther = true;
    if (one.kind === 'column') {
      some = true;
      if (!test(one)) isOther = true;
    }
    return null;
  });
  return some && !isOther;
}

function names(syntax: Syntax, test: (one: Syntax) => boolean): boolean {
  let isThere = false;
  mapSyntax(syntax, (one) => {
    if (one.kind === 'subquery' || test(one)) isThere = true;
    return null;
  });
  return isThere;
}

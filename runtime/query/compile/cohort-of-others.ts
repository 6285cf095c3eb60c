/**
 * `FROM customers c WHERE c.id IN (SELECT customer FROM orders WHERE …)` where orders are of another dataset: the people of one
 * provider whom another one knows. The units of two datasets are counted each with its own minimum, which a cohort cannot do, as
 * its rows show one of them only. Who is in it are those whom an inner join with one row for each unit keeps:
 * `JOIN (SELECT customer FROM orders WHERE … GROUP BY customer) o ON c.id = o.customer`, so EXISTS, SEMI JOIN and IN that WHERE
 * demands are read as that join. Who is *not* in it would be told of units that the other dataset does not have, and stays refused.
 *
 * A list that a consumer brings, `WHERE ward IN (SELECT ward FROM my_wards)`, is the inner join with it in the same way, as such a
 * table has one row of each value that is joined.
 *
 * The rewritten query stands under all rules for such joins; this file only knows that it says the same.
 */
import type { CatalogueTable } from '../catalogue.ts';
import { joined, relationsOf, termsOf } from '../parse/comma-list.ts';
import type { Place } from '../refusal.ts';
import { BARE, type Select, type SelectItem, type Source, type Syntax } from '../syntax.ts';
import { mapSyntax } from './map-syntax.ts';
import type { Scope } from './state.ts';

type Column = Syntax & { readonly kind: 'column' };
type Table = Source & { readonly kind: 'table' };

interface Known {
  readonly source: Table;
  readonly table: CatalogueTable;
}

interface Cohort {
  /** One row for each unit, with its key alone. */
  readonly query: Select;
  readonly outer: Syntax;
}

const NAME = '__in_cohort_';
const KEY = '__key';

/** The SELECT with joins in place of cohorts of other datasets; the same object where there are none. */
export function withCohortsOfOthers(
  select: Select,
  tables: readonly CatalogueTable[],
  scope: Scope,
  of: 'all' | 'brought' = 'all',
): Select {
  if (select.items.some(({ expression }) => expression.kind === 'star')) return select;
  const semi = semiJoinOf(select.from, tables, scope);
  const from = semi?.left ?? select.from;
  const outer = knownIn(from, tables, scope);
  const datasets = new Set(outer?.filter(({ table }) => !table.isPublic).map(({ table }) => table.dataset));
  if (outer === null || datasets.size === 0) return select;
  const isOfOthers = (inner: readonly Known[]): boolean =>
    isList(inner) ||
    (of === 'all' && inner.every(({ table }) => (table.isPublic && !isBrought(table)) || !datasets.has(table.dataset)));
  const cohorts: Cohort[] = [];
  const add = (cohort: Cohort | null): boolean => {
    if (cohort !== null) cohorts.push(cohort);
    return cohort !== null;
  };
  if (semi !== null && !add(ofPartners(semi.query, outer, { tables, scope, isOfOthers }))) return select;
  const rest = (select.where === null ? [] : termsOf(select.where)).filter((term) => {
    if (term.kind !== 'subquery' || term.query.kind !== 'select') return true;
    const within = { tables, scope, isOfOthers };
    if (term.test === 'in' && term.arg?.kind === 'column') return !add(ofKeys(term.query, term.arg, within));
    return term.test !== 'exists' || !add(ofPartners(term.query, outer, within));
  });
  if (cohorts.length === 0) return select;
  const all = cohorts.reduce((left, { query, outer: asked }, index): Source => {
    const alias = `${NAME}${index}`;
    const key: Column = { kind: 'column', path: [alias, KEY], at: asked.at };
    return {
      kind: 'join',
      type: 'inner',
      left,
      right: { kind: 'derived', query, alias, columns: [], at: asked.at },
      condition: equal(asked, key),
      using: [],
      at: asked.at,
    };
  }, from);
  return { ...select, from: all, where: joined(rest) };
}

interface Within {
  readonly tables: readonly CatalogueTable[];
  readonly scope: Scope;
  readonly isOfOthers: (inner: readonly Known[]) => boolean;
}

/** `outer IN (SELECT key FROM … [GROUP BY key HAVING …])`. */
function ofKeys(written: Select, outer: Column, { tables, scope, isOfOthers }: Within): Cohort | null {
  const query = inlined(written, scope);
  const inner = knownIn(query.from, tables, scope);
  const [item, ...others] = query.items;
  if (inner === null || !isOfOthers(inner) || item?.expression.kind !== 'column' || others.length > 0) return null;
  const key = item.expression;
  const isGrouped = query.groups.length > 0;
  const isByKey = query.groups.every((group) => group.kind === 'column' && nameIn(group) === nameIn(key));
  if (!isPlain(query) || !isByKey || query.groups.length > 1 || (!isGrouped && query.having !== null)) return null;
  if (isList(inner)) return isGrouped ? null : { query: listOf(query, key), outer };
  return isUnitKey(inner, key) ? { query: keysOf(query, key), outer } : null;
}

/** `EXISTS (SELECT … FROM … WHERE key = outer AND …)`. */
function ofPartners(query: Select, outer: readonly Known[], { tables, scope, isOfOthers }: Within): Cohort | null {
  const inner = knownIn(query.from, tables, scope);
  if (inner === null || !isOfOthers(inner) || !isPlain(query) || query.groups.length > 0 || query.having !== null)
    return null;
  const isOuter = (one: Syntax): boolean => one.kind === 'column' && !isOf(inner, one) && isOf(outer, one);
  const terms = query.where === null ? [] : termsOf(query.where);
  const linked = terms.flatMap((term) => {
    const [a, b] = term.kind === 'call' && term.name === '=' ? term.args : [];
    if (a?.kind !== 'column' || b?.kind !== 'column' || isOuter(a) === isOuter(b)) return [];
    return [isOuter(a) ? { term, outer: a, key: b } : { term, outer: b, key: a }];
  });
  const [link, ...more] = linked;
  const rest = terms.filter((term) => term !== link?.term);
  if (link === undefined || more.length > 0 || rest.some((term) => holds(term, isOuter))) return null;
  if (isList(inner)) return { query: listOf({ ...query, where: joined(rest) }, link.key), outer: link.outer };
  if (!isUnitKey(inner, link.key)) return null;
  return { query: keysOf({ ...query, where: joined(rest) }, link.key), outer: link.outer };
}

/** `FROM a SEMI JOIN b ON …`, as the query that EXISTS would ask. */
function semiJoinOf(
  from: Source,
  tables: readonly CatalogueTable[],
  scope: Scope,
): { readonly left: Source; readonly query: Select } | null {
  if (from.kind !== 'join' || from.type !== 'semi' || from.isNatural === true || from.right.kind !== 'table')
    return null;
  const outer = knownIn(from.left, tables, scope);
  const right = nameOf(from.right);
  const terms = from.using.map((name) => {
    const holder = outer?.find(({ table }) => has(table, name))?.source;
    const [a, b] = [holder === undefined ? '' : nameOf(holder), right];
    return equal(column([a, name], from.at), column([b, name], from.at));
  });
  const where = joined([...terms, ...(from.condition === null ? [] : termsOf(from.condition))]);
  return { left: from.left, query: { ...BARE, items: [], from: from.right, where, groups: [] } };
}

/** `SELECT key FROM loyal` where WITH names it, as the query that WITH names. */
function inlined(query: Select, scope: Scope): Select {
  const { from, where, groups, having } = query;
  const named = from.kind === 'table' && from.schema === '' ? scope.tables.get(from.name.toLowerCase()) : undefined;
  const [item, ...others] = query.items;
  if (named === undefined || item?.expression.kind !== 'column' || others.length > 0 || !isPlain(query)) return query;
  const { columns, query: inner } = named.table;
  if (where !== null || groups.length > 0 || having !== null || columns.length > 0 || inner.kind !== 'select')
    return query;
  const wanted = nameIn(item.expression);
  const key = inner.items.find(
    ({ alias, expression }) => (alias === '' ? nameIn(expression) : alias.toLowerCase()) === wanted,
  );
  // By the place or the alias of another output it could be grouped by, which is gone then.
  const isByColumns = inner.groups.every((group) => group.kind === 'column');
  return key === undefined || !isByColumns ? query : { ...inner, items: [key] };
}

function isPlain(query: Select): boolean {
  return (
    query.commonTables.length + query.orders.length === 0 &&
    query.groupSets.length <= 1 &&
    !query.groupAll &&
    query.distinctOn === undefined &&
    [query.orderAll, query.limit, query.offset, query.qualify].every((part) => part === null)
  );
}

const isBrought = (table: CatalogueTable): boolean => table.brought === true;

/** One table of the consumer's and nothing else. */
const isList = (inner: readonly Known[]): boolean => inner.length === 1 && inner.every(({ table }) => isBrought(table));

/** The values of a list as they are: that none stands twice is a rule for joins with it. */
function listOf(query: Select, key: Column): Select {
  const item: SelectItem = { expression: key, alias: KEY, defaultName: KEY };
  return { ...query, items: [item], distinct: false, groups: [], groupSets: [] };
}

function keysOf(query: Select, key: Column): Select {
  return { ...listOf(query, key), groups: [key] };
}

/** The provider's tables of a FROM that joins nothing else; null where it does. */
function knownIn(source: Source, tables: readonly CatalogueTable[], scope: Scope): readonly Known[] | null {
  if (source.kind === 'table') {
    const name = source.name.toLowerCase();
    const isNamed = source.schema === '' && scope.tables.has(name);
    const full = [source.catalog, source.schema, source.name]
      .filter((part) => part !== '')
      .join('.')
      .toLowerCase();
    const found = tables.filter(({ names }) => names.some((one) => one.toLowerCase() === full));
    const [table] = found;
    return isNamed || table === undefined || found.length > 1 ? null : [{ source, table }];
  }
  if (source.kind !== 'join' || (source.type !== 'inner' && source.type !== 'left' && source.type !== 'cross'))
    return null;
  const [left, right] = [knownIn(source.left, tables, scope), knownIn(source.right, tables, scope)];
  return left === null || right === null ? null : [...left, ...right];
}

/** Whether a column is the whole unit of the table that it is of. */
function isUnitKey(inner: readonly Known[], key: Column): boolean {
  const holders = inner.filter((one) => isOf([one], key) && !one.table.isPublic);
  const [unit, ...more] = holders[0]?.table.units ?? [];
  return holders.length === 1 && more.length === 0 && unit?.keyColumns.join('\0').toLowerCase() === nameIn(key);
}

/** Whether a column may be one of these tables, as names are looked up: the innermost first. */
function isOf(tables: readonly Known[], { path }: { readonly path?: readonly string[] } & Syntax): boolean {
  const [name = '', relation] = [path?.at(-1), path?.at(-2)?.toLowerCase()];
  return tables.some(
    ({ source, table }) => has(table, name) && (relation === undefined || relation === nameOf(source)),
  );
}

const has = ({ columns }: CatalogueTable, name: string): boolean =>
  columns.some((one) => one.name.toLowerCase() === name.toLowerCase());

const nameOf = (source: Table): string => relationsOf(source)[0] ?? '';

const nameIn = (one: Syntax): string => (one.kind === 'column' ? (one.path.at(-1)?.toLowerCase() ?? '') : '');

const column = (path: readonly string[], at: Place): Column => ({ kind: 'column', path, at });

const equal = (a: Syntax, b: Syntax): Syntax => ({
  kind: 'call',
  name: '=',
  args: [a, b],
  distinct: false,
  filter: null,
  at: a.at,
});

function holds(syntax: Syntax, test: (one: Syntax) => boolean): boolean {
  let isThere = false;
  mapSyntax(syntax, (one) => {
    if (one.kind === 'subquery' || test(one)) isThere = true;
    return null;
  });
  return isThere;
}

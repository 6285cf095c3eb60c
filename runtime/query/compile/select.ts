import { printable } from '../parse/literal.ts';
import { type Place, Refusal, refuse } from '../refusal.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import type { Over } from '../resolve/arithmetic.ts';
import { type Base, privateBases } from '../rows.ts';
import type { Query, Select, SelectItem, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { MAX_COMPILED } from '../text.ts';
import { familyOf, printType } from '../types.ts';
import { compileAggregate } from './aggregate.ts';
import { compilePerUnit } from './per-unit.ts';
import { withUnitValues } from './left-rows.ts';
import { LOOKED_UP, withLookups } from './correlated.ts';
import { withCohortsOfOthers } from './cohort-of-others.ts';
import { withDeterminedKeys } from './determined.ts';
import { asksForOrder, compileOrdered } from './unit-order.ts';
import { compileReleased, groupKeys } from './released.ts';
import { resolvedOrNull } from './resolved-or-null.ts';
import { addConditions, checkPicks, conjuncts, type From, lookup, readFrom, tryLookup } from './sources.ts';
import type { Relation, ReleasedRelation, Scope, State } from './state.ts';
import { compileUnion } from './union.ts';
import { hasAggregate, isAggregateCall } from './aggregate-calls.ts';
import { isCohort, subqueryOverReleased, subqueryWords } from './sub-query.ts';

/** Compiles a query: private rows stay rows until an aggregate turns them into released values. */
export function compileAny(state: State, query: Query, outer: Scope, derived = false): Relation {
  state.compiled += 1;
  // A WITH that is named twice is compiled twice: thirty that each name the one before twice would be a billion.
  if (state.compiled > MAX_COMPILED)
    refuse(
      'query-too-large',
      `its parts and what WITH names stand in it more than ${MAX_COMPILED} times`,
      null,
      'ask in several queries',
    );
  const scope = withTables(state, query, outer);
  return query.kind === 'union' ? compileUnion(state, query, scope) : compileSelect(state, query, scope, derived);
}

export function withTables(state: State, query: Query, outer: Scope): Scope {
  let scope = outer;
  for (const table of query.commonTables) {
    const name = table.name.toLowerCase();
    // A WITH name that hides a table of the policy could make a reader, or another parser, see a different query.
    if (state.context.tables.some((one) => one.names.some((known) => known.toLowerCase() === name))) {
      refuse(
        'name-taken',
        `WITH cannot name a query \`${name}\`: a table is called so`,
        { words: [name] },
        'choose another name',
      );
    }
    scope = { tables: new Map([...scope.tables, [name, { table, scope }]]) };
  }
  return scope;
}

function compileSelect(state: State, written: Select, scope: Scope, derived: boolean): Relation {
  const isNoisy = state.noise !== undefined;
  const asked = withCohortsOfOthers(written, state.context.tables, scope, isNoisy ? 'brought' : 'all');
  const looked = withLookups(withUnitValues(asked, state.context.tables, scope, isNoisy ? 'noisy' : 'exact'));
  const compile = (query: Query, within: Scope): Relation => compileAny(state, query, within, true);
  const resolveIn = (from: From, syntax: Syntax, over: Over): Typed =>
    resolve(syntax, rowSight(state, scope, from, [], over));
  const from = readFrom(looked.from, { state, scope, compile, resolveIn });
  const select = looked !== asked && isWithheldLookup(from) ? withLookups(asked, 'withheld') : looked;
  const bases = privateBases(from.scope);
  if (bases.length === 0) {
    return (derived ? plainRows(state, select, scope, from) : null) ?? compileReleased(state, select, scope, from);
  }
  if (from.released.length > 0)
    refuse(
      'join-with-released',
      'private rows cannot be joined with an aggregated result',
      { words: ['join', 'from'] },
      'aggregate the private rows in a sub-query of their own, and join the two results',
    );
  const items = expandStars(select.items, from);
  const sight = rowSight(state, scope, from, items, 'rows');
  const where = select.where === null ? [] : conjuncts(select.where).map((one) => condition(resolve(one, sight)));
  const rows = addConditions(from.scope, where);
  const isFirst = select.distinctOn !== undefined && derived;
  const aggregates =
    select.groups.length > 0 || select.groupAll || (select.distinct && !isFirst) || select.groupSets.length > 0;
  const calls = [...items.map((item) => item.expression), ...(select.having === null ? [] : [select.having])];
  if (aggregates || calls.some(hasAggregate)) {
    const resolveRow = (syntax: Syntax): Typed => resolve(syntax, sight);
    const asked = withDeterminedKeys({ ...select, items }, rows, resolveRow);
    if (state.noise !== undefined)
      return state.noise.aggregate({
        written,
        select: asked,
        scope,
        from: { ...from, scope: rows },
        resolveRow,
        isDerived: derived,
      });
    const perUnit = derived ? compilePerUnit(state, asked, { ...from, scope: rows }, resolveRow) : null;
    if (derived && perUnit === null) checkOfOneDataset(state, asked, bases, resolveRow);
    return perUnit ?? compileAggregate(state, asked, scope, { ...from, scope: rows }, resolveRow);
  }
  if (derived && asksForOrder(select)) {
    const ordered = compileOrdered(
      state,
      { ...select, items },
      { scope, from: { ...from, scope: rows }, resolveRow: (syntax) => resolve(syntax, sight) },
    );
    if (ordered !== null) return ordered;
  }
  if (
    [select.limit, select.offset, select.orderAll].some((part) => part !== null) ||
    select.orders.length > 0 ||
    select.distinctOn !== undefined
  ) {
    refuse(
      'rows-picked',
      'ORDER BY, LIMIT and DISTINCT ON cannot pick private rows',
      { words: ['order', 'limit', 'offset', 'distinct'] },
      'aggregate first',
    );
  }
  if (select.qualify !== null || select.having !== null)
    refuse('sql-not-allowed', 'HAVING and QUALIFY need an aggregate', { words: ['having', 'qualify'] });
  const columns = items.map((item) => ({
    name: itemName(item, from),
    expression: resolve(item.expression, sight),
    role: 'derived' as const,
  }));
  return { kind: 'rows', scope: rows, columns };
}

/** Values per unit of rows of two datasets would belong to two units, of which the keys name one. */
function checkOfOneDataset(
  { context }: State,
  select: Select,
  bases: readonly Base[],
  resolveRow: (syntax: Syntax) => Typed,
): void {
  if (new Set(bases.map(({ table }) => table.dataset)).size < 2 || select.groupSets.length > 1) return;
  if (context.release.mode === 'differentialPrivacy')
    refuse('differential-shape', 'a sub-query over private rows aggregates', { words: ['from'] });
  for (const group of select.groupAll ? [] : groupKeys(select, select.items)) {
    const key = resolvedOrNull(group, resolveRow);
    if (key?.kind !== 'column' || key.base === null) continue;
    const { relation, column } = key.base;
    const { table } = bases.find((base) => base.relation === relation) ?? {};
    const isUnit = table?.units.some(({ keyColumns }) => keyColumns.includes(column.name)) === true;
    if (!isUnit || column.grants.some(({ rights }) => rights.includes('group'))) continue;
    refuse(
      'column-right-missing',
      `\`${column.label ?? column.name}\` cannot be used as a group key: rows of two datasets belong to two units`,
      key.at,
      'make values per unit of one dataset, `(SELECT unit, count(*) AS n FROM … GROUP BY unit)`, and join them on the unit',
    );
  }
}

/** Whether a value that is looked up may be missing because few are behind it. */
function isWithheldLookup(from: From): boolean {
  const looked = from.visible.filter(({ names }) => names.some((name) => name.startsWith(LOOKED_UP)));
  const isReleased = looked.some(({ columns }) =>
    columns.some(({ expression }) => expression.kind === 'column' && expression.base === null),
  );
  return isReleased && from.released.some(({ certificates }) => certificates.length > 0);
}

/**
 * A plain projection of public tables stays a list of rows, so that it can be joined with private ones: what its WHERE
 * leaves out then counts as left out there too. null when it is more than that.
 */
function plainRows(state: State, select: Select, scope: Scope, from: From): Relation | null {
  const isPlain =
    from.released.length === 0 &&
    from.scope.bases.length > 0 &&
    select.groups.length + select.groupSets.length + select.orders.length === 0 &&
    !select.groupAll &&
    !select.distinct &&
    select.distinctOn === undefined &&
    [select.having, select.qualify, select.orderAll, select.limit, select.offset].every((part) => part === null);
  if (!isPlain) return null;
  const items = expandStars(select.items, from);
  const sight = rowSight(state, scope, from, items, 'rows');
  try {
    const where = select.where === null ? [] : conjuncts(select.where).map((one) => condition(resolve(one, sight)));
    const columns = items.map((item) => ({
      name: itemName(item, from),
      expression: resolve(item.expression, sight),
      role: 'derived' as const,
    }));
    return { kind: 'rows', scope: addConditions(from.scope, where), columns };
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

export function condition(expression: Typed): Typed {
  if (expression.type !== null && familyOf(expression.type) !== 'boolean') {
    refuse('type-mismatch', `a condition is needed, not ${printType(expression.type)}`, expression.at);
  }
  return expression;
}

export function releasedOnly(
  relation: Relation,
  at: Place,
  remedy = 'aggregate: group by allowed columns and use count, sum, avg',
): ReleasedRelation {
  if (relation.kind === 'released') return relation;
  return refuse('rows-not-released', 'the query would return rows of a private table', at, remedy);
}

/** Sees columns of FROM, then aliases of the select list; no aggregates. */
export function rowSight(state: State, scope: Scope, from: From, items: readonly SelectItem[], over: Over): Sight {
  const pending = new Set<string>();
  const cohorts = new Map<string, Typed>();
  const sight: Sight = {
    over,
    parameters: state.context.parameters,
    intercept: () => null,
    column: (path, at) => {
      const [name = ''] = path;
      const aliased =
        path.length === 1 ? items.find((item) => item.alias.toLowerCase() === name.toLowerCase()) : undefined;
      const isColumn = from.visible.some((one) =>
        one.columns.some((column) => column.name.toLowerCase() === path.at(-1)?.toLowerCase()),
      );
      if (aliased === undefined || isColumn) return lookup(from, path, at);
      if (pending.has(name.toLowerCase())) refuse('column-unknown', `\`${name}\` is defined by itself`, at);
      pending.add(name.toLowerCase());
      const resolved = resolve(aliased.expression, sight);
      pending.delete(name.toLowerCase());
      return resolved;
    },
    special: (syntax) => {
      if (isAggregateCall(syntax))
        refuse('aggregate-misplaced', `the aggregate \`${syntax.name}\` cannot stand here`, syntax.at);
      return syntax.name === 'grouping' ? refuse('aggregate-misplaced', 'GROUPING cannot stand here', syntax.at) : null;
    },
    window: (_window, at) =>
      refuse(
        'window-over-rows',
        'a window cannot look at private rows',
        at,
        'aggregate in a sub-query, then use the window on its result; in FROM, PARTITION BY the privacy unit with ORDER BY looks at the rows of each',
      ),
    subquery: (syntax) => {
      // Written twice, in the output and in GROUP BY, it is one condition.
      const words = subqueryWords(syntax);
      const known = cohorts.get(words);
      if (known !== undefined) return known;
      const before = { noisy: state.noise?.uses ?? 0, brought: state.brought };
      const found = subqueryOverReleased(state, scope, syntax, sight);
      if (over === 'rows') checkPicks(state, before, syntax.at);
      if (isCohort(found)) cohorts.set(words, found);
      return found;
    },
  };
  return sight;
}

export function expandStars(items: readonly SelectItem[], from: From): SelectItem[] {
  return items.flatMap((item) => {
    const { expression } = item;
    if (expression.kind !== 'star') return [item];
    const wanted = expression.relation.toLowerCase();
    const holders = from.visible.filter(
      (one) => wanted === '' || one.names.some((name) => name.toLowerCase() === wanted),
    );
    if (holders.length === 0) refuse('table-unknown', 'the table before `.*` is not in FROM', expression.at);
    const seen = new Set<string>();
    const { exclude = [], replace = [] } = expression;
    checkNamed(
      [...exclude, ...replace.map((one) => one.name)],
      holders.flatMap((one) => one.columns.map((column) => column.name)),
      expression.at,
    );
    return holders.flatMap((one) =>
      one.columns.flatMap((column): SelectItem[] => {
        const [qualifier = ''] = one.names;
        const path = qualifier === '' ? [column.name] : [qualifier, column.name];
        // Of the two columns that USING names, `*` shows the first, which stands for both.
        const name = column.name.toLowerCase();
        if (wanted === '' && from.merged.includes(name) && seen.has(name)) return [];
        seen.add(name);
        if (exclude.some((left) => left.toLowerCase() === name)) return [];
        const instead = replace.find((other) => other.name.toLowerCase() === name)?.expression;
        return [
          {
            expression: instead ?? { kind: 'column', path, at: expression.at },
            alias: column.name,
            defaultName: column.name,
          },
        ];
      }),
    );
  });
}

/** What EXCLUDE and REPLACE name must be there, as in the engine. */
function checkNamed(wanted: readonly string[], known: readonly string[], at: Place): void {
  const missing = wanted.find((name) => !known.some((one) => one.toLowerCase() === name.toLowerCase()));
  if (missing !== undefined)
    refuse('column-unknown', `\`*\` has no column \`${printable(missing)}\` to leave out or replace`, at);
}

/** The name of an output column: its alias, the column's own name in the catalogue, or DuckDB's spelling. */
export function itemName(item: SelectItem, from: From): string {
  if (item.alias !== '') return item.alias;
  const { expression } = item;
  const column = expression.kind === 'column' ? tryLookup(from, expression.path, expression.at) : null;
  return column?.name ?? item.defaultName;
}

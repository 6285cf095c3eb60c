import { AGGREGATES, OTHER_AGGREGATES, RELEASED_AGGREGATES } from '../functions.ts';
import { printable } from '../parse/literal.ts';
import { type Place, Refusal, refuse } from '../refusal.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import { type Over } from '../resolve/arithmetic.ts';
import { buildCall } from '../resolve/call.ts';
import { printTyped } from '../print.ts';
import { privateBases } from '../rows.ts';
import type { Query, Select, SelectItem, Syntax, Union } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { MAX_COMPILED } from '../text.ts';
import { BOOLEAN, commonType, familyOf, printType } from '../types.ts';
import { compileAggregate } from './aggregate.ts';
import { inCohort } from './cohort.ts';
import { COHORT } from '../rights.ts';
import { compilePerUnit } from './per-unit.ts';
import { asksForOrder, compileOrdered } from './unit-order.ts';
import { compileReleased } from './released.ts';
import { hasPartner } from './semi-join.ts';
import { addConditions, checkPicks, conjuncts, type From, lookup, readFrom, tryLookup } from './sources.ts';
import type { Relation, ReleasedRelation, Scope, State } from './state.ts';

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

function compileSelect(state: State, select: Select, scope: Scope, derived: boolean): Relation {
  const compile = (query: Query, within: Scope): Relation => compileAny(state, query, within, true);
  const resolveIn = (from: From, syntax: Syntax, over: Over): Typed =>
    resolve(syntax, rowSight(state, scope, from, [], over));
  const from = readFrom(select.from, { state, scope, compile, resolveIn });
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
  const isFirst = select.distinctOn !== undefined && derived && state.noise === undefined;
  const aggregates =
    select.groups.length > 0 || select.groupAll || (select.distinct && !isFirst) || select.groupSets.length > 0;
  const calls = [...items.map((item) => item.expression), ...(select.having === null ? [] : [select.having])];
  if (aggregates || calls.some(hasAggregate)) {
    if (state.noise !== undefined)
      return state.noise.aggregate({
        written: select,
        select: { ...select, items },
        scope,
        from: { ...from, scope: rows },
        resolveRow: (syntax) => resolve(syntax, sight),
        isDerived: derived,
      });
    const perUnit = derived
      ? compilePerUnit(state, { ...select, items }, { ...from, scope: rows }, (syntax) => resolve(syntax, sight))
      : null;
    if (perUnit !== null) return perUnit;
    return compileAggregate(state, { ...select, items }, scope, { ...from, scope: rows }, (syntax) =>
      resolve(syntax, sight),
    );
  }
  if (derived && state.noise === undefined && asksForOrder(select)) {
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

export function releasedOnly(relation: Relation, at: Place): ReleasedRelation {
  if (relation.kind === 'released') return relation;
  return refuse(
    'rows-not-released',
    'the query would return rows of a private table',
    at,
    'aggregate: group by allowed columns and use count, sum, avg',
  );
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
        'aggregate in a subquery, then use the window on its result',
      ),
    subquery: (syntax) => {
      // Written twice, in the output and in GROUP BY, it is one condition.
      const words = wordsOf(syntax);
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

/** A sub-query as it is written, wherever it stands. */
function wordsOf({ test, arg, query }: Parameters<Sight['subquery']>[0]): string {
  const words = JSON.stringify(query, (key, value: unknown) =>
    key === 'at' ? undefined : typeof value === 'bigint' ? `${value}n` : value,
  );
  return `${test} ${arg === null ? '' : printTyped(arg)} ${words}`;
}

/** Whether an expression is a condition that looks into private rows, or its negation. */
export function isCohort(expression: Typed): boolean {
  if (expression.kind !== 'call') return false;
  return expression.name === COHORT || (expression.name === 'not' && expression.args.every(isCohort));
}

/** Sub-queries in expressions: private rows along the unit, else only what is released or public; correlated only where they ask for a partner. */
export function subqueryOverReleased(
  state: State,
  scope: Scope,
  syntax: Parameters<Sight['subquery']>[0],
  outer: Sight,
): Typed {
  const { test, arg, query, at } = syntax;
  if ((test === 'exists' || test === 'not exists') && query.kind === 'select' && isRowTest(query))
    return existsPartner(state, scope, { query, isNegated: test === 'not exists', at }, outer);
  const isLinkable = test === 'in' && arg?.kind === 'column' && arg.base?.table.isPublic === false;
  const found = compileAny(state, query, scope, isLinkable);
  if (isLinkable && found.kind === 'rows' && privateBases(found.scope).length > 0) {
    const [column] = found.columns;
    if (column === undefined || found.columns.length !== 1)
      refuse('wrong-arguments', 'a sub-query here must have one column', at);
    return inCohort(state, found.scope, [{ outer: arg, inner: column.expression }], at);
  }
  const inner = releasedOnly(isLinkable && found.kind === 'rows' ? compileAny(state, query, scope) : found, at);
  const args = arg === null ? [] : [arg];
  for (const [index, domain] of inner.domains.entries()) {
    state.borrowed.push({ domain, sql: `(SELECT min(c${index}) FROM (${inner.select}))` });
  }
  const from = `FROM (${inner.select}) AS s${state.nextRelation++}`;
  const [column] = inner.columns;
  if (column === undefined || inner.columns.length !== 1)
    refuse('wrong-arguments', 'a sub-query here must have one column', at);
  if (test === 'scalar') {
    // LIMIT 1: DuckDB would fail on a second row.
    return {
      kind: 'call',
      name: 'sub-query',
      args,
      type: column.type,
      digits: null,
      sql: `(SELECT o0 ${from} LIMIT 1)`,
      at,
    };
  }
  if (test === 'in' && arg !== null) {
    if (arg.type !== null && commonType(arg.type, column.type) === null)
      refuse('type-mismatch', 'IN compares values of two types', at);
    return {
      kind: 'call',
      name: 'in sub-query',
      args,
      type: BOOLEAN,
      digits: null,
      sql: `(${printTyped(arg)} IN (SELECT o0 ${from}))`,
      at,
    };
  }
  const sql = `${test === 'exists' ? '' : 'NOT '}EXISTS (SELECT 1 ${from})`;
  return { kind: 'call', name: 'exists', args, type: BOOLEAN, digits: null, sql: `(${sql})`, at };
}

/** A SELECT of which it only matters whether a row is left. */
function isRowTest(query: Select): boolean {
  return (
    query.groups.length + query.groupSets.length === 0 &&
    !query.groupAll &&
    query.from.kind !== 'none' &&
    [query.having, query.qualify, query.limit, query.offset].every((part) => part === null) &&
    !query.items.some((item) => hasAggregate(item.expression))
  );
}

/** EXISTS: its WHERE sees the columns of its own FROM, then those of the query around it. */
function existsPartner(
  state: State,
  scope: Scope,
  { query, isNegated, at }: { readonly query: Select; readonly isNegated: boolean; readonly at: Place },
  outer: Sight,
): Typed {
  state.compiled += 1;
  const within = withTables(state, query, scope);
  const compile = (inner: Query, tables: Scope): Relation => compileAny(state, inner, tables, true);
  const resolveIn = (from: From, syntax: Syntax, over: Over): Typed =>
    resolve(syntax, rowSight(state, within, from, [], over));
  const from = readFrom(query.from, { state, scope: within, compile, resolveIn });
  const own = rowSight(state, within, from, [], outer.over);
  const column: Sight['column'] = (path, place) =>
    tryLookup(from, path, place)?.expression ?? outer.column(path, place);
  const sight: Sight = { ...own, column };
  for (const { expression } of query.items) if (expression.kind !== 'star') resolve(expression, sight);
  const where = query.where === null ? [] : conjuncts(query.where).map((one) => condition(resolve(one, sight)));
  const found = hasPartner(state, from, where, { at, isJoin: false });
  return isNegated ? buildCall('not', [found], outer.over, at) : found;
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

export function isAggregateCall(syntax: Syntax): boolean {
  return (
    syntax.kind === 'call' &&
    (Object.hasOwn(AGGREGATES, syntax.name) ||
      RELEASED_AGGREGATES.includes(syntax.name) ||
      OTHER_AGGREGATES.includes(syntax.name))
  );
}

/** Whether an aggregate stands in the expression; not looking into sub-queries and windows. */
export function hasAggregate(syntax: Syntax): boolean {
  switch (syntax.kind) {
    case 'call':
      return isAggregateCall(syntax) || syntax.name === 'grouping' || syntax.args.some(hasAggregate);
    case 'case':
      return (
        syntax.whens.some(({ when, value }) => hasAggregate(when) || hasAggregate(value)) ||
        (syntax.otherwise !== null && hasAggregate(syntax.otherwise))
      );
    case 'cast':
      return hasAggregate(syntax.arg);
    case 'window':
      return [
        ...syntax.window.args,
        ...syntax.window.partitions,
        ...syntax.window.orders.map((one) => one.expression),
      ].some(hasAggregate);
    case 'constant':
    case 'parameter':
    case 'column':
    case 'star':
    case 'subquery':
      return false;
    default:
      return syntax satisfies never;
  }
}

/** The name of an output column: its alias, the column's own name in the catalogue, or DuckDB's spelling. */
export function itemName(item: SelectItem, from: From): string {
  if (item.alias !== '') return item.alias;
  const { expression } = item;
  const column = expression.kind === 'column' ? tryLookup(from, expression.path, expression.at) : null;
  return column?.name ?? item.defaultName;
}

type ReleasedColumn = ReleasedRelation['columns'][number];

/** A column of NULL alone takes the type of the other side. */
function unionType(left: ReleasedColumn, right: ReleasedColumn): ReleasedColumn['type'] | null {
  if (left.isUntyped === true) return right.type;
  return right.isUntyped === true ? left.type : commonType(left.type, right.type);
}

/** Where an output of a query is written; null where that is not known. */
export function placeOfItem(query: Query, index: number): Place {
  return query.kind === 'union' ? placeOfItem(query.left, index) : (query.items[index]?.expression.at ?? null);
}

/**
 * The rows of both sides, or of the first that the second has not (EXCEPT) or has (INTERSECT): each once, equal as GROUP BY
 * has it, and certified by the weakest of its rows.
 */
function combined(
  operation: Union['operation'],
  [left, right]: readonly [string, string],
  outputs: number,
  certificates: number,
): string {
  if (operation === 'union') return `${left} UNION ALL ${right}`;
  const columns = Array.from({ length: outputs }, (_, i) => `o${i}`).join(', ');
  const weakest = Array.from({ length: certificates }, (_, i) => `, min(c${i}) AS c${i}`).join('');
  const sides = `SELECT *, 0 AS side FROM (${left}) UNION ALL SELECT *, 1 AS side FROM (${right})`;
  const kept = operation === 'except' ? 'max(side) = 0' : 'min(side) = 0 AND max(side) = 1';
  return `SELECT ${columns}${weakest} FROM (${sides}) GROUP BY ${columns} HAVING ${kept}`;
}

/** UNION, EXCEPT and INTERSECT of results that are each released already. */
function compileUnion(state: State, union: Union, scope: Scope): Relation {
  const left = releasedOnly(compileAny(state, union.left, scope), null);
  const right = releasedOnly(compileAny(state, union.right, scope), null);
  if (left.columns.length !== right.columns.length)
    refuse(
      'type-mismatch',
      `the two sides of ${union.operation.toUpperCase()} have different numbers of columns`,
      placeOfItem(union.right, 0) ?? { words: [union.operation] },
    );
  const columns = left.columns.map((column, index) => {
    const other = right.columns[index];
    const type = other === undefined ? null : unionType(column, other);
    if (type === null)
      refuse(
        'type-mismatch',
        `column ${index + 1} of ${union.operation.toUpperCase()} has two types`,
        placeOfItem(union.right, index),
      );
    const role = column.role === other?.role ? column.role : ('derived' as const);
    const isUntyped = column.isUntyped === true && other?.isUntyped === true;
    const noisy = { ...column.noisy, ...other?.noisy };
    return {
      name: column.name,
      type,
      role,
      ...(isUntyped ? { isUntyped } : {}),
      ...(Object.keys(noisy).length > 0 ? { noisy } : {}),
    };
  });
  const domains = [...new Set([...left.domains, ...right.domains])];
  const side = (relation: ReleasedRelation): string => {
    const outputs = columns.map((column, index) => `CAST(o${index} AS ${printType(column.type)}) AS o${index}`);
    const certificates = domains.map((domain, index) => {
      const own = relation.domains.indexOf(domain);
      return `${own === -1 ? `CAST(${state.terms.minUnits} AS BIGINT)` : `c${own}`} AS c${index}`;
    });
    return `SELECT ${[...outputs, ...certificates].join(', ')} FROM (${relation.select})`;
  };
  const both = combined(union.operation, [side(left), side(right)], columns.length, domains.length);
  const named = columns.map((column, index) => ({ ...column, sql: `u.o${index}` }));
  const from: From = {
    visible: [
      {
        names: ['union'],
        columns: named.map((column) => ({
          name: column.name,
          role: column.role,
          expression: {
            kind: 'column',
            sql: column.sql,
            base: null,
            type: column.type,
            digits: null,
            at: null,
          } satisfies Typed,
        })),
      },
    ],
    scope: { bases: [], equalities: [], predicates: [] },
    released: [
      {
        from: `(${both}) AS u`,
        leftOn: null,
        certificates: domains.map((domain, index) => ({ domain, sql: `u.c${index}` })),
      },
    ],
    merged: [],
  };
  const outer: Select = {
    kind: 'select',
    commonTables: [],
    items: columns.map((column) => ({
      expression: { kind: 'column', path: [column.name], at: null },
      alias: column.name,
      defaultName: column.name,
    })),
    from: { kind: 'none' },
    where: null,
    groups: [],
    groupSets: [],
    groupAll: false,
    having: null,
    qualify: null,
    orders: union.orders,
    orderAll: union.orderAll,
    limit: union.limit,
    offset: union.offset,
    distinct: !union.isAll || union.distinct,
    ...(union.distinctOn === undefined ? {} : { distinctOn: union.distinctOn }),
  };
  return compileReleased(state, outer, scope, from, named);
}

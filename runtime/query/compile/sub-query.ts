/** Sub-queries in expressions. */
import type { Typed } from '../typed.ts';
import { COHORT } from '../rights.ts';
import type { Relation, Scope, State } from './state.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import { compileAny, condition, releasedOnly, rowSight, withTables } from './select.ts';
import { privateBases } from '../rows.ts';
import { type Place, refuse } from '../refusal.ts';
import { inCohort } from './cohort.ts';
import { BOOLEAN, commonType } from '../types.ts';
import { printTyped } from '../print.ts';
import { type Query, type Select, type Syntax, wordsOf } from '../syntax.ts';
import { hasAggregate } from './aggregate-calls.ts';
import { conjuncts, type From, readFrom, tryLookup } from './sources.ts';
import type { Over } from '../resolve/arithmetic.ts';
import { hasPartner } from './semi-join.ts';
import { buildCall } from '../resolve/call.ts';

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

/** A sub-query as it is written, wherever it stands. */
export function subqueryWords({ test, arg, query }: Parameters<Sight['subquery']>[0]): string {
  return `${test} ${arg === null ? '' : printTyped(arg)} ${wordsOf(query)}`;
}

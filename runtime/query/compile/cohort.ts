/**
 * A cohort: `patient IN (SELECT patient FROM events WHERE …)`, EXISTS, SEMI JOIN and their negations where rows of private
 * tables are looked into.
 *
 * Argument. Every inner row belongs to the privacy unit of the outer row that it is linked to: the link equates the keys of
 * the unit, or goes along the path by which a table reaches it, as a join of the two must for them to count as one unit.
 * So whether an outer row is in the cohort follows from the rows of its own unit. Whoever comes or goes moves rows of their
 * own and nobody else's, just as with a condition on the row's own columns. It therefore stands where such a condition
 * stands, and is held to the same: who is left out is nobody or enough, both sides of it in FILTER and CASE are, cells of
 * one answer and of earlier ones are compared by the rows that are left. Under differential privacy a unit that comes or
 * goes changes at most the rows that it keeps, so the noise is what it is without the condition; the inner rows are added up
 * nowhere and need no bound.
 *
 * What the sub-query's own WHERE leaves out is nobody's loss by itself: it only says who is in the cohort.
 *
 * Rights: what stands inside is a condition (`filter`, `compare`, `join` as everywhere), the link is a join of the two
 * tables (`join` on both columns), also where a table is linked to itself. As a group key the columns inside need `group`.
 *
 * INVARIANT: never NULL. An unknown key finds no partner; NOT IN over a list with one unknown key would be unknown for
 * everybody, and so tell that there is one.
 */
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { apartAsFloats } from '../resolve/align.ts';
import { ASKED_FOR, COHORT } from '../rights.ts';
import {
  type Base,
  checkLinks,
  checkOnce,
  type Equality,
  printScope,
  privateBases,
  type RowScope,
  unitsOf,
} from '../rows.ts';
import { partsOf, type Typed } from '../typed.ts';
import { BOOLEAN } from '../types.ts';
import { checkLeftJoin } from './aggregate.ts';
import type { State } from './state.ts';

export interface Link {
  readonly outer: Typed;
  readonly inner: Typed;
}

/** The condition that a row's unit has such rows. Throws Refusal. */
export function inCohort(state: State, inner: RowScope, links: readonly Link[], at: Place): Typed {
  const joined = links.flatMap((link) => equalityOf(link, at));
  const [first] = joined;
  const [inside] = privateBases(inner);
  if (first === undefined || inside === undefined || joined.some(({ left }) => left.relation !== first.left.relation))
    return notLinked(inside ?? null, null, at);
  const outer: Base = { relation: first.left.relation, table: first.left.table, leftOn: null, at };
  const both: RowScope = {
    bases: [outer, ...inner.bases],
    equalities: [...inner.equalities, ...joined],
    predicates: [],
  };
  // Noise hides whoever comes or goes in either; minima are counted by the unit of each, which the outer rows lack.
  const told = state.context.release.mode === 'differentialPrivacy' ? 'joined' : 'each';
  if (outer.table.isPublic || unitsOf(both, told).length !== outer.table.units.length)
    return notLinked(inside, outer, at);
  if (inner.bases.some(({ table }) => table.given === true || table.brought === true))
    refuse(
      'consumer-table-misplaced',
      'a table of yours cannot stand in a sub-query about rows',
      at,
      'write IN with a list',
    );
  checkOnce(inner.bases);
  checkLinks(inner, both);
  for (const { left, right, expression } of inner.equalities) state.rights.join(left, right, expression.at);
  for (const { leftOn } of inner.bases) for (const on of leftOn ?? []) checkLeftJoin(state, on);
  for (const predicate of inner.predicates) state.rights.condition(predicate);
  for (const { left, right } of joined) state.rights.join(left, right, at);
  const keys = links.map((link) => printTyped(link.outer));
  const partners = links.map((link) => printTyped(link.inner));
  const one = (columns: readonly string[]): string =>
    columns.length === 1 ? (columns[0] ?? '') : `row(${columns.join(', ')})`;
  const apart = links.flatMap((link) => apartAsFloats(link.outer, link.inner));
  const where = [
    ...inner.predicates.map(printTyped).toSorted(),
    ...partners.map((sql) => `${sql} IS NOT NULL`),
    ...apart,
  ];
  const known = keys.map((sql) => `${sql} IS NOT NULL AND `).join('');
  const asked = columnsOf(inner);
  const link: Typed = {
    kind: 'call',
    name: ASKED_FOR,
    args: links.map((link) => link.outer),
    type: BOOLEAN,
    digits: null,
    sql: 'TRUE',
    at,
  };
  return {
    kind: 'call',
    name: COHORT,
    args: [link, ...asked],
    type: BOOLEAN,
    digits: null,
    sql: `(${known}${one(keys)} IN (SELECT ${one(partners)} ${printScope(inner, where)}))`,
    at,
  };
}

/** The columns that decide who is in it. */
function columnsOf(inner: RowScope): readonly Typed[] {
  const columns = (expression: Typed): readonly Typed[] => {
    // What links a cohort inside to these rows tells of nothing: the link was looked at there.
    if (expression.kind === 'call' && expression.name === ASKED_FOR) return [];
    return expression.kind === 'column' ? [expression] : partsOf(expression).flatMap(columns);
  };
  return inner.predicates.flatMap(columns);
}

function equalityOf({ outer, inner }: Link, at: Place): readonly Equality[] {
  if (outer.kind !== 'column' || inner.kind !== 'column' || outer.base === null || inner.base === null)
    return notLinked(null, null, at);
  const expression: Typed = { kind: 'call', name: '=', args: [outer, inner], type: BOOLEAN, digits: null, sql: '', at };
  return [{ left: outer.base, right: inner.base, expression }];
}

function notLinked(inner: Base | null, outer: Base | null, at: Place): never {
  const [mine, theirs] = [outer, inner].map((base) => base?.table.units[0]?.keyColumns ?? []);
  const name = (base: Base | null): string => base?.table.names[0] ?? 'the table';
  const isOfAnother = inner !== null && outer !== null && inner.table.dataset !== outer.table.dataset;
  const isOfSeveral = [inner, outer].some((base) => (base?.table.units.length ?? 1) > 1);
  const example = isOfSeveral
    ? 'where rows belong to several units, such a condition would look at rows of others; ask with conditions on the row itself'
    : isOfAnother
      ? `of another dataset one may ask who is in it, as a condition of WHERE: \`${name(outer)}.${mine?.[0] ?? 'unit'} IN (SELECT ${theirs?.[0] ?? 'unit'} FROM ${name(inner)} WHERE …)\`; who is not is the rest of all`
      : mine !== undefined && theirs !== undefined && mine.length === 1 && theirs.length === 1
        ? `link them by the unit: \`${name(outer)}.${mine[0]} = ${name(inner)}.${theirs[0]}\``
        : 'link the two by the privacy unit: `unit IN (SELECT unit FROM … WHERE …)`, or aggregate it in a sub-query first';
  return refuse(
    'rows-not-released',
    'rows of a private table are looked into only along the privacy unit of the row outside',
    at,
    example,
  );
}

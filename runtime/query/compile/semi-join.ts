import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { partsOf, type Typed } from '../typed.ts';
import { BOOLEAN } from '../types.ts';
import { privateBases } from '../rows.ts';
import { inCohort } from './cohort.ts';
import { addConditions, type From, printConditions } from './sources.ts';
import type { State } from './state.ts';
import { asReleased } from './joins.ts';

/**
 * Whether a row finds a partner: SEMI and ANTI JOIN, and EXISTS with `column = column` of the query around it. What is
 * looked into was released or is public (rows of private tables: cohort.ts), so this is a condition on the row's own columns like IN with a list: over private
 * rows it goes where WHERE goes, and whoever it leaves out must be nobody or enough.
 *
 * Never NULL: an unknown value finds no partner.
 */
export function hasPartner(
  state: State,
  right: From,
  conditions: readonly Typed[],
  { at, isJoin }: { readonly at: Place; readonly isJoin: boolean },
): Typed {
  const own = new Set(
    right.visible.flatMap(({ columns }) => columns.flatMap(({ expression }) => aliasesIn(expression))),
  );
  const links: { readonly outer: Typed; readonly inner: Typed }[] = [];
  const inside: Typed[] = [];
  for (const one of conditions) {
    const side = sideOf(one, own);
    if (side !== 'outer' && side !== 'both') inside.push(one);
    else links.push(linkOf(one, own));
  }
  if (privateBases(right.scope).length > 0) {
    if (right.released.length > 0)
      refuse(
        'join-with-released',
        'private rows cannot be joined with an aggregated result',
        at,
        'ask in two queries: put the first answer into the second one as a constant',
      );
    return inCohort(state, addConditions(right.scope, inside), links, at);
  }
  for (const { domain, sql } of right.released.flatMap((one) => one.certificates))
    state.borrowed.push({ domain, sql: `(SELECT min(${sql}) ${printReleased(right)})` });
  const outer = links.map((link) => link.outer);
  const partners = links.map((link) => printTyped(link.inner));
  const where = [...inside.map(printTyped), ...partners.map((sql) => `${sql} IS NOT NULL`)];
  const tables = right.scope.bases.map(({ table }) => table);
  const isPublic =
    right.released.length === 0 &&
    tables.every(
      ({ given, brought, isDerived }) => given === undefined && brought === undefined && isDerived === undefined,
    );
  const isPicked =
    tables.some(({ brought }) => brought === true) || (state.noise !== undefined && right.released.length > 0);
  const isPlain = outer.every((one) => one.kind === 'column');
  return {
    kind: 'call',
    name: isPicked ? PICKED : isJoin && isPublic && isPlain ? 'semi join' : 'among',
    args: outer,
    type: BOOLEAN,
    digits: null,
    sql:
      links.length === 0
        ? `EXISTS (SELECT 1 ${printReleased(right, where)})`
        : membership(outer, partners, right, where),
    at,
  };
}

/** A test against a table of the consumer's or a noisy answer: over public rows it is free, over private ones it is not offered. */
const PICKED = 'picked';

/**
 * INVARIANT: a public table that such a test narrowed is not joined to private rows either: that would be the same test.
 */
export function isPickedBy(condition: Typed): boolean {
  return (condition.kind === 'call' && condition.name === PICKED) || partsOf(condition).some(isPickedBy);
}

function membership(
  outer: readonly Typed[],
  partners: readonly string[],
  right: From,
  where: readonly string[],
): string {
  const values = outer.map(printTyped);
  const [value = ''] = values;
  const isOne = values.length === 1;
  const left = isOne ? value : `row(${values.join(', ')})`;
  const found = isOne ? (partners[0] ?? '') : `row(${partners.join(', ')})`;
  const known = values.map((one) => `${one} IS NOT NULL AND `).join('');
  return `(${known}${left} IN (SELECT ${found} ${printReleased(right, where)}))`;
}

/** `outer = inner`, in either order. */
function linkOf(condition: Typed, own: ReadonlySet<string>): { readonly outer: Typed; readonly inner: Typed } {
  if (condition.kind === 'call' && condition.name === '=') {
    const [left, right] = condition.args;
    if (left !== undefined && right !== undefined) {
      if (sideOf(left, own) === 'outer' && sideOf(right, own) === 'inner') return { outer: left, inner: right };
      if (sideOf(left, own) === 'inner' && sideOf(right, own) === 'outer') return { outer: right, inner: left };
    }
  }
  return refuse(
    'sql-not-allowed',
    'what is looked for is linked by `its column = a column outside` alone',
    condition.at,
    'move conditions on the outer columns to WHERE, or join the two',
  );
}

function sideOf(expression: Typed, own: ReadonlySet<string>): 'inner' | 'outer' | 'both' | 'none' {
  const sides = new Set(aliasesIn(expression).map((one) => own.has(one)));
  if (sides.size === 2) return 'both';
  return sides.has(true) ? 'inner' : sides.has(false) ? 'outer' : 'none';
}

function aliasesIn(expression: Typed): readonly string[] {
  return expression.kind === 'column'
    ? [expression.sql.slice(0, expression.sql.indexOf('.'))]
    : partsOf(expression).flatMap(aliasesIn);
}

/** `FROM … WHERE …` over sources in which nothing is private; `added` goes behind the sources. */
export function printReleased(from: From, conditions: readonly string[] = [], added = ''): string {
  const pieces = asReleased(from).map((source, index) => {
    if (index === 0) return source.from;
    return source.leftOn === null
      ? ` CROSS JOIN ${source.from}`
      : ` LEFT JOIN ${source.from} ON (${printConditions(source.leftOn)})`;
  });
  const { equalities, predicates } = from.scope;
  const where = [...equalities.map((one) => one.expression), ...predicates].map(printTyped).concat(conditions);
  return `FROM ${pieces.join('')}${added}${where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`}`;
}

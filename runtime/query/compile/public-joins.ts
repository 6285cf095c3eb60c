import { type Place, refuse } from '../refusal.ts';
import { buildCall } from '../resolve/call.ts';
import { type Base, baseColumn, type Equality, type RowScope } from '../rows.ts';
import type { BaseColumn, Typed } from '../typed.ts';

/**
 * A consumer's own list of values beside private rows would be a filter and, with values that occur several times, a set
 * of weights that tells many small groups apart in one sum. It is joined to what is released instead.
 */
export function checkNoneGiven(scope: RowScope): void {
  const given = scope.bases.find((base) => base.table.given === true);
  if (given === undefined) return;
  refuse(
    'values-beside-rows',
    'a list of values cannot be joined to private rows',
    given.at ?? { words: ['values'] },
    'label one column with a list that holds each value once, `FROM t JOIN (VALUES …) AS m(a, label) ON t.a = m.a`; or use CASE and IN with constants, or join the list to an aggregated result',
  );
}

/**
 * An inner join with a public table leaves out the rows that find no partner there, like a condition does. Written as a
 * LEFT JOIN and the condition that the partner is there, it is checked like one. A public table that is the only link
 * between two private ones stays as it is.
 */
export function countingUnmatched(scope: RowScope): RowScope {
  const isInner = (base: Base): boolean => base.leftOn === null;
  const isPrivate = scope.bases.filter((base) => isInner(base) && !base.table.isPublic);
  const open = new Set(scope.bases.filter((base) => isInner(base) && base.table.isPublic));
  if (open.size === 0 || !areLinked(scope, isPrivate)) return scope;
  const placed = new Set(isPrivate.map(({ relation }) => relation));
  const bases: Base[] = [];
  const predicates: Typed[] = [];
  const used = new Set<Equality>();
  for (;;) {
    const next = [...open].find((base) => linked(scope, base, placed).length > 0);
    if (next === undefined) break;
    const links = linked(scope, next, placed);
    const [first] = links;
    if (first === undefined) break;
    open.delete(next);
    placed.add(next.relation);
    for (const link of links) used.add(link);
    const found = isThere(first.left.relation === next.relation ? first.left : first.right, first.expression.at);
    bases.push({ ...next, leftOn: links.map(({ expression }) => expression), found });
    predicates.push(found);
  }
  if (open.size > 0) return scope;
  return {
    ...scope,
    bases: [...isPrivate, ...bases, ...scope.bases.filter((base) => !isInner(base))],
    equalities: scope.equalities.filter((one) => !used.has(one)),
    predicates: [...scope.predicates, ...predicates],
  };
}

function linked(scope: RowScope, base: Base, placed: ReadonlySet<number>): Equality[] {
  return scope.equalities.filter(
    ({ left, right }) =>
      (left.relation === base.relation && placed.has(right.relation)) ||
      (right.relation === base.relation && placed.has(left.relation)),
  );
}

/** Whether `column = column` conditions between them alone link these tables. */
export function areLinked(scope: RowScope, bases: readonly Base[]): boolean {
  const [first, ...others] = bases;
  if (first === undefined) return false;
  const own = new Set(bases.map(({ relation }) => relation));
  const reached = new Set([first.relation]);
  for (let grew = true; grew;) {
    grew = false;
    for (const { left, right } of scope.equalities) {
      if (!own.has(left.relation) || !own.has(right.relation)) continue;
      if (reached.has(left.relation) === reached.has(right.relation)) continue;
      reached.add(left.relation).add(right.relation);
      grew = true;
    }
  }
  return others.every(({ relation }) => reached.has(relation));
}

function isThere(base: BaseColumn, at: Place): Typed {
  return buildCall('is not null', [baseColumn(base, at)], 'rows', at);
}

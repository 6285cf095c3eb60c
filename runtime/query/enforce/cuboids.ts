import { repeatsRows } from '../differential/fan-out.ts';
import type { TableCuboid } from '../catalogue.ts';
import { printTyped, quoteName } from '../print.ts';
import { alias, type Base, type ScopeUnit } from '../rows.ts';
import type { Block } from './block.ts';
import { isPerUnit, type LaneSeries } from './lanes.ts';

/**
 * The cuboid that holds what the cells rest on, the smallest if there are several: the layout has added its rows up by all
 * columns of theirs of which the block speaks. null: there is none.
 */
export function cuboidOf({ keys, scope }: Block, { base, unit, condition, place }: LaneSeries): TableCuboid | null {
  const { cuboids = [] } = base.table;
  if (cuboids.length === 0 || isPerUnit(base) || base.leftOn !== null || place !== undefined) return null;
  if (unitIn(unit, base) === -1 || repeatsRows(scope, base)) return null;
  const terms = [
    ...keys.map(({ expression }) => expression),
    ...scope.predicates,
    ...scope.equalities.map(({ expression }) => expression),
    ...scope.bases.flatMap(({ leftOn }) => leftOn ?? []),
  ];
  const spoken = [...terms.map(printTyped), condition].join(' ');
  const own = new RegExp(`\\b${alias(base.relation)}\\.("(?:[^"]|"")+")?`, 'g');
  const names = [...spoken.matchAll(own)].map(([, name]) => name);
  const holds = ({ columns: held }: TableCuboid): boolean =>
    names.every((name) => held.some((column) => quoteName(column) === name));
  return cuboids.filter(holds).toSorted((a, b) => a.rowCount - b.rowCount)[0] ?? null;
}

/** Which of the table's units it is, by its place; -1: none by whose tags its rows are told apart. */
export function unitIn({ domain, relation, columns: [hash] }: ScopeUnit, base: Base): number {
  const { units } = base.table;
  const index = units.findIndex((one) => one.hash === hash);
  return relation === base.relation && units.findIndex((one) => one.domain === domain) === index ? index : -1;
}

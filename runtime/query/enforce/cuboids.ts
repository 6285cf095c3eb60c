import { repeatsRows } from '../differential/fan-out.ts';
import type { TableCuboid } from '../catalogue.ts';
import { printTyped, quoteName } from '../print.ts';
import { alias } from '../rows.ts';
import type { Block } from './block.ts';
import { type LaneSeries, ownWords } from './lanes.ts';

/**
 * The cuboid that holds what the cells rest on, the smallest if there are several: the layout has added its rows up by all
 * columns of theirs of which the block speaks. null: there is none.
 */
export function cuboidOf(block: Block, one: LaneSeries): TableCuboid | null {
  const { keys, scope } = block;
  const { base, condition } = one;
  const { cuboids = [] } = base.table;
  if (cuboids.length === 0 || base.leftOn !== null) return null;
  if (ownWords(block, one) === null || repeatsRows(scope, base)) return null;
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

import { repeatsRows } from '../differential/fan-out.ts';
import type { TableCuboid } from '../catalogue.ts';
import type { Block } from './block.ts';
import { cuboidFor, termsOf } from './held.ts';
import { type LaneSeries, ownWords } from './lanes.ts';

/**
 * The cuboid that holds what the cells rest on, the smallest if there are several: the layout has added its rows up by all
 * columns of theirs of which the block speaks. null: there is none.
 */
export function cuboidOf(block: Block, one: LaneSeries): TableCuboid | null {
  const { base, condition } = one;
  if ((base.table.cuboids ?? []).length === 0 || base.leftOn !== null) return null;
  if (ownWords(block, one) === null || repeatsRows(block.scope, base)) return null;
  return cuboidFor(base, [...termsOf(block), condition]);
}

/**
 * How large groups and tables are, as far as is known of the columns: how the enforcement goes about its work follows from
 * it, never an answer.
 */
import type { CatalogueColumn } from '../catalogue.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import type { Block } from './block.ts';

/** Rows looked at per expected group, between a least and a most. */
export const ROWS_PER_GROUP = 128;
export const SAMPLE = { least: 2_048, most: 65_536 };
/** The number of distinct values is an estimate, sometimes too low by that much. */
const ESTIMATE_MARGIN = 1.2;
/** Groups by what a joined table says of the rows, as cities by their shops, are much more uneven than others. */
export const UNEVEN = 2;
/** Fewer rows than this are all looked at: a second look would cost more. */
export const MIN_ROWS_TO_SAMPLE = 262_144;

/** Whether so few rows are looked at that looking at them again costs less than keeping what was seen of them. */
export function isSmall(block: Block): boolean {
  return block.scope.bases.every(({ table: { rowCount } }) => rowCount < MIN_ROWS_TO_SAMPLE);
}

/** How many groups there can be, as far as is known; Infinity: not known. */
export function groupsOf(block: Block): number {
  return Math.ceil(block.keys.reduce((product, { expression }) => product * valuesOf(expression), 1));
}

/** Whether there are so many groups that a few rows tell too little; false when their number is not known. */
export function hasManyGroups(block: Block): boolean {
  const groups = groupsOf(block);
  return Number.isFinite(groups) && groups * ROWS_PER_GROUP > SAMPLE.most;
}

/** How many values a key can take, as far as is known. */
function valuesOf(key: Typed): number {
  return distinctColumns(key).reduce((product, { column }) => product * valuesIn(column), 1);
}

/** How many values a column can have, as far as is known. */
export function valuesIn({ distinctValues, facts, type }: CatalogueColumn): number {
  const within = (facts?.high ?? Infinity) - (facts?.low ?? -Infinity) + 1;
  const most = type.kind === 'integer' ? within : Infinity;
  return Math.min((distinctValues ?? Infinity) * ESTIMATE_MARGIN, most);
}

/** Whether groups are told apart by what a joined table says of the rows. */
export function isByJoined({ keys, scope }: Block): boolean {
  const isJoined = (relation: number): boolean =>
    scope.bases.some(({ relation: own, table }) => own === relation && table.isPublic);
  return keys.some(({ expression }) => distinctColumns(expression).some(({ relation }) => isJoined(relation)));
}

import { printTyped } from '../print.ts';
import { type Block, keyName } from './block.ts';

/** A temporary table of a block, by its letter (see statements.ts). */
export function table(block: Block, part: string): string {
  return `temp."${block.name}_${part}"`;
}

/** The statement that makes it. */
export function create(block: Block, part: string, select: string): string {
  return `CREATE TEMP TABLE "${block.name}_${part}" AS ${select}`;
}

export const keysAs = (block: Block): string[] =>
  block.keys.map((key, i) => `${printTyped(key.expression)} AS ${keyName(i)}`);

export const keyNames = (block: Block, from = ''): string[] => block.keys.map((_, i) => `${from}${keyName(i)}`);

export const groupBy = (names: readonly string[]): string =>
  names.length === 0 ? '' : ` GROUP BY ${names.join(', ')}`;

export const predicates = (block: Block): string[] => block.scope.predicates.map(printTyped).toSorted();

export const all = (terms: readonly string[]): string => (terms.length === 0 ? 'TRUE' : terms.join(' AND '));

/** Joins rows of the scope to a list of groups. */
export function joinGroups(block: Block, select: string): string {
  if (block.keys.length === 0) return gate(block, select);
  const on = block.keys.map((key, i) => `${printTyped(key.expression)} IS NOT DISTINCT FROM f.${keyName(i)}`);
  return ` JOIN (${select}) AS f ON (${on.join(' AND ')})`;
}

/**
 * Lets rows through only if `select` yields one. An equality that every row meets, so that the engine joins by hash and
 * stops at once when the other side is empty; a cross join would read everything first.
 */
export function gate(block: Block, select: string, as = 'f'): string {
  const on = block.units.map((unit) => `(${unit.oneHot} & CAST(0 AS UBIGINT)) = ${as}.open`);
  return ` JOIN (SELECT CAST(0 AS UBIGINT) AS open FROM (${select})) AS ${as} ON (${on.join(' AND ')})`;
}

/** Whether two rows are of the same group. */
export function sameKeys(block: Block, left: string, right: string): string {
  return all(keyNames(block).map((name) => `${left}.${name} IS NOT DISTINCT FROM ${right}.${name}`));
}

/** The statement that makes a temporary table again, from itself if need be. */
export function recreate(block: Block, part: string, select: string): string {
  return create(block, part, select).replace('CREATE', 'CREATE OR REPLACE');
}

/** Joins a table of this block to another one, group by group. */
export function matchGroups(block: Block, part: string, as: string): string {
  return ` LEFT JOIN ${table(block, part)} AS ${as} ON (${sameKeys(block, 'g', as)})`;
}

/**
 * How many units there are, as an aggregate over their hashes. Rows of nobody (hash 0: the key is missing, or the path to it
 * ends nowhere) never help to reach a minimum; where there are no others they count as one, so that they are few, not none.
 */
export function unitsIn(hash: string, filter = ''): string {
  return `greatest(count(DISTINCT CASE WHEN ${isSomebody(hash)} THEN ${hash} END)${filter}, least(count(${hash})${filter}, 1))`;
}

/** Whether a row is somebody's. */
export const isSomebody = (hash: string): string => `${hash} <> CAST('0' AS UBIGINT)`;

/** Whether a number of units tells nothing about few: there are none, or at least `k`. */
export function noneOrEnough(units: string, k: number): string {
  return `(${units} = 0 OR ${units} >= ${k})`;
}

/** Groups in the order of their keys, so that nothing later can depend on the order in which rows were met. */
export function inKeyOrder(block: Block, from: string): string {
  return block.keys.length === 0 ? '' : ` ORDER BY ${keyNames(block, from).join(', ')}`;
}

/** How the parts of a block that bits are made of are called where they are looked at. */
export interface Look {
  readonly oneHot: readonly string[];
  readonly inside: readonly string[];
  readonly outside: readonly string[];
  readonly siblings: readonly string[];
  readonly factors: readonly { readonly sql: string; readonly within: string | null }[];
}

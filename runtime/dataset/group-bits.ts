/** Bits of whole-number keys that number groups of themselves where nothing is said; the engine's own choice. */
const FEW = 12;
/** More would take longer to lay out and to read than finding groups by their hash takes. */
const MANY = 16;
/** A place for a group is laid out whether or not the group is there, so there are to be many more rows than places. */
const ROWS_PER_PLACE = 16;
/** What one aggregate keeps of a group, and what all of a statement may keep of all groups in one thread, bytes. */
const STATE_BYTES = 24;
const MAX_BYTES = 64 * 2 ** 20;

/**
 * How many bits the keys of GROUP BY may have to be used as the number of a place in an array, instead of being looked up
 * by their hash: twice as fast with thousands of groups, and a waste for few rows or very many aggregates. One of two
 * numbers, because an engine that is told another one is opened anew.
 *
 * @param rows of all tables.
 * @param setup the statements; a call in one of them is an aggregate at most.
 */
export function groupBitsFor(rows: number, setup: readonly string[]): number {
  const calls = Math.max(1, ...setup.map((statement) => statement.match(/\w\(/g)?.length ?? 0));
  const places = Math.min(rows / ROWS_PER_PLACE, MAX_BYTES / (STATE_BYTES * calls));
  return places >= 2 ** MANY ? MANY : FEW;
}

/** Bits of whole-number keys that number groups of themselves where nothing is said; the engine's own choice. */
const FEW = 12;
/** What is tried instead, most first. Yet more would take longer to lay out and to read than finding groups by their hash takes. */
const MANY = [18, 16];
/** A place for a group is laid out whether or not the group is there, so there are to be many more rows than places. */
const ROWS_PER_PLACE = 16;
/** What one aggregate keeps of a group, and what all of a statement may keep of all groups in one thread, bytes. */
const STATE_BYTES = 24;
const MAX_BYTES = 128 * 2 ** 20;
const AGGREGATE =
  /\b(?:count|f?sum|f?avg|min|max|bit_or|bit_xor|median|(?:var|stddev|covar|regr|arg|bool|quantile)_\w+|corr)\(/g;

/**
 * How many bits the keys of GROUP BY may have to be used as the number of a place in an array, instead of being looked up
 * by their hash: twice as fast with thousands of groups, and a waste for few rows or very many aggregates. One of few
 * numbers, because an engine that is told another one is opened anew.
 *
 * @param rows of all tables.
 * @param setup the statements.
 */
export function groupBitsFor(rows: number, setup: readonly string[]): number {
  const aggregates = Math.max(1, ...setup.map((statement) => statement.match(AGGREGATE)?.length ?? 0));
  const places = Math.min(rows / ROWS_PER_PLACE, MAX_BYTES / (STATE_BYTES * aggregates));
  return MANY.find((bits) => places >= 2 ** bits) ?? FEW;
}

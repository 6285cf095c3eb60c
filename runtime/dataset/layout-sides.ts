/** Columns of a layout that show on which side of a cut a unit has values of a measure: what products are proved by. */
import { UNIT_HASH, UNIT_SIDES, type LayoutTable } from '../query/layout.ts';
import { quoteName } from './sql-text.ts';

/** Rows of which the cut is found: it decides how often a proof succeeds, never an answer. */
const CUT_ROWS = 16_384;

/**
 * One column for each measure of `table.sides`: one of 32 bits chosen by the unit's hash, in the low half of the word where the
 * value is at most the cut, in the high half where it is greater; 0 where there is no value. The cut is the greatest
 * value that is not above the middle one and not the last one, so that both sides have rows whenever there are two values.
 * Compared as DOUBLE, as the factors of a product are, so that one value is never on both sides.
 *
 * @param rows yields the rows of the table with its columns as the layout shows them.
 */
export function sideColumns(table: LayoutTable, rows: string): string[] {
  const bit = `CAST(1::UBIGINT << (${quoteName(UNIT_HASH(0))} & 31::UBIGINT) AS UBIGINT)`;
  const isNobody = `${quoteName(UNIT_HASH(0))} = 0`;
  return (table.sides ?? []).map((name) => {
    const value = `CAST(${quoteName(name)} AS DOUBLE)`;
    const some = `(SELECT ${value} AS v FROM (${rows}) USING SAMPLE reservoir(${CUT_ROWS} ROWS) REPEATABLE (1))`;
    const ends = `(SELECT max(v) AS last, quantile_disc(v, 0.5) AS middle FROM seen)`;
    const cut = `(WITH seen AS MATERIALIZED ${some} SELECT max(v) FROM seen CROSS JOIN ${ends} WHERE v <= middle AND v < last)`;
    const side = `WHEN ${isNobody} OR ${value} IS NULL THEN 0 WHEN ${value} > ${cut} THEN ${bit} << 32 ELSE ${bit}`;
    return `CAST(CASE ${side} END AS UBIGINT) AS ${quoteName(UNIT_SIDES(name))}`;
  });
}

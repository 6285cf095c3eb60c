/**
 * The bit that a unit sets where its rows are grouped by its key. The layout's own bit (`oneHot`) is a column to read for each
 * row, of which a group needs one; a whole number tells one bit of 61 by itself. However the bits are chosen, as many as are
 * set are at most the units: a bit is chosen by the key alone, and a key is one unit's.
 */
import type { UnitColumns } from '../catalogue.ts';
import type { Base } from '../rows.ts';

/** Prime, so that numbers in steps of 2, 10 or 64 set different bits all the same. */
const BITS = 61;

/**
 * SQL of the bit by the unit's key; the least of `oneHot` where the key is of another kind, of several columns, made by a query,
 * or only leads to the unit: then two keys may be one unit, or a key none.
 *
 * @param key SQL of the key column where it is grouped.
 */
export function bitOfGroup(base: Base, key: string | undefined, oneHot: string): string {
  const [unit] = base.table.units;
  const column = base.table.columns.find(({ name }) => name === unit?.keyColumns[0]);
  const isOwn = unit?.keyColumns.length === 1 && leadsNowhere(unit) && !base.table.physical.startsWith('(');
  if (!isOwn || key === undefined || column?.type.kind !== 'integer') return `min(${oneHot})`;
  const place = `CAST((${key} % ${BITS} + ${BITS}) % ${BITS} AS UBIGINT)`;
  return `coalesce(CAST(1 AS UBIGINT) << ${place}, CAST(0 AS UBIGINT))`;
}

const leadsNowhere = ({ path }: UnitColumns): boolean => (path ?? []).length === 0;

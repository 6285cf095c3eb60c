/** What tells a row apart for the comparison of answers: see `UNIT_TAG` in query/layout.ts. */
import { type LayoutTable, sketchWords, UNIT_HASH, UNIT_ONE_HOT, UNIT_TAG, UNIT_WORDS } from '../query/layout.ts';
import type { StoredColumn } from './metadata.ts';
import { quoteName } from './sql-text.ts';

/**
 * A digest of a whole row. The same for a column that was read as whole numbers in one version and as others in the next,
 * and for columns in another order.
 */
export function contentOf(columns: readonly StoredColumn[]): string {
  const values = columns
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(({ name, type }) => {
      const value = quoteName(name);
      return NUMBERS.has(type.kind) ? [`TRY_CAST(${value} AS HUGEINT)`, `CAST(${value} AS DOUBLE)`] : [value];
    });
  return `hash(${values.join(', ')})`;
}
const NUMBERS: ReadonlySet<string> = new Set(['integer', 'decimal', 'float', 'double']);

/**
 * Columns over those of the units. `row`: the column with the digest of the row; not the engine's row number, which would be
 * another one in a layout with fewer rows, or in another order. Rows of a unit that are alike share a tag: whatever takes one
 * of them takes all.
 */
export function tagColumns({ units, isTagged, hasLanes }: LayoutTable, row: string): string[] {
  if (!isTagged) return [];
  return units.flatMap((_, i) => {
    const hash = quoteName(UNIT_HASH(i));
    const tag = `hash(${row}, ${hash})`;
    const words = hasLanes === true ? sketchWords(tag, hash) : [];
    return [
      `${tag} AS ${quoteName(UNIT_TAG(i))}`,
      ...words.map((word, at) => `${word} AS ${quoteName(UNIT_WORDS(i)[at] ?? '')}`),
    ];
  });
}

/** Columns with the one bit that each unit sets; nobody sets none. */
export function oneHotColumns({ units }: LayoutTable): string[] {
  return units.map(
    (_, i) =>
      `CAST(CASE WHEN ${quoteName(UNIT_HASH(i))} = 0 THEN 0 ELSE 1::UBIGINT << (${quoteName(UNIT_HASH(i))} & 63::UBIGINT) END AS UBIGINT) AS ${quoteName(UNIT_ONE_HOT(i))}`,
  );
}

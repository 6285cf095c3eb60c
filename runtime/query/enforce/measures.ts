/**
 * Which rows have the values that a cell adds up. `sum(cost)` over everybody less `sum(cost)` without the rows of a ward is a
 * number about those of the ward who have a cost, however many rows without one the ward has: so answers are compared by these
 * rows too, under the names of the columns. A value per unit (`sum(cost)` of each patient) rests on such rows of its unit,
 * which are counted and tagged beside it.
 */
import type { CatalogueColumn, CatalogueTable, Made } from '../catalogue.ts';
import { RESERVED_PREFIX } from '../layout.ts';
import { quoteName } from '../print.ts';
import { type Base, reference } from '../rows.ts';
import type { Cell } from './block.ts';

export interface Measure {
  /** What is asked of the columns, with the relations that they stand in. */
  readonly asked: readonly string[];
  /** The rows in which the cell has a value of them. */
  readonly rows: string;
}

/** Conditions of the rows that FILTER and CASE keep, and of those of them that have the cell's value. */
export function rowsOf({ conditions, branches }: Cell): {
  readonly chosen: readonly string[];
  readonly present: readonly string[];
  readonly there: readonly string[];
} {
  const of = (kind: string): string[] =>
    [...new Set(conditions.filter((one) => one.kind === kind).map(({ sql }) => `(${sql})`))].toSorted();
  // Branches of a CASE exclude each other: a cell rests on the rows of any of them.
  const any = (rows: readonly string[]): string[] => [`(${[...new Set(rows)].toSorted().join(' OR ')})`];
  const chosen = branches === undefined ? of('chosen') : any(branches.map(({ rows }) => rows));
  const present = of('present');
  const there = branches === undefined ? [...chosen, ...present] : any(branches.map((one) => one.there));
  return { chosen, present, there };
}

/** The values that have to be there, together, and each column of which a calculation makes one. */
export function measuresOf(cell: Cell): readonly Measure[] {
  const { present, there } = rowsOf(cell);
  const whole = present.length === 0 ? [] : [{ asked: presentIn(cell), rows: and(there) }];
  return [...whole, ...(cell.measured ?? []).map((one) => ({ asked: [`(${one.there})`], rows: `(${one.rows})` }))];
}

/**
 * What sketches of a measure are labelled by: its columns, whatever relation they stand in, and of values per unit what they are
 * made of. Their own names say only where they stand in a query: two that are called alike have nothing to do with each other.
 */
export function namesOf({ asked }: Measure, bases: readonly Base[]): readonly string[] {
  const named = asked.flatMap((sql) => {
    const made = bases.flatMap(({ relation, table }) =>
      table.physical.startsWith('(')
        ? table.columns.flatMap((column) => (sql.includes(reference(relation, column.name)) ? [column] : []))
        : [],
    );
    if (made.length === 0) return [sql.replaceAll(/\br\d+\./g, '')];
    return made.flatMap(contentsOf);
  });
  return [...new Set(named)].toSorted();
}

/** What a column of a query is made of; `*`: of rows, whatever they hold. */
function contentsOf({ made = [], valuesOf, of, name }: CatalogueColumn): readonly string[] {
  if (made.length > 0) return made.flatMap((one) => one.of);
  const own = of ?? (name.startsWith(RESERVED_PREFIX) ? null : name);
  const columns = valuesOf?.columns ?? (own === null ? [] : [own]);
  return columns.length === 0 ? ['*'] : columns.map((column) => `(${quoteName(column)} IS NOT NULL)`);
}

/** What values per unit that a measure asks for are made of. */
export function madeOf(
  { asked }: Measure,
  { relation, table }: { readonly relation: number; readonly table: CatalogueTable },
): readonly Made[] {
  return table.columns.flatMap(({ name, made = [] }) =>
    asked.some((sql) => sql.includes(reference(relation, name))) ? made : [],
  );
}

export const and = (terms: readonly string[]): string => (terms.length === 0 ? 'TRUE' : terms.join(' AND '));

/**
 * What has to be there in the rows of a cell, whatever its FILTER says: two filters that differ in many who lack the value
 * and in one who has it are otherwise two measures, which nobody compares.
 */
function presentIn({ conditions }: Cell): string[] {
  return conditions.flatMap(({ kind, sql, of }) => {
    if (kind !== 'present') return [];
    const within = `${of ?? ''} AND `;
    return [`(${of !== null && sql.startsWith(within) ? sql.slice(within.length) : sql})`];
  });
}

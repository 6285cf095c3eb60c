/**
 * How many joined rows can hang on one privacy unit: what every sensitivity of the query rests on.
 *
 * Argument. Each private table keeps at most M rows of a unit (one, where a sub-query made one row of each unit). All private tables of the query have one and the same unit in
 * every joined row (`unitsOf`), also where they are of two datasets that are joined on the unit of each, so a unit that comes or goes moves joined rows of its own only. Start at one private table:
 * M rows. Each further table multiplies by how many of its rows can match one row: 1 where the link ends on a column that
 * the layout proved unique (the path to the unit); M for another private table, whose matching rows are the unit's; and for
 * a public table the most rows that share a value of the linked column, which is public as the table is. A left join to a
 * public table keeps rows without a match once, which is covered by the same number (at least 1).
 */
import type { CatalogueTable, ColumnFacts } from '../catalogue.ts';
import type { SqlType } from '../types.ts';
import { refuse } from '../refusal.ts';
import { type Base, checkJoins, privateBases, type RowScope, unitsOf } from '../rows.ts';
import type { Typed } from '../typed.ts';

/** More rows than that of one unit would drown every answer in noise. */
const MAX_ROWS_PER_UNIT = 1_000_000;

/** The bound of rows per unit of a scope whose private tables keep `kept` rows per unit each. Throws Refusal. */
export function rowsPerUnitOf(scope: RowScope, kept: number): number {
  const bases = privateBases(scope);
  const [first] = bases;
  if (first === undefined) return refuse('differential-shape', 'differential privacy works on a private table');
  for (const base of bases) {
    if (base.table.units.length !== 1)
      refuse('differential-units', 'differential privacy needs exactly one privacy unit', base.at);
  }
  checkJoins(scope);
  if (unitsOf(scope, 'joined').length !== 1) {
    refuse(
      'differential-units',
      'the joined private tables do not share one privacy unit',
      first.at,
      'join them on the privacy unit, or along the path to it',
    );
  }
  const rows = Math.min(...bases.map((root) => rowsFrom(scope, root, { kept, rests: 'ranked' })));
  if (rows > MAX_ROWS_PER_UNIT) {
    refuse(
      'differential-fan-out',
      `the join can give one privacy unit ${Number.isFinite(rows) ? rows : 'any number of'} rows, at most ${MAX_ROWS_PER_UNIT} are allowed`,
      first.at,
      'join public tables on a column that is unique there',
    );
  }
  return rows;
}

/**
 * Whether a join can repeat rows of one of its tables. That a table has one row of each unit is known of the data as it is,
 * so it never enters a sensitivity: with one row more it might not hold. Here it spares a comparison that finds nothing.
 */
export function repeatsRows(scope: RowScope, base: Base, rests: 'known' | 'bounded' = 'known'): boolean {
  const once = 2;
  return scope.bases.length > 1 && rowsFrom(scope, base, { kept: once, rests }) > once;
}

/**
 * What the numbers rest on. `known`: what was found in private rows counts too, which may choose between ways to one answer;
 * `bounded`: only what holds whatever their rows are, on which a refusal may rest; `ranked`: that as well, and how many rows
 * of a unit are kept, by their rank. Tables that are joined otherwise than on the unit, as thresholds allow, repeat rows
 * however few of a unit there are, so ranks say nothing of that.
 */
type Rests = 'known' | 'bounded' | 'ranked';

/** Whether no value stands twice in a column, whatever the private rows are: what public rows and paths to units say. */
export function isUniqueIn(scope: RowScope, base: Base, column: string): boolean {
  if (!base.table.isPublic) return isUniqueKey(scope, base, column);
  const most = base.table.columns.find(({ name }) => name === column)?.facts?.mostRepeats;
  return most !== undefined && most <= 1;
}

interface Counted {
  /** Rows of a unit that the layout keeps in each table. */
  readonly kept: number;
  readonly rests: Rests;
}

interface Link {
  readonly relation: number;
  readonly column: string;
  readonly kind: SqlType['kind'];
}

function rowsFrom(scope: RowScope, root: Base, counted: Counted): number {
  const links = linksOf(scope);
  const reached = new Set([root.relation]);
  let rows = keptRows(scope, root, counted);
  for (let rest = scope.bases.filter((base) => base !== root); rest.length > 0;) {
    const next = rest
      .map((base) => ({ base, fan: fanOut(scope, base, columnsTo(base, links, reached), counted) }))
      .toSorted((a, b) => a.fan - b.fan)[0];
    if (next === undefined || next.fan === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    rows *= next.fan;
    reached.add(next.base.relation);
    rest = rest.filter((base) => base !== next.base);
  }
  return rows;
}

/**
 * Rows of a unit that count in a table: the layout keeps `kept` of each table alike. Of a table through which others reach
 * their unit it refuses a second row, and where each row is a unit there is none, so one is enough; INVARIANT: whoever relies
 * on the number also asks for it, by rank.
 */
export function keptRowsOf({ rowsPerUnit, isOneOfEachUnit, units }: CatalogueTable, kept: number): number {
  const isOne = isOneOfEachUnit === true || units.some(({ isRow }) => isRow === true);
  return rowsPerUnit ?? (isOne ? 1 : kept);
}

/** Rows of a unit that a private table has here; one where a condition takes the first of the unit's own order. */
function keptRows(scope: RowScope, { relation, table }: Base, { kept, rests }: Counted): number {
  if (rests !== 'ranked') return table.rowsPerUnit ?? kept;
  const isFirst = scope.predicates.some((one) => {
    if (one.kind !== 'call' || one.name !== '=') return false;
    const place = one.args.find((arg) => arg.kind === 'column');
    const number = one.args.find((arg) => arg.kind === 'constant');
    return (
      place?.kind === 'column' &&
      place.base?.relation === relation &&
      place.base.column.isPlaceInUnit === true &&
      number?.kind === 'constant' &&
      number.literal.kind === 'integer'
    );
  });
  return isFirst ? 1 : keptRowsOf(table, kept);
}

interface Linked {
  readonly column: string;
  /** Values are compared as they are: widening a number to a double could make two of them equal. */
  readonly isOfOneKind: boolean;
}

/** Columns of a table that the join equates with something that stands already. */
function columnsTo(base: Base, links: readonly (readonly [Link, Link])[], reached: ReadonlySet<number>): Linked[] {
  return links.flatMap(([a, b]) => {
    const isOfOneKind = a.kind === b.kind;
    if (a.relation === base.relation && reached.has(b.relation)) return [{ column: a.column, isOfOneKind }];
    return b.relation === base.relation && reached.has(a.relation) ? [{ column: b.column, isOfOneKind }] : [];
  });
}

function fanOut(scope: RowScope, base: Base, columns: readonly Linked[], counted: Counted): number {
  if (columns.length === 0) return Number.POSITIVE_INFINITY;
  const factsOf = (name: string): ColumnFacts | undefined =>
    base.table.columns.find((column) => column.name === name)?.facts;
  if (!base.table.isPublic) {
    const isOne = columns.some(
      ({ column, isOfOneKind }) =>
        isUniqueKey(scope, base, column) ||
        (counted.rests === 'known' && isOfOneKind && factsOf(column)?.isUnique === true),
    );
    return isOne ? 1 : keptRows(scope, base, counted);
  }
  return Math.min(
    ...columns.map(({ column }) => Math.max(1, factsOf(column)?.mostRepeats ?? Number(base.table.rowCount))),
  );
}

/** Whether a table of the query reaches its unit through this column: the layout refuses a path that is not unique. */
function isUniqueKey(scope: RowScope, base: Base, column: string): boolean {
  return privateBases(scope).some(
    ({ table }) =>
      table.dataset === base.table.dataset &&
      table.units.some(({ path }) => {
        const [step] = path ?? [];
        return step !== undefined && step.to === column && base.table.names.includes(step.table);
      }),
  );
}

function linksOf(scope: RowScope): readonly (readonly [Link, Link])[] {
  const inner = scope.equalities.map(({ left, right }) => [linkOf(left), linkOf(right)] as const);
  const outer = scope.bases.flatMap((base) => (base.leftOn ?? []).flatMap(equated));
  return [...inner, ...outer];
}

function equated(on: Typed): readonly (readonly [Link, Link])[] {
  if (on.kind !== 'call' || on.name !== '=') return [];
  const [left, right] = on.args;
  if (left?.kind !== 'column' || right?.kind !== 'column' || left.base === null || right.base === null) return [];
  return [[linkOf(left.base), linkOf(right.base)]];
}

const linkOf = ({
  relation,
  column,
}: {
  readonly relation: number;
  readonly column: { readonly name: string; readonly type: SqlType };
}): Link => ({
  relation,
  column: column.name,
  kind: column.type.kind,
});

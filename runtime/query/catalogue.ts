import type { Rational } from '../release/discrete-laplace.ts';
import type { ColumnGrant, JoinMode, JoinStep, Release } from '../policy/model.ts';
import type { Cuboid } from './layout.ts';
import type { TypedConstant } from './syntax.ts';
import type { SqlType } from './types.ts';

/**
 * What a query may see: tables as the *policy* knows them, laid out by the runtime. A column that no grant names is
 * not here, and it is not in the worker's file either.
 */
export interface CatalogueColumn {
  readonly name: string;
  readonly type: SqlType;
  /** What the consumer calls it, where that is not its name. */
  readonly label?: string;
  /** The dataset's column that a column of a query shows as it is; absent for those that are computed, or are its own. */
  readonly of?: string;
  /** Grants that hold for this consumer under the rule in use; rights are the union, limits the strictest. */
  readonly grants: readonly ColumnGrant[];
  /** Rough number of distinct values, known to the runtime; only chooses between equally safe plans. */
  readonly distinctValues?: number;
  /** What holds in every row of the laid-out column, established when the layout was made; absent: nothing is known. */
  readonly facts?: ColumnFacts;
  /** Whole numbers that stand for the values of a column that a query made, where noise can be added to it. */
  readonly grid?: { readonly low: bigint; readonly high: bigint; readonly step: Rational };
  /** Counts the rows of a unit from 1, each number once: where it is 1, a unit has one row. */
  readonly isPlaceInUnit?: true;
  /** Of a value per unit: which columns of the unit's rows it is made of, and what counts the rows that have them; see enforce/measures.ts. */
  readonly made?: readonly Made[];
  /** Of a value per unit that can be added up: whose values it is made of. */
  readonly valuesOf?: ValuesOf;
  /** How many values a unit has of something: 0, and not missing, for whom it rests on nothing. */
  readonly countsValues?: true;
  /** TRUE in every row: behind a LEFT JOIN it tells whether there is one, and nothing of what is in it. */
  readonly isPresence?: true;
}

export interface ValuesOf {
  readonly columns: readonly string[];
  /** `sum`, `mean`, `least`, `greatest`, or what else is made of several values; of one value all of them make that value. */
  readonly by: string;
  /** The place at which the rows stand that have them, as in `Made`; absent: all rows. */
  readonly place?: number;
  /** In which forms those rows are sketched, where another table has them than the one whose rows are counted. */
  readonly forms?: readonly ('lanes' | undefined)[];
}

/** Rows of a unit that have the values of some columns: their number and tags stand at a place among those of its table. */
export interface Made {
  /** The columns, as sketches are labelled by them. */
  readonly of: readonly string[];
  readonly place: number;
}

/**
 * Exact facts of a laid-out column. They are the runtime's own: they spare checks whose outcome they decide, and enter
 * neither an answer nor its digest.
 */
export interface ColumnFacts {
  /** Every row has a value; for floating columns a finite one. */
  readonly isComplete: boolean;
  /** Least and greatest value of a number column as doubles; null when there is none or it is not known. */
  readonly low: number | null;
  readonly high: number | null;
  /** Most rows that share one value; learnt of public tables only, where it bounds what a join can multiply. */
  readonly mostRepeats?: number;
  /** Of a column that is the whole privacy unit, or the one key of a sub-query: no value stands in two rows. Absent: nothing is known. */
  readonly isUnique?: boolean;
}

/** Of the one key that a sub-query groups by: that no value stands in two of its rows holds whatever the rows are. */
export const GROUPED_BY: ColumnFacts = { isComplete: false, low: null, high: null, isUnique: true };

/** How a table in the worker's read-only database is called and what the runtime prepared in it. */
export interface CatalogueTable {
  /** Name of the dataset, e.g. `hospital/visits`. */
  readonly dataset: string;
  /** SQL names a consumer can use for it, most specific last (`visits`, `hospital.visits`, `"hospital/visits"`). */
  readonly names: readonly string[];
  /** Quoted, qualified name in the worker: `"d0"."visits"`. */
  readonly physical: string;
  readonly isPublic: boolean;
  readonly columns: readonly CatalogueColumn[];
  /** One entry per privacy unit of the policy, in order: the columns the layout prepared (see layout.ts). */
  readonly units: readonly UnitColumns[];
  readonly joins: JoinMode;
  /** A consumer's own list of constants (VALUES); absent: a table of a provider. */
  readonly given?: true;
  /** The constants of such a list, column by column; absent: it is no list that was written out. */
  readonly listed?: readonly (readonly TypedConstant[])[];
  /** A table that the consumer uploaded: its values are no secret to it, and all of them are chosen by it. */
  readonly brought?: true;
  /** A query made it of public tables, one row for each value of the one column of which facts are known: its other values are chosen by who asks. */
  readonly isDerived?: true;
  /** Where consumers' own tables may be joined; absent: nowhere. */
  readonly consumerTables?: 'columns' | 'unit';
  /** Some rule of its policy gives exact answers that are not compared with each other; absent: all are. */
  readonly isUnguarded?: true;
  /** Most rows of one unit, where a query made the table with fewer than the layout keeps; absent: those of the layout. */
  readonly rowsPerUnit?: number;
  /** Other tables of the dataset reach their unit through this one, whose only key it is: the layout refuses it twice. */
  readonly isOneOfEachUnit?: true;
  /** A query made one row for each value of the unit's key columns, and of nothing else; see compile/left-values.ts. */
  readonly isOnePerUnit?: true;
  /** Exact number of rows; known to the runtime, never shown to a consumer of a private table. */
  readonly rowCount: bigint;
  /** Which layout it lies in, where plans are made over empty tables of the same shape; absent: no layout made it. */
  readonly layout?: string;
  /** What the layout prepared for sketches of its rows; absent: nothing. */
  readonly cuboids?: readonly TableCuboid[];
}

/** Rows of a table added up by some of its columns; see query/layout.ts. */
export interface TableCuboid extends Omit<Cuboid, 'name'> {
  /** Quoted, qualified name in the worker. */
  readonly physical: string;
}

export interface UnitColumns {
  /** Consumer-visible key columns of the unit in this table; empty when the unit is reached by a path or is the row. */
  readonly keyColumns: readonly string[];
  /** Same text for units that are the same thing across tables and datasets (joins on it keep one person one unit). */
  readonly domain: string;
  /** UBIGINT keyed hash of the unit, never null (an unknown unit shares one hash, so it can only undercount). */
  readonly hash: string;
  /** UBIGINT with exactly one bit set, chosen by the hash: popcount(bit_or(…)) never exceeds the number of units. */
  readonly oneHot: string;
  /** UBIGINT keyed hash of the row: tells rows of one unit apart. Absent: the table has none. */
  readonly tag?: string;
  /** Two UBIGINT that the row adds to a sketch by XOR, see `sketchWords` in layout.ts. Absent: the table is not large. */
  readonly words?: readonly [string, string];
  /** By measure: UBIGINT with one bit chosen by the hash, in the half that tells on which side of a cut the value is. Absent: none. */
  readonly sides?: ReadonlyMap<string, string>;
  /** How the table reaches its unit; lets a join along the path count the unit once. Absent: no path. */
  readonly path?: readonly JoinStep[];
  /** Each row is a unit of its own. */
  readonly isRow?: true;
}

/** Columns of a table that are the unit: its own, or the one that leads to a table whose unit is the column it leads to. */
export function keyColumnsOf(
  tables: readonly CatalogueTable[],
  table: CatalogueTable,
  { keyColumns, path = [] }: UnitColumns,
): readonly string[] {
  const [step, ...more] = path;
  if (step === undefined) return keyColumns;
  const target = tables.find((one) => one.dataset === table.dataset && one.names.includes(step.table));
  const isUnit = target?.units.some(
    (unit) => (unit.path ?? []).length === 0 && unit.keyColumns.length === 1 && unit.keyColumns[0] === step.to,
  );
  return more.length === 0 && isUnit === true ? [step.from] : [];
}

/** Everything the compiler needs to know; plain data. */
export interface QueryContext {
  readonly consumer: string;
  readonly tables: readonly CatalogueTable[];
  /** The release terms in force: of the rule the job names, or the meet of several. */
  readonly release: Release;
  /** Text for clauses in reasons, e.g. `hospital/visits v3 allow[statistics]`. */
  readonly clause: string;
  readonly parameters: Readonly<Record<string, string | number | boolean | null>>;
  /** The largest minimum of units that answers over these tables are held to under any rule; absent: that of `release`. */
  readonly largestMinUnits?: number;
}

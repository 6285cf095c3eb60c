import type { AggregateRelease } from '../../policy/model.ts';
import type { SqlType } from '../types.ts';
import { printTyped } from '../print.ts';
import { type RowScope, type ScopeUnit } from '../rows.ts';
import type { BaseColumn, Typed } from '../typed.ts';

/** One aggregation over private rows: the only place where rows become values. */
export interface Block {
  /** Prefix of the temporary tables of this block, e.g. `gb0`. */
  readonly name: string;
  readonly scope: RowScope;
  readonly keys: readonly BlockKey[];
  readonly cells: readonly Cell[];
  readonly units: readonly ScopeUnit[];
  readonly terms: AggregateRelease;
}

export interface BlockKey {
  readonly expression: Typed;
  readonly type: SqlType;
}

/**
 * One aggregate of every group. It rests on the rows where each of its conditions holds; the group's other rows must be
 * none or enough too, because the difference to the whole group is as good as an answer.
 */
export interface Cell {
  readonly sql: string;
  readonly type: SqlType;
  readonly conditions: readonly Condition[];
  /** Per-row size of the contribution, for the dominance rule; null when the cell has none. */
  readonly weight: string | null;
  /** FILTER or CASE condition of the weight; null when every row counts. */
  readonly weighed: string | null;
  /** Factors of its products that could pick rows; absent: none. */
  readonly factors?: readonly Factor[];
  /** Values whose squared distances from their mean add up to the cell, for the dominance rule; absent: none. */
  readonly centred?: readonly string[];
  /** What it adds up of which rows, where the dominance rule judges it; absent: nothing. */
  readonly summed?: readonly Summed[];
  /** Relations of the columns whose values it adds up; absent: it adds up none, or what counts each row once. */
  readonly addends?: readonly number[];
  /** These columns. */
  readonly adds?: readonly BaseColumn[];
  /** The branches of a CASE that add something; absent: all rows that the conditions keep. */
  readonly branches?: readonly CellBranch[];
  /** Columns that its value is made of, each with the rows that add something; absent: it is one column, or has none. */
  readonly measured?: readonly MeasuredColumn[];
  /** What it rests on besides its conditions, see contributions.ts; absent: all rows that they keep. */
  readonly rests?: readonly Rest[];
  /** What it is as a sum over the rows of one condition; absent: it is none, or not of exact numbers that are always there. */
  readonly added?: Added;
  /** A quantile: the mean of a block of rows around it, which another table finds. */
  readonly quantile?: { readonly value: string; readonly filter: string | null; readonly fraction: number };
  /** min or max: the value itself would be one row's, so another table finds the one that enough units reach. */
  readonly extremum?: { readonly value: string; readonly filter: string | null; readonly isMax: boolean };
}

/** A count, sum or mean that follows from those of its rows in parts, to the last bit. */
export interface Added {
  readonly as: 'count' | 'sum' | 'mean';
  /** What a row adds; null: one. */
  readonly value: string | null;
  /** The rows that add it: all, or those of one of the cell's conditions, by its text. */
  readonly within: string | null;
  /** Of a mean: the rows that it is taken over, likewise. */
  readonly per: string | null;
  /** Of a mean of constants: the one that each row adds instead of one; of decimals: how many of their last digit make one. */
  readonly each?: { readonly unscaled: bigint; readonly scale: number };
}

/** A column with gaps among those that a value is made of. */
export interface MeasuredColumn {
  /** Says that the column has a value. */
  readonly there: string;
  /** The rows in which the column and the value are there. */
  readonly rows: string;
}

/** Values of one column that a cell adds up. */
export interface Summed {
  /** How large the value is in a row; the same for whatever is calculated with one column. */
  readonly weight: string;
  /** Rows that FILTER and CASE keep; null: all. */
  readonly within: string | null;
}

/** Rows that a branch of a CASE picks, FILTER included, and those of them that have its value. */
export interface CellBranch {
  readonly rows: string;
  readonly there: string;
}

/** The cell's value is made in a table `x` of its own, not among the sums of the main pass. */
export function isRanked(cell: Cell): boolean {
  return cell.extremum !== undefined || cell.quantile !== undefined;
}

/** Which rows add something to a cell: fewer than its conditions keep, or values rather than rows. */
export interface Rest {
  /** Rows that have the value; null: all. */
  readonly there: string | null;
  /** Rows that FILTER and CASE keep; null: all. */
  readonly within: string | null;
  /** Counted once, however many rows hold it: `count(DISTINCT value)`; null: every row adds. */
  readonly value: string | null;
  /** The domain of the unit of which each has one such value; null, absent: the values are others. */
  readonly unit?: string | null;
}

/** A factor of a product over rows, looked at in the rows of `within` (null: all). */
export interface Factor {
  readonly sql: string;
  readonly within: string | null;
  /** The one relation of its columns; null when it takes columns of several. */
  readonly relation: number | null;
  /** The column that it is, of that relation; absent: more than a column. */
  readonly column?: string;
}

export interface Condition {
  readonly sql: string;
  /** `chosen`: the consumer picked the rows (FILTER, CASE). `present`: a value is there, which nearly always all rows have. */
  readonly kind: 'chosen' | 'present';
  /** The condition that this one narrows; null when it narrows the whole group. */
  readonly of: string | null;
  /** Whether the rows of the group outside of the condition are checked too. */
  readonly checksOutside: boolean;
  /** Which rows are outside, when that is not simply all others. */
  readonly outside?: string;
  /** Of a value that is there: its rows are what a cell counts, as `count(x)` does. Absent: they are added up or not shown. */
  readonly isCounted?: true;
}

export function keyName(index: number): string {
  return `k${index}`;
}

export function cellName(index: number): string {
  return `a${index}`;
}

/**
 * Distinct conditions of the cells, in order of first use. `count(x)` is `count(*) FILTER (WHERE x IS NOT NULL)`, and beside
 * another FILTER it is taken as that: `count(*) FILTER (WHERE x IS NOT NULL OR name = 'rare')` less `count(x)` counts the rare.
 */
export function conditionsOf(block: Block): readonly Condition[] {
  const found = new Map<string, Condition>();
  for (const condition of block.cells.flatMap((cell) => cell.conditions)) {
    const known = found.get(condition.sql);
    const isCounted = known?.isCounted === true || condition.isCounted === true;
    const first = known !== undefined && known.kind === 'chosen' ? known : condition;
    found.set(condition.sql, {
      ...first,
      checksOutside: condition.checksOutside || known?.checksOutside === true,
      ...(isCounted ? { isCounted } : {}),
    });
  }
  const conditions = [...found.values()];
  if (!conditions.some(isChosenByName)) return conditions;
  return conditions.map((one) => (one.isCounted === true ? { ...one, kind: 'chosen' as const } : one));
}

/** The rows of a FILTER or a branch of CASE, whichever others are left out beside them. */
export function isChosenByName({ kind, outside }: Condition): boolean {
  return kind === 'chosen' && outside === undefined;
}

/** The rows that a condition keeps out, as a condition. */
export function outsideOf(condition: Condition): string {
  return condition.outside ?? `(${condition.sql}) IS NOT TRUE`;
}

/** WHERE in two parts: what only group keys decide (it moves whole groups in or out) and the rest. */
export function splitPredicates(block: Block): {
  readonly ofKeys: readonly Typed[];
  readonly others: readonly Typed[];
} {
  const keys = new Set(
    block.keys.filter(({ expression }) => expression.kind === 'column').map(({ expression }) => printTyped(expression)),
  );
  const decided = (part: Typed): boolean =>
    part.kind === 'constant' ||
    keys.has(printTyped(part)) ||
    (part.kind === 'call' && part.args.length > 0 && part.args.every(decided));
  const sorted = block.scope.predicates.toSorted((a, b) => (printTyped(a) < printTyped(b) ? -1 : 1));
  return { ofKeys: sorted.filter(decided), others: sorted.filter((predicate) => !decided(predicate)) };
}

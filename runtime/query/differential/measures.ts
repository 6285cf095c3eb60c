import type { Measure } from '../../release/mechanisms/mechanism.ts';
import { fixedPointOf, type FixedPoint, narrowed } from './fixed-point.ts';
import { printTyped } from '../print.ts';
import type { Typed } from '../typed.ts';

/** What stands behind the name of a measure in an exact column: SQL over one row, NULL where the row does not count. */
export interface RowValue {
  /** Counted where it is not NULL; also what distinct values and bins are taken of. */
  readonly value: string;
  /** BIGINT in fixed point; null for what is only counted. */
  readonly fixed: string | null;
  /** Inner edges of its bins, printed; empty when it has none. */
  readonly edges: readonly string[];
  /** Whether squares of it need more than 64 bits. */
  readonly isWide: boolean;
}

/**
 * The measures of one query. Equal measures get one name, so that aggregates share noisy answers: an average and a sum of
 * one column pay for the sum once.
 */
export class Measures {
  readonly #byName = new Map<string, RowValue>();
  readonly #names = new Map<string, string>();

  /** A bounded measure; `filter` picks the rows that count, `bits` is the widest that the aggregate can bear. */
  bounded(expression: Typed, filter: string | null, bits: number): Measure {
    const exact = fixedPointOf(expression);
    const fixed = narrowed(exact, bits);
    const sql = within(filter, fixed.sql);
    const name = this.#named(nameOf(expression, filter, fixed === exact), {
      value: sql,
      fixed: sql,
      edges: [],
      isWide: isWide(fixed),
    });
    return { name, low: fixed.low, high: fixed.high, step: fixed.step };
  }

  /** Rows in which an expression has a value; null counts the rows that pass the filter. */
  counted(expression: Typed | null, filter: string | null): string {
    const value = within(filter, expression === null ? '1' : printTyped(expression));
    return this.#named(expression === null ? null : nameOf(expression, filter, true), {
      value,
      fixed: null,
      edges: [],
      isWide: false,
    });
  }

  /** A column whose values are told apart, by bins when it has edges. */
  told(expression: Typed, filter: string | null, edges: readonly number[]): string {
    return this.#named(nameOf(expression, filter, true), {
      value: within(filter, printTyped(expression)),
      fixed: null,
      edges: edges.map((edge) => `CAST('${edge}' AS DOUBLE)`),
      isWide: false,
    });
  }

  /** Distinct units among the rows that pass a filter. */
  units(hash: string, filter: string): string {
    return this.#named(null, { value: within(filter, hash), fixed: null, edges: [], isWide: false });
  }

  of(name: string): RowValue {
    const found = this.#byName.get(name);
    if (found === undefined) throw new Error('an exact column names a measure that was not made');
    return found;
  }

  /** `wanted` when it is free, so that plain columns keep their own names. */
  #named(wanted: string | null, row: RowValue): string {
    const key = JSON.stringify(row);
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name =
      wanted !== null && !this.#byName.has(wanted) ? wanted : `${wanted ?? 'rows'} #${String(this.#byName.size)}`;
    this.#names.set(key, name);
    this.#byName.set(name, row);
    return name;
  }
}

function within(filter: string | null, sql: string): string {
  return filter === null ? sql : `CASE WHEN ${filter} THEN ${sql} END`;
}

function nameOf(expression: Typed, filter: string | null, isExact: boolean): string | null {
  const isPlain = expression.kind === 'column' && expression.base !== null && filter === null && isExact;
  return isPlain ? (expression.base?.column.name ?? null) : null;
}

const NARROW = 1n << 31n;
function isWide({ low, high }: FixedPoint): boolean {
  return low <= -NARROW || high >= NARROW;
}

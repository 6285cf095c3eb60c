import type { PrivacyUnit } from '../policy/model.ts';
import { LANES } from '../release/lanes.ts';

/**
 * The layout is the read-only DuckDB file that SQL workers open: made once per (dataset version, policy version) from
 * the Parquet files of record. It holds only the columns that the policy names and only the rows of its scope, plus what
 * enforcement needs, so that a query pays almost nothing for it.
 *
 * For the i-th privacy unit of a table:
 *   `__gb_u<i>` UBIGINT NOT NULL  keyed 64-bit hash of the unit's key columns (all rows of an unknown unit share one hash)
 *   `__gb_b<i>` UBIGINT NOT NULL  `1 << (hash & 63)`
 *   `__gb_t<i>` UBIGINT NOT NULL  hash of all that the row of record holds and of `__gb_u<i>`: which row of its unit it is,
 *                                  for the differencing guard; the same in every layout of every version that has the row.
 *                                  Only where answers can be compared: see `LayoutTable.isTagged`
 *   `__gb_v<i>`, `__gb_w<i>` UBIGINT NOT NULL  of a large table: what the row adds to a sketch, see `sketchWords`
 *   `__gb_s_<column>` UBIGINT NOT NULL  of a large table with one unit, for measures that can be multiplied: bit
 *                                  `hash & 31`, 32 bits higher where the value is above a cut, 0 where there is none
 * A large table whose exact answers may leave has cuboids (Gray et al., Data Cube, 1997): tables `__gb_c<i>_<table>` with a row
 * for each combination of values of some of its columns that rows have,
 *   `__gb_n` BIGINT NOT NULL       how many rows have it
 *   `__gb_b<i>` UBIGINT NOT NULL   bits of the units of these rows
 *   `__gb_a_<column>` NOT NULL     sum over these rows of a measure that is there in every row: BIGINT, or DECIMAL(18,…) with its scale
 *   `__gb_v<i>`, `__gb_w<i>` UBIGINT NOT NULL  XORs over these rows of what they add to a sketch
 * With differential privacy:
 *   `__gb_rank` UINTEGER NOT NULL  rank of the row within its unit (0-based, order by a keyed hash), rows of rank ≥ the
 *                                  contribution bound left out of the table's DP form
 *   `__gb_f_<column>` BIGINT       fixed-point form of a bounded measure: round(clip(value) / step); NULL and NaN count as NULL
 */
export interface LayoutSpec {
  readonly tables: readonly LayoutTable[];
}

export interface LayoutTable {
  readonly name: string;
  readonly columns: readonly string[];
  readonly units: readonly PrivacyUnit[];
  /** The provider's row scope in SQL; null for all rows. */
  readonly rows: string | null;
  /** Bounds to which measures are clipped at ingest, by column. */
  readonly bounds: Readonly<Record<string, { readonly low: number; readonly high: number }>>;
  /** Measures of which the layout shows on which side of a cut they are; absent: none. */
  readonly sides?: readonly string[];
  /** Columns by which rows of a large table can be told apart: those that can be keys of groups, and others; absent: it has no cuboids. */
  readonly dimensions?: readonly (readonly string[])[];
  /** Measures that its cuboids add up; absent: none. */
  readonly measures?: readonly string[];
  /** Row bound per unit for the differentially private form; null when no rule asks for one. */
  readonly maxRowsPerUnit: number | null;
  /** Whether rows have tags: where some rule releases exact aggregates. Noisy answers are never compared with each other. */
  readonly isTagged: boolean;
  /** Whether it is large and has tags, so that its cells are sketched by lanes. */
  readonly hasLanes?: true;
}

/** Rows from which a table is large: its cells are sketched by XOR, and the layout prepares words and sums for that. */
export const LARGE_ROWS = 262_144;

export const UNIT_HASH = (unit: number): string => `__gb_u${unit}`;
export const UNIT_ONE_HOT = (unit: number): string => `__gb_b${unit}`;
export const UNIT_TAG = (unit: number): string => `__gb_t${unit}`;
export const UNIT_WORDS = (unit: number): readonly [string, string] => [`__gb_v${unit}`, `__gb_w${unit}`];
export const UNIT_SIDES = (column: string): string => `__gb_s_${column}`;
export const CUBOID = (table: string, index: number): string => `__gb_c${index}_${table}`;
export const CUBOID_ROWS = '__gb_n';
export const CUBOID_SUM = (column: string): string => `__gb_a_${column}`;
export const ROW_RANK = '__gb_rank';
export const FIXED_POINT = (column: string): string => `__gb_f_${column}`;
/** Consumers cannot name anything that begins so; registration refuses source columns that do. */
export const RESERVED_PREFIX = '__gb_';

/** A cuboid of a laid-out table, by its name in the layout. */
export interface Cuboid {
  readonly name: string;
  /** The columns of the table that it tells rows apart by. */
  readonly columns: readonly string[];
  /** The measures that it has added up. */
  readonly sums: readonly string[];
  /** How many combinations of their values there are. */
  readonly rowCount: number;
}

/**
 * What a row adds to a sketch by XOR, see release/lanes.ts: of its tag the bit of its unit's lane and those that say which row
 * it is. Nobody has no lane.
 *
 * @param tag SQL of the row's tag.
 * @param hash SQL of its unit's hash.
 */
export function sketchWords(tag: string, hash: string): readonly [string, string] {
  const big = (value: bigint): string => `CAST('${value}' AS UBIGINT)`;
  const which = (1n << BigInt(64 - LANES)) - 1n;
  const lane = `${hash} >> ${big(6n)}) % ${big(BigInt(LANES))}`;
  const own = (shift: number): string =>
    `CASE WHEN ${hash} = ${big(0n)} THEN ${big(0n)} ELSE ${big(1n)} << ((${lane} + ${big(BigInt(shift))}) END`;
  return [
    `CAST(${tag} & (${own(0)} | ${big(which << BigInt(LANES))}) AS UBIGINT)`,
    `CAST(${tag} & (${own(64 - LANES)} | ${big(which)}) AS UBIGINT)`,
  ];
}

import type { SqlType } from './types.ts';

/**
 * A consumer's query after the rules were applied: SQL text that we printed ourselves. The worker runs `setup` in order
 * (temporary tables in its own memory), streams `result`, and last reads `summary`.
 *
 * INVARIANT: no byte of the consumer's text is in these statements except inside literals that we printed.
 */
export interface EnforcedQuery {
  readonly setup: readonly string[];
  /** Parts of `setup` that can be left out when what stands before them decided everything; absent: none. */
  readonly gates?: readonly Gate[];
  /** Base tables that the statements may read, as the catalogue names them (`physical`); absent: none. */
  readonly reads?: readonly string[];
  /** What the differencing guard needs to see, and how it takes out what it withholds; absent: nothing is compared. */
  readonly guard?: GuardPlan;
  /** Yields `outputs`, then `certificates`, in this order. */
  readonly result: string;
  readonly outputs: readonly OutputColumn[];
  readonly certificates: readonly CertificateColumn[];
  /** Yields one row: withheldCells BIGINT (NULL when the withheld cells together are too small to be counted). */
  readonly summary: string;
  /** The enforced plan in words, for `explain`. */
  readonly inWords: readonly string[];
  /** Canonical text of the typed query: equal for re-spellings of the same question. Its digest goes into evidence. */
  readonly canonical: string;
}

/**
 * The statements `from` (inclusive) to `to` (exclusive) of `setup` only need to run when the temporary table `table` has
 * a row whose column `open` is true. Running them all the same gives the same answer at a higher price.
 */
export interface Gate {
  readonly from: number;
  readonly to: number;
  readonly table: string;
}

/** Statements for the differencing guard; they run after `setup` and before `result`. */
export interface GuardPlan {
  /** Buckets of a sketch's partition; see release/sketch.ts. */
  readonly buckets: number;
  /** Temporary tables that the others need. */
  readonly setup: readonly string[];
  /**
   * Each yields twelve BIGINT: block, series, group, partition, bucket and the seven words of the bucket; or block, -1,
   * group, key and which value the group has in it and in the seven keys that follow, from 1; 0 where there is no further key.
   * Sketches by lanes have five words and neither partition nor bucket: in the place of these and of the last two words they
   * say which values the group has in four keys, or 0. For the gateway only: never part of an answer.
   */
  readonly sketches: readonly string[];
  /** Run when the guard withholds something. The first one makes `gb_hide`, into which the worker then writes what. */
  readonly apply: readonly string[];
  readonly blocks: readonly GuardedBlock[];
}

export interface GuardedBlock {
  /** Cells of a row. */
  readonly cells: number;
  readonly series: readonly GuardedSeries[];
}

/** One sketch of every group. */
export interface GuardedSeries {
  /** Sketches of the same label can be compared, also across queries. */
  readonly label: string;
  /** Further labels under which the same sketches are compared; absent: none. */
  readonly also?: readonly string[];
  /** `lanes`: one row per group, whose seven words are those of release/lanes.ts; absent: buckets. */
  readonly form?: 'lanes';
  /** Groups of one block can share rows, so they are compared with each other; absent: they are disjoint. */
  readonly isOverlapping?: boolean;
}

/** A group of a guarded block that is withheld; 0 is the one that small groups were merged into. */
export interface HiddenGroup {
  readonly block: number;
  readonly group: number;
}

export interface OutputColumn {
  readonly name: string;
  readonly type: SqlType;
  /** `key`: a group key; `cell`: rests on rows and can be withheld; `derived`: computed from surviving cells and keys. */
  readonly role: 'key' | 'cell' | 'derived';
}

/** Hidden columns that the release gate checks and strips; BIGINT NOT NULL, one per privacy unit. */
export interface CertificateColumn {
  readonly name: string;
  /** Certified lower bound of distinct units behind the row, capped at the minimum so that it tells nothing more. */
  readonly meaning: 'units';
  readonly unit: string;
}

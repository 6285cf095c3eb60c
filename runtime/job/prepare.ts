import type { Reason } from '../policy/reason.ts';
import type { BudgetLine } from '../ledger/reservation.ts';
import type { UsedColumn } from '../policy/export-list.ts';
import type { Marginal } from '../query/differential/marginal.ts';
import type { Certificate, Basis, ReleaseTerms } from '../release/candidate.ts';
import type { ColumnBatch, Schema } from '../release/columns.ts';
import type { StoredSketches } from './histories.ts';
import type { WithheldNote } from './job.ts';

/** A computation that was parsed, checked and rewritten: what would run, under which terms, at what price. */
export interface Prepared {
  readonly kind: 'prepared';
  /** Datasets that are really touched, with the versions that the job will read. */
  readonly datasets: readonly {
    readonly name: string;
    readonly version: number;
    readonly digest: string;
    /** Rows of its tables that are read: for prices, which make a coarse figure of it. Absent when not known before the run. */
    readonly rows?: number;
  }[];
  /** Digests (SHA-256) of tables that the asker brought; absent: none. */
  readonly brought?: readonly string[];
  /** Columns that the result rests on; absent when not known one by one: every column of the datasets then counts. */
  readonly columns?: readonly (UsedColumn & {
    /** Rights and functions that were needed, e.g. `filter`, `sum`. */
    readonly uses?: readonly string[];
  })[];
  /** SHA-256 of the canonical form: equal for re-spellings of the same question. */
  readonly digest: string;
  readonly terms: ReleaseTerms;
  /** Columns of what the worker yields: outputs, then certificates. */
  readonly schema: Schema;
  readonly certificates: readonly Certificate[];
  readonly basis: Basis;
  readonly budget: readonly BudgetLine[];
  readonly microEpsilon: number;
  /** Operations on ciphertext that the job takes; absent where it takes none. */
  readonly ciphertextOperations?: number;
  readonly inWords: readonly string[];
  /** What would run, as SQL of our own that rests on the query and the policy alone; absent when it is no SQL. */
  readonly enforcedSql?: string;
  /** What the consumer and the receipt are told about the result, one sentence. */
  readonly guarantee: string;
  /** Digest of the sandbox image that will run it. */
  readonly image: string;
  readonly isOrdered: boolean;
  /** Whether the policy has a dominance rule, which the enforced query applied. */
  readonly isDominanceRuled?: boolean;
  /** Whether cells are withheld that differ too little from others. */
  readonly isGuarded?: boolean;
  /** The one column of a dataset version whose values a noisy answer counts; absent: it says something else. */
  readonly marginal?: RecordedMarginal;
  /** Digest of all that is asked, names and calculations included; absent: the same question is computed again. */
  readonly question?: string;
  /** The job whose released answer is given again; absent: the answer is computed. */
  readonly repeats?: string;
  /** Set when the result is opaque to the gate: its one column holds 64-bit words that only the asker can read. */
  readonly mediaType?: string;
  /** Runs in a jailed worker. Each batch is what the worker says: unchecked by the gate. */
  readonly execute: (signal: AbortSignal, progress?: (done: number, total: number) => void) => Execution;
  /** Errors to expect of noisy columns, from public numbers alone; absent for exact results. */
  readonly errors?: readonly ColumnAccuracy[];
}

/** A marginal as the record of its job keeps it. */
export type RecordedMarginal = Marginal & { readonly version: number };

export interface Execution {
  readonly batches: AsyncIterable<ColumnBatch>;
  /** What the result rests on, when only the run can tell; asked for with each batch, in place of the prepared basis. */
  readonly basis?: () => Basis;
  /** Only after the batches ended. */
  readonly summary: () => ExecutionSummary;
}

export type ExecutionSummary =
  | {
      readonly kind: 'done';
      readonly rowsScanned: number;
      readonly cpuMs: number;
      readonly withheld: WithheldNote;
      /** How far noisy columns may be off; empty or absent when nothing was noised. */
      readonly errors?: readonly ColumnAccuracy[];
      /** Stored with the release, so that later answers are compared with this one; absent: none are. */
      readonly sketches?: readonly StoredSketches[];
    }
  /** One word for whatever went wrong among rows: a reason would be a leak. `reason`: a limit of the policy in wall time. */
  | { readonly kind: 'failed'; readonly reason?: Reason };

/** A released column lies within `halfWidth` of the exact value with probability `confidence`. */
export type ColumnAccuracy = {
  readonly column: string;
  readonly halfWidth: number;
  readonly confidence: number;
  /** Of each released row, in order; absent for predictions. */
  readonly cells?: CellIntervals;
};

/** Intervals of the cells of one column, row by row; NaN where a cell has no value. */
export type CellIntervals = {
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly noiseScale: readonly number[];
};

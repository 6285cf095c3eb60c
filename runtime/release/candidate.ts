/** What stands before the release gate: a candidate, the evidence that came with it, and the terms it must meet. */
import type { Mode, SmallGroups } from '../policy/model.ts';
import type { Column, ColumnBatch, Schema } from './columns.ts';

/**
 * `key`: a group key. `cell`: rests on rows. `derived`: computed from surviving cells and keys of the same row, so it goes
 * when any of them goes.
 */
export type OutputRole = 'key' | 'cell' | 'derived';

/** One column that may leave. */
export interface OutputColumn extends Column {
  readonly role: OutputRole;
}

/**
 * A statement about each row that the trusted part computed into hidden columns of the candidate; the gate reads the
 * columns, decides, and strips them. `cells` names the output columns spoken of; `null` means the whole row.
 */
export type Certificate =
  /** Lower bound of the distinct units behind the cells: int64, never null, possibly capped at the minimum. */
  | { readonly kind: 'units'; readonly column: string; readonly unit: string; readonly cells: readonly string[] | null }
  /** Units that a filter left out of the cells: int64, never null; none or at least the minimum may be left out. */
  | {
      readonly kind: 'leftOut';
      readonly column: string;
      readonly unit: string;
      readonly cells: readonly string[] | null;
    }
  /** An earlier rule (differencing, complementary suppression) withholds the cells where this bool is true or null. */
  | { readonly kind: 'suppressed'; readonly column: string; readonly cells: readonly string[] | null }
  /** Sum of the n largest units' absolute contributions and of all of them; float64, int64 or decimal128 of one scale. */
  | {
      readonly kind: 'dominance';
      readonly top: string;
      readonly total: string;
      readonly cells: readonly string[] | null;
    };

/** Why a candidate may leave at all; said by trusted code, never by a worker. */
export type Basis =
  /** Every row carries its own certificates. */
  | { readonly kind: 'certified' }
  /** One statement for the whole output: the distinct units that went in (reviewed code, homomorphic programs). */
  | { readonly kind: 'certifiedWhole'; readonly units: readonly { readonly unit: string; readonly atLeast: number }[] }
  /** Noise was added; the loss is what was reserved and will be charged. */
  | { readonly kind: 'noised'; readonly microEpsilon: number; readonly delta: number }
  /** Computed only from results that the gate released before. */
  | { readonly kind: 'postProcessed' }
  /** Rests on public tables only. */
  | { readonly kind: 'public' };

/** A typed table; `schema` lists the output columns in their allowed order, then the certificate columns. */
export interface TableCandidate {
  readonly kind: 'table';
  readonly basis: Basis;
  readonly schema: Schema;
  readonly certificates: readonly Certificate[];
  readonly batches: readonly ColumnBatch[];
  /** Whether the consumer asked for an order. If not, the gate sorts: engine order tells how rows are stored. */
  readonly isOrdered: boolean;
}

/** Bytes that have no columns: a ciphertext, a post-processing document. */
export interface OpaqueCandidate {
  readonly kind: 'opaque';
  readonly basis: Basis;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

export type Candidate = TableCandidate | OpaqueCandidate;

/** What a decision allows to leave. Absent means denied. */
export interface ReleaseTerms {
  readonly mode: Mode;
  /** The policy clause that sets the terms; quoted in denials. */
  readonly clause: string;
  /** Privacy units that must each reach `minUnits`; empty only when every table is public. */
  readonly units: readonly string[];
  /** Least distinct units behind each cell; null only where noise replaces the threshold. */
  readonly minUnits: number | null;
  readonly smallGroups: SmallGroups;
  /** Non-null demands a dominance certificate for every cell; null when no rule asks or the enforced query applied it. */
  readonly dominance: { readonly n: number; readonly share: number } | null;
  readonly outputs: readonly OutputColumn[];
  /** Media types of opaque results; empty when only tables may leave. */
  readonly mediaTypes: readonly string[];
  readonly maxRows: number;
  readonly maxBytes: number;
  /** Largest privacy loss of this release; null when the mode spends none. */
  readonly maxMicroEpsilon: number | null;
  readonly maxDelta: number;
}

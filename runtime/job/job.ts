import type { Mode } from '../policy/model.ts';
import { type Reason, reason } from '../policy/reason.ts';
import type { Schema } from '../release/columns.ts';

/** What a consumer submits: data, not code, until a worker looks at it. */
export type Computation =
  | { readonly kind: 'sql'; readonly text: string; readonly parameters: Readonly<Record<string, ParameterValue>> }
  | { readonly kind: 'javascript'; readonly program: unknown }
  | { readonly kind: 'homomorphic'; readonly program: unknown };

export type ParameterValue = string | number | boolean | null;

/** Who asks, proved by its credential. */
export interface Asker {
  readonly party: string;
  readonly groups: readonly string[];
  /** ISO 3166-1; null when the credential does not say, which counts as foreign. */
  readonly country: string | null;
}

/** A delegate under a mandate that the asker signed. */
export interface Actor {
  readonly party: string;
  /** Id of the mandate. */
  readonly mandate: string;
  /** SHA-256 of what was signed. */
  readonly mandateDigest: string;
  /** Agreements it is for; empty: all of the asker's. */
  readonly agreements: readonly string[];
  /** From here on nothing of its jobs leaves, milliseconds since 1970. */
  readonly notAfterMs: number;
}

export interface Job {
  readonly id: string;
  readonly asker: Asker;
  readonly computation: Computation;
  /** Empty: the asker's only active agreement. */
  readonly agreementIds: readonly string[];
  readonly rule: string | null;
  readonly purpose: string | null;
  readonly submittedAtMs: number;
  /** Who acts for the asker, and by what; null when the asker does itself. The job is the asker's all the same. */
  readonly actor: Actor | null;
  /** The asker's signature over its request, kept in evidence; null when it sent none. */
  readonly signature: string | null;
  /** Stands for all that was asked, where the asker may ask it again by the same key; null when it cannot. */
  readonly askedDigest: string | null;
}

/** The steps of a job, in their order; see run-job.ts. */
export type Stage = 'identify' | 'parse' | 'decide' | 'reserve' | 'run' | 'disclose' | 'record' | 'release';

/** What became of a job. Every kind has been recorded before it is told. */
export type Outcome =
  | {
      readonly kind: 'released';
      readonly ticket: Ticket;
      readonly schema: Schema;
      readonly rows: number;
      readonly bytes: number;
      readonly withheld: WithheldNote;
      readonly receipt: string;
      readonly mode: Mode;
      readonly guarantee: string;
    }
  | { readonly kind: 'denied'; readonly reasons: readonly Reason[]; readonly receipt: string | null }
  | {
      readonly kind: 'failed' | 'stopped' | 'cancelled';
      readonly reasons: readonly Reason[];
      readonly receipt: string | null;
    };

/** Lets one party fetch one result once. The secret is never stored. */
export interface Ticket {
  readonly secret: Uint8Array;
  readonly expiresAtMs: number;
}

/** What a consumer is told of what was kept back. */
export interface WithheldNote {
  /** Cells withheld; null when they are none or too few to say. */
  readonly cells: bigint | null;
  readonly reasons: readonly Reason[];
}

/** One text for every failure after rows were read: which row, which value, which operator would each be a leak. */
export const GENERIC_FAILURE: Reason = reason('computation-failed', 'the computation could not be completed', {
  remedy: 'see docs/errors.md#computation-failed for what usually causes this; the budget stays spent',
});

import type { Json } from '../evidence/canonical-json.ts';
import type { EvidenceEvent, EvidenceKind } from '../evidence/entry.ts';
import type { BudgetId } from '../ledger/budget.ts';
import type { BudgetLine } from '../ledger/reservation.ts';
import type { StoredRecord } from './records.ts';

/** reserved and running are unfinished: after a crash they become failed, with reason `interrupted`. */
export type JobState = 'reserved' | 'running' | 'released' | 'denied' | 'failed' | 'cancelled';
export const UNFINISHED: readonly JobState[] = ['reserved', 'running'];

/** A job as the gateway first records it. */
export interface NewJob {
  /** Chosen by the gateway or the consumer; the same id again is the same job. */
  readonly id: string;
  readonly party: string;
  /** Ids of the agreements it runs under: each must be active now, and still be when the result leaves. */
  readonly agreements: readonly string[];
  /** What a kill switch may name to stop this job, besides `all`, its party and its agreements, e.g. `dataset/visits`. */
  readonly scopes: readonly string[];
  /** No result leaves from this time on (milliseconds since 1970); null when the agreement has no end. */
  readonly notAfterMs: number | null;
  /** Whatever the gateway wants to keep about the job: digests, terms, footprint. */
  readonly details: Json;
}

/** A job's record body. */
export type JobBody = {
  readonly agreements: readonly string[];
  readonly scopes: readonly string[];
  readonly notAfterMs: number | null;
  readonly details: Json;
  /** Positions in the log of what led to its end, in order, the end last; that its result was fetched stands in the log only. */
  readonly evidence: readonly number[];
  /** Reason codes when it was denied, failed or cancelled. */
  readonly reasons: readonly string[];
  /** What came of it: the gateway's own words, e.g. counts of released and withheld cells. */
  readonly result: Json;
  /** When it ended, milliseconds since 1970; absent while it has not, and in records older than this field. */
  readonly endedAtMs?: number;
};
export type JobRecord = StoredRecord<JobBody>;

export interface ReserveInput {
  readonly job: NewJob;
  readonly lines: readonly BudgetLine[];
  /** True when a worker starts at once: saves a second commit, and a crash from here on spends the reservation. */
  readonly startsNow: boolean;
  /** What to record with it; at least one event. */
  readonly events: readonly EvidenceEvent[];
  /** Id of a `question`: when it was answered before, nothing is reserved or recorded, and the outcome says so. */
  readonly unlessAnswered?: string;
}

export type ReserveOutcome =
  | { readonly kind: 'reserved'; readonly job: string; readonly evidence: readonly number[] }
  | {
      readonly kind: 'exhausted';
      readonly budget: BudgetId;
      readonly limit: bigint;
      readonly spent: bigint;
      readonly asked: bigint;
    }
  | { readonly kind: 'known'; readonly job: JobRecord }
  | { readonly kind: 'answered' }
  | { readonly kind: 'refused'; readonly reason: Blocked };

export interface ReleaseInput {
  readonly jobId: string;
  /** What was really used, for lines that return the rest. */
  readonly used?: readonly (readonly [BudgetId, bigint])[];
  /** Must hold a `release` event: without evidence there is no ticket. */
  readonly events: readonly EvidenceEvent[];
  /** The usage event (CloudEvents form); its id is the job's id. */
  readonly usage?: Json;
  /** SHA-256 (hex) of the ticket's secret: the secret itself is never stored. */
  readonly ticket?: {
    readonly digest: string;
    readonly expiresAtMs: number;
    /** Present: it is used up at once, and these are recorded of it; they are not among the job's own entries. */
    readonly fetched?: readonly EvidenceEvent[];
  };
  /** Records that belong to the release, e.g. sketches of released cells for the differencing guard. */
  readonly records?: readonly StoredRecord[];
  readonly result?: Json;
  /** What the release was judged by: each record must still be in this state (null: not exist), else it is refused. */
  readonly expects?: readonly Expectation[];
}

/** The state that a record must be in; null: it must not exist. */
export interface Expectation {
  readonly table: StoredRecord['table'];
  readonly id: string;
  readonly state: string | null;
}

export type ReleaseOutcome =
  | {
      readonly kind: 'released';
      /** True when this job had been released before: the same receipt again, nothing was spent twice. */
      readonly already: boolean;
      readonly evidence: readonly number[];
      /** tlog-proof texts, one per entry in `evidence`. */
      readonly receipts: readonly string[];
      /** The job as it is on record now. */
      readonly job: JobRecord;
    }
  | { readonly kind: 'refused'; readonly reason: Blocked };

export interface DenyInput {
  readonly job: NewJob;
  /** Absent: denied. The others are jobs that ended before anything was reserved for them. */
  readonly state?: 'failed' | 'cancelled';
  readonly reasons: readonly string[];
  /** Must hold a `decision` event, or a `job.failed` or `job.cancelled` event for those states. */
  readonly events: readonly EvidenceEvent[];
  /** Written in the same transaction: what the denial obliges to. */
  readonly records?: readonly StoredRecord[];
}

export type DenyOutcome =
  | {
      readonly kind: 'denied';
      readonly evidence: readonly number[];
      readonly receipts: readonly string[];
      readonly job: JobRecord;
    }
  | { readonly kind: 'known'; readonly job: JobRecord };

export interface FailInput {
  readonly jobId: string;
  readonly state: 'failed' | 'cancelled';
  readonly reason: string;
  /** The reasons as they are told, JSON text; kept as `reasons` in the job's details. */
  readonly told?: string;
  readonly events: readonly EvidenceEvent[];
}

export type FailOutcome =
  | {
      readonly kind: 'ended';
      /** `committed` when data was touched: the budget stays spent. */
      readonly reservation: 'committed' | 'returned';
      readonly evidence: readonly number[];
      readonly receipts: readonly string[];
      readonly job: JobRecord;
    }
  | { readonly kind: 'refused'; readonly reason: Blocked };

/** Why a job may not go on. A code for the caller to put into words. */
export type Blocked =
  | { readonly code: 'unknown-job' }
  | { readonly code: 'wrong-state'; readonly state: string }
  | { readonly code: 'party-not-admitted'; readonly party: string }
  | { readonly code: 'agreement-not-active'; readonly agreement: string; readonly state: string }
  | { readonly code: 'agreement-ended' }
  /** What the release was judged by is another one now. */
  | { readonly code: 'changed' }
  | { readonly code: 'stopped'; readonly scope: string };

export interface RedeemInput {
  readonly digest: string;
  readonly party: string;
  readonly events?: readonly EvidenceEvent[];
}

/** A ticket of another party is as unknown as one that never was. */
export type RedeemOutcome =
  | { readonly kind: 'redeemed'; readonly job: string; readonly result: Json }
  | { readonly kind: 'refused'; readonly reason: 'unknown' | 'used' | 'expired' | 'stopped' };

/** One step of a transaction over records; all happen or none. */
export type Step =
  | { readonly do: 'put'; readonly record: StoredRecord }
  | { readonly do: 'remove'; readonly table: StoredRecord['table']; readonly id: string }
  /** The record must be in this state (null: must not exist), else nothing of the transaction happens. */
  | { readonly do: 'expect'; readonly table: StoredRecord['table']; readonly id: string; readonly state: string | null }
  | { readonly do: 'record'; readonly event: EvidenceEvent }
  /** Adds signed credit once: the same id again is refused. The signature was checked by the caller. */
  | {
      readonly do: 'topUp';
      readonly id: string;
      readonly budget: BudgetId;
      readonly amount: bigint;
      readonly body: { readonly [name: string]: Json };
    };

export type TransactOutcome =
  /** Receipts are asked for by position: most callers need none. */
  | { readonly kind: 'done'; readonly evidence: readonly number[] }
  | { readonly kind: 'refused'; readonly step: number; readonly found: string | null };

/** Whether one of the events is of this kind. */
export function hasEvent(events: readonly EvidenceEvent[], kind: EvidenceKind): boolean {
  return events.some((event) => event.kind === kind);
}

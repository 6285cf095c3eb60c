import type { AdmittedPermit, AgreementForJob } from './admission.ts';
import type { Computation, Job, Stage } from './job.ts';
import type { Prepared } from './prepare.ts';
import type { EvidenceEvent } from '../evidence/entry.ts';
import type { UsageEvent } from '../metering/usage.ts';
import type { BudgetId } from '../ledger/budget.ts';
import type { BudgetLine } from '../ledger/reservation.ts';
import type { Knowledge } from '../policy/decide.ts';
import type { ExportList } from '../policy/export-list.ts';
import type { Duty, IsolationLevel, Release } from '../policy/model.ts';
import type { Denied } from '../policy/reason.ts';
import type { ColumnBatch, Schema } from '../release/columns.ts';
import type { StoredSketches } from './histories.ts';

/** Everything that a job needs from the world, and nothing more. Adapters fill it in; tests replace single needs. */
export interface JobNeeds {
  readonly nowMs: () => number;
  readonly randomBytes: (count: number) => Uint8Array;
  /** Salted, so that evidence names no party to an outsider. */
  readonly pseudonymOf: (party: string) => string;
  readonly sha256: (content: Uint8Array | string) => string;
  /** Isolation that this machine gives to workers, as probed at start. */
  readonly isolation: IsolationLevel;
  readonly knowledge: Knowledge;
  /** The asker's agreements that are active now, each with the policy version that it pins. */
  readonly activeAgreements: (party: string) => readonly AgreementForJob[];
  /** One preparer per kind of computation; an absent one is a kind that this runtime cannot run. */
  readonly preparers: { readonly [Kind in Computation['kind']]?: Preparer };
  readonly ledger: Ledger;
  /** What may not leave which jurisdictions; absent or null: nothing is listed. */
  readonly exportList?: () => ExportList | null;
  /** Answers that can be given again; absent: everything is computed. */
  readonly repeats?: Repeats;
  /** Opens the file of a result that is about to be released; nobody can fetch it before the ticket is recorded. */
  readonly openResult: (jobId: string, schema: Schema) => Promise<ResultWriter>;
}

/** Turns a computation into something that can run under the permits: parse, rights, second gate. Reads no row. */
export type Preparer = (input: {
  readonly job: Job;
  readonly permits: readonly AdmittedPermit[];
  readonly release: Release;
  readonly clause: string;
  readonly signal: AbortSignal;
}) => Promise<Prepared | Denied>;

/**
 * Durable state. Each call is one transaction: all of it is on disk when it answers, or nothing is; only a reservation may
 * answer ahead of the disk. Transactions reach the disk in the order of the calls.
 */
export interface Ledger {
  reserve(input: {
    readonly job: LedgerJob;
    readonly lines: readonly BudgetLine[];
    readonly startsNow: true;
    readonly events: readonly EvidenceEvent[];
    /** A question (`questionOf`): nothing is reserved when it was answered before. */
    readonly unlessAnswered?: string;
  }): Promise<
    /** `durable`: resolves when it is on disk, rejects when it will not be; absent: it is there. */
    | { readonly kind: 'reserved'; readonly durable?: Promise<void> }
    | { readonly kind: 'exhausted'; readonly budget: BudgetId; readonly limit: bigint; readonly spent: bigint }
    | { readonly kind: 'known' }
    | { readonly kind: 'answered' }
    | { readonly kind: 'refused'; readonly reason: { readonly code: string } }
  >;
  deny(input: {
    readonly job: LedgerJob;
    /** Absent: denied. The others are jobs that ended before anything was reserved. */
    readonly state?: 'failed' | 'cancelled';
    readonly reasons: readonly string[];
    readonly events: readonly EvidenceEvent[];
  }): Promise<{ readonly kind: 'denied'; readonly receipts: readonly string[] } | { readonly kind: 'known' }>;
  release(input: {
    readonly jobId: string;
    readonly used: readonly (readonly [BudgetId, bigint])[];
    readonly events: readonly EvidenceEvent[];
    readonly usage: UsageEvent;
    readonly ticket: {
      readonly digest: string;
      readonly expiresAtMs: number;
      /** Present: the result goes out with the answer, so the ticket is used up, and this is recorded of it. */
      readonly fetched?: readonly EvidenceEvent[];
    };
    readonly result: ResultNote;
    /** Sketches of released cells: durable with the release, or it does not happen. */
    readonly sketches: readonly StoredSketches[];
    /** The question that is answered, to be found when it is asked again; null: it is not kept. */
    readonly question: string | null;
    /** What the release obliges to: recorded with it, or it does not happen. */
    readonly duties: readonly DutyOnRelease[];
    /**
     * The export list that the release was judged by, null when none was set: another one in force is refused as `changed`
     * in the same transaction. Absent: nothing is listed here.
     */
    readonly judgedBy?: ExportList | null;
    /** The agreements as the release was judged by them: another grade or settlement now is refused as `changed`. */
    readonly restsOn: readonly AgreementForJob[];
  }): Promise<
    | { readonly kind: 'released'; readonly receipts: readonly string[] }
    | { readonly kind: 'refused'; readonly reason: { readonly code: string } }
  >;
  fail(input: {
    readonly jobId: string;
    readonly state: 'failed' | 'cancelled';
    readonly reason: string;
    /** The reasons as they are told, JSON text. */
    readonly told: string;
    readonly events: readonly EvidenceEvent[];
  }): Promise<
    | { readonly kind: 'ended'; readonly receipts: readonly string[] }
    | { readonly kind: 'refused'; readonly reason: { readonly code: string } }
  >;
}

/** A duty of a policy, under the agreement that pins it; `index` is its place among the policy's duties. */
export interface DutyOnRelease {
  readonly agreement: string;
  readonly index: number;
  readonly duty: Duty;
}

export interface LedgerJob {
  readonly id: string;
  readonly party: string;
  readonly agreements: readonly string[];
  readonly scopes: readonly string[];
  readonly notAfterMs: number | null;
  readonly details: Readonly<Record<string, string | number | null | readonly string[]>>;
}

/** What a job used, measured by the runtime. */
export type Usage = {
  readonly rowsScanned: number;
  readonly cellsReleased: number;
  readonly bytesReleased: number;
  readonly cpuMs: number;
};

/** What a result's file holds. */
export type WrittenResult = {
  readonly bytes: number;
  /** Over all frames, hexadecimal: what evidence names. */
  readonly sha256: string;
  /** Over the digests of the frames that stand behind them; absent where the file is small, and in records of earlier versions. */
  readonly framesSha256?: string;
};

/** What is kept of a result for whoever shows the job later. */
export type ResultNote = WrittenResult & {
  /** Under which the log names the digest, hexadecimal; absent in records of earlier versions. */
  readonly salt?: string;
  readonly rows: number;
  readonly schema: string;
  readonly withheldCells: string | null;
  readonly withheldReasons: readonly string[];
  readonly guarantee: string;
  /** Absent in records of earlier versions. */
  readonly meter?: {
    readonly rowsScanned: number;
    readonly cellsReleased: number;
    /** Absent in records of jobs that took none. */
    readonly ciphertextOperations?: number;
    readonly chargeMinor: number;
    readonly currency: string;
  };
  readonly errors: readonly {
    readonly column: string;
    readonly halfWidth: string;
    readonly confidence: string;
    /** `CellIntervals` as JSON. */
    readonly cells?: string;
  }[];
};

/** An answer that was released before to the same question, and whose result is still kept. */
export interface EarlierAnswer {
  readonly job: string;
  readonly note: ResultNote;
}

/** What answering again needs from the world. */
export interface Repeats {
  /** The last answer to a question (`questionOf`) of this party; null when there is none any more. */
  readonly find: (question: string, party: string) => Promise<EarlierAnswer | null>;
  /** Copies a released result into the file of another job, durable; throws when it is not what was recorded. */
  readonly copy: (earlier: EarlierAnswer, jobId: string) => Promise<{ readonly discard: () => Promise<void> }>;
}

export interface ResultWriter {
  /** Appends a batch that has passed the gate. */
  write(batch: ColumnBatch): Promise<void>;
  /** Ends the file; answers what it holds. It survives the death of this process from here on. */
  finish(): Promise<WrittenResult>;
  /** Makes a finished file survive a loss of power too. */
  settle(): Promise<void>;
  /** Removes the file, whatever was written. Never throws. */
  discard(): Promise<void>;
}

/** Watches one run of a job. */
export interface JobRun {
  /** Aborted with one of `StopReason` when the job must end. */
  readonly signal: AbortSignal;
  readonly report: (stage: Stage) => void;
  /** Tells how many of the parts that a job declared are done; never called for anything that depends on rows. */
  readonly progress?: (done: number, total: number) => void;
  /**
   * Resolves at the end of the slot of time that the computation ended in; rejects when the job is aborted before. What is
   * recorded after it (times of entries, tickets and usage, places in the log) tells the slot and not the rows.
   */
  readonly untilSlot?: () => Promise<void>;
  /** Whether a result of so many bytes goes out with the answer to its asker, in place of a ticket. Absent: none does. */
  readonly isHandedOver?: (bytes: number) => boolean;
}
export type StopReason = 'cancelled' | 'stopped' | 'deadline';

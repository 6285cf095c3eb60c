import type { KeyObject } from 'node:crypto';
import type { EvidenceKind } from '../evidence/entry.ts';
import type { BudgetId } from '../ledger/budget.ts';
import type { StoreFaultCode } from './fault.ts';
import type { DenyInput, FailInput, RedeemInput, ReleaseInput, ReserveInput, Step } from './jobs.ts';
import type { RecordFilter, StoredRecord, TableName } from './records.ts';

/** A checkpoint of the log, with signatures that others added. */
export interface SignedSize {
  readonly size: number;
  readonly note: string;
}

/** What changes state: answered after it is durable. */
export type WriteRequest =
  /** `tellsAhead`: that it is held is said once more before, when nothing but the disk can still fail. */
  | { readonly do: 'reserve'; readonly input: ReserveInput; readonly tellsAhead?: true }
  | { readonly do: 'start'; readonly jobId: string }
  | { readonly do: 'release'; readonly input: ReleaseInput }
  | { readonly do: 'deny'; readonly input: DenyInput }
  | { readonly do: 'fail'; readonly input: FailInput }
  | { readonly do: 'redeem'; readonly input: RedeemInput }
  | { readonly do: 'transact'; readonly steps: readonly Step[] };

/** What changes nothing: needs no transaction and waits for no disk. */
export type ReadRequest =
  | { readonly do: 'get'; readonly table: TableName; readonly id: string }
  | { readonly do: 'list'; readonly table: TableName; readonly filter: RecordFilter }
  | { readonly do: 'balance'; readonly budget: BudgetId; readonly windowMs: number | undefined }
  | { readonly do: 'oldestUse'; readonly budget: BudgetId; readonly windowMs: number }
  | { readonly do: 'receipt'; readonly position: number; readonly against: SignedSize | undefined }
  | { readonly do: 'envelope'; readonly position: number }
  | { readonly do: 'entries'; readonly from: number; readonly to: number }
  | { readonly do: 'positions'; readonly kind: EvidenceKind; readonly limit: number }
  | { readonly do: 'checkpoint' }
  | { readonly do: 'consistency'; readonly from: number; readonly to: number | undefined }
  | { readonly do: 'publish' }
  /** Copies the database to a file that does not exist, as it is at one moment, while other calls go on. */
  | { readonly do: 'backup'; readonly file: string }
  | { readonly do: 'close' };

/** What the gateway's thread asks of the store's thread. */
export type Request = WriteRequest | ReadRequest;

const WRITES: readonly WriteRequest['do'][] = ['reserve', 'start', 'release', 'deny', 'fail', 'redeem', 'transact'];

export function isWrite(request: Request): request is WriteRequest {
  return (WRITES as readonly string[]).includes(request.do);
}

export interface Call {
  readonly id: number;
  readonly nowMs: number;
  readonly request: Request;
}

export type Reply =
  | { readonly id: number; readonly answer: unknown }
  /** What will be answered once it is on disk. */
  | { readonly id: number; readonly ahead: unknown }
  | { readonly id: number; readonly fault: { readonly code: StoreFaultCode; readonly message: string } };

/** What the store's thread says first: everything that the gateway's thread keeps a copy of, or why it cannot start. */
export type Hello =
  | {
      readonly kind: 'ready';
      readonly records: readonly StoredRecord[];
      readonly verifierKey: string;
      readonly recovered: Recovered;
    }
  | { readonly kind: 'fault'; readonly code: StoreFaultCode; readonly message: string };

/** Said when a write had failed and the state was opened anew: what the gateway's thread keeps a copy of, as it is now. */
export interface Reopened {
  readonly kind: 'reopened';
  readonly records: readonly StoredRecord[];
  readonly recovered: Recovered;
}

/** What opening found and repaired. */
export interface Recovered {
  /** Jobs that a crash had interrupted; they are failed now. */
  readonly interruptedJobs: number;
  /** Published log files that were missing or changed; they were written again from the database. */
  readonly repairedFiles: number;
  /**
   * By how many milliseconds the clock is behind the latest time that the state has seen; 0 when it is not. The state
   * then keeps to its own time until the clock has caught up: agreements and tickets end by it, windows do not move.
   */
  readonly clockBehindMs: number;
}

export interface WorkerData {
  readonly path: string;
  readonly origin: string | undefined;
  readonly privateKey: KeyObject | undefined;
  readonly nowMs: number;
}

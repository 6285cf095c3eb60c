import type { AgreedPrices } from '../metering/agreed-prices.ts';
import type { Permit } from '../policy/decide.ts';
import type { Mode, Release, UsagePolicy } from '../policy/model.ts';
import type { Reason } from '../policy/reason.ts';

/** An active agreement as a job sees it. */
export interface AgreementForJob {
  readonly id: string;
  readonly digest: string;
  readonly dataset: string;
  readonly provider: string;
  readonly policy: UsagePolicy;
  readonly policyDigest: string;
  /** Purposes that the parties agreed on; empty when the policy's own are all there is. */
  readonly purposes: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number | null;
  /** When its last party signed; absent: not known, and a policy that counts from then denies. */
  readonly agreedAtMs?: number | null;
  /** Duties that are overdue, or that come before any use and are not fulfilled: nothing runs before they are. */
  readonly blockedBy: readonly Reason[];
  /** The word about its dataset's grade by which it was judged, for the ledger to compare; absent: none is kept here. */
  readonly grading?: string | null;
  /** Up to when its charges are being settled, as the ledger keeps it: a charge is of a later time; absent: none is kept. */
  readonly settlement?: string | null;
  /** The prices that its parties signed; null: what the policy's duties say. */
  readonly prices: AgreedPrices | null;
  /** About how many privacy units its dataset holds, as everybody may know it; absent: not known. */
  readonly units?: number;
}

export interface AdmittedPermit {
  readonly agreement: AgreementForJob;
  readonly permit: Permit;
}

/** Under what a job runs. */
export interface Admission {
  readonly kind: 'admitted';
  readonly permits: readonly AdmittedPermit[];
  readonly mode: Mode;
  readonly release: Release;
  readonly clause: string;
}

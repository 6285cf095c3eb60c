import type { JobNeeds } from '../../job/needs.ts';
import type { DenyOutcome, FailOutcome, JobRecord, ReleaseOutcome, ReserveOutcome } from '../../store/jobs.ts';

/** The ledger of the job pipeline as the store answers it: with the record of a job that has ended. */
export interface StoreLedger {
  reserve(
    input: Parameters<JobNeeds['ledger']['reserve']>[0],
  ): Promise<ReserveOutcome & { readonly durable?: Promise<void> }>;
  deny(input: Parameters<JobNeeds['ledger']['deny']>[0]): Promise<DenyOutcome>;
  release(input: Parameters<JobNeeds['ledger']['release']>[0]): Promise<ReleaseOutcome>;
  fail(input: Parameters<JobNeeds['ledger']['fail']>[0]): Promise<FailOutcome>;
}

/** What was recorded at the end of a job, as it went to disk. */
export interface EndRecord {
  readonly record: JobRecord;
  /** Receipt of the last entry. */
  readonly receipt: string | undefined;
}

/** The same ledger, telling what it recorded at the end of a job: who asks then need not read it again. */
export function tellingEnd(ledger: StoreLedger, onEnd: (end: EndRecord) => void): StoreLedger {
  const told = <Answer extends DenyOutcome | ReleaseOutcome | FailOutcome>(answer: Answer): Answer => {
    if ('receipts' in answer) onEnd({ record: answer.job, receipt: answer.receipts.at(-1) });
    return answer;
  };
  return {
    reserve: (input) => ledger.reserve(input),
    deny: async (input) => told(await ledger.deny(input)),
    release: async (input) => told(await ledger.release(input)),
    fail: async (input) => told(await ledger.fail(input)),
  };
}

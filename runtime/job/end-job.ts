import type { EvidenceEvent } from '../evidence/entry.ts';
import { type Denied, type Reason, reason } from '../policy/reason.ts';
import type { AgreementForJob } from './admission.ts';
import { denialEvent, failureEvent } from './events.ts';
import { GENERIC_FAILURE, type Job, type Outcome } from './job.ts';
import type { JobNeeds } from './needs.ts';
import { ledgerJob } from './ledger-job.ts';

/** Records a denial, and answers it. */
export async function deny(
  needs: JobNeeds,
  job: Job,
  agreements: readonly AgreementForJob[],
  verdict: Denied,
): Promise<Outcome> {
  const { reasons } = verdict;
  const answer = await needs.ledger.deny({
    job: ledgerJob(job, agreements, { clause: reasons[0]?.clause ?? null, reasons: JSON.stringify(reasons) }),
    reasons: reasons.map(({ code }) => code),
    events: [denialEvent(needs, job, agreements, reasons)],
  });
  return { kind: 'denied', reasons, receipt: answer.kind === 'denied' ? (answer.receipts.at(-1) ?? null) : null };
}

/** Records that a job ended without a release, and answers why in words that tell nothing of rows. */
export async function end(
  needs: JobNeeds,
  job: Job,
  kind: 'failed' | 'stopped' | 'cancelled',
  reasons: readonly Reason[],
): Promise<Outcome> {
  const event: EvidenceEvent = failureEvent(needs, job, kind, reasons);
  const state = kind === 'failed' ? 'failed' : 'cancelled';
  const answer = await needs.ledger.fail({
    jobId: job.id,
    state,
    reason: reasons[0]?.code ?? kind,
    told: JSON.stringify(reasons),
    events: [event],
  });
  if (answer.kind === 'ended') return { kind, reasons, receipt: answer.receipts.at(-1) ?? null };
  if (answer.reason.code !== 'unknown-job') return { kind, reasons, receipt: null };
  // It ended before anything was reserved: nothing was spent, and it is still on record before anybody is told.
  const untouched = reasons[0] === GENERIC_FAILURE ? [NOT_STARTED] : reasons;
  const recorded = await needs.ledger.deny({
    job: ledgerJob(job, [], { reasons: JSON.stringify(untouched) }),
    state,
    reasons: untouched.map(({ code }) => code),
    events: [failureEvent(needs, job, kind, untouched)],
  });
  const receipts = recorded.kind === 'denied' ? recorded.receipts : [];
  return { kind, reasons: untouched, receipt: receipts.at(-1) ?? null };
}

/** A fault before the budget was reserved: no row had been touched. */
const NOT_STARTED: Reason = reason('not-started', 'the job could not be started, and nothing was spent', {
  remedy: 'submit it again; if it happens again, tell the operator the job id',
});

import { type Denied, denied, type Reason, reason } from '../policy/reason.ts';
import { admit, agreementsOf } from './admit.ts';
import type { Admission } from './admission.ts';
import { disclose } from './disclose.ts';
import { exportLines } from './export-control.ts';
import { GENERIC_FAILURE, type Job, type Outcome } from './job.ts';
import type { JobNeeds, JobRun, StopReason } from './needs.ts';
import type { Prepared } from './prepare.ts';
import { discloseAgain, questionOf } from './repeat.ts';
import { reserve } from './reserve.ts';
import { permitsFor } from './ledger-job.ts';
import { record } from './record.ts';
import { deny, end } from './end-job.ts';

/**
 * One job, from request to released result. Each step is a call; nothing leaves before the last one, and whatever is
 * answered has been recorded before. A denial is an answer; a throw is a fault of ours, and ends as `failed`.
 */
export async function runJob(needs: JobNeeds, job: Job, run: JobRun): Promise<Outcome> {
  try {
    run.signal.throwIfAborted();
    run.report('identify');
    const agreements = agreementsOf(needs, job);
    if ('kind' in agreements) return await deny(needs, job, [], agreements);

    run.report('decide');
    const admission = admit(needs, job, agreements);
    if (admission.kind === 'denied') return await deny(needs, job, agreements, admission);

    run.report('parse');
    const asked = await prepare(needs, job, admission, run.signal);
    if (asked.kind === 'denied') return await deny(needs, job, agreements, asked);
    run.signal.throwIfAborted();

    run.report('reserve');
    const question = questionOf(needs, job, admission, asked);
    const used = permitsFor(admission, asked).map(({ agreement }) => agreement);
    // What was answered before is not run again: `earlier` is that answer then.
    const reserved = await reserve(needs, job, used, admission, { prepared: asked, question });
    if (reserved.kind === 'denied') return await deny(needs, job, used, reserved);
    const { prepared, earlier } = reserved;

    run.report('run');
    run.signal.throwIfAborted();
    const result =
      earlier === null || needs.repeats === undefined
        ? await disclose(needs, job.id, prepared, run, reserved.durable)
        : await discloseAgain(needs.repeats, job.id, prepared, earlier);
    await reserved.durable;
    run.report('record');
    if (result.kind === 'denied') {
      await run.untilSlot?.();
      return await end(needs, job, 'failed', result.reasons);
    }
    const kept = earlier === null ? question : null;
    const { holds } = reserved;
    const outcome = await record(needs, job, { admission, prepared, result, holds, question: kept }, run);
    run.report('release');
    return outcome;
  } catch (error) {
    // A failure may come of rows like an answer; waiting fails only when the job is aborted meanwhile.
    if (!run.signal.aborted) await run.untilSlot?.().catch(() => undefined);
    if (run.signal.aborted)
      return end(needs, job, run.signal.reason === 'cancelled' ? 'cancelled' : 'stopped', [stopReason(run.signal)]);
    await end(needs, job, 'failed', [GENERIC_FAILURE]);
    throw error;
  }
}

/** Steps 1–3 only: what would happen, without reserving, running or recording anything. */
export async function rehearse(
  needs: JobNeeds,
  job: Job,
  signal: AbortSignal,
): Promise<{ readonly kind: 'rehearsed'; readonly admission: Admission; readonly prepared: Prepared } | Denied> {
  const agreements = agreementsOf(needs, job);
  if ('kind' in agreements) return agreements;
  const admission = admit(needs, job, agreements);
  if (admission.kind === 'denied') return admission;
  const prepared = await prepare(needs, job, admission, signal);
  return prepared.kind === 'denied' ? prepared : { kind: 'rehearsed', admission, prepared };
}

async function prepare(
  needs: JobNeeds,
  job: Job,
  admission: Admission,
  signal: AbortSignal,
): Promise<Prepared | Denied> {
  const preparer = needs.preparers[job.computation.kind];
  if (preparer === undefined) {
    return denied(reason('mode-not-available', `this runtime cannot run \`${job.computation.kind}\` computations yet`));
  }
  const { permits, release, clause } = admission;
  const prepared = await preparer({ job, permits, release, clause, signal });
  if (prepared.kind === 'denied') return prepared;
  const lines = exportLines(needs, job, permitsFor(admission, prepared), prepared);
  return 'kind' in lines ? lines : { ...prepared, budget: [...prepared.budget, ...lines] };
}

function stopReason(signal: AbortSignal): Reason {
  switch (signal.reason as StopReason) {
    case 'cancelled':
      return reason('cancelled', 'the job was cancelled');
    case 'deadline':
      return reason('deadline', 'the job ran longer than its deadline', {
        remedy: 'ask for less, or set a later deadline',
      });
    case 'stopped':
    default:
      return reason('stopped', 'the job was stopped: its agreement, party or dataset may no longer be used');
  }
}

import type { EvidenceEvent } from '../evidence/entry.ts';
import { type Denied, denied, type Reason, reason } from '../policy/reason.ts';
import { type CreditHold, creditHolds, meterNote, usageOf, usedCredit } from './charge.ts';
import { admit, type Admission, type AgreementForJob, agreementsOf } from './admit.ts';
import { disclose, type Disclosed } from './disclose.ts';
import { decisionEvents, denialEvent, failureEvent, releaseEvents } from './events.ts';
import { exportLines, gradeOf } from './export-control.ts';
import { MAX_QUERY_BYTES } from '../query/text.ts';
import type { Job, Outcome } from './job.ts';
import type { AdmittedPermit, JobNeeds, JobRun, LedgerJob, StopReason } from './needs.ts';
import type { Prepared } from './prepare.ts';
import { discloseAgain, freeOf, questionOf } from './repeat.ts';

/** How long a ticket can be used, milliseconds. */
export const TICKET_LIFE_MS = 15 * 60_000;

/** Most duties of one policy. */
const MAX_DUTIES = 1000;

/** How often a release is judged again because the export list was replaced under it; then the job is stopped. */
const MAX_JUDGEMENTS = 5;

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

    const question = questionOf(needs, job, admission, asked);
    const earlier = question === null ? null : ((await needs.repeats?.find(question, job.asker.party)) ?? null);
    const prepared = earlier === null ? asked : freeOf(asked, earlier);

    run.report('reserve');
    const used = permitsFor(admission, prepared).map(({ agreement }) => agreement);
    const reserved = await reserve(needs, job, used, admission, prepared);
    if (reserved.kind === 'denied') return await deny(needs, job, used, reserved);

    run.report('run');
    run.signal.throwIfAborted();
    const result =
      earlier === null || needs.repeats === undefined
        ? await disclose(needs, job.id, prepared, run)
        : await discloseAgain(needs.repeats, job.id, prepared, earlier);
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

/** One text for every failure after rows were read: which row, which value, which operator would each be a leak. */
export const GENERIC_FAILURE: Reason = reason('computation-failed', 'the computation could not be completed', {
  remedy: 'see docs/errors.md#computation-failed for what usually causes this; the budget stays spent',
});

/** A fault before the budget was reserved: no row had been touched. */
const NOT_STARTED: Reason = reason('not-started', 'the job could not be started, and nothing was spent', {
  remedy: 'submit it again; if it happens again, tell the operator the job id',
});

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

async function reserve(
  needs: JobNeeds,
  job: Job,
  agreements: readonly AgreementForJob[],
  admission: Admission,
  prepared: Prepared,
  usedUp: ReadonlySet<string> = new Set(),
): Promise<{ readonly kind: 'reserved'; readonly holds: readonly CreditHold[] } | Denied> {
  const permits = permitsFor(admission, prepared);
  const holds = creditHolds(permits, prepared, usedUp);
  const answer = await needs.ledger.reserve({
    job: ledgerJob(
      job,
      agreements,
      {
        digest: prepared.digest,
        mode: admission.mode,
        clause: admission.clause,
        image: prepared.image,
        microEpsilon: prepared.microEpsilon,
        footprint: prepared.columns === undefined ? null : JSON.stringify(prepared.columns),
        ...(prepared.repeats === undefined ? {} : { repeats: prepared.repeats }),
      },
      permits,
    ),
    lines: [...prepared.budget, ...holds.map(({ line }) => line)],
    startsNow: true,
    events: decisionEvents(needs, job, agreements, admission, prepared),
  });
  switch (answer.kind) {
    case 'reserved':
      return { kind: 'reserved', holds };
    case 'exhausted': {
      const hold = holds.find(({ line }) => line.budget === answer.budget);
      // No free job is left: this one is paid. At most one try more for each agreement.
      if (hold?.isFree === true)
        return await reserve(needs, job, agreements, admission, prepared, new Set([...usedUp, hold.agreement]));
      if (hold !== undefined)
        return denied(
          reason('credit-exhausted', `the credit of agreement \`${hold.agreement}\` does not bear this job`, {
            clause: admission.clause,
            remedy: 'pay, so that the provider tops up the credit; `job explain` tells the price before',
          }),
        );
      return denied(
        reason(
          'budget-exhausted',
          `the budget \`${describeBudget(answer.budget)}\` is used up: ${answer.spent} of ${answer.limit} spent or reserved`,
          {
            clause: admission.clause,
            remedy: 'wait until the period ends, or ask the provider for a signed top-up',
          },
        ),
      );
    }
    case 'known':
      return denied(
        reason('job-known', `job \`${job.id}\` was submitted before`, { remedy: 'use another idempotency key' }),
      );
    case 'refused':
      return denied(reason(answer.reason.code, BLOCKED[answer.reason.code] ?? 'the job may not start now'));
  }
}

/** What is recorded when a result leaves. */
interface Releasable {
  readonly admission: Admission;
  readonly prepared: Prepared;
  readonly result: Disclosed;
  readonly holds: readonly CreditHold[];
  readonly question: string | null;
}

async function record(needs: JobNeeds, job: Job, of: Releasable, run: JobRun): Promise<Outcome> {
  const { result } = of;
  try {
    await run.untilSlot?.();
    // The file is made durable once, however often the release is judged.
    let settling: Promise<void> | null = null;
    const settledOnce = { ...result, settle: (): Promise<void> => (settling ??= result.settle()) };
    for (let turn = 0; turn < MAX_JUDGEMENTS; turn += 1) {
      const outcome = await judgeAndRecord(needs, job, { ...of, result: settledOnce }, run.signal);
      if (outcome !== 'changed') return outcome;
    }
    await result.discard();
    return await end(needs, job, 'stopped', [reason('stopped', BLOCKED['stopped'] ?? '')]);
  } catch (error) {
    await result.discard();
    throw error;
  }
}

/** `changed`: the list by which it was judged was replaced before the commit; nothing is recorded, nothing left. */
async function judgeAndRecord(
  needs: JobNeeds,
  job: Job,
  { admission, prepared, result, holds, question }: Releasable,
  signal: AbortSignal,
): Promise<Outcome | 'changed'> {
  signal.throwIfAborted();
  const secret = needs.randomBytes(32);
  const expiresAtMs = needs.nowMs() + TICKET_LIFE_MS;
  // The list may have changed while the job ran: what would be refused now does not leave.
  const list = needs.exportList?.();
  const listed = exportLines(needs, job, permitsFor(admission, prepared), prepared);
  if ('kind' in listed) {
    await result.discard();
    return await end(needs, job, 'stopped', listed.reasons);
  }
  const { rows, bytes, sha256, withheld } = result;
  const usage = usageOf(job, permitsFor(admission, prepared), prepared, result, { nowMs: needs.nowMs(), holds });
  const recorded = needs.ledger.release({
    jobId: job.id,
    used: usedCredit(usage, holds),
    sketches: result.sketches,
    question,
    ...(list === undefined ? {} : { judgedBy: list }),
    events: releaseEvents(needs, job, prepared, result, {
      grade: gradeOf(permitsFor(admission, prepared), prepared),
      usage,
    }),
    usage,
    ticket: { digest: needs.sha256(secret), expiresAtMs },
    duties: permitsFor(admission, prepared).flatMap(({ agreement, permit }, at) =>
      // Several datasets, several policies: each duty keeps a number of its own.
      permit.duties.map((duty, index) => ({ agreement: agreement.id, index: at * MAX_DUTIES + index, duty })),
    ),
    result: {
      rows,
      bytes,
      sha256,
      schema: JSON.stringify(result.schema),
      withheldCells: withheld.cells === null ? null : String(withheld.cells),
      withheldReasons: withheld.reasons.map(({ code }) => code),
      guarantee: prepared.guarantee,
      meter: meterNote(usage),
      errors: result.errors.map(({ column, halfWidth, confidence, cells }) => ({
        column,
        halfWidth: String(halfWidth),
        confidence: String(confidence),
        ...(cells === undefined ? {} : { cells: JSON.stringify(cells) }),
      })),
    },
  });
  // Both are on disk before anybody is told of the release; they need not wait for each other.
  const [answer] = await bothOf(recorded, result.settle());
  if (answer.kind === 'refused') {
    if (answer.reason.code === 'changed') return 'changed';
    await result.discard();
    return await end(needs, job, 'stopped', [
      reason(answer.reason.code, BLOCKED[answer.reason.code] ?? 'the job was stopped before its result left'),
    ]);
  }
  const receipt = answer.receipts.at(-1) ?? '';
  const { schema } = result;
  return {
    kind: 'released',
    ticket: { secret, expiresAtMs },
    schema,
    rows,
    bytes,
    withheld,
    receipt,
    mode: admission.mode,
    guarantee: prepared.guarantee,
  };
}

/** Waits for both, whatever becomes of either; rejects with the first failure. */
async function bothOf<First, Second>(first: Promise<First>, second: Promise<Second>): Promise<[First, Second]> {
  await Promise.allSettled([first, second]);
  return [await first, await second];
}

/** The permits of the datasets that were really touched. */
function permitsFor(admission: Admission, prepared: Prepared): readonly AdmittedPermit[] {
  const touched = admission.permits.filter(({ agreement }) =>
    prepared.datasets.some(({ name }) => name === agreement.dataset),
  );
  return touched.length === 0 ? admission.permits : touched;
}

async function deny(
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

async function end(
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

function ledgerJob(
  job: Job,
  agreements: readonly AgreementForJob[],
  more: Readonly<Record<string, string | number | null>>,
  permits: readonly AdmittedPermit[] = [],
): LedgerJob {
  // The policy's own end counts like the agreement's: the ledger looks at it again when the result would leave.
  const ends = [
    ...agreements.map(({ notAfterMs }) => notAfterMs),
    ...permits.flatMap(({ permit }) => [permit.policy.defaults.notAfter, permit.rule.when.notAfter]),
    job.actor?.notAfterMs ?? null,
  ].filter((end) => end !== null);
  return {
    id: job.id,
    party: job.asker.party,
    agreements: agreements.map(({ id }) => id),
    scopes: [...agreements.map(({ dataset }) => `dataset/${dataset}`), ...codeScopes(job), ...actorScopes(job)],
    notAfterMs: ends.length === 0 ? null : Math.min(...ends),
    details: {
      kind: job.computation.kind,
      // A text that is too long to be read is not kept either: refusals must not fill the disk.
      text:
        job.computation.kind === 'sql' && job.computation.text.length <= MAX_QUERY_BYTES ? job.computation.text : null,
      purpose: job.purpose,
      rule: job.rule,
      ...(job.actor === null ? {} : { actor: job.actor.party }),
      datasets: agreements.map(({ dataset }) => dataset),
      ...more,
    },
  };
}

/** Approved code can be stopped by its digest, also between its run and its release. */
function codeScopes({ computation }: Job): readonly string[] {
  if (computation.kind !== 'javascript') return [];
  const { codeDigest } = computation.program as { codeDigest?: string | null };
  return codeDigest === null || codeDigest === undefined ? [] : [`code/${codeDigest}`];
}

/** A job under a mandate ends with the mandate, and with its delegate's admission: the ledger looks at both. */
function actorScopes({ actor }: Job): readonly string[] {
  return actor === null ? [] : [`mandate/${actor.mandate}`, `party/${actor.party}`];
}

/** What the ledger's refusals mean to a consumer. */
const BLOCKED: Readonly<Record<string, string>> = {
  stopped: 'an operator or a provider has stopped this use',
  'party-not-admitted': 'the party is not admitted',
  'agreement-not-active': 'the agreement is no longer active',
  'agreement-ended': 'the agreement has ended',
};

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

/** `count/dataset/hospital%2Fvisits/…` → `count of hospital/visits`. */
function describeBudget(budget: string): string {
  const [kind = '', , name = ''] = budget.split('/').map(decodeURIComponent);
  return `${kind} of ${name}`;
}

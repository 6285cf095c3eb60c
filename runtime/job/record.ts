import { type Denied, reason } from '../policy/reason.ts';
import { type CreditHold, meterNote, usageOf, usedCredit } from './charge.ts';
import { admit } from './admit.ts';
import type { Admission, AdmittedPermit, AgreementForJob } from './admission.ts';
import type { Disclosed } from './disclose.ts';
import { fetchedEvent, releaseEvents } from './events.ts';
import { exportLines, gradeOf } from './export-control.ts';
import type { Job, Outcome } from './job.ts';
import type { JobNeeds, JobRun } from './needs.ts';
import type { Prepared } from './prepare.ts';
import { permitsFor, BLOCKED } from './ledger-job.ts';
import { end } from './end-job.ts';

/** Most duties of one policy. */
const MAX_DUTIES = 1000;

/** How often a release is judged again because the export list or a grade was replaced under it; then it is stopped. */
const MAX_JUDGEMENTS = 5;

/** What is recorded when a result leaves. */
interface Releasable {
  readonly admission: Admission;
  readonly prepared: Prepared;
  readonly result: Disclosed;
  readonly holds: readonly CreditHold[];
  readonly question: string | null;
}

/**
 * Step 7: judged once more, then recorded with its usage, duties and evidence in one transaction; only then is there a
 * ticket. When it may not leave after all, the result is discarded and the job ends as `stopped`.
 */
export async function record(needs: JobNeeds, job: Job, of: Releasable, run: JobRun): Promise<Outcome> {
  const { result } = of;
  try {
    await run.untilSlot?.();
    // The file is made durable once, however often the release is judged.
    let settling: Promise<void> | null = null;
    const settledOnce = { ...result, settle: (): Promise<void> => (settling ??= result.settle()) };
    for (let turn = 0; turn < MAX_JUDGEMENTS; turn += 1) {
      const outcome = await judgeAndRecord(needs, job, { ...of, result: settledOnce }, run);
      if (outcome !== 'changed') return outcome;
    }
    await result.discard();
    return await end(needs, job, 'stopped', [reason('stopped', BLOCKED['stopped'] ?? '')]);
  } catch (error) {
    await result.discard();
    throw error;
  }
}

/** `changed`: what it was judged by was replaced before the commit; nothing is recorded, nothing left. */
async function judgeAndRecord(
  needs: JobNeeds,
  job: Job,
  { admission, prepared, result, holds, question }: Releasable,
  { signal, isHandedOver }: JobRun,
): Promise<Outcome | 'changed'> {
  signal.throwIfAborted();
  const [secret, salt] = [needs.randomBytes(32), needs.randomBytes(32)];
  const expiresAtMs = needs.nowMs() + TICKET_LIFE_MS;
  // The list may have changed while the job ran: what would be refused now does not leave.
  const list = needs.exportList?.();
  const listed = exportLines(needs, job, permitsFor(admission, prepared), prepared);
  const admitted = admittedStill(needs, job, permitsFor(admission, prepared));
  const refused = 'kind' in listed ? listed : 'kind' in admitted ? admitted : null;
  if (refused !== null) {
    await result.discard();
    return await end(needs, job, 'stopped', refused.reasons);
  }
  const { rows, bytes, sha256, withheld } = result;
  const digest = needs.sha256(secret);
  // One transaction for the release and the use of its ticket: no byte leaves before either is on disk.
  const used = isHandedOver?.(bytes) === true ? { fetched: [fetchedEvent(digest, needs.nowMs())] } : {};
  const usage = usageOf(job, permitsFor(admission, prepared), prepared, result, { nowMs: needs.nowMs(), holds });
  const recorded = needs.ledger.release({
    jobId: job.id,
    used: usedCredit(usage, holds),
    sketches: result.sketches,
    question,
    ...(list === undefined ? {} : { judgedBy: list }),
    restsOn: 'kind' in admitted ? [] : admitted,
    events: releaseEvents(needs, job, prepared, result, {
      grade: gradeOf(permitsFor(admission, prepared), prepared),
      usage,
      salt,
    }),
    usage,
    ticket: { digest, expiresAtMs, ...used },
    duties: permitsFor(admission, prepared).flatMap(({ agreement, permit }, at) =>
      // Several datasets, several policies: each duty keeps a number of its own.
      permit.duties.map((duty, index) => ({ agreement: agreement.id, index: at * MAX_DUTIES + index, duty })),
    ),
    result: {
      rows,
      bytes,
      sha256,
      salt: Buffer.from(salt).toString('hex'),
      ...(result.framesSha256 === undefined ? {} : { framesSha256: result.framesSha256 }),
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

/**
 * Decides once more, as agreements, duties, disputes and grades are now: what would be denied does not leave. Answers the
 * agreements that this rests on, for the transaction to compare. One that is no longer active is the ledger's to refuse.
 */
function admittedStill(
  needs: JobNeeds,
  job: Job,
  permits: readonly AdmittedPermit[],
): readonly AgreementForJob[] | Denied {
  const active = needs.activeAgreements(job.asker.party);
  const now = permits.flatMap(({ agreement }) => active.find(({ id }) => id === agreement.id) ?? []);
  if (now.length < permits.length) return now;
  const verdict = admit(needs, job, now);
  return verdict.kind === 'denied' ? verdict : now;
}

/** Waits for both, whatever becomes of either; rejects with the first failure. */
async function bothOf<First, Second>(first: Promise<First>, second: Promise<Second>): Promise<[First, Second]> {
  await Promise.allSettled([first, second]);
  return [await first, await second];
}

/** How long a ticket can be used, milliseconds. */
export const TICKET_LIFE_MS = 15 * 60_000;

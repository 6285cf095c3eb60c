import { type Denied, denied, reason } from '../policy/reason.ts';
import { type CreditHold, creditHolds } from './charge.ts';
import type { Admission, AgreementForJob } from './admission.ts';
import { decisionEvents } from './events.ts';
import type { Job } from './job.ts';
import type { EarlierAnswer, JobNeeds } from './needs.ts';
import type { Prepared } from './prepare.ts';
import { freeOf } from './repeat.ts';
import { permitsFor, ledgerJob, BLOCKED } from './ledger-job.ts';

export interface Reserved {
  readonly kind: 'reserved';
  readonly holds: readonly CreditHold[];
  /** Resolves when it is on disk; nothing that a worker answers is looked at before. */
  readonly durable: Promise<void>;
}

/** What is reserved for, and the answer that is given once more instead of running it; null: it runs. */
export interface ReservedFor extends Reserved {
  readonly prepared: Prepared;
  readonly earlier: EarlierAnswer | null;
}

/**
 * Step 4: budget, counters and credit are reserved for a question, unless it was answered before: then the same is answered
 * again, and only what each use costs is reserved. Most questions are new, so the ledger looks itself, in the same call.
 */
export async function reserve(
  needs: JobNeeds,
  job: Job,
  agreements: readonly AgreementForJob[],
  admission: Admission,
  { prepared, question }: { readonly prepared: Prepared; readonly question: string | null },
): Promise<ReservedFor | Denied> {
  const { repeats } = needs;
  const hold = (of: Prepared, unlessAnswered: string | null): Promise<Reserved | Denied | { kind: 'answered' }> =>
    holdFor(needs, job, agreements, admission, { prepared: of, unlessAnswered, usedUp: new Set() });
  const first = await hold(prepared, repeats === undefined ? null : question);
  if (first.kind === 'denied') return first;
  if (first.kind === 'reserved') return { ...first, prepared, earlier: null };
  // Its result may be gone since, or withheld from this party: then the question is a new one after all.
  const earlier = question === null ? null : ((await repeats?.find(question, job.asker.party)) ?? null);
  const asked = earlier === null ? prepared : freeOf(prepared, earlier);
  const again = await hold(asked, null);
  if (again.kind === 'answered') throw new Error('the ledger compared a question that it was not given');
  return again.kind === 'denied' ? again : { ...again, prepared: asked, earlier };
}

/** One try. A job for which no free one is left is tried again as a paid one. */
async function holdFor(
  needs: JobNeeds,
  job: Job,
  agreements: readonly AgreementForJob[],
  admission: Admission,
  of: {
    readonly prepared: Prepared;
    readonly unlessAnswered: string | null;
    readonly usedUp: ReadonlySet<string>;
  },
): Promise<Reserved | Denied | { readonly kind: 'answered' }> {
  const { prepared, unlessAnswered, usedUp } = of;
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
        ...(prepared.marginal === undefined ? {} : { marginal: JSON.stringify(prepared.marginal) }),
        ...(prepared.brought === undefined ? {} : { brought: prepared.brought.length }),
        ...(prepared.repeats === undefined ? {} : { repeats: prepared.repeats }),
      },
      permits,
    ),
    lines: [...prepared.budget, ...holds.map(({ line }) => line)],
    startsNow: true,
    events: decisionEvents(needs, job, agreements, admission, prepared),
    ...(unlessAnswered === null ? {} : { unlessAnswered }),
  });
  switch (answer.kind) {
    case 'reserved':
      return { kind: 'reserved', holds, durable: answer.durable ?? Promise.resolve() };
    case 'exhausted': {
      const hold = holds.find(({ line }) => line.budget === answer.budget);
      // No free job is left: this one is paid. At most one try more for each agreement.
      if (hold?.isFree === true)
        return await holdFor(needs, job, agreements, admission, {
          ...of,
          usedUp: new Set([...usedUp, hold.agreement]),
        });
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
            remedy:
              'wait until some of it comes back (`budget show`), where it has a period, or ask the provider for a signed top-up',
          },
        ),
      );
    }
    case 'answered':
      return answer;
    case 'known':
      return denied(
        reason('job-known', `job \`${job.id}\` was submitted before`, { remedy: 'use another idempotency key' }),
      );
    case 'refused':
      return denied(reason(answer.reason.code, BLOCKED[answer.reason.code] ?? 'the job may not start now'));
  }
}

/** `count/dataset/hospital%2Fvisits/…` → `count of hospital/visits`. */
function describeBudget(budget: string): string {
  const [kind = '', , name = ''] = budget.split('/').map(decodeURIComponent);
  return `${kind} of ${name}`;
}

import type { EvidenceEvent, Facts, Subject } from '../evidence/entry.ts';
import { UNKNOWN_DESTINATION } from '../policy/export-list.ts';
import type { Grade } from '../policy/model.ts';
import type { Reason } from '../policy/reason.ts';
import type { Admission, AgreementForJob } from './admit.ts';
import type { Disclosed } from './disclose.ts';
import type { Job } from './job.ts';
import type { JobNeeds } from './needs.ts';
import type { Prepared } from './prepare.ts';

type Needs = Pick<JobNeeds, 'nowMs' | 'pseudonymOf' | 'sha256' | 'isolation'>;

/** What is recorded with a permit, before a worker starts: the request, the decision, the reservation. */
export function decisionEvents(
  needs: Needs,
  job: Job,
  agreements: readonly AgreementForJob[],
  admission: Admission,
  prepared: Prepared,
): readonly EvidenceEvent[] {
  const subjects = subjectsOf(needs, job, agreements, prepared);
  return [
    event(needs, 'job.requested', [jobSubject(needs, job)], requestFacts(needs, job)),
    event(needs, 'decision', subjects, {
      verdict: 'permit',
      mode: admission.mode,
      rules: admission.permits.map(
        ({ permit }) => `${permit.policy.dataset}@${permit.policy.version}#${permit.rule.id}`,
      ),
      isolation: needs.isolation,
      image: prepared.image,
      ...repeated(prepared),
    }),
    event(needs, 'budget.reserved', [jobSubject(needs, job)], {
      lines: prepared.budget.length,
      microEpsilon: prepared.microEpsilon,
    }),
  ];
}

/** What is recorded with a denial; the codes say why, and nothing else does. */
export function denialEvent(
  needs: Needs,
  job: Job,
  agreements: readonly AgreementForJob[],
  reasons: readonly Reason[],
): EvidenceEvent {
  return event(needs, 'decision', subjectsOf(needs, job, agreements, null), {
    ...requestFacts(needs, job),
    verdict: 'deny',
    reasons: reasons.map(({ code }) => code),
  });
}

export function releaseEvents(
  needs: Needs,
  job: Job,
  prepared: Prepared,
  result: Disclosed,
  grade: Grade,
): readonly EvidenceEvent[] {
  const jobIs = jobSubject(needs, job);
  return [
    event(needs, 'budget.committed', [jobIs], { lines: prepared.budget.length, microEpsilon: prepared.microEpsilon }),
    event(needs, 'release', [jobIs, { name: `result/${job.id}`, sha256: result.sha256 }], {
      mode: prepared.terms.mode,
      rows: result.rows,
      bytes: result.bytes,
      columns: result.schema.length,
      minUnits: prepared.terms.minUnits ?? 0,
      microEpsilon: prepared.microEpsilon,
      isolation: needs.isolation,
      image: prepared.image,
      grade,
      destination: job.asker.country ?? UNKNOWN_DESTINATION,
      ...repeated(prepared),
    }),
  ];
}

/** The job whose answer is given again, in receipts of the one that gets it. */
function repeated({ repeats }: Prepared): Facts {
  return repeats === undefined ? {} : { repeats };
}

export function failureEvent(
  needs: Needs,
  job: Job,
  kind: 'failed' | 'stopped' | 'cancelled',
  reasons: readonly Reason[],
): EvidenceEvent {
  const name = kind === 'failed' ? 'job.failed' : 'job.cancelled';
  return event(needs, name, [jobSubject(needs, job)], { ending: kind, reasons: reasons.map(({ code }) => code) });
}

function event(needs: Needs, kind: EvidenceEvent['kind'], subjects: readonly Subject[], facts: Facts): EvidenceEvent {
  return { kind, atMs: needs.nowMs(), subjects, facts };
}

/** The computation's own digest stands for it: the text itself never enters the log. */
function jobSubject(needs: Needs, job: Job): Subject {
  return { name: `job/${job.id}`, sha256: needs.sha256(JSON.stringify(job.computation)) };
}

function subjectsOf(
  needs: Needs,
  job: Job,
  agreements: readonly AgreementForJob[],
  prepared: Prepared | null,
): readonly Subject[] {
  return [
    jobSubject(needs, job),
    ...agreements.flatMap(({ id, digest, policy, policyDigest }) => [
      { name: `agreement/${id}`, sha256: digest },
      { name: `policy/${policy.dataset}@${policy.version}`, sha256: policyDigest },
    ]),
    ...(prepared === null
      ? []
      : [
          { name: `computation/${job.id}`, sha256: prepared.digest },
          ...prepared.datasets.map(({ name, version, digest }) => ({
            name: `dataset/${name}@${version}`,
            sha256: digest,
          })),
        ]),
  ];
}

function requestFacts(needs: Needs, job: Job): Facts {
  return {
    party: needs.pseudonymOf(job.asker.party),
    computation: job.computation.kind,
    purpose: job.purpose === null ? 'none' : needs.pseudonymOf(job.purpose),
    signed: job.signature !== null,
    ...(job.signature === null ? {} : { signature: needs.sha256(job.signature) }),
  };
}

import type { EvidenceEvent, Facts, Subject } from '../evidence/entry.ts';
import { canonicalBytes } from '../evidence/canonical-json.ts';
import { partsOf } from '../metering/statement.ts';
import type { UsageEvent } from '../metering/usage.ts';
import { UNKNOWN_DESTINATION } from '../policy/export-list.ts';
import type { Grade } from '../policy/model.ts';
import type { Reason } from '../policy/reason.ts';
import type { Admission, AgreementForJob } from './admission.ts';
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
  more: { readonly grade: Grade; readonly usage: UsageEvent; readonly salt: Uint8Array },
): readonly EvidenceEvent[] {
  const jobIs = jobSubject(needs, job);
  const { grade, usage, salt } = more;
  return [
    // The digest of the usage event: meter and log can be held against each other, by anybody who has both.
    event(needs, 'budget.committed', [jobIs, usageSubject(needs, usage)], {
      lines: prepared.budget.length,
      microEpsilon: prepared.microEpsilon,
      charges: chargesOf(usage),
    }),
    event(needs, 'release', [jobIs, { name: `result/${job.id}`, sha256: saltedDigest(needs, salt, result.sha256) }], {
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

/** What the log names instead of a result's own digest, which whoever guesses a small result could try. */
const saltedDigest = (needs: Pick<Needs, 'sha256'>, salt: Uint8Array, digest: string): string =>
  needs.sha256(Buffer.concat([salt, Buffer.from(digest)]));

/** The job whose answer is given again, in receipts of the one that gets it. */
function repeated({ repeats }: Prepared): Facts {
  return repeats === undefined ? {} : { repeats };
}

/** A usage event in the log: the digest of its canonical form, under the job's name. */
export function usageSubject(needs: Pick<Needs, 'sha256'>, usage: UsageEvent): Subject {
  return { name: `usage/${usage.id}`, sha256: needs.sha256(canonicalBytes(usage)) };
}

/** What a job was charged, e.g. `80:CNY`, one text for each agreement that asked for something; minor units. */
export function chargesOf(usage: UsageEvent): readonly string[] {
  return partsOf(usage)
    .filter(({ chargeMinor }) => chargeMinor > 0)
    .map(({ chargeMinor, currency }) => `${chargeMinor}:${currency}`);
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
    ...(job.actor === null ? [] : [{ name: `mandate/${job.actor.mandate}`, sha256: job.actor.mandateDigest }]),
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
          ...(prepared.brought ?? []).map((digest) => ({
            name: `consumer-table/${digest.slice(0, 16)}`,
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
    ...(job.actor === null ? {} : { actor: needs.pseudonymOf(job.actor.party) }),
    ...(job.signature === null ? {} : { signature: needs.sha256(job.signature) }),
  };
}

/** A result was fetched with the ticket of this digest. */
export function fetchedEvent(digest: string, atMs: number): EvidenceEvent {
  return { kind: 'release.fetched', atMs, subjects: [{ name: 'ticket', sha256: digest }], facts: {} };
}

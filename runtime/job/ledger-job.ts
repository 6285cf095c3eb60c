import type { Admission, AdmittedPermit, AgreementForJob } from './admission.ts';
import { MAX_QUERY_BYTES } from '../query/text.ts';
import type { Job } from './job.ts';
import type { LedgerJob } from './needs.ts';
import type { Prepared } from './prepare.ts';

/** What the ledger keeps of a job, and looks at again when its result would leave. */
export function ledgerJob(
  job: Job,
  agreements: readonly AgreementForJob[],
  more: Readonly<Record<string, string | number | null>>,
  permits: readonly AdmittedPermit[] = [],
): LedgerJob {
  // The policy's own end counts like the agreement's: the ledger looks at it again when the result would leave.
  const ends = [
    ...agreements.map(({ notAfterMs }) => notAfterMs),
    ...permits.flatMap(({ permit }) => [permit.policy.defaults.notAfter, permit.rule.when.notAfter]),
    ...permits.flatMap(({ agreement: { agreedAtMs = null }, permit: { policy, rule } }) =>
      // The last millisecond of the time is still in it.
      [policy.defaults.elapsedMs, rule.when.elapsedMs].map((ms) => (ms === null ? null : (agreedAtMs ?? 0) + ms + 1)),
    ),
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
      ...(job.askedDigest === null ? {} : { asked: job.askedDigest }),
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

/** The permits of the datasets that were really touched. */
export function permitsFor(admission: Admission, prepared: Prepared): readonly AdmittedPermit[] {
  const touched = admission.permits.filter(({ agreement }) =>
    prepared.datasets.some(({ name }) => name === agreement.dataset),
  );
  return touched.length === 0 ? admission.permits : touched;
}

/** What the ledger's refusals mean to a consumer. */
export const BLOCKED: Readonly<Record<string, string>> = {
  stopped: 'an operator or a provider has stopped this use',
  'party-not-admitted': 'the party is not admitted',
  'agreement-not-active': 'the agreement is no longer active',
  'agreement-ended': 'the agreement has ended',
};

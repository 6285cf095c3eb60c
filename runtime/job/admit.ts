import { decide, type Request } from '../policy/decide.ts';
import { meetPermits } from '../policy/meet.ts';
import type { Mode } from '../policy/model.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import type { Admission, AdmittedPermit, AgreementForJob } from './admission.ts';
import type { Job } from './job.ts';
import type { JobNeeds } from './needs.ts';

/** Modes in which each kind of computation can be released, the one that is taken when the job names no rule first. */
const MODES_OF = {
  sql: ['aggregate', 'differentialPrivacy'],
  javascript: ['sandbox', 'approvedCode'],
  homomorphic: ['homomorphic'],
} as const satisfies Record<Job['computation']['kind'], readonly Mode[]>;

/**
 * The agreements a job runs under: those it names, or the only one that its asker has. A program that names its dataset
 * has named the agreement, too, when there is one for it.
 */
export function agreementsOf(
  needs: Pick<JobNeeds, 'activeAgreements' | 'nowMs'>,
  job: Pick<Job, 'asker' | 'agreementIds'> & Partial<Pick<Job, 'actor' | 'computation'>>,
): readonly AgreementForJob[] | Denied {
  const now = needs.nowMs();
  const mandated = job.actor?.agreements ?? [];
  const active = needs
    .activeAgreements(job.asker.party)
    .filter(({ id }) => mandated.length === 0 || mandated.includes(id))
    .filter(({ notBeforeMs, notAfterMs }) => now >= notBeforeMs && (notAfterMs === null || now < notAfterMs));
  const [first, ...others] = active;
  if (job.agreementIds.length === 0) {
    if (first === undefined) return noAgreement('no agreement of yours is active');
    if (others.length === 0) return [first];
    const dataset = datasetNamedBy(job.computation);
    const [meant, ...more] = dataset === '' ? [] : active.filter((one) => one.dataset === dataset);
    if (meant !== undefined && more.length === 0) return [meant];
    return denied(
      reason('agreement-ambiguous', 'several of your agreements are active', {
        remedy: `name those to use: ${active.map(({ id, dataset }) => `${id} (${dataset})`).join(', ')}`,
      }),
    );
  }
  const named: AgreementForJob[] = [];
  for (const id of new Set(job.agreementIds)) {
    const agreement = active.find((one) => one.id === id);
    // The same answer whether it does not exist, is somebody else's, or is not active: names of others tell nothing.
    if (agreement === undefined) return noAgreement(`no active agreement \`${id}\` of yours`);
    named.push(agreement);
  }
  const datasets = new Set(named.map(({ dataset }) => dataset));
  if (datasets.size < named.length) {
    return denied(
      reason('agreement-ambiguous', 'two of the agreements are for one dataset', {
        remedy: 'name one agreement per dataset',
      }),
    );
  }
  return named;
}

/** The dataset that a homomorphic program is for; empty when it names none, or the computation is of another kind. */
function datasetNamedBy(computation: Job['computation'] | undefined): string {
  if (computation?.kind !== 'homomorphic') return '';
  const { dataset } = computation.program as { readonly dataset?: unknown };
  return typeof dataset === 'string' ? dataset : '';
}

function noAgreement(message: string): Denied {
  return denied(
    reason('agreement-not-active', message, { remedy: 'accept an offer first: agreement list, agreement accept' }),
  );
}

/** Decides a job under every policy concerned; the strictest terms win. Pure but for the clock. */
export function admit(
  needs: Pick<JobNeeds, 'nowMs' | 'isolation' | 'knowledge'>,
  job: Job,
  agreements: readonly AgreementForJob[],
): Admission | Denied {
  const facts = factsOf(job);
  let refusal: Denied | null = null;
  for (const mode of modesFor(job)) {
    const request: Omit<Request, 'agreedAtMs'> = {
      consumer: job.asker.party,
      groups: job.asker.groups,
      mode,
      rule: job.rule,
      purpose: job.purpose,
      now: needs.nowMs(),
      isolation: needs.isolation,
      recipientCountry: job.asker.country,
      ...facts,
    };
    const answer = admitIn(needs, mode, request, agreements);
    if (answer.kind === 'admitted') return answer;
    refusal = refusal === null ? answer : moreHelpful(refusal, answer);
  }
  return refusal ?? denied(reason('mode-not-allowed', 'no mode releases this kind of computation'));
}

/** Code that carries a digest asks to run as approved; any other code runs under noise. */
function modesFor({ computation }: Job): readonly Mode[] {
  if (computation.kind !== 'javascript') return MODES_OF[computation.kind];
  const { codeDigest } = computation.program as { codeDigest?: string | null };
  return codeDigest === null || codeDigest === undefined ? ['sandbox'] : ['approvedCode'];
}

/** Reasons of the mode that some rule speaks of help most; then which rules there are; last that there are none of a mode. */
function moreHelpful(first: Denied, second: Denied): Denied {
  const [one, other] = [first, second].map(({ reasons }) =>
    reasons.some(({ code }) => !ABOUT_MODE.has(code)) ? 2 : reasons.some(({ code }) => code === 'rule-unknown') ? 1 : 0,
  );
  if (one === 1 && other === 1) return denied(...first.reasons, ...second.reasons);
  return (one ?? 0) > (other ?? 0) || one === 2 ? first : second;
}
const ABOUT_MODE: ReadonlySet<string> = new Set(['mode-not-allowed', 'rule-unknown']);

function admitIn(
  needs: Pick<JobNeeds, 'knowledge'>,
  mode: Mode,
  request: Omit<Request, 'agreedAtMs'>,
  agreements: readonly AgreementForJob[],
): Admission | Denied {
  const permits: AdmittedPermit[] = [];
  for (const agreement of agreements) {
    const { purposes, blockedBy } = agreement;
    if (blockedBy.length > 0) return denied(...blockedBy);
    const { purpose } = request;
    if (
      purposes.length > 0 &&
      (purpose === null || !purposes.some((one) => needs.knowledge.purposeIncludes(one, purpose)))
    ) {
      return denied(
        reason('purpose-not-allowed', `agreement \`${agreement.id}\` is for other purposes`, {
          remedy: `name one of: ${purposes.join(', ')}`,
        }),
      );
    }
    const asked: Request = { ...request, agreedAtMs: agreement.agreedAtMs ?? null };
    const permit = decide(agreement.policy, asked, needs.knowledge);
    if (permit.kind === 'denied') return permit;
    permits.push({ agreement, permit });
  }
  const met = meetPermits(permits.map(({ permit }) => permit));
  if (met.kind === 'denied') return met;
  return { kind: 'admitted', permits, mode, release: met.release, clause: met.clause };
}

/** What the policy may ask about the code; only JavaScript programs have any. */
function factsOf(job: Job): Pick<Request, 'image' | 'codeDigest' | 'approvers'> {
  const none = { image: null, codeDigest: null, approvers: [] };
  if (job.computation.kind !== 'javascript') return { ...none, image: job.computation.kind };
  const { image, codeDigest, approvers } = job.computation.program as {
    image?: string;
    codeDigest?: string;
    approvers?: readonly string[];
  };
  return { image: image ?? 'javascript', codeDigest: codeDigest ?? null, approvers: approvers ?? [] };
}

import {
  agreedAtOf,
  type AgreementBody,
  type DatasetBody,
  type PartyBody,
  type PolicyBody,
  policyOf,
} from '../records.ts';
import type {
  DiffPolicyRequest,
  DiffPolicyResponse,
  ExplainPolicyRequest,
  ExplainPolicyResponse,
  JobDifference,
  PolicyComplaint,
  PolicyRef,
} from '../../gen/messages.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import type { Knowledge, Request } from '../../policy/decide.ts';
import { termDifferences } from '../../policy/diff.ts';
import { explainPolicy } from '../../policy/explain.ts';
import type { Mode, UsagePolicy } from '../../policy/model.ts';
import { type RecordedUse, replay } from '../../policy/replay.ts';
import { policyOfCaller } from './policy-reader.ts';
import { Fault } from '../../rpc/fault.ts';
import type { JobRecord } from '../../store/jobs.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { GatewayNeeds } from '../needs.ts';

export interface CompareNeeds extends GatewayNeeds {
  readonly knowledge: Knowledge;
  /** The version that the caller may see; throws the fault that says that there is none. */
  readonly visible: (caller: Caller, dataset: string, version: number) => StoredRecord<PolicyBody>;
}

/** Most jobs on record that are decided again for one comparison, the newest first. */
export const MAX_REPLAYED = 10_000;
/** Most changed verdicts that are listed. */
export const MAX_LISTED = 1000;

/** What a policy lets a party ask: the caller itself when it is a consumer, or the one that it names. */
export function explainFor(needs: CompareNeeds, caller: Caller, request: ExplainPolicyRequest): ExplainPolicyResponse {
  const { body } = needs.visible(caller, request.dataset, request.version);
  const mine = body.provider === caller.party || hasRole(caller, 'operator', 'auditor');
  const isConsumer = hasRole(caller, 'consumer') && !mine;
  if (isConsumer && request.consumer !== '' && request.consumer !== caller.party)
    throw new Fault('role-missing', 'only the provider of a policy, operators and auditors see it as others meet it');
  const party = request.consumer === '' ? (isConsumer ? caller.party : null) : request.consumer;
  const groups = party === null ? [] : (needs.store.peek<PartyBody>('party', party)?.body.groups ?? []);
  return explainPolicy(policyOf(body), party === null ? null : { party, groups });
}

/** Compares two policies, and with jobs decides those on record under both. */
export async function diffPolicies(
  needs: CompareNeeds,
  caller: Caller,
  request: DiffPolicyRequest,
): Promise<DiffPolicyResponse> {
  const nothing: DiffPolicyResponse = { terms: [], jobs: [], replayed: 0, notReplayed: 0, complaints: [] };
  const [before, after] = [
    await policyFrom(needs, caller, request.before),
    await policyFrom(needs, caller, request.after),
  ];
  const complaints = [before, after].flatMap((one) => ('complaints' in one ? one.complaints : []));
  if ('complaints' in before || 'complaints' in after) return { ...nothing, complaints };
  const terms = termDifferences(before.policy, after.policy);
  if (!request.withJobs) return { ...nothing, terms };
  const { dataset } = before.policy;
  const owner = needs.store.peek<DatasetBody>('dataset', dataset)?.owner;
  // The jobs of others are not everybody's business.
  if (owner !== caller.party && !hasRole(caller, 'operator', 'auditor'))
    throw new Fault('role-missing', `only the provider of \`${dataset}\`, operators and auditors replay its jobs`);
  if (after.policy.dataset !== dataset)
    throw new Fault('argument-not-valid', 'jobs are replayed under two policies of one dataset');
  return { ...nothing, terms, ...(await replayed(needs, before.policy, after.policy)) };
}

async function replayed(
  needs: CompareNeeds,
  before: UsagePolicy,
  after: UsagePolicy,
): Promise<Pick<DiffPolicyResponse, 'jobs' | 'replayed' | 'notReplayed'>> {
  const records = (await needs.store.jobs({}))
    .filter(({ body }) => datasetsOf(body.details).includes(before.dataset))
    .slice(0, MAX_REPLAYED);
  const jobs: JobDifference[] = [];
  let [decided, undecided] = [0, 0];
  for (const record of records) {
    const known = askedOf(needs, record);
    if (known === null) {
      undecided++;
      continue;
    }
    decided++;
    const [old, now] = [before, after].map((policy) =>
      replay(policy, known.request, known.footprint, needs.knowledge, known.hasBrought),
    );
    if (old === undefined || now === undefined || old.kind === now.kind || jobs.length >= MAX_LISTED) continue;
    jobs.push({
      jobId: record.id,
      consumer: record.owner,
      wasPermitted: old.kind === 'permitted',
      isPermitted: now.kind === 'permitted',
      reasons: old.kind === 'denied' ? old.reasons : now.kind === 'denied' ? now.reasons : [],
    });
  }
  return { jobs, replayed: decided, notReplayed: undecided };
}

type Details = Readonly<Record<string, unknown>>;
const datasetsOf = (details: unknown): readonly string[] =>
  ((details as Details)['datasets'] as readonly string[] | undefined) ?? [];

/** What was asked; null when too little is on record: code, ciphertext, what was denied, what ran before footprints were kept. */
function askedOf(
  needs: CompareNeeds,
  { owner, atMs, body }: JobRecord,
): {
  readonly request: Request;
  readonly footprint: readonly RecordedUse[];
  readonly hasBrought: boolean;
} | null {
  const details = body.details as Details;
  const { footprint, kind, mode, rule, purpose } = details;
  if (kind !== 'sql' || typeof footprint !== 'string' || typeof mode !== 'string') return null;
  return {
    footprint: JSON.parse(footprint) as readonly RecordedUse[],
    hasBrought: details['brought'] !== undefined,
    request: {
      consumer: owner,
      groups: needs.store.peek<PartyBody>('party', owner)?.body.groups ?? [],
      mode: mode as Mode,
      rule: typeof rule === 'string' ? rule : null,
      purpose: typeof purpose === 'string' ? purpose : null,
      now: atMs,
      agreedAtMs: agreedAtOf(
        body.agreements.flatMap((id) => needs.store.peek<AgreementBody>('agreement', id)?.body ?? []),
      ),
      isolation: needs.isolation,
      recipientCountry: needs.store.peek<PartyBody>('party', owner)?.body.jurisdiction ?? null,
      image: 'sql',
      codeDigest: null,
      approvers: [],
    },
  };
}

async function policyFrom(
  needs: CompareNeeds,
  caller: Caller,
  ref: PolicyRef | null,
): Promise<{ readonly policy: UsagePolicy } | { readonly complaints: readonly PolicyComplaint[] }> {
  if (ref === null || (ref.document === '' && ref.dataset === ''))
    throw new Fault('argument-not-valid', 'name two policies: documents, or datasets with a version');
  if (ref.document === '') return { policy: policyOf(needs.visible(caller, ref.dataset, ref.version).body) };
  const parsed = await policyOfCaller(ref.document, ref.fileName === '' ? 'policy.yaml' : ref.fileName);
  if (parsed.kind === 'policy') return { policy: parsed.policy };
  return {
    complaints: parsed.complaints.map(({ file, line, column, path, message }) => ({
      line,
      column,
      path,
      message: `${file}: ${message}`,
      isError: true,
    })),
  };
}

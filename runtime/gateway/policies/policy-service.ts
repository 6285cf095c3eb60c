import type { Policy as PolicyMessage, PolicyComplaint } from '../../gen/messages.ts';
import type { PolicyServiceHandlers } from '../../gen/services.ts';
import { canonicalJson, type Json } from '../../evidence/canonical-json.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import type { Knowledge } from '../../policy/decide.ts';
import { gradeProblems } from '../../policy/grade-pack.ts';
import type { UsagePolicy } from '../../policy/model.ts';
import { policyInWords } from '../../policy/in-words.ts';
import { policyToOdrl } from '../../policy/odrl/compile.ts';
import { policyToDsp } from '../../policy/odrl/dsp.ts';
import { policyOfCaller } from './policy-reader.ts';
import { runPolicyCases } from '../../policy-file/cases.ts';
import { type Complaint, complaintText, parsePolicy } from '../../policy-file/parse-policy.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { checkDocument, requireRole } from '../access.ts';
import { isOpenTo } from '../agreement-record.ts';
import { type CompareNeeds, diffPolicies, explainFor } from './compare-policies.ts';
import { isWebhook } from './duties.ts';
import { datasetGradeOf, GRADE_NOT_MET } from './dataset-grade.ts';
import { fitProblems } from './fit-policy.ts';
import { findStoredTable } from '../../dataset/catalogue.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';
import { type AgreementBody, type DatasetBody, type PolicyBody, policyOf } from '../records.ts';

export interface PolicyNeeds extends GatewayNeeds {
  /** Purposes and conditions, as jobs are decided by. */
  readonly knowledge: Knowledge;
  /** Origins that the operator lets notices be sent to. */
  readonly allowedWebhooks: readonly string[];
  readonly manifestOf: (dataset: string, version: number) => Promise<DatasetManifest>;
  /** Makes the layout that the policy asks for; what the provider got wrong in it comes back as complaints. */
  readonly prepareLayout: (manifest: DatasetManifest, policy: UsagePolicy) => Promise<readonly string[]>;
}

/**
 * Reads the document of a counter-offer: it must be for the same dataset and fit it, as an attached one. It keeps the
 * version that it answers; its digest is its own. What a consumer asks for is held against what its offer shows of the
 * dataset, and nothing of it touches rows: the layout is made when it is used, which is when both have agreed.
 */
export async function counterPolicy(
  needs: Pick<PolicyNeeds, 'store' | 'manifestOf' | 'prepareLayout' | 'sha256'>,
  {
    document,
    base,
    isProvider,
  }: { readonly document: string; readonly base: PolicyBody; readonly isProvider: boolean },
): Promise<
  | { readonly kind: 'policy'; readonly body: PolicyBody }
  | { readonly kind: 'complaints'; readonly complaints: readonly string[] }
> {
  const parsed = await policyOfCaller(document, 'counter-offer.yaml');
  if (parsed.kind === 'complaints')
    return { kind: 'complaints', complaints: parsed.complaints.map((one) => complaintText(one)) };
  const policy: UsagePolicy = { ...parsed.policy, version: base.version };
  if (policy.dataset !== base.dataset)
    return {
      kind: 'complaints',
      complaints: [`the policy is for dataset \`${policy.dataset}\`, not \`${base.dataset}\``],
    };
  const record = needs.store.peek<DatasetBody>('dataset', policy.dataset);
  if (record === undefined) return { kind: 'complaints', complaints: [`dataset \`${policy.dataset}\` is gone`] };
  const whole = await needs.manifestOf(policy.dataset, record.body.version);
  const manifest = isProvider ? whole : shownBy(policyOf(base), whole);
  const unmet = gradeProblems(policy, datasetGradeOf(record.body));
  const problems = [
    ...[...fitProblems(policy, manifest), ...(isProvider ? unmet : [])].map(
      ({ path, message }) => `${path.join('.')}: ${message}`,
    ),
    ...(isProvider || unmet.length === 0 ? [] : [GRADE_NOT_MET(policy.dataset).message]),
  ];
  const complaints = problems.length > 0 || !isProvider ? problems : await needs.prepareLayout(manifest, policy);
  if (complaints.length > 0) return { kind: 'complaints', complaints };
  const digest = needs.sha256(canonicalJson(policy as unknown as Json));
  return {
    kind: 'policy',
    body: { ...base, digest, document, fileName: 'counter-offer.yaml', policy: JSON.stringify(policy) },
  };
}

/** The tables and columns that a policy names: what its consumer knows of a dataset. */
function shownBy(policy: UsagePolicy, manifest: DatasetManifest): DatasetManifest {
  const tables = manifest.tables.flatMap((table) => {
    const ruled = policy.tables.find((one) => findStoredTable(manifest, one)?.name === table.name);
    if (ruled === undefined) return [];
    const named = new Set([
      ...ruled.columns.map(({ name }) => name),
      ...ruled.privacyUnits.flatMap(({ columns, via }) => [...columns, ...via.slice(0, 1).map(({ from }) => from)]),
    ]);
    return [{ ...table, columns: table.columns.filter(({ name }) => named.has(name)) }];
  });
  return { ...manifest, tables };
}

/** What providers allow: documents are checked, versioned and immutable. */
export function policyService(needs: PolicyNeeds): Partial<PolicyServiceHandlers> {
  const checked = async (
    caller: Caller,
    document: string,
    fileName: string,
    dataset: string,
  ): Promise<{
    readonly complaints: readonly PolicyComplaint[];
    readonly policy: UsagePolicy | null;
    readonly named: number | null;
    readonly manifest: DatasetManifest | null;
  }> => {
    const file = fileName === '' ? 'policy.yaml' : fileName;
    const parsed = await policyOfCaller(document, file);
    if (parsed.kind === 'complaints')
      return { complaints: parsed.complaints.map(complaintOf), policy: null, named: null, manifest: null };
    const { policy } = parsed;
    if (dataset !== '' && dataset !== policy.dataset) {
      return {
        complaints: [overall(`the policy is for dataset \`${policy.dataset}\`, not \`${dataset}\``)],
        policy: null,
        named: null,
        manifest: null,
      };
    }
    const { named } = parsed;
    const record = needs.store.peek<DatasetBody>('dataset', policy.dataset);
    // What does not fit tells the dataset's schema: others are told only of the document itself.
    const isInsider = record !== undefined && (record.owner === caller.party || hasRole(caller, 'operator', 'auditor'));
    if (!isInsider) return { complaints: [], policy, named, manifest: null };
    const manifest = await needs.manifestOf(policy.dataset, record.body.version);
    const problems = [...fitProblems(policy, manifest), ...gradeProblems(policy, datasetGradeOf(record.body))];
    return {
      complaints: (await parsed.complaintsAt(problems)).map(complaintOf),
      policy,
      named,
      manifest,
    };
  };

  const visible = (caller: Caller, dataset: string, version: number): StoredRecord<PolicyBody> => {
    const found = versionsOf(needs, dataset).find(({ body }) => version === 0 || body.version === version);
    if (found === undefined || !maySee(needs, caller, found))
      throw new Fault('not-found', `no policy of dataset \`${dataset}\` that you may see`);
    return found;
  };
  const comparing: CompareNeeds = { ...needs, visible };

  return {
    check: async (caller, request) => {
      checkDocument(caller, request.document);
      const { complaints, policy } = await checked(caller, request.document, request.fileName, request.dataset);
      return {
        isValid: complaints.length === 0,
        complaints,
        inWords: policy === null || complaints.length > 0 ? [] : policyInWords(policy),
      };
    },
    attach: async (caller, request) => {
      requireRole(caller, 'attach policies', 'provider');
      const { complaints, policy, named, manifest } = await checked(
        caller,
        request.document,
        request.fileName,
        request.dataset,
      );
      if (policy === null || complaints.length > 0) return { policy: null, complaints, reasons: [] };
      const dataset = needs.store.peek<DatasetBody>('dataset', policy.dataset);
      if (dataset === undefined || manifest === null || dataset.owner !== caller.party) {
        throw new Fault(
          'not-found',
          `cannot attach a policy to \`${policy.dataset}\`: you have no such dataset; register it first`,
        );
      }
      const versions = versionsOf(needs, policy.dataset);
      const newest = versions[0];
      const version = named ?? (newest?.body.version ?? 0) + 1;
      const attached = { ...policy, version };
      const digest = needs.sha256(canonicalJson(attached as unknown as Json));
      if (newest !== undefined && newest.body.version === version && newest.body.digest === digest)
        return { policy: messageOf(newest), complaints: [], reasons: [] };
      if (newest !== undefined && version <= newest.body.version) {
        return {
          policy: null,
          complaints: [
            overall(
              `version ${version} is not after version ${newest.body.version}, which is attached: raise \`metadata.version\`, or leave it out`,
            ),
          ],
          reasons: [],
        };
      }
      const webhookProblems = attached.duties.flatMap(({ to }) => webhookProblem(to, needs.allowedWebhooks));
      if (webhookProblems.length > 0) return { policy: null, complaints: webhookProblems.map(overall), reasons: [] };
      const layoutProblems = await needs.prepareLayout(manifest, attached);
      if (layoutProblems.length > 0) return { policy: null, complaints: layoutProblems.map(overall), reasons: [] };
      const record: StoredRecord<PolicyBody> = {
        table: 'policy',
        id: `${policy.dataset}@${version}`,
        owner: policy.dataset,
        state: 'attached',
        atMs: needs.nowMs(),
        body: {
          dataset: policy.dataset,
          version,
          digest,
          document: request.document,
          fileName: request.fileName,
          provider: caller.party,
          policy: JSON.stringify(attached),
        },
      };
      const outcome = await needs.store.transact([
        { do: 'expect', table: 'policy', id: record.id, state: null },
        { do: 'put', record },
        {
          do: 'record',
          event: evidence(needs, 'policy.attached', [{ name: `policy/${record.id}`, sha256: digest }], {
            provider: needs.pseudonymOf(caller.party),
            rules: attached.allow.map(({ id }) => id),
          }),
        },
      ]);
      if (outcome.kind === 'refused')
        throw new Fault('conflict', `policy version ${version} of \`${policy.dataset}\` was attached meanwhile`);
      return { policy: messageOf(record), complaints: [], reasons: [] };
    },
    explain: (caller, request) => Promise.resolve(explainFor(comparing, caller, request)),
    diff: (caller, request) => diffPolicies(comparing, caller, request),
    get: (caller, request) => {
      const found = visible(caller, request.dataset, request.version);
      if (!['', 'yaml', 'odrl', 'dsp'].includes(request.format))
        throw new Fault('argument-not-valid', `\`${request.format}\` is not a form: yaml, odrl or dsp`);
      const exported = { odrl: policyToOdrl, dsp: policyToDsp }[request.format];
      const odrl =
        exported === undefined ? '' : JSON.stringify(exported(policyOf(found.body), found.body.provider), null, 2);
      return Promise.resolve({ policy: messageOf(found), odrl });
    },
    test: async (caller, request) => {
      checkDocument(caller, request.cases);
      const answer = runPolicyCases(request.cases, request.fileName === '' ? 'cases.yaml' : request.fileName, {
        nowMs: needs.nowMs(),
        policyOf: (ref) => {
          if (typeof ref !== 'string') {
            const parsed = parsePolicy(JSON.stringify(ref), 'policy');
            return parsed.kind === 'policy'
              ? parsed.policy
              : (parsed.complaints.map(complaintText)[0] ?? 'not a policy');
          }
          const [dataset = '', version = '0'] = ref.split('@');
          const found = versionsOf(needs, dataset).find(
            ({ body }) => version === '0' || String(body.version) === version,
          );
          return found === undefined || !maySee(needs, caller, found)
            ? `no policy of dataset \`${dataset}\` that you may see`
            : policyOf(found.body);
        },
      });
      return Promise.resolve(
        answer.kind === 'ran'
          ? { results: answer.results, complaints: [] }
          : { results: [], complaints: answer.complaints.map(complaintOf) },
      );
    },
  };
}

/** A notice that can never be delivered would block every use: better told when the policy is attached. */
function webhookProblem(to: string | null, allowed: readonly string[]): readonly string[] {
  if (to === null || !isWebhook(to)) return [];
  const origin = URL.canParse(to) ? new URL(to).origin : to;
  return allowed.includes(origin)
    ? []
    : [`the operator has not allowed notices to \`${origin}\`: start the runtime with --webhook ${origin}`];
}

/** Newest first. */
export function versionsOf(needs: Pick<GatewayNeeds, 'store'>, dataset: string): readonly StoredRecord<PolicyBody>[] {
  return needs.store
    .peekAll<PolicyBody>('policy')
    .filter(({ state, body }) => state === 'attached' && body.dataset === dataset)
    .toSorted((a, b) => b.body.version - a.body.version);
}

/** The owner, those with an offer or agreement on exactly this version, operators and auditors. */
function maySee(needs: GatewayNeeds, caller: Caller, policy: StoredRecord<PolicyBody>): boolean {
  if (policy.body.provider === caller.party || hasRole(caller, 'operator', 'auditor')) return true;
  return needs.store
    .peekAll<AgreementBody>('agreement')
    .some((record) => record.body.policyDigest === policy.body.digest && isOpenTo(caller.party, record, needs.nowMs()));
}

const overall = (message: string): PolicyComplaint => ({ line: 1, column: 1, path: '', message, isError: true });
const complaintOf = ({ line, column, path, message }: Complaint): PolicyComplaint => ({
  line,
  column,
  path,
  message,
  isError: true,
});

function messageOf({ body, atMs }: StoredRecord<PolicyBody>): PolicyMessage {
  const policy = policyOf(body);
  return {
    dataset: body.dataset,
    version: body.version,
    digest: `sha256:${body.digest}`,
    document: body.document,
    canonical: body.policy,
    provider: body.provider,
    attachedAtMs: atMs,
    inWords: policyInWords(policy),
  };
}

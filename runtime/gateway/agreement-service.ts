import type { Agreement as AgreementMessage, JwsSignature } from '../gen/messages.ts';
import type { AgreementServiceHandlers } from '../gen/services.ts';
import { canonicalJson } from '../evidence/canonical-json.ts';
import type { EvidenceKind } from '../evidence/entry.ts';
import type { AgreementForJob } from '../job/admit.ts';
import { type Caller, hasRole } from '../identity/party.ts';
import { verifyJws } from '../identity/jws.ts';
import { reason } from '../policy/reason.ts';
import { Fault } from '../rpc/fault.ts';
import type { StoredRecord } from '../store/records.ts';
import { pageOf, requireRole } from './access.ts';
import { evidence, type GatewayNeeds, newId } from './needs.ts';
import { type AgreementBody, type AgreementState, type PartyBody, type PolicyBody, policyOf } from './records.ts';

type Stored = StoredRecord<AgreementBody>;

/**
 * Contracts: the provider lays out an offer and signs it, the consumer signs and it is active. What is signed is
 * canonical JSON that never changes and pins the policy's digest; a change of terms is another agreement.
 */
export function agreementService(needs: GatewayNeeds): AgreementServiceHandlers {
  const { store } = needs;

  return {
    offer: async (caller, request) => {
      requireRole(caller, 'offer agreements', 'provider');
      const policy = newestPolicy(needs, request.dataset, request.policyVersion);
      if (policy.body.provider !== caller.party)
        throw new Fault('not-found', `no dataset \`${request.dataset}\` of yours has a policy`);
      const consumer = store.peek<PartyBody>('party', request.consumer);
      if (consumer === undefined) throw new Fault('not-found', `no party \`${request.consumer}\``);
      if (!consumer.body.roles.includes('consumer'))
        throw new Fault('argument-not-valid', `party \`${request.consumer}\` is not a consumer`);
      const agreement = draft(needs, {
        provider: caller.party,
        consumer: request.consumer,
        policy: policy.body,
        notBeforeMs: request.notBeforeMs ?? needs.nowMs(),
        notAfterMs: request.notAfterMs,
        purposes: request.purposes,
        counters: '',
      });
      await store.put(agreement);
      return { agreement: messageOf(agreement), reasons: [] };
    },
    sign: async (caller, request) => {
      const agreement = mine(needs, caller, request.id, 'drafted');
      if (agreement.body.provider !== caller.party)
        throw new Fault('role-missing', 'the provider signs an offer first');
      return {
        agreement: messageOf(await signed(needs, caller, agreement, request.signature, 'offered', 'agreement.offered')),
        reasons: [],
      };
    },
    accept: async (caller, request) => {
      const agreement = mine(needs, caller, request.id, 'offered');
      if (agreement.body.consumer !== caller.party) throw new Fault('role-missing', 'the consumer accepts an offer');
      const { notAfterMs } = agreement.body;
      if (notAfterMs !== null && needs.nowMs() >= notAfterMs)
        throw new Fault('wrong-state', `agreement \`${agreement.id}\` has expired`);
      return {
        agreement: messageOf(
          await signed(needs, caller, agreement, request.signature, 'active', 'agreement.activated'),
        ),
        reasons: [],
      };
    },
    list: (caller, request) => {
      const seesAll = hasRole(caller, 'operator', 'auditor');
      const all = store
        .peekAll<AgreementBody>('agreement')
        .filter(({ body }) => seesAll || isParty(caller, body))
        .filter(({ body }) => request.dataset === '' || body.dataset === request.dataset)
        .filter(
          (agreement) => request.states.length === 0 || request.states.includes(stateOf(agreement, needs.nowMs())),
        )
        .toSorted((a, b) => b.atMs - a.atMs || (a.id < b.id ? 1 : -1));
      const { items, nextPageToken } = pageOf(all, request.page);
      return Promise.resolve({ agreements: items.map((one) => messageOf(one, needs.nowMs())), nextPageToken });
    },
    get: (caller, request) => Promise.resolve({ agreement: messageOf(mine(needs, caller, request.id), needs.nowMs()) }),
    suspend: async (caller, request) => {
      const agreement = mine(needs, caller, request.id, 'active');
      const moved = await move(needs, agreement, 'suspended', 'agreement.suspended', {
        note: request.note,
        suspendedBy: caller.party,
      });
      return { agreement: messageOf(moved), stoppedJobs: stopJobsOf(needs, agreement.id), reasons: [] };
    },
    resume: async (caller, request) => {
      const agreement = mine(needs, caller, request.id, 'suspended');
      if (agreement.body.suspendedBy !== caller.party && !hasRole(caller, 'operator')) {
        throw new Fault(
          'role-missing',
          `only \`${agreement.body.suspendedBy}\`, who suspended it, may resume agreement \`${agreement.id}\``,
        );
      }
      return {
        agreement: messageOf(
          await move(needs, agreement, 'active', 'agreement.resumed', { note: '', suspendedBy: '' }),
        ),
        reasons: [],
      };
    },
    terminate: async (caller, request) => {
      const agreement = mine(needs, caller, request.id);
      if (agreement.state === 'terminated')
        throw new Fault('wrong-state', `agreement \`${agreement.id}\` is already terminated`);
      const moved = await move(needs, agreement, 'terminated', 'agreement.terminated', { note: request.note });
      return { agreement: messageOf(moved), stoppedJobs: stopJobsOf(needs, agreement.id), reasons: [] };
    },
    counter: async (caller, request) => {
      const agreement = mine(needs, caller, request.id, 'offered');
      if (agreement.body.consumer !== caller.party) throw new Fault('role-missing', 'the consumer counters an offer');
      if (request.policyDocument !== '') {
        throw new Fault(
          'not-available',
          'a counter-offer changes dates and purposes; ask the provider to attach another policy version',
        );
      }
      const { body } = agreement;
      const notBeforeMs = request.notBeforeMs ?? body.notBeforeMs;
      const notAfterMs = request.notAfterMs ?? body.notAfterMs;
      const purposes = request.purposes.length === 0 ? body.purposes : request.purposes;
      const wider = [
        ...(notBeforeMs < body.notBeforeMs ? ['notBefore'] : []),
        ...(body.notAfterMs !== null && (notAfterMs === null || notAfterMs > body.notAfterMs) ? ['notAfter'] : []),
        ...(body.purposes.length > 0 && !purposes.every((one) => body.purposes.includes(one)) ? ['purposes'] : []),
      ];
      if (wider.length > 0) {
        return {
          agreement: null,
          refines: false,
          reasons: wider.map((term) =>
            reason('counter-widens', `\`${term}\` allows more than the offer`, {
              remedy: 'narrow it, or ask the provider for another offer',
            }),
          ),
        };
      }
      const policy = newestPolicy(needs, body.dataset, body.policyVersion);
      const countered = draft(needs, {
        ...body,
        policy: policy.body,
        notBeforeMs,
        notAfterMs,
        purposes,
        counters: agreement.id,
      });
      await store.transact([
        { do: 'expect', table: 'agreement', id: agreement.id, state: 'offered' },
        { do: 'put', record: { ...agreement, state: 'countered' } },
        { do: 'put', record: countered },
        { do: 'record', event: evidence(needs, 'agreement.countered', [subjectOf(needs, countered)], {}) },
      ]);
      return { agreement: messageOf(countered), refines: true, reasons: [] };
    },
  };
}

/** The agreements under which a party may run jobs now, with the policies that they pin. */
export function activeAgreements(
  needs: Pick<GatewayNeeds, 'store' | 'sha256'>,
  party: string,
): readonly AgreementForJob[] {
  return needs.store
    .peekAll<AgreementBody>('agreement')
    .filter(({ state, body }) => state === 'active' && body.consumer === party)
    .flatMap(({ id, body }) => {
      const policy = needs.store.peek<PolicyBody>('policy', `${body.dataset}@${body.policyVersion}`);
      // INVARIANT: an agreement is worth nothing without exactly the policy that was signed.
      if (policy === undefined || policy.body.digest !== body.policyDigest) return [];
      const { dataset, provider, policyDigest, purposes, notBeforeMs, notAfterMs } = body;
      return [
        {
          id,
          digest: needs.sha256(body.content),
          dataset,
          provider,
          policy: policyOf(policy.body),
          policyDigest,
          purposes,
          notBeforeMs,
          notAfterMs,
        },
      ];
    })
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function draft(
  needs: GatewayNeeds,
  terms: {
    readonly provider: string;
    readonly consumer: string;
    readonly policy: PolicyBody;
    readonly notBeforeMs: number;
    readonly notAfterMs: number | null;
    readonly purposes: readonly string[];
    readonly counters: string;
  },
): Stored {
  const { provider, consumer, policy, notBeforeMs, notAfterMs, purposes, counters } = terms;
  if (notAfterMs !== null && notAfterMs <= notBeforeMs)
    throw new Fault('argument-not-valid', 'the agreement would end before it begins');
  const id = newId(needs, 'agr');
  const content = canonicalJson({
    format: 'glovebox-agreement/1',
    id,
    authority: needs.authority,
    provider,
    consumer,
    dataset: policy.dataset,
    policyVersion: policy.version,
    policyDigest: policy.digest,
    notBeforeMs,
    notAfterMs,
    purposes,
    counters,
  });
  const body: AgreementBody = {
    provider,
    consumer,
    dataset: policy.dataset,
    policyVersion: policy.version,
    policyDigest: policy.digest,
    notBeforeMs,
    notAfterMs,
    purposes,
    content,
    signatures: [],
    note: '',
    counters,
    suspendedBy: '',
  };
  return { table: 'agreement', id, owner: provider, state: 'drafted', atMs: needs.nowMs(), body };
}

async function signed(
  needs: GatewayNeeds,
  caller: Caller,
  agreement: Stored,
  signature: JwsSignature | null,
  state: AgreementState,
  kind: EvidenceKind,
): Promise<Stored> {
  const { content, signatures } = agreement.body;
  const publicKey = caller.signingPublicKey;
  if (signature === null || publicKey === null) throw new Fault('argument-not-valid', 'the signature is missing');
  if (!verifyJws(content, signature, { kind: 'agreement', party: caller.party, publicKey })) {
    throw new Fault(
      'signature-not-valid',
      `the signature over agreement \`${agreement.id}\` is not of \`${caller.party}\``,
    );
  }
  const { protectedHeader, signature: value } = signature;
  const added = { party: caller.party, protectedHeader, signature: value, signedAtMs: needs.nowMs() };
  return move(needs, agreement, state, kind, { signatures: [...signatures, added] });
}

async function move(
  needs: GatewayNeeds,
  agreement: Stored,
  state: AgreementState,
  kind: EvidenceKind,
  change: Partial<AgreementBody>,
): Promise<Stored> {
  const moved: Stored = { ...agreement, state, body: { ...agreement.body, ...change } };
  const outcome = await needs.store.transact([
    { do: 'expect', table: 'agreement', id: agreement.id, state: agreement.state },
    { do: 'put', record: moved },
    {
      do: 'record',
      event: evidence(needs, kind, [subjectOf(needs, moved)], {
        provider: needs.pseudonymOf(moved.body.provider),
        consumer: needs.pseudonymOf(moved.body.consumer),
        policyVersion: moved.body.policyVersion,
      }),
    },
  ]);
  if (outcome.kind === 'refused')
    throw new Fault('conflict', `agreement \`${agreement.id}\` was changed meanwhile: look at it again`);
  return moved;
}

function stopJobsOf(needs: GatewayNeeds, id: string): number {
  return needs.live.stop((job) => job.agreements.includes(id));
}

const subjectOf = (needs: GatewayNeeds, agreement: Stored): { readonly name: string; readonly sha256: string } => ({
  name: `agreement/${agreement.id}`,
  sha256: needs.sha256(agreement.body.content),
});

const isParty = (caller: Caller, body: AgreementBody): boolean =>
  body.provider === caller.party || body.consumer === caller.party;

/** An agreement of the caller's; others answer as if they did not exist. */
function mine(needs: GatewayNeeds, caller: Caller, id: string, state?: AgreementState): Stored {
  const agreement = needs.store.peek<AgreementBody>('agreement', id);
  if (agreement === undefined || !(isParty(caller, agreement.body) || hasRole(caller, 'operator', 'auditor')))
    throw new Fault('not-found', `no agreement \`${id}\` of yours`);
  if (state !== undefined) {
    if (!isParty(caller, agreement.body) && !hasRole(caller, 'operator'))
      throw new Fault('role-missing', 'only its parties change an agreement');
    if (agreement.state !== state)
      throw new Fault('wrong-state', `agreement \`${id}\` is ${agreement.state}; this needs it ${state}`);
  }
  return agreement;
}

function newestPolicy(needs: GatewayNeeds, dataset: string, version: number): StoredRecord<PolicyBody> {
  const versions = needs.store
    .peekAll<PolicyBody>('policy')
    .filter(({ body }) => body.dataset === dataset && (version === 0 || body.version === version))
    .toSorted((a, b) => b.body.version - a.body.version);
  const [newest] = versions;
  if (newest === undefined)
    throw new Fault(
      'not-found',
      `dataset \`${dataset}\` has no policy${version === 0 ? '' : ` version ${version}`}: attach one first`,
    );
  return newest;
}

function stateOf(agreement: Stored, now: number): AgreementState {
  const { notAfterMs } = agreement.body;
  const isOver = notAfterMs !== null && now >= notAfterMs && agreement.state !== 'terminated';
  return isOver ? 'expired' : (agreement.state as AgreementState);
}

function messageOf(agreement: Stored, now = 0): AgreementMessage {
  const { signatures, ...body } = agreement.body;
  return {
    ...body,
    id: agreement.id,
    state: stateOf(agreement, now),
    signatures: signatures.map(({ party, protectedHeader, signature, signedAtMs }) => ({
      party,
      signature: { protectedHeader, signature },
      signedAtMs,
    })),
    createdAtMs: agreement.atMs,
    duties: [],
  };
}

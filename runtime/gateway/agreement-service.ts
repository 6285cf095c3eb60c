import type { Agreement as AgreementMessage, JwsSignature } from '../gen/messages.ts';
import type { AgreementServiceHandlers } from '../gen/services.ts';
import type { AgreementTerms } from '../contract/agreement.ts';
import {
  type Agreement,
  type AgreementAction,
  applyToAgreement,
  counterAgreement,
  offerAgreement,
  OPERATOR,
  termWidenings,
} from '../contract/lifecycle.ts';
import { canonicalJson, type Json } from '../evidence/canonical-json.ts';
import type { EvidenceKind } from '../evidence/entry.ts';
import { type Caller, hasRole } from '../identity/party.ts';
import { steerings, widenings } from '../policy/refine.ts';
import { reason } from '../policy/reason.ts';
import { parsePricePlan } from '../policy-file/price-plan.ts';
import { Fault } from '../rpc/fault.ts';
import type { StoredRecord } from '../store/records.ts';
import type { Step } from '../store/jobs.ts';
import { checkDocument, checkNote, pageOf, requireRole } from './access.ts';
import {
  agreementEvent,
  type AgreementNotes,
  contractOf,
  notesOf,
  recordOf,
  signingKey,
  type StoredAgreement,
  termsOfRecord,
} from './agreement-record.ts';
import { disputeHandlers, openDisputes } from './disputes.ts';
import type { DutyBook } from './duties.ts';
import { type GatewayNeeds, newId } from './needs.ts';
import { projectHandlers } from './projects.ts';
import { type AgreementBody, type AgreementState, type PartyBody, type PolicyBody, policyOf } from './records.ts';

export interface AgreementNeeds extends GatewayNeeds {
  readonly duties: Pick<DutyBook, 'fulfil' | 'linesOf'>;
  /** Checks the document of a counter-offer against the dataset and prepares its layout, as attaching would. */
  readonly counterPolicy: (
    document: string,
    base: PolicyBody,
    isProvider: boolean,
  ) => Promise<
    | { readonly kind: 'policy'; readonly body: PolicyBody }
    | { readonly kind: 'complaints'; readonly complaints: readonly string[] }
  >;
}

/**
 * Contracts: one side lays out an offer and signs it, the other signs and it is active. What is signed is canonical
 * JSON that never changes and pins the policy's digest; a change of terms is another agreement that supersedes it.
 * What may happen when is decided by the state machine in `contract/lifecycle.ts`, and nowhere else.
 */
export function agreementService(needs: AgreementNeeds): AgreementServiceHandlers {
  const { store } = needs;

  return {
    ...disputeHandlers(needs),
    ...projectHandlers(needs),
    offer: async (caller, request) => {
      requireRole(caller, 'offer agreements', 'provider');
      const policy = attachedPolicy(needs, caller, request.dataset, request.policyVersion);
      const consumer = store.peek<PartyBody>('party', request.consumer);
      if (consumer === undefined) throw new Fault('not-found', `no party \`${request.consumer}\``);
      if (!consumer.body.roles.includes('consumer'))
        throw new Fault('argument-not-valid', `party \`${request.consumer}\` is not a consumer`);
      const prices = pricesIn(request.prices);
      const offered = offerAgreement(
        termsFor(needs, {
          consumer: request.consumer,
          policy: policy.body,
          notBeforeMs: request.notBeforeMs ?? needs.nowMs(),
          notAfterMs: request.notAfterMs,
          purposes: request.purposes,
          supersedes: null,
          counterOffers: request.onlyAsOffered ? 'none' : 'narrower',
          pricesDigest: prices === '' ? null : needs.sha256(prices),
        }),
        caller.party,
      );
      if (offered.kind === 'refused') throw new Fault('argument-not-valid', offered.reason);
      const notes = { policyRecord: policy.id, note: '', widens: [], prices };
      const record = recordOf(offered.agreement, notes, { atMs: needs.nowMs(), keys: {} });
      await store.put(record);
      return { agreement: messageOf(record), reasons: [] };
    },
    sign: async (caller, request) => {
      const record = mine(needs, caller, request.id);
      return { agreement: messageOf(await sign(needs, caller, record, request.signature)), reasons: [] };
    },
    accept: async (caller, request) => {
      const record = mine(needs, caller, request.id);
      const accepted = applyTo(needs, record, { do: 'accept', by: actorOf(caller, record) });
      const inBetween = recordOf(accepted, notesOf(record), { atMs: needs.nowMs(), keys: {} }, record);
      return { agreement: messageOf(await sign(needs, caller, inBetween, request.signature, record)), reasons: [] };
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
    get: async (caller, request) => ({ agreement: await withDuties(needs, mine(needs, caller, request.id)) }),
    fulfil: async (caller, request) => {
      const record = mine(needs, caller, request.id);
      const { body } = record;
      const by = actorOf(caller, record);
      const policy = policyOf(policyOfAgreement(needs, body).body);
      const lines = await needs.duties.linesOf(record.id, policy.duties);
      const line = lines.find((one) => one.startsWith(`${request.duty} `));
      // What the runtime or another party has to do, a consumer cannot declare done.
      if (by === body.consumer && by !== body.provider && line?.startsWith(`${request.duty} attribute`) === false)
        throw new Fault('role-missing', `only \`${body.provider}\` can lift the duty \`${request.duty}\``);
      const done =
        line === undefined
          ? undefined
          : await needs.duties.fulfil(record.id, request.duty, caller.party, policy.duties);
      if (done === undefined)
        throw new Fault('not-found', `agreement \`${record.id}\` has no open duty \`${request.duty}\``);
      return { agreement: await withDuties(needs, record) };
    },
    suspend: async (caller, request) => {
      checkNote(request.note);
      const moved = await act(needs, caller, request.id, 'suspend', request.note);
      return { agreement: messageOf(moved), stoppedJobs: stopJobsOf(needs, moved.id), reasons: [] };
    },
    resume: async (caller, request) => ({
      agreement: messageOf(await act(needs, caller, request.id, 'resume', '')),
      reasons: [],
    }),
    terminate: async (caller, request) => {
      checkNote(request.note);
      const moved = await act(needs, caller, request.id, 'terminate', request.note);
      return { agreement: messageOf(moved), stoppedJobs: stopJobsOf(needs, moved.id), reasons: [] };
    },
    counter: async (caller, request) => {
      checkDocument(caller, request.policyDocument);
      const record = mine(needs, caller, request.id);
      const base = termsOfRecord(record);
      const by = actorOf(caller, record);
      const pinned = policyOfAgreement(needs, record.body);
      let policy: StoredRecord<PolicyBody> = pinned;
      if (request.policyDocument !== '') {
        const checked = await needs.counterPolicy(request.policyDocument, pinned.body, by === record.body.provider);
        if (checked.kind === 'complaints') {
          const reasons = checked.complaints.map((message) => reason('policy-not-valid', message));
          return { agreement: null, refines: false, reasons };
        }
        const id = `${pinned.body.dataset}@${pinned.body.version}/${checked.body.digest}`;
        policy = { ...pinned, id, state: 'countered', atMs: needs.nowMs(), body: checked.body };
      }
      const terms = termsFor(needs, {
        consumer: base.consumer,
        policy: policy.body,
        notBeforeMs: request.notBeforeMs ?? base.notBeforeMs,
        notAfterMs: request.notAfterMs ?? base.notAfterMs,
        purposes: request.purposes.length === 0 ? base.purposes : request.purposes,
        supersedes: base.id,
        counterOffers: base.counterOffers,
        pricesDigest: base.pricesDigest,
      });
      const [pinnedTerms, askedTerms] = [policyOf(pinned.body), policyOf(policy.body)];
      const steers = steerings(pinnedTerms, askedTerms);
      const widens = [...new Set([...widenings(pinnedTerms, askedTerms), ...steers])];
      const answer = counterAgreement(contractOf(record), { by, terms, widens }, needs.nowMs());
      if (answer.kind === 'refused') throw new Fault('wrong-state', answer.reason);
      const now = { atMs: needs.nowMs(), keys: {} };
      const allWidens = [...widens, ...termWidenings(base, terms)];
      const notes = { policyRecord: policy.id, note: '', widens: allWidens, prices: notesOf(record).prices };
      const counterOffer = recordOf(answer.counterOffer, notes, now);
      await durably(needs, record, [
        { do: 'put', record: recordOf(answer.superseded, notesOf(record), now, record) },
        { do: 'put', record: counterOffer },
        ...(policy.id === pinned.id ? [] : [{ do: 'put' as const, record: policy }]),
        agreementEvent(needs, counterOffer, 'agreement.countered', { widens: allWidens.length }),
      ]);
      return {
        agreement: messageOf(counterOffer),
        refines: allWidens.length === 0,
        reasons: allWidens.map((term) =>
          reason(
            'counter-widens',
            steers.includes(term)
              ? `\`${term}\` chooses what is looked at in another way than the offer`
              : `\`${term}\` allows more than the offer`,
            {
              remedy: `\`${base.datasets[0]?.provider ?? ''}\` has to accept it; ${steers.includes(term) ? 'leave it as offered' : 'narrow it'} to have it accepted at once`,
            },
          ),
        ),
      };
    },
  };
}

/** Records the end of every agreement whose time is over; answers their ids. Called by the policy monitor. */
export async function expireAgreements(
  needs: Pick<GatewayNeeds, 'store' | 'nowMs' | 'sha256' | 'pseudonymOf'>,
): Promise<readonly string[]> {
  const now = needs.nowMs();
  const ended: string[] = [];
  for (const record of needs.store.peekAll<AgreementBody>('agreement')) {
    const { notAfterMs } = record.body;
    if (notAfterMs === null || now < notAfterMs) continue;
    const answer = applyToAgreement(contractOf(record), { do: 'expire' }, now);
    if (answer.kind === 'refused') continue;
    const moved = recordOf(answer.agreement, notesOf(record), { atMs: now, keys: {} }, record);
    const outcome = await needs.store.transact([
      { do: 'expect', table: 'agreement', id: record.id, state: record.state },
      { do: 'put', record: moved },
      agreementEvent(needs, moved, 'agreement.expired'),
    ]);
    if (outcome.kind === 'done') ended.push(record.id);
  }
  return ended;
}

/** The policy that an agreement pins, only when it is exactly what was signed. */
export function pinnedPolicy(
  needs: Pick<GatewayNeeds, 'store'>,
  body: AgreementBody,
): StoredRecord<PolicyBody> | undefined {
  const policy = needs.store.peek<PolicyBody>('policy', body.policyRecord);
  // INVARIANT: an agreement is worth nothing without exactly the policy that was signed.
  return policy?.body.digest === body.policyDigest ? policy : undefined;
}

function termsFor(
  needs: GatewayNeeds,
  of: Pick<
    AgreementTerms,
    'consumer' | 'notBeforeMs' | 'notAfterMs' | 'purposes' | 'supersedes' | 'counterOffers' | 'pricesDigest'
  > & {
    readonly policy: PolicyBody;
  },
): AgreementTerms {
  const { policy, notBeforeMs, notAfterMs, ...rest } = of;
  if (notAfterMs !== null && notAfterMs <= notBeforeMs)
    throw new Fault('argument-not-valid', 'the agreement would end before it begins');
  return {
    id: newId(needs, 'agr'),
    authority: needs.authority,
    ...rest,
    notBeforeMs,
    notAfterMs,
    datasets: [
      {
        provider: policy.provider,
        dataset: policy.dataset,
        policyVersion: policy.version,
        policyDigest: policy.digest,
        rules: null,
      },
    ],
  };
}

/** A price plan as it is signed: canonical JSON of what the document says; empty for none. */
function pricesIn(document: string): string {
  if (document === '') return '';
  const parsed = parsePricePlan(document);
  if (parsed.kind === 'complaints')
    throw new Fault('argument-not-valid', `the price plan is not one: ${parsed.complaints.slice(0, 5).join('; ')}`);
  return canonicalJson(parsed.prices as unknown as Json);
}

/** The contract after an action, or the fault that says why it is not possible now. */
function applyTo(needs: GatewayNeeds, record: StoredAgreement, action: AgreementAction): Agreement {
  const answer = applyToAgreement(contractOf(record), action, needs.nowMs());
  if (answer.kind === 'refused') throw new Fault('wrong-state', answer.reason);
  return answer.agreement;
}

async function sign(
  needs: GatewayNeeds,
  caller: Caller,
  agreement: StoredAgreement,
  signature: JwsSignature | null,
  stored: StoredAgreement = agreement,
): Promise<StoredAgreement> {
  const raw = caller.signingPublicKey;
  if (signature === null || raw === null) throw new Fault('argument-not-valid', 'the signature is missing');
  const signed = applyToAgreement(
    contractOf(agreement),
    {
      do: 'sign',
      by: caller.party,
      publicKey: signingKey(raw),
      signature: {
        party: caller.party,
        keyId: `${caller.party}#1`,
        protected: signature.protectedHeader,
        signature: signature.signature,
      },
    },
    needs.nowMs(),
  );
  if (signed.kind === 'refused')
    throw new Fault(
      /signature of .* invalid/.test(signed.reason) ? 'signature-not-valid' : 'wrong-state',
      signed.reason,
    );
  const now = { atMs: needs.nowMs(), keys: { [caller.party]: raw } };
  const moved = recordOf(signed.agreement, notesOf(agreement), now, agreement);
  const kind = KIND_OF[signed.agreement.state] ?? 'agreement.agreed';
  await durably(needs, stored, [{ do: 'put', record: moved }, agreementEvent(needs, moved, kind)]);
  return moved;
}

const KIND_OF: Readonly<Partial<Record<AgreementState, EvidenceKind>>> = {
  offered: 'agreement.offered',
  agreed: 'agreement.agreed',
  active: 'agreement.activated',
};

async function act(
  needs: GatewayNeeds,
  caller: Caller,
  id: string,
  verb: 'suspend' | 'resume' | 'terminate',
  note: string,
): Promise<StoredAgreement> {
  const record = mine(needs, caller, id);
  const changed = applyTo(needs, record, { do: verb, by: actorOf(caller, record) });
  const notes: AgreementNotes = { ...notesOf(record), note };
  const moved = recordOf(changed, notes, { atMs: needs.nowMs(), keys: {} }, record);
  const kind = (
    { suspend: 'agreement.suspended', resume: 'agreement.resumed', terminate: 'agreement.terminated' } as const
  )[verb];
  await durably(needs, record, [{ do: 'put', record: moved }, agreementEvent(needs, moved, kind)]);
  return moved;
}

/** One transaction that happens only when the agreement is still as it was read. */
async function durably(needs: GatewayNeeds, read: StoredAgreement, steps: readonly Step[]): Promise<void> {
  const outcome = await needs.store.transact([
    { do: 'expect', table: 'agreement', id: read.id, state: read.state },
    ...steps,
  ]);
  if (outcome.kind === 'refused')
    throw new Fault('conflict', `agreement \`${read.id}\` was changed meanwhile: look at it again`);
}

function stopJobsOf(needs: GatewayNeeds, id: string): number {
  return needs.live.stop((job) => job.agreements.includes(id));
}

const isParty = (caller: Caller, body: AgreementBody): boolean =>
  body.provider === caller.party || body.consumer === caller.party;

/** Whom the state machine takes the caller for: a party acts for itself, an operator in its role. */
function actorOf(caller: Caller, { body }: StoredAgreement): string {
  if (isParty(caller, body)) return caller.party;
  if (hasRole(caller, 'operator')) return OPERATOR;
  throw new Fault('role-missing', 'only its parties change an agreement');
}

/** An agreement that the caller may see; others answer as if they did not exist. */
function mine(needs: GatewayNeeds, caller: Caller, id: string): StoredAgreement {
  const agreement = needs.store.peek<AgreementBody>('agreement', id);
  if (agreement === undefined || !(isParty(caller, agreement.body) || hasRole(caller, 'operator', 'auditor')))
    throw new Fault('not-found', `no agreement \`${id}\` of yours`);
  return agreement;
}

function policyOfAgreement(needs: GatewayNeeds, body: AgreementBody): StoredRecord<PolicyBody> {
  const policy = pinnedPolicy(needs, body);
  if (policy === undefined) throw new Fault('not-found', 'the policy of the agreement is no longer what was signed');
  return policy;
}

/** A policy that the caller attached; one of others answers as if it did not exist. */
function attachedPolicy(
  needs: GatewayNeeds,
  caller: Caller,
  dataset: string,
  version: number,
): StoredRecord<PolicyBody> {
  const [newest] = needs.store
    .peekAll<PolicyBody>('policy')
    .filter(({ state, body }) => state === 'attached' && body.dataset === dataset && body.provider === caller.party)
    .filter(({ body }) => version === 0 || body.version === version)
    .toSorted((a, b) => b.body.version - a.body.version);
  if (newest === undefined)
    throw new Fault(
      'not-found',
      `no dataset \`${dataset}\` of yours has a policy${version === 0 ? '' : ` version ${version}`}: attach one first`,
    );
  return newest;
}

/** What a consumer is told: the end shows at once, also before the monitor has recorded it. */
function stateOf(agreement: StoredAgreement, now: number): AgreementState {
  const { notAfterMs } = agreement.body;
  const state = agreement.state as AgreementState;
  const isOver = notAfterMs !== null && now >= notAfterMs;
  return isOver && !['terminated', 'declined', 'countered'].includes(state) ? 'expired' : state;
}

async function withDuties(needs: AgreementNeeds, record: StoredAgreement): Promise<AgreementMessage> {
  const policy = pinnedPolicy(needs, record.body);
  const duties = policy === undefined ? [] : await needs.duties.linesOf(record.id, policyOf(policy.body).duties);
  return { ...messageOf(record, needs.nowMs()), duties, disputes: openDisputes(needs, record.id).map(({ id }) => id) };
}

function messageOf(agreement: StoredAgreement, now = 0): AgreementMessage {
  const { signatures, policyRecord: _record, round: _round, ...body } = agreement.body;
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
    prices: agreement.body.prices ?? '',
    disputes: [],
    duties: [],
  };
}

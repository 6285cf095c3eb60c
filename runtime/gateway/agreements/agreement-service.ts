import type { JwsSignature } from '../../gen/messages.ts';
import type { AgreementServiceHandlers } from '../../gen/services.ts';
import { type Agreement, type AgreementAction, applyToAgreement, offerAgreement } from '../../contract/lifecycle.ts';
import type { EvidenceKind } from '../../evidence/entry.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { Fault } from '../../rpc/fault.ts';
import { checkNote, pageOf, requireRole } from '../access.ts';
import {
  agreementEvent,
  type AgreementNotes,
  contractOf,
  notesOf,
  recordOf,
  signingKey,
  type StoredAgreement,
  durably,
} from '../agreement-record.ts';
import { counter, type CounterNeeds } from './counter-offer.ts';
import { keeps } from '../datasets/custody.ts';
import { gradeReasons } from '../policies/dataset-grade.ts';
import { disputeHandlers } from './disputes.ts';
import type { DutyBook } from '../policies/duties.ts';
import type { GatewayNeeds } from '../needs.ts';
import { projectHandlers } from '../parties/projects.ts';
import { type AgreementBody, type AgreementState, type PartyBody, policyOf } from '../records.ts';
import { messageOf, withDuties, stateOf } from './agreement-message.ts';
import { mine, isParty, actorOf, policyOfAgreement, attachedPolicy } from './agreement-access.ts';
import { termsFor, pricesIn } from './agreement-terms.ts';

export interface AgreementNeeds extends CounterNeeds {
  readonly duties: Pick<DutyBook, 'fulfil' | 'linesOf' | 'askedBy'>;
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
      const unmet = gradeReasons(needs, policy.body.dataset, policyOf(policy.body));
      if (unmet.length > 0) return { agreement: null, reasons: unmet };
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
      const kept = store.peek<AgreementBody>('agreement', request.id);
      if (kept !== undefined && keeps(needs, caller, kept.body.dataset) && !isParty(caller, kept.body)) {
        // Who keeps the data deletes what was made of it; it reads no agreement for that.
        if (needs.duties.askedBy(kept.id, request.duty) !== 'delete')
          throw new Fault('not-found', `agreement \`${kept.id}\` has no open duty \`${request.duty}\` to delete`);
        await needs.duties.fulfil(kept.id, request.duty, caller.party, []);
        return { agreement: null };
      }
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
    counter: (caller, request) => counter(needs, caller, request),
  };
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

function stopJobsOf(needs: GatewayNeeds, id: string): number {
  return needs.live.stop((job) => job.agreements.includes(id));
}

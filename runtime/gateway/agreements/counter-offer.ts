import { counterAgreement, termWidenings } from '../../contract/lifecycle.ts';
import type { Caller } from '../../identity/party.ts';
import { steerings, widenings } from '../../policy/refine.ts';
import { reason } from '../../policy/reason.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { checkDocument } from '../access.ts';
import { agreementEvent, contractOf, notesOf, recordOf, termsOfRecord, durably } from '../agreement-record.ts';
import type { GatewayNeeds } from '../needs.ts';
import { type PolicyBody, policyOf } from '../records.ts';
import { messageOf } from './agreement-message.ts';
import { mine, actorOf, policyOfAgreement } from './agreement-access.ts';
import { termsFor } from './agreement-terms.ts';
import type { CounterAgreementRequest, CounterAgreementResponse } from '../../gen/messages.ts';

export interface CounterNeeds extends GatewayNeeds {
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

/** Answers an offer with other terms; those that allow no more than the offer are accepted at once. */
export async function counter(
  needs: CounterNeeds,
  caller: Caller,
  request: CounterAgreementRequest,
): Promise<CounterAgreementResponse> {
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
}

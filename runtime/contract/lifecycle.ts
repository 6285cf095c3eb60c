import type { KeyObject } from 'node:crypto';
import { agreementDigest, signersOf, verifySignature } from './agreement.ts';
import type { AgreementSignature, AgreementTerms } from './agreement.ts';

/**
 * drafted: laid out, and not yet signed by who proposes it. offered: signed by who proposes it. countered: the other
 * side answered with other terms, which are an agreement of their own. agreed: both accepted the same terms,
 * signatures are being collected. active: signed by all, jobs may run. suspended: for a while. The last three are final.
 */
export const AGREEMENT_STATES = [
  'drafted',
  'offered',
  'countered',
  'agreed',
  'active',
  'suspended',
  'terminated',
  'expired',
  'declined',
] as const;
export type AgreementState = (typeof AGREEMENT_STATES)[number];

export interface Agreement {
  readonly state: AgreementState;
  readonly terms: AgreementTerms;
  /** Who proposed the terms as they stand: the other side has to accept them. */
  readonly proposedBy: string;
  readonly signatures: readonly AgreementSignature[];
  /**
   * Parties whose signature over the offer that these terms supersede counts here, because that offer accepted
   * narrower counter-offers ahead and these terms only narrow it.
   */
  readonly acceptedAhead: readonly string[];
  /** How many times the terms have changed hands; bounded, so that nobody negotiates for ever. */
  readonly round: number;
  /** Who suspended it, and only they may resume: a party under suspicion cannot lift it itself. */
  readonly suspendedBy: string | null;
}

/** What can happen to an agreement. `by` is a proven party, or `OPERATOR`. */
export type AgreementAction =
  | { readonly do: 'accept'; readonly by: string }
  | { readonly do: 'decline'; readonly by: string }
  | { readonly do: 'sign'; readonly by: string; readonly signature: AgreementSignature; readonly publicKey: KeyObject }
  | { readonly do: 'suspend'; readonly by: string }
  | { readonly do: 'resume'; readonly by: string }
  | { readonly do: 'terminate'; readonly by: string }
  | { readonly do: 'expire' };

export type AgreementAnswer =
  | { readonly kind: 'changed'; readonly agreement: Agreement }
  | { readonly kind: 'refused'; readonly reason: string };

/** Who acts in the operator's role; no party can have this name. */
export const OPERATOR = 'role:operator';
export const MAX_ROUNDS = 20;

/** A new agreement, offered by one of its parties. */
export function offerAgreement(terms: AgreementTerms, by: string): AgreementAnswer {
  agreementDigest(terms); // throws for terms that make no sense
  if (!signersOf(terms).includes(by)) return refused(`'${by}' is no party to agreement '${terms.id}'`);
  const none = { signatures: [], acceptedAhead: [], round: 1, suspendedBy: null };
  return changed({ state: 'drafted', terms, proposedBy: by, ...none });
}

export type CounterAnswer =
  | { readonly kind: 'countered'; readonly superseded: Agreement; readonly counterOffer: Agreement }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Answers an offer with other terms: an agreement of its own that supersedes the offer. `widens` names the terms that
 * allow more than the offer; with none, and when the offer accepts narrower ones, its signers have accepted it ahead.
 */
export function counterAgreement(
  agreement: Agreement,
  counter: { readonly by: string; readonly terms: AgreementTerms; readonly widens: readonly string[] },
  nowMs: number,
): CounterAnswer {
  const { terms: base } = agreement;
  const { by, terms, widens } = counter;
  if (agreement.state !== 'offered')
    return refused(`cannot counter agreement '${base.id}': it is ${agreement.state}, and that needs offered`);
  if (!signersOf(base).includes(by)) return refused(`'${by}' is no party to agreement '${base.id}'`);
  if (by === agreement.proposedBy) return refused(`'${by}' proposed the present terms: the other side answers`);
  if (base.notAfterMs !== null && nowMs >= base.notAfterMs) return refused(`agreement '${base.id}' has ended`);
  agreementDigest(terms); // throws for terms that make no sense
  if (terms.id === base.id || terms.supersedes !== base.id)
    return refused(`a counter-offer has an id of its own and supersedes '${base.id}'`);
  if (terms.authority !== base.authority) return refused('a counter-offer stays with the same runtime');
  if (signersOf(terms).toSorted().join('\n') !== signersOf(base).toSorted().join('\n'))
    return refused(`a counter-offer to '${base.id}' cannot change who the parties are`);
  if (agreement.round >= MAX_ROUNDS) return refused(`agreement '${base.id}' has been countered ${MAX_ROUNDS} times`);
  const isAcceptedAhead = base.counterOffers === 'narrower' && [...widens, ...termWidenings(base, terms)].length === 0;
  const signers = agreement.signatures.map(({ party }) => party);
  return {
    kind: 'countered',
    superseded: { ...agreement, state: 'countered' },
    counterOffer: {
      state: 'drafted',
      terms,
      proposedBy: by,
      signatures: [],
      acceptedAhead: isAcceptedAhead ? signers.filter((party) => party !== by) : [],
      round: agreement.round + 1,
      suspendedBy: null,
    },
  };
}

/** Where terms allow more than the ones they answer, apart from their policies (see `widenings` in policy/refine.ts). */
export function termWidenings(base: AgreementTerms, offer: AgreementTerms): readonly string[] {
  const { notAfterMs: end } = offer;
  return [
    ...(offer.notBeforeMs < base.notBeforeMs ? ['notBefore'] : []),
    ...(base.notAfterMs !== null && (end === null || end > base.notAfterMs) ? ['notAfter'] : []),
    ...(isWithin(base.purposes, offer.purposes) ? [] : ['purposes']),
    ...(offer.pricesDigest === base.pricesDigest ? [] : ['prices']),
    ...(offer.counterOffers === base.counterOffers || offer.counterOffers === 'none' ? [] : ['counterOffers']),
    ...offer.datasets.flatMap((one) => {
      const before = base.datasets.find(({ dataset }) => dataset === one.dataset);
      if (before === undefined || before.provider !== one.provider) return [`datasets.${one.dataset}`];
      const rulesHold = before.rules === null || (one.rules !== null && isWithin(before.rules, one.rules));
      return rulesHold ? [] : [`datasets.${one.dataset}.rules`];
    }),
  ];
}

/** Whether `offer` lies within `base`; the empty list of purposes is all of them. */
function isWithin(base: readonly string[], offer: readonly string[]): boolean {
  return base.length === 0 || (offer.length > 0 && offer.every((one) => base.includes(one)));
}

/** What the agreement becomes, or why the action is not possible now. Time is the caller's: milliseconds since 1970. */
export function applyToAgreement(agreement: Agreement, action: AgreementAction, nowMs: number): AgreementAnswer {
  const { state, terms } = agreement;
  const allowed = ACTIONS[action.do];
  if (!allowed.includes(state)) {
    return refused(
      `cannot ${action.do} agreement '${terms.id}': it is ${state}, and that needs ${allowed.join(' or ')}`,
    );
  }
  if (action.do !== 'expire' && !mayAct(agreement, action))
    return refused(`'${action.by}' may not ${action.do} agreement '${terms.id}'`);
  const hasEnded = terms.notAfterMs !== null && nowMs >= terms.notAfterMs;
  if (hasEnded && (action.do === 'accept' || action.do === 'sign' || action.do === 'resume')) {
    return refused(`agreement '${terms.id}' has ended: offer a new one`);
  }
  switch (action.do) {
    case 'accept':
      if (action.by === agreement.proposedBy)
        return refused(`'${action.by}' proposed these terms: the other side accepts`);
      return changed({ ...agreement, state: 'agreed' });
    case 'decline':
      return changed({ ...agreement, state: 'declined' });
    case 'sign':
      return addSignature(agreement, action);
    case 'suspend':
      return changed({ ...agreement, state: 'suspended', suspendedBy: action.by });
    case 'resume':
      if (action.by !== agreement.suspendedBy) {
        return refused(`agreement '${terms.id}' was suspended by '${agreement.suspendedBy}': only they can resume it`);
      }
      return changed({ ...agreement, state: 'active', suspendedBy: null });
    case 'terminate':
      return changed({ ...agreement, state: 'terminated' });
    case 'expire':
      if (!hasEnded) return refused(`agreement '${terms.id}' has not ended yet`);
      return changed({ ...agreement, state: 'expired' });
  }
}

/** Whether a job may run under the agreement now, for this consumer and dataset; else the reason. */
export function mayUse(
  agreement: Agreement,
  use: { readonly consumer: string; readonly dataset: string; readonly nowMs: number },
): { readonly kind: 'allowed' } | { readonly kind: 'refused'; readonly reason: string } {
  const { terms, state } = agreement;
  if (state !== 'active') return refused(`agreement '${terms.id}' is ${state}, not active`);
  if (terms.consumer !== use.consumer) return refused(`agreement '${terms.id}' is not with '${use.consumer}'`);
  if (use.nowMs < terms.notBeforeMs) return refused(`agreement '${terms.id}' has not begun`);
  if (terms.notAfterMs !== null && use.nowMs >= terms.notAfterMs) return refused(`agreement '${terms.id}' has ended`);
  if (!terms.datasets.some((one) => one.dataset === use.dataset)) {
    return refused(`agreement '${terms.id}' does not cover dataset '${use.dataset}'`);
  }
  return { kind: 'allowed' };
}

/** In which states each action is possible. What is not listed is refused. */
const ACTIONS: Readonly<Record<AgreementAction['do'], readonly AgreementState[]>> = {
  accept: ['offered'],
  decline: ['drafted', 'offered', 'agreed'],
  sign: ['drafted', 'agreed'],
  suspend: ['active'],
  resume: ['suspended'],
  terminate: ['drafted', 'offered', 'agreed', 'active', 'suspended'],
  expire: ['drafted', 'offered', 'agreed', 'active', 'suspended'],
};

function addSignature(agreement: Agreement, action: Extract<AgreementAction, { do: 'sign' }>): AgreementAnswer {
  const { terms } = agreement;
  if (agreement.state === 'drafted' && action.by !== agreement.proposedBy)
    return refused(`'${agreement.proposedBy}' signs what it proposes first`);
  if (action.signature.party !== action.by)
    return refused(`'${action.by}' cannot bring the signature of '${action.signature.party}'`);
  if (agreement.signatures.some((one) => one.party === action.by))
    return refused(`'${action.by}' has signed '${terms.id}' already`);
  const verdict = verifySignature(terms, action.signature, action.publicKey);
  if (verdict.kind === 'invalid') return refused(`the signature of '${action.by}' is invalid: ${verdict.reason}`);
  const signatures = [...agreement.signatures, action.signature];
  const isComplete = signersOf(terms).every(
    (party) => signatures.some((one) => one.party === party) || agreement.acceptedAhead.includes(party),
  );
  const next = agreement.state === 'drafted' ? 'offered' : 'agreed';
  return changed({ ...agreement, signatures, state: isComplete ? 'active' : next });
}

/** The operator can stop an agreement, never conclude one. */
function mayAct(agreement: Agreement, action: Exclude<AgreementAction, { do: 'expire' }>): boolean {
  if (action.by === OPERATOR) return action.do === 'suspend' || action.do === 'resume' || action.do === 'terminate';
  return signersOf(agreement.terms).includes(action.by);
}

function changed(agreement: Agreement): AgreementAnswer {
  return { kind: 'changed', agreement };
}

function refused(reason: string): { readonly kind: 'refused'; readonly reason: string } {
  return { kind: 'refused', reason };
}

import type { KeyObject } from 'node:crypto';
import { agreementDigest, signersOf, verifySignature } from './agreement.ts';
import type { AgreementSignature, AgreementTerms } from './agreement.ts';

/**
 * offered: one side proposed terms. countered: the other side proposed others. agreed: both accepted the same terms,
 * signatures are being collected. active: signed by all, jobs may run. suspended: for a while. The last three are final.
 */
export const AGREEMENT_STATES = [
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
  /** How many times the terms have changed hands; bounded, so that nobody negotiates for ever. */
  readonly round: number;
  /** Who suspended it, and only they may resume: a party under suspicion cannot lift it itself. */
  readonly suspendedBy: string | null;
}

/** What can happen to an agreement. `by` is a proven party, or `operator`. */
export type AgreementAction =
  | { readonly do: 'counter'; readonly by: string; readonly terms: AgreementTerms }
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

export const OPERATOR = 'operator';
export const MAX_ROUNDS = 20;

/** A new agreement, offered by one of its parties. */
export function offerAgreement(terms: AgreementTerms, by: string): AgreementAnswer {
  agreementDigest(terms); // throws for terms that make no sense
  if (!signersOf(terms).includes(by)) return refused(`'${by}' is no party to agreement '${terms.id}'`);
  return changed({ state: 'offered', terms, proposedBy: by, signatures: [], round: 1, suspendedBy: null });
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
    case 'counter':
      return counter(agreement, action.by, action.terms);
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
  counter: ['offered', 'countered'],
  accept: ['offered', 'countered'],
  decline: ['offered', 'countered', 'agreed'],
  sign: ['agreed'],
  suspend: ['active'],
  resume: ['suspended'],
  terminate: ['agreed', 'active', 'suspended'],
  expire: ['offered', 'countered', 'agreed', 'active', 'suspended'],
};

function counter(agreement: Agreement, by: string, terms: AgreementTerms): AgreementAnswer {
  if (by === agreement.proposedBy) return refused(`'${by}' proposed the present terms: the other side answers`);
  if (terms.id !== agreement.terms.id) return refused(`a counter-offer keeps the id '${agreement.terms.id}'`);
  if (signersOf(terms).toSorted().join('\n') !== signersOf(agreement.terms).toSorted().join('\n')) {
    return refused(`a counter-offer to '${terms.id}' cannot change who the parties are`);
  }
  if (agreement.round >= MAX_ROUNDS) return refused(`agreement '${terms.id}' has been countered ${MAX_ROUNDS} times`);
  agreementDigest(terms);
  return changed({ ...agreement, state: 'countered', terms, proposedBy: by, round: agreement.round + 1 });
}

function addSignature(agreement: Agreement, action: Extract<AgreementAction, { do: 'sign' }>): AgreementAnswer {
  const { terms } = agreement;
  if (action.signature.party !== action.by)
    return refused(`'${action.by}' cannot bring the signature of '${action.signature.party}'`);
  if (agreement.signatures.some((one) => one.party === action.by))
    return refused(`'${action.by}' has signed '${terms.id}' already`);
  const verdict = verifySignature(terms, action.signature, action.publicKey);
  if (verdict.kind === 'invalid') return refused(`the signature of '${action.by}' is invalid: ${verdict.reason}`);
  const signatures = [...agreement.signatures, action.signature];
  const isComplete = signersOf(terms).every((party) => signatures.some((one) => one.party === party));
  return changed({ ...agreement, signatures, state: isComplete ? 'active' : 'agreed' });
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

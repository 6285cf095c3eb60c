import type { Agreement as AgreementMessage } from '../../gen/messages.ts';
import { type StoredAgreement, pinnedPolicy } from '../agreement-record.ts';
import { openDisputes } from './disputes.ts';
import { type AgreementState, policyOf } from '../records.ts';
import type { DutyBook } from '../policies/duties.ts';
import type { GatewayNeeds } from '../needs.ts';

/** An agreement as it is told; duties and disputes are left empty. */
export function messageOf(agreement: StoredAgreement, now = 0): AgreementMessage {
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

/** An agreement with the state of its duties and its open disputes. */
export async function withDuties(
  needs: GatewayNeeds & { readonly duties: Pick<DutyBook, 'linesOf'> },
  record: StoredAgreement,
): Promise<AgreementMessage> {
  const policy = pinnedPolicy(needs, record.body);
  const duties = policy === undefined ? [] : await needs.duties.linesOf(record.id, policyOf(policy.body).duties);
  return { ...messageOf(record, needs.nowMs()), duties, disputes: openDisputes(needs, record.id).map(({ id }) => id) };
}

/** What a consumer is told: the end shows at once, also before the monitor has recorded it. */
export function stateOf(agreement: StoredAgreement, now: number): AgreementState {
  const { notAfterMs } = agreement.body;
  const state = agreement.state as AgreementState;
  const isOver = notAfterMs !== null && now >= notAfterMs;
  return isOver && !['terminated', 'declined', 'countered'].includes(state) ? 'expired' : state;
}

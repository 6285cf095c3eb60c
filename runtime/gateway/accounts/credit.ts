import type { TopUpCreditRequest, TopUpCreditResponse } from '../../gen/messages.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { agreementBudget, remaining } from '../../ledger/budget.ts';
import { planOf } from '../../metering/agreed-prices.ts';
import { microsOf } from '../../metering/money.ts';
import { creditLimit } from '../../metering/price.ts';
import { Fault } from '../../rpc/fault.ts';
import { pricesOf, type StoredAgreement } from '../agreement-record.ts';
import type { GatewayNeeds } from '../needs.ts';
import { applyTopUp } from './top-up.ts';

/** Enlarges an agreement's credit by a signed order of who received the money: its provider, or a clearing party. */
export async function topUpCredit(
  needs: GatewayNeeds,
  caller: Caller,
  request: TopUpCreditRequest,
): Promise<TopUpCreditResponse> {
  const record = needs.store.peek('agreement', request.agreementId) as StoredAgreement | undefined;
  const isProvider = record?.body.provider === caller.party;
  if (record === undefined || !(isProvider || hasRole(caller, 'clearing'))) {
    // A consumer is told that the agreement is there, which it knows, and that others top up.
    if (record?.body.consumer === caller.party)
      throw new Fault('role-missing', `\`${record.body.provider}\` or a clearing party tops up the credit`);
    throw new Fault('not-found', `no agreement \`${request.agreementId}\` of yours`);
  }
  if (pricesOf(record, needs.sha256) === null)
    throw new Fault('wrong-state', `agreement \`${record.id}\` has no price plan, so it has no credit`);
  const budget = agreementBudget('credit', { agreement: record.id });
  await applyTopUp(needs, caller, { ...request, budget, kind: 'credit' });
  const left = await creditLeft(needs, record.id);
  return { creditLeftMicros: left?.micros ?? 0n, currency: left?.currency ?? '' };
}

/** What is left of an agreement's credit; null when its prices are not agreed. */
export async function creditLeft(
  needs: Pick<GatewayNeeds, 'store' | 'sha256'>,
  agreement: string,
): Promise<{ readonly micros: bigint; readonly currency: string } | null> {
  const record = needs.store.peek('agreement', agreement) as StoredAgreement | undefined;
  const prices = record === undefined ? null : pricesOf(record, needs.sha256);
  if (prices === null) return null;
  const balance = await needs.store.balance(agreementBudget('credit', { agreement }));
  const { currency } = prices;
  return { micros: microsOf(remaining(balance, creditLimit(planOf(prices))), currency), currency };
}

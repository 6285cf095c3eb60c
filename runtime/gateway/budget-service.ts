import type { Budget as BudgetMessage } from '../gen/messages.ts';
import type { BudgetServiceHandlers } from '../gen/services.ts';
import { type Caller, hasRole } from '../identity/party.ts';
import { consumerBudget } from '../ledger/budget.ts';
import type { UseCount } from '../policy/model.ts';
import { pageOf } from './access.ts';
import { pinnedPolicy } from './agreement-service.ts';
import type { GatewayNeeds } from './needs.ts';
import { type AgreementBody, policyOf } from './records.ts';

/** What is spent and what is left, per dataset, consumer and rule that counts. */
export function budgetService(needs: GatewayNeeds): BudgetServiceHandlers {
  const budgets = async (caller: Caller, dataset: string, consumer: string): Promise<readonly BudgetMessage[]> => {
    const mine = needs.store
      .peekAll<AgreementBody>('agreement')
      .filter(({ state, body }) => (state === 'active' || state === 'suspended' ? mayRead(caller, body) : false))
      .filter(
        ({ body }) => (dataset === '' || body.dataset === dataset) && (consumer === '' || body.consumer === consumer),
      );
    const all: BudgetMessage[] = [];
    for (const { body } of mine) {
      const policy = pinnedPolicy(needs, body);
      if (policy === undefined) continue;
      for (const rule of policyOf(policy.body).allow) {
        const { count } = rule.when;
        if (count !== null) all.push(await usesOf(needs, body, rule.id, rule.mode, count));
      }
      const overall = policyOf(policy.body).defaults.count;
      if (overall !== null) all.push(await usesOf(needs, body, '', 'any', overall));
    }
    return all;
  };
  return {
    get: async (caller, request) => ({ budgets: await budgets(caller, request.dataset, request.consumer) }),
    list: async (caller, request) => {
      const { items, nextPageToken } = pageOf(await budgets(caller, '', ''), request.page);
      return { budgets: items, nextPageToken };
    },
  };
}

async function usesOf(
  needs: GatewayNeeds,
  agreement: AgreementBody,
  ruleId: string,
  rule: string,
  count: UseCount,
): Promise<BudgetMessage> {
  const { dataset, consumer } = agreement;
  const balance = await needs.store.balance(
    consumerBudget('count', { dataset, consumer, rule }),
    count.perMs ?? undefined,
  );
  return {
    dataset,
    consumer,
    ruleId,
    microEpsilonSpent: 0n,
    microEpsilonReserved: 0n,
    microEpsilonLimit: null,
    uses: balance.spent,
    usesReserved: balance.held,
    usesLimit: BigInt(count.max) + balance.toppedUp,
    periodEndsAtMs: null,
  };
}

const mayRead = (caller: Caller, body: AgreementBody): boolean =>
  body.consumer === caller.party || body.provider === caller.party || hasRole(caller, 'operator', 'auditor');

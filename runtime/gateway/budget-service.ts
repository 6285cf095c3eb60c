import type { Budget as BudgetMessage } from '../gen/messages.ts';
import type { BudgetServiceHandlers } from '../gen/services.ts';
import { type Caller, hasRole } from '../identity/party.ts';
import { consumerBudget } from '../ledger/budget.ts';
import type { AllowRule, UseCount } from '../policy/model.ts';
import { pageOf } from './access.ts';
import { pinnedPolicy } from './agreement-service.ts';
import type { GatewayNeeds } from './needs.ts';
import { type AgreementBody, policyOf } from './records.ts';

/** Every budget under an agreement that is active or suspended and that `mayRead` admits. */
export async function budgetsOf(
  needs: GatewayNeeds,
  mayRead: (agreement: AgreementBody) => boolean,
): Promise<readonly BudgetMessage[]> {
  const all: BudgetMessage[] = [];
  for (const { state, body } of needs.store.peekAll<AgreementBody>('agreement')) {
    if ((state !== 'active' && state !== 'suspended') || !mayRead(body)) continue;
    const policy = pinnedPolicy(needs, body);
    if (policy === undefined) continue;
    for (const rule of policyOf(policy.body).allow) {
      const { count } = rule.when;
      const loss = lossOf(rule);
      if (count !== null || loss !== null) {
        const uses = count === null ? noUses(body, rule.id) : await usesOf(needs, body, rule.id, rule.mode, count);
        all.push({ ...uses, ...(loss === null ? {} : await epsilonOf(needs, body, loss)) });
      }
    }
    const overall = policyOf(policy.body).defaults.count;
    if (overall !== null) all.push(await usesOf(needs, body, '', 'any', overall));
  }
  return all;
}

/** What is spent and what is left, per dataset, consumer and rule that counts. */
export function budgetService(needs: GatewayNeeds): BudgetServiceHandlers {
  const budgets = (caller: Caller, dataset: string, consumer: string): Promise<readonly BudgetMessage[]> =>
    budgetsOf(
      needs,
      (body) =>
        mayRead(caller, body) &&
        (dataset === '' || body.dataset === dataset) &&
        (consumer === '' || body.consumer === consumer),
    );
  return {
    get: async (caller, request) => ({ budgets: await budgets(caller, request.dataset, request.consumer) }),
    list: async (caller, request) => {
      const { items, nextPageToken } = pageOf(await budgets(caller, '', ''), request.page);
      return { budgets: items, nextPageToken };
    },
  };
}

interface Loss {
  readonly mode: AllowRule['mode'];
  readonly microEpsilonTotal: number | null;
  readonly periodMs: number | null;
}

/** The privacy budget of a rule; null for a rule that adds no noise. */
function lossOf({ mode, release }: AllowRule): Loss | null {
  switch (release.mode) {
    case 'sandbox':
      return { mode, microEpsilonTotal: release.microEpsilonTotal, periodMs: null };
    case 'differentialPrivacy':
      return { mode, microEpsilonTotal: release.microEpsilonTotal, periodMs: release.budgetPeriodMs };
    case 'aggregate':
    case 'homomorphic':
    case 'approvedCode':
      return null;
  }
}

/** What this consumer spent under rules of the mode; a limit is the rule's total with what was topped up. */
async function epsilonOf(
  needs: GatewayNeeds,
  { dataset, consumer }: AgreementBody,
  { mode, microEpsilonTotal, periodMs }: Loss,
): Promise<Pick<BudgetMessage, 'microEpsilonSpent' | 'microEpsilonReserved' | 'microEpsilonLimit'>> {
  const budget = consumerBudget('microEpsilon', { dataset, consumer, rule: mode });
  const { spent, held, toppedUp } = await needs.store.balance(budget, periodMs ?? undefined);
  return {
    microEpsilonSpent: spent,
    microEpsilonReserved: held,
    microEpsilonLimit: microEpsilonTotal === null ? null : BigInt(microEpsilonTotal) + toppedUp,
  };
}

const noUses = ({ dataset, consumer }: AgreementBody, ruleId: string): BudgetMessage => ({
  dataset,
  consumer,
  ruleId,
  microEpsilonSpent: 0n,
  microEpsilonReserved: 0n,
  microEpsilonLimit: null,
  uses: 0n,
  usesReserved: 0n,
  usesLimit: null,
  periodEndsAtMs: null,
});

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

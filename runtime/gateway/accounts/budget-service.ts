import type { Budget as BudgetMessage } from '../../gen/messages.ts';
import type { BudgetServiceHandlers } from '../../gen/services.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { type BudgetId, consumerBudget, datasetBudget } from '../../ledger/budget.ts';
import type { AllowRule, DifferentialPrivacyRelease, UseCount } from '../../policy/model.ts';
import { pageOf } from '../access.ts';
import { limitsOf } from '../../job/loss-lines.ts';
import { FEMTO_PER_DELTA, femtoDeltaOf, microEpsilonOf } from '../../release/accounting.ts';
import { pinnedPolicy } from '../agreement-record.ts';
import { grantBudget } from './budget-grant.ts';
import type { GatewayNeeds } from '../needs.ts';
import { type AgreementBody, policyOf } from '../records.ts';

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
        const spent: Partial<BudgetMessage> = loss === null ? {} : await epsilonOf(needs, body, loss);
        all.push({ ...uses, ...spent, periodEndsAtMs: earlier(uses.periodEndsAtMs, spent.periodEndsAtMs ?? null) });
      }
    }
    const limit = datasetLimitOf(policyOf(policy.body).allow);
    const isKnown = all.some(({ dataset, consumer }) => dataset === body.dataset && consumer === '');
    if (limit !== null && !isKnown) all.push(await sharedBudget(needs, body, limit));
    const overall = policyOf(policy.body).defaults.count;
    if (overall !== null) all.push(await usesOf(needs, body, '', 'any', overall));
  }
  return all;
}

const earlier = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.min(a, b);

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
    grant: (caller, request) => grantBudget(needs, caller, request),
  };
}

/** The strictest limit that the rules of a policy put on the loss of all consumers together; null when none does. */
function datasetLimitOf(rules: readonly AllowRule[]): number | null {
  const limits = rules.flatMap(({ release }) =>
    release.mode === 'differentialPrivacy' || release.mode === 'sandbox' ? [release.microEpsilonDataset] : [],
  );
  const said = limits.filter((limit) => limit !== null);
  return said.length === 0 ? null : Math.min(...said);
}

/** What all consumers together spent on the dataset, whatever the mode. */
async function sharedBudget(needs: GatewayNeeds, body: AgreementBody, limit: number): Promise<BudgetMessage> {
  const { spent, held, toppedUp } = await needs.store.balance(datasetBudget('microEpsilon', { dataset: body.dataset }));
  return {
    ...noUses(body, ''),
    consumer: '',
    microEpsilonSpent: spent,
    microEpsilonReserved: held,
    microEpsilonLimit: BigInt(limit) + toppedUp,
  };
}

interface Loss {
  readonly mode: AllowRule['mode'];
  readonly microEpsilonTotal: number | null;
  readonly periodMs: number | null;
  /** Set when losses add up as zCDP: the measure that the limit is in. */
  readonly concentrated: { readonly nanoRhoLimit: bigint | null; readonly delta: number } | null;
}

/** The privacy budget of a rule; null for a rule that adds no noise. */
function lossOf({ mode, release }: AllowRule): Loss | null {
  switch (release.mode) {
    case 'sandbox':
      return {
        mode,
        microEpsilonTotal: release.microEpsilonTotal,
        periodMs: null,
        concentrated: concentratedOf({ ...release, deltaTotal: null }),
      };
    case 'differentialPrivacy':
      return {
        mode,
        microEpsilonTotal: release.microEpsilonTotal,
        periodMs: release.budgetPeriodMs,
        concentrated: concentratedOf(release),
      };
    case 'aggregate':
    case 'homomorphic':
    case 'approvedCode':
      return null;
  }
}

function concentratedOf(release: Parameters<typeof limitsOf>[0]): Loss['concentrated'] {
  if (release.accounting === 'pure') return null;
  const nanoRhoLimit = release.microEpsilonTotal === null ? null : limitsOf(release).nanoRho;
  return { nanoRhoLimit, delta: conversionDelta(release) };
}

/** The delta that turns rho into epsilon: a job's, or half of a total; the other half is for private keys. */
function conversionDelta({ delta, deltaTotal }: Pick<DifferentialPrivacyRelease, 'delta' | 'deltaTotal'>): number {
  return deltaTotal === null ? delta : Math.floor(femtoDeltaOf(deltaTotal) / 2) / FEMTO_PER_DELTA;
}

/** What this consumer spent under rules of the mode; a limit is the rule's total with what was topped up. */
async function epsilonOf(
  needs: GatewayNeeds,
  { dataset, consumer }: AgreementBody,
  { mode, microEpsilonTotal, periodMs, concentrated }: Loss,
): Promise<Pick<BudgetMessage, 'microEpsilonSpent' | 'microEpsilonReserved' | 'microEpsilonLimit' | 'periodEndsAtMs'>> {
  const kind = concentrated === null ? 'microEpsilon' : 'nanoRho';
  const budget = consumerBudget(kind, { dataset, consumer, rule: mode });
  const { spent, held, toppedUp } = await needs.store.balance(budget, periodMs ?? undefined);
  const periodEndsAtMs = await periodEnd(needs, budget, periodMs);
  if (concentrated !== null) {
    // Told as epsilon, which is what people compare; it grows with the root of rho, so the parts do not add up.
    const epsilonOf = (nanoRho: bigint): bigint => BigInt(microEpsilonOf(Number(nanoRho), concentrated.delta));
    return {
      microEpsilonSpent: epsilonOf(spent),
      microEpsilonReserved: epsilonOf(spent + held) - epsilonOf(spent),
      microEpsilonLimit: concentrated.nanoRhoLimit === null ? null : epsilonOf(concentrated.nanoRhoLimit + toppedUp),
      periodEndsAtMs,
    };
  }
  return {
    microEpsilonSpent: spent,
    microEpsilonReserved: held,
    microEpsilonLimit: microEpsilonTotal === null ? null : BigInt(microEpsilonTotal) + toppedUp,
    periodEndsAtMs,
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
  const budget = consumerBudget('count', { dataset, consumer, rule });
  const balance = await needs.store.balance(budget, count.perMs ?? undefined);
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
    periodEndsAtMs: await periodEnd(needs, budget, count.perMs),
  };
}

/** When something that counts against the budget counts no more; null without a period, or while nothing counts. */
async function periodEnd(needs: GatewayNeeds, budget: BudgetId, periodMs: number | null): Promise<number | null> {
  if (periodMs === null) return null;
  const oldest = await needs.store.oldestUse(budget, periodMs);
  return oldest === null ? null : oldest + periodMs;
}

const mayRead = (caller: Caller, body: AgreementBody): boolean =>
  body.consumer === caller.party || body.provider === caller.party || hasRole(caller, 'operator', 'auditor');

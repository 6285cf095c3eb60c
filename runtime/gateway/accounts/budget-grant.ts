import type { GrantBudgetRequest, GrantBudgetResponse } from '../../gen/messages.ts';
import type { Caller } from '../../identity/party.ts';
import { type BudgetId, consumerBudget, datasetBudget } from '../../ledger/budget.ts';
import { Fault } from '../../rpc/fault.ts';
import type { AllowRule } from '../../policy/model.ts';
import { requireRole } from '../access.ts';
import { pinnedPolicy } from '../agreement-record.ts';
import type { GatewayNeeds } from '../needs.ts';
import { type AgreementBody, type DatasetBody, policyOf } from '../records.ts';
import { applyTopUp } from './top-up.ts';

/** What can be enlarged; everything else that is counted has no limit that a top-up could move. */
const KINDS = ['microEpsilon', 'nanoRho', 'femtoDelta', 'count'] as const;
const MODES: readonly string[] = ['aggregate', 'differentialPrivacy', 'sandbox', 'homomorphic', 'approvedCode', 'any'];

/** Enlarges one budget by a signed order of the dataset's provider. */
export async function grantBudget(
  needs: GatewayNeeds,
  caller: Caller,
  request: GrantBudgetRequest,
): Promise<GrantBudgetResponse> {
  requireRole(caller, 'grant budgets', 'provider');
  const dataset = needs.store.peek<DatasetBody>('dataset', request.dataset);
  if (dataset?.owner !== caller.party)
    throw new Fault('not-found', `cannot grant a budget of \`${request.dataset}\`: you have no such dataset`);
  const budget = budgetOf(request);
  checkMeasure(needs, request);
  return { budget, toppedUp: await applyTopUp(needs, caller, { ...request, budget }) };
}

/** A grant to a budget that limits nothing would be signed, on record, and worth nothing. */
function checkMeasure(needs: GatewayNeeds, { dataset, consumer, mode, kind }: GrantBudgetRequest): void {
  if (consumer === '') return;
  const all = needs.store
    .peekAll<AgreementBody>('agreement')
    .filter(({ state, body }) => state === 'active' && body.dataset === dataset && body.consumer === consumer)
    .flatMap(({ body }) => {
      const policy = pinnedPolicy(needs, body);
      return policy === undefined ? [] : policyOf(policy.body).allow;
    });
  const rules = all.filter((rule) => rule.mode === mode);
  if (all.length > 0 && rules.length === 0) {
    const modes = [...new Set(all.map((rule) => rule.mode))].join(', ');
    throw new Fault(
      'argument-not-valid',
      `\`${consumer}\` uses \`${dataset}\` under no rule of mode \`${mode}\`, so there is nothing to enlarge: name one of ${modes}`,
    );
  }
  const isConcentrated = ({ release }: AllowRule): boolean => 'accounting' in release && release.accounting === 'zcdp';
  if (kind === 'microEpsilon' && rules.length > 0 && rules.every(isConcentrated))
    throw new Fault(
      'argument-not-valid',
      `losses of \`${consumer}\` under \`${mode}\` add up as rho (\`accounting: zcdp\`), which epsilon does not enlarge: grant rho`,
    );
  if (kind === 'nanoRho' && rules.length > 0 && !rules.some(isConcentrated))
    throw new Fault(
      'argument-not-valid',
      `losses of \`${consumer}\` under \`${mode}\` add up as epsilon, which rho does not enlarge: grant epsilon`,
    );
}

function budgetOf({ dataset, consumer, mode, kind }: GrantBudgetRequest): BudgetId {
  const wanted = KINDS.find((one) => one === kind);
  if (wanted === undefined)
    throw new Fault(
      'argument-not-valid',
      `a budget of \`${kind}\` cannot be enlarged; choose one of ${KINDS.join(', ')}`,
    );
  if (consumer === '') {
    if (wanted !== 'microEpsilon' || mode !== '')
      throw new Fault('argument-not-valid', 'over all consumers only `microEpsilon` is limited, whatever the mode');
    return datasetBudget(wanted, { dataset });
  }
  if (!MODES.includes(mode)) throw new Fault('argument-not-valid', `there is no mode \`${mode}\``);
  return consumerBudget(wanted, { dataset, consumer, rule: mode });
}

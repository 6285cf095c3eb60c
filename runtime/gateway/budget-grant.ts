import type { GrantBudgetRequest, GrantBudgetResponse } from '../gen/messages.ts';
import type { Caller } from '../identity/party.ts';
import { type BudgetId, consumerBudget, datasetBudget } from '../ledger/budget.ts';
import { Fault } from '../rpc/fault.ts';
import { requireRole } from './access.ts';
import type { GatewayNeeds } from './needs.ts';
import type { DatasetBody } from './records.ts';
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
  return { budget, toppedUp: await applyTopUp(needs, caller, { ...request, budget }) };
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

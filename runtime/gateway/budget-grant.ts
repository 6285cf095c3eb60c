import { isTopUpSigned, type TopUp } from '../contract/top-up.ts';
import type { GrantBudgetRequest, GrantBudgetResponse } from '../gen/messages.ts';
import type { Caller } from '../identity/party.ts';
import { type BudgetId, consumerBudget, datasetBudget, MAX_AMOUNT } from '../ledger/budget.ts';
import { Fault } from '../rpc/fault.ts';
import { requireRole } from './access.ts';
import { signingKey } from './agreement-record.ts';
import type { GatewayNeeds } from './needs.ts';
import type { DatasetBody } from './records.ts';

/** What can be enlarged; everything else that is counted has no limit that a top-up could move. */
const KINDS = ['microEpsilon', 'nanoRho', 'femtoDelta', 'count'] as const;
const MODES: readonly string[] = ['aggregate', 'differentialPrivacy', 'sandbox', 'homomorphic', 'approvedCode', 'any'];
const MAX_ORDER_CHARACTERS = 4096;

/**
 * Enlarges one budget by a signed order of the dataset's provider, once: the same order again is refused. The order, its
 * signature and its effect are recorded together.
 */
export async function grantBudget(
  needs: GatewayNeeds,
  caller: Caller,
  request: GrantBudgetRequest,
): Promise<GrantBudgetResponse> {
  requireRole(caller, 'grant budgets', 'provider');
  const order = orderOf(request.order);
  const dataset = needs.store.peek<DatasetBody>('dataset', request.dataset);
  if (dataset?.owner !== caller.party)
    throw new Fault('not-found', `cannot grant a budget of \`${request.dataset}\`: you have no such dataset`);
  const budget = budgetOf(request);
  if (order.budget !== budget)
    throw new Fault('argument-not-valid', `the order is for the budget \`${order.budget}\`, not for \`${budget}\``);
  if (order.by !== caller.party) throw new Fault('argument-not-valid', 'the order is not yours');
  const raw = caller.signingPublicKey;
  if (raw === null || !isTopUpSigned(order, request.signature, signingKey(raw)))
    throw new Fault('signature-not-valid', 'the order is not signed with your key');
  const digest = needs.sha256(request.order);
  const atMs = needs.nowMs();
  const before = await needs.store.balance(budget);
  if (before.toppedUp + BigInt(order.amount) > MAX_AMOUNT / 4n)
    throw new Fault('argument-not-valid', 'the budget would be larger than a budget can be');
  const outcome = await needs.store.transact([
    {
      do: 'topUp',
      id: order.id,
      budget,
      amount: BigInt(order.amount),
      body: { order: request.order, signature: request.signature },
    },
    {
      do: 'record',
      event: {
        kind: 'budget.toppedUp',
        atMs,
        subjects: [{ name: `topUp/${order.id}`, sha256: digest }],
        facts: { by: needs.pseudonymOf(caller.party), amount: order.amount, kind: request.kind },
      },
    },
  ]);
  if (outcome.kind === 'refused') throw new Fault('conflict', `the order \`${order.id}\` was applied before`);
  return { budget, toppedUp: (await needs.store.balance(budget)).toppedUp };
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

/** Reads a signed order; throws the fault that says what it must hold. Its signature is checked by the caller. */
export function orderOf(text: string): TopUp {
  let read: unknown;
  try {
    read = text.length > MAX_ORDER_CHARACTERS ? null : JSON.parse(text);
  } catch {
    read = null;
  }
  const { id, budget, amount, by, atMs } = (read ?? {}) as Readonly<Record<string, unknown>>;
  const isOrder =
    typeof id === 'string' &&
    /^[A-Za-z0-9-]{8,64}$/.test(id) &&
    typeof budget === 'string' &&
    budget.length <= 1024 &&
    typeof amount === 'string' &&
    /^[1-9][0-9]{0,17}$/.test(amount) &&
    typeof by === 'string' &&
    Number.isSafeInteger(atMs);
  if (!isOrder)
    throw new Fault(
      'argument-not-valid',
      'the order is not one: it needs an id, a budget, a positive whole amount, by and atMs',
    );
  return { id, budget, amount, by, atMs: Number(atMs) };
}

import { isTopUpSigned, type TopUp } from '../../contract/top-up.ts';
import type { Caller } from '../../identity/party.ts';
import { type BudgetId, MAX_AMOUNT } from '../../ledger/budget.ts';
import { Fault } from '../../rpc/fault.ts';
import { signingKey } from '../agreement-record.ts';
import type { GatewayNeeds } from '../needs.ts';

const MAX_ORDER_CHARACTERS = 4096;

/** What somebody asks for whom the calling service found entitled to enlarge `budget`, which is of `kind`. */
interface TopUpRequest {
  readonly budget: BudgetId;
  readonly kind: string;
  /** JSON of a TopUp, as it was signed. */
  readonly order: string;
  readonly signature: string;
}

/**
 * Enlarges a budget by an order that the caller signed, once: the same order again is refused. The order, its signature
 * and its effect are recorded together. Answers by how much the budget was enlarged in all.
 */
export async function applyTopUp(needs: GatewayNeeds, caller: Caller, request: TopUpRequest): Promise<bigint> {
  const { budget, kind } = request;
  const order = orderOf(request.order);
  if (order.budget !== budget)
    throw new Fault('argument-not-valid', `the order is for the budget \`${order.budget}\`, not for \`${budget}\``);
  if (order.by !== caller.party) throw new Fault('argument-not-valid', 'the order is not yours');
  const raw = caller.signingPublicKey;
  if (raw === null || !isTopUpSigned(order, request.signature, signingKey(raw)))
    throw new Fault('signature-not-valid', 'the order is not signed with your key');
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
        atMs: needs.nowMs(),
        subjects: [{ name: `topUp/${order.id}`, sha256: needs.sha256(request.order) }],
        facts: { by: needs.pseudonymOf(caller.party), amount: order.amount, kind },
      },
    },
  ]);
  if (outcome.kind === 'refused') throw new Fault('conflict', `the order \`${order.id}\` was applied before`);
  return (await needs.store.balance(budget)).toppedUp;
}

/** Reads an order; throws the fault that says what it must hold. */
function orderOf(text: string): TopUp {
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

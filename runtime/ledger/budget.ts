/**
 * Names one budget. It is made of dataset, consumer and kind, never of a policy version: editing a policy changes
 * the limit that is asked for, and finds the spending where it was. A policy edit can never refill a budget.
 */
export type BudgetId = string & { readonly brand: 'BudgetId' };

/**
 * What a budget counts. Amounts are whole: micro-epsilon, nano-rho (zCDP), femto-delta, uses, rows, cells, bytes, minor
 * currency units.
 */
export const BUDGET_KINDS = [
  'microEpsilon',
  'nanoRho',
  'femtoDelta',
  'microDelta',
  'count',
  'calls',
  'rows',
  'cells',
  'bytes',
  'credit',
] as const;
export type BudgetKind = (typeof BUDGET_KINDS)[number];

/** The largest amount that a budget may hold: what a signed 64-bit column holds. */
export const MAX_AMOUNT = 2n ** 63n - 1n;

/** What one consumer spends on one dataset under one kind of rule (`rule` is the rule's mode, e.g. `aggregate`). */
export function consumerBudget(
  kind: BudgetKind,
  scope: { readonly dataset: string; readonly consumer: string; readonly rule: string },
): BudgetId {
  return idOf([kind, 'dataset', scope.dataset, 'consumer', scope.consumer, 'rule', scope.rule]);
}

/** What all consumers together spend on one dataset. */
export function datasetBudget(kind: BudgetKind, scope: { readonly dataset: string }): BudgetId {
  return idOf([kind, 'dataset', scope.dataset]);
}

/** What is spent under one agreement, e.g. its prepaid credit. */
export function agreementBudget(kind: BudgetKind, scope: { readonly agreement: string }): BudgetId {
  return idOf([kind, 'agreement', scope.agreement]);
}

/** What all consumers in one place outside have been given. */
export function destinationBudget(kind: BudgetKind, scope: { readonly destination: string }): BudgetId {
  return idOf([kind, 'destination', scope.destination]);
}

/** What a budget counts, read from its name. */
export function kindOf(budget: BudgetId): string {
  return budget.split('/')[0] ?? '';
}

/** Whether some policy can limit the budget by a window: uses and privacy losses. */
export function mayHaveWindow(budget: BudgetId): boolean {
  return WINDOWED_KINDS.has(kindOf(budget));
}
const WINDOWED_KINDS: ReadonlySet<string> = new Set<BudgetKind>(['count', 'microEpsilon', 'nanoRho', 'femtoDelta']);

/** Where a budget stands. `spent` counts what is inside the window only, when the limit has one. */
export interface Balance {
  /** Committed for good. */
  readonly spent: bigint;
  /** Reserved by jobs whose end is not known yet: counts like spent. */
  readonly held: bigint;
  /** Added to the policy's limit by signed top-ups. */
  readonly toppedUp: bigint;
}

export const EMPTY_BALANCE: Balance = { spent: 0n, held: 0n, toppedUp: 0n };

/** What can still be reserved under this limit; never negative, although a lowered limit can lie below the spending. */
export function remaining(balance: Balance, limit: bigint): bigint {
  const left = limit + balance.toppedUp - balance.spent - balance.held;
  return left > 0n ? left : 0n;
}

/** A balance after a signed top-up; throws a RangeError for an amount that is not positive or too large. */
export function topUp(balance: Balance, amount: bigint): Balance {
  if (amount <= 0n || balance.toppedUp + amount > MAX_AMOUNT) throw new RangeError(`cannot top up by ${amount}`);
  return { ...balance, toppedUp: balance.toppedUp + amount };
}

/** Segments are escaped so that no choice of names makes two budgets one. */
function idOf(segments: readonly string[]): BudgetId {
  return segments.map((segment) => encodeURIComponent(segment)).join('/') as BudgetId;
}

import { MAX_AMOUNT, remaining, type Balance, type BudgetId } from './budget.ts';

/** One budget that a job draws on. */
export interface BudgetLine {
  readonly budget: BudgetId;
  readonly amount: bigint;
  /** The most that may ever be held and spent together, before top-ups; inside the window, when there is one. */
  readonly limit: bigint;
  /** Length of the sliding window in milliseconds: what was spent earlier counts no more. Absent: for ever. */
  readonly windowMs?: number;
  /**
   * Whether the part that a job turned out not to need goes back at commit. Only for what is measured (rows, cells,
   * bytes, price); a privacy loss or a use is spent whole, whatever came of it.
   */
  readonly returnsUnused?: boolean;
}

/**
 * held: nothing was computed on data yet. touched: a worker may have seen data, so the privacy loss may have happened.
 * committed: spent for good. returned: given back, as if it had never been.
 */
export type ReservationState = 'held' | 'touched' | 'committed' | 'returned';

export interface Reservation {
  readonly id: string;
  readonly state: ReservationState;
  readonly lines: readonly BudgetLine[];
}

export const MAX_LINES = 64;

export type ReserveAnswer =
  | { readonly kind: 'reserved'; readonly balances: ReadonlyMap<BudgetId, Balance> }
  | {
      readonly kind: 'exhausted';
      readonly budget: BudgetId;
      /** The limit that applied, top-ups included. */
      readonly limit: bigint;
      /** Spent and held by others. */
      readonly spent: bigint;
      readonly asked: bigint;
    };

/**
 * Holds every line's amount, or none: the first budget that cannot bear it refuses the whole. Lines of one budget add
 * up. `balanceOf` gives where each budget stands now. Throws a RangeError for amounts that make no sense.
 */
export function reserve(balanceOf: (line: BudgetLine) => Balance, lines: readonly BudgetLine[]): ReserveAnswer {
  checkLines(lines);
  const balances = new Map<BudgetId, Balance>();
  for (const line of lines) {
    const before = balances.get(line.budget) ?? balanceOf(line);
    if (line.amount > remaining(before, line.limit)) {
      const limit = line.limit + before.toppedUp;
      return { kind: 'exhausted', budget: line.budget, limit, spent: before.spent + before.held, asked: line.amount };
    }
    balances.set(line.budget, { ...before, held: before.held + line.amount });
  }
  return { kind: 'reserved', balances };
}

/** How a reservation ends: per line what leaves `held` and what enters `spent`. */
export interface Settlement {
  readonly state: 'committed' | 'returned';
  readonly lines: readonly { readonly budget: BudgetId; readonly held: bigint; readonly spent: bigint }[];
}

export type SettleAnswer =
  | { readonly kind: 'settled'; readonly settlement: Settlement }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Spends a reservation. `used` may name less than was reserved, for lines that return what is unused; using more than
 * was reserved is a fault of the caller: the release would be worth more than the budget that was checked.
 */
export function commit(reservation: Reservation, used: ReadonlyMap<BudgetId, bigint> = new Map()): SettleAnswer {
  if (isSettled(reservation.state)) return refused(`the reservation is already ${reservation.state}`);
  const left = new Map(used);
  const lines: { budget: BudgetId; held: bigint; spent: bigint }[] = [];
  for (const line of reservation.lines) {
    const rest = left.get(line.budget);
    const spent = rest === undefined || line.returnsUnused !== true ? line.amount : minimum(rest, line.amount);
    if (spent < 0n) return refused(`budget '${line.budget}' cannot use ${spent}`);
    if (rest !== undefined) left.set(line.budget, rest > spent ? rest - spent : 0n);
    lines.push({ budget: line.budget, held: line.amount, spent });
  }
  for (const [budget, rest] of left) if (rest > 0n) return refused(`'${budget}' used ${rest} more than was reserved`);
  return { kind: 'settled', settlement: { state: 'committed', lines } };
}

/** Gives a reservation back, which only one that never touched data may. */
export function giveBack(reservation: Reservation): SettleAnswer {
  if (reservation.state !== 'held') {
    return refused(
      reservation.state === 'touched' ? 'data was touched' : `the reservation is already ${reservation.state}`,
    );
  }
  const lines = reservation.lines.map((line) => ({ budget: line.budget, held: line.amount, spent: 0n }));
  return { kind: 'settled', settlement: { state: 'returned', lines } };
}

/**
 * How an unfinished reservation ends when its job died: spent when data was touched, given back when surely not. What is
 * measured goes back even then: nothing was released, so there is nothing to bill.
 */
export function settleUnfinished(reservation: Reservation): SettleAnswer {
  if (reservation.state !== 'touched') return giveBack(reservation);
  const measured = reservation.lines.filter(({ returnsUnused }) => returnsUnused === true);
  return commit(reservation, new Map(measured.map(({ budget }) => [budget, 0n])));
}

/** A balance after one line of a settlement. */
export function settle(balance: Balance, line: { readonly held: bigint; readonly spent: bigint }): Balance {
  const held = balance.held - line.held;
  // INVARIANT: nothing leaves `held` that was not put there.
  if (held < 0n) throw new RangeError(`cannot settle ${line.held}: only ${balance.held} is held`);
  return { ...balance, held, spent: balance.spent + line.spent };
}

export function isSettled(state: ReservationState): boolean {
  return state === 'committed' || state === 'returned';
}

function checkLines(lines: readonly BudgetLine[]): void {
  if (lines.length > MAX_LINES) throw new RangeError(`${lines.length} budget lines are above ${MAX_LINES}`);
  for (const { budget, amount, limit, windowMs } of lines) {
    if (amount < 0n || amount > MAX_AMOUNT) throw new RangeError(`budget '${budget}' cannot reserve ${amount}`);
    if (limit < 0n || limit > MAX_AMOUNT) throw new RangeError(`budget '${budget}' cannot have limit ${limit}`);
    if (windowMs !== undefined && (!Number.isSafeInteger(windowMs) || windowMs <= 0)) {
      throw new RangeError(`budget '${budget}' cannot have a window of ${windowMs} ms`);
    }
  }
}

function minimum(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}

function refused(reason: string): SettleAnswer {
  return { kind: 'refused', reason };
}

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Json } from '../evidence/canonical-json.ts';
import { mayHaveWindow, topUp, type Balance, type BudgetId } from '../ledger/budget.ts';
import { reserve, settle, type BudgetLine, type Reservation, type Settlement } from '../ledger/reservation.ts';
import { StoreFault } from './fault.ts';
import type { RowDigest } from './rows.ts';

/** A balance as it is stored: `window*` carries the sliding sum of the part that a windowed limit looks at. */
interface BalanceRow {
  readonly spent: bigint;
  readonly held: bigint;
  readonly toppedUp: bigint;
  /** The window that `windowSpent` was computed for; 0 when none ever was. */
  readonly windowMs: bigint;
  readonly windowSpent: bigint;
  /** Uses at or before this time are no longer in `windowSpent`. */
  readonly windowFrom: bigint;
}

const NO_ROW: BalanceRow = { spent: 0n, held: 0n, toppedUp: 0n, windowMs: 0n, windowSpent: 0n, windowFrom: 0n };

/** The ledger's rules (runtime/ledger) over rows. Every write moves the state digest. */
export class LedgerRows {
  readonly #digest: RowDigest;
  readonly #get: StatementSync;
  readonly #insert: StatementSync;
  readonly #hold: StatementSync;
  readonly #update: StatementSync;
  readonly #addUse: StatementSync;
  readonly #sumUses: StatementSync;
  readonly #oldestUse: StatementSync;
  readonly #sumOrders: StatementSync;

  constructor(database: DatabaseSync, digest: RowDigest) {
    this.#digest = digest;
    this.#get = database.prepare('select * from balance where budget = ?');
    this.#get.setReadBigInts(true);
    this.#insert = database.prepare('insert into balance values (?, 0, 0, 0, 0, 0, 0)');
    // The pure rule has decided already; the condition is repeated here so that no path can pass the limit.
    this.#hold = database.prepare(`update balance set held = held + $amount where budget = $budget
      and $counted + held + $amount <= $limit + $toppedUp`);
    this.#update = database.prepare(`update balance set spent = ?, held = ?, topped_up = ?, window_ms = ?,
      window_spent = ?, window_from = ? where budget = ?`);
    this.#addUse = database.prepare('insert into use values (?, ?, ?, ?, ?)');
    this.#sumUses = database.prepare(
      'select coalesce(sum(amount), 0) as sum from use where budget = ? and at > ? and at <= ?',
    );
    this.#sumUses.setReadBigInts(true);
    this.#oldestUse = database.prepare('select min(at) as at from use where budget = ? and at > ?');
    // Orders are kept whole (operations.ts); those of before have their amount in the text that was signed.
    this.#sumOrders = database.prepare(`select coalesce(sum(cast(coalesce(json_extract(body, '$.amount'),
      json_extract(json_extract(body, '$.order'), '$.amount')) as integer)), 0) as sum
      from record where kind = 'topUp' and kind <> 'reservation' and owner = ? and at > ?`);
    this.#sumOrders.setReadBigInts(true);
  }

  /** Where a budget stands for a limit with this window (none: for ever). */
  balance(budget: BudgetId, windowMs: number | undefined, nowMs: number): Balance {
    const row = this.#row(budget) ?? NO_ROW;
    const spent = windowMs === undefined ? row.spent : this.#slide(budget, row, windowMs, nowMs).windowSpent;
    return { spent, held: row.held, toppedUp: this.#toppedUp(budget, row, windowMs, nowMs) };
  }

  /** Added once: what is added to a limit with a window leaves it like a use, or every window to come would have it again. */
  #toppedUp(budget: BudgetId, row: BalanceRow, windowMs: number | undefined, nowMs: number): bigint {
    if (windowMs === undefined || row.toppedUp === 0n) return row.toppedUp;
    return this.#sumOrders.get(budget, Math.max(0, nowMs - windowMs))?.['sum'] as bigint;
  }

  /** When the first use was reserved that the window still counts; null when it counts none. */
  oldestUse(budget: BudgetId, windowMs: number, nowMs: number): number | null {
    return this.#oldestUse.get(budget, Math.max(0, nowMs - windowMs))?.['at'] as number | null;
  }

  /** Holds every line or none. */
  reserve(lines: readonly BudgetLine[], nowMs: number): ReturnType<typeof reserve> {
    const answer = reserve((line) => this.balance(line.budget, line.windowMs, nowMs), lines);
    if (answer.kind === 'exhausted') return answer;
    for (const line of lines) this.#holdLine(line, nowMs);
    return answer;
  }

  /**
   * Books the end of a reservation; its uses count from the time they were reserved. INVARIANT: when is kept also of what no
   * window limited. Another rule, or the next policy, may limit the same budget by one, and has to find it spent.
   */
  settle(reservation: StoredReservation, settlement: Settlement): void {
    for (const [index, line] of settlement.lines.entries()) {
      const row = this.#row(line.budget);
      if (row === undefined)
        throw new StoreFault('state-tampered', `the balance '${line.budget}' of a reservation is missing`);
      const after = settle(row, line);
      const isTimed = reservation.lines[index]?.windowMs !== undefined || mayHaveWindow(line.budget);
      const isInWindow = isTimed && row.windowMs > 0n && BigInt(reservation.atMs) > row.windowFrom;
      const windowSpent = isInWindow ? row.windowSpent + line.spent : row.windowSpent;
      this.#write(line.budget, row, { ...row, spent: after.spent, held: after.held, windowSpent });
      if (isTimed && line.spent > 0n) {
        const use = [line.budget, BigInt(reservation.atMs), reservation.id, BigInt(index), line.spent] as const;
        this.#addUse.run(...use);
        this.#digest.add('use', use);
      }
    }
  }

  topUp(budget: BudgetId, amount: bigint): Balance {
    const row = this.#rowOrNew(budget);
    const after = { ...row, toppedUp: topUp(row, amount).toppedUp };
    this.#write(budget, row, after);
    return { spent: after.spent, held: after.held, toppedUp: after.toppedUp };
  }

  #holdLine(line: BudgetLine, nowMs: number): void {
    const { budget, amount, limit, windowMs } = line;
    let row = this.#rowOrNew(budget);
    if (windowMs !== undefined) {
      const slid = this.#slide(budget, row, windowMs, nowMs);
      if (slid !== row) this.#write(budget, row, slid);
      row = slid;
    }
    const $counted = windowMs === undefined ? row.spent : row.windowSpent;
    const $toppedUp = this.#toppedUp(budget, row, windowMs, nowMs);
    const { changes } = this.#hold.run({ $amount: amount, $budget: budget, $counted, $limit: limit, $toppedUp });
    // INVARIANT: a debit changes exactly one row, or the transaction ends here.
    if (Number(changes) !== 1) throw new StoreFault('state-misuse', `budget '${budget}' was not debited`);
    this.#digest.subtract('balance', columnsOf(budget, row));
    this.#digest.add('balance', columnsOf(budget, { ...row, held: row.held + amount }));
  }

  /** The row with its window moved up to now; computed from all uses when the window's length changed. */
  #slide(budget: BudgetId, row: BalanceRow, windowMs: number, nowMs: number): BalanceRow {
    const from = BigInt(Math.max(0, nowMs - windowMs));
    if (row.windowMs !== BigInt(windowMs)) {
      const windowSpent = this.#sum(budget, from, MAX_TIME);
      return { ...row, windowMs: BigInt(windowMs), windowSpent, windowFrom: from };
    }
    if (from <= row.windowFrom) return row;
    return { ...row, windowSpent: row.windowSpent - this.#sum(budget, row.windowFrom, from), windowFrom: from };
  }

  #sum(budget: BudgetId, after: bigint, upTo: bigint): bigint {
    return this.#sumUses.get(budget, after, upTo)?.['sum'] as bigint;
  }

  #row(budget: BudgetId): BalanceRow | undefined {
    const row = this.#get.get(budget) as Record<string, bigint> | undefined;
    if (row === undefined) return undefined;
    return {
      spent: row['spent'] ?? 0n,
      held: row['held'] ?? 0n,
      toppedUp: row['topped_up'] ?? 0n,
      windowMs: row['window_ms'] ?? 0n,
      windowSpent: row['window_spent'] ?? 0n,
      windowFrom: row['window_from'] ?? 0n,
    };
  }

  #rowOrNew(budget: BudgetId): BalanceRow {
    const row = this.#row(budget);
    if (row !== undefined) return row;
    this.#insert.run(budget);
    this.#digest.add('balance', columnsOf(budget, NO_ROW));
    return NO_ROW;
  }

  #write(budget: BudgetId, before: BalanceRow, after: BalanceRow): void {
    const { spent, held, toppedUp, windowMs, windowSpent, windowFrom } = after;
    this.#update.run(spent, held, toppedUp, windowMs, windowSpent, windowFrom, budget);
    this.#digest.subtract('balance', columnsOf(budget, before));
    this.#digest.add('balance', columnsOf(budget, after));
  }
}

/** A reservation with the job it is for and the time it was made. */
export interface StoredReservation extends Reservation {
  readonly job: string;
  readonly atMs: number;
}

/** A reservation's lines as JSON: amounts as decimal strings, since JSON numbers lose whole numbers above 2^53. */
export function linesToJson(lines: readonly BudgetLine[]): Json {
  return lines.map(({ budget, amount, limit, windowMs, returnsUnused }) => ({
    budget,
    amount: String(amount),
    limit: String(limit),
    ...(windowMs === undefined ? {} : { windowMs }),
    ...(returnsUnused === true ? { returnsUnused } : {}),
  }));
}

export function linesFromJson(lines: Json): BudgetLine[] {
  return (lines as { budget: string; amount: string; limit: string; windowMs?: number; returnsUnused?: boolean }[]).map(
    (line) => ({ ...line, budget: line.budget as BudgetId, amount: BigInt(line.amount), limit: BigInt(line.limit) }),
  );
}

const MAX_TIME = 2n ** 62n;

function columnsOf(budget: string, row: BalanceRow): (string | bigint)[] {
  return [budget, row.spent, row.held, row.toppedUp, row.windowMs, row.windowSpent, row.windowFrom];
}

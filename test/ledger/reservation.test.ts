import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import {
  agreementBudget,
  consumerBudget,
  datasetBudget,
  EMPTY_BALANCE,
  MAX_AMOUNT,
  remaining,
  topUp,
} from '../../runtime/ledger/budget.ts';
import type { Balance, BudgetId } from '../../runtime/ledger/budget.ts';
import {
  commit,
  giveBack,
  reserve,
  settle,
  settleUnfinished,
  type BudgetLine,
  type Reservation,
} from '../../runtime/ledger/reservation.ts';

const ONE = datasetBudget('microEpsilon', { dataset: 'one' });
const TWO = datasetBudget('rows', { dataset: 'two' });
const LIMITS = new Map<BudgetId, bigint>([
  [ONE, 50n],
  [TWO, 80n],
]);

test('no interleaving of reservations, ends and crashes ever holds and spends more than the limit', () => {
  const line = fc.record({
    budget: fc.constantFrom(ONE, TWO),
    amount: fc.bigInt({ min: 0n, max: 30n }),
    returnsUnused: fc.boolean(),
  });
  const command = fc.oneof(
    fc.record({ do: fc.constant('reserve' as const), lines: fc.array(line, { maxLength: 3 }) }),
    fc.record({
      do: fc.constantFrom('touch', 'commit', 'giveBack', 'crash'),
      which: fc.nat(20),
      used: fc.bigInt({ min: 0n, max: 30n }),
    }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const balances = new Map<BudgetId, Balance>();
      const reservations: Reservation[] = [];
      const balanceOf = (budget: BudgetId): Balance => balances.get(budget) ?? EMPTY_BALANCE;
      for (const one of commands) {
        if (one.do === 'reserve' && 'lines' in one) {
          const lines: BudgetLine[] = one.lines.map((part) => ({ ...part, limit: LIMITS.get(part.budget) ?? 0n }));
          const answer = reserve((part) => balanceOf(part.budget), lines);
          if (answer.kind === 'exhausted') continue;
          for (const [budget, balance] of answer.balances) balances.set(budget, balance);
          reservations.push({ id: String(reservations.length), state: 'held', lines });
        } else if ('which' in one && reservations.length > 0) {
          const at = one.which % reservations.length;
          const reservation = reservations[at];
          if (reservation === undefined) continue;
          if (one.do === 'touch') {
            if (reservation.state === 'held') reservations[at] = { ...reservation, state: 'touched' };
            continue;
          }
          const used = new Map(
            reservation.lines.map((part) => [part.budget, one.used < part.amount ? one.used : part.amount]),
          );
          const answer =
            one.do === 'commit'
              ? commit(reservation, used)
              : one.do === 'giveBack'
                ? giveBack(reservation)
                : settleUnfinished(reservation);
          if (answer.kind === 'refused') continue;
          if (reservation.state === 'touched') assert.equal(answer.settlement.state, 'committed');
          for (const part of answer.settlement.lines) balances.set(part.budget, settle(balanceOf(part.budget), part));
          reservations[at] = { ...reservation, state: answer.settlement.state };
        }
        for (const [budget, limit] of LIMITS) {
          const { spent, held } = balanceOf(budget);
          const open = reservations.filter((each) => each.state === 'held' || each.state === 'touched');
          const reserved = open.flatMap((each) => each.lines).filter((each) => each.budget === budget);
          assert.ok(spent >= 0n && spent + held <= limit);
          assert.equal(
            held,
            reserved.reduce((sum, each) => sum + each.amount, 0n),
            'held is the sum of the open reservations',
          );
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('a refused reservation names the budget, its limit, what is spent and what was asked', () => {
  const balance = { spent: 3n, held: 4n, toppedUp: 1n };
  const answer = reserve(() => balance, [{ budget: ONE, amount: 4n, limit: 9n }]);
  assert.deepEqual(answer, { kind: 'exhausted', budget: ONE, limit: 10n, spent: 7n, asked: 4n });
  assert.equal(reserve(() => balance, [{ budget: ONE, amount: 3n, limit: 9n }]).kind, 'reserved');
});

test('two lines on one budget add up', () => {
  const line = { budget: ONE, amount: 6n, limit: 10n };
  assert.equal(reserve(() => EMPTY_BALANCE, [line, line]).kind, 'exhausted');
});

test('using more than was reserved, or a budget that was not, is refused', () => {
  const reservation: Reservation = {
    id: 'r',
    state: 'touched',
    lines: [{ budget: ONE, amount: 5n, limit: 9n, returnsUnused: true }],
  };
  assert.equal(commit(reservation, new Map([[ONE, 6n]])).kind, 'refused');
  assert.equal(commit(reservation, new Map([[TWO, 1n]])).kind, 'refused');
  assert.equal(commit(reservation, new Map([[ONE, -1n]])).kind, 'refused');
});

test('what touched data is never given back, and nothing settles twice', () => {
  const lines = [{ budget: ONE, amount: 5n, limit: 9n }];
  assert.deepEqual(giveBack({ id: 'r', state: 'touched', lines }), { kind: 'refused', reason: 'data was touched' });
  for (const state of ['committed', 'returned'] as const) {
    assert.equal(commit({ id: 'r', state, lines }).kind, 'refused');
    assert.equal(giveBack({ id: 'r', state, lines }).kind, 'refused');
  }
});

test('amounts that make no sense are faults', () => {
  for (const bad of [
    { amount: -1n },
    { amount: MAX_AMOUNT + 1n },
    { limit: -1n },
    { windowMs: 0 },
    { windowMs: 0.5 },
  ]) {
    assert.throws(() => reserve(() => EMPTY_BALANCE, [{ budget: ONE, amount: 1n, limit: 1n, ...bad }]), RangeError);
  }
  assert.throws(() => topUp(EMPTY_BALANCE, 0n), RangeError);
});

test('a lowered limit leaves nothing, never less than nothing', () => {
  assert.equal(remaining({ spent: 8n, held: 0n, toppedUp: 0n }, 5n), 0n);
});

test('no choice of names makes two budgets one', () => {
  const name = fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom('a', '/', '%', '2', 'F', ' ') });
  fc.assert(
    fc.property(fc.tuple(name, name, name), fc.tuple(name, name, name), (one, other) => {
      const idOf = ([dataset, consumer, rule]: [string, string, string]): string =>
        consumerBudget('count', { dataset, consumer, rule });
      assert.equal(
        idOf(one) === idOf(other),
        one.every((part, index) => part === other[index]),
      );
    }),
  );
  assert.notEqual(agreementBudget('credit', { agreement: 'x' }), datasetBudget('credit', { dataset: 'x' }));
});

test('a job that died after touching data keeps its use spent, and is not billed', () => {
  const use = { budget: agreementBudget('calls', { agreement: 'a1' }), amount: 1n, limit: 10n };
  const credit = {
    budget: agreementBudget('credit', { agreement: 'a1' }),
    amount: 90n,
    limit: 100n,
    returnsUnused: true,
  };
  const answer = settleUnfinished({ id: 'j1', state: 'touched', lines: [use, credit] });
  assert.deepEqual(answer.kind === 'settled' ? answer.settlement.lines.map(({ spent }) => spent) : [], [1n, 0n]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { creditLimit, priceOf, type PricePlan } from '../../runtime/metering/price.ts';
import { shapleyValues, splitByLargestRemainder, splitByShapley } from '../../runtime/metering/split.ts';
import { toFocusCsv } from '../../runtime/metering/focus.ts';
import { majorUnits } from '../../runtime/metering/money.ts';
import { statementOf } from '../../runtime/metering/statement.ts';
import { addMeters, NO_USE, usageEvent, type Meters, type UsageEvent } from '../../runtime/metering/usage.ts';

const AT = Date.UTC(2026, 5, 1);
const PERIOD = { fromMs: AT, toMs: AT + 86_400_000 };
const PLAN: PricePlan = {
  currency: 'CNY',
  prices: [
    { meter: 'calls', priceMinor: 80, per: 1, freeUnits: 2 },
    { meter: 'rowsScanned', priceMinor: 1, per: 1000, freeUnits: 0 },
  ],
  payment: { kind: 'postpaid', limitMinor: 500 },
  operatorShare: 0,
};

function use(part: Partial<Meters>): Meters {
  return { ...NO_USE, ...part };
}

function event(job: string, part: Partial<UsageEvent['data']> = {}): UsageEvent {
  const base = {
    agreement: 'a1',
    consumer: 'acme',
    provider: 'hospital',
    datasets: ['visits'],
    meters: use({ calls: 1 }),
    chargeMinor: 80,
    currency: 'CNY',
  };
  const whole = { ...base, ...part };
  const { agreement, provider, chargeMinor, currency, meters } = whole;
  const { rowsScanned } = meters;
  const own = { agreement, provider, chargeMinor, currency, operatorMinor: 0, isFree: false, rowsScanned };
  return usageEvent({ job, atMs: AT, ...whole, parts: part.parts ?? [own] }, '/glovebox/test');
}

test('free units are free once, then the price holds', () => {
  const prices = [0, 1, 2, 3].map((before) => priceOf(PLAN, use({ calls: 1 }), use({ calls: before })).totalMinor);
  assert.deepEqual(prices, [0, 0, 80, 80]);
  assert.equal(priceOf(PLAN, use({ calls: 5 }), NO_USE).totalMinor, 240);
});

test('part of a unit is rounded up to a whole minor unit, and the lines add up to the total', () => {
  const charge = priceOf(PLAN, use({ calls: 3, rowsScanned: 1001 }), NO_USE);
  assert.deepEqual(
    charge.lines.map((line) => line.chargeMinor),
    [80, 2],
  );
  assert.equal(charge.totalMinor, 82);
});

test('the price before the run, from upper bounds, is never below the price after it', () => {
  const meters = fc.record({ calls: fc.nat(50), rowsScanned: fc.nat(1_000_000) });
  fc.assert(
    fc.property(meters, meters, meters, (used, more, before) => {
      const actual = use(used);
      const bound = addMeters(actual, use(more));
      assert.ok(priceOf(PLAN, bound, use(before)).totalMinor >= priceOf(PLAN, actual, use(before)).totalMinor);
    }),
  );
});

test('prepaid has no limit but its top-ups, postpaid the agreed one; nonsense plans are faults', () => {
  assert.equal(creditLimit({ ...PLAN, payment: { kind: 'prepaid' } }), 0n);
  assert.equal(creditLimit(PLAN), 500n);
  for (const bad of [
    { currency: 'yuan' },
    { operatorShare: 10_001 },
    { prices: [...PLAN.prices, ...PLAN.prices] },
    { prices: [{ meter: 'calls' as const, priceMinor: 1.5, per: 1, freeUnits: 0 }] },
  ]) {
    assert.throws(() => priceOf({ ...PLAN, ...bad }, NO_USE, NO_USE), RangeError);
  }
});

test('a usage event is a CloudEvent whose id is the job', () => {
  const one = event('j1');
  assert.deepEqual(
    [one.specversion, one.id, one.type, one.time],
    ['1.0', 'j1', 'glovebox.usage.committed.v1', '2026-06-01T00:00:00.000Z'],
  );
  assert.throws(() => event('j1', { meters: use({ calls: -1 }) }), RangeError);
  assert.throws(() => event('j1', { meters: use({ cpuMs: 0.5 }) }), RangeError);
});

test('a statement counts every job once, inside the period only, and two truths about one job are a fault', () => {
  const late = { ...event('j9'), time: new Date(PERIOD.toMs).toISOString() };
  const [line, ...others] = statementOf([event('j1'), event('j2'), event('j1'), late], PERIOD);
  assert.deepEqual([line?.jobs, line?.chargeMinor, line?.meters.calls, others.length], [2, 160, 2, 0]);
  assert.throws(() => statementOf([event('j1'), event('j1', { chargeMinor: 81 })], PERIOD), RangeError);
});

test('the sum over statements equals the sum over events, however they are grouped', () => {
  const some = fc.array(
    fc.record({
      agreement: fc.constantFrom('a1', 'a2'),
      provider: fc.constantFrom('p', 'q'),
      chargeMinor: fc.nat(10_000),
    }),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(some, (parts) => {
      const lines = statementOf(
        parts.map((part, index) => event(`j${index}`, part)),
        PERIOD,
      );
      assert.equal(
        lines.reduce((sum, line) => sum + line.chargeMinor, 0),
        parts.reduce((sum, part) => sum + part.chargeMinor, 0),
      );
    }),
  );
});

test('the FOCUS statement has the specified columns, exact money, and no cell that a spreadsheet would run', () => {
  const csv = toFocusCsv(
    statementOf([event('j1', { provider: '=cmd|x', chargeMinor: 12_305, consumer: 'a "b", c' })], PERIOD),
    PERIOD,
    'operator',
  );
  const [header = '', row = ''] = csv.split('\r\n');
  for (const name of [
    'BilledCost',
    'BillingCurrency',
    'ChargePeriodStart',
    'EffectiveCost',
    'ServiceCategory',
    'x_CellsReleased',
  ]) {
    assert.ok(header.split(',').includes(name), name);
  }
  assert.ok(row.startsWith('123.05,"a ""b"", c"'));
  assert.ok(row.includes(`'=cmd|x`));
  assert.equal(toFocusCsv([], PERIOD, 'operator'), `${header}\r\n`);
  assert.deepEqual([majorUnits(5, 'CNY'), majorUnits(5, 'JPY'), majorUnits(5, 'KWD')], ['0.05', '5', '0.005']);
  // ISO 4217: none in francs CFA and krónur, three in Jordan, four in Chile's unit of account.
  assert.deepEqual(
    ['XOF', 'ISK', 'JOD', 'CLF', 'EUR'].map((currency) => majorUnits(12_345, currency)),
    ['12345', '12345', '12.345', '1.2345', '123.45'],
  );
});

test('a split adds up to the unit, is fair to within one, and gives nothing for nothing', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 10n ** 15n }),
      fc.array(fc.bigInt({ min: 0n, max: 10n ** 9n }), { minLength: 1, maxLength: 12 }),
      (amount, weights) => {
        const shares = splitByLargestRemainder(amount, weights);
        const sum = weights.reduce((total, weight) => total + weight, 0n);
        assert.equal(
          shares.reduce((total, share) => total + share, 0n),
          amount,
        );
        for (const [index, share] of shares.entries()) {
          if (sum === 0n) continue;
          const floor = (amount * (weights[index] ?? 0n)) / sum;
          assert.ok(share === floor || share === floor + 1n);
          if (weights[index] === 0n) assert.equal(share, 0n);
        }
      },
    ),
  );
  assert.deepEqual(splitByLargestRemainder(10_001n, [1n, 1n, 1n]), [3334n, 3334n, 3333n]);
  assert.throws(() => splitByLargestRemainder(1n, []), RangeError);
});

test('Shapley values keep the axioms: efficiency, symmetry, null player, additivity', () => {
  const game = fc
    .integer({ min: 2, max: 6 })
    .chain((players) =>
      fc.tuple(
        fc.constant(players),
        fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 2 ** players, maxLength: 2 ** players }),
      ),
    );
  fc.assert(
    fc.property(game, ([players, table]) => {
      const worth = (coalition: number): number => (coalition === 0 ? 0 : (table[coalition] ?? 0));
      const values = shapleyValues(players, worth);
      const whole = 2 ** players - 1;
      assert.ok(Math.abs(values.reduce((sum, value) => sum + value, 0) - worth(whole)) < 1e-9, 'efficiency');
      const doubled = shapleyValues(players, (coalition) => 2 * worth(coalition) + popCount(coalition));
      for (const [index, value] of doubled.entries())
        assert.ok(Math.abs(value - 2 * (values[index] ?? 0) - 1) < 1e-9, 'additivity');
      const isolated = shapleyValues(players, (coalition) => worth(coalition & ~1));
      assert.ok(Math.abs(isolated[0] ?? 1) < 1e-9, 'a player who adds nothing gets nothing');
      const symmetric = shapleyValues(players, (coalition) => (table[popCount(coalition)] ?? 0) - (table[0] ?? 0));
      for (const value of symmetric) assert.ok(Math.abs(value - (symmetric[0] ?? 0)) < 1e-9, 'symmetry');
    }),
  );
});

test('revenue by Shapley value sums exactly, equal players are equal, harm is not billed', () => {
  assert.deepEqual(splitByShapley(900n, 3, popCount), [300n, 300n, 300n]);
  assert.deepEqual(
    splitByShapley(100n, 2, (coalition) => ((coalition & 1) === 0 ? 0 : 5) - ((coalition & 2) === 0 ? 0 : 3)),
    [100n, 0n],
  );
  assert.throws(() => shapleyValues(21, () => 0), RangeError);
});

function popCount(bits: number): number {
  return bits.toString(2).replaceAll('0', '').length;
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { certifiedUnits, isCertified, oneHot, unitsForCertificate } from '../../runtime/release/certify.ts';
import { concentrationOf, isDominated, isDominatedFloat } from '../../runtime/release/dominance.ts';
import { rowMeasure, rowAggregate, rowGroups } from '../../runtime/release/row-function.ts';
import { answerTime } from '../../runtime/release/quantum.ts';
import { releaseNoised } from '../../runtime/release/release-noised.ts';
import { WHOLE_TABLE } from '../../runtime/release/noised-plan.ts';
import {
  aggregateBlocks,
  type BlockOutput,
  type BlockPlan,
  type BlockResult,
} from '../../runtime/release/sample-and-aggregate.ts';
import { SYSTEM_ENTROPY } from './entropy-source.ts';
import { epsilonLowerBound } from './privacy-audit.ts';

describe('one-hot certificates', () => {
  const hashes = fc.array(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), { maxLength: 200 });
  const certificate = (units: readonly bigint[]): bigint => units.reduce((bits, hash) => bits | oneHot(hash), 0n);

  it('never claim more units than there are, on all rows, on some of them, and on repeated ones', () => {
    fc.assert(
      fc.property(hashes, fc.integer({ min: 1, max: 5 }), (units, every) => {
        const distinct = new Set(units).size;
        const some = units.filter((_, i) => i % every === 0);
        assert.ok(certifiedUnits(certificate(units)) <= distinct);
        assert.ok(certifiedUnits(certificate(some)) <= certifiedUnits(certificate(units)));
        assert.equal(certificate([...units, ...some]), certificate(units));
      }),
    );
  });

  it('prove a minimum exactly from its size on', () => {
    assert.equal(isCertified(0b111n, 3), true);
    assert.equal(isCertified(0b111n, 4), false);
    assert.equal(certifiedUnits((1n << 64n) - 1n), 64);
    assert.throws(() => certifiedUnits(1n << 64n), RangeError);
    assert.throws(() => certifiedUnits(-1n), RangeError);
  });

  it('say from which size on they are worth trying', () => {
    assert.equal(unitsForCertificate(1), 1);
    assert.ok(unitsForCertificate(20) > 20 && unitsForCertificate(20) < 30);
    assert.equal(unitsForCertificate(65), Infinity);
  });
});

describe('dominance', () => {
  it('finds the share of the largest contributors, by size and not by sign', () => {
    assert.deepEqual(concentrationOf([10n, -80n, 5n, 5n], 1), { top: 80n, total: 100n });
    assert.deepEqual(concentrationOf([10n, -80n, 5n, 5n], 2), { top: 90n, total: 100n });
    assert.equal(isDominated(concentrationOf([80n, 20n], 1), 0.79), true);
    assert.equal(isDominated(concentrationOf([80n, 20n], 1), 0.8), false);
    assert.equal(isDominated(concentrationOf([], 1), 0.5), false);
  });

  it('odd certificates withhold', () => {
    assert.equal(isDominated({ top: 2n, total: 1n }, 1), true);
    assert.equal(isDominated({ top: -1n, total: 1n }, 1), true);
    for (const [top, total] of [
      [Number.NaN, 1],
      [1, Infinity],
      [-1, 1],
      [2, 1],
    ] as const) {
      assert.equal(isDominatedFloat(top, total, 1), true);
    }
    assert.equal(isDominatedFloat(0.4, 1, 0.5), false);
    assert.equal(isDominatedFloat(0.6, 1, 0.5), true);
    assert.throws(() => isDominated({ top: 1n, total: 1n }, 1.5), RangeError);
    assert.throws(() => isDominatedFloat(1, 1, Number.NaN), RangeError);
  });

  it('the floating-point rule is never looser than the exact one', () => {
    const shares = fc.integer({ min: 1, max: 99 }).map((percent) => percent / 100);
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: 0n, max: 10n ** 12n }), { minLength: 1, maxLength: 9 }),
        shares,
        (values, share) => {
          const { top, total } = concentrationOf(values, 2);
          if (isDominated({ top, total }, share)) assert.ok(isDominatedFloat(Number(top), Number(total), share));
        },
      ),
    );
  });
});

describe('sample and aggregate', () => {
  const MEAN: BlockOutput = {
    name: 'slope',
    low: 0,
    high: 10,
    step: { numerator: 1n, denominator: 1000n },
    fallback: 5,
    method: 'mean',
  };
  const MEDIAN: BlockOutput = { ...MEAN, method: 'median' };
  const plan = (more: Partial<BlockPlan> = {}): BlockPlan => ({
    blocks: 200,
    copies: 1,
    outputs: [MEAN],
    budget: { kind: 'laplace', microEpsilon: 1_000_000, femtoDelta: 0 },
    ...more,
  });
  const results = (values: readonly number[]): BlockResult[] =>
    values.map((value) => ({ isOk: true, values: [value] }));
  const valuesOf = (given: BlockPlan, blocks: readonly BlockResult[]): number[] =>
    aggregateBlocks(given, blocks, SYSTEM_ENTROPY).map(({ value }) => value);

  it('means and medians of blocks come out near the truth', () => {
    const blocks = results(Array.from({ length: 200 }, (_, i) => 3 + (i % 5) * 0.01));
    const generous = plan({
      outputs: [MEAN, MEDIAN],
      budget: { kind: 'laplace', microEpsilon: 200_000_000, femtoDelta: 0 },
    });
    const both = blocks.map(({ values }) => ({ isOk: true, values: [values[0] ?? 0, values[0] ?? 0] }));
    const [mean, median] = valuesOf(generous, both);
    assert.ok(Math.abs((mean ?? 0) - 3.02) < 0.02, `${mean}`);
    assert.ok(Math.abs((median ?? 0) - 3.02) < 0.1, `${median}`);
  });

  it('the intervals of all means hold the exact ones together 19 times in 20', () => {
    const outputs = Array.from({ length: 6 }, (_, i): BlockOutput => ({ ...MEAN, name: `o${i}` }));
    const blocks = Array.from({ length: 200 }, () => ({ isOk: true, values: outputs.map(() => 5) }));
    const tries = 1500;
    const misses = Array.from({ length: tries }, () =>
      aggregateBlocks(plan({ outputs }), blocks, SYSTEM_ENTROPY),
    ).filter((estimates) => estimates.some(({ low, high }) => low > 5 || high < 5)).length;
    // 75 are expected (each missing one in 120); 130 would be six standard deviations more.
    assert.ok(misses < 130 && misses > 20, `${misses}`);
  });

  it('nothing that a block returns leaves the range or causes an error', () => {
    const odd: BlockResult[] = [
      { isOk: true, values: [Number.NaN] },
      { isOk: true, values: [Infinity] },
      { isOk: true, values: [-1e308] },
      { isOk: true, values: [] },
      { isOk: true, values: ['3' as unknown as number] },
      { isOk: false, values: [7] },
    ];
    for (let i = 0; i < 50; i++) {
      for (const value of valuesOf(plan({ outputs: [MEAN], blocks: 10 }), odd)) assert.ok(value >= 0 && value <= 10);
      for (const value of valuesOf(plan({ outputs: [MEDIAN], blocks: 10 }), odd)) assert.ok(value >= 0 && value <= 10);
    }
  });

  it('failed, missing and odd blocks all count as the declared default', () => {
    const sharp = plan({ blocks: 4, budget: { kind: 'laplace', microEpsilon: 9_000_000_000, femtoDelta: 0 } });
    const [value] = valuesOf(sharp, [
      { isOk: false, values: [9] },
      { isOk: true, values: [Number.NaN] },
      ...results([5]),
    ]);
    assert.ok(Math.abs((value ?? 0) - 5) < 0.05, `${value}`);
  });

  it('a block that turns from the lowest to the highest output shows epsilon at most, and most of it', () => {
    for (const method of ['mean', 'median'] as const) {
      const coarse: BlockOutput = { ...MEAN, method, fallback: 0, step: { numerator: 10n, denominator: 1n } };
      const single = plan({ blocks: 1, outputs: [coarse] });
      const sides = [0, 10].map((value) =>
        Array.from({ length: 16_000 }, () => valuesOf(single, results([value]))[0] ?? 0),
      );
      const measured = epsilonLowerBound(sides[0] ?? [], sides[1] ?? [], { delta: 0, alpha: 5e-6 });
      assert.ok(measured <= 1, `${method}: measured ${measured}`);
      assert.ok(measured > 0.6, `${method}: the audit is idle: ${measured}`);
    }
  });

  it('more outputs or copies mean more noise, more blocks mean less', () => {
    const noiseOf = (more: Partial<BlockPlan>): number =>
      aggregateBlocks(plan(more), [], SYSTEM_ENTROPY)[0]?.noiseScale ?? 0;
    const ratio = (a: number, b: number): void => assert.ok(Math.abs(a / b - 1) < 0.01, `${a} against ${b}`);
    ratio(noiseOf({ outputs: [MEAN, MEAN] }), 2 * noiseOf({}));
    ratio(noiseOf({ copies: 3 }), 3 * noiseOf({}));
    ratio(noiseOf({ blocks: 400 }), noiseOf({}) / 2);
  });

  it('plans that are not sound are faults before any result is read', () => {
    const faults: BlockPlan[] = [
      plan({ blocks: 0 }),
      plan({ blocks: 1e9 }),
      plan({ copies: 0 }),
      plan({ copies: 201 }),
      plan({ outputs: [] }),
      plan({ outputs: Array.from({ length: 65 }, () => MEAN) }),
      plan({ outputs: [{ ...MEAN, low: 10 }] }),
      plan({ outputs: [{ ...MEAN, high: Infinity }] }),
      plan({ outputs: [{ ...MEAN, step: { numerator: 0n, denominator: 1n } }] }),
      plan({ outputs: [{ ...MEAN, fallback: Number.NaN }] }),
      plan({ budget: { kind: 'laplace', microEpsilon: 0, femtoDelta: 0 } }),
    ];
    for (const [i, fault] of faults.entries())
      assert.throws(() => aggregateBlocks(fault, [], SYSTEM_ENTROPY), RangeError, `plan ${i}`);
    assert.throws(() => aggregateBlocks(plan({ blocks: 1 }), results([1, 2]), SYSTEM_ENTROPY), RangeError);
  });
});

describe('row functions', () => {
  const measure = rowMeasure({ low: -1.05, high: 2, step: { numerator: 1n, denominator: 10n } });

  it('ranges are rounded inwards to the grid', () => {
    assert.deepEqual([measure.low, measure.high], [-10n, 20n]);
    assert.throws(() => rowMeasure({ low: 2, high: 1, step: { numerator: 1n, denominator: 1n } }), RangeError);
    assert.throws(() => rowMeasure({ low: Number.NaN, high: 1, step: { numerator: 1n, denominator: 1n } }), RangeError);
  });

  it('a worker cannot report a sum that its rows cannot have', () => {
    const [group] = rowGroups([{ key: [], rows: 3n, sum: 10n ** 30n }], measure);
    assert.deepEqual([...(group?.values.values() ?? [])], [3n, 3n, 60n]);
    const [negative] = rowGroups([{ key: [], rows: -3n, sum: -5n }], measure);
    assert.deepEqual([...(negative?.values.values() ?? [])], [0n, 0n, 0n]);
  });

  it('totals are released as noisy sums, means and counts', () => {
    const groups = rowGroups([{ key: [], rows: 1000n, sum: 5000n }], measure);
    const aggregates = (['sum', 'avg', 'count'] as const).map((reducer) => rowAggregate(reducer, measure));
    const budget = { kind: 'laplace', microEpsilon: 1_000_000_000, femtoDelta: 0 } as const;
    const release = releaseNoised(
      { aggregates, keys: WHOLE_TABLE, bound: { maxRowsPerUnit: 1 }, minUnits: null, budget },
      groups,
      SYSTEM_ENTROPY,
    );
    const [sum, mean, count] = (release.rows[0]?.aggregates ?? []).map((one) => one?.[0]?.value ?? Number.NaN);
    assert.ok(
      Math.abs((sum ?? 0) - 500) < 5 && Math.abs((mean ?? 0) - 0.5) < 0.01 && Math.abs((count ?? 0) - 1000) < 5,
    );
  });
});

describe('answer times', () => {
  it('are rounded up to the end of a slot, never down', () => {
    assert.deepEqual(
      [0, 1, 50, 51, 120].map((elapsed) => answerTime(elapsed)),
      [50, 50, 50, 100, 150],
    );
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        fc.integer({ min: 1, max: 500 }),
        fc.double({ min: 1.1, max: 4, noNaN: true }),
        (elapsed, stepMs, growth) => {
          assert.ok(answerTime(elapsed, { stepMs, growth }) >= elapsed);
          assert.ok(answerTime(elapsed, { stepMs, growth: 1 }) >= elapsed);
          assert.equal(answerTime(elapsed, { stepMs, growth: 1 }) % stepMs, 0);
        },
      ),
    );
  });

  it('with growing slots few distinct times remain', () => {
    const times = new Set(Array.from({ length: 10_000 }, (_, ms) => answerTime(ms, { stepMs: 50, growth: 2 })));
    assert.equal(times.size, 9);
  });

  it('odd times and steps are faults', () => {
    for (const elapsed of [-1, Number.NaN, Infinity]) assert.throws(() => answerTime(elapsed), RangeError);
    for (const steps of [
      { stepMs: 0, growth: 1 },
      { stepMs: 50, growth: 0.5 },
      { stepMs: Number.NaN, growth: 1 },
    ]) {
      assert.throws(() => answerTime(1, steps), RangeError);
    }
  });
});

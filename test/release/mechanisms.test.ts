import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { passGate } from '../../runtime/release/gate.ts';
import { rowsOf, type Cell } from '../../runtime/release/column-values.ts';
import { mechanismOf, type DpAggregate } from '../../runtime/release/mechanisms/aggregate.ts';
import { exactId, type Estimate, type ExactColumn, type Measure } from '../../runtime/release/mechanisms/mechanism.ts';
import { noisedCandidate, noisedOutputs, type NoisedNames } from '../../runtime/release/noised-table.ts';
import { budgetOf, lossOf, queriesOf, WHOLE_TABLE, type NoisedPlan } from '../../runtime/release/noised-plan.ts';
import { releaseNoised, type NoisedRelease } from '../../runtime/release/release-noised.ts';
import { termsOf } from '../../runtime/release/terms.ts';
import { deviation, type Noise, weightedTail } from '../../runtime/release/noise.ts';
import { SYSTEM_ENTROPY } from './entropy-source.ts';
import { bounded, evaluate, type Evaluation, type Visit } from './exact-evaluation.ts';

const COST: Measure = { name: 'cost', low: -200n, high: 5_001n, step: { numerator: 1n, denominator: 2n } };
const STAY: Measure = { name: 'stay', low: 3n, high: 30n, step: { numerator: 1n, denominator: 1n } };
const BINS = { column: 'stay', edges: [5, 10, 15, 20, 25] };
const RANGE = { low: 3, high: 30 };
const EVERY: readonly DpAggregate[] = [
  { kind: 'count', measure: null },
  { kind: 'count', measure: 'cost' },
  { kind: 'sum', measure: COST },
  { kind: 'avg', measure: COST },
  { kind: 'variance', measure: COST, of: 'sample' },
  { kind: 'stddev', measure: STAY, of: 'population' },
  { kind: 'countDistinct', column: null },
  { kind: 'countDistinct', column: 'cost' },
  { kind: 'histogram', bins: BINS },
  { kind: 'quantile', q: 0.5, bins: BINS, range: RANGE },
  { kind: 'correlation', x: STAY, y: COST },
  { kind: 'regressionSlope', x: STAY, y: COST },
  { kind: 'determination', x: STAY, y: COST },
  { kind: 'intercept', x: STAY, y: COST },
  { kind: 'covariance', of: 'population', x: STAY, y: COST },
  { kind: 'covariance', of: 'sample', x: COST, y: STAY },
];

const how = (maxRowsPerUnit: number): Evaluation => ({
  maxRowsPerUnit,
  measures: [COST, STAY],
  edges: BINS.edges,
  isClipped: true,
});

const planOf = (aggregates: readonly DpAggregate[], more: Partial<NoisedPlan> = {}): NoisedPlan => ({
  aggregates,
  keys: WHOLE_TABLE,
  bound: { maxRowsPerUnit: 3 },
  minUnits: null,
  budget: budgetOf('laplace', 1_000_000, 1e-6),
  ...more,
});

const visit: fc.Arbitrary<Visit> = fc.record({
  unit: fc.integer({ min: 0, max: 4 }),
  key: fc.constantFrom('a', 'b', 'c').map((key) => [key]),
  values: fc.record({
    cost: fc.option(
      fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), fc.constantFrom(-1e6, 1e6)),
    ),
    stay: fc.option(fc.oneof(fc.integer({ min: -5, max: 50 }), fc.constantFrom(3, 30))),
  }),
});

/** 240 patients of two visits each, in wards a and b. */
const VISITS: readonly Visit[] = Array.from({ length: 240 }, (_, unit) =>
  [0, 1].map((i): Visit => {
    const stay = 5 + ((unit + 11 * i) % 20);
    return { unit, key: [unit % 2 === 0 ? 'a' : 'b'], values: { stay, cost: 40 * stay + (unit % 7) } };
  }),
).flat();

const estimatesOf = (release: NoisedRelease, row = 0): readonly Estimate[] =>
  (release.rows[row]?.aggregates ?? []).flatMap((aggregate) => aggregate ?? []);

describe('differentially private aggregates', () => {
  it('no unit moves any query by more than its declared sensitivity, on any data', () => {
    const given = fc.tuple(
      fc.array(visit, { maxLength: 25 }),
      fc.integer({ min: 0, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
    );
    fc.assert(
      fc.property(given, ([visits, unit, maxRowsPerUnit]) => {
        for (const aggregate of EVERY) {
          for (const query of mechanismOf(aggregate, { maxRowsPerUnit }).queries) {
            const sides = [visits, visits.filter((one) => one.unit !== unit)].map((side) =>
              tableOf(evaluate(side, query.reads, how(maxRowsPerUnit)), (read) => query.evaluate(read)),
            );
            const moves = differences(sides[0] ?? new Map(), sides[1] ?? new Map());
            const l1 = moves.reduce((sum, move) => sum + (move < 0n ? -move : move), 0n);
            const l2Squared = moves.reduce((sum, move) => sum + move * move, 0n);
            assert.ok(l1 <= query.l1, `${query.id}: L1 ${l1} > ${query.l1}`);
            assert.ok(l2Squared <= query.l2Squared, `${query.id}: L2² ${l2Squared} > ${query.l2Squared}`);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('which rows of a unit count does not depend on other units', () => {
    fc.assert(
      fc.property(fc.array(visit, { maxLength: 30 }), (visits) => {
        const own = (side: readonly Visit[]): readonly Visit[] => side.filter(({ unit }) => unit === 0);
        assert.deepEqual(own(bounded(visits, 2)), bounded(own(visits), 2));
      }),
    );
  });

  it('released sums are multiples of the grid, whatever the noise', () => {
    const plan = planOf([{ kind: 'sum', measure: COST }]);
    const exact = evaluate(ungrouped(VISITS), queriesOf(plan).reads, how(3));
    for (let i = 0; i < 200; i++) {
      const [estimate] = estimatesOf(releaseNoised(plan, exact, SYSTEM_ENTROPY));
      assert.ok(Number.isInteger((estimate?.value ?? Number.NaN) * 2));
    }
  });

  it('neighbours get the same outcome: the same keys, columns, loss and noise, even without any rows', () => {
    const keys = [['a'], ['b'], ['nowhere']];
    const plan = planOf(EVERY, { keys: { kind: 'public', keys } });
    const shapes = [VISITS, VISITS.filter(({ unit }) => unit !== 7), []].map((visits) => {
      const release = releaseNoised(plan, evaluate(visits, queriesOf(plan).reads, how(3)), SYSTEM_ENTROPY);
      const rows = release.rows.map((row) => ({ key: row.key, sizes: row.aggregates.map((one) => one?.length) }));
      const finite = release.rows.every((row) =>
        row.aggregates.every((one) =>
          one?.every((estimate) => Number.isFinite(estimate.value) && estimate.low <= estimate.high),
        ),
      );
      return { rows, finite, loss: release.loss, noise: release.noise };
    });
    assert.equal(shapes[0]?.finite, true);
    assert.deepEqual(shapes[1], shapes[0]);
    assert.deepEqual(shapes[2], shapes[0]);
  });

  it('with a generous budget every aggregate comes close to the exact answer', () => {
    const plan = planOf(EVERY, { budget: budgetOf('laplace', 2_000_000_000_000, 1e-6) });
    const release = releaseNoised(plan, evaluate(ungrouped(VISITS), queriesOf(plan).reads, how(3)), SYSTEM_ENTROPY);
    const costs = VISITS.map(({ values }) => values['cost'] ?? 0);
    const stays = VISITS.map(({ values }) => values['stay'] ?? 0);
    const values = estimatesOf(release).map(({ value }) => value);
    const near = (at: number, expected: number, within: number): void => {
      const value = values[at] ?? Number.NaN;
      assert.ok(Math.abs(value - expected) <= within, `aggregate ${at}: ${value} is not ${expected}`);
    };
    near(0, 480, 1);
    near(1, 480, 1);
    near(2, total(costs), 20);
    near(3, average(costs), 1);
    near(4, (spread(costs, costs) * 480) / 479, 500);
    near(5, Math.sqrt(spread(stays, stays)), 0.1);
    near(6, 240, 1);
    near(7, new Set(costs).size, 1);
    for (const [bin, from] of [3, 5, 10, 15, 20, 25].entries()) {
      near(8 + bin, stays.filter((stay) => stay >= from && stay < ([5, 10, 15, 20, 25, 31][bin] ?? 0)).length, 1);
    }
    near(14, 14.5, 1);
    near(15, spread(stays, costs) / Math.sqrt(spread(stays, stays) * spread(costs, costs)), 0.02);
    const slope = spread(stays, costs) / spread(stays, stays);
    near(16, slope, 0.5);
    near(17, spread(stays, costs) ** 2 / (spread(stays, stays) * spread(costs, costs)), 0.02);
    near(18, average(costs) - slope * average(stays), 5);
    near(19, spread(stays, costs), 20);
    near(20, (spread(stays, costs) * 480) / 479, 20);
  });

  it('intervals hold the exact answer at least 19 times in 20, for both kinds of noise', () => {
    const rounds = 150;
    for (const kind of ['laplace', 'gaussian'] as const) {
      const plan = planOf(EVERY, { budget: budgetOf(kind, 20_000_000, 1e-6), bound: { maxRowsPerUnit: 2 } });
      const exact = evaluate(ungrouped(VISITS), queriesOf(plan).reads, how(2));
      const sharp = planOf(EVERY, {
        budget: budgetOf('laplace', 9_000_000_000_000, 1e-6),
        bound: { maxRowsPerUnit: 2 },
      });
      const truth = estimatesOf(releaseNoised(sharp, exact, SYSTEM_ENTROPY)).map(({ value }) => value);
      const misses = truth.map(() => 0);
      for (let i = 0; i < rounds; i++) {
        estimatesOf(releaseNoised(plan, exact, SYSTEM_ENTROPY)).forEach(({ low, high }, at) => {
          const slack = 1e-6 * Math.max(1, Math.abs(truth[at] ?? 0));
          if ((truth[at] ?? 0) < low - slack || (truth[at] ?? 0) > high + slack) misses[at] = (misses[at] ?? 0) + 1;
        });
      }
      // 7.5 expected misses; 25 or more would happen by chance once in 10⁷.
      for (const [at, count] of misses.entries()) assert.ok(count < 25, `${kind}, aggregate ${at}: ${count} misses`);
    }
  });

  it('intervals of what is estimated from a sample hold however few rows there are', () => {
    // Two values at the ends of their bounds vary twice as much as a population can.
    const ends: readonly Visit[] = [
      { unit: 0, key: [], values: { cost: -100, stay: 3 } },
      { unit: 1, key: [], values: { cost: 2500.5, stay: 30 } },
    ];
    const sampled: readonly DpAggregate[] = [
      { kind: 'variance', measure: STAY, of: 'sample' },
      { kind: 'stddev', measure: COST, of: 'sample' },
      { kind: 'covariance', x: STAY, y: COST, of: 'sample' },
    ];
    for (const aggregate of sampled) {
      const bound = { maxRowsPerUnit: 1 };
      const sharp = planOf([aggregate], { budget: budgetOf('laplace', 9_000_000_000_000, 1e-6), bound });
      const exact = evaluate(ends, queriesOf(sharp).reads, how(1));
      const truth = estimatesOf(releaseNoised(sharp, exact, SYSTEM_ENTROPY))[0]?.value ?? NaN;
      for (const kind of ['laplace', 'gaussian'] as const) {
        const plan = planOf([aggregate], { budget: budgetOf(kind, 300_000, 1e-6), bound });
        const misses = Array.from({ length: 200 }, () => estimatesOf(releaseNoised(plan, exact, SYSTEM_ENTROPY))[0]);
        const count = misses.filter((one) => !one || truth < one.low - 1e-6 || truth > one.high + 1e-6).length;
        // At most 10 expected; 60 or more would happen by chance less than once in 10²⁰.
        assert.ok(count < 60, `${kind} ${aggregate.kind}: ${count} of 200 intervals miss ${truth}`);
      }
    }
  });

  it('the tail of a weighted sum of draws is no smaller than promised, and not needlessly wide', () => {
    const scales = fc.record({
      numerator: fc.integer({ min: 1, max: 4000 }),
      denominator: fc.integer({ min: 1, max: 100 }),
    });
    fc.assert(
      fc.property(scales, fc.integer({ min: 1, max: 1000 }), ({ numerator, denominator }, count) => {
        const parameter = { numerator: BigInt(numerator), denominator: BigInt(denominator) };
        const laplace = { kind: 'laplace', scale: parameter } as const;
        const gaussian = { kind: 'gaussian', variance: parameter } as const;
        for (const noise of [laplace, gaussian]) {
          // Of one draw the tail is known.
          const alone = weightedTail(noise, [{ weight: 1, count: 1 }], 0.025);
          assert.ok(exactTail(noise, Math.ceil(alone)) <= 0.025);
          const many = weightedTail(noise, [{ weight: 0.5, count }], 0.025);
          const spread = 0.5 * Math.sqrt(count) * deviation(noise);
          // Normal noise would need 1.96 of them, and no bound by the moments alone does with less.
          assert.ok(many >= 1.9 * spread, `${many} for a deviation of ${spread}`);
          if (count > 60 && spread > 10) assert.ok(many <= 3.2 * spread, `${many} for a deviation of ${spread}`);
        }
      }),
    );
  });

  it('the threshold hides lone keys with probability 1 − δ by the exact distribution, and is not needlessly high', () => {
    const plans = fc.record({
      kind: fc.constantFrom('laplace' as const, 'gaussian' as const),
      microEpsilon: fc.integer({ min: 100_000, max: 4_000_000 }),
      delta: fc.constantFrom(1e-4, 1e-6, 1e-9),
      maxRowsPerUnit: fc.integer({ min: 1, max: 30 }),
      minUnits: fc.option(fc.integer({ min: 1, max: 40 })),
    });
    fc.assert(
      fc.property(plans, ({ kind, microEpsilon, delta, maxRowsPerUnit, minUnits }) => {
        const budget = budgetOf(kind, microEpsilon, delta);
        const bound = { maxRowsPerUnit };
        const queries = queriesOf(
          planOf([{ kind: 'count', measure: null }], { keys: { kind: 'private' }, bound, minUnits, budget }),
        );
        const noise = queries.queries[0]?.noise;
        const threshold = Number(queries.threshold);
        assert.ok(noise !== undefined);
        const allowed = budget.femtoDelta / 1e15;
        // A unit alone: at most M keys of at most M rows; too few units: at most M·(minUnits − 1) rows.
        const most = maxRowsPerUnit * Math.max(1, (minUnits ?? 1) - 1);
        const misses = maxRowsPerUnit * exactTail(noise, threshold - most);
        assert.ok(misses <= allowed * (1 + 1e-6), `${misses} > ${allowed}`);
        assert.ok(
          maxRowsPerUnit * exactTail(noise, Math.floor((threshold - most) * 0.97) - 3) > allowed / 2,
          'needlessly high',
        );
      }),
      { numRuns: 60 },
    );
  });

  it('keys that one unit brings alone stay hidden, keys of many units are shown', () => {
    const own = Array.from({ length: 3 }, (_, i): Visit => ({
      unit: 999,
      key: [`own ${i}`],
      values: { cost: 1, stay: 5 },
    }));
    const plan = planOf([{ kind: 'count', measure: null }], {
      keys: { kind: 'private' },
      bound: { maxRowsPerUnit: 3 },
    });
    const exact = evaluate([...own, ...VISITS], queriesOf(plan).reads, how(3));
    for (let i = 0; i < 200; i++) {
      const release = releaseNoised(plan, exact, SYSTEM_ENTROPY);
      assert.deepEqual(
        release.rows.map(({ key }) => key),
        [['a'], ['b']],
      );
    }
  });

  it('a minimum of units holds under noise too: private keys below it vanish, public keys lose their numbers', () => {
    const few = Array.from({ length: 20 }, (_, unit): Visit => ({
      unit: 1000 + unit,
      key: ['few'],
      values: { cost: 1, stay: 5 },
    }));
    const reads = queriesOf(planOf([{ kind: 'count', measure: null }], { minUnits: 60 })).reads;
    const exact = evaluate([...few, ...VISITS], reads, how(3));
    const hidden = planOf([{ kind: 'count', measure: null }], { minUnits: 30, keys: { kind: 'private' } });
    const nulled = planOf([{ kind: 'count', measure: null }], {
      minUnits: 30,
      keys: { kind: 'public', keys: [['a'], ['few']] },
    });
    for (let i = 0; i < 50; i++) {
      assert.deepEqual(
        releaseNoised(hidden, exact, SYSTEM_ENTROPY).rows.map(({ key }) => key),
        [['a'], ['b']],
      );
      const [a, none] = releaseNoised(nulled, exact, SYSTEM_ENTROPY).rows;
      assert.ok(a?.aggregates[0] !== null);
      assert.deepEqual(none, { key: ['few'], aggregates: [null] });
    }
  });

  it('the loss is known before any data is read, and shares never add up to more than the budget', () => {
    const plan = planOf(EVERY, { keys: { kind: 'private' } });
    assert.deepEqual(lossOf(plan), { kind: 'pure', microEpsilon: 1_000_000, femtoDelta: 1_000_000_000 });
    const spent = queriesOf(plan).queries.map(({ query, noise }) => {
      assert.equal(noise.kind, 'laplace');
      return noise.kind === 'laplace'
        ? (Number(query.l1) * Number(noise.scale.denominator)) / Number(noise.scale.numerator)
        : 0;
    });
    assert.ok(spent.reduce((sum, one) => sum + one, 0) <= 1 + 1e-9);
    assert.ok(spent.reduce((sum, one) => sum + one, 0) > 0.99);
  });

  it('the same question asked twice in one plan costs once', () => {
    const one = queriesOf(planOf([{ kind: 'avg', measure: COST }]));
    const twice = queriesOf(
      planOf([
        { kind: 'avg', measure: COST },
        { kind: 'count', measure: 'cost' },
        { kind: 'avg', measure: COST },
      ]),
    );
    assert.equal(twice.queries.length, one.queries.length);
  });

  it('a unit is counted once in each group of which there are few, however many rows it has', () => {
    const bound = { maxRowsPerUnit: 20 };
    const scaleOf = (keys: NoisedPlan['keys'], aggregate: DpAggregate): number => {
      const noise = queriesOf(planOf([aggregate], { keys, bound })).queries.at(-1)?.noise;
      return noise?.kind === 'laplace' ? Number(noise.scale.numerator) / Number(noise.scale.denominator) : NaN;
    };
    const units = { kind: 'countDistinct', column: null } as const;
    const filtered = { kind: 'countDistinct', column: 'those', isOfUnits: true } as const;
    const keys = Array.from({ length: 30 }, (_, i) => [BigInt(i)]);
    for (const aggregate of [units, filtered]) {
      assert.equal(scaleOf(WHOLE_TABLE, aggregate), 1);
      assert.equal(scaleOf({ kind: 'public', keys: keys.slice(0, 3) }, aggregate), 3);
      assert.equal(scaleOf({ kind: 'public', keys }, aggregate), 20);
      // Half of the budget tells which keys appear.
      assert.equal(scaleOf({ kind: 'private' }, aggregate), 40);
    }
    assert.equal(scaleOf(WHOLE_TABLE, { kind: 'countDistinct', column: 'cost' }), 20, 'each row can bring a value');
    assert.equal(scaleOf(WHOLE_TABLE, { kind: 'count', measure: null }), 20);
  });

  it('a budget that cannot be shared, private keys without delta and odd plans are faults before any data is read', () => {
    const sum: DpAggregate = { kind: 'sum', measure: COST };
    const faults: NoisedPlan[] = [
      planOf([]),
      planOf(EVERY, { budget: { kind: 'laplace', microEpsilon: 3, femtoDelta: 1 } }),
      planOf([sum], { budget: { kind: 'laplace', microEpsilon: Number.NaN, femtoDelta: 1 } }),
      planOf([sum], { keys: { kind: 'private' }, budget: { kind: 'laplace', microEpsilon: 1, femtoDelta: 0 } }),
      planOf([sum], { bound: { maxRowsPerUnit: 0 } }),
      planOf([sum], { bound: { maxRowsPerUnit: 1.5 } }),
      planOf([sum], { minUnits: 0 }),
      planOf([{ kind: 'sum', measure: { ...COST, low: 2n, high: 1n } }]),
      planOf([{ kind: 'histogram', bins: { column: 'stay', edges: [] } }]),
      planOf([{ kind: 'histogram', bins: { column: 'stay', edges: [2, 1] } }]),
      planOf([{ kind: 'histogram', bins: { column: 'stay', edges: [1, Number.NaN] } }]),
      planOf([{ kind: 'quantile', q: 1.5, bins: BINS, range: RANGE }]),
      planOf([{ kind: 'quantile', q: 0.5, bins: BINS, range: { low: 6, high: 30 } }]),
    ];
    for (const [i, plan] of faults.entries()) assert.throws(() => queriesOf(plan), RangeError, `plan ${i}`);
  });

  it('an exact part that leaves out a column or answers a group twice is a fault, not a zero', () => {
    const plan = planOf([{ kind: 'count', measure: null }]);
    const group = { key: [], values: new Map([[exactId({ kind: 'rows' }), 5n]]) };
    assert.throws(() => releaseNoised(plan, [{ key: [], values: new Map() }], SYSTEM_ENTROPY), /left out/);
    assert.throws(() => releaseNoised(plan, [group, group], SYSTEM_ENTROPY), /twice/);
  });

  it('a noised table passes the gate within its terms, keys first, one column per bin', () => {
    const names: NoisedNames = {
      keys: [{ name: 'ward', type: { kind: 'utf8' }, nullable: true }],
      aggregates: [
        { name: 'visits', aggregate: { kind: 'count', measure: null } },
        { name: 'stays', aggregate: { kind: 'histogram', bins: BINS } },
        { name: 'cost', aggregate: { kind: 'avg', measure: COST } },
      ],
    };
    const keys = { kind: 'public', keys: [['b'], ['a']] } as const;
    const plan = planOf(
      names.aggregates.map(({ aggregate }) => aggregate),
      { keys },
    );
    const release = releaseNoised(plan, evaluate(VISITS, queriesOf(plan).reads, how(3)), SYSTEM_ENTROPY);
    const { candidate, accuracy } = noisedCandidate(release, names, { microEpsilon: 1_000_000, delta: 0 });
    const policy = {
      mode: 'differentialPrivacy',
      microEpsilonPerJob: 1_000_000,
      microEpsilonTotal: 4_000_000,
      microEpsilonDataset: null,
      accounting: 'pure',
      delta: 1e-6,
      deltaTotal: null,
      maxRowsPerUnit: 3,
      minUnits: null,
      noise: 'laplace',
      budgetPeriodMs: null,
      maxRows: 10,
    } as const;
    const scope = {
      clause: 'c',
      units: ['patient'],
      outputs: noisedOutputs(names),
      mediaTypes: [],
      isDominanceApplied: false,
    };
    const answer = passGate(candidate, termsOf(policy, scope));
    assert.ok(answer.kind === 'released' && answer.content === 'table', JSON.stringify(answer));
    const rows: Cell[][] = answer.batches.flatMap((batch) => rowsOf(answer.schema, batch));
    assert.deepEqual(
      rows.map((row) => row[0]),
      ['b', 'a'],
    );
    assert.deepEqual(
      answer.schema.map(({ name }) => name),
      ['ward', 'visits', ...[0, 1, 2, 3, 4, 5].map((bin) => `stays_${bin}`), 'cost'],
    );
    assert.equal(accuracy.length, 2 * 8);
  });
});

/** P(noise ≥ k) from the probabilities themselves. */
function exactTail(noise: Noise, k: number): number {
  const ratio = noise.kind === 'laplace' ? noise.scale : noise.variance;
  const size = Number(ratio.numerator) / Number(ratio.denominator);
  const weight = (x: number): number =>
    Math.exp(noise.kind === 'laplace' ? -Math.abs(x) / size : -(x * x) / (2 * size));
  const reach = Math.ceil(noise.kind === 'laplace' ? 45 * size : 12 * Math.sqrt(size)) + 2;
  let [tail, all] = [0, 0];
  for (let x = reach; x >= -reach; x--) {
    all += weight(x);
    if (x >= k) tail += weight(x);
  }
  return tail / all;
}

function ungrouped(visits: readonly Visit[]): readonly Visit[] {
  return visits.map((one) => ({ ...one, key: [] }));
}

function tableOf(
  groups: ReturnType<typeof evaluate>,
  evaluateQuery: (read: (column: ExactColumn) => bigint) => readonly bigint[],
): ReadonlyMap<string, bigint> {
  return new Map(
    groups.flatMap(({ key, values }) =>
      evaluateQuery((column) => values.get(exactId(column)) ?? 0n).map(
        (value, i) => [`${String(key[0])} ${i}`, value] as const,
      ),
    ),
  );
}

function differences(a: ReadonlyMap<string, bigint>, b: ReadonlyMap<string, bigint>): bigint[] {
  return [...new Set([...a.keys(), ...b.keys()])].map((key) => (a.get(key) ?? 0n) - (b.get(key) ?? 0n));
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function average(values: readonly number[]): number {
  return total(values) / values.length;
}

function spread(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [average(a), average(b)];
  return average(a.map((value, i) => (value - meanA) * ((b[i] ?? 0) - meanB)));
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exactId } from '../../runtime/release/mechanisms/mechanism.ts';
import type { DpAggregate } from '../../runtime/release/mechanisms/aggregate.ts';
import type { Measure } from '../../runtime/release/mechanisms/mechanism.ts';
import {
  budgetOf,
  queriesOf,
  WHOLE_TABLE,
  type NoisedPlan,
  type NoisedQueries,
} from '../../runtime/release/noised-plan.ts';
import { releaseWith, type ExactGroup, type NoisedRelease } from '../../runtime/release/release-noised.ts';
import type { Entropy } from '../../runtime/release/entropy.ts';
import { SYSTEM_ENTROPY } from './entropy-source.ts';
import { evaluate, type Evaluation, type Visit } from './exact-evaluation.ts';
import { epsilonLowerBound, lowerClopperPearson } from './privacy-audit.ts';

/** The claim under test, for every mechanism: ε = 1 with δ = 10⁻⁵ against a unit of at most 20 rows. */
const EPSILON = 1;
const DELTA = 1e-5;
const M = 20;
const RELEASES = 40_000;
const ALPHA = 1e-4 / 20;

const COST: Measure = { name: 'cost', low: 0n, high: 300_000n, step: { numerator: 1n, denominator: 100n } };
const EVALUATION: Evaluation = { maxRowsPerUnit: M, measures: [COST], edges: [100, 1000], isClipped: true };

/** 300 ordinary patients; patient 200 has 500 visits of the highest cost, patient 13 one absurd cost and keys of his own. */
const VISITS: readonly Visit[] = Array.from({ length: 300 }, (_, unit) => visitsOf(unit)).flat();
const WITHOUT_HEAVY = VISITS.filter(({ unit }) => unit !== 200);
const WITHOUT_OUTLIER = VISITS.filter(({ unit }) => unit !== 13);

function visitsOf(unit: number): Visit[] {
  if (unit === 200) return Array.from({ length: 500 }, () => ({ unit, key: ['a'], values: { cost: 3000 } }));
  if (unit === 13) return Array.from({ length: M }, (_, i) => ({ unit, key: [`own ${i % 3}`], values: { cost: 1e6 } }));
  return Array.from({ length: 1 + (unit % 4) }, (_, i) => ({
    unit,
    key: ['a'],
    values: { cost: (unit * 7 + i * 31) % 900 },
  }));
}

const ungrouped = (visits: readonly Visit[]): readonly Visit[] => visits.map((visit) => ({ ...visit, key: [] }));

interface Case {
  readonly plan: NoisedPlan;
  readonly without: readonly Visit[];
  readonly evaluation?: Evaluation;
  readonly twist?: (queries: NoisedQueries) => NoisedQueries;
  readonly entropy?: () => Entropy;
  /** How many releases are made for one budget; the statistic is their mean. */
  readonly repeats?: number;
  readonly releases?: number;
  readonly statistic?: (release: NoisedRelease) => number;
}

const planOf = (aggregate: DpAggregate, kind: 'laplace' | 'gaussian' = 'laplace', epsilon = EPSILON): NoisedPlan => ({
  aggregates: [aggregate],
  keys: WHOLE_TABLE,
  bound: { maxRowsPerUnit: M },
  minUnits: null,
  budget: budgetOf(kind, epsilon * 1e6, DELTA),
});

const ROWS: DpAggregate = { kind: 'count', measure: null };
const TOTAL: DpAggregate = { kind: 'sum', measure: COST };
const PRIVATE_KEYS: NoisedPlan = { ...planOf(ROWS), keys: { kind: 'private' } };

const firstValue = (release: NoisedRelease): number => release.rows[0]?.aggregates[0]?.[0]?.value ?? Number.NaN;
const ownKeysShown = (release: NoisedRelease): number =>
  release.rows.filter(({ key }) => String(key[0]).startsWith('own')).length;

/** The exact part runs once a side, the release part 40,000 times. */
function measuredEpsilon(given: Case): number {
  const queries = (given.twist ?? ((same) => same))(queriesOf(given.plan));
  const grouped = given.plan.keys.kind === 'private';
  const sides = [VISITS, given.without].map((visits) => {
    const exact = evaluate(grouped ? visits : ungrouped(visits), queries.reads, given.evaluation ?? EVALUATION);
    return Array.from({ length: given.releases ?? RELEASES }, () => outcome(given, queries, exact));
  });
  return epsilonLowerBound(sides[0] ?? [], sides[1] ?? [], { delta: DELTA, alpha: ALPHA });
}

function outcome(given: Case, queries: NoisedQueries, exact: readonly ExactGroup[]): number {
  const repeats = given.repeats ?? 1;
  let sum = 0;
  for (let i = 0; i < repeats; i++) {
    const entropy = given.entropy?.() ?? POOLED;
    sum += (given.statistic ?? firstValue)(releaseWith(given.plan, queries, exact, entropy));
  }
  return sum / repeats;
}

/** Many small releases would spend their time in the system call for 4 KiB each; bytes are still used once. */
let pool = new Uint8Array(0);
let next = 0;
const POOLED: Entropy = {
  bytes: (count) => {
    if (next + count > pool.length) [pool, next] = [Uint8Array.from(SYSTEM_ENTROPY.bytes(count * 256)), 0];
    next += count;
    return pool.subarray(next - count, next);
  },
};

const sticky = (): Entropy => ({ bytes: (count) => Uint8Array.from({ length: count }, (_, i) => (i * 73 + 41) & 255) });

const RIGHT: Readonly<Record<string, Case>> = {
  'a count with Laplace noise, heavy patient': { plan: planOf(ROWS), without: WITHOUT_HEAVY },
  'a sum with Laplace noise, outlier': { plan: planOf(TOTAL), without: WITHOUT_OUTLIER },
  'a count with Gaussian noise, heavy patient': { plan: planOf(ROWS, 'gaussian'), without: WITHOUT_HEAVY },
  'private keys behind the threshold, own keys': {
    plan: PRIVATE_KEYS,
    without: WITHOUT_OUTLIER,
    releases: 15_000,
    statistic: ownKeysShown,
  },
  'a mean, heavy patient': { plan: planOf({ kind: 'avg', measure: COST }), without: WITHOUT_HEAVY, releases: 20_000 },
};

const BROKEN: Readonly<Record<string, Case>> = {
  'no bound on rows per unit': {
    plan: planOf(ROWS),
    without: WITHOUT_HEAVY,
    evaluation: { ...EVALUATION, maxRowsPerUnit: Infinity },
    releases: 10_000,
  },
  'noise for a row instead of a unit': {
    plan: { ...planOf(ROWS), bound: { maxRowsPerUnit: 1 } },
    without: WITHOUT_HEAVY,
    releases: 10_000,
  },
  'half the scale': { plan: planOf(ROWS, 'laplace', 2 * EPSILON), without: WITHOUT_HEAVY, releases: 20_000 },
  'two thirds of the scale': { plan: planOf(ROWS, 'laplace', 1.5 * EPSILON), without: WITHOUT_HEAVY },
  'no threshold on private keys': {
    plan: PRIVATE_KEYS,
    without: WITHOUT_OUTLIER,
    twist: (queries) => ({ ...queries, threshold: null }),
    releases: 5_000,
    statistic: ownKeysShown,
  },
  'a sum that is not clipped': {
    plan: planOf(TOTAL),
    without: WITHOUT_OUTLIER,
    evaluation: { ...EVALUATION, isClipped: false },
    releases: 10_000,
  },
  'sticky noise': { plan: planOf(ROWS), without: WITHOUT_HEAVY, entropy: sticky, releases: 2_000 },
  'two releases on one budget': { plan: planOf(ROWS), without: WITHOUT_HEAVY, repeats: 2, releases: 40_000 },
};

describe('differential privacy, measured on neighbouring datasets', () => {
  for (const [name, given] of Object.entries(RIGHT)) {
    it(`${name}: no more than epsilon can be measured`, () => {
      const measured = measuredEpsilon(given);
      assert.ok(measured <= EPSILON, `measured ${measured.toFixed(2)}`);
    });
  }

  for (const [name, given] of Object.entries(BROKEN)) {
    it(`${name}: is caught`, () => {
      const measured = measuredEpsilon(given);
      assert.ok(measured > EPSILON, `measured only ${measured.toFixed(2)}`);
    });
  }

  it('the count comes close to its epsilon, so the audit has teeth and no budget is wasted', () => {
    const measured = measuredEpsilon({ plan: planOf(ROWS), without: WITHOUT_HEAVY, releases: 20_000 });
    assert.ok(measured > 0.7, `measured ${measured.toFixed(2)}`);
  });

  it('confidence bounds are those of Clopper and Pearson', () => {
    // Lower bounds of the one-sided 97.5 % interval, from tables.
    assert.ok(Math.abs(lowerClopperPearson(5, 10, 0.025) - 0.1871) < 1e-4);
    assert.ok(Math.abs(lowerClopperPearson(10, 100, 0.025) - 0.049) < 1e-4);
    assert.ok(Math.abs(lowerClopperPearson(10, 10, 0.025) - 0.6915) < 1e-4);
    assert.equal(lowerClopperPearson(0, 10, 0.025), 0);
  });

  it('the exact answers of the two sides differ by as much as the sensitivity allows, so the test is not idle', () => {
    const queries = queriesOf(planOf(ROWS));
    const [full, without] = [VISITS, WITHOUT_HEAVY].map(
      (visits) =>
        evaluate(ungrouped(visits), queries.reads, EVALUATION)[0]?.values.get(exactId({ kind: 'rows' })) ?? 0n,
    );
    assert.equal((full ?? 0n) - (without ?? 0n), BigInt(M));
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import {
  discreteGaussian,
  gaussianHalfWidth,
  integerSquareRoot,
  normalQuantile,
} from '../../runtime/release/discrete-gaussian.ts';
import {
  discreteLaplace,
  laplaceDeviation,
  laplaceHalfWidth,
  type Rational,
} from '../../runtime/release/discrete-laplace.ts';
import { bernoulliExp, Uniform } from '../../runtime/release/uniform.ts';
import { SYSTEM_ENTROPY } from './entropy-source.ts';

const rational = (numerator: bigint, denominator = 1n): Rational => ({ numerator, denominator });
const uniform = new Uniform(SYSTEM_ENTROPY);

/**
 * Chi-square against an exact distribution over a window; everything outside is one cell, cells expected below 10 join it.
 * Returns the standard normal score of the misfit (Wilson and Hilferty 1931); 6 is passed by chance about once in 10⁹ runs.
 */
function misfit(sample: () => bigint, weight: (x: number) => number, reach: number, draws: number): number {
  const seen = new Map<number, number>();
  for (let i = 0; i < draws; i++) {
    const x = Number(sample());
    seen.set(x, (seen.get(x) ?? 0) + 1);
  }
  let total = 0;
  for (let x = -40 * reach; x <= 40 * reach; x++) total += weight(x);
  let [chi, freedom, restExpected, restSeen] = [0, 0, draws, draws];
  for (let x = -reach; x <= reach; x++) {
    const expected = (draws * weight(x)) / total;
    if (expected < 10) continue;
    const count = seen.get(x) ?? 0;
    chi += (count - expected) ** 2 / expected;
    freedom++;
    restExpected -= expected;
    restSeen -= count;
  }
  if (restExpected >= 10) chi += (restSeen - restExpected) ** 2 / restExpected;
  else freedom--;
  const spread = 2 / (9 * freedom);
  return (Math.cbrt(chi / freedom) - (1 - spread)) / Math.sqrt(spread);
}

const laplaceWeight = (scale: number) => (x: number) => Math.exp(-Math.abs(x) / scale);
const gaussianWeight = (variance: number) => (x: number) => Math.exp((-x * x) / (2 * variance));

describe('exact samplers', () => {
  it('discrete Laplace noise has its exact distribution, for whole, fractional and tiny scales', () => {
    for (const scale of [rational(5n), rational(10n, 3n), rational(1n, 3n), rational(20n, 1n)]) {
      const b = Number(scale.numerator) / Number(scale.denominator);
      const fit = misfit(() => discreteLaplace(uniform, scale), laplaceWeight(b), Math.ceil(8 * b), 60_000);
      assert.ok(fit < 6, `scale ${b}: ${fit}`);
    }
  });

  it('the path for big numbers draws the same distribution as the fast path', () => {
    const big = rational(5n << 60n, 1n << 60n);
    const fit = misfit(() => discreteLaplace(uniform, big), laplaceWeight(5), 40, 20_000);
    assert.ok(fit < 6, `${fit}`);
    const bigVariance = rational(36n << 60n, 1n << 60n);
    const gaussianFit = misfit(() => discreteGaussian(uniform, bigVariance), gaussianWeight(36), 30, 10_000);
    assert.ok(gaussianFit < 6, `${gaussianFit}`);
  });

  it('discrete Gaussian noise has its exact distribution, for whole, fractional and tiny variances', () => {
    for (const variance of [rational(36n), rational(7n, 2n), rational(1n, 4n)]) {
      const v = Number(variance.numerator) / Number(variance.denominator);
      const fit = misfit(
        () => discreteGaussian(uniform, variance),
        gaussianWeight(v),
        Math.ceil(6 * Math.sqrt(v)) + 1,
        40_000,
      );
      assert.ok(fit < 6, `variance ${v}: ${fit}`);
    }
  });

  it('the test of fit catches a sampler that draws zero twice as often, and one of a slightly wrong scale', () => {
    const twiceZero = (): bigint => {
      const value = discreteLaplace(uniform, rational(5n));
      return uniform.below(12) === 0 ? 0n : value;
    };
    assert.ok(misfit(twiceZero, laplaceWeight(5), 40, 60_000) > 6);
    assert.ok(misfit(() => discreteLaplace(uniform, rational(11n, 2n)), laplaceWeight(5), 40, 60_000) > 6);
  });

  it('exp(−x) coins land as often as they should', () => {
    for (const [numerator, denominator] of [
      [0n, 1n],
      [1n, 2n],
      [3n, 1n],
      [5n, 4n],
    ] as const) {
      const draws = 20_000;
      let heads = 0;
      for (let i = 0; i < draws; i++) if (bernoulliExp(uniform, numerator, denominator)) heads++;
      const p = Math.exp(-Number(numerator) / Number(denominator));
      assert.ok(
        Math.abs(heads - draws * p) <= 6 * Math.sqrt(draws * p * (1 - p)) + 1e-9,
        `${numerator}/${denominator}`,
      );
    }
  });

  it('uniform draws stay below any bound and reach each end of a small one', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 1n << 200n }), (bound) => {
        const value = uniform.belowBig(bound);
        assert.ok(value >= 0n && value < bound);
      }),
    );
    for (const bound of [1, 2, 3, 255, 256, 257]) {
      const seen = new Set(Array.from({ length: bound * 20 }, () => uniform.below(bound)));
      assert.ok(seen.has(0) && seen.has(bound - 1) && [...seen].every((value) => value < bound), `${bound}`);
    }
    for (const bound of [2 ** 32, 2 ** 32 + 1, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      const draws = Array.from({ length: 200 }, () => uniform.below(bound));
      assert.ok(draws.every((value) => Number.isSafeInteger(value) && value < bound));
      assert.ok(draws.some((value) => value > bound / 2) && draws.some((value) => value < bound / 2));
    }
  });

  it('equal entropy gives equal noise, and used entropy is wiped', () => {
    const pools: Uint8Array[] = [];
    const fixed = (): Uniform =>
      new Uniform({
        bytes: (count) => {
          const pool = Uint8Array.from({ length: count }, (_, i) => (i * 167 + 13) & 255);
          pools.push(pool);
          return pool;
        },
      });
    const draws = (source: Uniform): bigint[] =>
      Array.from({ length: 50 }, () => discreteLaplace(source, rational(9n)));
    assert.deepEqual(draws(fixed()), draws(fixed()));
    assert.deepEqual(
      [...(pools[0]?.subarray(0, 20) ?? [])],
      Array.from({ length: 20 }, () => 0),
    );
  });

  it('an entropy source that runs dry is a fault, not weak noise', () => {
    const dry = new Uniform({ bytes: () => new Uint8Array(7) });
    assert.throws(() => dry.bit(), /fewer bytes/);
  });

  it('scales and variances that are not positive are refused', () => {
    for (const bad of [rational(0n), rational(-1n), rational(1n, 0n), rational(1n, -1n)]) {
      assert.throws(() => discreteLaplace(uniform, bad), RangeError);
      assert.throws(() => discreteGaussian(uniform, bad), RangeError);
    }
  });

  it('integer square roots are exact', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1n << 300n }), (value) => {
        const root = integerSquareRoot(value);
        assert.ok(root * root <= value && (root + 1n) * (root + 1n) > value);
      }),
    );
  });

  it('half-widths hold the promised share of draws', () => {
    const misses = (sample: () => bigint, width: number): number => {
      let count = 0;
      for (let i = 0; i < 20_000; i++) if (Math.abs(Number(sample())) > width) count++;
      return count / 20_000;
    };
    const scale = rational(40n, 3n);
    assert.ok(misses(() => discreteLaplace(uniform, scale), laplaceHalfWidth(scale, 0.05)) < 0.06);
    const variance = rational(50n);
    assert.ok(misses(() => discreteGaussian(uniform, variance), gaussianHalfWidth(variance, 0.05)) < 0.06);
    assert.ok(Math.abs(normalQuantile(0.025) - 1.959964) < 1e-3);
    assert.ok(normalQuantile(1e-9) >= 5.997807);
    assert.ok(Math.abs(laplaceDeviation(rational(100n)) - 100 * Math.SQRT2) < 0.1);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import {
  charge,
  femtoDeltaOf,
  microEpsilonOf,
  nanoRhoOfPure,
  nanoRhoWithin,
  openAccount,
  type Loss,
} from '../../runtime/release/accounting.ts';

const pure = (microEpsilon: number, femtoDelta = 0): Loss => ({ kind: 'pure', microEpsilon, femtoDelta });
const zcdp = (nanoRho: number, femtoDelta = 0): Loss => ({ kind: 'zcdp', nanoRho, femtoDelta });

describe('privacy accounting', () => {
  it('no sequence of charges exceeds a limit, and each refused charge would have', () => {
    const losses = fc.array(fc.integer({ min: 1, max: 400_000 }), { maxLength: 40 });
    fc.assert(
      fc.property(losses, fc.integer({ min: 0, max: 3_000_000 }), (costs, limit) => {
        let account = openAccount('pure', limit, 0);
        for (const cost of costs) {
          const answer = charge(account, pure(cost));
          if (answer.kind === 'exhausted') assert.ok(account.spent + cost > limit);
          else account = answer.account;
          assert.ok(account.spent <= limit);
        }
      }),
    );
  });

  it('delta runs out on its own', () => {
    const account = openAccount('pure', 4_000_000, 1e-6);
    const first = charge(account, pure(1, femtoDeltaOf(1e-6)));
    assert.equal(first.kind, 'charged');
    assert.equal(first.kind === 'charged' ? charge(first.account, pure(1, 1)).kind : '', 'exhausted');
  });

  it('a loss of nothing, a fraction, a negative or an unsafe number is a fault', () => {
    const account = openAccount('pure', 1_000_000, 0);
    for (const cost of [0, -1, 0.5, Number.NaN, Infinity, 2 ** 53])
      assert.throws(() => charge(account, pure(cost)), RangeError);
    assert.throws(() => charge(account, pure(1, -1)), RangeError);
    assert.throws(() => charge(account, zcdp(1)), RangeError);
  });

  it('a pure loss costs half its square in a concentrated account, rounded up', () => {
    assert.equal(nanoRhoOfPure(1_000_000), 500_000_000);
    assert.equal(nanoRhoOfPure(1), 1);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000_000 }), (microEpsilon) => {
        const exact = (microEpsilon / 1e6) ** 2 / 2;
        const nanoRho = nanoRhoOfPure(microEpsilon);
        assert.ok(nanoRho >= exact * 1e9 * (1 - 1e-12) && nanoRho <= exact * 1e9 + 1.001);
      }),
    );
  });

  it('the conversion to epsilon is never above the textbook bound, grows with rho, and falls with delta', () => {
    const rhos = fc.integer({ min: 1, max: 4_000_000_000 });
    fc.assert(
      fc.property(rhos, fc.constantFrom(1e-4, 1e-6, 1e-9, 1e-12), (nanoRho, delta) => {
        const epsilon = microEpsilonOf(nanoRho, delta);
        const rho = nanoRho / 1e9;
        assert.ok(epsilon <= (rho + 2 * Math.sqrt(rho * Math.log(1 / delta))) * 1e6 + 2);
        assert.ok(epsilon >= rho * 1e6);
        assert.ok(microEpsilonOf(nanoRho + 1_000, delta) >= epsilon);
        assert.ok(microEpsilonOf(nanoRho, delta / 10) >= epsilon);
      }),
    );
  });

  it('the conversion is a true bound: Gaussian noise of that rho is (ε, δ)-private by its exact formula', () => {
    // Balle and Wang 2018: δ(ε) = Φ(μ/2 − ε/μ) − e^ε·Φ(−μ/2 − ε/μ) with μ = Δ/σ = √(2ρ).
    for (const [nanoRho, delta] of [
      [1e7, 1e-5],
      [1e8, 1e-5],
      [1e9, 1e-6],
    ] as const) {
      const epsilon = microEpsilonOf(nanoRho, delta) / 1e6;
      const mu = Math.sqrt((2 * nanoRho) / 1e9);
      const exact = normalTail(epsilon / mu - mu / 2) - Math.exp(epsilon) * normalTail(epsilon / mu + mu / 2);
      assert.ok(exact <= delta, `rho ${nanoRho}: ${exact} > ${delta}`);
      assert.ok(exact >= delta / 20, `the bound for rho ${nanoRho} is needlessly loose: ${exact}`);
    }
  });

  it('the rho within a budget converts back to at most that budget, and one more does not', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_000, max: 8_000_000 }),
        fc.constantFrom(1e-5, 1e-6, 1e-9),
        (microEpsilon, delta) => {
          const nanoRho = nanoRhoWithin(microEpsilon, delta);
          assert.ok(microEpsilonOf(nanoRho, delta) <= microEpsilon);
          assert.ok(microEpsilonOf(nanoRho + 1, delta) > microEpsilon);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('a concentrated account allows more small releases than a pure one over the same total', () => {
    const released = (kind: Loss['kind'], loss: Loss): number => {
      let account = openAccount(kind, 4_000_000, 1e-6);
      for (let n = 0; ; n++) {
        const answer = charge(account, loss);
        if (answer.kind === 'exhausted') return n;
        account = answer.account;
      }
    };
    assert.ok(released('zcdp', pure(20_000)) > 4 * released('pure', pure(20_000)));
  });

  it('a written delta is not lost to binary fractions', () => {
    assert.equal(femtoDeltaOf(1e-6), 1_000_000_000);
    assert.equal(femtoDeltaOf(1e-9), 1_000_000);
    assert.equal(femtoDeltaOf(0), 0);
    assert.throws(() => femtoDeltaOf(1), RangeError);
    assert.throws(() => femtoDeltaOf(Number.NaN), RangeError);
  });
});

/** P(N(0,1) > x) by Simpson's rule; good to 10⁻¹² for the few points used here. */
function normalTail(x: number): number {
  const steps = 20_000;
  const [from, to] = [x, x + 14];
  const width = (to - from) / steps;
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const weight = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
    const at = from + i * width;
    sum += weight * Math.exp((-at * at) / 2);
  }
  return (sum * width) / 3 / Math.sqrt(2 * Math.PI);
}

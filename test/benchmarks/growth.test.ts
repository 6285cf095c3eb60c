import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { growthInWords, growthOf } from '../../benchmarks/scale/growth.ts';

const SIZES = [10, 100, 1000, 10_000];
const points = (of: (n: number) => number): readonly { size: number; cost: number }[] =>
  SIZES.map((size) => ({ size, cost: of(size) }));

test('a law is found again under a fixed cost and a few percent of noise', () => {
  const laws = {
    constant: () => 7,
    'log n': (n: number) => 3 + 2 * Math.log2(n + 1),
    n: (n: number) => 5 + 0.4 * n,
    'n²': (n: number) => 1 + 0.01 * n * n,
  };
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0.97, max: 1.03, noNaN: true }), { minLength: 4, maxLength: 4 }), (noise) => {
      for (const [law, of] of Object.entries(laws)) {
        const noisy = points(of).map(({ size, cost }, at) => ({ size, cost: cost * (noise[at] ?? 1) }));
        assert.equal(growthOf(noisy)?.law, law);
      }
    }),
  );
});

test('the parts of a law and the log-log slope are those of the figures', () => {
  const growth = growthOf(points((n) => 5 + 0.4 * n));
  assert.ok(growth !== null && Math.abs(growth.fixed - 5) < 1e-6 && Math.abs(growth.each - 0.4) < 1e-9);
  assert.ok(Math.abs((growthOf(points((n) => n ** 1.5))?.exponent ?? 0) - 1.5) < 1e-9);
  assert.match(growthInWords(growth, 'ms'), /^grows with n: 5 \+ 0\.4 · n ms \(explains 100 %/);
});

test('a cost that does not even double is given no law: noise would choose it', () => {
  const growth = growthOf([10, 11, 15].map((cost, at) => ({ size: 10 ** (at + 1), cost })));
  assert.equal(growth?.law, 'too little to tell');
  assert.match(growth === null ? '' : growthInWords(growth, 'ms'), /^grows from 10 to 15 ms: mostly fixed/);
});

test('too few sizes, or costs that are none, are not fitted', () => {
  assert.equal(growthOf(points(() => 1).slice(0, 2)), null);
  assert.equal(growthOf([...points((n) => n).slice(0, 3), { size: 5, cost: 0 }]), null);
  assert.equal(growthOf([1, 2, 3].map((cost) => ({ size: 7, cost }))), null);
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { DigitAccumulator } from '../../runtime/homomorphic/kernels/digit-accumulator.ts';
import { LinearAccumulator } from '../../runtime/homomorphic/kernels/linear-accumulator.ts';
import { NumberTransform } from '../../runtime/homomorphic/kernels/number-transform.ts';
import { PairAccumulator, ProductAccumulator } from '../../runtime/homomorphic/kernels/product-accumulator.ts';
import { assembleKernels, binaryModuleText } from '../../runtime/homomorphic/kernels/build.ts';
import { assembleCiphertext, freshShape } from '../../runtime/homomorphic/layout.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { PROFILES, dataPrimeCount, type ProfileId } from '../../runtime/homomorphic/profiles.ts';

const backend = await openNodeSealBackend();

test('the committed kernel bytes are exactly what linear.wat assembles to', async () => {
  const committed = readFileSync(new URL('../../runtime/homomorphic/kernels/binary.ts', import.meta.url), 'utf8');
  assert.equal(committed, binaryModuleText(await assembleKernels()));
});

function bodiesOf(profileId: ProfileId, count: number): { bodies: Uint8Array[]; values: BigInt64Array[] } {
  const profile = PROFILES[profileId];
  const context = backend.open(profile);
  const keys = context.generateKeys();
  context.useSecretKey(keys.secretKey);
  const bodies: Uint8Array[] = [];
  const values: BigInt64Array[] = [];
  for (let b = 0; b < count; b++) {
    const block = BigInt64Array.from(
      { length: profile.degree },
      (_, i) => BigInt((i * 7919 + b * 104729) % 20001) - 10000n,
    );
    using plain = context.encodeIntegers(block);
    using loaded = context.load(freshShape(profile, 'seeded'), context.encryptSeeded(plain));
    bodies.push(context.body(loaded));
    values.push(block);
  }
  return { bodies, values };
}

function shapeOf(profileId: ProfileId) {
  const profile = PROFILES[profileId];
  return { polynomials: 2, primes: profile.primes.slice(0, dataPrimeCount(profile)), degree: profile.degree };
}

for (const profileId of ['bgv-add-a', 'bfv-add-a', 'bgv-wide'] as const) {
  test(`a kernel sum over ${profileId} bytes is bit for bit the sum SEAL computes`, () => {
    const context = backend.open(PROFILES[profileId]);
    const { bodies, values } = bodiesOf(profileId, 11);
    const accumulator = new LinearAccumulator(shapeOf(profileId));
    for (const body of bodies) accumulator.add(body);
    const sum = accumulator.take();
    const shape = freshShape(PROFILES[profileId], 'full');
    using expected = context.load(shape, assembleCiphertext(shape, bodies[0] as Uint8Array));
    for (const body of bodies.slice(1)) {
      using next = context.load(shape, assembleCiphertext(shape, body));
      context.addTo(expected, next);
    }
    assert.deepEqual(Buffer.from(sum), Buffer.from(context.body(expected)));
    using result = context.load(shape, assembleCiphertext(shape, sum));
    assert.equal(
      context.decryptIntegers(result)[5],
      values.reduce((total, block) => total + (block[5] ?? 0n), 0n),
    );
  });
}

test('kernel weighted sums equal SEAL for any weights, and equal plain arithmetic modulo each prime', () => {
  const context = backend.open(PROFILES['bgv-add-a']);
  const { bodies } = bodiesOf('bgv-add-a', 3);
  const shape = freshShape(PROFILES['bgv-add-a'], 'full');
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: -3000n, max: 3000n }), { minLength: 3, maxLength: 3 }), (weights) => {
      fc.pre(weights.some((weight) => weight !== 0n));
      const accumulator = new LinearAccumulator(shapeOf('bgv-add-a'));
      weights.forEach((weight, i) => accumulator.addWeighted(bodies[i] as Uint8Array, weight));
      const got = accumulator.take();
      const prime = PROFILES['bgv-add-a'].primes[0] as bigint;
      const words = bodies.map((body) => new BigUint64Array(body.slice().buffer));
      const result = new BigUint64Array(got.slice().buffer);
      for (const at of [0, 1, 4095, 4096, 8191]) {
        const exact = weights.reduce((sum, weight, i) => sum + weight * (words[i]?.[at] ?? 0n), 0n);
        assert.equal(result[at], ((exact % prime) + prime) % prime);
      }
      using parts = new DisposableStack();
      const products = weights.map((weight, i) => {
        const ciphertext = parts.use(context.load(shape, assembleCiphertext(shape, bodies[i] as Uint8Array)));
        const plain = parts.use(context.encodeIntegers(new BigInt64Array(4096).fill(weight)));
        return weight === 0n ? null : parts.use(context.multiplyPlain(ciphertext, plain));
      });
      const present = products.filter((product) => product !== null);
      const first = present[0];
      if (first === undefined) return;
      for (const next of present.slice(1)) context.addTo(first, next);
      assert.deepEqual(Buffer.from(got), Buffer.from(context.body(first)));
    }),
    { numRuns: 25 },
  );
});

test('sums of words at the very top of their range do not overflow, however many there are', () => {
  const shape = { polynomials: 1, primes: [18014398509309953n], degree: 64 };
  const prime = shape.primes[0] as bigint;
  const top = new Uint8Array(new BigUint64Array(64).fill(prime - 1n).buffer);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), (count) => {
      const accumulator = new LinearAccumulator(shape);
      for (let i = 0; i < count; i++) accumulator.add(top);
      const result = new BigUint64Array(accumulator.take().buffer);
      assert.equal(result[17], ((prime - 1n) * BigInt(count)) % prime);
    }),
    { numRuns: 20 },
  );
});

test('one word that is not below its prime spoils the whole sum, wherever it stands', () => {
  const shape = { polynomials: 2, primes: [18014398509309953n], degree: 64 };
  const clean = new Uint8Array(1024);
  fc.assert(
    fc.property(
      fc.nat({ max: 127 }),
      fc.nat({ max: 9 }),
      fc.constantFrom(18014398509309953n, 1n << 63n, (1n << 64n) - 1n),
      fc.boolean(),
      (word, position, value, isWeighted) => {
        const dirty = clean.slice();
        new DataView(dirty.buffer).setBigUint64(word * 8, value, true);
        const accumulator = new LinearAccumulator(shape);
        for (let i = 0; i < 10; i++) {
          const body = i === position ? dirty : clean;
          if (isWeighted) accumulator.addWeighted(body, 3n);
          else accumulator.add(body);
        }
        assert.throws(() => accumulator.take(), { code: 'bad-ciphertext' });
        accumulator.add(clean);
        assert.equal(
          accumulator.take().every((byte) => byte === 0),
          true,
        );
      },
    ),
  );
});

test('the encrypted-weights product kernel is bit for bit what SEAL computes', () => {
  const profile = PROFILES['bgv-query'];
  const context = backend.open(profile);
  context.useSecretKey(context.generateKeys().secretKey);
  const shape = freshShape(profile, 'full');
  const accumulator = new ProductAccumulator(shapeOf('bgv-query'));
  using owned = new DisposableStack();
  let expected: ReturnType<typeof context.multiply> | null = null;
  for (let feature = 0; feature < 3; feature++) {
    using weight = context.encodeIntegers(new BigInt64Array(8192).fill(BigInt(feature * 31 - 40)));
    const encrypted = owned.use(context.load(freshShape(profile, 'seeded'), context.encryptSeeded(weight)));
    const column = BigInt64Array.from({ length: 8192 }, (_, i) => BigInt((i * 37 + feature) % 65536));
    accumulator.hold(feature, context.body(encrypted));
    accumulator.addProduct(feature, context.encodeForProduct(column));
    const plain = owned.use(context.encodeIntegers(column));
    const product = owned.use(context.multiplyPlain(encrypted, plain));
    if (expected === null) expected = product;
    else context.addTo(expected, product);
  }
  assert.ok(expected);
  const got = accumulator.take();
  assert.deepEqual(Buffer.from(got), Buffer.from(context.body(expected)));
  using loaded = context.load(shape, assembleCiphertext(shape, got));
  assert.equal(context.decryptIntegers(loaded)[100], -40n * 3700n + -9n * 3701n + 22n * 3702n);
});

test('sums of ciphertext products are bit for bit what SEAL multiplies and adds', () => {
  const profile = PROFILES['bgv-product'];
  const context = backend.open(profile);
  const { bodies, values } = bodiesOf('bgv-product', 4);
  const shape = freshShape(profile, 'full');
  const accumulator = new PairAccumulator(shapeOf('bgv-product'));
  using owned = new DisposableStack();
  const loaded = bodies.map((body) => owned.use(context.load(shape, assembleCiphertext(shape, body))));
  const [a, b, c, d] = loaded as [(typeof loaded)[0], (typeof loaded)[0], (typeof loaded)[0], (typeof loaded)[0]];
  const expected = owned.use(context.multiply(a, b));
  context.addTo(expected, owned.use(context.multiply(c, d)));
  context.addTo(expected, owned.use(context.multiply(a, context.copy(a))));
  const [wa, wb, wc, wd] = bodies as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  accumulator.addProduct(wa, wb);
  accumulator.addProduct(wc, wd);
  accumulator.addProduct(wa, wa);
  const got = accumulator.take();
  assert.deepEqual(Buffer.from(got), Buffer.from(context.body(expected)));
  const three = { ...shape, polynomials: 3 as const };
  using result = context.load(three, assembleCiphertext(three, got));
  const at = (k: number): bigint => values[k]?.[77] ?? 0n;
  assert.equal(context.decryptIntegers(result)[77], at(0) * at(1) + at(2) * at(3) + at(0) * at(0));
  // 128 pairs and more need a reduction in between
  for (let i = 0; i < 300; i++) accumulator.addProduct(wa, wb);
  const prime = profile.primes[0] as bigint;
  const word = (body: Uint8Array, i: number): bigint => new BigUint64Array(body.slice().buffer)[i] ?? 0n;
  const middle = 4 * 8192;
  const many = word(accumulator.take(), middle);
  assert.equal(many, (300n * (word(wa, 0) * word(wb, middle) + word(wa, middle) * word(wb, 0))) % prime);
  const dirty = wa.slice();
  new DataView(dirty.buffer).setBigUint64(8 * 9000, prime + (1n << 28n), true);
  assert.throws(() => accumulator.addProduct(wb, dirty), { code: 'bad-ciphertext' });
});

for (const profileId of ['bgv-query', 'bgv-product'] as const) {
  test(`our number-theoretic transform gives the words that SEAL gives for ${profileId}`, () => {
    const profile = PROFILES[profileId];
    const context = backend.open(profile);
    const transform = new NumberTransform(shapeOf(profileId));
    const half = profile.plainModulus / 2n;
    fc.assert(
      fc.property(fc.bigInt({ min: -half, max: half }), fc.bigInt({ min: 1n, max: half }), (offset, stride) => {
        const values = BigInt64Array.from({ length: profile.degree }, (_, i) => {
          const residue =
            (((offset + stride * BigInt(i)) % profile.plainModulus) + profile.plainModulus) % profile.plainModulus;
          return residue > half ? residue - profile.plainModulus : residue;
        });
        const ours = transform.transform(context.encodeCoefficients(values));
        assert.deepEqual(Buffer.from(ours), Buffer.from(context.encodeForProduct(values)));
      }),
      { numRuns: 8 },
    );
  });
}

test('numbers given as digits are transformed as the numbers they stand for, times the multiplier', () => {
  const transform = new NumberTransform(shapeOf('bgv-query'));
  const n = 8192;
  const high = Int32Array.from({ length: n }, (_, i) => (i % 7) - 3);
  const low = Int32Array.from({ length: n }, (_, i) => i * 524287);
  const whole = BigInt64Array.from(
    { length: n },
    (_, i) => (BigInt(high[i] ?? 0) * (1n << 32n) + BigInt((low[i] ?? 0) >>> 0)) * 5n,
  );
  assert.deepEqual(Buffer.from(transform.transformDigits([high, low], 5n)), Buffer.from(transform.transform(whole)));
});

test('a real weight times a CKKS column is bit for bit what multiplying by the encoded constant gives', () => {
  const profile = PROFILES['ckks-deep'];
  const context = backend.open(profile);
  context.useSecretKey(context.generateKeys().secretKey);
  const shape = freshShape(profile, 'full');
  const scale = Number(profile.primes[3]);
  using owned = new DisposableStack();
  const columns = [0, 1, 2].map((c) => {
    const plain = owned.use(
      context.encodeReals(Float64Array.from({ length: 4096 }, (_, i) => ((i * 7 + c) % 1000) / 1000)),
    );
    return owned.use(context.load(freshShape(profile, 'seeded'), context.encryptSeeded(plain)));
  });
  fc.assert(
    fc.property(fc.array(fc.double({ min: -1000, max: 1000, noNaN: true }), { minLength: 3, maxLength: 3 }), (raw) => {
      const weights = raw.map((weight) => (Math.abs(weight) < 1e-6 ? 0.5 : weight));
      // Halves away from zero, as the library rounds them.
      const whole = weights.map((weight) => BigInt(Math.sign(weight) * Math.round(Math.abs(weight) * scale)));
      const accumulator = new DigitAccumulator(shapeOf('ckks-deep'), 1n << 60n);
      for (let round = 0; round < 7; round++)
        columns.forEach((column, i) => accumulator.addWeighted(context.body(column), whole[i] ?? 0n));
      using parts = new DisposableStack();
      const products = columns.map((column, i) => {
        const constant = parts.use(context.encodeReals(new Float64Array(4096).fill(weights[i] ?? 0), { scale }));
        return parts.use(context.multiplyPlain(column, constant));
      });
      const [sum, second, third] = products as [(typeof products)[0], (typeof products)[0], (typeof products)[0]];
      context.addTo(sum, second);
      context.addTo(sum, third);
      const seven = parts.use(context.copy(sum));
      for (let round = 1; round < 7; round++) context.addTo(seven, sum);
      assert.deepEqual(Buffer.from(accumulator.take()), Buffer.from(context.body(seven)));
    }),
    // Shrinking would take minutes, each step with ciphertexts of its own.
    { numRuns: 6, endOnFailure: true },
  );
  const dirty = context.body(columns[0] as (typeof columns)[0]).slice();
  new DataView(dirty.buffer).setBigUint64(8 * 100, profile.primes[0] ?? 0n, true);
  const accumulator = new DigitAccumulator(shapeOf('ckks-deep'), 1n << 40n);
  accumulator.addWeighted(dirty, 5n);
  assert.throws(() => accumulator.take(), { code: 'bad-ciphertext' });
  assert.ok(shape.primeCount === 4);
});

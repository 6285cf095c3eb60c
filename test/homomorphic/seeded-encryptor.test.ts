import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { HomomorphicFault } from '../../runtime/homomorphic/fault.ts';
import { assembleEncryption, encryptionModuleText } from '../../runtime/homomorphic/kernels/build.ts';
import { NumberTransform } from '../../runtime/homomorphic/kernels/number-transform.ts';
import { freshShape, CIPHERTEXT_BODY_OFFSET, PLAINTEXT_BODY_OFFSET } from '../../runtime/homomorphic/layout.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { dataPrimeCount, PROFILES, type ProfileId } from '../../runtime/homomorphic/profiles.ts';
import { SeededEncryptor } from '../../runtime/homomorphic/seeded-encryptor.ts';

const backend = await openNodeSealBackend();
const BGV = ['bgv-add-a', 'bgv-add-b', 'bgv-wide', 'bgv-product', 'bgv-query'] as const;
const keys = Object.fromEntries(
  BGV.map((id) => {
    const { secretKey } = backend.open(PROFILES[id]).generateKeys();
    backend.open(PROFILES[id]).useSecretKey(secretKey);
    return [id, secretKey];
  }),
) as Record<(typeof BGV)[number], Uint8Array>;
const system = (target: Uint8Array): void => void randomFillSync(target);

test('the committed encryption kernels are what their text assembles to', async () => {
  const committed = readFileSync(
    new URL('../../runtime/homomorphic/kernels/encrypt-binary.ts', import.meta.url),
    'utf8',
  );
  assert.equal(committed, encryptionModuleText(await assembleEncryption()));
});

for (const id of BGV) {
  test(`what our kernels encrypt under ${id}, SEAL expands, decrypts exactly, and finds as noisy as its own`, () => {
    const profile = PROFILES[id];
    const context = backend.open(profile);
    const half = profile.plainModulus / 2n;
    const encryptor = new SeededEncryptor(profile, keys[id], system);
    for (let round = 0; round < 4; round++) {
      const words = randomFillSync(new BigInt64Array(profile.degree));
      const values = words.map((word, i) => [half, -half, 0n][round === 0 ? i : 3] ?? word % half);
      using ciphertext = context.load(freshShape(profile, 'seeded'), encryptor.encrypt(values));
      assert.deepEqual(context.decryptIntegers(ciphertext), values);
      using plain = context.encodeIntegers(values);
      using other = context.load(freshShape(profile, 'seeded'), context.encryptSeeded(plain));
      const [own, seal] = [context.noiseBudgetBits(ciphertext), context.noiseBudgetBits(other)];
      assert.ok(Math.abs(own - seal) <= 1, `${own} bits of noise budget, SEAL's has ${seal}`);
    }
  });
}

test('short batches are filled with zeros, and a value outside of the modulus is refused, wherever it stands', () => {
  const profile = PROFILES['bgv-add-a'];
  const context = backend.open(profile);
  const encryptor = new SeededEncryptor(profile, keys['bgv-add-a'], system);
  encryptor.encrypt(new BigInt64Array(profile.degree).fill(17n));
  using ciphertext = context.load(freshShape(profile, 'seeded'), encryptor.encrypt(BigInt64Array.of(5n, -6n)));
  assert.deepEqual(
    [...context.decryptIntegers(ciphertext)].filter((value) => value !== 0n),
    [5n, -6n],
  );
  const half = profile.plainModulus / 2n;
  const most = (1n << 63n) - 1n;
  for (const value of [half + 1n, -half - 1n, most, -most - 1n, most - half, -most + half]) {
    for (const place of [0, 1, 4095]) {
      const values = new BigInt64Array(4096);
      values[place] = value;
      const isOutOfRange = (error: unknown): boolean =>
        error instanceof HomomorphicFault && error.code === 'out-of-range';
      assert.throws(() => encryptor.encrypt(values), isOutOfRange, `${value} at ${place}`);
    }
  }
  assert.throws(() => encryptor.encrypt(new BigInt64Array(4097)), HomomorphicFault);
});

test('our batch encoding is SEAL’s, coefficient for coefficient', () => {
  for (const id of ['bgv-add-a', 'bgv-query'] as const) {
    const profile = PROFILES[id];
    const context = backend.open(profile);
    const half = profile.plainModulus / 2n;
    const primes = profile.primes.slice(0, dataPrimeCount(profile));
    const values = randomFillSync(new BigInt64Array(profile.degree)).map((word) => word % half);
    const coefficients = context.encodeCoefficients(values);
    // SEAL shows its coefficients transformed; where a prime is below the modulus it lifts them as we do
    if (id === 'bgv-query') {
      const transform = new NumberTransform({ primes, degree: profile.degree });
      assert.deepEqual(transform.transform(coefficients), new Uint8Array(context.encodeForProduct(values)));
    }
    assert.ok(coefficients.every((value) => value >= -half && value <= half));
    assert.throws(() => context.encodeCoefficients(BigInt64Array.of(half + 1n)), HomomorphicFault);
  }
});

test('two ciphertexts of the same values share neither seed nor body', () => {
  const encryptor = new SeededEncryptor(PROFILES['bgv-add-a'], keys['bgv-add-a'], system);
  const seen = new Set<string>();
  for (let i = 0; i < 50; i++) {
    const bytes = encryptor.encrypt(new BigInt64Array(4096));
    seen.add(createHash('sha256').update(bytes.subarray(-64)).digest('hex'));
    seen.add(createHash('sha256').update(bytes.subarray(0, -81)).digest('hex'));
  }
  assert.equal(seen.size, 100);
});

test('errors are a centred binomial of 21 bits on each side: bounded, centred, of variance 10.5', () => {
  // With zeros as values, the phase c0 + c1 s is t times the error, in transformed order: its inverse transform shows it.
  const id: ProfileId = 'bgv-add-a';
  const profile = PROFILES[id];
  const [q = 1n] = profile.primes;
  const n = profile.degree;
  const context = backend.open(profile);
  const encryptor = new SeededEncryptor(profile, keys[id], system);
  const wordsOf = (bytes: Uint8Array, at: number): BigUint64Array =>
    new BigUint64Array(bytes.slice(at, at + 8 * n).buffer);
  const secret = wordsOf(keys[id], PLAINTEXT_BODY_OFFSET);
  assert.equal(dataPrimeCount(profile), 1);
  using ciphertext = context.load(freshShape(profile, 'seeded'), encryptor.encrypt(new BigInt64Array(n)));
  const body = context.save(ciphertext);
  const c0 = wordsOf(body, CIPHERTEXT_BODY_OFFSET);
  const c1 = wordsOf(body, CIPHERTEXT_BODY_OFFSET + 8 * n);
  const phase = c0.map((word, i) => (word + (c1[i] ?? 0n) * (secret[i] ?? 0n)) % q);
  const errors = inverseTransform(phase, q).map((value) => {
    const centred = value > q / 2n ? value - q : value;
    assert.equal(centred % profile.plainModulus, 0n);
    return Number(centred / profile.plainModulus);
  });
  const mean = errors.reduce((a, b) => a + b, 0) / n;
  const variance = errors.reduce((a, b) => a + b * b, 0) / n;
  assert.ok(errors.every((error) => Math.abs(error) <= 21));
  // ten standard deviations of each estimate
  assert.ok(Math.abs(mean) < 0.51, `mean ${mean}`);
  assert.ok(Math.abs(variance - 10.5) < 2.4, `variance ${variance}`);
});

/** Evaluates at the inverse roots, layer by layer (Gentleman and Sande), on BigInts: slow, and nothing of the kernels. */
function inverseTransform(words: BigUint64Array, q: bigint): readonly bigint[] {
  const n = words.length;
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n;
    for (let left = exponent, square = base; left > 0n; left >>= 1n, square = (square * square) % q)
      if ((left & 1n) === 1n) result = (result * square) % q;
    return result;
  };
  const order = BigInt(2 * n);
  let least = q;
  for (let candidate = 2n; least === q; candidate++) {
    const root = power(candidate, (q - 1n) / order);
    if (power(root, BigInt(n)) !== q - 1n) continue;
    for (let odd = 0, current = root; odd < n; odd++, current = (current * root * root) % q)
      if (current < least) least = current;
  }
  const inverse = power(least, q - 2n);
  const bits = Math.log2(n);
  const reversed = (index: number): number =>
    Number.parseInt(index.toString(2).padStart(bits, '0').split('').toReversed().join(''), 2);
  const powers = Array.from({ length: n }, (_, i) => power(inverse, BigInt(reversed(i))));
  const a = Array.from(words);
  for (let m = n / 2, step = 1; m >= 1; m /= 2, step *= 2) {
    for (let i = 0; i < m; i++) {
      for (let j = 2 * i * step; j < (2 * i + 1) * step; j++) {
        const [u, v] = [a[j] ?? 0n, a[j + step] ?? 0n];
        a[j] = (u + v) % q;
        a[j + step] = ((u - v + q) * (powers[m + i] ?? 0n)) % q;
      }
    }
  }
  const scale = power(BigInt(n), q - 2n);
  return a.map((value) => (value * scale) % q);
}

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { floodLogistic } from '../../runtime/homomorphic/flood.ts';
import { generateKeyBundles } from '../../runtime/homomorphic/keys.ts';
import { assembleCiphertext, bodyBytes, freshShape, plaintextBytes } from '../../runtime/homomorphic/layout.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { planProgram } from '../../runtime/homomorphic/plan.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { PROFILES } from '../../runtime/homomorphic/profiles.ts';
import { QueryRun } from '../../runtime/homomorphic/query-run.ts';
import { encryptQuery, QUERY_PROFILE, readQuery } from '../../runtime/homomorphic/query.ts';
import { SealInstance } from '../../runtime/homomorphic/seal-instance.ts';
import { encrypted, keyHolder } from './support.ts';

/** `count` little-endian words of saved bytes, wherever they start. */
function words(bytes: Uint8Array, offset: number, count: number): BigUint64Array {
  return new BigUint64Array(bytes.slice(offset, offset + count * 8).buffer);
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  let square = base % modulus;
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

/*
 * Attack A (Li and Micciancio, ePrint 2020/1533): exact decryptions of an approximate scheme give c0 + c1 s without the
 * rounding that other schemes do, so s = (m - c0) / c1. The attacker knows the ciphertext and the full-precision
 * decryptions of it and of i times it (both are legal evaluations).
 */
test('attack A: full-precision CKKS decryptions give the whole secret key; flooded and rounded scalars give nothing', async () => {
  const { seal: S } = await SealInstance.load();
  const N = 2048;
  const n = N / 2;
  const none = S.ComprModeType.none;
  const make = (scheme: 'ckks' | 'bfv') => {
    const p = new S.EncryptionParameters(S.SchemeType[scheme]);
    p.setPolyModulusDegree(N);
    const primes = S.CoeffModulus.Create(N, Int32Array.from([54]));
    p.setCoeffModulus(primes);
    if (scheme === 'bfv') p.setPlainModulus(new S.Modulus((1n << 50n) + 1n));
    return {
      q: (primes.get(0) as { value(): bigint }).value(),
      context: new S.SEALContext(p, true, S.SecLevelType.tc128),
    };
  };
  const { q, context } = make('ckks');
  const helper = make('bfv');
  const evaluatorOfHelper = new S.Evaluator(helper.context);
  const transform = (coefficients: readonly bigint[]): BigUint64Array => {
    const t = (1n << 50n) + 1n;
    const plain = new S.Plaintext();
    plain.loadFromArray(helper.context, plaintextBytes(BigUint64Array.from(coefficients, (c) => (c < 0n ? t + c : c))));
    evaluatorOfHelper.plainTransformToNttInplace(plain, helper.context.firstParmsId());
    return words(plain.saveToArray(none) as Uint8Array, 88, N);
  };
  const generator = new S.KeyGenerator(context);
  const secret = generator.secretKey();
  const encryptor = new S.Encryptor(context, generator.createPublicKey(), secret);
  const decryptor = new S.Decryptor(context, secret);
  const encoder = new S.CKKSEncoder(context);
  const scale = 2 ** 30;
  const plain = new S.Plaintext();
  const ciphertext = new S.Ciphertext();
  encoder.encode(
    new Float64Array(n).map((_, i) => (i * 7919) % 100),
    scale,
    plain,
  );
  encryptor.encrypt(plain, ciphertext);
  const saved = (ciphertext.saveToArray(none) as Uint8Array).slice();
  const known = words(saved, 113, 2 * N);
  const i = transform(Array.from({ length: N }, (_, at) => (at === N / 2 ? 1n : 0n)));
  const rotated = saved.slice();
  rotated.set(new Uint8Array(known.map((word, at) => (word * (i[at % N] ?? 0n)) % q).buffer), 113);
  const timesI = new S.Ciphertext();
  timesI.loadFromArray(context, rotated);
  decryptor.decrypt(ciphertext, plain);
  const real = encoder.decodeFloat64(plain) as Float64Array;
  decryptor.decrypt(timesI, plain);
  const galois = Array.from({ length: n }, (_, at) => Number(power(3n, BigInt(at), BigInt(2 * N))));
  const imaginary = (encoder.decodeFloat64(plain) as Float64Array).map((x, at) =>
    (galois[at] ?? 0) % 4 === 1 ? -x : x,
  );
  const secretWords = words(secret.saveToArray(none) as Uint8Array, 88, N);

  const recovered = (re: Float64Array, im: Float64Array): number => {
    const cos = Float64Array.from({ length: 2 * N }, (_, at) => Math.cos((Math.PI * at) / N));
    const sin = Float64Array.from({ length: 2 * N }, (_, at) => Math.sin((Math.PI * at) / N));
    const coefficients = Array.from({ length: N }, (_, j) => {
      let sum = 0;
      for (let at = 0; at < n; at++) {
        const e = ((galois[at] ?? 0) * j) % (2 * N);
        sum += (re[at] ?? 0) * (cos[e] ?? 0) + (im[at] ?? 0) * (sin[e] ?? 0);
      }
      return BigInt(Math.round(((sum * 2) / N) * scale));
    });
    const message = transform(coefficients);
    let hits = 0;
    for (let at = 0; at < N; at++) {
      const guess = ((((message[at] ?? 0n) + q - (known[at] ?? 0n)) % q) * power(known[N + at] ?? 1n, q - 2n, q)) % q;
      if (guess === secretWords[at]) hits++;
    }
    return hits;
  };
  assert.equal(recovered(real, imaginary), N, 'the naive form gives the key away');

  const holder = await keyHolder(['ckks-deep']);
  const column = await encrypted(holder, { column: 'x', programs: ['logistic'], low: 0, high: 1, decimals: 0 }, [
    { values: new Float64Array(4096).fill(0.5) },
  ]);
  const plan = planProgram(parseProgram({ name: 'logistic', columns: ['x'], weights: [1] }), [column]);
  const release = (value: number): number =>
    floodLogistic(plan, [{ name: 'mean', group: null, number: value, exact: null, errorBound: 0 }], (length) =>
      randomBytes(length),
    )[0]?.number ?? 0;
  assert.equal(
    recovered(real.map(release), imaginary.map(release)),
    0,
    'even every slot released our way gives nothing',
  );
});

/* Attack B: c1 of the answer is c1 of the query times the provider's plaintext, so one division reads the plaintext. */
test('attack B: an answer as computed shows the provider’s whole block to the consumer; ours shows none of it', async () => {
  const consumer = await openNodeSealBackend();
  const { open, secret } = generateKeyBundles(consumer, ['bgv-query']);
  const publicKey = open.keys[0]?.publicKey as Uint8Array;
  const context = consumer.open(QUERY_PROFILE);
  context.useSecretKey(secret.keys[0]?.secretKey as Uint8Array);
  const rows = QUERY_PROFILE.degree;
  const block = BigInt64Array.from({ length: rows }, (_, i) => BigInt((i * 48271) % 50000));
  const column = { column: 'x', decimals: 0, low: 0n, high: 50000n };
  const query = readQuery(
    encryptQuery(
      { backend: consumer, publicKey },
      { name: 'lookup', columns: [column], output: 'total', rows, vector: BigInt64Array.from([123n]) },
    ),
  );
  const shape = freshShape(QUERY_PROFILE, 'seeded');
  using sent = context.load(shape, query.ciphertexts[0] as Uint8Array);
  using plain = context.encodeIntegers(block);
  using naive = context.multiplyPlain(sent, plain);
  const truth = words(context.encodeForProduct(block), 0, rows);
  const q = QUERY_PROFILE.primes[0] as bigint;
  const divide = (answer: Uint8Array, primes: number): number => {
    const mine = words(context.body(sent), 0, 12 * rows);
    const theirs = words(answer, 0, 2 * primes * rows);
    let hits = 0;
    for (let at = 0; at < rows; at++) {
      const guess = ((theirs[primes * rows + at] ?? 0n) * power(mine[6 * rows + at] ?? 1n, q - 2n, q)) % q;
      if (guess === truth[at]) hits++;
    }
    return hits;
  };
  assert.equal(divide(context.body(naive), 6), rows, 'the naive form shows the block');

  const provider = await openNodeSealBackend();
  using run = new QueryRun(provider, query, (length) => new Uint8Array(randomBytes(length)));
  run.take(block);
  assert.ok(divide(run.finish(), 2) < 5, 'ours agrees only by chance');
});

/* Attack C: c0 = 0 and c1 = 1 make the decryption equal the secret key. */
test('attack C: one crafted ciphertext decrypts to the secret key, which is why only recomputed results are decrypted', async () => {
  const holder = await keyHolder(['bgv-add-a']);
  const profile = PROFILES['bgv-add-a'];
  const context = holder.backend.open(profile);
  const shape = freshShape(profile, 'full');
  const crafted = new BigUint64Array(bodyBytes(shape) / 8).fill(1n, profile.degree);
  using ciphertext = context.load(shape, assembleCiphertext(shape, new Uint8Array(crafted.buffer)));
  const slots = context.decryptIntegers(ciphertext);
  const guess = words(context.encodeForProduct(slots), 0, profile.degree);
  const truth = words(holder.secret.keys[0]?.secretKey as Uint8Array, 88, profile.degree);
  assert.deepEqual(guess, truth, 'the naive form gives the key away');
  // the form with transcript and recomputation refuses it: see decryptor.test.ts, "crafted ciphertext"
});

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { HomomorphicFault } from '../../runtime/homomorphic/fault.ts';
import {
  CIPHERTEXT_BODY_OFFSET,
  ciphertextBytes,
  freshShape,
  keyShape,
  switchedShape,
} from '../../runtime/homomorphic/layout.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { PROFILES } from '../../runtime/homomorphic/profiles.ts';
import { SealInstance } from '../../runtime/homomorphic/seal-instance.ts';
import {
  checkCiphertext,
  checkPublicKey,
  checkRelinearisationKey,
  checkSecretKey,
} from '../../runtime/homomorphic/validate.ts';

/** Mutations of each kind of object; `GLOVEBOX_HOSTILE=100000` for the long form. */
const ROUNDS = Math.max(1200, Math.ceil(Number(process.env['GLOVEBOX_HOSTILE'] ?? 0) / 5));
const backend = await openNodeSealBackend();
const additive = backend.open(PROFILES['bgv-add-a']);
const keys = additive.generateKeys();
additive.useSecretKey(keys.secretKey);
const seeded = sealed([5n, -7n]);
const full = (() => {
  using loaded = additive.load(freshShape(PROFILES['bgv-add-a'], 'seeded'), seeded);
  return additive.save(loaded).slice();
})();
const product = backend.open(PROFILES['bgv-product']);
const productKeys = product.generateKeys();

function sealed(values: bigint[]): Uint8Array {
  using plain = additive.encodeIntegers(BigInt64Array.from(values));
  return additive.encryptSeeded(plain).slice();
}

const targets = [
  {
    name: 'seeded ciphertext',
    bytes: seeded,
    check: (b: Uint8Array) => checkCiphertext(freshShape(PROFILES['bgv-add-a'], 'seeded'), b),
    load: (b: Uint8Array) => additive.load(freshShape(PROFILES['bgv-add-a'], 'seeded'), b)[Symbol.dispose](),
    structural: (at: number, length: number) => at < CIPHERTEXT_BODY_OFFSET || (at >= length - 81 && at < length - 64),
  },
  {
    name: 'full ciphertext',
    bytes: full,
    check: (b: Uint8Array) => checkCiphertext(freshShape(PROFILES['bgv-add-a'], 'full'), b),
    load: (b: Uint8Array) => additive.load(freshShape(PROFILES['bgv-add-a'], 'full'), b)[Symbol.dispose](),
    structural: (at: number) => at < CIPHERTEXT_BODY_OFFSET,
  },
  {
    name: 'public key',
    bytes: keys.publicKey.slice(),
    check: (b: Uint8Array) => checkPublicKey(PROFILES['bgv-add-a'], b),
    load: (b: Uint8Array) => additive.usePublicKey(b),
    structural: (at: number, length: number) => at < CIPHERTEXT_BODY_OFFSET || (at >= length - 81 && at < length - 64),
  },
  {
    name: 'relinearisation key',
    bytes: (productKeys.relinearisationKey as Uint8Array).slice(),
    check: (b: Uint8Array) => checkRelinearisationKey(PROFILES['bgv-product'], b),
    load: (b: Uint8Array) => product.useRelinearisationKey(b),
    structural: (at: number) => at < 64 + CIPHERTEXT_BODY_OFFSET,
  },
  {
    name: 'secret key',
    bytes: keys.secretKey.slice(),
    check: (b: Uint8Array) => checkSecretKey(PROFILES['bgv-add-a'], b),
    load: null,
    structural: (at: number) => at < 88,
  },
] as const;

for (const target of targets) {
  test(`an untouched ${target.name} is taken`, () => {
    target.check(target.bytes);
    target.load?.(target.bytes);
  });

  test(`a mutated ${target.name} is refused in well under a millisecond, or is harmless to load`, () => {
    const times: number[] = [];
    const random = randomBytes(8 * ROUNDS);
    let refused = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const r = (i: number): number => random.readUInt16LE(round * 8 + i * 2);
      let mutated = target.bytes.slice();
      const near = round % 3 === 0 ? r(0) % 140 : (r(0) * 65536 + r(1)) % mutated.length;
      let mustRefuse = false;
      switch (round % 4) {
        case 0: {
          mutated[near] = (mutated[near] ?? 0) ^ (1 << (r(2) % 8));
          mustRefuse = target.structural(near, mutated.length);
          break;
        }
        case 1:
          mutated = mutated.subarray(0, near);
          mustRefuse = true;
          break;
        case 2:
          mutated = Buffer.concat([mutated, random.subarray(0, 1 + (r(2) % 4000))]);
          mustRefuse = true;
          break;
        default: {
          const at = Math.min(near, mutated.length - 8);
          new DataView(mutated.buffer).setBigUint64(
            at,
            [0xffffffffffffffffn, 1n << 28n, 1n << 63n][r(2) % 3] ?? 0n,
            true,
          );
        }
      }
      // CPU time of this thread: the machine may be busy with others
      const start = process.threadCpuUsage();
      let fault: unknown;
      try {
        target.check(mutated);
      } catch (error) {
        fault = error;
      }
      const spent = process.threadCpuUsage(start);
      times.push((spent.user + spent.system) / 1000);
      if (fault !== undefined) {
        refused++;
        assert.ok(fault instanceof HomomorphicFault && fault.blame === 'caller');
      } else {
        assert.equal(mustRefuse, false, `round ${round} at ${near}`);
        if (round % 40 === 0) target.load?.(mutated);
      }
    }
    times.sort((a, b) => a - b);
    assert.ok(refused > ROUNDS / 2);
    const p99 = times[Math.floor(times.length * 0.99)] ?? 99;
    assert.ok(p99 < 5, `${p99} ms of CPU at p99: generous for a busy machine; typically below 1 ms`);
    assert.ok(backend.isUsable);
  });
}

test('compressed input is refused before any decompressor sees it', () => {
  const bomb = Buffer.concat([full.subarray(0, 16), zstdCompressSync(Buffer.alloc(16 << 20))]);
  bomb[5] = 2;
  bomb.writeBigUInt64LE(BigInt(bomb.length), 8);
  assert.throws(() => checkCiphertext(freshShape(PROFILES['bgv-add-a'], 'full'), bomb), { code: 'bad-ciphertext' });
  const sameLength = full.slice();
  sameLength[5] = 2;
  assert.throws(() => checkCiphertext(freshShape(PROFILES['bgv-add-a'], 'full'), sameLength), {
    code: 'bad-ciphertext',
  });
});

test('a transparent ciphertext, another profile, another level and another form are refused', () => {
  const shape = freshShape(PROFILES['bgv-add-a'], 'full');
  const transparent = full.slice().fill(0, CIPHERTEXT_BODY_OFFSET + 4096 * 8);
  assert.throws(() => checkCiphertext(shape, transparent), /transparent/);
  assert.throws(() => checkCiphertext(freshShape(PROFILES['bgv-add-b'], 'full'), full), { code: 'bad-ciphertext' });
  assert.throws(() => checkCiphertext(freshShape(PROFILES['bfv-add-a'], 'full'), full), { code: 'bad-ciphertext' });
  assert.throws(() => checkCiphertext(freshShape(PROFILES['bgv-add-a'], 'seeded'), full), { code: 'bad-ciphertext' });
  assert.throws(() => additive.load(switchedShape(PROFILES['bgv-query'], 2), full), { code: 'bad-ciphertext' });
});

test('relinearisation keys with huge dimensions are refused without allocating', () => {
  const bytes = (productKeys.relinearisationKey as Uint8Array).slice();
  for (const at of [48, 56]) {
    const huge = bytes.slice();
    new DataView(huge.buffer).setBigUint64(at, 1n << 28n, true);
    assert.throws(() => checkRelinearisationKey(PROFILES['bgv-product'], huge), { code: 'bad-key' });
  }
  assert.throws(() => checkRelinearisationKey(PROFILES['bgv-add-a'], bytes), { code: 'bad-key' });
});

test('modulus switching gives exactly the header the layout predicts, level by level', () => {
  const profile = PROFILES['bgv-query'];
  const context = backend.open(profile);
  context.useSecretKey(context.generateKeys().secretKey);
  using plain = context.encodeIntegers(BigInt64Array.from([1n, 2n]));
  using ciphertext = context.encryptWithPublicKey(plain);
  for (let primes = 6; primes >= 2; primes--) {
    const shape = switchedShape(profile, primes);
    const saved = context.save(ciphertext).slice();
    checkCiphertext(shape, saved);
    using again = context.load(shape, saved);
    assert.deepEqual([...context.decryptIntegers(again).subarray(0, 3)], [1n, 2n, 0n]);
    if (primes > 2) context.switchDown(ciphertext);
  }
  assert.equal(ciphertextBytes(keyShape(profile, 'full')), 917617);
});

test('a value outside the plaintext modulus is refused before it could garble its neighbours', () => {
  const half = PROFILES['bgv-add-a'].plainModulus / 2n;
  for (const value of [half + 1n, -half - 1n, 1n << 62n, -(1n << 63n)]) {
    assert.throws(() => additive.encodeIntegers(BigInt64Array.from([1n, value])), { code: 'out-of-range' });
  }
  using plain = additive.encodeIntegers(BigInt64Array.from([half, -half]));
  using loaded = additive.load(freshShape(PROFILES['bgv-add-a'], 'seeded'), additive.encryptSeeded(plain));
  assert.deepEqual([...additive.decryptIntegers(loaded).subarray(0, 2)], [half, -half]);
});

test('200,000 library exceptions leave the instance as it was', async () => {
  const instance = await SealInstance.load();
  const { seal } = instance;
  const empty = new seal.Ciphertext();
  const pointer = instance.stackPointer;
  const memory = instance.memoryBytes;
  let refused = 0;
  for (let i = 0; i < 200_000; i++) {
    try {
      instance.call(() => new seal.Modulus(1n).delete());
    } catch (error) {
      if (error instanceof HomomorphicFault && error.code === 'library-failed') refused++;
    }
  }
  assert.equal(refused, 200_000);
  assert.equal(instance.stackPointer, pointer);
  assert.equal(instance.memoryBytes, memory);
  assert.equal(instance.isUsable, true);
  assert.equal(
    instance.call(() => empty.size()),
    0,
  );
  empty.delete();
});

test('anything but a C++ exception makes the instance unusable at once', async () => {
  const instance = await SealInstance.load();
  const gone = new instance.seal.Ciphertext();
  gone.delete();
  assert.throws(() => instance.call(() => gone.size()), { code: 'library-failed' });
  assert.equal(instance.isUsable, false);
  assert.throws(() => instance.call(() => 1), { code: 'library-failed' });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyBundles } from '../../runtime/homomorphic/keys.ts';
import { openKeyedBackend } from '../../runtime/homomorphic/keyed-backend.ts';
import { freshShape } from '../../runtime/homomorphic/layout.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { PROFILES } from '../../runtime/homomorphic/profiles.ts';

const { secret } = generateKeyBundles(await openNodeSealBackend(), ['bgv-add-a', 'bgv-add-b']);

test('a profile’s keys are there as soon as it is opened, each profile with its own', async () => {
  const backend = await openKeyedBackend({ secretKeys: secret.keys });
  for (const id of ['bgv-add-a', 'bgv-add-b'] as const) {
    const context = backend.open(PROFILES[id]);
    assert.equal(backend.open(PROFILES[id]), context);
    using loaded = context.load(
      freshShape(PROFILES[id], 'seeded'),
      context.encryptIntegersSeeded(BigInt64Array.of(5n, -7n)),
    );
    assert.deepEqual([...context.decryptIntegers(loaded).subarray(0, 3)], [5n, -7n, 0n]);
  }
  assert.equal(backend.isUsable, true);
});

test('a key of another profile is refused when its profile is opened, again and again, and others still open', async () => {
  const [first, second] = secret.keys;
  const backend = await openKeyedBackend({
    secretKeys: [
      { profile: 'bgv-add-a', secretKey: second?.secretKey ?? new Uint8Array(0) },
      ...(second ? [second] : []),
    ],
  });
  for (let i = 0; i < 2; i++) assert.throws(() => backend.open(PROFILES['bgv-add-a']), { code: 'bad-key' });
  backend.open(PROFILES['bgv-add-b']);
  assert.equal(first?.profile, 'bgv-add-a');
});

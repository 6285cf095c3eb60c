import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { PROFILES, isProfileId, modulusAt, totalModulusBits } from '../../runtime/homomorphic/profiles.ts';
import { securityBitsOf } from '../../runtime/homomorphic/security-level.ts';

const backend = await openNodeSealBackend();

for (const profile of Object.values(PROFILES)) {
  test(`profile ${profile.id} has the security it claims by the standard's table, and SEAL agrees on its parameters`, () => {
    assert.equal(securityBitsOf(profile.degree, totalModulusBits(profile)), profile.securityBits);
    assert.ok(profile.securityBits >= 128);
    assert.equal(backend.open(profile).profile, profile);
    if (profile.scheme !== 'ckks') assert.equal(profile.plainModulus % BigInt(2 * profile.degree), 1n, 'batching');
    for (const prime of profile.primes) assert.equal(prime % BigInt(2 * profile.degree), 1n);
    assert.equal(new Set([...profile.primes, profile.plainModulus]).size, profile.primes.length + 1);
  });
}

test('less than 128 bits is never a security level', () => {
  assert.equal(securityBitsOf(4096, 110), null);
  assert.equal(securityBitsOf(2048, 54), 128);
  assert.equal(securityBitsOf(512, 10), null);
  assert.equal(isProfileId('toString'), false);
  assert.equal(isProfileId('bgv-add-a'), true);
});

test('the second additive profile differs only in its plaintext modulus', () => {
  const { 'bgv-add-a': a, 'bgv-add-b': b } = PROFILES;
  assert.deepEqual(a.primes, b.primes);
  assert.notEqual(a.plainModulus, b.plainModulus);
  assert.ok(a.plainModulus * b.plainModulus > 1n << 71n);
  assert.equal(modulusAt(a, 1), a.primes[0]);
});

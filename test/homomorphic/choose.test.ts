import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseParameters, type ColumnIntent } from '../../runtime/homomorphic/choose.ts';
import type { ColumnInput } from '../../runtime/homomorphic/plan.ts';
import { planProgram } from '../../runtime/homomorphic/plan.ts';
import { explainProgram, explainQuery } from '../../runtime/homomorphic/explain.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { UnitCounter, unitTag } from '../../runtime/homomorphic/units.ts';

const base: ColumnIntent = { column: 'x', programs: ['sum'], low: 0, high: 3000, decimals: 0, rows: 1_000_000 };

function input(intent: ColumnIntent): ColumnInput {
  const { header } = chooseParameters(intent);
  const slots = header.channels[0]?.profile.startsWith('bgv-add') === true ? 4096 : 8192;
  return {
    header: { ...header, keyId: `sha256:${'0'.repeat(64)}` },
    totals: { rows: intent.rows, blocks: Math.ceil(intent.rows / slots), digest: `sha256:${'1'.repeat(64)}` },
  };
}

test('a plain sum takes the small exact profile: 16 bytes a value stored, 8 uploaded, 256-bit security', () => {
  const choice = chooseParameters(base);
  assert.deepEqual(choice.profiles, ['bgv-add-a']);
  assert.ok(choice.storedBytesPerValue < 16.1 && choice.uploadedBytesPerValue < 8.1);
  assert.equal(choice.securityBits, 256);
  assert.ok(choice.explanation.some((line) => line.includes('homomorphicencryption.org')));
});

test('the choice follows range, weights, products, reals and whose key it is', () => {
  const profiles = (patch: Partial<ColumnIntent>): readonly string[] =>
    chooseParameters({ ...base, ...patch }).profiles;
  assert.deepEqual(profiles({ low: -(1n << 63n), high: (1n << 63n) - 1n }), ['bgv-add-a', 'bgv-add-b']);
  assert.deepEqual(profiles({ programs: ['linear'], weightTotal: 100_000 }), ['bgv-wide']);
  assert.deepEqual(profiles({ mode: 'publicKey' }), ['bgv-wide']);
  assert.deepEqual(profiles({ programs: ['dot'] }), ['bgv-product']);
  assert.deepEqual(profiles({ programs: ['logistic'] }), ['ckks-deep']);
  assert.deepEqual(profiles({ scheme: 'bfv' }), ['bfv-add-a']);
  assert.deepEqual(
    chooseParameters({ ...base, programs: ['variance'], isNullable: true }).header.channels.map(
      (channel) => channel.role,
    ),
    ['value', 'square', 'valid'],
  );
});

test('what cannot be exact or secure enough is refused with the reason', () => {
  const refused = (patch: Partial<ColumnIntent>, reason: RegExp): void => {
    assert.throws(
      () => chooseParameters({ ...base, ...patch }),
      (error: Error & { code?: string }) => error.code === 'no-parameters' && reason.test(error.message),
    );
  };
  refused({ programs: ['logistic'], securityBits: 192 }, /128-bit security/);
  refused({ programs: ['dot'], high: 1 << 20 }, /do not fit/);
  refused({ programs: ['variance'], high: 1n << 60n }, /do not fit/);
  refused({ high: 2 ** 60 }, /64-bit integers/);
  refused({ high: 1n << 62n, decimals: 3 }, /64 bits/);
  refused({ low: 5, high: 4 }, /lower bound/);
  refused({ decimals: 99 }, /decimals/);
  refused({ programs: ['linear'], weightTotal: 1e16 }, /large weights/);
  refused({ programs: ['logistic', 'sum'] }, /second time/);
  refused({ scheme: 'ckks' }, /CKKS/);
  refused({ categories: Array.from({ length: 61 }, (_, i) => i) }, /categories/);
});

test('an explanation states shape, security, noise left, sizes and time, and reads no ciphertext', () => {
  const plan = planProgram(parseProgram({ name: 'mean', columns: ['x'] }), [input({ ...base, programs: ['mean'] })]);
  const explained = explainProgram(plan);
  assert.equal(explained.shape, 'encryptedData');
  assert.equal(explained.scheme, 'bgv');
  assert.equal(explained.keyMaterialAtRuntime, 'none');
  assert.ok(explained.noiseBitsLeft >= 3 && explained.noiseBitsLeft < 20);
  assert.equal(explained.resultBytes, 65536);
  assert.ok(explained.inputBytes > 16e6 && explained.inputBytes < 16.2e6);
  assert.ok(explained.estimateMs > 0.5 && explained.estimateMs < 10);
  assert.ok(explained.lines.some((line) => line.includes('never sees a value')));
  const logistic = planProgram(parseProgram({ name: 'logistic', columns: ['x'], weights: [1] }), [
    input({ ...base, low: 0, high: 1, programs: ['logistic'] }),
  ]);
  const approximate = explainProgram(logistic);
  assert.equal(approximate.isExact, false);
  assert.ok(approximate.errorBound > 0 && approximate.errorBound < 1e-5);
  assert.equal(approximate.keyMaterialAtRuntime, 'relinearisation key');
});

test('a logistic score that can leave the range of its polynomial is refused', () => {
  const column = input({ ...base, low: 0, high: 100, programs: ['logistic'] });
  assert.throws(() => planProgram(parseProgram({ name: 'logistic', columns: ['x'], weights: [1] }), [column]), {
    code: 'no-parameters',
  });
});

test('an explanation of a query states the flood and what the query counts for', () => {
  const header = {
    format: 'glovebox-encrypted-query/1',
    name: 'queryLinear',
    columns: ['a', 'b'],
    output: 'total',
    rows: 5000,
    ciphertexts: 2,
  } as const;
  const columns = ['a', 'b'].map((column) => ({ column, decimals: 0, low: 0n, high: 100n }));
  const explained = explainQuery(header, columns);
  assert.equal(explained.shape, 'encryptedQuery');
  assert.equal(explained.securityBits, 128);
  assert.equal(explained.charge?.account, 'totals');
  assert.ok(explained.lines.some((line) => line.includes('flooding')));
});

test('units are counted by keyed hashes that nobody without the key can make, and order fixes the alignment', () => {
  const key = Buffer.alloc(32, 1);
  const tags = [['a'], ['b'], ['a'], ['a']].map((unit) => unitTag(key, unit));
  const count = (order: readonly number[]) => {
    const counter = new UnitCounter();
    for (const i of order) counter.add(tags[i] ?? new Uint8Array(16), i === 1 ? 1 : 0);
    return counter.counts();
  };
  const counts = count([0, 1, 2, 3]);
  assert.deepEqual([counts.rows, counts.units, counts.maxRowsPerUnit, counts.groupUnits], [4, 2, 3, [1, 1]]);
  assert.equal(count([0, 1, 2, 3]).alignment, counts.alignment);
  assert.notEqual(count([1, 0, 2, 3]).alignment, counts.alignment);
  assert.notDeepEqual(unitTag(Buffer.alloc(32, 2), ['a']), tags[0]);
  assert.notDeepEqual(unitTag(key, ['ab', 'c']), unitTag(key, ['a', 'bc']));
  assert.notDeepEqual(unitTag(key, [1]), unitTag(key, ['1']));
});

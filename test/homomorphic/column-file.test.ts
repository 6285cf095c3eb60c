import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { readColumnFile } from '../../runtime/homomorphic/column-file.ts';
import { columnHeaderText, parseColumnHeader } from '../../runtime/homomorphic/column.ts';
import { encryptColumn, type ColumnRows } from '../../runtime/homomorphic/encrypt-column.ts';
import { HomomorphicFault } from '../../runtime/homomorphic/fault.ts';
import { ingestColumn } from '../../runtime/homomorphic/ingest.ts';
import { checkOf } from '../../runtime/homomorphic/key-file-check.ts';
import { generateKeyBundles, readPublicBundle, readSecretBundle, writeBundle } from '../../runtime/homomorphic/keys.ts';
import { encrypted, keyHolder } from './support.ts';

const holder = await keyHolder(['bgv-add-a', 'bgv-add-b']);
const INTENT = { column: 'x', programs: ['sum'] as const, low: -100, high: 100, decimals: 1 };
const column = await encrypted(holder, INTENT, [
  { values: Array.from({ length: 9000 }, (_, i) => ((i % 2001) - 1000) / 10) },
]);

async function drain(chunks: Iterable<Uint8Array>): Promise<number> {
  let rows = 0;
  for await (const event of readColumnFile(chunks)) if (event.kind === 'block') rows += event.block.rows;
  return rows;
}

test('a column file reads the same in any chunking', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 20 }), async (sizes) => {
      const chunks: Uint8Array[] = [];
      for (let at = 0, i = 0; at < column.file.byteLength; i++) {
        const size = sizes[i % sizes.length] ?? 1;
        chunks.push(column.file.subarray(at, at + size));
        at += size;
      }
      assert.equal(await drain(chunks), 9000);
    }),
    { numRuns: 10 },
  );
});

test('a damaged, cut or extended column file never reads to its end', async () => {
  const random = randomBytes(6 * 300);
  for (let round = 0; round < 300; round++) {
    const at =
      round < 100 ? random.readUInt16LE(round * 6) % 900 : random.readUInt32LE(round * 6) % column.file.byteLength;
    const file = Buffer.from(column.file);
    let mutated: Uint8Array = file;
    if (round % 3 === 0) file[at] = (file[at] ?? 0) ^ (1 << ((random[round * 6 + 4] ?? 0) % 8));
    else if (round % 3 === 1) mutated = file.subarray(0, at);
    else mutated = Buffer.concat([file, random.subarray(0, 1 + (at % 100))]);
    const fault = await drain([mutated]).then(
      () => null,
      (error: unknown) => error,
    );
    assert.ok(
      fault instanceof HomomorphicFault && ['bad-column', 'bad-ciphertext'].includes(fault.code),
      `round ${round} at ${at}`,
    );
  }
});

test('a header that announces the impossible is refused before anything is allocated for it', () => {
  const good = JSON.parse(columnHeaderText(column.header)) as Record<string, unknown>;
  const change = (patch: Record<string, unknown>): string => JSON.stringify({ ...good, ...patch });
  parseColumnHeader(change({}));
  const bad: Record<string, unknown>[] = [
    { format: 'x' },
    { column: '' },
    { column: 'x'.repeat(200) },
    { form: 'compressed' },
    { mode: 'none' },
    { mode: 'publicKey' },
    { keyId: 'sha256:1' },
    { decimals: -1 },
    { decimals: 1e9 },
    { low: '1e5' },
    { low: '5', high: '4' },
    { low: '-99999999999999999999' },
    { channels: [] },
    { channels: Array.from({ length: 65 }, () => ({ role: 'value', profile: 'bgv-add-a', category: null })) },
    { channels: [{ role: 'value', profile: 'bgv-add-z', category: null }] },
    { channels: [{ role: 'value', profile: '__proto__', category: null }] },
    { channels: [{ role: 'slots', profile: 'bgv-add-a', category: null }] },
    { channels: [{ role: 'category', profile: 'bgv-add-a', category: 0 }] },
    {
      channels: [
        { role: 'value', profile: 'bgv-add-a', category: null },
        { role: 'valid', profile: 'bgv-product', category: null },
      ],
    },
    { categories: [1, 1] },
    { categories: [0.5] },
    { groups: ['a', 'a'] },
    { groups: Array.from({ length: 300 }, (_, i) => `g${i}`) },
    { alignment: 'x' },
    { extra: 1 },
  ];
  for (const patch of bad)
    assert.throws(() => parseColumnHeader(change(patch)), { code: 'bad-column' }, JSON.stringify(patch));
  assert.throws(() => parseColumnHeader('['.repeat(10)), { code: 'bad-column' });
});

test('encryption pulls rows only as blocks are taken, so memory does not grow with the column', async () => {
  let pulled = 0;
  const rows = function* (): Generator<ColumnRows> {
    for (; pulled < 1_000_000; pulled += 1000) yield { values: new Float64Array(1000) };
  };
  let seen = 0;
  const stream = encryptColumn(
    { backend: holder.backend, onProgress: ({ rows: done }) => (seen = done) },
    column.header,
    rows(),
  );
  for (let i = 0; i < 5; i++) await stream.next();
  assert.ok(pulled < 5 * 7 * 4096 + 5000, `${pulled} rows were pulled for four runs of seven blocks`);
  assert.equal(seen, 4 * 7 * 4096);
  await stream.return({ rows: 0, blocks: 0, digest: '' });
});

test('values outside the declared bounds, and missing ones, end the encryption without naming the value', async () => {
  for (const value of [101, -101, Number.NaN, Number.POSITIVE_INFINITY, null, 1n << 62n]) {
    await assert.rejects(encrypted(holder, INTENT, [{ values: [1, value] }]), (error: Error) => {
      assert.ok(error instanceof HomomorphicFault && error.code === 'out-of-range');
      assert.ok(!error.message.includes('101') && !error.message.includes('4611686018427387904'));
      return true;
    });
  }
  await assert.rejects(encrypted(holder, { ...INTENT, categories: [0, 1] }, [{ values: [2] }]), {
    code: 'out-of-range',
  });
  await assert.rejects(encrypted(holder, { ...INTENT, groups: ['a'] }, [{ group: 'b', values: [2] }]), {
    code: 'out-of-range',
  });
});

test('taking a column in expands its seeds and changes nothing else', async () => {
  const chunks: Uint8Array[] = [];
  const stream = ingestColumn(holder.backend, [column.file]);
  for (;;) {
    const step = await stream.next();
    if (step.done === true) {
      assert.equal(step.value.upload.digest, column.totals.digest);
      assert.equal(step.value.stored.rows, 9000);
      assert.equal(step.value.header.form, 'full');
      break;
    }
    chunks.push(step.value);
  }
  const stored = Buffer.concat(chunks);
  assert.equal(await drain([stored]), 9000);
  const perValue = (bytes: number): number => bytes / (3 * 4096);
  assert.ok(perValue(stored.byteLength) < 16.2 && perValue(column.file.byteLength) < 8.2);
});

test('key files survive the way to disk and back, and damaged ones are refused', () => {
  const { open, secret } = generateKeyBundles(holder.backend, ['bgv-add-a', 'bgv-add-a', 'bgv-add-b']);
  assert.equal(open.keys.length, 2);
  const openText = writeBundle(open);
  const secretText = writeBundle(secret);
  assert.deepEqual(readPublicBundle(Buffer.from(openText)), open);
  assert.deepEqual(readSecretBundle(secretText), secret);
  assert.throws(() => readPublicBundle(Buffer.from(secretText)), { code: 'bad-key' });
  assert.throws(() => readSecretBundle(openText), { code: 'bad-key' });
  for (const change of [
    (text: string) => text.slice(0, -10),
    (text: string) => text.replace('sha256:', 'sha256:0'),
    (text: string) => text.replace(/"publicKey": "XqE/, '"publicKey": "AAA'),
    (text: string) => text.replace('bgv-add-b', 'bgv-add-a'),
    (text: string) => text.replace('bgv-add-b', 'toString'),
    () => '{}',
    () => '[]',
  ]) {
    assert.throws(
      () => readPublicBundle(Buffer.from(change(openText))),
      (error: Error) => error instanceof HomomorphicFault && !error.message.includes('AAA'),
    );
  }
});

/** A bundle as version 1 wrote it. */
const firstVersion = (text: string): string => text.replace('/2",', '/1",').replace(/ "check": "[0-9a-f]{32}",\n/, '');

test('key files of the version without a check are still read, and a file of one version is none of the other', () => {
  const { open, secret } = generateKeyBundles(holder.backend, ['bgv-add-a']);
  const [openText, secretText] = [writeBundle(open), writeBundle(secret)];
  assert.deepEqual(readPublicBundle(Buffer.from(firstVersion(openText))), open);
  assert.deepEqual(readSecretBundle(firstVersion(secretText)), secret);
  assert.equal(Object.keys(JSON.parse(openText) as object).join(), 'format,check,keyId,keys', 'it stays JSON');
  for (const change of [
    (text: string) => text.replace('/2",', '/1",'),
    (text: string) => text.replace('/2",', '/3",'),
    (text: string) => text.replace(/ "check": "[0-9a-f]{32}",\n/, ''),
    (text: string) => firstVersion(text).replace('/1",', '/2",'),
    (text: string) => text.replace(/"check": "[0-9a-f]{32}"/, '"check": ""'),
    (text: string) => text.replace(/"check": "[0-9a-f]{32}"/, (check) => check.toUpperCase().replace('CHECK', 'check')),
  ]) {
    assert.throws(() => readPublicBundle(Buffer.from(change(openText))), { code: 'bad-key' });
    assert.throws(() => readSecretBundle(change(secretText)), { code: 'bad-key' });
  }
});

test('a key file damaged anywhere is refused before a key is decoded, and whoever forges the check meets the digest', () => {
  const { open, secret } = generateKeyBundles(holder.backend, ['bgv-add-a', 'bgv-product']);
  const file = Buffer.from(writeBundle(open));
  const damaged = (at: number): Buffer => {
    const copy = Buffer.from(file);
    copy[at] = copy[at] === 0x41 ? 0x42 : 0x41;
    return copy;
  };
  const end = file.byteLength - 40;
  for (let at = 2000; at < end; at += Math.floor(end / 23))
    assert.throws(() => readPublicBundle(damaged(at)), /damaged/, `byte ${at}`);
  const forged = damaged(end - 2000)
    .toString()
    .replace(/"check": "[0-9a-f]{32}"/, '"check": "CHECK"');
  const [, rest = ''] = forged.split('"CHECK",\n');
  assert.throws(
    () => readPublicBundle(Buffer.from(forged.replace('CHECK', checkOf(Buffer.from(rest))))),
    /digest|residue/,
  );
  // a wrong word of a secret key would be read as a key, and decrypt to noise
  const secretText = writeBundle(secret);
  const at = secretText.indexOf('"secretKey": "') + 5000;
  const wrong = `${secretText.slice(0, at)}${secretText[at] === 'A' ? 'B' : 'A'}${secretText.slice(at + 1)}`;
  assert.throws(() => readSecretBundle(wrong), /damaged/);
});

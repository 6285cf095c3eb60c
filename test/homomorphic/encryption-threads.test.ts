import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { encryptColumn } from '../../runtime/homomorphic/encrypt-column.ts';
import { EncryptionThreads, encryptionThreads } from '../../runtime/homomorphic/encryption-threads.ts';
import type { ColumnRows } from '../../runtime/homomorphic/open-block.ts';
import { answer, type EncryptedFixture, encrypted, type KeyHolder, keyHolder, runtimeBackend } from './support.ts';

let holder: KeyHolder;
let threads: EncryptionThreads;
before(async () => {
  holder = await keyHolder(['bgv-add-a', 'bgv-product', 'ckks-deep']);
  threads = new EncryptionThreads(2, { secretKeys: holder.secret.keys });
});
after(() => threads[Symbol.asyncDispose]());

/** The rows through two threads, under the header that the fixture was made with. */
async function inThreads(fixture: EncryptedFixture, rows: Iterable<ColumnRows>): Promise<EncryptedFixture> {
  const chunks: Uint8Array[] = [];
  const stream = encryptColumn({ backend: holder.backend, threads }, fixture.header, rows);
  for (;;) {
    const step = await stream.next();
    if (step.done === true) return { ...fixture, totals: step.value, file: Buffer.concat(chunks) };
    chunks.push(step.value);
  }
}

test('a column that several threads encrypted has the same blocks in the same order, and the same answers', async () => {
  const runtime = await runtimeBackend(holder.open);
  const values = Float64Array.from({ length: 50_001 }, (_, i) => (i * 7919) % 1000);
  const rows = ['a', 'b', 'a'].map((group, i) => ({ group, values: values.subarray(i * 16_667, (i + 1) * 16_667) }));
  const intent = {
    column: 'x',
    programs: ['sum', 'groupSums'],
    low: 0,
    high: 1000,
    decimals: 0,
    groups: ['a', 'b'],
  } as const;
  const alone = await encrypted(holder, { ...intent, rows: 50_001 }, rows);
  const together = await inThreads(alone, rows);
  assert.equal(together.totals.blocks, alone.totals.blocks);
  assert.equal(together.totals.rows, alone.totals.rows);
  assert.notEqual(together.totals.digest, alone.totals.digest, 'fresh randomness each time');
  const program = { name: 'groupSums', columns: ['x'] };
  const expected = await answer(holder, runtime, program, [alone]);
  assert.deepEqual((await answer(holder, runtime, program, [together])).scalars, expected.scalars);
  const sum =
    values.subarray(0, 16_667).reduce((a, b) => a + b, 0) + values.subarray(33_334).reduce((a, b) => a + b, 0);
  assert.ok(expected.scalars.some(({ number }) => number === sum));
});

test('missing values, squares and approximate numbers come out as without threads', async () => {
  const runtime = await runtimeBackend(holder.open);
  const values = Array.from({ length: 9_000 }, (_, i) => (i % 5 === 0 ? null : i % 97));
  const intent = { column: 'x', programs: ['mean'], low: 0, high: 100, decimals: 0, isNullable: true } as const;
  const alone = await encrypted(holder, { ...intent, rows: 9_000 }, [{ values }]);
  const program = { name: 'mean', columns: ['x'] };
  const [one, two] = [alone, await inThreads(alone, [{ values }])];
  assert.deepEqual(
    (await answer(holder, runtime, program, [two])).scalars,
    (await answer(holder, runtime, program, [one])).scalars,
  );
  const reals = Float64Array.from({ length: 5_000 }, (_, i) => (i % 100) / 100);
  const scored = { column: 'x', programs: ['logistic'], low: 0, high: 1, decimals: 0, rows: 5_000 } as const;
  const logistic = { name: 'logistic', columns: ['x'], weights: [1] };
  const score = await encrypted(holder, scored, [{ values: reals }]);
  const [exact] = (await answer(holder, runtime, logistic, [score])).scalars;
  const [told] = (await answer(holder, runtime, logistic, [await inThreads(score, [{ values: reals }])])).scalars;
  assert.ok(Math.abs((told?.number ?? Number.NaN) - (exact?.number ?? 0)) < 1e-2);
});

test('plain numbers and others may come in turns within a block', async () => {
  const runtime = await runtimeBackend(holder.open);
  const values = Float64Array.from({ length: 6_000 }, (_, i) => i % 10);
  const parts = [values.subarray(0, 1_500), [...values.subarray(1_500, 2_500)], values.subarray(2_500)];
  const rows = parts.map((part) => ({ values: part }));
  const alone = await encrypted(
    holder,
    { column: 'x', programs: ['sum'], low: 0, high: 9, decimals: 0, rows: 6_000 },
    rows,
  );
  const { scalars } = await answer(holder, runtime, { name: 'sum', columns: ['x'] }, [await inThreads(alone, rows)]);
  assert.equal(scalars[0]?.number, 27_000);
});

test('a value that is out of range ends the file, and the threads serve the next column', async () => {
  const fixture = await encrypted(holder, { column: 'x', programs: ['sum'], low: 0, high: 9, decimals: 0 }, [
    { values: [1] },
  ]);
  const bad = new Float64Array(30_000);
  bad[25_000] = 10;
  await assert.rejects(inThreads(fixture, [{ values: bad }]), { code: 'out-of-range' });
  assert.equal((await inThreads(fixture, [{ values: [1, 2, 3] }])).totals.rows, 3);
});

test('rows are pulled only as blocks are taken, a few for each thread', async () => {
  const fixture = await encrypted(holder, { column: 'x', programs: ['sum'], low: 0, high: 9, decimals: 0 }, [
    { values: [1] },
  ]);
  let pulled = 0;
  const rows = function* (): Generator<ColumnRows> {
    for (; pulled < 1_000_000; pulled += 1000) yield { values: new Float64Array(1000) };
  };
  const stream = encryptColumn({ backend: holder.backend, threads }, fixture.header, rows());
  for (let i = 0; i < 5; i++) await stream.next();
  assert.ok(pulled < 60_000, `${pulled} rows were pulled for four blocks`);
  await stream.return({ rows: 0, blocks: 0, digest: '' });
});

test('a thread without the key fails the column, and so does one that has ended', async () => {
  const fixture = await encrypted(holder, { column: 'x', programs: ['sum'], low: 0, high: 9, decimals: 0 }, [
    { values: [1] },
  ]);
  const lone = new EncryptionThreads(1, {});
  const needs = { backend: holder.backend, threads: lone };
  const drain = async (): Promise<void> => {
    for await (const bytes of encryptColumn(needs, fixture.header, [{ values: [1] }])) void bytes;
  };
  await assert.rejects(drain());
  await lone[Symbol.asyncDispose]();
  await assert.rejects(drain(), /has ended/);
});

test('few values take no thread, and a senseless number of threads is refused', () => {
  assert.equal(encryptionThreads({ values: 1000 }, {}), null);
  assert.equal(encryptionThreads({ values: 1e9, asked: 1 }, {}), null);
  for (const asked of [0, -1, 1.5, 9, Number.NaN])
    assert.throws(() => encryptionThreads({ values: 1, asked }, {}), RangeError);
});

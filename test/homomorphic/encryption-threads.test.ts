import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readColumnFile } from '../../runtime/homomorphic/column-file.ts';
import { encryptColumn } from '../../runtime/homomorphic/encrypt-column.ts';
import { EncryptionThreads, openEncryption } from '../../runtime/homomorphic/encryption-threads.ts';
import { freshShape } from '../../runtime/homomorphic/layout.ts';
import type { ColumnRows } from '../../runtime/homomorphic/open-block.ts';
import { PROFILES } from '../../runtime/homomorphic/profiles.ts';
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
  const stream = encryptColumn({ threads }, fixture.header, rows);
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

/** What every block of a file holds: its frame, and its slots decrypted. */
async function blocksIn(file: Uint8Array): Promise<readonly unknown[]> {
  const context = holder.backend.open(PROFILES['bgv-add-a']);
  const blocks: unknown[] = [];
  for await (const event of readColumnFile([file])) {
    if (event.kind !== 'block') continue;
    const { group, rows, channels } = event.block;
    using loaded = context.load(freshShape(PROFILES['bgv-add-a'], 'seeded'), channels[0] ?? new Uint8Array(0));
    blocks.push({ group, rows, slots: context.decryptIntegers(loaded) });
  }
  return blocks;
}

test('every block of several threads holds to the bit what one thread puts there, group by group and slot by slot', async () => {
  const random = (i: number): number => ((i * 2654435761) % 4001) - 2000;
  const intent = { column: 'x', programs: ['sum', 'groupSums'], low: -2000, high: 2000, decimals: 0 } as const;
  const groups = ['a', 'b', 'c'];
  // uneven pieces: full runs, runs of leftovers, plain numbers and others, more runs than threads have
  const rows = Array.from({ length: 40 }, (_, i) => {
    const values = Float64Array.from({ length: 1 + ((i * 997) % 9000) }, (__, k) => random(i * 10_000 + k));
    return { group: groups[(i * i) % 3] ?? 'a', values: i % 7 === 3 ? [...values] : values };
  });
  const alone = await encrypted(holder, { ...intent, groups }, rows);
  const together = await inThreads(alone, rows);
  assert.deepEqual(await blocksIn(together.file), await blocksIn(alone.file));
  assert.ok(alone.totals.blocks > 40, 'more blocks than the runs of two threads hold');
  // no two ciphertexts share their randomness, within a file or between them
  const seeds = new Set<string>();
  for (const file of [alone.file, together.file])
    for await (const event of readColumnFile([file]))
      if (event.kind === 'block') seeds.add(Buffer.from(event.block.channels[0]?.slice(-64) ?? []).toString('hex'));
  assert.equal(seeds.size, alone.totals.blocks + together.totals.blocks);
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
  const stream = encryptColumn({ threads }, fixture.header, rows());
  for (let i = 0; i < 5; i++) await stream.next();
  // five runs of seven blocks for two threads, and four that were written
  assert.ok(pulled < 9 * 7 * 4096 + 5000, `${pulled} rows were pulled for four runs`);
  await stream.return({ rows: 0, blocks: 0, digest: '' });
});

test('a thread without the key fails the column, and so does one that has ended', async () => {
  const fixture = await encrypted(holder, { column: 'x', programs: ['sum'], low: 0, high: 9, decimals: 0 }, [
    { values: [1] },
  ]);
  const lone = new EncryptionThreads(1, {});
  const drain = async (): Promise<void> => {
    for await (const bytes of encryptColumn({ threads: lone }, fixture.header, [{ values: [1] }])) void bytes;
  };
  await assert.rejects(drain());
  await lone[Symbol.asyncDispose]();
  await assert.rejects(drain(), /has ended/);
});

test('a thread that dies while a column is under way fails the column in words, and whatever comes after', async () => {
  const fixture = await encrypted(holder, { column: 'x', programs: ['sum'], low: 0, high: 9, decimals: 0 }, [
    { values: [1] },
  ]);
  const mortal = new EncryptionThreads(2, { secretKeys: holder.secret.keys });
  const rows = function* (): Generator<ColumnRows> {
    for (let i = 0; i < 1_000_000; i += 4096) yield { values: new Float64Array(4096) };
  };
  const stream = encryptColumn({ threads: mortal }, fixture.header, rows());
  for (let i = 0; i < 3; i++) await stream.next();
  await mortal[Symbol.asyncDispose]();
  await assert.rejects(async () => {
    for await (const bytes of stream) void bytes;
  }, /a thread that encrypts has ended/);
  await assert.rejects(
    encryptColumn({ threads: mortal }, fixture.header, rows())
      .next()
      .then(async () => {
        for await (const bytes of encryptColumn({ threads: mortal }, fixture.header, rows())) void bytes;
      }),
    /has ended/,
  );
});

test('few values take no thread, and a senseless number of threads is refused', async () => {
  for (const size of [{ values: 1000 }, { values: 1e9, asked: 1 }]) {
    await using encryption = await openEncryption(size, {});
    assert.ok('backend' in encryption);
  }
  await using asked = await openEncryption({ values: 1, asked: 2 }, { secretKeys: holder.secret.keys });
  assert.ok('threads' in asked);
  for (const wrong of [0, -1, 1.5, 9, Number.NaN])
    await assert.rejects(openEncryption({ values: 1, asked: wrong }, {}), RangeError);
});

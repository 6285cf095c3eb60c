import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deriveScalars, decryptTotals } from '../../runtime/homomorphic/derive.ts';
import { generateKeyBundles, writeBundle } from '../../runtime/homomorphic/keys.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { planProgram } from '../../runtime/homomorphic/plan.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { decryptQueryResult, encryptQuery, QUERY_PROFILE, readQuery } from '../../runtime/homomorphic/query.ts';
import { readResult } from '../../runtime/homomorphic/result-file.ts';
import { runHomomorphicJob, type HomomorphicJobOutcome } from '../../runtime/homomorphic/run-job.ts';
import type { HomomorphicJob } from '../../runtime/homomorphic/job.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { colon, encrypted, keyHolder } from './support.ts';

const root = new URL('../..', import.meta.url).pathname;
let pool: WorkerPool;
before(async () => {
  pool = await WorkerPool.start({ root });
});
after(() => pool.close());

const { time, age } = colon();
const holder = await keyHolder(['bgv-add-a', 'ckks-deep']);

async function inJail(job: HomomorphicJob, inputs: readonly Iterable<Uint8Array>[]): Promise<HomomorphicJobOutcome> {
  const worker = await pool.lease({ kind: 'homomorphic', party: 'acme' });
  try {
    const outcome = await runHomomorphicJob(worker, job, inputs);
    worker.release();
    return outcome;
  } catch (error) {
    await worker.destroy();
    throw error;
  }
}

/** The file in awkward pieces, as a network gives it. */
function* pieces(file: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < file.byteLength; at += 99_991) yield file.subarray(at, at + 99_991);
}

async function ingested(file: Uint8Array) {
  const { result, output } = await inJail({ kind: 'ingest' }, [pieces(file)]);
  assert.ok(result.kind === 'ingest');
  return { header: result.header, totals: result.stored, upload: result.upload, file: output };
}

test('a column is taken in, summed and decrypted, with every byte of it handled in the jail', async () => {
  const column = await encrypted(holder, { column: 'time', programs: ['sum'], low: 0, high: 4000, decimals: 0 }, [
    { values: time },
  ]);
  const stored = await ingested(column.file);
  assert.equal(stored.upload.digest, column.totals.digest);
  const program = parseProgram({ name: 'sum', columns: ['time'] });
  const job: HomomorphicJob = {
    kind: 'encryptedData',
    program,
    columns: [{ header: stored.header, totals: stored.totals }],
    relinearisationKeys: [],
  };
  const { output } = await inJail(job, [pieces(stored.file)]);
  const plan = planProgram(program, [stored]);
  const scalars = deriveScalars(plan, decryptTotals(plan, readResult(plan, output), holder.backend));
  assert.equal(scalars[0]?.exact, String(time.reduce((a, b) => a + b, 0)));
});

test('many columns at once keep apart, those in the memory file and those through the pipe', async () => {
  const alignment = `sha256:${'a'.repeat(64)}`;
  const names = Array.from({ length: 18 }, (_, i) => `c${i}`);
  const columns = await Promise.all(
    names.map(async (column, i) => {
      const values = time.map((value) => (value % 97) + i);
      const shape = {
        column,
        programs: ['linear'] as const,
        low: 0,
        high: 200,
        decimals: 0,
        weightTotal: 200,
        alignment,
      };
      return { sum: values.reduce((a, b) => a + b, 0), ...(await encrypted(holder, shape, [{ values }])) };
    }),
  );
  const stored = [];
  for (const { file } of columns) stored.push(await ingested(file));
  assert.ok(
    stored.every(({ file }) => file.byteLength > 64 * 1024),
    'chunks are large enough for the memory file',
  );
  const weights = names.map((_, i) => i + 1);
  const program = parseProgram({ name: 'linear', columns: names, weights });
  const job: HomomorphicJob = { kind: 'encryptedData', program, columns: stored, relinearisationKeys: [] };
  const plan = planProgram(program, stored);
  for (const chunked of [(file: Uint8Array) => pieces(file), (file: Uint8Array) => [file]]) {
    const { output } = await inJail(
      job,
      stored.map(({ file }) => chunked(file)),
    );
    const scalars = deriveScalars(plan, decryptTotals(plan, readResult(plan, output), holder.backend));
    const expected = columns.reduce((all, { sum }, i) => all + sum * (i + 1), 0) / time.length;
    assert.ok(Math.abs((scalars[0]?.number ?? 0) - expected) < 1e-9 * expected, `${scalars[0]?.number} ${expected}`);
  }
});

test('a logistic score runs in the jail with the public relinearisation key only', async () => {
  const column = await encrypted(holder, { column: 'x', programs: ['logistic'], low: -1, high: 1, decimals: 0 }, [
    { values: time.map((t) => (t - 1600) / 2400) },
  ]);
  const stored = await ingested(column.file);
  const program = parseProgram({ name: 'logistic', columns: ['x'], weights: [2] });
  const job: HomomorphicJob = { kind: 'encryptedData', program, columns: [stored], relinearisationKeys: ['ckks-deep'] };
  const { output } = await inJail(job, [[Buffer.from(writeBundle(holder.open))], [stored.file]]);
  const plan = planProgram(program, [stored]);
  const [mean] = deriveScalars(plan, decryptTotals(plan, readResult(plan, output), holder.backend));
  const cubic = (z: number): number => 0.5 + 0.15012 * z - 0.0015930078125 * z ** 3;
  const expected = time.reduce((sum, t) => sum + cubic((2 * (t - 1600)) / 2400), 0) / time.length;
  assert.ok(mean && Math.abs(mean.number - expected) < mean.errorBound);
});

test('an encrypted model scores plaintext rows in the jail', async () => {
  const consumer = await openNodeSealBackend();
  const { open, secret } = generateKeyBundles(consumer, ['bgv-query']);
  consumer.open(QUERY_PROFILE).useSecretKey(secret.keys[0]?.secretKey as Uint8Array);
  const columns = [
    { column: 'age', decimals: 0, low: 0n, high: 120n },
    { column: 'time', decimals: 0, low: 0n, high: 4000n },
  ];
  const publicKey = open.keys[0]?.publicKey as Uint8Array;
  const query = encryptQuery(
    { backend: consumer, publicKey },
    { name: 'queryLinear', columns, output: 'rows', rows: age.length, vector: BigInt64Array.from([5n, -2n]) },
  );
  const bytes = (values: number[]): Uint8Array => new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  const { result, output } = await inJail({ kind: 'encryptedQuery', rows: age.length, given: age.length }, [
    pieces(query),
    pieces(bytes(age)),
    pieces(bytes(time)),
  ]);
  assert.ok(result.kind === 'encryptedQuery' && result.digest === readQuery(query).digest);
  const scores = decryptQueryResult(consumer, readQuery(query).header, output);
  assert.deepEqual(
    [...scores.subarray(0, 50)],
    age.slice(0, 50).map((a, i) => BigInt(5 * a - 2 * (time[i] ?? 0))),
  );
});

test('damaged input ends the job with a code, and the next job is served', async () => {
  const column = await encrypted(holder, { column: 'time', programs: ['sum'], low: 0, high: 4000, decimals: 0 }, [
    { values: time },
  ]);
  const damaged = Buffer.from(column.file);
  damaged[5000] = 0xff;
  damaged[5007] = 0xff;
  await assert.rejects(inJail({ kind: 'ingest' }, [[damaged]]), { name: 'HomomorphicFault' });
  await assert.rejects(inJail({ kind: 'ingest' }, [[damaged.subarray(0, 1000)]]), { code: 'bad-column' });
  await assert.rejects(inJail({ kind: 'encryptedQuery', rows: 5, given: 5 }, [[damaged]]), { code: 'bad-ciphertext' });
  const stored = await ingested(column.file);
  const program = parseProgram({ name: 'sum', columns: ['time'] });
  const swapped = Buffer.from(stored.file);
  const first = swapped.indexOf(Buffer.from('5ea1100401', 'hex')) + 113;
  swapped[first + 4097 * 8 + 7] = 0x7f;
  const job: HomomorphicJob = { kind: 'encryptedData', program, columns: [stored], relinearisationKeys: [] };
  await assert.rejects(inJail(job, [[swapped]]), { code: 'bad-ciphertext' });
  await assert.rejects(inJail(job, [[stored.file.subarray(0, -1)]]), { code: 'bad-column' });
});

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import type { SqlType } from '../../runtime/query/types.ts';
import { rowSource } from '../../runtime/gateway/javascript/rows.ts';
import type { ReadColumn } from '../../runtime/gateway/javascript/row-request.ts';
import type { ColumnKind } from '../../runtime/sandbox/javascript/columns.ts';
import { pooledWorkers } from '../../runtime/sandbox/javascript/pooled-workers.ts';
import { checkRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import type { OutputSpec, Reducer } from '../../runtime/sandbox/javascript/row-function/reducer.ts';
import { type RowFunctionOutcome, runRowFunction } from '../../runtime/sandbox/javascript/run-row-function.ts';
import type { ColumnSource, JobFailed } from '../../runtime/sandbox/javascript/source.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { type Frame, frameType, jsonPayload } from '../../runtime/sandbox/channel.ts';
import { runFold } from '../../runtime/dataset/run-fold.ts';
import { WorkerFault } from '../../runtime/dataset/worker-link.ts';

const folder = await mkdtemp(join(tmpdir(), 'glovebox-fold-'));
const pool = await WorkerPool.start({ root: join(import.meta.dirname, '..', '..') });
after(async () => {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
});

/** Every third value of each column is missing; the rows of a unit beyond the bound must not count. */
const path = join(folder, 'd0.duckdb');
const instance = await DuckDBInstance.create(path);
const connection = await instance.connect();
await connection.run(`CREATE TABLE t AS SELECT
  CASE WHEN i % 3 = 0 THEN NULL ELSE i % 101 END::DOUBLE AS cost,
  CASE WHEN i % 3 = 1 THEN NULL ELSE i % 7 END::INTEGER AS visits,
  CASE WHEN i % 3 = 2 THEN NULL ELSE DATE '1970-01-01' + (i % 11)::INTEGER END AS day,
  CASE WHEN i % 3 = 0 THEN NULL ELSE i % 2 = 0 END AS smokes,
  CASE WHEN i % 3 = 1 THEN NULL WHEN i % 5 = 0 THEN 'north' ELSE 'south' END AS ward,
  hash(i // 4)::UBIGINT AS __gb_u0, (i % 4)::UINTEGER AS __gb_rank
  FROM range(30000) AS r(i)`);
connection.closeSync();
instance.closeSync();

const column = (name: string, kind: ColumnKind, type: SqlType, texts: readonly string[] = []): ReadColumn => ({
  name,
  kind,
  isNullable: true,
  type,
  texts,
  other: 'missing',
});
const columns: readonly ReadColumn[] = [
  column('cost', 'float64', { kind: 'double' }),
  column('visits', 'int32', { kind: 'integer', bits: 32, isSigned: true }),
  column('day', 'int32', { kind: 'date' }),
  column('smokes', 'boolean', { kind: 'boolean' }),
  column('ward', 'dictionary', { kind: 'text' }, ['north', 'south']),
];

/** A table that calls itself large is read by a kernel that goes to the rows. */
function tableOf(rowCount: bigint, signal = new AbortController().signal, from: WorkerPool = pool): ColumnSource {
  return rowSource({
    pool: from,
    party: 'acme',
    dataset: { file: path, database: 'd0' },
    table: { physical: '"d0"."t"', rowCount, units: [{ hash: '__gb_u0' }] },
    columns,
    rowsPerUnit: 3,
    isSorted: false,
    isNumbered: false,
    isReadOnce: true,
    signal,
  });
}
const LARGE = 2n ** 21n;

const outputs: readonly OutputSpec[] = [{ name: 'v', range: [0, 200], step: 0.5 }];
const source =
  '(r) => r.smokes === false ? r.cost + r.visits : r.ward === "north" ? r.day * 2 : r.smokes === null ? r.visits : r.cost';

function run(
  rows: ColumnSource,
  reducer: Reducer,
  more: {
    readonly tier?: 'balanced' | 'strict';
    readonly signal?: AbortSignal;
    readonly keys?: readonly string[];
  } = {},
): Promise<RowFunctionOutcome | JobFailed> {
  const checked = checkRowFunction(source, { columns, outputs, reducer, rowsPerUnit: 3 });
  if (checked.kind !== 'ok') throw new Error(JSON.stringify(checked));
  const { tier = 'balanced', signal, keys } = more;
  const groupBy = keys === undefined ? undefined : { column: 'ward', keys };
  return runRowFunction(pooledWorkers(pool, { party: 'acme' }), { checked, reducer, rowsPerUnit: 3, groupBy }, rows, {
    tier,
    timeoutMs: 20_000,
    ...(signal === undefined ? {} : { signal }),
  });
}

test('a kernel that goes to the rows finds the cells that it finds over batches, whatever is missing', async () => {
  const [far, near] = [tableOf(LARGE), tableOf(30_000n)];
  assert.notEqual(far.fold, undefined);
  assert.equal(near.fold, undefined);
  for (const reducer of [
    { kind: 'sum' },
    { kind: 'variance' },
    { kind: 'histogram', edges: [[0, 5, 50, 200]] },
  ] as const) {
    const folded = await run(far, reducer);
    assert.equal(folded.kind, 'done');
    assert.notEqual(folded.kind === 'done' && folded.groups[0]?.cells[0], 0n);
    assert.deepEqual(folded, await run(near, reducer));
  }
  const keys = ['south', 'north', 'nowhere'];
  assert.deepEqual(await run(far, { kind: 'mean' }, { keys }), await run(near, { kind: 'mean' }, { keys }));
});

test('the strict tier never runs a kernel where there is a compiler', async () => {
  const far = tableOf(LARGE);
  const refusing: ColumnSource = { ...far, fold: () => Promise.reject(new Error('it was asked')) };
  assert.equal((await run(refusing, { kind: 'sum' }, { tier: 'strict' })).kind, 'done');
  assert.equal((await run(refusing, { kind: 'sum' })).kind, 'failed');
});

test('a kernel too long for a frame stays with the worker that takes any', async () => {
  const far = tableOf(LARGE);
  const refusing: ColumnSource = { ...far, fold: () => Promise.reject(new Error('it was asked')) };
  const many = Array.from({ length: 20 }, (_, i) => ({ ...outputs[0], name: `v${i}` })) as OutputSpec[];
  const edges = many.map(() => Array.from({ length: 1001 }, (_, i) => i / 7 + 1e-9));
  const reducer: Reducer = { kind: 'histogram', edges };
  const checked = checkRowFunction('(r) => ({ ' + many.map(({ name }) => `${name}: r.cost`).join(', ') + ' })', {
    columns,
    outputs: many,
    reducer,
    rowsPerUnit: 3,
  });
  assert.equal(checked.kind, 'ok');
  if (checked.kind !== 'ok') return;
  const job = { checked, reducer, rowsPerUnit: 3 };
  const outcome = await runRowFunction(pooledWorkers(pool, { party: 'acme' }), job, refusing, {
    tier: 'balanced',
    timeoutMs: 20_000,
  });
  assert.equal(outcome.kind, 'done');
});

test('cells of another number or that no rows could give are not believed', async () => {
  const far = tableOf(LARGE);
  const answering = (totals: Uint8Array, rows: number): ColumnSource => ({
    ...far,
    fold: () => Promise.resolve({ totals, rows }),
  });
  const cells = (sum: bigint): Uint8Array => new Uint8Array(BigInt64Array.of(sum).buffer);
  assert.equal((await run(answering(cells(10n), 10), { kind: 'sum' })).kind, 'done');
  assert.equal((await run(answering(new Uint8Array(16), 10), { kind: 'sum' })).kind, 'failed');
  assert.equal((await run(answering(cells(10n ** 15n), 10), { kind: 'sum' })).kind, 'failed');
});

test('a worker that sends other frames than cells and an end, or counts rows that are not there, is at fault', async () => {
  const data = { type: frameType.DATA, payload: Buffer.alloc(8) };
  const end = (rows: unknown): Frame => ({ type: frameType.RESULT, payload: jsonPayload({ rows }) });
  const query = { setup: [], result: 'SELECT 1', summary: 'SELECT 1' };
  const fold = { kernel: '', kinds: [], cells: 1 };
  const engine = { threads: 1, memoryMiB: 64 };
  const answer = (frames: readonly (Frame | null)[]): ReturnType<typeof runFold> => {
    const left = [...frames];
    const link = { send: () => Promise.resolve(), next: () => Promise.resolve(left.shift() ?? null), kill: () => {} };
    return runFold(link, [], query, { fold, engine, maxRows: 100 });
  };
  assert.equal((await answer([data, end(100)])).rows, 100);
  const wrong = [
    [null],
    [end(1)],
    [{ ...data, payload: Buffer.alloc(16) }, end(1)],
    [data, data],
    [data, null],
    ...[101, -1, 0.5, '7', null].map((rows) => [data, end(rows)]),
  ];
  for (const frames of wrong) await assert.rejects(answer(frames), WorkerFault);
});

test('what a kernel was run in serves nobody else, whether it ended or was cancelled', async () => {
  const ends: string[] = [];
  const watched = {
    lease: async (request: Parameters<WorkerPool['lease']>[0]) => {
      const worker = await pool.lease(request);
      const [release, destroy] = [worker.release.bind(worker), worker.destroy.bind(worker)];
      worker.release = () => {
        ends.push('released');
        release();
      };
      worker.destroy = () => {
        ends.push('destroyed');
        return destroy();
      };
      return worker;
    },
  } as WorkerPool;
  const done = await run(tableOf(LARGE, undefined, watched), { kind: 'sum' });
  assert.equal(done.kind, 'done');
  assert.deepEqual(ends, ['destroyed']);
  const stop = new AbortController();
  const running = run(tableOf(LARGE, stop.signal, watched), { kind: 'sum' }, { signal: stop.signal });
  stop.abort();
  await assert.rejects(running, { name: 'AbortError' });
  assert.ok(!ends.includes('released'));
});

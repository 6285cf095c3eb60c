import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { frameType, parseJsonPayload, type Frame } from '../../runtime/sandbox/channel.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { PoolRefusal } from '../../runtime/sandbox/refusal.ts';
import { childrenOf } from '../../runtime/sandbox/process-table.ts';
import { WorkerFault } from '../../runtime/sandbox/worker-end.ts';
import { root, runJob, startTestPool, type TestPool } from './test-pool.ts';

let shared: TestPool;
before(async () => {
  shared = await startTestPool({ maxWorkers: 4 });
});
after(() => shared.close());

const answerOf = (frame: Frame): Readonly<Record<string, unknown>> => parseJsonPayload(frame.payload);
const reasonOf = (error: unknown): string => (error instanceof WorkerFault ? error.reason : String(error));

async function outcome(job: unknown, limits: object = {}, kind = 'mischief'): Promise<string> {
  return runJob(shared, { kind, limits }, job).then((frame) => `frame ${frame.type}`, reasonOf);
}

test('a clean worker serves again, up to the number of jobs of its image', async () => {
  const served: string[] = [];
  const seen: unknown[] = [];
  for (const text of ['a', 'b', 'c', 'd']) {
    const answer = answerOf(await runJob(shared, { kind: 'mischief' }, { act: 'echo', text }));
    served.push(String(answer['text']));
    seen.push(answer['jobs']);
  }
  assert.deepEqual(served, ['a', 'b', 'c', 'd']);
  assert.equal(seen[3], 1, 'the fourth job must meet a new process');
  assert.ok(seen.every((jobs) => Number(jobs) <= 3));
});

test('a worker for one job never gets a second one', async () => {
  for (const text of ['a', 'b', 'c']) {
    const answer = answerOf(await runJob(shared, { kind: 'stubborn' }, { act: 'echo', text }));
    assert.equal(answer['jobs'], 1);
  }
});

test('while one job runs nobody starts the next worker, and when it is over somebody does', async () => {
  const own = await startTestPool({ maxWorkers: 4 });
  try {
    await own.pool.prewarm({ kind: 'stubborn' }, 1);
    const worker = await own.pool.lease({ kind: 'stubborn', party: 'acme' });
    assert.deepEqual({ ...own.pool.stats, slots: 0 }, { workers: 1, idle: 0, leased: 1, waiting: 0, slots: 0 });
    const gone = worker.destroy();
    assert.equal(own.pool.stats.workers, 2, 'the one that is dying and its replacement');
    await gone;
    await own.pool.prewarm({ kind: 'stubborn' }, 1);
    assert.equal(own.pool.stats.idle, 1);
  } finally {
    await own.close();
  }
});

test('every kind of misbehaviour ends the worker with its reason, and the next job is served', async () => {
  const wanted: readonly (readonly [act: string, reason: string])[] = [
    ['garbage', 'PROTOCOL'],
    ['oversize', 'PROTOCOL'],
    ['unknownType', 'PROTOCOL'],
    ['readyAgain', 'PROTOCOL'],
    ['exit', 'CRASHED'],
    ['crash', 'CRASHED'],
  ];
  for (const [act, reason] of wanted) {
    assert.equal(await outcome({ act }), reason, act);
    assert.equal(await outcome({ act: 'echo' }), `frame ${frameType.RESULT}`, `after ${act}`);
  }
});

test('a job that hangs, burns, grows or floods is stopped at its limit', async () => {
  assert.equal(await outcome({ act: 'wait' }, { wallMs: 150 }), 'TIMEOUT');
  assert.equal(await outcome({ act: 'hang' }, { cpuMs: 150 }), 'CPU');
  assert.match(await outcome({ act: 'memory' }), /^(MEMORY|CRASHED)$/);
  const worker = await shared.pool.lease({ kind: 'mischief', party: 'acme', limits: { outputBytes: 3_000_000 } });
  await worker.sendJson(frameType.JOB, { act: 'flood' });
  let bytes = 0;
  const reason = await (async (): Promise<string> => {
    for await (const frame of worker.frames()) bytes += frame.payload.length;
    return 'ended';
  })().catch(reasonOf);
  await worker.destroy();
  assert.equal(reason, 'OUTPUT');
  assert.ok(bytes <= 3_000_000);
});

test('a worker that somebody on the host stops is ended within seconds, long before its time is over', async () => {
  const worker = await shared.pool.lease({ kind: 'mischief', party: 'acme', limits: { wallMs: 600_000 } });
  const [outer = 0] = [worker.pid];
  const [inner = outer] = await childrenOf(outer);
  process.kill(inner, 'SIGSTOP');
  await worker.sendJson(frameType.JOB, { act: 'echo', text: 'a' });
  assert.equal(await worker.next().then(() => 'answered', reasonOf), 'FROZEN');
  await worker.destroy();
  assert.equal(await outcome({ act: 'echo' }), `frame ${frameType.RESULT}`, 'the next job is served');
});

test('a worker that leaves something behind, or speaks out of turn, does not serve again', async () => {
  for (const act of ['halfFrame', 'twice']) {
    const first = answerOf(await runJob(shared, { kind: 'mischief' }, { act }));
    assert.ok(first);
    const next = answerOf(await runJob(shared, { kind: 'mischief' }, { act: 'echo', text: 'mine' }));
    assert.equal(next['text'], 'mine', act);
  }
  const pool = await startTestPool({ maxWorkers: 2 });
  try {
    await runJob(pool, { kind: 'mischief' }, { act: 'later' });
    while (pool.events.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(pool.events[0]?.reason, 'PROTOCOL');
  } finally {
    await pool.close();
  }
});

test('a cancelled job is gone within 100 ms, whatever it is doing', async () => {
  const cancel = async (act: string): Promise<number> => {
    const controller = new AbortController();
    const worker = await shared.pool.lease({ kind: 'mischief', party: 'acme', signal: controller.signal });
    await worker.sendJson(frameType.JOB, { act });
    if (act === 'flood') await worker.next();
    const started = performance.now();
    controller.abort();
    if (act !== 'flood') await assert.rejects(worker.next(), { reason: 'STOPPED' });
    await worker.destroy();
    return performance.now() - started;
  };
  for (const act of ['hang', 'wait', 'flood']) {
    const tookMs = [await cancel(act)];
    // A busy machine may hold this very process up for longer than that, but not every time.
    while (Math.min(...tookMs) >= 100 && tookMs.length < 10) tookMs.push(await cancel(act));
    assert.ok(Math.min(...tookMs) < 100, `${act}: ${tookMs.join(' ')}`);
  }
});

test('a request that is aborted while it waits leaves the line, and an aborted one is not begun', async () => {
  const pool = await startTestPool({ maxWorkers: 1 });
  try {
    const held = await pool.pool.lease({ kind: 'mischief', party: 'acme' });
    const controller = new AbortController();
    const waiting = pool.pool.lease({ kind: 'mischief', party: 'bolt', signal: controller.signal });
    waiting.catch(() => {});
    controller.abort(new Error('changed my mind'));
    await assert.rejects(waiting, /changed my mind/);
    await assert.rejects(
      pool.pool.lease({ kind: 'mischief', party: 'bolt', signal: controller.signal }),
      /changed my mind/,
    );
    assert.equal(pool.pool.stats.waiting, 0);
    held.release();
  } finally {
    await pool.close();
  }
});

test('bytes reach a worker through its scratch file, and back in frames of any number', async () => {
  const worker = await shared.pool.lease({ kind: 'stubborn', party: 'acme' });
  await worker.writeScratch(Buffer.from('columns'), 0);
  await worker.sendJson(frameType.JOB, { act: 'scratch', bytes: 7 });
  assert.equal(answerOf(await worker.next())['text'], 'columns');
  worker.release();
  const other = await shared.pool.lease({ kind: 'mischief', party: 'acme' });
  await other.sendJson(frameType.JOB, { act: 'data', bytes: 9_000_000 });
  let bytes = 0;
  for await (const frame of other.frames()) {
    if (frame.type === frameType.RESULT) break;
    assert.ok(frame.payload.every((byte) => byte === 7));
    bytes += frame.payload.length;
  }
  other.release();
  assert.equal(bytes, 9_000_000);
});

test('with all places taken a request waits for a worker of its own kind, but not long, before another is ended', async () => {
  const other = { kind: 'mischief', mounts: [{ hostPath: join(root, 'package.json'), guestPath: '/data/x' }] };
  for (const patienceMs of [600_000, 0]) {
    const own = await startTestPool({ maxWorkers: 2, patienceMs });
    try {
      assert.equal(answerOf(await runJob(own, other, { act: 'echo' }))['jobs'], 1);
      const held = await own.pool.lease({ kind: 'mischief', party: 'acme' });
      const asked = own.pool.lease({ kind: 'mischief', party: 'bank' });
      if (patienceMs > 0) {
        while (own.pool.stats.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
        held.release();
      }
      (await asked).release();
      held.release();
      const { jobs } = answerOf(await runJob(own, other, { act: 'echo' }));
      assert.equal(jobs, patienceMs > 0 ? 2 : 1, 'its worker is still there, or made room');
    } finally {
      await own.close();
    }
  }
});

test('parties take turns: one that asks a hundred times does not hold up one that asks once', async () => {
  const pool = await startTestPool({ maxWorkers: 1, warmPerKey: 1 });
  try {
    const order: string[] = [];
    const job = async (party: string): Promise<void> => {
      await runJob(pool, { kind: 'mischief', party }, { act: 'echo' });
      order.push(party);
    };
    const greedy = Array.from({ length: 12 }, () => job('greedy'));
    const modest = job('modest');
    await Promise.all([...greedy, modest]);
    assert.ok(order.indexOf('modest') <= 2, order.join(' '));
  } finally {
    await pool.close();
  }
});

test('a party holds no more workers than it may, and what it asks beyond waits while another is served', async () => {
  const pool = await startTestPool({ maxWorkers: 4, maxPerParty: 2 });
  try {
    const lease = (party: string): ReturnType<typeof pool.pool.lease> => pool.pool.lease({ kind: 'mischief', party });
    assert.equal(pool.pool.maxPerParty, 2);
    const [first, second] = await Promise.all([lease('acme'), lease('acme')]);
    const third = lease('acme');
    const other = await lease('zeta');
    assert.deepEqual([pool.pool.stats.leased, pool.pool.stats.waiting], [3, 1]);
    first.release();
    for (const worker of [await third, second, other]) worker.release();
  } finally {
    await pool.close();
  }
});

test('more workers than one uid could have threads for start side by side', async () => {
  const pool = await startTestPool({ maxWorkers: 10, maxPerParty: 10 });
  try {
    const workers = await Promise.all(
      Array.from({ length: 10 }, () => pool.pool.lease({ kind: 'mischief', party: 'acme' })),
    );
    assert.equal(pool.pool.stats.leased, 10);
    for (const worker of workers) worker.release();
  } finally {
    await pool.close();
  }
});

test('a worker that cannot start is a fault with its cause, at once, and not for ever', async () => {
  for (let turn = 0; turn < 2; turn += 1) {
    await assert.rejects(shared.pool.lease({ kind: 'unstartable', party: 'acme' }), { reason: 'START_FAILED' });
  }
  await assert.rejects(shared.pool.lease({ kind: 'absent', party: 'acme' }), /no sandbox image `absent`/);
  await assert.rejects(
    shared.pool.lease({ kind: 'mischief', party: 'acme', tier: 'odd' }),
    (error) => error instanceof PoolRefusal && error.code === 'UNKNOWN_TIER',
  );
});

test('a mount that is missing, relative, doubled or outside /data is refused, and the pool lives on', async () => {
  const lease = (hostPath: string, ...guestPaths: readonly string[]): Promise<unknown> =>
    shared.pool.lease({
      kind: 'mischief',
      party: 'acme',
      mounts: guestPaths.map((guestPath) => ({ hostPath, guestPath })),
    });
  await assert.rejects(lease('/nowhere/at/all', '/data/x'), /ENOENT/);
  await assert.rejects(lease('package.json', '/data/x'), /not absolute/);
  for (const guestPath of [
    '/etc/x',
    '/data',
    '/data/../etc/x',
    '/data//x',
    '/data/.',
    '/n/node',
    'data/x',
    '/data/a b',
  ]) {
    await assert.rejects(lease(import.meta.filename, guestPath), /guest path/, guestPath);
  }
  await assert.rejects(lease(import.meta.filename, '/data/x', '/data/x'), /overlaps/);
  await assert.rejects(lease(import.meta.filename, '/data/x', '/data/x/y'), /overlaps/);
  assert.equal(await outcome({ act: 'echo' }), `frame ${frameType.RESULT}`);
});

test('a worker sees the mounts of its own request only', async (t) => {
  if (shared.skipReason !== undefined) return t.skip(shared.skipReason);
  const mounts = [{ hostPath: import.meta.filename, guestPath: '/data/a/one.txt' }];
  const read = answerOf(await runJob(shared, { kind: 'mischief', mounts }, { act: 'read', path: '/data/a/one.txt' }));
  assert.match(String(read['text']), /a worker sees the mounts/);
  assert.equal(await outcome({ act: 'read', path: '/data/a/one.txt' }), 'CRASHED');
});

test('a mounted file that was replaced is never read through an old worker', async (t) => {
  if (shared.skipReason !== undefined) return t.skip(shared.skipReason);
  const folder = await mkdtemp(join(tmpdir(), 'glovebox-test-'));
  try {
    const hostPath = join(folder, 'data.txt');
    const mounts = [{ hostPath, guestPath: '/data/data.txt' }];
    for (const text of ['first', 'second']) {
      await writeFile(`${hostPath}.new`, text, { mode: 0o600 });
      await rename(`${hostPath}.new`, hostPath);
      const answer = answerOf(
        await runJob(shared, { kind: 'mischief', mounts }, { act: 'read', path: '/data/data.txt' }),
      );
      assert.equal(answer['text'], text);
    }
    // The source keeps its owner and its own bits; the workers' group may read it.
    const { mode, uid } = await stat(hostPath);
    assert.equal(uid, process.getuid?.());
    assert.equal(mode & 0o7, 0);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('workers that need a second one for their job never take every place of their party', async () => {
  await using own = await WorkerPool.start({ root, maxWorkers: 4, maxPerParty: 2, warmPerKey: 0 });
  const code = { kind: 'javascript', party: 'acme' } as const;
  const first = await own.lease(code);
  const second = own.lease(code);
  const reader = await own.lease({ kind: 'sql', party: 'acme' });
  assert.equal(own.stats.waiting, 1, 'the second waits, although the first reader was asked for later');
  reader.release();
  await first.destroy();
  await (await second).destroy();
  const others = await Promise.all(['b', 'c', 'd'].map((party) => own.lease({ kind: 'javascript', party })));
  const fourth = own.lease({ kind: 'javascript', party: 'e' });
  await (await own.lease({ kind: 'sql', party: 'b' })).destroy();
  assert.equal(own.stats.leased, 3);
  await Promise.all(others.map((one) => one.destroy()));
  await (await fourth).destroy();
});

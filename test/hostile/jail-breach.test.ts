import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { frameType, parseJsonPayload } from '../../runtime/sandbox/channel.ts';
import { prepareInWorker } from '../../runtime/sandbox/javascript/prepare-in-worker.ts';
import { pooledWorkers } from '../../runtime/sandbox/javascript/pooled-workers.ts';
import { runBlocks } from '../../runtime/sandbox/javascript/run-blocks.ts';
import { WorkerFault } from '../../runtime/sandbox/worker-end.ts';
import { numbersSource, terms } from '../javascript/jailed.ts';
import { runJob, startTestPool, type TestPool } from '../sandbox/test-pool.ts';

let shared: TestPool;
before(async () => {
  shared = await startTestPool({ maxWorkers: 3, warmPerKey: 2 });
});
after(() => shared.close());

/** Runs one attempt in a worker of its own: what it got, or the reason why the worker died. */
async function attempt(name: string, { pool } = shared): Promise<string> {
  const worker = await pool.lease({ kind: 'breach', party: 'mallory' });
  try {
    await worker.sendJson(frameType.JOB, { attempts: [name] });
    const { got } = parseJsonPayload((await worker.next()).payload);
    return got === null ? 'nothing' : `GOT ${JSON.stringify(got)}`;
  } catch (error) {
    if (error instanceof WorkerFault) return error.reason;
    throw error;
  } finally {
    await worker.destroy();
  }
}

test('hostile Node code in the jail gets no file, network, process, signal, descriptor or privilege', async (t) => {
  if (shared.skipReason !== undefined) return t.skip(shared.skipReason);
  const { names } = parseJsonPayload((await runJob(shared, { kind: 'breach' }, { attempts: ['LIST'] })).payload);
  const contained = new Set(['nothing', 'VIOLATION', 'CRASHED', 'MEMORY', 'CPU', 'TIMEOUT']);
  const outcomes = new Map<string, string>();
  const queue = [...(names as readonly string[])];
  await Promise.all(
    Array.from({ length: 2 }, async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) outcomes.set(name, await attempt(name));
    }),
  );
  assert.ok(outcomes.size >= 38);
  assert.deepEqual(
    [...outcomes].filter(([, outcome]) => !contained.has(outcome)),
    [],
  );
  // These must be ended by the filter itself: nothing else stands between them and the kernel.
  for (const name of ['tcp', 'udp', 'unixSocket', 'abstractSocket', 'spawnShell', 'setUid', 'setGroups']) {
    assert.equal(outcomes.get(name), 'VIOLATION', name);
  }
});

test('without namespaces a process that confined itself gets nothing either, but what it can ask about files', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can give each worker a uid of its own');
  const folder = await mkdtemp(join(tmpdir(), 'glovebox-confined-'));
  await chmod(folder, 0o755);
  await symlink('/usr/bin/prlimit', join(folder, 'prlimit'));
  await symlink('/usr/bin/perl', join(folder, 'perl'));
  const confined = await startTestPool({ maxWorkers: 3, warmPerKey: 2, path: folder });
  try {
    const { isolation } = confined.pool;
    if (isolation.level === 'process')
      return t.skip(
        isolation.findings
          .filter(({ ok }) => !ok)
          .map(({ name, detail }) => `${name}: ${detail}`)
          .join('; '),
      );
    assert.equal(isolation.level, 'confined');
    assert.match(isolation.advice.join(), /install bubblewrap/);
    const { names } = parseJsonPayload((await runJob(confined, { kind: 'breach' }, { attempts: ['LIST'] })).payload);
    const queue = [...(names as readonly string[])];
    const outcomes = new Map<string, string>();
    await Promise.all(
      Array.from({ length: 2 }, async () => {
        for (let name = queue.shift(); name !== undefined; name = queue.shift())
          outcomes.set(name, await attempt(name, confined));
      }),
    );
    assert.deepEqual(
      [...outcomes].filter(([, outcome]) => outcome.startsWith('GOT')),
      [],
    );
    for (const name of ['tcp', 'udp', 'unixSocket', 'abstractSocket', 'spawnShell', 'setUid', 'setGroups'])
      assert.equal(outcomes.get(name), 'VIOLATION', name);
    // The whole of the sandbox works at this level: parser, isolate, JIT, memory file.
    const workers = pooledWorkers(confined.pool, { party: 'acme' });
    const prepared = await prepareInWorker(workers, {
      language: 'typescript',
      source: '(i: { rows: number }) => i.rows',
    });
    assert.ok(prepared.kind === 'program');
    const outputs = [{ name: 'n', range: [0, 10], step: 1, default: 0 }] as const;
    const job = { factory: prepared.factory, outputs, assign: () => new Int32Array(3), blocks: 1 };
    const { blocks } = await runBlocks(workers, job, numbersSource([1, 2, 3]), terms);
    assert.deepEqual(blocks, [{ status: 'ok', integers: [3] }]);
  } finally {
    await confined.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test('the bombs of one worker leave the runtime and its other workers alone', async (t) => {
  if (shared.skipReason !== undefined) return t.skip(shared.skipReason);
  const bombs = ['memoryBomb', 'descriptorBomb'].map((name) => attempt(name));
  const answer = await runJob(shared, { kind: 'mischief', party: 'acme' }, { act: 'echo', text: 'still here' });
  assert.equal(parseJsonPayload(answer.payload)['text'], 'still here');
  for (const outcome of await Promise.all(bombs)) assert.ok(!outcome.startsWith('GOT'), outcome);
});

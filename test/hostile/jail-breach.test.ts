import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { frameType, parseJsonPayload } from '../../runtime/sandbox/channel.ts';
import { WorkerFault } from '../../runtime/sandbox/worker-end.ts';
import { runJob, startTestPool, type TestPool } from '../sandbox/test-pool.ts';

let shared: TestPool;
before(async () => {
  shared = await startTestPool({ maxWorkers: 3, warmPerKey: 2 });
});
after(() => shared.close());

/** Runs one attempt in a worker of its own: what it got, or the reason why the worker died. */
async function attempt(name: string): Promise<string> {
  const worker = await shared.pool.lease({ kind: 'breach', party: 'mallory' });
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

test('the bombs of one worker leave the runtime and its other workers alone', async (t) => {
  if (shared.skipReason !== undefined) return t.skip(shared.skipReason);
  const bombs = ['memoryBomb', 'descriptorBomb'].map(attempt);
  const answer = await runJob(shared, { kind: 'mischief', party: 'acme' }, { act: 'echo', text: 'still here' });
  assert.equal(parseJsonPayload(answer.payload)['text'], 'still here');
  for (const outcome of await Promise.all(bombs)) assert.ok(!outcome.startsWith('GOT'), outcome);
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { PoolRefusal } from '../../runtime/sandbox/refusal.ts';
import { WorkerFault } from '../../runtime/sandbox/worker-end.ts';
import { root, runJob, startTestPool } from './test-pool.ts';

const reasonOf = (error: unknown): string => (error instanceof WorkerFault ? error.reason : String(error));

async function openDescriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

test('after many jobs, kills and a close no process, descriptor, file or uid is left over', async () => {
  const before = await openDescriptors();
  const pool = await startTestPool({ maxWorkers: 3 });
  const acts = ['echo', 'garbage', 'echo', 'exit', 'twice', 'echo'];
  await Promise.all(
    Array.from({ length: 30 }, (_, index) =>
      runJob(
        pool,
        { kind: index % 3 === 0 ? 'stubborn' : 'mischief', party: `p${index % 4}` },
        { act: acts[index % acts.length] },
      ).catch(() => {}),
    ),
  );
  // Closing in the middle of starts and jobs is where orphans come from.
  const late = Array.from({ length: 6 }, () => runJob(pool, { kind: 'mischief' }, { act: 'hang' }).catch(reasonOf));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await pool.close();
  for (const reason of await Promise.all(late)) assert.match(JSON.stringify(reason), /STOPPED|closed|closing/);
  assert.deepEqual({ workers: pool.pool.stats.workers, leased: pool.pool.stats.leased }, { workers: 0, leased: 0 });
  assert.ok((await openDescriptors()) <= before);
  assert.deepEqual(await processesNaming(pool.pool.stageFolder), []);
  await assert.rejects(
    pool.pool.lease({ kind: 'mischief', party: 'acme' }),
    (error) => error instanceof PoolRefusal && error.code === 'CLOSED',
  );
});

test('a gateway that is killed takes its workers along, and the next one clears what it left', async () => {
  const gateway = spawn(process.execPath, [`${root}/test/sandbox/doomed-gateway.ts`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [stage] = (await once(gateway.stdout, 'data')) as [Buffer];
  assert.ok((await processesNaming(String(stage))).length > 0);
  gateway.kill('SIGKILL');
  await once(gateway, 'close');
  const next = await startTestPool({ maxWorkers: 1 });
  try {
    await assert.rejects(access(String(stage)));
    let left = await processesNaming(String(stage));
    for (
      const end = Date.now() + 5000;
      left.length > 0 && Date.now() < end;
      left = await processesNaming(String(stage))
    ) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(left, []);
  } finally {
    await next.close();
  }
});

/** Processes, ours or orphaned, that still name a stage in their arguments. */
async function processesNaming(stage: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (line.includes(stage)) found.push(line.replaceAll('\0', ' '));
  }
  return found;
}

import assert from 'node:assert/strict';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { findCgroupHome, type CgroupHome } from '../../runtime/sandbox/cgroup.ts';
import { startTestPool, type TestPool } from './test-pool.ts';

let home: CgroupHome;
let shared: TestPool;
before(async () => {
  home = await findCgroupHome();
  shared = await startTestPool({ maxWorkers: 2 });
});
after(() => shared.close());

async function groupsOfThisProcess(): Promise<readonly string[]> {
  const names = await Promise.all(
    home.folders.map(async ({ path }) => (await readdir(path)).map((name) => join(path, name))),
  );
  return names.flat().filter((path) => path.includes(`/glovebox-${process.pid}-`));
}

test('the report says which control groups workers get, and nothing is left of the trial', async () => {
  assert.equal(shared.pool.isolation.cgroup, home.kind);
});

test('a worker and all of its processes live in a group with the limits of its image', async (t) => {
  if (home.kind === 'none') return t.skip('this process may not make control groups here');
  const worker = await shared.pool.lease({ kind: 'mischief', party: 'acme' });
  const inside: string[] = [];
  for (const path of await groupsOfThisProcess()) {
    const pids = (await readFile(join(path, 'cgroup.procs'), 'utf8')).trim().split('\n').filter(Boolean);
    inside.push(...(await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1')))));
    const limit = await readFile(join(path, 'memory.limit_in_bytes'), 'utf8').catch(() =>
      readFile(join(path, 'memory.max'), 'utf8').catch(() => undefined),
    );
    if (limit !== undefined) assert.equal(Number(limit), (128 + 256) * 1024 * 1024);
  }
  // bubblewrap outside, node inside, in each of the controllers
  assert.equal(inside.filter((line) => line.startsWith('/n/node')).length, home.folders.length);
  assert.equal(inside.length, 2 * home.folders.length);
  await worker.destroy();
});

test('groups disappear with their workers', async () => {
  const pool = await startTestPool({ maxWorkers: 2 });
  const before = new Set(await groupsOfThisProcess());
  const worker = await pool.pool.lease({ kind: 'mischief', party: 'acme' });
  const own = (await groupsOfThisProcess()).filter((path) => !before.has(path));
  assert.equal(own.length, home.folders.length);
  await worker.destroy();
  await pool.close();
  for (const path of own) await assert.rejects(access(path));
});

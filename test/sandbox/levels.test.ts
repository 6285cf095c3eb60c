import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { frameType, parseJsonPayload } from '../../runtime/sandbox/channel.ts';
import type { IsolationReport } from '../../runtime/sandbox/probe.ts';
import { PoolRefusal } from '../../runtime/sandbox/refusal.ts';
import { isReachableByOthers } from '../../runtime/sandbox/stage.ts';
import { parseIdMap, usableIds } from '../../runtime/sandbox/worker-ids.ts';
import { root, runJob, startTestPool } from './test-pool.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'glovebox-levels-'));
  await chmod(folder, 0o755);
});
after(() => rm(folder, { recursive: true, force: true }));

/** A search path on which only these programs are. */
async function pathWith(...programs: readonly string[]): Promise<string> {
  const dir = join(folder, `bin-${programs.join('-')}`);
  await mkdir(dir);
  for (const name of programs) {
    const { stdout } = await run('/bin/sh', ['-c', `command -v ${name}`]);
    await symlink(stdout.trim(), join(dir, name));
  }
  return dir;
}

/** The report of another user, or of this one inside an outer program. */
async function reportOf(outer: readonly string[], uid: number | undefined): Promise<IsolationReport> {
  const [command, ...args] = [...outer, process.execPath, `${root}/test/sandbox/print-report.ts`];
  const ids = uid === undefined ? {} : { uid, gid: uid };
  const { stdout } = await run(command!, args, { ...ids, cwd: '/', env: { PATH: '/usr/bin:/bin', TMPDIR: '/tmp' } });
  return JSON.parse(stdout) as IsolationReport;
}

async function mayRunAs(t: TestContext, uid: number): Promise<boolean> {
  const reasons = [
    isRoot ? undefined : 'only root can become another user',
    (await isReachableByOthers(process.execPath)) ? undefined : `uid ${uid} cannot reach ${process.execPath}`,
    (await isReachableByOthers(join(root, 'sandbox-images/probe/image.json')))
      ? undefined
      : `uid ${uid} cannot reach ${root}`,
  ].filter((reason) => reason !== undefined);
  if (reasons.length > 0) t.skip(reasons.join('; '));
  return reasons.length === 0;
}

test('this machine is `namespaced`, with every finding named, or says what is missing', async (t) => {
  const pool = await startTestPool();
  try {
    const report = pool.pool.isolation;
    if (pool.skipReason !== undefined) {
      assert.ok(report.advice.length > 0);
      return t.skip(pool.skipReason);
    }
    assert.equal(report.mechanism, 'bubblewrap');
    assert.ok(report.findings.length >= 12 && report.findings.every(({ ok }) => ok));
    assert.match(String(report.filterDigest), /^sha256:[0-9a-f]{64}$/);
    assert.match(String(report.bwrapVersion), /^\d+\.\d+/);
  } finally {
    await pool.close();
  }
});

test('without bubblewrap the level is `process`, consumer code is refused with advice, and weaker images still run', async () => {
  const pool = await startTestPool({ path: await pathWith('prlimit') });
  try {
    const { isolation } = pool.pool;
    assert.equal(isolation.level, 'process');
    assert.equal(isolation.mechanism, 'process');
    assert.match(isolation.advice.join(), /install bubblewrap/);
    await assert.rejects(pool.pool.lease({ kind: 'mischief', party: 'acme' }), (error) => {
      assert.ok(error instanceof PoolRefusal && error.code === 'WEAK_ISOLATION');
      assert.match(
        error.message,
        /offers isolation `process` \(bubblewrap: no bwrap on PATH\), `namespaced` is required; install bubblewrap/,
      );
      return true;
    });
    const frame = await runJob(pool, { kind: 'probe' }, { attempt: 'smoke' });
    const answer = parseJsonPayload(frame.payload)['answer'] as {
      readonly uid: number;
      readonly env: readonly string[];
    };
    assert.equal(frame.type, frameType.RESULT);
    assert.deepEqual(answer.env, ['UV_THREADPOOL_SIZE', 'UV_USE_IO_URING']);
    if (isRoot) assert.notEqual(answer.uid, 0);
  } finally {
    await pool.close();
  }
});

test('a process without namespaces reaches its mounts where they are staged', async () => {
  const pool = await startTestPool({ path: await pathWith('prlimit', 'true') });
  try {
    const worker = await pool.pool.lease({
      kind: 'probe',
      party: 'acme',
      mounts: [{ hostPath: join(root, 'sandbox-images'), guestPath: '/data/images' }],
    });
    const path = worker.pathInWorker('/data/images/probe/image.json');
    assert.ok(path.endsWith('/probe/image.json') && !path.startsWith('/data/'));
    assert.throws(() => worker.pathInWorker('/data/other'), /not mounted/);
    await worker.destroy();
  } finally {
    await pool.close();
  }
});

test('without limits (no prlimit) the jail does not count', async () => {
  const pool = await startTestPool({ path: await pathWith('bwrap').catch(() => folder) });
  try {
    assert.notEqual(pool.pool.isolation.level, 'namespaced');
    assert.match(pool.pool.isolation.advice.join(), /util-linux|bubblewrap/);
  } finally {
    await pool.close();
  }
});

test('level `vm` is the operator’s word and recorded as such, and cannot be had where no worker starts', async () => {
  const pool = await startTestPool({ declaredLevel: 'vm' });
  assert.deepEqual(
    { level: pool.pool.isolation.level, isDeclared: pool.pool.isolation.isDeclared },
    { level: 'vm', isDeclared: true },
  );
  await pool.close();
});

test('another user than root gets the same jail with its own uid', async (t) => {
  if (!(await mayRunAs(t, 65534))) return;
  const report = await reportOf([], 65534);
  const failed = report.findings.filter(({ ok }) => !ok);
  if (failed.some(({ detail }) => /namespace|uid map/.test(detail))) return t.skip(JSON.stringify(failed));
  assert.equal(report.level, 'namespaced', JSON.stringify(failed));
});

test('where user namespaces are off the level falls, and the advice names the cause', async (t) => {
  if (!(await mayRunAs(t, 65534))) return;
  const outer = ['bwrap', '--dev-bind', '/', '/', '--unshare-user', '--disable-userns', '--'];
  const report = await reportOf(outer, 65534).catch((error: Error) => error);
  if (report instanceof Error) return t.skip(`no outer jail: ${report.message.slice(0, 200)}`);
  assert.equal(report.level, 'process');
  assert.match(JSON.stringify(report.findings), /nesting depth|namespace/);
  assert.match(report.advice.join(), /max_user_namespaces/);
});

test('root in a namespace of one uid, who can become nobody else, is told that nothing is safe', async (t) => {
  if (!isRoot) return t.skip('only root can try');
  const outer = ['bwrap', '--dev-bind', '/', '/', '--unshare-user', '--disable-userns', '--'];
  const report = await reportOf(outer, undefined).catch((error: Error) => error);
  if (report instanceof Error) return t.skip(`no outer jail: ${report.message.slice(0, 200)}`);
  assert.equal(report.level, 'none');
});

test('an unreadable staging folder is refused with the reason', async (t) => {
  if (!isRoot) return t.skip('only root drops the uid of its workers');
  const closed = join(folder, 'closed');
  await mkdir(closed);
  await chmod(closed, 0o700);
  await assert.rejects(
    startTestPool({ stageParent: join(closed, 'stage') }),
    /no folder to stage worker files in: .*cannot reach it/,
  );
});

test('workers get ids that exist here: the reserved range, a part of a small one, or none', () => {
  const wanted = { first: 60_706, count: 478 };
  const all = parseIdMap('         0          0 4294967295\n');
  assert.deepEqual(usableIds(all, all, wanted), wanted);
  const small = parseIdMap('0 1000 1\n1 100000 65\n');
  assert.deepEqual(usableIds(small, small, wanted), { first: 34, count: 32 });
  const one = parseIdMap('0 1000 1\n');
  assert.equal(usableIds(one, one, wanted), undefined);
  assert.equal(usableIds(small, one, wanted), undefined);
});

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { registerFiles } from '../../runtime/client/upload.ts';
import { connectionsWithin, workersWithin } from '../../runtime/rpc/connection-room.ts';
import { ANSWER, QUESTION, rowsOf, visitsCsv, visitsPolicy } from '../gateway/world.ts';
import { writeFileSync } from 'node:fs';

const MAIN = join(import.meta.dirname, '..', '..', 'runtime', 'cli', 'main.ts');
/** Far fewer than the connections that come. */
const DESCRIPTORS = 400;

// A gateway in a process of its own, as operators start it, that may open few files.
describe('a gateway with 400 descriptors', () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-fds-'));
  const data = join(folder, 'data');
  let child: ChildProcess;
  let port = 0;
  let owner: Glovebox;
  let acme: Glovebox;

  before(async () => {
    const flags = `serve --data '${data}' --listen 127.0.0.1:0 --log-file '${join(folder, 'log')}' --json`;
    const command = `ulimit -n ${DESCRIPTORS}; exec '${process.execPath}' --disable-warning=ExperimentalWarning '${MAIN}' ${flags}`;
    const env = { ...process.env, GLOVEBOX_RPC_KEEPALIVE_MS: '1000', GLOVEBOX_RPC_KEEPALIVE_TIMEOUT_MS: '1000' };
    child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'], env });
    assert.ok(child.stdout);
    for await (const line of createInterface({ input: child.stdout })) {
      const { address, credential } = JSON.parse(line) as { address: string; credential: string };
      port = Number(address.split(':')[1]);
      owner = connect({ credential, server: address });
      break;
    }
    const file = join(folder, 'visits.csv');
    writeFileSync(file, visitsCsv());
    for await (const event of registerFiles(owner.catalogue, { name: 'visits' }, [{ path: file }])) assert.ok(event);
    await owner.policies.attach({ document: visitsPolicy({ count: 1000 }) });
    const { credential } = await owner.parties.add({ name: 'acme', roles: ['consumer'] });
    writeFileSync(join(folder, 'acme.json'), credential);
    acme = connect({ credential: join(folder, 'acme.json'), server: `127.0.0.1:${port}` });
    const { agreement } = await owner.agreements.offer({ dataset: 'visits', consumer: 'acme' });
    await acme.agreements.accept({ id: agreement?.id ?? '' });
    await ask();
  });
  after(async () => {
    acme.close();
    owner.close();
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  });

  async function ask(): Promise<void> {
    const outcome = await acme.jobs.sql(QUESTION);
    assert.ok(outcome.kind === 'released');
    assert.deepEqual(rowsOf(outcome.table), ANSWER);
  }

  const descriptors = (): number => readdirSync(`/proc/${child.pid ?? 0}/fd`).length;
  const residentMiB = (): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid ?? 0}/status`, 'latin1'))?.[1]) / 1024;

  it('says at start that it takes fewer connections, and why', () => {
    const log = readFileSync(join(folder, 'log'), 'utf8');
    assert.match(log, /"descriptors":400.*raise the limit of open files/);
  });

  it('answers rightly while 10,000 connections do nothing, and is as before when they are gone', async () => {
    const before = { descriptors: descriptors(), residentMiB: residentMiB() };
    const idle: net.Socket[] = [];
    for (let batch = 0; batch < 20; batch++) {
      const fresh = Array.from({ length: 500 }, () => net.connect(port, '127.0.0.1').on('error', () => {}));
      await Promise.all(fresh.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
      idle.push(...fresh);
      if (batch % 5 === 4) await ask();
      assert.ok(descriptors() < DESCRIPTORS, `${descriptors()} descriptors`);
    }
    // A party that comes now for the first time is let in, too.
    const late = connect({ credential: join(folder, 'acme.json'), server: `127.0.0.1:${port}` });
    await late.parties.whoAmI({});
    late.close();
    for (const socket of idle) socket.destroy();
    await until(
      () => descriptors() <= before.descriptors + 8,
      () => `${descriptors()} descriptors, ${before.descriptors} before`,
    );
    await ask();
    assert.ok(residentMiB() - before.residentMiB < 150, `${before.residentMiB} MiB before, ${residentMiB()} after`);
    const [budget] = (await acme.budgets.get({ dataset: 'visits' })).budgets;
    assert.equal(budget?.uses, 6n);
    assert.equal(budget?.usesReserved, 0n);
  });

  it('lets go of a client that is there and says nothing any more', async () => {
    const before = descriptors();
    const words = ['top', '--json', '--as', join(data, 'operator.credential.json'), '--server', `127.0.0.1:${port}`];
    const frozen = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(frozen.stdout, 'data');
      await until(
        () => descriptors() > before,
        () => 'it never connected',
      );
      frozen.kill('SIGSTOP'); // the machine answers for its connection, the process does not
      await until(
        () => descriptors() <= before,
        () => `${descriptors()} descriptors, ${before} before`,
      );
      await ask();
    } finally {
      const gone = once(frozen, 'exit');
      frozen.kill('SIGKILL');
      await gone;
    }
  });
});

it('connections leave descriptors for jobs, whatever the limits say', () => {
  const limits = { maxConnections: 4096, maxSilentConnections: 512, maxConnectionsPerParty: 512 };
  assert.deepEqual(connectionsWithin(limits, Infinity, 8), limits);
  assert.deepEqual(connectionsWithin(limits, 65_536, 8), limits);
  const fewer = { maxConnections: 800, maxSilentConnections: 200, maxConnectionsPerParty: 400 };
  assert.deepEqual(connectionsWithin(limits, 1024, 8), fewer);
  const least = { maxConnections: 16, maxSilentConnections: 4, maxConnectionsPerParty: 8 };
  assert.deepEqual(connectionsWithin(limits, 64, 8), least);
  assert.ok(existsSync('/proc/self/limits'));
});

it('workers leave descriptors for each other, and there is one at least', () => {
  assert.equal(workersWithin(8, Infinity), 8);
  assert.equal(workersWithin(68, 1024), 68);
  assert.equal(workersWithin(68, 256), 9);
  assert.equal(workersWithin(68, 64), 1);
});

it('a gateway that may open too few files for a worker says so and how many, before it serves', () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-few-'));
  const command = `ulimit -n 128; exec '${process.execPath}' --disable-warning=ExperimentalWarning '${MAIN}' serve --data '${folder}' --listen 127.0.0.1:0`;
  const { status, stderr, stdout } = spawnSync('sh', ['-c', command], { encoding: 'utf8', timeout: 60_000 });
  rmSync(folder, { recursive: true, force: true });
  assert.equal(status, 3, stderr);
  assert.match(stderr, /this process may open 128 files and needs 256 at least: raise the limit/);
  assert.equal(stdout, '');
});

/** Looks again until it is so; fails after two minutes with what is instead. */
async function until(isSo: () => boolean, what: () => string): Promise<void> {
  for (let tries = 0; tries < 2400; tries++) {
    if (isSo()) return;
    await delay(50);
  }
  assert.fail(what());
}

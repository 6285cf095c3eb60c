import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { openStore } from '../../runtime/store/store.ts';
import { CREDIT, dataDirectory } from './world.ts';

for (const point of [
  'transact:expect@3',
  'transact:put@5',
  'transact:put@6',
  'transact:topUp@3',
  'transact:record@3',
  'transact:remove@3',
  'sealed@4',
  'committed@4',
])
  test(`killed at '${point}': a change of agreement, credit, settlement and log is whole or was never begun`, async (t) => {
    const path = dataDirectory(t);
    const entry = new URL('./crash-transact-child.ts', import.meta.url).pathname;
    const env = { ...process.env, GLOVEBOX_TEST_FAILPOINT: point };
    const child = spawn(process.execPath, [entry, path], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    assert.equal(await new Promise((resolve) => child.once('close', (_, signal) => resolve(signal))), 'SIGKILL');
    const acknowledged = said.split('\n').length - 1;

    const store = await openStore({ path, clock: () => 1 });
    t.after(() => store.close());
    const settled = (await store.list('settlement')).length;
    // Killed between its commit and the answer, one more is there than was said.
    assert.ok(settled === acknowledged || settled === acknowledged + 1, `${settled} after ${acknowledged}`);
    assert.equal((await store.balance(CREDIT)).toppedUp, BigInt(settled));
    assert.equal((await store.positionsOf('agreement.activated', 1000)).length, settled);
    assert.deepEqual(
      (await store.list('agreement')).map(({ id }) => id),
      settled === 0 ? [] : [`a-${settled - 1}`],
    );
  });

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { StoreFault } from '../../runtime/store/fault.ts';
import { openStore, type Store } from '../../runtime/store/store.ts';
import { admit, dataDirectory, EPSILON, NOW, openWorld, releaseInput, reserveInput } from './world.ts';

const LINES = [{ budget: EPSILON, amount: 1n, limit: 10n }];

/** A store whose thread fails at a step as if the disk had refused. */
async function failingStore(t: TestContext, path: string, failpoint: string): Promise<Store> {
  process.env['GLOVEBOX_TEST_FAILPOINT'] = failpoint;
  process.env['GLOVEBOX_TEST_FAILURE'] = 'throw';
  t.after(() => {
    delete process.env['GLOVEBOX_TEST_FAILPOINT'];
    delete process.env['GLOVEBOX_TEST_FAILURE'];
  });
  const store = await openStore({
    path,
    clock: () => NOW,
    workerEntry: new URL('./failpoint-worker.ts', import.meta.url),
  });
  t.after(() => store.close());
  await admit(store);
  return store;
}

for (const step of ['release:committed', 'release:recorded', 'release:metered', 'release:ticket', 'release:job']) {
  test(`a release that fails at '${step}' leaves no trace, and the calls that share its commit go through`, async (t) => {
    const store = await failingStore(t, dataDirectory(t), `${step}@1`);
    await store.reserve(reserveInput('j1', LINES));
    const [failed, other] = await Promise.allSettled([
      store.commitRelease(releaseInput('j1')),
      store.reserve(reserveInput('j2', LINES)),
    ]);
    assert.ok(
      failed.status === 'rejected' &&
        failed.reason instanceof StoreFault &&
        failed.reason.code === 'state-write-failed',
    );
    assert.ok(other.status === 'fulfilled' && other.value.kind === 'reserved');
    assert.deepEqual(await store.balance(EPSILON), { spent: 0n, held: 2n, toppedUp: 0n });
    assert.equal((await store.list('ticket')).length, 0);
    assert.equal((await store.positionsOf('release', 10)).length, 0);
    const again = await store.commitRelease(releaseInput('j1'));
    assert.ok(again.kind === 'released' && !again.already);
  });
}

test('after a commit that failed the state is opened anew, with all checks, before anything is answered', async (t) => {
  const store = await failingStore(t, dataDirectory(t), 'sealed@3'); // 1: admit, 2: reserve, 3: release
  await store.reserve(reserveInput('j1', LINES));
  await assert.rejects(store.commitRelease(releaseInput('j1')), { name: 'StoreFault', code: 'state-write-failed' });
  // What was running is over: its result may not leave any more, and its budget stays spent.
  const late = await store.commitRelease(releaseInput('j1'));
  assert.deepEqual(late, { kind: 'refused', reason: { code: 'wrong-state', state: 'failed' } });
  assert.deepEqual((await store.job('j1'))?.body.reasons, ['interrupted']);
  assert.deepEqual(await store.balance(EPSILON), { spent: 1n, held: 0n, toppedUp: 0n });
  assert.equal((await store.list('ticket')).length, 0);
  assert.equal((await store.reserve(reserveInput('j2', LINES))).kind, 'reserved');
  assert.equal((await store.commitRelease(releaseInput('j2'))).kind, 'released');
  assert.equal(store.peek('party', 'acme')?.state, 'admitted');
});

test('a disk that refuses every write is answered with a fault each time, and a new start finds the state before it', async (t) => {
  const path = dataDirectory(t);
  const store = await failingStore(t, path, 'sealed@3+,recovered@2+');
  await store.reserve(reserveInput('j1', LINES));
  const fails = (call: Promise<unknown>): Promise<void> =>
    assert.rejects(call, { name: 'StoreFault', code: 'state-write-failed' });
  await fails(store.commitRelease(releaseInput('j1')));
  await fails(store.reserve(reserveInput('j2', LINES)));
  await fails(store.reserve(reserveInput('j3', LINES)));
  await store.close();
  const next = await openStore({ path, clock: () => NOW });
  t.after(() => next.close());
  assert.equal(next.recovered.interruptedJobs, 1);
  assert.deepEqual((await next.job('j1'))?.body.reasons, ['interrupted']);
  assert.deepEqual(await next.balance(EPSILON), { spent: 1n, held: 0n, toppedUp: 0n });
  assert.equal(await next.job('j2'), undefined);
});

test('a clock that was set back is reported at the next start, and the state keeps to its own time', async (t) => {
  const path = dataDirectory(t);
  await (await openWorld(t, path)).close();
  const store = await openStore({ path, clock: () => NOW - 5000 });
  t.after(() => store.close());
  assert.equal(store.recovered.clockBehindMs, 5000);
});

test('a store thread that dies refuses every call instead of leaving it waiting', async (t) => {
  const store = await failingStore(t, dataDirectory(t), 'answered@2');
  // its last answer and its end come by different ways: either may be first
  await store.reserve(reserveInput('j1', LINES)).catch((error: unknown) => {
    assert.ok(error instanceof StoreFault && error.code === 'state-closed');
  });
  await assert.rejects(store.reserve(reserveInput('j2', LINES)), { name: 'StoreFault', code: 'state-closed' });
});

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { StoreFault } from '../../runtime/store/fault.ts';
import { openStore } from '../../runtime/store/store.ts';
import {
  admit,
  COUNT,
  CREDIT,
  dataDirectory,
  EPSILON,
  event,
  newJob,
  NOW,
  openWorld,
  releaseInput,
  reserveInput,
} from './world.ts';

test('a job reserves, releases, and its receipt verifies with nothing but the public key', async (t) => {
  const store = await openWorld(t);
  const reserved = await store.reserve(reserveInput('j1', [{ budget: EPSILON, amount: 500_000n, limit: 4_000_000n }]));
  assert.equal(reserved.kind, 'reserved');
  assert.deepEqual(await store.balance(EPSILON), { spent: 0n, held: 500_000n, toppedUp: 0n });
  const released = await store.commitRelease(releaseInput('j1'));
  assert.ok(released.kind === 'released' && !released.already);
  assert.deepEqual(await store.balance(EPSILON), { spent: 500_000n, held: 0n, toppedUp: 0n });
  const verdict = verifyReceipt(released.receipts.at(-1) ?? '', store.verifierKey);
  assert.ok(verdict.kind === 'verified');
  assert.equal(verdict.event.kind, 'release');
  assert.equal((await store.job('j1'))?.state, 'released');
});

test('releasing twice spends once and gives the same evidence again', async (t) => {
  const store = await openWorld(t);
  await store.reserve(reserveInput('j1', [{ budget: EPSILON, amount: 1n, limit: 10n }]));
  const first = await store.commitRelease(releaseInput('j1'));
  const again = await store.commitRelease(releaseInput('j1'));
  assert.ok(first.kind === 'released' && again.kind === 'released' && again.already);
  assert.deepEqual(again.evidence.slice(-2), first.evidence);
  assert.equal((await store.balance(EPSILON)).spent, 1n);
  assert.equal((await store.list('usage')).length, 1);
});

test('of 200 parallel last uses exactly as many succeed as are left', async (t) => {
  const store = await openWorld(t);
  const lines = [{ budget: COUNT, amount: 1n, limit: 7n, windowMs: 3_600_000 }];
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) => store.reserve(reserveInput(`j${index}`, lines))),
  );
  assert.equal(answers.filter((answer) => answer.kind === 'reserved').length, 7);
  const refused = answers.find((answer) => answer.kind === 'exhausted');
  assert.deepEqual(refused, { kind: 'exhausted', budget: COUNT, limit: 7n, spent: 7n, asked: 1n });
  assert.equal((await store.jobs()).length, 7);
});

test('a job that the budget cannot bear leaves no trace: no job, no evidence, no other budget touched', async (t) => {
  const store = await openWorld(t);
  const before = await store.checkpoint();
  const answer = await store.reserve(
    reserveInput('j1', [
      { budget: EPSILON, amount: 1n, limit: 5n },
      { budget: COUNT, amount: 1n, limit: 0n },
    ]),
  );
  assert.equal(answer.kind, 'exhausted');
  assert.equal(await store.job('j1'), undefined);
  assert.deepEqual(await store.balance(EPSILON), { spent: 0n, held: 0n, toppedUp: 0n });
  assert.equal(await store.checkpoint(), before);
});

test('a question that was answered before reserves nothing and leaves no trace, however it is asked', async (t) => {
  const store = await openWorld(t);
  const lines = [{ budget: COUNT, amount: 1n, limit: 5n }];
  const question = {
    table: 'question',
    id: 'q1',
    owner: '',
    state: 'answered',
    atMs: NOW,
    body: { job: 'j1' },
  } as const;
  const before = { ...reserveInput('j1', lines), unlessAnswered: 'q1' };
  assert.equal((await store.reserve(before)).kind, 'reserved', 'nobody has answered it');
  await store.commitRelease({ ...releaseInput('j1'), records: [question] });
  const checkpoint = await store.checkpoint();
  for (const again of [
    await store.reserve({ ...reserveInput('j2', lines), unlessAnswered: 'q1' }),
    await store.hold({ ...reserveInput('j3', lines), unlessAnswered: 'q1' }),
  ])
    assert.equal(again.kind, 'answered');
  assert.equal((await store.balance(COUNT)).held, 0n);
  assert.deepEqual([await store.job('j2'), await store.job('j3')], [undefined, undefined]);
  assert.equal((await store.checkpoint()).split('\n')[1], checkpoint.split('\n')[1], 'the log has not grown');
  assert.equal((await store.reserve(reserveInput('j4', lines))).kind, 'reserved', 'whoever does not ask, pays');
});

test('a sliding window gives uses back when they grow old, and a clock set back gives none', async (t) => {
  let now = NOW;
  const store = await openWorld(t, dataDirectory(t), () => now);
  const lines = [{ budget: COUNT, amount: 1n, limit: 2n, windowMs: 1000 }];
  const use = async (id: string): Promise<string> => {
    const answer = await store.reserve(reserveInput(id, lines));
    if (answer.kind === 'reserved') await store.commitRelease({ ...releaseInput(id) });
    return answer.kind;
  };
  assert.equal(await store.oldestUse(COUNT, 1000), null);
  assert.equal(await use('a'), 'reserved');
  now += 600;
  assert.equal(await use('b'), 'reserved');
  now -= 600_000;
  assert.equal(await use('c'), 'exhausted');
  now = NOW + 999;
  assert.equal(await use('d'), 'exhausted');
  assert.equal(await store.oldestUse(COUNT, 1000), NOW);
  now = NOW + 1000;
  assert.equal(await use('e'), 'reserved');
  assert.equal(await store.oldestUse(COUNT, 1000), NOW + 600);
  assert.equal(await use('f'), 'exhausted');
  // A wider window counts again what the narrower one had let go.
  assert.deepEqual((await store.balance(COUNT, 10_000)).spent, 3n);
});

test('a window counts what was spent before anything limited it by one', async (t) => {
  let now = NOW;
  const store = await openWorld(t, dataDirectory(t), () => now);
  for (const budget of [COUNT, EPSILON]) {
    const ask = async (id: string, windowMs?: number): Promise<string> => {
      const line = { budget, amount: 2n, limit: 4n, ...(windowMs === undefined ? {} : { windowMs }) };
      const answer = await store.reserve(reserveInput(`${budget}-${id}`, [line]));
      if (answer.kind === 'reserved') await store.commitRelease({ ...releaseInput(`${budget}-${id}`) });
      return answer.kind;
    };
    assert.equal(await ask('a'), 'reserved');
    now += 100;
    assert.equal(await ask('b'), 'reserved');
    assert.equal(await ask('c', 1000), 'exhausted');
    now += 900;
    assert.equal(await ask('d', 1000), 'reserved');
    assert.equal(await ask('e', 2000), 'exhausted');
    // Spent under no window while one is kept: both know of it.
    assert.deepEqual((await store.balance(budget, 1000)).spent, 4n);
    assert.deepEqual((await store.balance(budget)).spent, 6n);
  }
});

test('only the unused part of a measured budget goes back at release', async (t) => {
  const store = await openWorld(t);
  const lines = [
    { budget: EPSILON, amount: 10n, limit: 10n },
    { budget: CREDIT, amount: 100n, limit: 100n, returnsUnused: true },
  ];
  await store.reserve(reserveInput('j1', lines));
  await store.commitRelease({
    ...releaseInput('j1'),
    used: [
      [EPSILON, 2n],
      [CREDIT, 30n],
    ],
  });
  assert.equal((await store.balance(EPSILON)).spent, 10n);
  assert.deepEqual(await store.balance(CREDIT), { spent: 30n, held: 0n, toppedUp: 0n });
});

test('a failed job gets its budget back only if it never started', async (t) => {
  const store = await openWorld(t);
  const lines = [{ budget: EPSILON, amount: 3n, limit: 10n }];
  await store.reserve(reserveInput('early', lines, false));
  const early = await store.failJob({
    jobId: 'early',
    state: 'cancelled',
    reason: 'cancelled',
    events: [event('job.cancelled', 'early')],
  });
  assert.ok(early.kind === 'ended' && early.reservation === 'returned');
  await store.reserve(reserveInput('late', lines, false));
  assert.equal((await store.startJob('late')).kind, 'started');
  const late = await store.failJob({
    jobId: 'late',
    state: 'failed',
    reason: 'timeout',
    events: [event('job.failed', 'late')],
  });
  assert.ok(late.kind === 'ended' && late.reservation === 'committed');
  assert.deepEqual(await store.balance(EPSILON), { spent: 3n, held: 0n, toppedUp: 0n });
});

test('nothing is released under a suspended agreement, an exited party, a passed end or a thrown switch', async (t) => {
  let now = NOW;
  const store = await openWorld(t, dataDirectory(t), () => now);
  const lines = [{ budget: EPSILON, amount: 1n, limit: 10n }];
  for (const id of ['j1', 'j2'])
    await store.reserve({ ...reserveInput(id, lines), job: { ...newJob(id), notAfterMs: NOW + 50 } });
  const set = (table: 'agreement' | 'party' | 'switch', id: string, state: string): Promise<unknown> =>
    store.put({ table, id, owner: '', state, atMs: NOW, body: {} });
  const attempt = async (): Promise<string> => {
    const outcome = await store.commitRelease(releaseInput('j1'));
    return outcome.kind === 'refused' ? outcome.reason.code : outcome.kind;
  };
  await set('agreement', 'a1', 'suspended');
  assert.equal(await attempt(), 'agreement-not-active');
  await set('agreement', 'a1', 'active');
  await set('party', 'acme', 'suspended');
  assert.equal(await attempt(), 'party-not-admitted');
  await set('party', 'acme', 'admitted');
  for (const scope of ['all', 'dataset/visits', 'agreement/a1', 'party/acme']) {
    await set('switch', scope, 'on');
    assert.equal(await attempt(), 'stopped');
    await set('switch', scope, 'off');
  }
  assert.equal(await attempt(), 'released');
  const ticket = { digest: releaseInput('j1').ticket?.digest ?? '', party: 'acme' };
  await set('switch', 'all', 'on');
  assert.deepEqual(await store.redeemTicket(ticket), { kind: 'refused', reason: 'stopped' });
  await set('switch', 'all', 'off');
  now += 50;
  const late = await store.commitRelease(releaseInput('j2'));
  assert.deepEqual(late, { kind: 'refused', reason: { code: 'agreement-ended' } });
});

test('a job id that another party uses is refused, and shows nothing of that job', async (t) => {
  const store = await openWorld(t);
  await store.put({ table: 'party', id: 'other', owner: '', state: 'admitted', atMs: NOW, body: {} });
  await store.reserve(reserveInput('j1', []));
  const mine = await store.reserve(reserveInput('j1', []));
  assert.ok(mine.kind === 'known' && mine.job.id === 'j1');
  const theirs = await store.reserve({ ...reserveInput('j1', []), job: { ...newJob('j1'), party: 'other' } });
  assert.deepEqual(theirs, { kind: 'refused', reason: { code: 'wrong-state', state: 'taken' } });
});

test('a ticket works once, for its own party, until it expires', async (t) => {
  let now = NOW;
  const store = await openWorld(t, dataDirectory(t), () => now);
  for (const id of ['j1', 'j2']) {
    await store.reserve(reserveInput(id, []));
    await store.commitRelease(releaseInput(id));
  }
  const digest = releaseInput('j1').ticket?.digest ?? '';
  assert.deepEqual(await store.redeemTicket({ digest, party: 'other' }), { kind: 'refused', reason: 'unknown' });
  const both = await Promise.all([
    store.redeemTicket({ digest, party: 'acme' }),
    store.redeemTicket({ digest, party: 'acme' }),
  ]);
  assert.deepEqual(both, [
    { kind: 'redeemed', job: 'j1', result: null },
    { kind: 'refused', reason: 'used' },
  ]);
  now += 60_000;
  const other = releaseInput('j2').ticket?.digest ?? '';
  assert.deepEqual(await store.redeemTicket({ digest: other, party: 'acme' }), { kind: 'refused', reason: 'expired' });
});

test('a release or a denial without its evidence is a fault, and changes nothing', async (t) => {
  const store = await openWorld(t);
  await store.reserve(reserveInput('j1', [{ budget: EPSILON, amount: 1n, limit: 1n }]));
  await assert.rejects(
    store.commitRelease({ ...releaseInput('j1'), events: [event('decision', 'j1')] }),
    isFault('state-misuse'),
  );
  await assert.rejects(store.recordDenial({ job: newJob('j2'), reasons: ['x'], events: [] }), isFault('state-misuse'));
  assert.equal((await store.job('j1'))?.state, 'running');
  assert.equal(await store.job('j2'), undefined);
  assert.equal((await store.balance(EPSILON)).held, 1n);
});

test('evidence that could hold free text is refused, and one bad call does not spoil its neighbours', async (t) => {
  const store = await openWorld(t);
  const bad = { ...event('decision', 'bad'), facts: { reason: 'patient John Smith, 42' } };
  const [good, refused] = await Promise.allSettled([
    store.recordDenial({ job: newJob('good'), reasons: ['small-groups'], events: [event('decision', 'good')] }),
    store.recordDenial({ job: newJob('bad'), reasons: ['small-groups'], events: [bad] }),
  ]);
  assert.equal(good.status, 'fulfilled');
  assert.ok(refused.status === 'rejected' && isFault('state-misuse')(refused.reason));
  assert.equal((await store.job('good'))?.state, 'denied');
  assert.equal(await store.job('bad'), undefined);
});

test('a top-up adds to the limit once, whatever is replayed', async (t) => {
  const store = await openWorld(t);
  const step = { do: 'topUp', id: 'nonce-1', budget: CREDIT, amount: 5n, body: { by: 'p:1' } } as const;
  assert.equal((await store.transact([step, { do: 'record', event: event('budget.toppedUp', 'x') }])).kind, 'done');
  assert.equal((await store.transact([step])).kind, 'refused');
  assert.deepEqual(await store.balance(CREDIT), { spent: 0n, held: 0n, toppedUp: 5n });
  assert.equal((await store.reserve(reserveInput('j1', [{ budget: CREDIT, amount: 5n, limit: 0n }]))).kind, 'reserved');
});

test('what is added to a limit with a window is added once, not to every window to come', async (t) => {
  let now = NOW;
  const path = dataDirectory(t);
  let store = await openWorld(t, path, () => now);
  let asked = 0;
  const use = async (): Promise<string> => {
    const id = `job-${asked++}`;
    const answer = await store.reserve(reserveInput(id, [{ budget: EPSILON, amount: 1n, limit: 1n, windowMs: 1000 }]));
    if (answer.kind === 'reserved') await store.commitRelease({ ...releaseInput(id) });
    return answer.kind;
  };
  assert.equal(await use(), 'reserved');
  assert.equal(await use(), 'exhausted');
  now += 100;
  await store.transact([{ do: 'topUp', id: 'nonce-1', budget: EPSILON, amount: 1n, body: { order: '{}' } }]);
  // As orders were kept before the amount stood beside them.
  const order = { order: JSON.stringify({ amount: '1' }), signature: '' };
  const record = { table: 'topUp', id: 'older', owner: EPSILON, state: 'applied', atMs: now, body: order } as const;
  await store.transact([{ do: 'put', record }]);
  assert.equal((await store.balance(EPSILON, 1000)).toppedUp, 2n);
  assert.deepEqual([await use(), await use(), await use()], ['reserved', 'reserved', 'exhausted']);
  now = NOW + 1000;
  assert.deepEqual([await use(), await use()], ['reserved', 'exhausted'], 'the first use is a window old');
  now = NOW + 1100;
  assert.deepEqual([await use(), (await store.balance(EPSILON, 1000)).toppedUp], ['exhausted', 0n]);
  now = NOW + 3000;
  await store.close();
  store = await openStore({ path, clock: () => now });
  t.after(() => store.close());
  assert.deepEqual([await use(), await use()], ['reserved', 'exhausted'], 'as the policy says, and no more');
  assert.equal((await store.balance(EPSILON)).toppedUp, 1n, 'a limit for good keeps what was added');
});

test('a transaction whose expectation fails changes nothing', async (t) => {
  const store = await openWorld(t);
  const record = { table: 'policy', id: 'p1', owner: 'visits', state: 'attached', atMs: NOW, body: {} } as const;
  const outcome = await store.transact([
    { do: 'put', record },
    { do: 'expect', table: 'agreement', id: 'a1', state: 'suspended' },
  ]);
  assert.deepEqual(outcome, { kind: 'refused', step: 1, found: 'active' });
  assert.equal(store.peek('policy', 'p1'), undefined);
  assert.equal(await store.get('policy', 'p1'), undefined);
});

test('two processes or threads cannot open the same data directory', async (t) => {
  const path = dataDirectory(t);
  const store = await openWorld(t, path);
  await assert.rejects(openStore({ path, clock: () => NOW }), isFault('state-locked'));
  await store.close();
  const again = await openStore({ path, clock: () => NOW });
  t.after(() => again.close());
  assert.equal(again.peek('agreement', 'a1')?.state, 'active');
});

test('nobody else can read the state: folders 0700, files 0600', async (t) => {
  const path = dataDirectory(t);
  const store = await openWorld(t, path);
  await store.publishEvidence();
  for (const folder of ['state', 'keys', 'evidence']) assert.equal(statSync(join(path, folder)).mode & 0o777, 0o700);
  for (const file of ['state/glovebox.db', 'state/glovebox.db-wal', 'keys/evidence.pem', 'evidence/checkpoint']) {
    assert.equal(statSync(join(path, file)).mode & 0o777, 0o600, file);
  }
});

test('after close every call is refused, and what was written is there at the next start', async (t) => {
  const path = dataDirectory(t);
  const store = await openWorld(t, path);
  await admit(store);
  const pending = store.reserve(reserveInput('j1', [{ budget: EPSILON, amount: 2n, limit: 4n }], false));
  await store.close();
  assert.equal((await pending).kind, 'reserved');
  await assert.rejects(store.checkpoint(), isFault('state-closed'));
});

function isFault(code: StoreFault['code']): (error: unknown) => boolean {
  return (error) => error instanceof StoreFault && error.code === code;
}

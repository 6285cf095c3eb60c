import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasEnded } from '../../runtime/client/jobs.ts';
import type { Job } from '../../runtime/gen/messages.ts';
import { runJob } from '../../runtime/job/run-job.ts';
import { TICKET_LIFE_MS } from '../../runtime/job/record.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import type { JobNeeds } from '../../runtime/job/needs.ts';
import { newJob, startJobWorld } from '../job/world.ts';
import { POLICY, addDataset, COUNT_QUERY, runtimeWorld, VISITS } from './runtime-world.ts';

test('jobs as their party is told of them', async (t) => {
  await using world = await runtimeWorld();
  const { store } = world.runtime;
  const hospital = await world.party('hospital', ['provider']);
  const acme = await world.party('acme', ['consumer']);
  await addDataset(world, hospital, 'visits', VISITS);
  await hospital.policies.attach({ document: POLICY(), fileName: 'p.yaml' });
  const { agreement } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'acme' });
  const agreementId = agreement?.id ?? '';
  await acme.agreements.accept({ id: agreementId });
  const job = { computation: { kind: 'sql' as const, sql: { text: COUNT_QUERY } } };
  const isTicketGood = (ticket: Uint8Array | null | undefined): Promise<boolean> =>
    acme.readTable(ticket ?? new Uint8Array()).then(
      ({ numRows }) => numRows > 0,
      () => false,
    );

  await t.test('the last message of a watch carries a ticket of its own', async () => {
    const started = (await acme.jobs.submit({ job })).job;
    const watched = async (client: typeof acme): Promise<Job | null> => {
      let last: Job | null = null;
      for await (const message of client.jobs.watch({ id: started?.id ?? '' })) last = message.job;
      return last;
    };
    const [one, two, operators] = await Promise.all([watched(acme), watched(acme), watched(world.operator)]);
    assert.equal(one?.state, 'released');
    assert.ok(one.receipt);
    assert.notDeepEqual(one.ticket, two?.ticket);
    assert.equal(operators?.state, 'released');
    assert.equal(operators.ticket, null, 'an operator fetches no results');
    assert.deepEqual([await isTicketGood(one.ticket), await isTicketGood(two?.ticket)], [true, true]);
    assert.equal(await isTicketGood(one.ticket), false, 'a ticket works once');
  });

  await t.test('what a waiting submit answers is what is on record', async () => {
    const { job: answered } = await acme.jobs.submit({ job, wait: true });
    const { job: shown } = await acme.jobs.get({ id: answered?.id ?? '' });
    assert.ok(answered && shown);
    const without = (message: Job): object => ({ ...message, ticket: null, ticketExpiresAtMs: null, receipt: null });
    assert.deepEqual(without(answered), without(shown));
    assert.equal(answered.receipt?.logIndex, shown.receipt?.logIndex);
  });

  await t.test('the end is told with its slot, not to the millisecond', async () => {
    for (const text of [COUNT_QUERY, 'select 1 +', 'select max(cost) from visits']) {
      const outcome = await acme.jobs.sql(text);
      const { id, submittedAtMs, endedAtMs } = outcome.job;
      assert.ok(endedAtMs !== null && hasEnded(outcome.job));
      const exact = (await store.job(id))?.body.endedAtMs ?? 0;
      assert.ok(endedAtMs >= exact && endedAtMs > submittedAtMs, 'never before it ended');
      let slot = 5;
      while (Math.ceil(slot) < endedAtMs - submittedAtMs) slot *= 1.08;
      assert.equal(endedAtMs - submittedAtMs, Math.ceil(slot));
    }
  });

  await t.test('the reasons of a refusal are told in full later, too', async () => {
    const outcome = await acme.jobs.sql('select max(cost) from visits');
    assert.ok(outcome.kind === 'refused');
    const { job: shown } = await acme.jobs.get({ id: outcome.job.id });
    assert.deepEqual(shown?.reasons, outcome.reasons);
    assert.notEqual(shown.reasons[0]?.message, shown.reasons[0]?.code);
  });

  await t.test('tickets are forgotten some time after they expired, and not before', async () => {
    const { job: released } = await acme.jobs.submit({ job, wait: true });
    for (let more = 0; more < 3; more += 1) await acme.jobs.get({ id: released?.id ?? '' });
    const kept = (await store.list('ticket')).length;
    assert.ok(kept >= 4);
    world.pass(TICKET_LIFE_MS + 1000);
    await world.runtime.gateway.sweep();
    assert.equal((await store.list('ticket')).length, kept, 'a clock that was behind may still bring them back');
    assert.equal(await isTicketGood(released?.ticket), false);
    world.pass(TICKET_LIFE_MS);
    await world.runtime.gateway.sweep();
    assert.deepEqual(await store.list('ticket'), []);
    const { job: again } = await acme.jobs.get({ id: released?.id ?? '' });
    assert.equal(await isTicketGood(again?.ticket), true, 'the result is still there');
  });

  await t.test(
    'an agreement that is over shows its consumer neither schema nor policy, and its receipts still',
    async () => {
      const { job: released } = await acme.jobs.submit({ job, wait: true });
      assert.equal((await acme.catalogue.get({ name: 'visits' })).dataset?.name, 'visits');
      assert.ok((await acme.policies.get({ dataset: 'visits' })).policy);
      await hospital.agreements.terminate({ id: agreementId });
      await assert.rejects(acme.catalogue.get({ name: 'visits' }), /no dataset/);
      assert.deepEqual((await acme.catalogue.list({})).datasets, []);
      await assert.rejects(acme.policies.get({ dataset: 'visits' }), /no policy/);
      assert.ok((await acme.jobs.get({ id: released?.id ?? '' })).job?.receipt);
    },
  );
});

test('what is recorded of a job that read rows is recorded at the end of its slot, after the wait and not before', async () => {
  await using world = await startJobWorld();
  const slotMs = 60_000;
  for (const text of ['released', 'failed'] as const) {
    let waited = 0;
    const stages: string[] = [];
    const nowMs = (): number => Date.now() + waited;
    const broken: Partial<JobNeeds> =
      text === 'failed' ? { openResult: () => Promise.reject(new Error('the worker broke down')) } : {};
    const job = newJob();
    const run = {
      signal: new AbortController().signal,
      report: (stage: string) => void stages.push(stage),
      untilSlot: async (): Promise<void> => {
        assert.equal((await world.store.job(job.id))?.state, 'running', 'nothing of the end is on record yet');
        waited = slotMs;
      },
    };
    const before = Date.now();
    await runJob({ ...world.needs, ...broken, nowMs }, job, run).catch(() => undefined);
    assert.equal(waited, slotMs, 'it waited');
    const record = await world.store.job(job.id);
    assert.equal(record?.state, text);
    const last = await world.store.receipt(record.body.evidence.at(-1) ?? -1);
    const verified = verifyReceipt(last ?? '', world.store.verifierKey);
    assert.ok(verified.kind === 'verified' && verified.event.atMs >= before + slotMs, 'the entry');
    if (text === 'failed') continue;
    for (const { body } of await world.store.list<{ expiresAtMs: number }>('ticket'))
      assert.ok(body.expiresAtMs >= before + slotMs + TICKET_LIFE_MS, 'the ticket');
    for (const { body } of await world.store.list('usage'))
      assert.ok(Date.parse((body as { time: string }).time) >= before + slotMs, 'the usage');
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEntry } from '../../runtime/evidence/entry.ts';
import type { EvidenceEvent } from '../../runtime/evidence/entry.ts';
import { parseVerifierKey } from '../../runtime/evidence/note.ts';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { agreedWorld, COUNT_QUERY, POLICY, type RuntimeWorld, runtimeWorld } from './runtime-world.ts';

/** All of the log, opened with its key. */
async function logOf({ operator }: RuntimeWorld): Promise<readonly EvidenceEvent[]> {
  const key = parseVerifierKey((await operator.evidence.getCheckpoint({})).verifierKey);
  assert.ok(key !== undefined);
  const events: EvidenceEvent[] = [];
  for (let start: bigint | null = 0n; start !== null;) {
    const page = await operator.evidence.listEntries({ start, limit: 1000 });
    for (const { body } of page.entries) {
      const opened = readEntry(body);
      assert.ok(opened.kind === 'entry');
      events.push(opened.event);
    }
    start = page.nextStart;
  }
  return events;
}

const submit = async (
  acme: Glovebox,
  agreement: string,
  wait = true,
): Promise<{ state: string; codes: readonly string[]; id: string }> => {
  const { job } = await acme.jobs.submit({
    job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } }, agreementIds: [agreement] },
    wait,
  });
  assert.ok(job !== null);
  return { state: job.state, codes: job.reasons.map(({ code }) => code), id: job.id };
};

test('enforcement under the plain policy', async (t) => {
  await using world = await runtimeWorld();
  const { acme, hospital, agreement } = await agreedWorld(world);

  await t.test('under load, nothing is released after the log index of the kill switch', async () => {
    await submit(acme, agreement);
    const jobs = Array.from({ length: 40 }, () => submit(acme, agreement).catch(() => null));
    await Promise.race(jobs);
    const { logIndex } = await world.operator.operator.stopAll({ note: 'drill' });
    const states = (await Promise.all(jobs)).map((one) => one?.state);
    const late = await submit(acme, agreement);
    assert.deepEqual([late.state, late.codes], ['denied', ['stopped']]);
    const log = await logOf(world);
    assert.equal(log[Number(logIndex)]?.kind, 'switch');
    const after = log.slice(Number(logIndex)).map(({ kind }) => kind);
    assert.deepEqual(
      after.filter((kind) => kind === 'release' || kind === 'release.fetched'),
      [],
    );
    const released = states.filter((state) => state === 'released').length;
    assert.equal(log.filter(({ kind }) => kind === 'release').length, released + 1);
    assert.ok(released < 40, 'the switch must come while jobs run');
    await world.operator.operator.resumeAll({});
  });

  await t.test('a switch stops its scope and nothing else; providers throw those of what is theirs', async () => {
    const blocked = async (): Promise<boolean> => (await submit(acme, agreement)).codes.includes('stopped');
    const by = { dataset: 'visits', party: 'acme', agreement } as const;
    for (const [kind, who] of [
      ['dataset', hospital],
      ['agreement', hospital],
      ['party', world.operator],
    ] as const) {
      const what = { kind, [kind]: by[kind] } as never;
      await who.operator.stopAll({ scope: { what } });
      assert.deepEqual((await world.operator.operator.status({})).stoppedScopes, [`${kind}/${by[kind]}`]);
      assert.equal(await blocked(), true, kind);
      await who.operator.resumeAll({ scope: { what } });
      assert.equal(await blocked(), false, kind);
    }
    const bank = await world.party('bank', ['provider', 'consumer']);
    const dataset = { what: { kind: 'dataset' as const, dataset: 'visits' } };
    await assert.rejects(bank.operator.stopAll({ scope: dataset }), /no dataset/);
    await assert.rejects(bank.operator.stopAll({}), /may not/);
    await assert.rejects(hospital.operator.stopAll({ scope: { what: { kind: 'party', party: 'acme' } } }), /may not/);
    await assert.rejects(hospital.operator.stopAll({ scope: { what: null } }), /names no/);
    await world.operator.operator.stopAll({ scope: dataset });
    await assert.rejects(hospital.operator.resumeAll({ scope: dataset }), /only they or an operator/);
    await assert.rejects(hospital.operator.stopAll({ scope: dataset }), /already/);
    assert.equal(await blocked(), true);
    await world.operator.operator.resumeAll({ scope: dataset });
  });

  await t.test(
    'an agreement that ends is recorded as expired, and its end holds for results that were not fetched yet',
    async () => {
      const { agreement } = await hospital.agreements.offer({
        dataset: 'visits',
        consumer: 'acme',
        notAfterMs: world.now() + 60_000,
      });
      const id = agreement?.id ?? '';
      await acme.agreements.accept({ id });
      const { job } = await acme.jobs.submit({
        job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } }, agreementIds: [id] },
        wait: true,
      });
      assert.equal(job?.state, 'released');
      world.pass(60_001);
      await world.runtime.gateway.enforce();
      assert.ok((await logOf(world)).some(({ kind }) => kind === 'agreement.expired'));
      assert.equal((await acme.agreements.get({ id })).agreement?.state, 'expired');
      assert.deepEqual((await submit(acme, id)).codes, ['agreement-not-active']);
      await assert.rejects(acme.readTable(job.ticket ?? new Uint8Array()), /ticket/);
    },
  );
});

test('a job whose policy ends while it runs releases nothing', async () => {
  await using world = await runtimeWorld();
  const until = new Date(world.now() + 3_600_000).toISOString();
  const { acme, agreement } = await agreedWorld(world, POLICY(`defaults: { notAfter: "${until}" }`));
  await submit(acme, agreement);
  // The answer of a job is awaited in the middle of it: the clock passes the policy's end before the release.
  const running = submit(acme, agreement);
  world.pass(3_600_001);
  await world.runtime.gateway.enforce();
  const ended = await running;
  assert.notEqual(ended.state, 'released');
  assert.deepEqual((await submit(acme, agreement)).codes, ['too-late']);
  const kinds = (await logOf(world)).map(({ kind }) => kind);
  assert.equal(kinds.filter((kind) => kind === 'release').length, 1);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POLICY, addDataset, COUNT_QUERY, runtimeWorld, VISITS } from './runtime-world.ts';

test('agreements over the wire: offer, counter-offer, acceptance, suspension, end', async (t) => {
  await using world = await runtimeWorld();
  const hospital = await world.party('hospital', ['provider']);
  const acme = await world.party('acme', ['consumer']);
  await addDataset(world, hospital, 'visits', VISITS);
  await hospital.policies.attach({ document: POLICY(), fileName: 'p.yaml' });
  const end = world.now() + 86_400_000;
  const offer = async (onlyAsOffered = false): Promise<string> => {
    const { agreement } = await hospital.agreements.offer({
      dataset: 'visits',
      consumer: 'acme',
      notAfterMs: end,
      onlyAsOffered,
    });
    assert.equal(agreement?.state, 'offered');
    return agreement.id;
  };
  const run = async (agreementId: string): Promise<readonly [string, readonly string[]]> => {
    const { job } = await acme.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } }, agreementIds: [agreementId] },
      wait: true,
    });
    return [job?.state ?? '', job?.reasons.map(({ code }) => code) ?? []];
  };

  await t.test('a counter-offer with a stricter policy is active at once, and its policy governs', async () => {
    const id = await offer();
    const stricter = POLICY().replace('minUnits: 10', 'minUnits: 21');
    const answer = await acme.agreements.counter({ id, policyDocument: stricter, notAfterMs: end - 1000 });
    assert.ok(answer.refines);
    assert.equal(answer.agreement?.state, 'active');
    assert.deepEqual(answer.agreement.acceptedAhead, ['hospital']);
    assert.equal((await hospital.agreements.get({ id })).agreement?.state, 'countered');
    const { job } = await acme.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } }, agreementIds: [answer.agreement.id] },
      wait: true,
    });
    assert.equal(job?.state, 'released');
    assert.equal(job.rowCount, 0n, 'each ward has 20 patients, and 21 are needed now');
    await acme.agreements.terminate({ id: answer.agreement.id });
  });

  await t.test('a counter-offer that widens anything waits for the provider, and names what it widens', async () => {
    const id = await offer();
    const wider = POLICY().replace('minUnits: 10', 'minUnits: 1');
    const answer = await acme.agreements.counter({ id, policyDocument: wider });
    assert.equal(answer.refines, false);
    assert.equal(answer.agreement?.state, 'offered');
    assert.match(answer.reasons[0]?.message ?? '', /allow\.statistics\.release/);
    const [state, codes] = await run(answer.agreement.id);
    assert.deepEqual([state, codes], ['denied', ['agreement-not-active']]);
    await assert.rejects(acme.agreements.accept({ id: answer.agreement.id }), /the other side accepts/);
    assert.equal((await hospital.agreements.accept({ id: answer.agreement.id })).agreement?.state, 'active');
    assert.equal((await run(answer.agreement.id))[0], 'released');
    await hospital.agreements.terminate({ id: answer.agreement.id });
  });

  await t.test('an offer that stands only as offered is never accepted ahead', async () => {
    const answer = await acme.agreements.counter({ id: await offer(true), notAfterMs: end - 1000 });
    assert.equal(answer.agreement?.state, 'offered');
  });

  await t.test('a damaged policy in a counter-offer is refused with its place', async () => {
    const id = await offer();
    const answer = await acme.agreements.counter({ id, policyDocument: POLICY().replace('minUnits', 'minUnit') });
    assert.equal(answer.agreement, null);
    assert.match(answer.reasons[0]?.message ?? '', /counter-offer\.yaml:\d+:\d+/);
    assert.equal((await acme.agreements.get({ id })).agreement?.state, 'offered');
  });

  await t.test(
    'what is out of order is refused: signing twice, accepting twice, resuming another’s suspension',
    async () => {
      const id = await offer();
      await acme.agreements.accept({ id });
      await assert.rejects(acme.agreements.accept({ id }), /active/);
      await hospital.agreements.suspend({ id, note: 'audit' });
      await assert.rejects(acme.agreements.resume({ id }), /suspended by 'hospital'/);
      assert.equal((await run(id))[0], 'denied');
      await hospital.agreements.resume({ id });
      assert.equal((await run(id))[0], 'released');
      const stranger = await world.party('stranger', ['consumer', 'provider']);
      await assert.rejects(stranger.agreements.get({ id }), /no agreement/);
      await hospital.agreements.terminate({ id });
      await assert.rejects(hospital.agreements.resume({ id }), /terminated/);
    },
  );

  await t.test('a signature of another agreement, or of another party, activates nothing', async () => {
    const first = await offer();
    const second = await offer();
    const { agreement } = await acme.agreements.accept({ id: first });
    const replayed = agreement?.signatures.find(({ party }) => party === 'acme')?.signature ?? null;
    await assert.rejects(acme.agreements.accept({ id: second, signature: replayed }), /signature/);
    const foreign = agreement?.signatures.find(({ party }) => party === 'hospital')?.signature ?? null;
    await assert.rejects(acme.agreements.accept({ id: second, signature: foreign }), /signature/);
    assert.equal((await acme.agreements.get({ id: second })).agreement?.state, 'offered');
    await acme.agreements.terminate({ id: first });
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agreedWorld, COUNT_QUERY, POLICY, runtimeWorld } from './runtime-world.ts';

const HOUR_MS = 3_600_000;
const WITH = (terms: string): string => POLICY(`defaults: { ${terms} }\n`);

test('a time of use begins with the last signature, and ends also for a job that is about to release', async (t) => {
  await using world = await runtimeWorld();
  const { hospital, acme, agreement } = await agreedWorld(world, WITH('elapsedTime: PT1H'));
  let question = 0;
  const submit = async (): Promise<string> => {
    const text = `${COUNT_QUERY} LIMIT ${(question += 1) + 100}`;
    const { job } = await acme.jobs.submit({ job: { computation: { kind: 'sql', sql: { text } } }, wait: true });
    return [job?.state ?? '', ...(job?.reasons.map(({ code }) => code) ?? [])].join(' ');
  };

  await t.test('it holds to its last millisecond, and then denies', async () => {
    world.pass(HOUR_MS - 60_000);
    assert.equal(await submit(), 'released');
    const { store } = world.runtime;
    const commitRelease = store.commitRelease.bind(store);
    store.commitRelease = async (input) => {
      world.pass(61_000);
      return await commitRelease(input);
    };
    assert.equal(await submit(), 'stopped agreement-ended');
    store.commitRelease = commitRelease;
    assert.equal(await submit(), 'denied too-late');
    await hospital.agreements.terminate({ id: agreement });
  });

  await t.test('what must be attested is attested by the operator, not by the party', async () => {
    const document = WITH('credentials: [iso27001]');
    assert.deepEqual((await hospital.policies.attach({ document, fileName: 'p.yaml' })).complaints, []);
    const { agreement: offer } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'acme' });
    await acme.agreements.accept({ id: offer?.id ?? '' });
    assert.equal(await submit(), 'denied credential-missing');
    await hospital.agreements.terminate({ id: offer?.id ?? '' });
  });

  await t.test('a counter-offer that grades a column lower waits for the provider', async () => {
    const graded = POLICY().replace(/ward: \{ /, 'ward: { grade: core, ');
    assert.notEqual(graded, POLICY());
    assert.deepEqual((await hospital.policies.attach({ document: graded, fileName: 'p.yaml' })).complaints, []);
    const { agreement: offer } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'acme' });
    const asked = await acme.agreements.counter({ id: offer?.id ?? '', policyDocument: POLICY() });
    assert.equal(asked.refines, false);
    assert.match(asked.reasons.map(({ message }) => message).join(), /columns\.ward\.grade/);
    assert.notEqual(asked.agreement?.state, 'active');
    await assert.rejects(
      acme.agreements.accept({ id: asked.agreement?.id ?? '' }).then(({ agreement: one }) => {
        if (one?.state !== 'active') throw new Error('not active');
      }),
    );
    assert.match(await submit(), /^denied /);
  });
});

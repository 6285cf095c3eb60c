import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { parseVerifierKey } from '../../runtime/evidence/note.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { agreedWorld, COUNT_QUERY, POLICY, runtimeWorld } from './runtime-world.ts';

test('alerts: what single decisions do not show is told, once, with evidence', async (t) => {
  const received: { readonly path: string; readonly body: string }[] = [];
  let status = 500;
  const hook = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      if (status === 200) received.push({ path: request.url ?? '', body });
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => void hook.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(hook.address() as AddressInfo).port}`;
  await using world = await runtimeWorld({ webhooks: [origin], alertWebhook: `${origin}/alerts` });
  const policy = POLICY(`deny:
  - { id: abroad, mode: export, when: { recipientOutside: [DE] } }
duties:
  - { do: notify, to: "${origin}/denials", on: denial, within: PT1H }
onViolation: { stop: job, alert: high }
`);
  const { hospital, acme } = await agreedWorld(world, policy);
  const submit = async (text: string): Promise<string> =>
    (await acme.jobs.submit({ job: { computation: { kind: 'sql', sql: { text } } }, wait: true })).job?.state ?? '';
  const list = async (by = world.operator): Promise<readonly string[]> =>
    (await by.operator.listAlerts({})).alerts.map(
      ({ detector, severity, party, delivery }) => `${detector} ${severity} ${party} ${delivery}`,
    );
  const key = parseVerifierKey((await acme.evidence.getCheckpoint({})).verifierKey);
  assert.ok(key !== undefined);

  await t.test(
    'a deny rule that is hit is an alert as severe as its policy says, and its provider sees it',
    async () => {
      assert.equal(await submit(COUNT_QUERY), 'denied');
      assert.equal(await submit(COUNT_QUERY), 'denied');
      assert.deepEqual(await list(), ['rule-hit high acme pending']);
      assert.deepEqual(await list(hospital), await list());
      const stranger = await world.party('stranger', ['provider']);
      assert.deepEqual(await list(stranger), []);
      await assert.rejects(list(acme), /role|may not/);
    },
  );

  await t.test('it is delivered as a receipt, again and again until somebody takes it, and not once more', async () => {
    await world.runtime.gateway.enforce();
    status = 200;
    world.pass(2000);
    await world.runtime.gateway.enforce();
    await world.runtime.gateway.enforce();
    assert.deepEqual(await list(), ['rule-hit high acme delivered']);
    const alerts = received.filter(({ path }) => path === '/alerts');
    assert.equal(alerts.length, 1);
    const verdict = verifyReceipt(alerts[0]?.body ?? '', key);
    assert.ok(verdict.kind === 'verified' && verdict.event.kind === 'alert');
    assert.equal(verdict.event.facts['detector'], 'rule-hit');
    assert.ok(!JSON.stringify(verdict.event).includes('acme'), 'evidence names no party');
  });

  await t.test('a duty to notify on denial delivers the receipt of the denial', () => {
    const denials = received.filter(({ path }) => path === '/denials');
    assert.equal(denials.length, 2);
    const verdict = verifyReceipt(denials[0]?.body ?? '', key);
    assert.ok(verdict.kind === 'verified' && verdict.event.facts['verdict'] === 'deny');
  });

  await t.test('a burst of denials is told once, and an alert is acknowledged once, by operators', async () => {
    for (let count = 0; count < 12; count += 1) await submit(`select ${count} from nowhere`);
    const [burst, ...others] = (await world.operator.operator.listAlerts({ openOnly: true })).alerts;
    assert.equal(burst?.detector, 'denial-burst');
    assert.equal(others.length, 1);
    await assert.rejects(hospital.operator.acknowledgeAlert({ id: burst.id }), /role|may not/);
    await world.operator.operator.acknowledgeAlert({ id: burst.id });
    await assert.rejects(world.operator.operator.acknowledgeAlert({ id: burst.id }), /no open alert/);
    assert.equal((await world.operator.operator.listAlerts({ openOnly: true })).alerts.length, 1);
  });
  hook.close();
  hook.closeAllConnections();
});

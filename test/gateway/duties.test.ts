import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { parseVerifierKey } from '../../runtime/evidence/note.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { readEntry } from '../../runtime/evidence/entry.ts';
import { DutyBook, MAX_OPEN_NOTICES } from '../../runtime/gateway/policies/duties.ts';
import type { Duty } from '../../runtime/policy/model.ts';
import type { Store } from '../../runtime/store/store.ts';
import { addDataset, agreedWorld, COUNT_QUERY, POLICY, runtimeWorld } from './runtime-world.ts';

test('duties: done in time with evidence, or the next use waits', async (t) => {
  const received: string[] = [];
  let status = 500;
  const hook = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      if (status === 200) received.push(body);
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => void hook.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(hook.address() as AddressInfo).port}`;
  await using world = await runtimeWorld({ webhooks: [origin] });
  const policy = POLICY(`duties:
  - { do: log }
  - { do: notify, to: "${origin}/hook", on: release, within: PT1H }
  - { do: delete, what: sandbox, within: PT2H }
  - { do: attribute, to: hospital, on: before }
  - { do: pay, meter: job, unitPrice: "0.80", currency: CNY }
`);
  const { hospital, acme, agreement: id } = await agreedWorld(world, policy);
  const submit = async (): Promise<{ state: string; codes: readonly string[]; ticket: Uint8Array }> => {
    const { job } = await acme.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } } },
      wait: true,
    });
    return {
      state: job?.state ?? '',
      codes: job?.reasons.map(({ code }) => code) ?? [],
      ticket: job?.ticket ?? new Uint8Array(),
    };
  };
  const duties = async (): Promise<readonly string[]> => (await acme.agreements.get({ id })).agreement?.duties ?? [];
  const { enforce } = world.runtime.gateway;

  await t.test('a duty that comes before any use blocks until the consumer fulfils it', async () => {
    assert.deepEqual((await submit()).codes, ['duty-pending']);
    assert.match((await duties())[0] ?? '', /before\/3 attribute hospital: pending/);
    await assert.rejects(acme.agreements.fulfil({ id, duty: 'nonsense' }), /no open duty/);
    await acme.agreements.fulfil({ id, duty: `${id}/before/3` });
    assert.equal((await submit()).state, 'released');
    await assert.rejects(acme.agreements.fulfil({ id, duty: `${id}/before/3` }), /no open duty/);
  });

  await t.test('a notice is tried again until it is taken, and holds the signed receipt of the release', async () => {
    await enforce();
    assert.match((await duties()).join('\n'), /notify .*: pending.*1 attempts/);
    status = 200;
    world.pass(1001);
    await enforce();
    assert.equal(received.length, 1);
    const key = parseVerifierKey((await acme.evidence.getCheckpoint({})).verifierKey);
    assert.ok(key !== undefined);
    const verdict = verifyReceipt(received[0] ?? '', key);
    assert.ok(verdict.kind !== 'refused' && verdict.event.kind === 'release');
    assert.match((await duties()).join('\n'), /notify .*: fulfilled/);
  });

  await t.test('a result is deleted in time, and its removal is on record', async () => {
    const { ticket } = await submit();
    await enforce();
    world.pass(2 * 3_600_000 - 600_000);
    await enforce();
    assert.match((await duties()).join('\n'), /delete: fulfilled/);
    await assert.rejects(acme.readTable(ticket), /ticket/);
  });

  await t.test(
    'who keeps the dataset carries out a deletion ahead of time, and the evidence is that it is gone',
    async () => {
      const archive = await world.party('archive', ['custodian']);
      const { ticket } = await submit();
      await enforce();
      const line = (await duties()).find((one) => /delete: pending/.test(one)) ?? '';
      const [duty = ''] = line.split(' ');
      await assert.rejects(archive.agreements.fulfil({ id, duty }), /no agreement/);
      await hospital.catalogue.setCustodian({ dataset: 'visits', custodian: 'archive' });
      await assert.rejects(archive.agreements.fulfil({ id, duty: duty.replace('/2', '/1') }), /to delete/);
      assert.equal((await archive.agreements.fulfil({ id, duty })).agreement, null, 'it reads no agreement for that');
      await assert.rejects(archive.agreements.fulfil({ id, duty }), /to delete/);
      await assert.rejects(acme.readTable(ticket), /ticket|not found|no result/);
      const size = Number((await acme.evidence.getCheckpoint({})).treeSize);
      const done = (await world.runtime.store.entries(0, size))
        .flatMap((entry) => {
          const opened = readEntry(entry);
          return opened.kind === 'entry' && opened.event.kind === 'duty.fulfilled' ? [opened.event.facts] : [];
        })
        .at(-1);
      assert.deepEqual([done?.['duty'], done?.['proof'], typeof done?.['by']], ['delete', 'removed', 'string']);
    },
  );

  await t.test('a notice that nobody takes goes to the dead letters, and the next use waits for it', async () => {
    status = 500;
    assert.equal((await submit()).state, 'released');
    for (let attempt = 0; attempt < 8; attempt += 1) {
      await enforce();
      world.pass(1000 * 2 ** attempt + 1);
    }
    const overdue = (await duties()).find((one) => one.includes('OVERDUE')) ?? '';
    assert.match(overdue, /notify .*8 attempts/);
    assert.deepEqual((await submit()).codes, ['duty-overdue']);
    const duty = overdue.split(' ')[0] ?? '';
    await assert.rejects(acme.agreements.fulfil({ id, duty }), /only `hospital`/);
    await hospital.agreements.fulfil({ id, duty });
    assert.equal((await submit()).state, 'released');
  });

  await t.test('a policy that would notify an address that the operator has not allowed is not attached', async () => {
    const { complaints } = await hospital.policies.attach({
      document: policy.replaceAll(origin, 'http://169.254.1.1'),
    });
    assert.match(complaints[0]?.message ?? '', /not allowed notices/);
  });

  await t.test('the price of a job is told before it runs, and is what its statement says', async () => {
    const told = await acme.jobs.explain({ job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } } } });
    assert.deepEqual([told.priceMicros, told.currency], [800_000n, 'CNY']);
    const before = (await acme.meters.report({})).lines[0]?.chargeMicros ?? 0n;
    // The question that was asked before is answered from the record, for nothing; another one has its price.
    assert.equal((await submit()).state, 'released');
    assert.equal((await acme.meters.report({})).lines[0]?.chargeMicros ?? 0n, before);
    const text = 'select count(*) as asked_anew from visits';
    const { job } = await acme.jobs.submit({ job: { computation: { kind: 'sql', sql: { text } } }, wait: true });
    assert.equal(job?.state, 'released');
    assert.equal(((await acme.meters.report({})).lines[0]?.chargeMicros ?? 0n) - before, 800_000n);
  });

  await t.test('registering tells its provider, and nobody else, which columns look personal', async () => {
    const csv = ['id,contact', ...Array.from({ length: 40 }, (_, row) => `${row},p${row}@mail.example`)].join('\n');
    await addDataset(world, hospital, 'contacts', csv);
    const { dataset } = await hospital.catalogue.get({ name: 'contacts' });
    assert.match(dataset?.findings.join('\n') ?? '', /visits\.contact: email \(asks for grade \w+\)/);
    assert.deepEqual((await acme.catalogue.get({ name: 'visits' })).dataset?.findings, []);
  });

  const kinds = new Set((await world.operator.evidence.listEntries({ limit: 1000 })).entries.map(({ kind }) => kind));
  assert.ok(kinds.has('duty.fulfilled') && kinds.has('duty.violated'));
  hook.close();
});

test('a consumer whose denials nobody is there to be told of leaves a bounded number of letters', async () => {
  const store = { list: () => Promise.resolve([]) } as unknown as Store;
  const book = await DutyBook.open({
    store,
    nowMs: () => 0,
    sha256: (text) => text,
    pseudonymOf: (party) => party,
    removeResult: () => Promise.resolve(),
    deliver: () => Promise.reject(new Error('away')),
    allowedWebhooks: [],
  });
  const deletion: Duty = { do: 'delete', to: null, on: 'after', withinMs: 1000 } as unknown as Duty;
  // What else is open says nothing of the webhook.
  for (let at = 0; at < 2 * MAX_OPEN_NOTICES; at++)
    book.took(book.recordsFor(`job-${at}`, [{ agreement: 'agr-1', index: 1, duty: deletion }]));
  const duty: Duty = { do: 'notify', to: 'https://away.example/', on: 'denial', withinMs: null } as unknown as Duty;
  const denied = (agreement: string, count: number): number => {
    let made = 0;
    for (let at = 0; at < count; at++) {
      const records = book.recordsFor(`job-${agreement}-${at}`, [{ agreement, index: 0, duty }], 'denial');
      book.took(records);
      made += records.length;
    }
    return made;
  };
  assert.equal(denied('agr-1', 2000), MAX_OPEN_NOTICES);
  assert.equal(denied('agr-2', 10), 10, 'those of others are told as before');
  const release: Duty = { ...duty, on: 'release' };
  const records = book.recordsFor('job-x', [{ agreement: 'agr-1', index: 0, duty: release }]);
  assert.equal(records.length, 1, 'what a release obliges to is never left out');
});

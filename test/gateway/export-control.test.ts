import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEntry } from '../../runtime/evidence/entry.ts';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { agreedWorld, COUNT_QUERY, POLICY, runtimeWorld } from './runtime-world.ts';

const LIST = (version: number, more = ''): string => `
apiVersion: glovebox/v1
kind: ExportList
metadata: { name: negative, version: ${version} }
inside: [CN]
fields: ["visits:visits.cost"]
${more}`;
const SUM_QUERY = 'SELECT ward, sum(cost) AS s FROM visits GROUP BY ward';

test('export control: listed fields stay inside, and what goes abroad is counted per destination', async (t) => {
  await using world = await runtimeWorld();
  const { hospital, acme } = await agreedWorld(world, POLICY());
  const joined = async (name: string, country?: string): Promise<Glovebox> => {
    const party = await world.party(name, ['consumer'], country);
    const { agreement } = await hospital.agreements.offer({ dataset: 'visits', consumer: name });
    await party.agreements.accept({ id: agreement?.id ?? '' });
    return party;
  };
  const abroad = await joined('abroad', 'DE');
  const nowhere = await joined('nowhere');
  const submit = async (party: Glovebox, text: string): Promise<string> => {
    const { job } = await party.jobs.submit({ job: { computation: { kind: 'sql', sql: { text } } }, wait: true });
    return [job?.state ?? '', ...(job?.reasons.map(({ code }) => code) ?? [])].join(' ');
  };
  const set = (document: string): ReturnType<Glovebox['operator']['setExportList']> =>
    world.operator.operator.setExportList({ document });

  await t.test('without a list everybody is answered; only operators set one', async () => {
    assert.equal(await submit(abroad, SUM_QUERY), 'released');
    await assert.rejects(hospital.operator.setExportList({ document: LIST(1) }), /operator/);
    await assert.rejects(world.operator.operator.getExportList({}), /no export list/);
    assert.deepEqual((await set(LIST(1))).complaints, []);
    assert.equal((await world.operator.operator.getExportList({})).version, 1);
  });

  await t.test('a result that rests on a listed field goes to no place outside, known or not', async () => {
    assert.equal(await submit(acme, SUM_QUERY), 'released');
    for (const party of [abroad, nowhere]) {
      assert.equal(await submit(party, SUM_QUERY), 'denied export-listed');
      assert.equal(
        await submit(party, 'SELECT x.ward, avg(x.c) AS a FROM (SELECT ward, cost AS c FROM visits) x GROUP BY x.ward'),
        'denied export-listed',
      );
      assert.equal(await submit(party, COUNT_QUERY), 'released');
    }
  });

  await t.test('a list is replaced by a later version of itself, and by nothing else', async () => {
    for (const other of [LIST(1), LIST(2).replace('negative', 'other'), LIST(2).replace('[CN]', '[]'), 'nonsense'])
      assert.equal((await set(other)).complaints.length > 0, true);
    assert.deepEqual((await set(LIST(2, 'perDestination: { max: 3 }'))).complaints, []);
  });

  await t.test(
    'a destination outside is given as often as the list allows, over all parties there; inside is free',
    async () => {
      // Counted since the first list: one release each so far.
      assert.equal(await submit(abroad, COUNT_QUERY), 'released');
      assert.equal(await submit(abroad, COUNT_QUERY), 'released');
      assert.equal(await submit(abroad, COUNT_QUERY), 'denied budget-exhausted');
      assert.equal(await submit(nowhere, COUNT_QUERY), 'released');
      assert.equal(await submit(acme, COUNT_QUERY), 'released');
      const fourth = await joined('neighbour', 'DE');
      assert.equal(await submit(fourth, COUNT_QUERY), 'denied budget-exhausted');
    },
  );

  await t.test('the log says of every release how it was graded and where it went', async () => {
    const { entries } = await world.operator.evidence.listEntries({ start: 0n, limit: 1000 });
    const facts = entries
      .map(({ body }) => readEntry(body))
      .flatMap((opened) => (opened.kind === 'entry' && opened.event.kind === 'release' ? [opened.event.facts] : []));
    assert.deepEqual(new Set(facts.map(({ destination }) => destination)), new Set(['CN', 'DE', 'unknown']));
    assert.ok(facts.every(({ grade }) => grade === 'internal'));
    assert.equal(entries.filter(({ kind }) => kind === 'exportList.set').length, 2);
  });
});

test('what is graded core never leaves', async () => {
  await using world = await runtimeWorld();
  const policy = POLICY().replace('bounds: [0, 200] }', 'bounds: [0, 200], grade: core }');
  const { acme } = await agreedWorld(world, policy);
  const codes = async (text: string): Promise<readonly string[]> =>
    (await acme.jobs.submit({ job: { computation: { kind: 'sql', sql: { text } } }, wait: true })).job?.reasons.map(
      ({ code }) => code,
    ) ?? [];
  assert.deepEqual(await codes(SUM_QUERY), ['grade-core']);
  assert.deepEqual(await codes(COUNT_QUERY), []);
});

test('a list that is set between the last look and the commit stops the release all the same', async () => {
  await using world = await runtimeWorld();
  const { hospital } = await agreedWorld(world, POLICY());
  const abroad = await world.party('abroad', ['consumer'], 'DE');
  const { agreement } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'abroad' });
  await abroad.agreements.accept({ id: agreement?.id ?? '' });
  const { store } = world.runtime;
  let version = 0;
  const commitRelease = store.commitRelease.bind(store);
  store.commitRelease = async (input) => {
    version += 1;
    await world.operator.operator.setExportList({ document: LIST(version) });
    return await commitRelease(input);
  };
  const submit = async (text: string): Promise<string> => {
    const { job } = await abroad.jobs.submit({ job: { computation: { kind: 'sql', sql: { text } } }, wait: true });
    return [job?.state, ...(job?.reasons.map(({ code }) => code) ?? [])].join(' ');
  };
  assert.equal(await submit(SUM_QUERY), 'stopped export-listed');
  // What the new list allows is judged by it and leaves; a list that changes under every look lets nothing out.
  assert.equal(await submit(COUNT_QUERY), 'stopped stopped');
  store.commitRelease = commitRelease;
  assert.equal(await submit(COUNT_QUERY), 'released');
});

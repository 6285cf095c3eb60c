import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { registerFiles } from '../../runtime/client/upload.ts';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { readEntry } from '../../runtime/evidence/entry.ts';
import { agreedWorld, COUNT_QUERY, POLICY, VISITS, type RuntimeWorld, runtimeWorld } from './runtime-world.ts';

/** Card numbers with a valid check digit: recognised by their values. */
const CARDS = [
  'patient_id,card,ward,mail',
  ...Array.from({ length: 60 }, (_, row) => `p${row},${luhn(row)},w${row % 3},a${row}@b.example`),
].join('\n');

function luhn(row: number): string {
  const body = `62${String(row).padStart(13, '0')}`;
  for (let digit = 0; digit < 10; digit += 1) {
    const sum = Array.from(`${body}${digit}`)
      .toReversed()
      .reduce((total, one, at) => {
        const value = Number(one) * (at % 2 === 1 ? 2 : 1);
        return total + (value > 9 ? value - 9 : value);
      }, 0);
    if (sum % 10 === 0) return `${body}${digit}`;
  }
  return assert.fail();
}

const cardPolicy = (card: string): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: cards, grade: important }
privacyUnit: [patient_id]
columns:
  patient_id: { rights: [countDistinct] }
  ward: { rights: [group] }
${card}
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10 } }
`;

async function register(
  world: RuntimeWorld,
  provider: Glovebox,
  name: string,
  csv: string,
  grade: 'unspecified' | 'important' | 'core' = 'unspecified',
): Promise<void> {
  const path = join(world.folder, `${name}.csv`);
  writeFileSync(path, csv);
  for await (const { reasons } of registerFiles(provider.catalogue, { name, grade }, [{ path, table: 'visits' }]))
    assert.deepEqual(reasons, []);
}

test('grades: rules are at least as strict as a dataset’s grade asks, before and after it is signed', async (t) => {
  await using world = await runtimeWorld();
  const { hospital, acme, agreement } = await agreedWorld(world, POLICY().replace('minUnits: 10', 'minUnits: 4'));
  const submit = async (): Promise<string> => {
    const { job } = await acme.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } } },
      wait: true,
    });
    return [job?.state ?? '', ...(job?.reasons.map(({ code }) => code) ?? [])].join(' ');
  };
  const attach = async (document: string): Promise<readonly string[]> =>
    (await hospital.policies.attach({ document, fileName: 'p.yaml' })).complaints.map(({ message }) => message);

  await t.test('a dataset whose grade nobody named makes no demands', async () => {
    assert.equal(await submit(), 'released');
    const { dataset } = await hospital.catalogue.get({ name: 'visits' });
    assert.equal(dataset?.isGradeConfirmed, false);
    assert.equal(dataset?.proposedGrade, 'internal');
  });

  await t.test('a grade is its provider’s word alone, and one below the proposal needs a reason', async () => {
    await assert.rejects(acme.catalogue.grade({ name: 'visits', grade: 'public' }), /role/);
    const other = await world.party('other', ['provider']);
    await assert.rejects(other.catalogue.grade({ name: 'visits', grade: 'public' }), /no dataset `visits` of yours/);
    await assert.rejects(hospital.catalogue.grade({ name: 'visits' }), /name a grade/);
    await assert.rejects(hospital.catalogue.grade({ name: 'visits', grade: 'public' }), /say why/);
    const { dataset } = await hospital.catalogue.grade({ name: 'visits', grade: 'internal' });
    assert.ok(dataset?.isGradeConfirmed);
    assert.equal(await submit(), 'released', 'its rules are strict enough for internal data');
  });

  await t.test('raising it stops use under rules that are too weak at once, and is on record', async () => {
    const raised = await hospital.catalogue.grade({ name: 'visits', grade: 'important', note: 'whole region' });
    assert.deepEqual(raised.blockedAgreements, [agreement]);
    assert.equal(await submit(), 'denied grade-not-met');
    const { entries } = await world.operator.evidence.listEntries({ start: 0n, limit: 1000 });
    const graded = entries.flatMap(({ body }) => {
      const opened = readEntry(body);
      return opened.kind === 'entry' && opened.event.kind === 'dataset.graded' ? [opened.event.facts] : [];
    });
    assert.deepEqual(
      graded.map((facts) => [facts['before'], facts['grade'], facts['proposed']]),
      [
        ['none', 'internal', 'internal'],
        ['internal', 'important', 'internal'],
      ],
    );
    assert.ok(!JSON.stringify(graded).includes('region'), 'the words of the note are not in the log');
  });

  await t.test('weaker rules are neither attached nor offered nor asked for; strict ones are', async () => {
    assert.match((await attach(POLICY().replace('minUnits: 10', 'minUnits: 4'))).join(), /needs at least 5/);
    const refused = await hospital.agreements.offer({ dataset: 'visits', consumer: 'acme' });
    assert.equal(refused.agreement, null);
    assert.deepEqual([...new Set(refused.reasons.map(({ code }) => code))], ['grade-not-met']);
    assert.deepEqual(await attach(POLICY().replace('grade: internal', 'grade: important')), []);
    const { agreement: offer } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'acme' });
    const asked = await acme.agreements.counter({ id: offer?.id ?? '', policyDocument: POLICY() });
    assert.equal(asked.agreement, null);
    assert.match(asked.reasons[0]?.message ?? '', /not strict enough for the grade/);
    await acme.agreements.accept({ id: offer?.id ?? '' });
    await hospital.agreements.terminate({ id: agreement });
    assert.equal(await submit(), 'released');
  });

  await t.test(
    'a confirmed grade holds for the next version of the same data, and core is offered to nobody',
    async () => {
      await register(world, hospital, 'visits', VISITS);
      const { dataset } = await hospital.catalogue.get({ name: 'visits' });
      assert.deepEqual([dataset?.version, dataset?.grade, dataset?.isGradeConfirmed], [2, 'important', true]);
      await register(world, hospital, 'visits', VISITS, 'core');
      assert.equal(await submit(), 'denied grade-not-met');
      assert.match((await attach(POLICY().replace('grade: internal', 'grade: core'))).join(), /not offered to anybody/);
    },
  );

  await t.test('what values look like waits for the provider’s word, and consumers are not told of it', async () => {
    await register(world, hospital, 'cards', CARDS);
    const { dataset } = await hospital.catalogue.get({ name: 'cards' });
    assert.equal(dataset?.proposedGrade, 'core');
    assert.match(
      (await attach(cardPolicy('  card: { rights: [group] }'))).join(),
      /`visits.card` looks like data of grade/,
    );
    assert.deepEqual(await attach(cardPolicy('  card: { rights: [countDistinct] }')), [], 'counted, never shown');
    assert.deepEqual(
      await attach(cardPolicy('  card: { rights: [group], grade: important }')),
      [],
      'the column says so',
    );
    await assert.rejects(hospital.catalogue.grade({ name: 'cards', grade: 'important' }), /say why/);
    await hospital.catalogue.grade({ name: 'cards', grade: 'important', note: 'test cards' });
    assert.deepEqual(await attach(cardPolicy('  card: { rights: [group] }')), []);
    await hospital.agreements.offer({ dataset: 'cards', consumer: 'acme' });
    const { dataset: seen } = await acme.catalogue.get({ name: 'cards' });
    assert.deepEqual([seen?.proposedGrade, seen?.gradeRules, seen?.findings], ['unspecified', [], []]);
    assert.ok(seen?.tables.every(({ columns }) => columns.every((one) => one.suggestedGrade === 'unspecified')));
  });

  await t.test('a version in which something stricter is found is asked about again', async () => {
    const csv = CARDS.replace('patient_id,card,ward,mail', 'patient_id,card,ward,mail,phone')
      .split('\n')
      .map((line, at) => (at === 0 ? line : `${line},138${String(at).padStart(8, '0')}`))
      .join('\n');
    await register(world, hospital, 'cards', csv);
    const { dataset } = await hospital.catalogue.get({ name: 'cards' });
    assert.deepEqual([dataset?.grade, dataset?.isGradeConfirmed], ['important', false]);
    const policy = cardPolicy('  card: { rights: [group] }\n  phone: { rights: [group] }');
    assert.deepEqual(await attach(policy), [], 'what was answered stays answered, and the policy answers for the rest');
    await hospital.catalogue.grade({ name: 'cards', grade: 'public', note: 'all made up' });
    assert.deepEqual(await attach(policy), []);
  });
});

test('a grade that is raised between the last look and the commit stops the release all the same', async () => {
  await using world = await runtimeWorld();
  const { hospital, acme } = await agreedWorld(world, POLICY());
  const submit = async (text: string): Promise<string> => {
    const { job } = await acme.jobs.submit({ job: { computation: { kind: 'sql', sql: { text } } }, wait: true });
    return [job?.state ?? '', ...(job?.reasons.map(({ code }) => code) ?? [])].join(' ');
  };
  const { store } = world.runtime;
  const commitRelease = store.commitRelease.bind(store);
  const raisedTo = (grade: 'important' | 'core'): void => {
    let isRaised = false;
    store.commitRelease = async (input) => {
      if (!isRaised) await hospital.catalogue.grade({ name: 'visits', grade });
      isRaised = true;
      return await commitRelease(input);
    };
  };
  // Rules that are strict enough for the new grade too: judged again, and released under it.
  raisedTo('important');
  const important = POLICY().replace('grade: internal', 'grade: important');
  assert.deepEqual((await hospital.policies.attach({ document: important, fileName: 'p.yaml' })).complaints, []);
  const { agreement } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'acme' });
  await acme.agreements.accept({ id: agreement?.id ?? '' });
  const strict = await acme.jobs.submit({
    job: { computation: { kind: 'sql', sql: { text: COUNT_QUERY } }, agreementIds: [agreement?.id ?? ''] },
    wait: true,
  });
  assert.equal(strict.job?.state, 'released');
  await hospital.agreements.terminate({ id: agreement?.id ?? '' });
  assert.equal(await submit(COUNT_QUERY), 'denied grade-not-met', 'the first agreement says grade `internal`');
  await hospital.catalogue.grade({ name: 'visits', grade: 'internal' });
  raisedTo('core');
  assert.equal(await submit('SELECT ward, sum(cost) AS s FROM visits GROUP BY ward'), 'stopped stopped');
  const { jobs } = await acme.jobs.list({});
  assert.deepEqual(jobs.map(({ state }) => state).filter((state) => state === 'released').length, 1);
});

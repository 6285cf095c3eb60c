import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { DATASET, type Member, QUESTION, startWorld, visitsPolicy, type World } from './world.ts';

let world: World;
let acme: Member;
/** The last three values make the wards of the policy public, so that something can be said of cells beforehand. */
const POLICY = visitsPolicy({ count: 5 }).replace(
  'rights: [group, filter, order] }',
  'rights: [group, filter, order], values: [east, west, tiny] }',
);
before(async () => {
  world = await startWorld({ policy: POLICY });
  acme = await world.consumer('acme');
});
after(() => world[Symbol.asyncDispose]());

const sql = (text: string) => ({ job: { computation: { kind: 'sql' as const, sql: { text } } } });
const lineOf = (text: string): number => POLICY.split('\n').findIndex((line) => line.includes(text)) + 1;

describe('an explained query', () => {
  it('that would run tells the rule and where it is written, what runs, and what is left before and after', async () => {
    const answer = await acme.jobs.explain(sql(QUESTION));
    assert.equal(answer.wouldRun, true);
    const [origin] = answer.origins;
    assert.deepEqual(
      [origin?.dataset, origin?.version, origin?.ruleId, origin?.line, origin?.fileName],
      [DATASET, 1, 'statistics', lineOf('id: statistics'), 'policy.yaml'],
    );
    assert.match(origin?.inWords ?? '', /at least 10 units/);
    assert.match(answer.enforcedSql, /SELECT/);
    const [spend] = answer.budget;
    assert.deepEqual([spend?.usesBefore, spend?.usesLeft, spend?.microEpsilon], [5n, 4n, 0n]);
  });

  it('foretells cells from declared values and synthetic rows', async () => {
    const { forecast } = await acme.jobs.explain(sql(QUESTION));
    assert.deepEqual([forecast?.declaredGroups, forecast?.minUnits, forecast?.unitsNeeded], [3n, 10n, 30n]);
    assert.deepEqual([forecast?.twinGroups, forecast?.twinWithheld], [3n, 0n]);
    const { forecast: all } = await acme.jobs.explain(sql('select count(*) from visits'));
    assert.equal(all?.declaredGroups, 1n);
  });

  it('that would be refused tells the place in it, the place in the policy, and a query that does run', async () => {
    const answer = await acme.jobs.explain(sql('select ward,\n  min(cost) from visits group by ward'));
    assert.equal(answer.wouldRun, false);
    assert.deepEqual(answer.reasons[0]?.at, { line: 2, column: 7 });
    assert.deepEqual([answer.clauseOrigins[0]?.path, answer.clauseOrigins[0]?.line], ['columns.cost', lineOf('cost:')]);
    assert.equal(answer.repairs.length, 1);
    const { job } = await acme.jobs.submit({ ...sql(answer.repaired), wait: true });
    assert.equal(job?.state, 'released');
  });

  it('tells the place of a whole query that would return rows, and what to ask in its place', async () => {
    const answer = await acme.jobs.explain(sql('select * from visits'));
    assert.deepEqual(answer.reasons[0]?.at, { line: 1, column: 8 });
    assert.match(answer.repaired, /^select avg\(cost\), count\(\*\) from visits/);
    assert.equal((await acme.jobs.explain(sql(answer.repaired))).wouldRun, true);
  });

  it('leads to no query where the rule itself refuses', async () => {
    const answer = await acme.jobs.explain({ job: { ...sql(QUESTION).job, ruleId: 'nothing' } });
    assert.deepEqual([answer.wouldRun, answer.repaired, answer.repairs.length], [false, '', 0]);
  });

  it('costs nothing, whatever it answers', async () => {
    const uses = async (): Promise<bigint | undefined> =>
      (await acme.budgets.get({ dataset: DATASET })).budgets[0]?.uses;
    const before = await uses();
    for (const text of [QUESTION, 'select * from visits', 'select 1 +']) await acme.jobs.explain(sql(text));
    assert.equal(await uses(), before);
  });

  it('is the same for two datasets of one shape whose rows differ', async () => {
    const csv = `patient_id,ward,cost\n${Array.from({ length: 80 }, (_, i) => `${i % 11},w${i % 5},${i * 31}`).join('\n')}\n`;
    await using other = await startWorld({ policy: POLICY, csv });
    const bob = await other.consumer('acme');
    for (const text of [QUESTION, 'select min(cost) from visits', 'select * from visits where cost > 10']) {
      const [one, two] = [await acme.jobs.explain(sql(text)), await bob.jobs.explain(sql(text))];
      // What differs by design: ids of agreements, and what was used.
      const told = (answer: typeof one): unknown => ({
        ...answer,
        budget: [],
        origins: answer.origins.map((origin) => ({ ...origin, agreementId: '' })),
      });
      assert.deepEqual(told(one), told(two));
    }
  });
});

describe('policies over the wire', () => {
  it('are explained to a consumer as it meets them, and to nobody who has no agreement', async () => {
    const answer = await acme.policies.explain({ dataset: DATASET });
    assert.ok(answer.summary.includes('as acme meets it'));
    assert.deepEqual(
      answer.columns.map(({ column }) => column),
      ['patient_id', 'ward', 'cost'],
    );
    await assert.rejects(acme.policies.explain({ dataset: DATASET, consumer: 'eve' }), { code: 'role-missing' });
    const eve = await world.member('eve', 'consumer');
    await assert.rejects(eve.policies.explain({ dataset: DATASET }), { code: 'not-found' });
    await assert.rejects(eve.policies.diff({ before: { dataset: DATASET }, after: { dataset: DATASET } }), {
      code: 'not-found',
    });
  });

  it('are compared with the jobs on record, which the provider alone may do', async () => {
    const { job } = await acme.jobs.submit({ ...sql('select ward, count(*) from visits group by ward'), wait: true });
    const other = await acme.jobs.submit({ ...sql('select sum(cost) from visits'), wait: true });
    await acme.jobs.submit({ ...sql('select * from visits'), wait: true });
    const document = POLICY.replace('[group, filter, order]', '[filter]').replace(', values: [east, west, tiny]', '');
    const request = { before: { dataset: DATASET }, after: { document }, withJobs: true };
    const answer = await world.owner.policies.diff(request);
    assert.deepEqual(
      answer.terms.map(({ path, change }) => [path, change]),
      [['columns.ward', 'stricter']],
    );
    const changed = answer.jobs.find(({ jobId }) => jobId === job?.id);
    assert.deepEqual([changed?.wasPermitted, changed?.isPermitted], [true, false]);
    assert.equal(changed?.reasons[0]?.code, 'column-right-missing');
    assert.ok(answer.jobs.every(({ jobId }) => jobId !== other.job?.id));
    // The denied job has no footprint on record, and that is said.
    assert.ok(answer.notReplayed >= 1 && answer.replayed >= 2);
    await assert.rejects(acme.policies.diff(request), { code: 'role-missing' });
    const wrong = await world.owner.policies.diff({ before: { dataset: DATASET }, after: { document: 'nonsense: 1' } });
    assert.ok(wrong.complaints.length > 0);
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Glovebox } from '../../runtime/client/connect.ts';
import type { Job } from '../../runtime/gen/messages.ts';
import { agreedWorld, runtimeWorld, type RuntimeWorld } from './runtime-world.ts';

/** ε 0.5 a job; 3 in all for one consumer, 4 for all together. */
const POLICY = (total = 3, dataset = 4, more = ''): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: visits, grade: internal }
tables:
  visits:
    privacyUnit: [patient_id]
    columns:
      patient_id: { rights: [join, countDistinct] }
      ward: { rights: [group, filter, order], values: [w0, w1, w2, w3] }
      cost: { rights: [aggregate, filter], functions: [sum, avg, count, quantile, histogram, stddev], bounds: [0, 200] }
allow:
  - id: private
    mode: differentialPrivacy
    release: { epsilonPerJob: 0.5, epsilonTotal: ${total}, epsilonDataset: ${dataset}, delta: 1e-6, maxRowsPerUnit: 2 ${more} }
`;
const COUNTS = 'select ward, count(*) as n, sum(cost) as s, avg(cost) as a from visits group by ward order by ward';

let asked = 0;
/** Asks anew: an alias of its own makes another question, which the very same text would not be. */
async function run(consumer: Glovebox, question: string): Promise<Job> {
  asked += 1;
  const text = question.replace(/from visits\b/i, `from visits as visits_${asked}`);
  const { job } = await consumer.jobs.submit({
    job: { computation: { kind: 'sql', sql: { text } }, ruleId: 'private' },
    wait: true,
  });
  assert.ok(job !== null);
  return job;
}
async function rows(consumer: Glovebox, job: Job): Promise<readonly Record<string, unknown>[]> {
  assert.equal(job.state, 'released', job.reasons[0]?.message);
  const table = await consumer.readTable(job.ticket ?? new Uint8Array());
  return table.toArray().map((row) => ({ ...(row as { toJSON(): Record<string, unknown> }).toJSON() }));
}

describe('SQL with differential privacy, over the wire', () => {
  let world: RuntimeWorld;
  let acme: Glovebox;
  let hospital: Glovebox;
  before(async () => {
    world = await runtimeWorld();
    ({ acme, hospital } = await agreedWorld(world, POLICY()));
  });
  after(() => world[Symbol.asyncDispose]());

  it('says before a job what it costs, what would be left and how far off it will be', async () => {
    const computation = { kind: 'sql' as const, sql: { text: COUNTS } };
    const answer = await acme.jobs.explain({ job: { computation, ruleId: 'private' } });
    assert.equal(answer.wouldRun, true, answer.reasons[0]?.message);
    assert.deepEqual(
      answer.budget.map(({ microEpsilon, microEpsilonLeft, usesLeft }) => [microEpsilon, microEpsilonLeft, usesLeft]),
      [[500_000n, 2_500_000n, 5n]],
    );
    assert.deepEqual(
      answer.errors.map(({ column }) => column),
      ['n', 's'],
    );
    assert.ok(answer.enforced.some((text) => /error of a: about ±.* divided by the number of rows/.test(text)));
    const { budgets } = await acme.budgets.get({ dataset: 'visits' });
    assert.equal(budgets[0]?.microEpsilonSpent, 0n, 'explaining is free');
  });

  it('answers every declared key, with an interval and the noise of each cell', async () => {
    const job = await run(acme, COUNTS);
    const released = await rows(acme, job);
    assert.deepEqual(
      released.map(({ ward }) => ward),
      ['w0', 'w1', 'w2', 'w3'],
    );
    const n = job.errors.find(({ column }) => column === 'n');
    assert.equal(n?.low.length, 4);
    assert.ok(n.noiseScale.every((scale) => scale > 0));
    for (const [i, row] of released.entries()) {
      assert.ok(Number(row['n']) >= (n.low[i] ?? 0) && Number(row['n']) <= (n.high[i] ?? 0));
      assert.ok(!Object.is(row['n'], -0) && Number(row['n']) >= 0);
    }
    assert.deepEqual(
      job.budget.map(({ dataset, microEpsilon }) => [dataset, microEpsilon]),
      [['visits', 500_000n]],
    );
  });

  it('tells nobody how many rows there are', async () => {
    const { lines } = await acme.meters.report({ fromMs: 0, toMs: 0 });
    assert.deepEqual(
      lines.map(({ jobs, rowsScanned, microEpsilon }) => [jobs, rowsScanned, microEpsilon]),
      [[1n, 0n, 500_000n]],
    );
  });

  it('computes with noisy cells only: conditions, order, limit and ratios', async () => {
    const text =
      "select ward, sum(cost) / nullif(count(*), 0) as mean, case when count(*) > 5 then 'many' else 'few' end as many from visits group by ward having count(*) >= 0 order by 2 desc limit 3";
    const job = await run(acme, text);
    const released = await rows(acme, job);
    assert.equal(released.length, 3);
    const means = released.map(({ mean }) => Number(mean ?? Number.POSITIVE_INFINITY));
    assert.deepEqual(
      means,
      means.toSorted((a, b) => b - a),
    );
    assert.deepEqual(
      job.columns.map(({ name, type }) => [name, type]),
      [
        ['ward', 'utf8'],
        ['mean', 'float64'],
        ['many', 'utf8'],
      ],
    );
  });

  it('keeps a budget exactly under many jobs at once, and refuses before anything runs', async () => {
    const jobs = await Promise.all(Array.from({ length: 12 }, () => run(acme, 'select count(*) from visits')));
    assert.equal(jobs.filter(({ state }) => state === 'released').length, 4, '3 − 2 · 0.5 buys four more');
    const refused = jobs.filter(({ state }) => state === 'denied');
    assert.equal(refused.length, 8);
    assert.ok(refused.every(({ reasons }) => reasons[0]?.code === 'budget-exhausted'));
    const { budgets } = await acme.budgets.get({ dataset: 'visits' });
    const own = budgets.find(({ consumer }) => consumer === 'acme');
    assert.deepEqual([own?.microEpsilonSpent, own?.microEpsilonLimit], [3_000_000n, 3_000_000n]);
  });

  it('holds all consumers together to the limit of the dataset', async () => {
    const rival = await world.party('rival', ['consumer'], 'CN');
    const { agreement } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'rival' });
    await rival.agreements.accept({ id: agreement?.id ?? '' });
    const states = [];
    for (let i = 0; i < 3; i++) states.push((await run(rival, 'select count(*) from visits')).state);
    assert.deepEqual(states, ['released', 'released', 'denied'], '4 − 3 is left of the dataset');
    const { budgets } = await hospital.budgets.get({ dataset: 'visits' });
    const shared = budgets.filter(({ consumer }) => consumer === '');
    assert.deepEqual(
      shared.map(({ microEpsilonSpent, microEpsilonLimit }) => [microEpsilonSpent, microEpsilonLimit]),
      [[4_000_000n, 4_000_000n]],
    );
  });

  it('is enlarged by a signed order of the provider alone, once', async () => {
    const grant = { dataset: 'visits', consumer: '', mode: '', kind: 'microEpsilon', amount: 1_000_000n } as const;
    await assert.rejects(acme.budgets.topUp(grant), { code: 'role-missing' });
    const other = await world.party('other', ['provider'], 'CN');
    await assert.rejects(other.budgets.topUp(grant), { code: 'not-found' });
    const order = (id: string, budget: string): string =>
      JSON.stringify({ amount: '1000000', atMs: 1, budget, by: 'hospital', id, type: 'glovebox/v1/top-up' });
    const sent = { dataset: 'visits', consumer: '', mode: '', kind: 'microEpsilon', signature: 'A'.repeat(86) };
    const id = 'order-00001';
    for (const [text, code] of [
      [order(id, 'microEpsilon/dataset/visits'), 'signature-not-valid'],
      [order(id, 'microEpsilon/dataset/other'), 'argument-not-valid'],
      [order('x', 'microEpsilon/dataset/visits'), 'argument-not-valid'],
      ['{', 'argument-not-valid'],
      ['null', 'argument-not-valid'],
      [`{"amount":"-5"}`, 'argument-not-valid'],
    ] as const)
      await assert.rejects(hospital.budgets.grant({ ...sent, order: text }), { code }, text);
    const { toppedUp } = await hospital.budgets.topUp(grant);
    assert.equal(toppedUp, 1_000_000n);
    const denied = await run(acme, 'select count(*) from visits');
    assert.equal(denied.state, 'denied', 'its own budget is still spent');
    const own = { ...grant, consumer: 'acme', mode: 'differentialPrivacy', amount: 500_000n };
    // A budget that limits nothing would be enlarged on record, and for nothing.
    for (const idle of [
      { ...own, mode: 'aggregate' },
      { ...own, kind: 'nanoRho' },
    ] as const)
      await assert.rejects(hospital.budgets.topUp(idle), { code: 'argument-not-valid' }, idle.kind);
    await hospital.budgets.topUp(own);
    assert.equal((await run(acme, 'select count(*) from visits')).state, 'released');
    assert.equal((await run(acme, 'select count(*) from visits')).state, 'denied');
  });
});

it('a new policy version refills nothing, whichever way losses are added up', async () => {
  await using world = await runtimeWorld();
  const { hospital, acme } = await agreedWorld(world, POLICY(1, 100));
  for (const state of ['released', 'released', 'denied'])
    assert.equal((await run(acme, 'select count(*) from visits')).state, state);
  const again = async (document: string): Promise<void> => {
    const { complaints } = await hospital.policies.attach({ document, fileName: 'p.yaml' });
    assert.deepEqual(complaints, []);
    const { agreements } = await acme.agreements.list({});
    for (const { id, state } of agreements) if (state === 'active') await hospital.agreements.terminate({ id });
    const { agreement } = await hospital.agreements.offer({ dataset: 'visits', consumer: 'acme' });
    await acme.agreements.accept({ id: agreement?.id ?? '' });
  };
  await again(POLICY(1, 101));
  assert.equal((await run(acme, 'select count(*) from visits')).state, 'denied', 'a new version has the old spending');
  // ρ of two jobs is 2 · 0.5²/2 = 0.25; ε 1 at δ 10⁻⁶ is worth less than that.
  await again(POLICY(1, 102, ', accounting: zcdp'));
  assert.equal((await run(acme, 'select count(*) from visits')).state, 'denied', 'zCDP finds what was spent before');
  // ε 8 is worth ρ ≈ 1.04: six more jobs of ρ 0.125.
  await again(POLICY(8, 103, ', accounting: zcdp'));
  const states = [];
  for (let i = 0; i < 9; i++) states.push((await run(acme, 'select count(*) from visits')).state);
  const released = states.filter((state) => state === 'released').length;
  assert.ok(released > 2 && released < 9, `${released} released`);
  const { budgets } = await acme.budgets.get({ dataset: 'visits' });
  const own = budgets.find(({ consumer }) => consumer === 'acme');
  assert.ok((own?.microEpsilonSpent ?? 0n) <= (own?.microEpsilonLimit ?? 0n));
  // What limits is rho: epsilon would be taken with thanks and buy nothing.
  const grant = { dataset: 'visits', consumer: 'acme', mode: 'differentialPrivacy' };
  await assert.rejects(hospital.budgets.topUp({ ...grant, kind: 'microEpsilon', amount: 5_000_000n }), {
    code: 'argument-not-valid',
  });
  await hospital.budgets.topUp({ ...grant, kind: 'nanoRho', amount: 125_000_000n });
  for (const state of ['released', 'denied'])
    assert.equal((await run(acme, 'select count(*) from visits')).state, state);
});

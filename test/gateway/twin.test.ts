import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { tableFromIPC } from 'apache-arrow';
import type { Glovebox } from '../../runtime/client/connect.ts';
import type { Job, TwinColumn } from '../../runtime/gen/messages.ts';
import { RESULT_LIFE_MS } from '../../runtime/gateway/results/results.ts';
import { addDataset, runtimeWorld, type RuntimeWorld } from './runtime-world.ts';

const POLICY = (dataset: string): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${dataset}, grade: internal }
tables:
  visits:
    privacyUnit: [patient_id]
    columns:
      patient_id: { rights: [join, countDistinct] }
      ward: { rights: [group, filter, order], values: [w0, w1, w2] }
      city: { rights: [group, filter] }
      born: { rights: [group, filter] }
      fee: { rights: [group, filter] }
      is_new: { rights: [group] }
      seen: { rights: [group] }
      code: { rights: [group] }
      age: { rights: [aggregate], functions: [sum, histogram], bounds: [0, 99], bins: [20, 40, 60] }
      weight: { rights: [aggregate, filter], functions: [sum, histogram], bounds: [0, 200] }
allow:
  - id: private
    mode: differentialPrivacy
    release: { epsilonPerJob: 20, epsilonTotal: 800, epsilonDataset: 900, delta: 1e-6, maxRowsPerUnit: 1 }
  - id: coarse
    mode: differentialPrivacy
    release: { epsilonPerJob: 0.001, epsilonTotal: 800, epsilonDataset: 900, delta: 1e-6, maxRowsPerUnit: 1 }
  - { id: exact, mode: aggregate, release: { minUnits: 10, maxRows: 100 } }
`;

/** 400 patients: 300 in ward w0, 100 in w1, none in w2; every fourth without a city; nobody between 20 and 40. */
const VISITS = [
  'patient_id,ward,city,born,fee,age,weight,is_new,seen,code',
  ...Array.from(
    { length: 400 },
    (_, i) =>
      `p${i},w${i < 300 ? 0 : 1},${i % 4 === 0 ? '' : i % 4 === 1 ? 'Jinan' : 'Lhasa'},${i % 2 === 0 ? '1950-03-01' : '2001-12-31'},${i % 2 === 0 ? '12.50' : '7.25'},${i % 2 === 0 ? 5 + (i % 10) : 60 + (i % 30)},${60 + (i % 40)}.5,${i % 2 === 0},2020-01-0${1 + (i % 2)} 10:00:00.000001,${9_000_000_000 + (i % 2)}`,
  ),
].join('\n');

type Row = Readonly<Record<string, unknown>>;
interface Twin {
  readonly rows: readonly Row[];
  readonly columns: readonly TwinColumn[];
  readonly codes: readonly string[];
  readonly messages: string;
}

async function twinOf(
  party: Glovebox,
  marginalJobIds: readonly string[],
  more: { readonly rows?: number; readonly seed?: bigint; readonly name?: string } = {},
): Promise<Twin> {
  const chunks: Uint8Array[] = [];
  const columns: TwinColumn[] = [];
  const codes: string[] = [];
  let messages = '';
  for await (const part of party.catalogue.twin({ name: 'visits', rows: 2000, seed: 7n, marginalJobIds, ...more })) {
    chunks.push(part.chunk);
    columns.push(...part.columns);
    codes.push(...part.reasons.map(({ code }) => code));
    messages += part.reasons.map(({ message }) => message).join('\n');
  }
  if (codes.length > 0) {
    assert.ok(
      chunks.every(({ byteLength }) => byteLength === 0),
      'a refusal comes without rows',
    );
    return { rows: [], columns, codes, messages };
  }
  const rows = tableFromIPC(Buffer.concat(chunks))
    .toArray()
    .map((row: { toJSON(): Row }) => row.toJSON());
  return { rows, columns, codes, messages };
}

const share = (rows: readonly Row[], is: (row: Row) => boolean): number => rows.filter(is).length / rows.length;
const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < 0.05, `${actual} is not about ${expected}`);

describe('a twin that is drawn from noisy counts', () => {
  let world: RuntimeWorld;
  let hospital: Glovebox;
  let acme: Glovebox;
  let rival: Glovebox;
  const run = async (party: Glovebox, text: string, ruleId = 'private', agreementIds: string[] = []): Promise<Job> => {
    const { job } = await party.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text } }, ruleId, agreementIds },
      wait: true,
    });
    assert.equal(job?.state, 'released', job?.reasons[0]?.message);
    return job;
  };
  const agree = async (dataset: string, name: string, consumer: Glovebox): Promise<string> => {
    const { agreement } = await hospital.agreements.offer({ dataset, consumer: name });
    await consumer.agreements.accept({ id: agreement?.id ?? '' });
    return agreement?.id ?? '';
  };
  let agreement = '';
  let ward: Job;
  before(async () => {
    world = await runtimeWorld();
    hospital = await world.party('hospital', ['provider', 'consumer'], 'CN');
    acme = await world.party('acme', ['consumer'], 'CN');
    rival = await world.party('rival', ['consumer'], 'CN');
    for (const dataset of ['visits', 'other']) {
      await addDataset(world, hospital, dataset, VISITS);
      const { complaints } = await hospital.policies.attach({ document: POLICY(dataset), fileName: 'p.yaml' });
      assert.deepEqual(complaints, []);
    }
    agreement = await agree('visits', 'acme', acme);
    await agree('visits', 'rival', rival);
    ward = await run(acme, 'select ward, count(*) as n from visits group by ward', 'private', [agreement]);
  });
  after(() => world[Symbol.asyncDispose]());

  it('is made of the policy alone where no job is named, and says so', async () => {
    const { rows, columns } = await twinOf(acme, []);
    near(
      share(rows, (row) => row['ward'] === 'w2'),
      1 / 3,
    );
    assert.ok(columns.some(({ name }) => name === 'ward'));
    assert.ok(columns.every(({ jobId }) => jobId === ''));
  });

  it('follows the noisy counts of the column, leaves the others as they were, and spends nothing', async () => {
    const spent = async (): Promise<unknown> => (await acme.budgets.get({ dataset: 'visits' })).budgets;
    const before = await spent();
    const { rows, columns } = await twinOf(acme, [ward.id]);
    near(
      share(rows, (row) => row['ward'] === 'w0'),
      0.75,
    );
    near(
      share(rows, (row) => row['ward'] === 'w1'),
      0.25,
    );
    assert.deepEqual(
      columns.filter(({ jobId }) => jobId !== ''),
      [{ name: 'ward', jobId: ward.id }],
    );
    const declared = await twinOf(acme, []);
    const without = (all: readonly Row[]): readonly Row[] => all.map((row) => ({ ...row, ward: null }));
    assert.deepEqual(without(rows), without(declared.rows));
    assert.deepEqual(await spent(), before);
  });

  it('is the same for the same job and seed, and another for another seed', async () => {
    const first = await twinOf(acme, [ward.id], { rows: 200 });
    assert.deepEqual(await twinOf(acme, [ward.id], { rows: 200 }), first);
    assert.notDeepEqual((await twinOf(acme, [ward.id], { rows: 200, seed: 8n })).rows, first.rows);
  });

  it('draws texts with nulls, dates, decimals and bins, whichever way the question is spelled', async () => {
    const jobs = [
      await run(acme, 'with v as (select city as place from visits) select count(*) as n, place from v group by all'),
      await run(acme, 'select v.born, count(*) from visits as v group by 1 order by 2 desc'),
      await run(acme, 'select fee as ward, count(*) from visits group by fee'),
      await run(acme, 'select histogram(age) from visits'),
      await run(acme, 'select histogram(weight) as h from visits'),
      await run(acme, 'select is_new, count(*) from visits group by is_new'),
      await run(acme, 'select seen, count(*) from visits group by seen'),
      await run(acme, 'select code, count(*) from visits group by code'),
    ];
    const { rows, columns, messages } = await twinOf(
      acme,
      jobs.map(({ id }) => id),
    );
    assert.deepEqual(
      columns.filter(({ jobId }) => jobId !== '').map(({ name }) => name),
      ['city', 'born', 'fee', 'is_new', 'seen', 'code', 'age', 'weight'],
      messages,
    );
    near(
      share(rows, ({ city }) => city === null),
      0.25,
    );
    near(
      share(rows, ({ city }) => city === 'Lhasa'),
      0.5,
    );
    const days = new Set(rows.map(({ born }) => new Date(Number(born)).toISOString().slice(0, 10)));
    assert.deepEqual([...days].toSorted(), ['1950-03-01', '2001-12-31']);
    assert.deepEqual(
      [...new Set(rows.map(({ fee }) => Number(fee)))].toSorted((a, b) => a - b),
      [7.25, 12.5],
    );
    near(
      share(rows, (row) => row['is_new'] === true),
      0.5,
    );
    assert.equal(new Set(rows.map(({ seen }) => Number(seen))).size, 2);
    assert.deepEqual(new Set(rows.map(({ code }) => code)), new Set([9_000_000_000n, 9_000_000_001n]));
    assert.ok(rows.every(({ age }) => Number.isInteger(Number(age)) && Number(age) >= 0 && Number(age) <= 99));
    near(
      share(rows, ({ age }) => Number(age) < 20),
      0.5,
    );
    near(
      share(rows, ({ age }) => Number(age) >= 60),
      0.5,
    );
    near(
      share(rows, ({ weight }) => Number(weight) > 55 && Number(weight) < 105),
      1,
    );
  });

  it('may take an answer that was given again from the record', async () => {
    const again = await run(acme, 'select ward, count(*) as n from visits group by ward', 'private', [agreement]);
    assert.match(again.guarantee, /this is the answer of job/);
    const [first, second] = [await twinOf(acme, [ward.id]), await twinOf(acme, [again.id])];
    assert.deepEqual(second.rows, first.rows);
  });

  it('refuses what is no marginal of one column, and says what would be', async () => {
    const texts = [
      'select count(*) from visits',
      'select ward, count(*) from visits where weight > 50 group by ward',
      'select ward, count(*) filter (where weight > 70) from visits group by ward',
      'select ward, count(distinct patient_id) from visits group by ward',
      'select ward, sum(weight) from visits group by ward',
      'select ward, count(*), sum(age) from visits group by ward',
      'select ward, count(*) * 2 from visits group by ward',
      'select ward, city, count(*) from visits group by ward, city',
      'select ward, count(*) from visits group by ward, city',
      'select upper(city) as city, count(*) from visits group by 1',
      'select ward, count(*) from visits group by ward having count(*) > 150',
      'select ward, count(*) from visits group by ward order by ward limit 1',
      'select ward, count(*) from visits group by rollup (ward)',
      'select ward, n from (select ward, count(*) as n from visits group by ward) where n > 150',
      'select city as ward, n from (select city, count(*) as n from visits group by city)',
      'select histogram(weight) filter (where weight > 70) from visits',
      'select ward, histogram(age) from visits group by ward',
    ];
    const jobs = await Promise.all(texts.map((text) => run(acme, text)));
    for (const [i, { id }] of jobs.entries()) {
      const { codes, messages } = await twinOf(acme, [id]);
      assert.deepEqual(codes, ['marginal-not-usable'], texts[i]);
      assert.match(messages, /something else than the counts of one column/, texts[i]);
    }
  });

  it('refuses an answer without a count above zero', async () => {
    // So little of a budget lets no group through that the policy does not declare.
    const job = await run(acme, 'select city, count(*) from visits as few group by city', 'coarse');
    const { codes, messages } = await twinOf(acme, [job.id]);
    assert.deepEqual(codes, ['marginal-not-usable']);
    assert.match(messages, /none of its noisy counts is above zero/);
  });

  it('refuses exact answers, jobs without a result, and two jobs for one column', async () => {
    const exact = await run(acme, 'select ward, count(*) from visits group by ward', 'exact');
    const { job: denied } = await acme.jobs.submit({
      job: { computation: { kind: 'sql', sql: { text: 'select patient_id from visits' } }, ruleId: 'private' },
      wait: true,
    });
    const { codes, messages } = await twinOf(acme, [exact.id, denied?.id ?? '', ward.id, ward.id]);
    assert.deepEqual(codes, Array(3).fill('marginal-not-usable'));
    assert.match(messages, /not answered under a rule of mode `differentialPrivacy`\n.*released nothing\n.*already/);
    await assert.rejects(twinOf(acme, Array(33).fill(ward.id)), { code: 'argument-not-valid' });
  });

  it('answers alike for jobs of others and for none, also to who may look at them', async () => {
    const answers = [];
    for (const party of [rival, hospital, world.operator])
      for (const id of [ward.id, 'job-0000', '../../x', '']) {
        const { codes, messages } = await twinOf(party, [id]);
        answers.push([codes, messages.replaceAll(`\`${id}\``, '')]);
      }
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.deepEqual(answers[0]?.[0], ['result-unknown']);
    const stranger = await world.party('stranger', ['consumer'], 'CN');
    await assert.rejects(twinOf(stranger, [ward.id]), { code: 'not-found' });
  });

  it('serves a provider with answers of its own', async () => {
    // An offer to itself needs no second signature.
    await hospital.agreements.offer({ dataset: 'visits', consumer: 'hospital' });
    const own = await run(hospital, 'select ward, count(*) from visits as mine group by ward');
    const { rows } = await twinOf(hospital, [own.id]);
    near(
      share(rows, (row) => row['ward'] === 'w0'),
      0.75,
    );
  });

  it('gives out nothing while the result could not be fetched, and puts what it reads on record', async () => {
    const fetches = async (): Promise<number> =>
      (await world.runtime.store.positionsOf('release.fetched', 1000)).length;
    const visits = { what: { kind: 'dataset', dataset: 'visits' } } as const;
    const before = await fetches();
    assert.deepEqual((await twinOf(acme, [ward.id])).codes, []);
    assert.equal(await fetches(), before + 1);
    await world.operator.operator.stopAll({ note: 'drill', scope: visits });
    assert.deepEqual((await twinOf(acme, [ward.id])).codes, ['result-unknown']);
    assert.deepEqual((await twinOf(acme, [])).codes, []);
    await world.operator.operator.resumeAll({ note: 'over', scope: visits });
    assert.deepEqual((await twinOf(acme, [ward.id])).codes, []);
  });

  it('refuses answers about other datasets, other versions, and results that are kept no more', async () => {
    const id = await agree('other', 'acme', acme);
    const other = await run(acme, 'select ward, count(*) from other group by ward', 'private', [id]);
    assert.match((await twinOf(acme, [other.id])).messages, /is about dataset `other`/);
    assert.deepEqual((await twinOf(acme, [other.id], { name: 'other' })).codes, []);
    await addDataset(
      world,
      hospital,
      'visits',
      `${VISITS}\np400,w2,,2001-12-31,7.25,50,70.5,true,2020-01-01 10:00:00,1`,
    );
    const { codes, messages } = await twinOf(acme, [ward.id]);
    assert.deepEqual(codes, ['marginal-not-usable']);
    assert.match(messages, /version 1 of `visits`, which is at version 2 now/);
    world.pass(RESULT_LIFE_MS + 1000);
    await world.runtime.gateway.sweep();
    assert.deepEqual((await twinOf(acme, [other.id], { name: 'other' })).codes, ['result-unknown']);
  });
});

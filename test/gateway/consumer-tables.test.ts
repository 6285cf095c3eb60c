import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { GloveboxError } from '../../runtime/client/error.ts';
import { registerFiles, uploadTable } from '../../runtime/client/upload.ts';
import { TABLE_LIMITS, tableFolder } from '../../runtime/gateway/datasets/consumer-tables.ts';
import type { ConsumerTable } from '../../runtime/gen/messages.ts';
import { runtimeWorld, type RuntimeWorld } from './runtime-world.ts';

const POLICY = (dataset: string, consumerTables: string): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${dataset}, grade: internal }
privacyUnit: [patient_id]
consumerTables: ${consumerTables}
columns:
  patient_id: { rights: [join, countDistinct] }
  visit: { rights: [join] }
  ward: { rights: [group, filter, join] }
  cost: { rights: [aggregate], functions: [sum, avg, count], bounds: [0, 200] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10, maxRows: 100, differencing: guard } }
  - { id: private, mode: differentialPrivacy, release: { epsilonPerJob: 0.5, epsilonTotal: 20, delta: 1e-6, maxRowsPerUnit: 2 } }
`;
/** 60 patients in 6 wards, 2 visits each. */
const VISITS = [
  'patient_id,visit,ward,cost',
  ...Array.from({ length: 120 }, (_, row) => `p${row % 60},${row},w${row % 6},${100 + (row % 7)}`),
].join('\n');
const REGIONS =
  'ward,region,weight\nw0,north,1\nw1,north,10\nw2,north,100\nw3,south,1000\nw4,south,10000\nw5,south,1\n';

describe('tables that consumers bring, over the wire', () => {
  let world: RuntimeWorld;
  let hospital: Glovebox;
  let acme: Glovebox;
  let other: Glovebox;
  const agreements: Record<string, string> = {};

  before(async () => {
    world = await runtimeWorld();
    hospital = await world.party('hospital', ['provider']);
    acme = await world.party('acme', ['consumer']);
    other = await world.party('other', ['consumer']);
    for (const [dataset, word] of [
      ['visits', 'true'],
      ['closed', 'false'],
    ] as const) {
      const path = join(world.folder, `${dataset}.csv`);
      writeFileSync(path, VISITS);
      for await (const { reasons } of registerFiles(hospital.catalogue, { name: dataset }, [{ path, table: dataset }]))
        assert.deepEqual(reasons, []);
      const { complaints } = await hospital.policies.attach({ document: POLICY(dataset, word) });
      assert.deepEqual(complaints, []);
      for (const [name, client] of [
        ['acme', acme],
        ['other', other],
      ] as const) {
        const { agreement } = await hospital.agreements.offer({ dataset, consumer: name });
        agreements[`${dataset} ${name}`] = agreement?.id ?? '';
        await client.agreements.accept({ id: agreement?.id ?? '' });
      }
    }
  });
  after(() => world[Symbol.asyncDispose]());

  async function bring(client: Glovebox, name: string, content: string | Uint8Array, days = 0): Promise<ConsumerTable> {
    const path = join(world.folder, `${name}.upload`);
    writeFileSync(path, content);
    return uploadTable(client.tables, { name, days }, { path });
  }

  async function ask(client: Glovebox, sql: string, more: { rule?: string; dataset?: string } = {}) {
    const { rule = 'statistics', dataset = 'visits' } = more;
    const who = client === acme ? 'acme' : 'other';
    const outcome = await client.jobs.sql(sql, { ruleId: rule, agreementIds: [agreements[`${dataset} ${who}`] ?? ''] });
    if (outcome.kind === 'refused')
      return { code: outcome.reasons[0]?.code ?? '', rows: [], guarantee: '', id: outcome.job.id };
    const rows = outcome.table.toArray().map((row) =>
      Object.values((row as { toJSON(): object }).toJSON())
        .map((value) => String(value))
        .join('|'),
    );
    return { code: 'released', rows, guarantee: outcome.job.guarantee, id: outcome.job.id };
  }

  const failure = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
      return 'ok';
    } catch (error) {
      if (!(error instanceof GloveboxError)) throw error;
      return `${error.code}: ${error.message}`;
    }
  };
  const JOINED =
    'select r.region, count(*) as n, sum(v.cost) as s from visits v join regions r on v.ward = r.ward group by r.region order by 1';

  it('are uploaded, listed with what they can be joined on, and label groups', async () => {
    const table = await bring(acme, 'regions', REGIONS, 7);
    assert.deepEqual(
      table.columns.map(({ name, type, isKey }) => [name, type, isKey]),
      [
        ['ward', 'VARCHAR', true],
        ['region', 'VARCHAR', false],
        ['weight', 'BIGINT', false],
      ],
    );
    assert.equal(table.expiresAtMs - table.uploadedAtMs, 7 * 86_400_000);
    const { tables } = await acme.tables.list({});
    assert.deepEqual(tables, [table]);
    const computation = { kind: 'sql' as const, sql: { text: JOINED } };
    const agreementIds = [agreements['visits acme'] ?? ''];
    const explained = await acme.jobs.explain({ job: { computation, ruleId: 'statistics', agreementIds } });
    assert.ok(explained.wouldRun && explained.enforced.some((words) => words.includes('table of yours')));
    const { code, rows } = await ask(acme, JOINED);
    assert.equal(code, 'released');
    assert.deepEqual(
      rows.map((row) => row.split('|').slice(0, 2).join()),
      ['north,60', 'south,60'],
    );
    assert.deepEqual((await ask(acme, 'select region, weight from my.regions where ward = $$w3$$')).rows, [
      'south|1000',
    ]);
  });

  it('are in evidence by their digest, with the job that used them, and nobody is named', async () => {
    const { id } = await ask(acme, `${JOINED} limit 7`);
    const [table] = (await acme.tables.list({})).tables;
    const { entries } = await world.operator.evidence.listEntries({ limit: 1000 });
    const text = entries.map(({ body }) => Buffer.from(body).toString('utf8')).join('\n');
    const digest = table?.digest.replace('sha256:', '') ?? '-';
    assert.match(text, /table\.uploaded/);
    assert.ok(text.includes(`consumer-table/${digest.slice(0, 16)}`), id);
    assert.ok(!text.includes('regions') && !text.includes('north'));
  });

  it('make another question with other content, and the same one with the same', async () => {
    const dp = 'select count(*) as n from visits v join labels l on v.ward = l.ward where l.label = 1';
    await bring(acme, 'labels', 'ward,label\nw0,1\nw1,1\nw2,2\n');
    const first = await ask(acme, dp, { rule: 'private' });
    assert.equal(first.code, 'released');
    assert.match((await ask(acme, dp, { rule: 'private' })).guarantee, /this is the answer of job/);
    await bring(acme, 'labels', 'ward,label\nw0,1\nw1,2\nw2,2\n');
    const changed = await ask(acme, dp, { rule: 'private' });
    assert.equal(changed.code, 'released');
    assert.doesNotMatch(changed.guarantee, /this is the answer of job/);
    assert.match(first.guarantee, /at most 2 rows/, 'the bound of a unit holds after the join');
    assert.equal(
      (await ask(acme, 'select sum(r.weight) from visits v join regions r on v.ward = r.ward', { rule: 'private' }))
        .code,
      'consumer-table-measure',
    );
  });

  it('are compared with each other and with plain answers: a list and the list without one', async () => {
    const list = (patients: number): string =>
      `visit\n${Array.from({ length: 120 }, (_, row) => row)
        .filter((row) => row % 60 < patients)
        .join('\n')}\n`;
    const counted = 'select count(*) as n from visits v join list l on v.visit = l.visit';
    await bring(acme, 'list', list(20));
    assert.deepEqual((await ask(acme, counted)).rows, ['40']);
    await bring(acme, 'list', list(19));
    assert.deepEqual((await ask(acme, counted)).rows, []);
    // Eleven are left out in all, three of them within the two wards: the plain answer less this one would be those three.
    const wards = "v.ward in ('w0', 'w1')";
    assert.deepEqual((await ask(acme, `select count(*) as n from visits v where ${wards}`)).rows, ['40']);
    await bring(acme, 'list', list(49));
    assert.deepEqual((await ask(acme, `${counted} where ${wards}`)).rows, []);
  });

  it('need the provider’s word, per dataset', async () => {
    const refused = await ask(acme, JOINED.replace('visits v', 'closed v'), { dataset: 'closed' });
    assert.equal(refused.code, 'consumer-table-not-allowed');
    assert.equal(
      (await ask(acme, 'select count(*) from visits v join regions r on v.patient_id = r.ward')).code,
      'consumer-table-on-unit',
    );
    assert.equal(
      (await ask(acme, 'select sum(r.weight) from visits v join regions r on v.ward = r.ward')).code,
      'consumer-table-measure',
    );
  });

  it('are nobody else’s: not to name, to list, to remove or to replace', async () => {
    assert.deepEqual((await other.tables.list({})).tables, []);
    assert.equal((await ask(other, JOINED)).code, 'table-unknown');
    assert.match(await failure(other.tables.remove({ name: 'regions' })), /^not-found/);
    await bring(other, 'regions', 'ward,region\nw0,mine\nw1,mine\nw2,mine\nw3,mine\nw4,mine\nw5,mine\n');
    assert.equal((await ask(other, JOINED)).rows.length, 1);
    assert.equal((await ask(acme, `${JOINED} limit 9`)).rows.length, 2);
    await other.tables.remove({ name: 'regions' });
    assert.equal(
      (await acme.tables.list({})).tables.some(({ name }) => name === 'regions'),
      true,
    );
    assert.match(await failure(hospital.tables.list({})), /^role-missing/);
  });

  it('are refused whole when they are damaged, and by who brings none', async () => {
    const before = (await acme.tables.list({})).tables;
    assert.match(await failure(bring(acme, 'bad', Buffer.from('PAR1garbagePAR1'))), /^argument-not-valid/);
    assert.match(await failure(bring(acme, 'Bad', 'a\n1\n')), /^argument-not-valid.*table name/);
    assert.match(await failure(bring(hospital, 'x', 'a\n1\n')), /^role-missing/);
    const large = await failure(bring(acme, 'x', new Uint8Array(TABLE_LIMITS.maxUploadBytes + 1).fill(97)));
    assert.match(large, /^message-too-large/);
    assert.deepEqual((await acme.tables.list({})).tables, before, 'nothing is left behind');
  });

  it('are no longer used when their bytes changed on the disk', async () => {
    await bring(acme, 'touched', 'ward,label\nw0,1\n');
    const root = join(world.folder, 'data', 'tables');
    const folder = tableFolder(root, 'acme', 'touched');
    const [version = ''] = readdirSync(folder);
    const file = readdirSync(join(folder, version)).find((name) => name.endsWith('.parquet')) ?? '';
    writeFileSync(join(folder, version, file), 'something else');
    assert.equal(
      (await ask(acme, 'select count(*) from visits v left join touched t on v.ward = t.ward')).code,
      'consumer-table-changed',
    );
    await acme.tables.remove({ name: 'touched' });
  });

  it('are deleted when their owner says so and when their time is over, bytes and all', async () => {
    const stored = (): number =>
      readdirSync(join(world.folder, 'data', 'tables'), { recursive: true, encoding: 'utf8' }).filter((name) =>
        /\.(parquet|duckdb)$/.test(name),
      ).length;
    for (const { name } of (await acme.tables.list({})).tables) await acme.tables.remove({ name });
    assert.equal(stored(), 0);
    assert.equal((await ask(acme, JOINED)).code, 'table-unknown');
    await bring(acme, 'regions', REGIONS, 1);
    assert.ok(stored() > 0);
    world.pass(86_400_000);
    assert.deepEqual((await acme.tables.list({})).tables, []);
    assert.equal((await ask(acme, JOINED)).code, 'table-unknown');
    await world.runtime.gateway.sweep();
    assert.equal(stored(), 0);
  });
});

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runEncryptedQuery } from '../../runtime/client/encrypted-query.ts';
import { encryptedResultOf, uploadObject } from '../../runtime/client/homomorphic.ts';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { queryFactsOf } from '../../runtime/homomorphic/query-facts.ts';
import { generateKeyBundles } from '../../runtime/homomorphic/keys.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import {
  decryptQueryResult,
  encryptQuery,
  QUERY_PROFILE,
  readQuery,
  type QueryColumn,
} from '../../runtime/homomorphic/query.ts';
import { addDataset, runtimeWorld, type RuntimeWorld } from '../gateway/runtime-world.ts';
import { colon } from '../homomorphic/support.ts';
import { program } from './homomorphic-world.ts';

const clinic = colon();
const COLUMNS: readonly QueryColumn[] = [
  { column: 'age', decimals: 0, low: 0n, high: 120n },
  { column: 'time', decimals: 0, low: 0n, high: 4000n },
];
const ROWS = 8192;
const POLICY = `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: colon, grade: important }
privacyUnit: [id]
columns:
  id: { rights: [countDistinct] }
  age: { rights: [aggregate], bounds: [0, 120] }
  time: { rights: [aggregate], bounds: [0, 4000] }
allow:
  - { id: scores, mode: homomorphic, release: { programs: [queryLinear, queryDot, lookup], schemes: [bgv], securityBits: 128, minUnits: 10, maxQueries: 3 } }
`;

let world: RuntimeWorld;
let acme: Glovebox;
const consumer = await openNodeSealBackend();
const { open, secret } = generateKeyBundles(consumer, ['bgv-query']);
consumer.open(QUERY_PROFILE).useSecretKey(secret.keys[0]?.secretKey as Uint8Array);
const publicKey = open.keys[0]?.publicKey as Uint8Array;

before(async () => {
  world = await runtimeWorld();
  const hospital = await world.party('hospital', ['provider']);
  acme = await world.party('acme', ['consumer']);
  const rows = clinic.id.map((id, i) => `${id},${clinic.age[i] ?? 0},${clinic.time[i] ?? 0}`);
  await addDataset(world, hospital, 'colon', ['id,age,time', ...rows].join('\n'));
  const { complaints } = await hospital.policies.attach({ document: POLICY });
  assert.deepEqual(complaints, []);
  const { agreement } = await hospital.agreements.offer({ dataset: 'colon', consumer: 'acme' });
  await acme.agreements.accept({ id: agreement?.id ?? '' });
});
after(() => world[Symbol.asyncDispose]());

async function sent(
  query: Partial<Parameters<typeof encryptQuery>[1]> = {},
): Promise<{ digest: string; bytes: Uint8Array }> {
  const whole = {
    name: 'queryLinear' as const,
    columns: COLUMNS,
    output: 'total' as const,
    rows: ROWS,
    vector: BigInt64Array.from([12n, -3n]),
    ...query,
  };
  const bytes = encryptQuery({ backend: consumer, publicKey }, whole);
  const outcome = await uploadObject(acme.homomorphic, { kind: 'query' }, bytes);
  assert.ok(outcome.kind === 'stored');
  return { digest: outcome.object.digest, bytes };
}

const codesOf = async (job: object): Promise<readonly string[]> => {
  const outcome = await acme.jobs.run(job);
  assert.equal(outcome.kind, 'refused');
  return outcome.kind === 'refused' ? outcome.reasons.map(({ code }) => code) : [];
};

test('a score by an encrypted model equals that of the plaintext, and is the asker’s alone to read', async () => {
  const { digest, bytes } = await sent();
  const outcome = await acme.jobs.run(program('queryLinear', ['age', 'time'], { inputs: [digest] }));
  assert.ok(outcome.kind === 'released', outcome.kind === 'refused' ? JSON.stringify(outcome.reasons) : '');
  const [total] = decryptQueryResult(consumer, readQuery(bytes).header, encryptedResultOf(outcome.table));
  const truth = clinic.age.reduce((sum, age, i) => sum + 12 * age - 3 * (clinic.time[i] ?? 0), 0);
  assert.equal(total, BigInt(truth));
});

test('a query whose slots single out one row learns a total, not the row', async () => {
  // The first slot weighs, the others do not: an honest client cannot make this, so it is cut from a vector query.
  const vector = new BigInt64Array(ROWS);
  vector[7] = 1n;
  const crafted = encryptQuery(
    { backend: consumer, publicKey },
    { name: 'queryDot', columns: COLUMNS.slice(0, 1), output: 'total', rows: ROWS, vector },
  );
  const honest = encryptQuery(
    { backend: consumer, publicKey },
    {
      name: 'queryLinear',
      columns: COLUMNS.slice(0, 1),
      output: 'total',
      rows: ROWS,
      vector: BigInt64Array.from([1n]),
    },
  );
  const { header, ciphertexts } = readQuery(crafted);
  assert.equal(ciphertexts.length, 1);
  assert.equal(header.ciphertexts, 1);
  const forged = Buffer.concat([
    honest.subarray(0, honest.byteLength - (ciphertexts[0]?.byteLength ?? 0)),
    ciphertexts[0] as Uint8Array,
  ]);
  const uploaded = await uploadObject(acme.homomorphic, { kind: 'query' }, forged);
  assert.ok(uploaded.kind === 'stored');
  const outcome = await acme.jobs.run(program('queryLinear', ['age'], { inputs: [uploaded.object.digest] }));
  assert.ok(outcome.kind === 'released', outcome.kind === 'refused' ? JSON.stringify(outcome.reasons) : '');
  const [total] = decryptQueryResult(consumer, readQuery(forged).header, encryptedResultOf(outcome.table));
  assert.equal(total, 0n, 'slot 7 meets a zero, not a patient');
});

test('programs that single out rows, queries of others and of another size are refused, and explain says what fits', async () => {
  const dot = new BigInt64Array(ROWS);
  const { digest } = await sent({ name: 'queryDot', columns: COLUMNS.slice(0, 1), vector: dot });
  assert.deepEqual(await codesOf(program('queryDot', ['age'], { inputs: [digest] })), ['query-singles-out']);
  const rows = await sent({ output: 'rows' });
  assert.deepEqual(await codesOf(program('queryLinear', ['age', 'time'], { inputs: [rows.digest] })), [
    'query-singles-out',
  ]);
  const small = await sent({ rows: 1858 });
  assert.deepEqual(await codesOf(program('queryLinear', ['age', 'time'], { inputs: [small.digest] })), [
    'query-for-others',
  ]);
  const answer = await acme.jobs.explain({ job: program('queryLinear', ['age', 'time']) });
  assert.deepEqual(queryFactsOf(answer.queryShape), { rows: ROWS, columns: COLUMNS });
  assert.doesNotMatch(answer.reasons[0]?.remedy ?? '', /[{}]/, 'for people, not for programs');
  const eve = await world.party('eve', ['consumer']);
  const { objects } = await eve.homomorphic.list({});
  assert.deepEqual(objects, []);
});

test('queries beyond the cap are refused, durably', async () => {
  const { digest } = await sent();
  const job = program('queryLinear', ['age', 'time'], { inputs: [digest] });
  assert.equal((await acme.jobs.run(job)).kind, 'released');
  assert.deepEqual(await codesOf(job), ['budget-exhausted']);
});

// Column bits: wide enough that one answer cannot carry half of the columns, which the extraction guard asks for.
const WIDE = 8;
const wideNames = Array.from({ length: WIDE }, (_, i) => `m${i}`);
const wideRows = clinic.id.map((id, row) => [
  id,
  ...wideNames.map((_, i) => (id * 7919 + row * 104_729 + i * 15_485) % 4096),
]);

async function singleRows(name: string, release: string): Promise<Glovebox> {
  const hospital = await world.party(`${name}-hospital`, ['provider']);
  const consumer = await world.party(`${name}-consumer`, ['consumer']);
  await addDataset(
    world,
    hospital,
    name,
    [['id', ...wideNames].join(','), ...wideRows.map((row) => row.join(','))].join('\n'),
  );
  const { complaints } = await hospital.policies.attach({
    document: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${name}, grade: internal }
privacyUnit: [id]
columns:
  id: { rights: [countDistinct] }
${wideNames.map((column) => `  ${column}: { rights: [aggregate], bounds: [0, 4095] }`).join('\n')}
allow:
  - { id: single, mode: homomorphic, release: { programs: [queryLinear, queryLogistic, queryDot, lookup], schemes: [bgv], securityBits: 128, ${release} } }
`,
  });
  assert.deepEqual(complaints, []);
  const { agreement } = await hospital.agreements.offer({ dataset: name, consumer: `${name}-consumer` });
  await consumer.agreements.accept({ id: agreement?.id ?? '' });
  return consumer;
}

/** Rows as the runtime numbers them: by unit, then by the values asked for. */
const inOrder = (columns: readonly string[]): readonly (readonly number[])[] => {
  const places = columns.map((column) => 1 + wideNames.indexOf(column));
  return wideRows
    .map((row) => [row[0] ?? 0, ...places.map((place) => row[place] ?? 0)])
    .toSorted((a, b) => a.map((value, i) => value - (b[i] ?? 0)).find((difference) => difference !== 0) ?? 0)
    .map(([, ...values]) => values);
};

test('where a rule lets single rows be met, a lookup by encrypted index gives one record’s permitted columns', async () => {
  const consumer = await singleRows('records', 'minUnits: 1, maxQueries: 5');
  for (const row of [0, 1234]) {
    const outcome = await runEncryptedQuery(consumer, {
      program: { name: 'lookup', columns: ['m3', 'm5'] },
      model: { row },
    });
    assert.ok(outcome.kind === 'answered', outcome.kind === 'refused' ? JSON.stringify(outcome.reasons) : '');
    assert.deepEqual(
      outcome.answers.map(({ value }) => value),
      inOrder(['m3', 'm5'])[row],
    );
    assert.match(outcome.job.guarantee, /may rest on a single row/);
  }
  const beyond = await runEncryptedQuery(consumer, {
    program: { name: 'lookup', columns: ['m3'] },
    model: { row: 5000 },
  });
  assert.deepEqual(beyond.kind === 'answered' && beyond.answers.map(({ value }) => value), [0]);
  const vector = inOrder(['m1']).map((_, i) => ((i * 37) % 21) - 10);
  const dot = await runEncryptedQuery(consumer, {
    program: { name: 'queryDot', columns: ['m1'] },
    model: { vector, decimals: 0 },
  });
  const expected = inOrder(['m1']).reduce((sum, [value = 0], i) => sum + value * (vector[i] ?? 0), 0);
  assert.deepEqual(dot.kind === 'answered' && dot.answers, [{ name: 'total', row: null, value: expected }]);
  const denied = await runEncryptedQuery(consumer, { program: { name: 'lookup', columns: ['id'] }, model: { row: 0 } });
  assert.deepEqual(denied.kind === 'refused' && denied.reasons.map(({ code }) => code), ['column-right-missing']);
});

test('scores row by row by an encrypted model equal those of the plaintext, until they could solve for the rows', async () => {
  const consumer = await singleRows('scores', 'minUnits: 1, maxQueries: 5');
  const weights = Object.fromEntries(wideNames.map((name, i) => [name, (i - 3) / 4]));
  const request = {
    program: { name: 'queryLinear', columns: wideNames, parameters: { rows: 1 } },
    model: { weights, intercept: 0.5, decimals: 2, count: wideRows.length },
  };
  const outcome = await runEncryptedQuery(consumer, request);
  assert.ok(outcome.kind === 'answered', outcome.kind === 'refused' ? JSON.stringify(outcome.reasons) : '');
  assert.deepEqual(
    outcome.answers.map(({ value }) => value),
    inOrder(wideNames).map((row) => row.reduce((sum, value, i) => sum + ((i - 3) / 4) * value, 0.5)),
  );
  const again = await runEncryptedQuery(consumer, request);
  assert.deepEqual(again.kind === 'refused' && again.reasons.map(({ code }) => code), ['budget-exhausted']);
  // Few narrow columns fit side by side into one answer: their rows could be read off, so no query is allowed at all.
  const narrow = await runEncryptedQuery(consumer, {
    program: { name: 'queryLinear', columns: ['m0', 'm1'], parameters: { rows: 1 } },
    model: { weights: { m0: 1, m1: 4096 }, decimals: 0 },
  });
  assert.deepEqual(narrow.kind === 'refused' && narrow.reasons.map(({ code }) => code), ['budget-exhausted']);
});

test('a rule over single units without a cap on queries still meets no single row', async () => {
  const consumer = await singleRows('uncapped', 'minUnits: 1');
  for (const program of [
    { name: 'lookup', columns: ['m0'] },
    { name: 'queryDot', columns: ['m0'] },
    { name: 'queryLogistic', columns: wideNames, parameters: { rows: 1 } },
  ]) {
    const { reasons } = await consumer.jobs.explain({
      job: { computation: { kind: 'homomorphic', homomorphic: program } },
    });
    assert.deepEqual(
      reasons.map(({ code }) => code),
      ['query-singles-out'],
      program.name,
    );
  }
});

const filledIn = { always: 1, often: 3, hardly: 400 } as const;
type Filled = keyof typeof filledIn;
const valueOf = (column: Filled, row: number): number | null =>
  row % filledIn[column] === 0 ? ((row * 7919) % 4000) / 8 - 100 : null;

/** A dataset of which one column is hardly ever filled in, under a rule that wants ten units. */
async function gaps(name: string, functions: string): Promise<Glovebox> {
  const hospital = await world.party(`${name}-hospital`, ['provider']);
  const party = await world.party(`${name}-consumer`, ['consumer']);
  const names = Object.keys(filledIn) as readonly Filled[];
  const lines = clinic.id.map((id, row) => [id, ...names.map((column) => valueOf(column, row) ?? '')].join(','));
  await addDataset(world, hospital, name, [`id,${names.join(',')}`, ...lines].join('\n'));
  const { complaints } = await hospital.policies.attach({
    document: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${name}, grade: internal }
privacyUnit: [id]
columns:
  id: { rights: [countDistinct] }
${names.map((column) => `  ${column}: { rights: [aggregate], functions: [${functions}], bounds: [-100, 400] }`).join('\n')}
allow:
  - { id: models, mode: homomorphic, release: { programs: [queryLinear, queryLogistic], schemes: [bgv], securityBits: 128, minUnits: 10 } }
`,
  });
  assert.deepEqual(complaints, []);
  const { agreement } = await hospital.agreements.offer({ dataset: name, consumer: `${name}-consumer` });
  await party.agreements.accept({ id: agreement?.id ?? '' });
  return party;
}

const meanOf = (column: Filled): number => {
  const values = clinic.id.flatMap((_, row) => valueOf(column, row) ?? []);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
};

test('a model meets the means of columns without anybody telling how many rows there are; missing values are left out', async () => {
  const party = await gaps('means', 'avg');
  const weights = { always: 0.5, often: -0.25 };
  const request = {
    program: { name: 'queryLogistic', columns: ['always', 'often'], parameters: { mean: 1 } },
    model: { weights, intercept: 1, decimals: 2 },
  };
  const outcome = await runEncryptedQuery(party, request);
  assert.ok(outcome.kind === 'answered', outcome.kind === 'refused' ? JSON.stringify(outcome.reasons) : '');
  assert.match(outcome.job.guarantee, /column means, each over at least/);
  const truth = 1 + 0.5 * meanOf('always') - 0.25 * meanOf('often');
  assert.deepEqual(
    outcome.answers.map(({ name }) => name),
    ['mean', 'risk at the mean'],
  );
  assert.ok(Math.abs((outcome.answers[0]?.value ?? 0) - truth) < 2e-5, `${outcome.answers[0]?.value} is not ${truth}`);
  const total = await runEncryptedQuery(party, { ...request, program: { ...request.program, parameters: {} } });
  assert.deepEqual(total.kind === 'refused' && total.reasons.map(({ code }) => code), ['column-right-missing']);
  const both = { ...request.program, parameters: { mean: 1, rows: 1 } };
  const odd = await runEncryptedQuery(party, { ...request, program: both });
  assert.deepEqual(odd.kind === 'refused' && odd.reasons.map(({ code }) => code), ['bad-program']);
});

test('a column that hardly anybody fills in gives no total and no mean, alone or beside one that everybody does', async () => {
  const party = await gaps('gaps', 'sum, avg');
  const ask = (columns: readonly Filled[], parameters: Record<string, number>): ReturnType<typeof runEncryptedQuery> =>
    runEncryptedQuery(party, {
      program: { name: 'queryLinear', columns, parameters },
      model: { weights: Object.fromEntries(columns.map((column) => [column, 1])), decimals: 0 },
    });
  assert.equal((await ask(['often'], {})).kind, 'answered');
  assert.equal((await ask(['hardly'], { mean: 1 })).kind, 'refused');
  assert.equal((await ask(['always', 'hardly'], {})).kind, 'refused');
});

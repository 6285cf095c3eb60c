import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { encryptedResultOf, uploadObject } from '../../runtime/client/homomorphic.ts';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { parseQueryFacts } from '../../runtime/homomorphic/query-facts.ts';
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
  assert.deepEqual(parseQueryFacts(answer.reasons[0]?.remedy ?? ''), { rows: ROWS, columns: COLUMNS });
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

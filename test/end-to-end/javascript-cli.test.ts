import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, type ServedRuntime, serveRuntime } from './runtime.ts';

const example = (name: string): string => join(ROOT, 'examples', 'code', name);
const data = join(ROOT, 'examples', 'data', 'clinical', 'colon.csv');

let served: ServedRuntime;
let acme: string;
let mary: string;
before(async () => {
  served = await serveRuntime();
  acme = join(served.folder, 'acme.credential.json');
  mary = join(served.folder, 'mary.credential.json');
  await ok('party', 'add', 'acme', '--role', 'consumer', '--out', acme);
  await ok('party', 'add', 'mary', '--role', 'provider', '--group', 'dpo', '--out', mary);
  await ok('dataset', 'add', 'clinical', '--from', data);
  await ok('policy', 'attach', example('policy.yaml'));
  await ok('agreement', 'offer', '--dataset', 'clinical', '--to', 'acme');
  await ok('agreement', 'accept', '--as', acme);
});
after(() => served[Symbol.asyncDispose]());

async function ok(...args: readonly string[]): Promise<string> {
  const { exit, stdout, stderr } = await served.run(...args);
  assert.equal(exit, 0, `${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

test('the examples run as the guide says, and explain tells guarantee, form, error and price first', async () => {
  const explained = await ok('job', 'explain', '--program', example('risk-score.yaml'), '--as', acme);
  assert.match(explained, /guarantee: differential privacy per privacy unit/);
  assert.match(explained, /at most 2 rows of each privacy unit/);
  assert.match(explained, /expected error of mean\(score\): ±/);
  assert.match(explained, /costs epsilon 2 of clinical/);
  const scores = await ok(
    'job',
    'run',
    '--program',
    example('risk-score.ts'),
    '--spec',
    example('risk-score.yaml'),
    '--as',
    acme,
  );
  assert.match(scores, /Lev\+5FU +mean\(score\) +0\.\d/);
  assert.match(await ok('job', 'run', '--program', example('clusters.yaml'), '--as', acme), /cluster 1: age +[67]\d\./);
  const budget = await ok('budget', 'show', '--as', acme);
  assert.match(budget, /code .* 4 /);
});

test('code is submitted, reviewed, approved by two and run by its digest on the command line', async () => {
  const submit = [
    'code',
    'submit',
    '--spec',
    example('events-by-arm.yaml'),
    '--name',
    'events',
    '--dataset',
    'clinical',
  ];
  const { value } = await served.json<{ code: { digest: string } }>(...submit, '--as', acme);
  const { digest } = value.code;
  const early = await served.run('job', 'run', '--program', example('events-by-arm.yaml'), '--as', acme);
  assert.equal(early.exit, 1);
  assert.match(early.stdout + early.stderr, /0 of 2 approvals/);
  assert.match(await ok('code', 'review', digest, '--as', mary), /mean days/);
  await ok('code', 'approve', digest, '--capacity', 'dpo', '--as', mary);
  assert.match(await ok('code', 'approve', digest, '--capacity', 'owner'), /approved/);
  const answer = await ok('job', 'run', '--program', example('events-by-arm.yaml'), '--as', acme);
  const lines = readFileSync(data, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"Obs"'));
  assert.match(answer, new RegExp(`Obs +${lines.length} `));
  await ok('code', 'revoke', digest, '--as', mary);
  assert.equal((await served.run('job', 'run', '--program', example('events-by-arm.yaml'), '--as', acme)).exit, 1);
});

test('code is debugged on a synthetic twin, with its errors and console', async () => {
  const broken = join(served.folder, 'broken.ts');
  writeFileSync(
    broken,
    'export default (input: { columns: Record<string, Float64Array> }) => { console.log("rows", input.rows); return input.columns.time.nothing.here }',
  );
  const { exit, stdout } = await served.run(
    'job',
    'debug',
    '--program',
    broken,
    '--spec',
    example('median-survival.yaml'),
    '--as',
    acme,
  );
  assert.equal(exit, 1);
  assert.match(stdout, /console: rows 1000/);
  assert.match(stdout, /undefined/);
  const explain = ['job', 'explain', '--spec', example('median-survival.yaml'), '--as', acme];
  assert.match(
    await ok(...explain, '--program', broken),
    /on synthetic rows: TypeError: [^]* counts as the declared defaults/,
  );
  assert.doesNotMatch(
    await ok('job', 'explain', '--program', example('median-survival.yaml'), '--as', acme),
    /synthetic/,
  );
  const good = await ok('job', 'debug', '--program', example('risk-score.yaml'), '--as', acme);
  assert.match(good, /"result":0\.\d/);
  const file = join(served.folder, 'twin.arrow');
  await ok('dataset', 'twin', 'clinical', '--out', file, '--rows', '50', '--as', acme);
  const { tableFromIPC } = await import('apache-arrow');
  const twin = tableFromIPC(readFileSync(file));
  assert.equal(twin.numRows, 50);
  assert.ok(twin.schema.fields.some(({ name }) => name === 'rx'));
  assert.ok(!twin.schema.fields.some(({ name }) => name === 'surg'));
  const refused = join(served.folder, 'no-twin.arrow');
  const asked = ['dataset', 'twin', 'clinical', '--out', refused, '--marginals', 'job-1', 'job-2', '--as', acme];
  const answer = await served.run(...asked);
  assert.equal(answer.exit, 1);
  assert.match(answer.stdout + answer.stderr, /`job-1`[^]*`job-2`[^]*result-unknown/);
  assert.ok(!existsSync(refused), 'a refusal writes no file');
});

test('a description that is wrong is refused with its place', async () => {
  const { exit, stderr } = await served.runProcess('job', 'run', '--spec', data, '--as', acme);
  assert.equal(exit, 2);
  assert.match(stderr, /colon\.csv:\d+:\d+ /);
});

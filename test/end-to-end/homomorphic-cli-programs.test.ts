import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { decryptorProcess } from './decryptor-process.ts';
import { serveRuntime, type ServedRuntime } from './runtime.ts';

/* Every homomorphic program as a provider and a consumer have it: from the command line, answers against plaintext. */

const ROWS = Array.from({ length: 80 }, (_, i) => ({
  id: i % 40,
  arm: i % 3,
  g: i % 2 === 0 ? 'a' : 'b',
  cost: (i * 13) % 100,
  w: (i * 7) % 50,
  p: (i * 11) % 40,
  q: (i * 17) % 30,
  z: ((i * 29) % 41) / 10 - 2,
}));
type Column = 'cost' | 'w' | 'p' | 'q' | 'z';
const WIDE = ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm7'];
const wideOf = (row: number, column: number): number => (row * 7919 + column * 104_729) % 4096;
const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const all = (column: Column): readonly number[] => ROWS.map((row) => row[column]);
const mean = (values: readonly number[]): number => total(values) / values.length;
const covariance = (a: readonly number[], b: readonly number[]): number =>
  mean(a.map((value, i) => value * (b[i] ?? 0))) - mean(a) * mean(b);

let runtime: ServedRuntime;
const path = (name: string): string => join(runtime.folder, name);
async function did(...args: readonly string[]): Promise<void> {
  const { exit, stderr, stdout } = await runtime.run(...args);
  assert.equal(exit, 0, `${args.join(' ')}: ${stderr}${stdout}`);
}
async function agreed(dataset: string, columns: string, release: string): Promise<void> {
  writeFileSync(
    path(`${dataset}.yaml`),
    `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${dataset}, grade: internal }
privacyUnit: [id]
columns:
  id: { rights: [countDistinct] }
${columns}
allow:
  - { id: encrypted, mode: homomorphic, release: { schemes: [bgv, ckks], securityBits: 128, ${release} } }
`,
  );
  await did('policy', 'attach', path(`${dataset}.yaml`));
  const offer = ['agreement', 'offer', '--dataset', dataset, '--to', 'acme'];
  const { agreement } = (await runtime.json<{ readonly agreement: { readonly id: string } }>(...offer)).value;
  await did('agreement', 'accept', agreement.id, '--as', path('acme.json'));
}

interface Answer {
  readonly rows?: readonly { readonly value: number }[];
  readonly answers?: readonly { readonly name: string; readonly value: number }[];
}
let files = 0;
async function asked(program: object, ...more: readonly string[]): Promise<string> {
  const file = path(`program-${files++}.json`);
  writeFileSync(file, JSON.stringify(program));
  const { exit, stdout, stderr } = await runtime.run(
    'job',
    'run',
    '--program',
    file,
    ...more,
    '--json',
    '--as',
    path('acme.json'),
  );
  assert.equal(exit, 0, `${JSON.stringify(program)}: ${stderr}${stdout}`);
  return stdout;
}

before(async () => {
  runtime = await serveRuntime();
  await did('party', 'add', 'acme', '--role', 'consumer', '--out', path('acme.json'));
});
after(async () => await runtime[Symbol.asyncDispose]());

test('every program over encrypted columns gives from the command line what plaintext gives', async () => {
  const names = Object.keys(ROWS[0] ?? {}) as (keyof (typeof ROWS)[number])[];
  writeFileSync(path('rows.csv'), [names.join(), ...ROWS.map((row) => names.map((n) => row[n]).join())].join('\n'));
  await did('key', 'generate', '--for', 'study', '--out', path('keys'));
  const key = path('keys/study.secret.json');
  const encrypted = ['--encrypt', 'cost', 'w', 'p', 'q', 'z', 'arm', '--from', path('rows.csv'), '--unit', 'id'];
  const bounds = ['--bounds', 'cost=0:100', 'w=0:50', 'p=0:40', 'q=0:30', 'z=-2:2', '--categories', 'arm=0,1,2'];
  const meant = ['--programs', 'sum,mean,count,variance,groupSums', 'w=linear', 'p=dot,covariance', 'q=dot,covariance'];
  const grouped = ['--group', 'g', '--groups', 'a', 'b', '--key', key];
  const wrong = await runtime.run(
    'dataset',
    'add',
    'study',
    ...encrypted,
    ...bounds,
    ...grouped,
    '--programs',
    'x=dot',
  );
  assert.equal(wrong.exit, 2, 'a column that is not encrypted has no programs');
  await did('dataset', 'add', 'study', ...encrypted, ...bounds, ...meant, 'z=logistic', ...grouped);
  await using decryptor = await decryptorProcess(
    ['--key', key, '--data', path('keys/decryptor'), '--listen', '127.0.0.1:0', '--consumer', 'acme'],
    { address: runtime.address, credential: runtime.credential },
  );
  const certificate = path('keys/decryptor/decryptor.pem');
  await did('dataset', 'decryptor', 'study', '--at', decryptor.at, '--certificate', certificate);
  await agreed(
    'study',
    `${['cost', 'w', 'p', 'q', 'z'].map((name) => `  ${name}: { rights: [aggregate] }`).join('\n')}
  arm: { rights: [group] }
  g: { rights: [group] }`,
    'programs: [sum, count, mean, variance, covariance, dot, linear, logistic, groupSums, countEqual, histogram], minUnits: 10',
  );
  const numbers = async (name: string, columns: readonly string[], more: object = {}): Promise<readonly number[]> => {
    const text = await asked({ name, columns, dataset: 'study', ...more });
    return ((JSON.parse(text) as Answer).rows ?? []).map(({ value }) => Number(value));
  };
  const near = (got: readonly number[], wanted: readonly number[], most = 1e-9): void => {
    assert.equal(got.length, wanted.length);
    wanted.forEach((value, i) => assert.ok(Math.abs((got[i] ?? NaN) - value) <= most, `${got[i]} is not ${value}`));
  };
  const cost = all('cost');
  const groupOf = (g: string): readonly number[] => {
    const values = ROWS.filter((row) => row.g === g).map((row) => row.cost);
    return [total(values), values.length, mean(values)];
  };
  const armOf = (arm: number): number => ROWS.filter((row) => row.arm === arm).length;
  const cubic = (u: number): number => 0.5 + 0.2 * u - 0.004 * u ** 3;
  // two at once: the decryptor works on one after the other
  await Promise.all([
    numbers('sum', ['cost']).then((got) => near(got, [total(cost), 80])),
    numbers('count', ['cost']).then((got) => near(got, [80])),
  ]);
  await Promise.all([
    numbers('mean', ['cost']).then((got) => near(got, [mean(cost), 80])),
    numbers('variance', ['cost']).then((got) => near(got, [covariance(cost, cost), 80])),
    numbers('groupSums', ['cost']).then((got) => near(got, [...groupOf('a'), ...groupOf('b')])),
    numbers('linear', ['w'], { weights: [-3] }).then((got) => near(got, [-3 * mean(all('w')), 80])),
  ]);
  await Promise.all([
    numbers('dot', ['p', 'q']).then((got) => near(got, [total(all('p').map((v, i) => v * (all('q')[i] ?? 0)))])),
    numbers('covariance', ['p', 'q']).then((got) => near(got, [covariance(all('p'), all('q')), 80])),
    numbers('histogram', ['arm']).then((got) => near(got, [0, 1, 2].map(armOf))),
    numbers('countEqual', ['arm'], { parameters: { value: 2 } }).then((got) => near(got, [armOf(2)])),
    numbers('logistic', ['z'], { weights: [1], parameters: { c0: 0.5, c1: 0.2, c3: -0.004 } }).then((got) =>
      near(got, [mean(all('z').map(cubic)), 80], 0.005),
    ),
  ]);
});

test('every program with an encrypted model gives from the command line what plaintext gives', async () => {
  const lines = ROWS.map((_, row) => [row, ...WIDE.map((_name, column) => wideOf(row, column))].join());
  writeFileSync(path('wide.csv'), [`id,${WIDE.join()}`, ...lines].join('\n'));
  await did('dataset', 'add', 'records', '--from', path('wide.csv'));
  await agreed(
    'records',
    WIDE.map((name) => `  ${name}: { rights: [aggregate], bounds: [0, 4095] }`).join('\n'),
    'programs: [queryLinear, queryLogistic, queryDot, lookup], minUnits: 1, maxQueries: 10',
  );
  const answers = async (program: object, model: object): Promise<readonly number[]> => {
    const file = path(`model-${files++}.json`);
    writeFileSync(file, JSON.stringify(model));
    const text = await asked({ dataset: 'records', ...program }, '--encrypt-model', file);
    return ((JSON.parse(text) as Answer).answers ?? []).map(({ value }) => value);
  };
  const column = (c: number): readonly number[] => ROWS.map((_, row) => wideOf(row, c));
  const score = 0.5 * mean(column(0)) - 0.25 * mean(column(1)) - 200;
  const meanModel = { weights: { m0: 0.5, m1: -0.25 }, intercept: -200, decimals: 2 };
  const each = Object.fromEntries(WIDE.map((name, i) => [name, i - 3]));
  const [means, totals, dot, record] = await Promise.all([
    answers({ name: 'queryLogistic', columns: ['m0', 'm1'], parameters: { mean: 1 } }, meanModel),
    answers({ name: 'queryLinear', columns: ['m0', 'm1'] }, { weights: { m0: 2, m1: -1 }, decimals: 0 }),
    answers({ name: 'queryDot', columns: ['m2'] }, { vector: [1, -2, 3], decimals: 0 }),
    answers({ name: 'lookup', columns: ['m3', 'm4'] }, { row: 17 }),
  ]);
  // Scores of all rows leave nothing of the account that lookups are counted in, so they come last.
  const perRow = { name: 'queryLinear', columns: WIDE, parameters: { rows: 1 } };
  const rows = await answers(perRow, { weights: each, decimals: 0, count: 80 });
  assert.ok(Math.abs((means[0] ?? NaN) - score) < 0.01, `${means[0]} is not ${score}`);
  assert.ok(Math.abs((means[1] ?? NaN) - 1 / (1 + Math.exp(-score))) < 0.01);
  assert.deepEqual(totals, [2 * total(column(0)) - total(column(1))]);
  assert.deepEqual(
    rows,
    ROWS.map((_, row) => total(WIDE.map((_name, c) => (c - 3) * wideOf(row, c)))),
  );
  assert.deepEqual(dot, [wideOf(0, 2) - 2 * wideOf(1, 2) + 3 * wideOf(2, 2)]);
  assert.deepEqual(record, [wideOf(17, 3), wideOf(17, 4)]);
});

import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { decryptorProcess } from './decryptor-process.ts';
import { gloveboxProcess, serveRuntime, type ServedRuntime } from './runtime.ts';

/* Keys and encrypted models from the command line, against a runtime of their own. */

const ROWS = Array.from({ length: 90 }, (_, i) => ({ id: i % 45, age: 20 + (i % 60), cost: (i * 13) % 100 }));
const rule = (programs: string): string =>
  `allow:\n  - { id: encrypted, mode: homomorphic, release: { programs: [${programs}], schemes: [bgv], securityBits: 128, minUnits: 10, maxQueries: 20 } }\n`;
const policy = (dataset: string, bounds: string, programs: string): string => `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${dataset}, grade: internal }
privacyUnit: [id]
columns:
  id: { rights: [countDistinct] }
  age: { rights: [aggregate]${bounds === '' ? '' : ', bounds: [0, 120]'} }
  cost: { rights: [aggregate]${bounds === '' ? '' : ', bounds: [0, 100]'} }
${rule(programs)}`;

let runtime: ServedRuntime;
const path = (name: string): string => join(runtime.folder, name);
interface Keys {
  readonly keys: readonly { readonly digest: string; readonly isRevoked: boolean; readonly dataset: string }[];
}
const keys = async (): Promise<Keys['keys']> => (await runtime.json<Keys>('key', 'list')).value.keys;
const did = async (...args: readonly string[]): Promise<void> => {
  const { exit, stderr, stdout } = await runtime.run(...args);
  assert.equal(exit, 0, `${args.join(' ')}: ${stderr}${stdout}`);
};
async function agreed(dataset: string, document: string): Promise<string> {
  writeFileSync(path(`${dataset}.yaml`), document);
  await did('policy', 'attach', path(`${dataset}.yaml`));
  const offer = ['agreement', 'offer', '--dataset', dataset, '--to', 'acme'];
  const { agreement } = (await runtime.json<{ readonly agreement: { readonly id: string } }>(...offer)).value;
  await did('agreement', 'accept', agreement.id, '--as', path('acme.json'));
  return agreement.id;
}

before(async () => {
  runtime = await serveRuntime();
  await did('party', 'add', 'acme', '--role', 'consumer', '--out', path('acme.json'));
  const lines = ROWS.map(({ id, age, cost }) => `${id},${age},${cost}`);
  writeFileSync(path('rows.csv'), ['id,age,cost', ...lines].join('\n'));
});
after(async () => await runtime[Symbol.asyncDispose]());

test('a model is encrypted here, and only here its answer is read; a model that does not fit is wrong usage', async () => {
  await did('dataset', 'add', 'plain', '--from', path('rows.csv'));
  const agreement = await agreed('plain', policy('plain', 'bounded', 'queryLinear, queryLogistic'));
  writeFileSync(path('program.yaml'), 'name: queryLogistic\ncolumns: [age, cost]\n');
  const run = (model: object): ReturnType<typeof runtime.run> => {
    writeFileSync(path('model.json'), JSON.stringify(model));
    return runtime.run(
      'job',
      'run',
      '--program',
      path('program.yaml'),
      '--encrypt-model',
      path('model.json'),
      '--agreement',
      agreement,
      '--json',
      '--as',
      path('acme.json'),
    );
  };
  const weights = { age: 0.25, cost: -0.125 };
  const { exit, stdout, stderr } = await run({ weights, intercept: 1, count: ROWS.length });
  assert.equal(exit, 0, stderr + stdout);
  const { answers } = JSON.parse(stdout) as {
    readonly answers: readonly { readonly name: string; readonly value: number }[];
  };
  const total = ROWS.reduce((sum, { age, cost }) => sum + 0.25 * age - 0.125 * cost + 1, 0);
  const mean = total / ROWS.length;
  assert.deepEqual(
    answers.map(({ name }) => name),
    ['total', 'mean', 'risk at the mean'],
  );
  assert.deepEqual(
    answers.map(({ value }) => value),
    [total, mean, 1 / (1 + Math.exp(-mean))],
  );
  for (const [model, says] of [
    [{ weights: { age: 1 } }, /no weight for column `cost`/],
    [{ weights: { ...weights, id: 1 } }, /weighs `id`/],
    [{ weights, colour: 'red' }, /unknown key `colour`/],
    [{ weights: { age: 'much', cost: 0 } }, /one number for each column/],
  ] as const) {
    const wrong = await run(model);
    assert.equal(wrong.exit, 2, wrong.stdout);
    assert.match(wrong.stdout + wrong.stderr, says);
  }
});

test('keys are made, listed, rotated and revoked, and nothing is computed under a revoked one', async () => {
  const secret = path('keys/encrypted.secret.json');
  await did('key', 'generate', '--for', 'encrypted', '--out', path('keys'));
  assert.equal(statSync(secret).mode & 0o777, 0o600);
  const again = await runtime.run('key', 'generate', '--for', 'encrypted', '--out', path('keys'));
  assert.equal(again.exit, 2, 'keys are never overwritten');
  const [first] = await keys();
  assert.deepEqual([first?.dataset, first?.isRevoked], ['encrypted', false]);
  const bounds = ['--bounds', 'age=0:120', 'cost=0:100'];
  const encrypt = (key: string): Promise<void> =>
    did(
      'dataset',
      'add',
      'encrypted',
      '--encrypt',
      'age',
      'cost',
      '--from',
      path('rows.csv'),
      '--unit',
      'id',
      ...bounds,
      '--key',
      key,
    );
  await encrypt(secret);
  const agreement = await agreed('encrypted', policy('encrypted', '', 'sum'));
  writeFileSync(path('sum.json'), JSON.stringify({ name: 'sum', dataset: 'encrypted', columns: ['cost'] }));
  const why = async (): Promise<readonly string[]> => {
    const { value } = await runtime.json<{ readonly reasons: readonly { readonly code: string }[] }>(
      'job',
      'explain',
      '--agreement',
      agreement,
      '--program',
      path('sum.json'),
      '--as',
      path('acme.json'),
    );
    return value.reasons.map(({ code }) => code);
  };
  assert.deepEqual(await why(), ['decryptor-missing'], 'all but the decryptor is there');

  await did('key', 'rotate', '--for', 'encrypted', '--key', first?.digest ?? '', '--out', path('newer'));
  const rotated = await keys();
  assert.deepEqual(
    rotated.map(({ digest, isRevoked }) => isRevoked === (digest === first?.digest)),
    [true, true],
  );
  assert.deepEqual(await why(), ['key-revoked']);
  await encrypt(path('newer/encrypted.secret.json'));
  assert.deepEqual(await why(), ['decryptor-missing'], 'encrypted again under the new key');

  const second = rotated.find(({ isRevoked }) => !isRevoked);
  await did('key', 'revoke', second?.digest ?? '');
  assert.ok((await keys()).every(({ isRevoked }) => isRevoked));
  assert.deepEqual(await why(), ['key-revoked']);
  const unknown = await runtime.run('key', 'revoke', `sha256:${'0'.repeat(64)}`);
  assert.notEqual(unknown.exit, 0);
  const foreign = await runtime.run('key', 'revoke', first?.digest ?? '', '--as', path('acme.json'));
  assert.notEqual(foreign.exit, 0, 'nobody revokes the key of another');
});

test('another provider’s column is invited, contributed, accepted, computed on by a decryptor that was told its runtime, and taken back', async () => {
  for (const party of ['hospital', 'clinic'])
    await did('party', 'add', party, '--role', 'provider', '--out', path(`${party}.json`));
  const as = (party: string): readonly string[] => ['--as', path(`${party}.json`)];
  const [key, data] = [path('joint/joint.secret.json'), path('joint/decryptor')];
  await did('key', 'generate', '--for', 'joint', '--out', path('joint'), ...as('hospital'));
  const units = Array.from({ length: 20 }, (_, i) => i);
  writeFileSync(path('ours.csv'), ['id,cost', ...units.map((id) => `${id},${id}`)].join('\n'));
  writeFileSync(path('theirs.csv'), ['id,age', ...units.toReversed().map((id) => `${id},${2 * id}`)].join('\n'));
  const shared = ['--shared', '--programs', 'sum,linear', '--unit', 'id'];
  const own = [
    '--encrypt',
    'cost',
    '--from',
    path('ours.csv'),
    '--bounds',
    'cost=0:100',
    '--key',
    key,
    '--threads',
    '2',
  ];
  await did('dataset', 'add', 'joint', ...own, ...shared, ...as('hospital'));
  const invited = ['--from', path('ours.csv'), '--unit', 'id', '--out', path('invitation.json')];
  await did('key', 'invite', '--for', 'joint', '--key', key, ...invited);
  assert.equal(statSync(path('invitation.json')).mode & 0o777, 0o600);
  const theirs = [
    '--from',
    path('theirs.csv'),
    '--encrypt',
    'age',
    '--bounds',
    'age=0:100',
    '--unit',
    'id',
    '--threads=2',
  ];
  const out = ['--programs', 'sum,linear', '--out', path('contribution.json')];
  const given = await runtime.json<{ readonly columns: readonly { readonly digest: string }[] }>(
    'dataset',
    'contribute',
    'joint',
    '--invitation',
    path('invitation.json'),
    ...theirs,
    ...out,
    ...as('clinic'),
  );
  assert.equal(given.exit, 0);
  await did('dataset', 'accept', 'joint', '--contribution', path('contribution.json'), '--key', key, ...as('hospital'));

  const { publicKey } = (await runtime.json<{ readonly publicKey: string }>('key', 'runtime')).value;
  assert.match(publicKey, /^[A-Za-z0-9_-]{43}$/);
  const serve = ['--key', key, '--data', data, '--listen', '127.0.0.1:0', '--consumer', 'acme'];
  const wrong = await runtime.run('decryptor', ...serve, '--runtime-key', 'no key', ...as('hospital'));
  assert.equal(wrong.exit, 2, 'what cannot be a key is wrong usage');
  {
    await using decryptor = await decryptorProcess([...serve, '--runtime-key', publicKey], {
      address: runtime.address,
      credential: path('hospital.json'),
    });
    const certificate = join(data, 'decryptor.pem');
    await did('dataset', 'decryptor', 'joint', '--at', decryptor.at, '--certificate', certificate, ...as('hospital'));
    writeFileSync(path('joint.yaml'), policy('joint', '', 'sum, linear'));
    await did('policy', 'attach', path('joint.yaml'), ...as('hospital'));
    const offer = await runtime.json<{ readonly agreement: { readonly id: string } }>(
      'agreement',
      'offer',
      '--dataset',
      'joint',
      '--to',
      'acme',
      ...as('hospital'),
    );
    await did('agreement', 'accept', offer.value.agreement.id, ...as('acme'));
    // acme has three agreements by now: the program names its dataset, and that names the agreement
    writeFileSync(path('joint.json'), JSON.stringify({ name: 'sum', dataset: 'joint', columns: ['cost', 'age'] }));
    const run = await runtime.run('job', 'run', '--program', path('joint.json'), '--json', ...as('acme'));
    assert.equal(run.exit, 0, run.stderr + run.stdout);
    assert.match(run.stdout, /"570"/, 'the sum of both columns');
    await did('dataset', 'withdraw', given.value.columns[0]?.digest ?? '', ...as('clinic'));
    const after = await runtime.run('job', 'run', '--program', path('joint.json'), '--json', ...as('acme'));
    assert.match(after.stdout, /contribution-withdrawn/);
  }
  const other = Buffer.alloc(32, 7).toString('base64url');
  const changed = await runtime.run('decryptor', ...serve, '--runtime-key', other, ...as('hospital'));
  assert.equal(changed.exit, 3, 'the key that it was told first stays');
  assert.match(changed.stderr + changed.stdout, /another signing key/);
});

test('a key is made without a runtime too, and its secret part is in no file but its own', async () => {
  const folder = path('offline');
  const made = await gloveboxProcess(['key', 'generate', '--for', 'query', '--offline', '--out', folder]);
  assert.equal(made.exit, 0, made.stderr);
  const secret = JSON.parse(readFileSync(join(folder, 'query.secret.json'), 'utf8')) as {
    readonly keys: readonly { readonly secretKey: string }[];
  };
  const open = readFileSync(join(folder, 'query.public.json'), 'utf8');
  assert.ok(existsSync(join(folder, 'query.units.key')));
  assert.equal(open.includes(secret.keys[0]?.secretKey.slice(200, 260) ?? ''), false);
});

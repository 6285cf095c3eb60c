import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { acceptContribution } from '../../runtime/client/accept-contribution.ts';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { contributeColumns, type ContributionOutcome } from '../../runtime/client/contribute.ts';
import { encryptDataset, type KeyHolderKeys, type PlainTable } from '../../runtime/client/encrypt-dataset.ts';
import { serveDecryptor, type RunningDecryptor } from '../../runtime/decryptor/serve-decryptor.ts';
import { Vault } from '../../runtime/decryptor/vault.ts';
import { readTranscriptKey } from '../../runtime/gateway/homomorphic/transcript-key.ts';
import { type Contribution, readContribution, writeContribution } from '../../runtime/homomorphic/contribution.ts';
import { type Invitation, readInvitation, writeInvitation } from '../../runtime/homomorphic/invitation.ts';
import type { HomomorphicProgram } from '../../runtime/homomorphic/program.ts';
import { unitTag } from '../../runtime/homomorphic/units.ts';
import { runtimeWorld, type RuntimeWorld } from '../gateway/runtime-world.ts';
import { newKeys, plainTable, program } from './homomorphic-world.ts';

/* Two providers under one key: the hospital holds the key and its decryptor, the clinic encrypts with the public one. */

const UNITS = 40;
const patients = Array.from({ length: UNITS }, (_, i) => ({ id: `p${(i * 7) % UNITS}`, cost: (i * 13) % 100 }));
const incomeOf = (id: string): number => (Number(id.slice(1)) * 17) % 90;
const others = Array.from({ length: 25 }, (_, i) => ({ id: `q${i}`, visits: i % 4 === 0 ? null : (i * 3) % 50 }));
type Names = readonly HomomorphicProgram['name'][];

let world: RuntimeWorld;
let hospital: Glovebox;
let clinic: Glovebox;
let acme: Glovebox;
let keys: KeyHolderKeys;
let vault: Vault;
let decryptor: RunningDecryptor;
let scratch: string;
const refusals: unknown[] = [];

const table = (rows: readonly { readonly id: string }[], column: string): PlainTable =>
  plainTable(
    rows.map(({ id }) => ({ unit: [id], group: null })),
    { [column]: rows.map((row) => (row as unknown as Record<string, number | null>)[column] ?? null) },
  );

function invitation(isJoined: boolean): Invitation {
  const order = patients.map(({ id }) => ({ tag: unitTag(keys.unitKey, [id]), group: 0 }));
  const { open, unitKey } = keys;
  const whole = { format: 'glovebox-invitation/1' as const, dataset: 'joint', open, unitKey, groups: [] };
  return readInvitation(writeInvitation({ ...whole, order: isJoined ? order : null }));
}

const contribute = (
  column: string,
  rows: readonly { readonly id: string }[],
  isJoined: boolean,
  programs: Names = ['sum', 'mean', 'linear'],
): Promise<ContributionOutcome> =>
  contributeColumns({ glovebox: clinic, invitation: invitation(isJoined), scratch }, table(rows, column), {
    contributor: 'clinic',
    programs,
    minUnits: 10,
    columns: [{ column, programs, low: 0, high: 100, decimals: 0, isNullable: !isJoined }],
  });

async function contributed(...args: Parameters<typeof contribute>): Promise<Contribution> {
  const outcome = await contribute(...args);
  assert.ok(outcome.kind === 'contributed', JSON.stringify(outcome));
  return readContribution(writeContribution(outcome.contribution));
}

const accept = (given: Contribution): ReturnType<typeof acceptContribution> =>
  acceptContribution({ glovebox: hospital, keys, vault, scratch }, given);

async function run(...args: Parameters<typeof program>): Promise<Readonly<Record<string, string | number | null>>> {
  const outcome = await acme.jobs.run(program(...args));
  assert.ok(
    outcome.kind === 'released',
    JSON.stringify([outcome, refusals], (_, v: unknown) => (typeof v === 'bigint' ? `${v}` : v)),
  );
  const rows = outcome.table
    .toArray()
    .map((row) => (row as { toJSON(): { name: string; exact: string; value: number } }).toJSON());
  return Object.fromEntries(rows.map(({ name, exact, value }) => [name, exact ?? value]));
}
async function codesOf(...args: Parameters<typeof program>): Promise<readonly string[]> {
  const outcome = await acme.jobs.run(program(...args));
  return outcome.kind === 'refused' ? outcome.reasons.map(({ code }) => code) : ['released'];
}

before(async () => {
  world = await runtimeWorld();
  hospital = await world.party('hospital', ['provider']);
  clinic = await world.party('clinic', ['provider']);
  acme = await world.party('acme', ['consumer']);
  keys = await newKeys(['bgv-wide', 'bgv-product']);
  vault = await Vault.open(join(world.folder, 'vault'));
  scratch = join(world.folder, 'scratch');
  mkdirSync(scratch);
  const own = plainTable(
    patients.map(({ id }) => ({ unit: [id], group: null })),
    { cost: patients.map(({ cost }) => cost), factor: patients.map(({ cost }) => cost) },
  );
  const outcome = await encryptDataset({ glovebox: hospital, keys, vault, scratch }, own, {
    dataset: 'joint',
    unitColumn: 'id',
    columns: [
      { column: 'cost', programs: ['sum', 'mean', 'linear'], low: 0, high: 100, decimals: 0, isShared: true },
      { column: 'factor', programs: ['dot'], low: 0, high: 100, decimals: 0 },
    ],
    minUnits: 10,
  });
  assert.equal(outcome.kind, 'registered');
  const { publicKey } = await hospital.homomorphic.getTranscriptKey({});
  decryptor = await serveDecryptor({
    vault,
    secret: keys.secret,
    open: keys.open,
    host: '127.0.0.1',
    port: 0,
    runtimeAuthority: world.runtime.gateway.authorityCertificate,
    runtimeKey: readTranscriptKey(publicKey),
    isAgreed: ({ consumer }) => Promise.resolve(consumer === 'acme'),
    nowMs: world.now,
    log: (event, facts) => void (event === 'decryptor.refused' && refusals.push(String(facts['reason']))),
  });
  await hospital.homomorphic.setDecryptor({
    dataset: 'joint',
    address: `127.0.0.1:${decryptor.port}`,
    certificate: readFileSync(vault.certificateFile, 'utf8'),
  });
});
after(async () => {
  await decryptor[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

test('columns of two providers are added up and scored together, and none rests on too few units', async () => {
  const joined = patients.toReversed().map(({ id }) => ({ id, income: incomeOf(id) }));
  const given = [
    await contributed('income', joined, true),
    await contributed('visits', others, false),
    await contributed(
      'rare',
      others.map(({ id }, i) => ({ id, rare: i < 3 ? 9 : null })),
      false,
    ),
    await contributed(
      'weight',
      joined.map(({ id }) => ({ id, weight: 3 })),
      true,
      ['dot'],
    ),
  ];
  const before = (await hospital.homomorphic.list({ dataset: 'joint' })).objects;
  assert.ok(
    before.some(({ owner, column }) => owner === 'clinic' && column === 'income'),
    'the key holder sees what came',
  );
  for (const one of given) assert.equal((await accept(one)).kind, 'registered');
  const columns = ['cost', 'factor', 'income', 'visits', 'rare', 'weight'];
  const { complaints } = await hospital.policies.attach({
    document: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: joint, grade: internal }
privacyUnit: [id]
columns:
  id: { rights: [countDistinct] }
${columns.map((name) => `  ${name}: { rights: [aggregate] }`).join('\n')}
allow:
  - { id: encrypted, mode: homomorphic, release: { programs: [sum, mean, linear, dot], schemes: [bgv], securityBits: 128, minUnits: 10 } }
`,
  });
  assert.deepEqual(complaints, []);
  const { agreement } = await hospital.agreements.offer({ dataset: 'joint', consumer: 'acme' });
  await acme.agreements.accept({ id: agreement?.id ?? '' });

  const costs = patients.reduce((sum, { cost }) => sum + cost, 0);
  const incomes = patients.reduce((sum, { id }) => sum + incomeOf(id), 0);
  const score = await run('linear', ['cost', 'income'], { weights: [2, -3] });
  assert.equal(score['mean'], (2 * costs - 3 * incomes) / UNITS);
  assert.deepEqual(await run('sum', ['cost', 'income']), { sum: `${costs + incomes}`, count: `${2 * UNITS}` });
  const present = others.flatMap(({ visits }) => visits ?? []);
  assert.deepEqual(await run('sum', ['visits']), {
    sum: `${present.reduce((a, b) => a + b, 0)}`,
    count: `${present.length}`,
  });
  assert.deepEqual(
    await codesOf('sum', ['visits', 'rare']),
    ['computation-failed'],
    'three values are not hidden in a sum of more',
  );
  assert.match(String(refusals.at(-1)), /too few values/);
  assert.deepEqual(
    await codesOf('dot', ['factor', 'weight']),
    ['contribution-not-for'],
    'the key holder let nobody choose a factor, and says so before anything runs',
  );
  assert.deepEqual(await codesOf('dot', ['factor', 'income']), ['contribution-not-for']);
  assert.deepEqual(await codesOf('linear', ['cost', 'visits'], { weights: [1, 1] }), ['bad-program'], 'other rows');
});

test('what is not as announced, shaped, or by a stranger is refused, and taken back is taken back', async () => {
  const given = await contributed(
    'spare',
    patients.map(({ id }) => ({ id, spare: 50 })),
    true,
  );
  const [column] = given.columns;
  assert.ok(column !== undefined);
  const change = (more: object): Contribution => ({ ...given, columns: [{ ...column, ...more }] });
  for (const [what, forged] of [
    ['counts', change({ units: 39, maxRowsPerUnit: 2 })],
    ['bounds', change({ header: { ...column.header, high: '49' } })],
    [
      'rows',
      change({ totals: { ...column.totals, rows: 39 }, header: { ...column.header, alignment: null }, units: 39 }),
    ],
    ['key', change({ header: { ...column.header, keyId: `sha256:${'1'.repeat(64)}` } })],
  ] as const)
    await assert.rejects(accept(forged), { code: 'bad-column' }, what);
  const missing = change({ totals: { ...column.totals, digest: `sha256:${'2'.repeat(64)}` } });
  await assert.rejects(accept(missing), { code: 'not-found' });
  assert.equal(await vault.find(column.totals.digest), null, 'nothing is pinned of what was refused');

  const { digest } = column.totals;
  const mallory = await world.party('mallory', ['provider']);
  for (const stranger of [mallory, acme]) {
    await assert.rejects(stranger.homomorphic.withdraw({ digest }), { code: 'not-found' });
    await assert.rejects(
      async () => {
        for await (const _ of stranger.homomorphic.fetch({ digest }));
      },
      { code: 'not-found' },
    );
    assert.deepEqual((await stranger.homomorphic.list({ dataset: 'joint' })).objects, []);
  }
  await assert.rejects(hospital.homomorphic.withdraw({ digest }), { code: 'not-found' }, 'it is the clinic’s');
  const register = { dataset: 'joint', columns: [digest], addsContributions: true };
  await assert.rejects(mallory.homomorphic.registerEncrypted(register));
  await assert.rejects(
    contribute(
      'wage',
      [...patients, ...patients].map(({ id }) => ({ id, wage: 1 })),
      true,
    ),
    RangeError,
  );

  assert.equal((await accept(given)).kind, 'registered');
  assert.equal((await accept(given)).kind, 'refused', 'a name is taken once');
  assert.deepEqual(
    await codesOf('sum', ['cost', 'spare']),
    ['column-right-missing'],
    'the policy does not name it yet',
  );
  const { objects } = await clinic.homomorphic.list({ dataset: 'joint' });
  const income = objects.find((one) => one.column === 'income')?.digest ?? '';
  await clinic.homomorphic.withdraw({ digest: income });
  assert.deepEqual(await codesOf('sum', ['cost', 'income']), ['contribution-withdrawn']);
  assert.deepEqual(await codesOf('sum', ['cost']), ['released']);
});

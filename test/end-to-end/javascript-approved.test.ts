import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Glovebox } from '../../runtime/client/connect.ts';
import type { CodeBody } from '../../runtime/gateway/code/code-registry.ts';
import type { PartyBody } from '../../runtime/gateway/records.ts';
import type { JavaScriptProgram } from '../../runtime/gen/messages.ts';
import type { Init } from '../../runtime/rpc/call.ts';
import { signCodeObjection, verifyCodeObjection } from '../../runtime/rpc/code-statement.ts';
import { type CodeRuntime, startCodeRuntime } from './code-runtime.ts';

const folder = join(import.meta.dirname, '..', '..', 'examples', 'data', 'clinical');
const policy = `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: clinical, grade: important }
tables:
  colon:
    privacyUnit: [id]
    columns:
      rx:     { rights: [group, filter], values: [Obs, Lev, Lev+5FU] }
      age:    { rights: [aggregate], bounds: [18, 90] }
allow:
  - { id: reviewed, mode: approvedCode, when: { approvals: { quorum: 2, by: [owner, dpo] } }, release: { minUnits: 10, maxRows: 50 } }
  - { id: code, mode: sandbox, release: { methods: [rowFunction, post], epsilonPerJob: 1, epsilonTotal: 2, outputs: 2 } }
`;

const program = (more = ''): Init<JavaScriptProgram> => ({
  method: 'approved',
  source: `(input) => { ${more} let sum = 0, n = 0; for (const one of input.columns.age) if (one === one) { sum += one; n++ } return { 'mean age': sum / n, rows: n } }`,
  table: 'colon',
  columns: ['age'],
  result: [
    { name: 'mean age', kind: 'float64', maxBytes: 0 },
    { name: 'rows', kind: 'float64', maxBytes: 0 },
  ],
  groupColumn: 'rx',
  groupKeys: ['Obs', 'Lev', 'nothing'].map((text) => ({ key: { kind: 'text', text } })),
});

let code: CodeRuntime;
let acme: Glovebox;
let dpo: Glovebox;
before(async () => {
  code = await startCodeRuntime({
    dataset: 'clinical',
    files: [{ path: join(folder, 'colon.csv'), table: 'colon' }],
    policy,
  });
  acme = await code.join('acme');
  dpo = await code.join('mary', ['provider'], ['dpo']);
});
after(() => code.close());

async function codesOf(asked: Init<JavaScriptProgram>): Promise<string> {
  const outcome = await acme.jobs.run({ computation: { kind: 'javascript', javascript: asked } });
  return outcome.kind === 'released' ? 'released' : outcome.reasons.map((reason) => reason.code).join(',');
}

test('code runs when a quorum of different reviewers approved exactly it, and a revocation ends that', async () => {
  assert.equal(await codesOf(program()), 'approvals-missing');
  const { code: submitted, reasons } = await acme.code.submit({
    name: 'ages',
    dataset: 'clinical',
    program: program(),
  });
  assert.deepEqual(reasons, []);
  const digest = submitted?.digest ?? '';
  assert.equal(submitted?.state, 'submitted');

  // Neither the submitter nor somebody in a capacity that is not theirs.
  assert.equal((await acme.code.approve({ digest, capacity: 'dpo' })).reasons[0]?.code, 'own-code');
  assert.equal((await dpo.code.approve({ digest, capacity: 'owner' })).reasons[0]?.code, 'not-a-reviewer');
  const review = await dpo.code.review({ digest });
  assert.match(review.code?.source ?? '', /sum \/ n/);
  assert.equal((await dpo.code.approve({ digest, capacity: 'dpo', note: 'means only' })).code?.state, 'submitted');
  // A second word of the same reviewer is no second approval.
  assert.equal((await dpo.code.approve({ digest, capacity: 'dpo' })).code?.state, 'submitted');
  assert.equal(await codesOf(program()), 'approvals-missing');
  assert.equal((await code.provider.code.approve({ digest, capacity: 'owner' })).code?.state, 'approved');

  const outcome = await acme.jobs.run({
    computation: { kind: 'javascript', javascript: { method: 'approved', codeDigest: digest } },
  });
  assert.equal(outcome.kind, 'released', JSON.stringify(outcome.kind === 'refused' ? outcome.reasons : ''));
  if (outcome.kind !== 'released') return;
  const rows = outcome.table.toArray().map((row) => row?.toJSON());
  assert.deepEqual(
    rows.map((row) => row?.['rx']),
    ['Obs', 'Lev'],
  );
  assert.ok(Math.abs(Number(rows[0]?.['mean age']) - 59.45) < 0.1, JSON.stringify(rows));
  assert.match(outcome.job.guarantee, /human review only/);

  // One changed character is other code.
  assert.equal(await codesOf(program('let x = 1;')), 'approvals-missing');
  const second = await acme.code.submit({ name: 'ages', dataset: 'clinical', program: program('let x = 1;') });
  const { difference } = await dpo.code.review({ digest: second.code?.digest ?? '' });
  assert.match(difference, /^\+.*let x = 1;/m);
  assert.equal((await dpo.code.reject({ digest: second.code?.digest ?? '', note: 'why?' })).code?.state, 'rejected');

  assert.equal((await dpo.code.revoke({ digest })).code?.state, 'revoked');
  assert.notEqual(await codesOf(program()), 'released');
  const { codes } = await acme.code.list({});
  assert.deepEqual(codes.map(({ state }) => state).toSorted(), ['rejected', 'revoked']);
  await assert.rejects((await code.join('other')).code.review({ digest }), { code: 'not-found' });
});

test('what is said against code is signed by who says it, and a signature over anything else is refused', async () => {
  const { code: submitted } = await acme.code.submit({
    name: 'ages',
    dataset: 'clinical',
    program: program('let y = 2;'),
  });
  const digest = submitted?.digest ?? '';
  const bodyOf = (): CodeBody | undefined => code.runtime.store.peek<CodeBody>('approval', digest)?.body;
  const foreign = signCodeObjection('mary', generateKeyPairSync('ed25519').privateKey.export(pem).toString(), {
    digest,
    dataset: 'clinical',
    verdict: 'rejected',
    note: 'no',
  });
  await assert.rejects(dpo.code.reject({ digest, note: 'no', signature: foreign }), { code: 'signature-not-valid' });
  assert.deepEqual(bodyOf()?.verdicts, []);

  await dpo.code.approve({ digest, capacity: 'dpo' });
  await assert.rejects(dpo.code.revoke({ digest, note: 'no', signature: foreign }), { code: 'signature-not-valid' });
  const { code: revoked } = await dpo.code.revoke({ digest, note: 'a column too many' });
  assert.equal(revoked?.state, 'revoked');
  const { revocation } = bodyOf() ?? {};
  assert.ok(revocation !== undefined && revocation.by === 'mary' && revocation.note === 'a column too many');
  const key = code.runtime.store.peek<PartyBody>('party', 'mary')?.body.signingPublicKey ?? '';
  const said = { digest, dataset: 'clinical', verdict: 'revoked', note: 'a column too many' } as const;
  assert.ok(verifyCodeObjection('mary', key, said, revocation));
  assert.ok(!verifyCodeObjection('mary', key, { ...said, verdict: 'rejected' }, revocation));
  assert.ok(!verifyCodeObjection('mary', key, { ...said, note: '' }, revocation));
});

const pem = { type: 'pkcs8', format: 'pem' } as const;

const mean: Init<JavaScriptProgram> = {
  method: 'rowFunction',
  source: 'row => row.age',
  table: 'colon',
  columns: ['age'],
  outputs: [{ name: 'age', low: 18, high: 90 }],
};

test('a spent budget denies before anything runs, whatever the policy is edited to; code over results is free', async () => {
  const first = await acme.jobs.run({ computation: { kind: 'javascript', javascript: mean } });
  assert.equal(first.kind, 'released');
  assert.deepEqual(
    first.job.budget.map(({ dataset, microEpsilon }) => [dataset, microEpsilon]),
    [['clinical', 1_000_000n]],
  );
  assert.ok(first.job.errors.some(({ column }) => column === 'mean(age)'));
  assert.equal(await codesOf(mean), 'released');
  assert.equal(await codesOf(mean), 'budget-exhausted');
  await code.attach(policy.replace('release: { minUnits: 10, maxRows: 50 }', 'release: { minUnits: 11, maxRows: 50 }'));
  assert.equal(await codesOf(mean), 'budget-exhausted');

  const post = (results: readonly string[]): Init<JavaScriptProgram> => ({
    method: 'post',
    source: `(results) => { const rows = Object.values(results)[0]; return { twice: 2 * rows.find(({ statistic }) => statistic === 'mean(age)').value } }`,
    inputJobIds: results,
  });
  const outcome = await acme.jobs.run({ computation: { kind: 'javascript', javascript: post([first.job.id]) } });
  assert.equal(outcome.kind, 'released', JSON.stringify(outcome.kind === 'refused' ? outcome.reasons : ''));
  if (outcome.kind !== 'released' || first.kind !== 'released') return;
  const value = first.table.toArray().find((row) => row?.['statistic'] === 'mean(age)')?.['value'] as number;
  assert.deepEqual(JSON.parse(String(outcome.table.toArray()[0]?.['result'])), { twice: 2 * value });
  assert.equal(await codesOf(post(['job-00000000000000000000'])), 'result-unknown');

  const { budgets } = await acme.budgets.list({});
  const spent = budgets.find(({ ruleId }) => ruleId === 'code');
  assert.deepEqual([spent?.microEpsilonSpent, spent?.microEpsilonLimit], [2_000_000n, 2_000_000n]);
});

test('a worker that dies fails the job with one word, and the budget stays spent', async () => {
  const bruno = await code.join('bruno');
  const { pool } = code.runtime;
  const lease = pool.lease.bind(pool);
  let leased = 0;
  pool.lease = async (request) => {
    const worker = await lease(request);
    // The first one parses the text, the second one has the rows.
    if (request.kind === 'javascript' && ++leased === 2) await worker.destroy();
    return worker;
  };
  try {
    const outcome = await bruno.jobs.run({ computation: { kind: 'javascript', javascript: mean } });
    assert.equal(leased, 2);
    assert.equal(outcome.job.state, 'failed');
    assert.deepEqual(outcome.kind === 'refused' ? outcome.reasons.map((reason) => reason.code) : [], [
      'computation-failed',
    ]);
  } finally {
    pool.lease = lease;
  }
  const { budgets } = await bruno.budgets.list({});
  assert.equal(budgets.find(({ ruleId }) => ruleId === 'code')?.microEpsilonSpent, 1_000_000n);
});

test('a policy that demands more isolation than this machine gives refuses, and says what is missing', async () => {
  await code.attach(policy.replace('outputs: 2 } }', 'outputs: 2 }, when: { isolation: { atLeast: vm } } }'));
  const careful = await code.join('careful');
  const outcome = await careful.jobs.run({ computation: { kind: 'javascript', javascript: mean } });
  assert.deepEqual(outcome.kind === 'refused' ? outcome.reasons.map((reason) => reason.code) : [], [
    'isolation-too-low',
  ]);
});

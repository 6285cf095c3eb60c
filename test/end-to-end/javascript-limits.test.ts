import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Glovebox } from '../../runtime/client/connect.ts';
import type { JavaScriptProgram } from '../../runtime/gen/messages.ts';
import type { Init } from '../../runtime/rpc/call.ts';
import { type CodeRuntime, statisticsOf, startCodeRuntime } from './code-runtime.ts';

/** What a policy lets code use: refused ahead where it can be known, and kept by clock, processor and memory where not. */
const folder = join(import.meta.dirname, '..', '..', 'examples', 'data', 'clinical');
const policyOf = (sandbox: string): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: clinical, grade: important }
tables:
  colon:
    privacyUnit: [id]
    columns:
      rx:  { rights: [group, filter], values: [Obs, Lev, Lev+5FU] }
      age: { rights: [aggregate], bounds: [18, 90] }
allow:
  - { id: code, mode: sandbox, release: { methods: [rowFunction, blocks], epsilonPerJob: 1000, outputs: 2, limits: { ${sandbox} } } }
  - id: reviewed
    mode: approvedCode
    when: { approvals: { quorum: 1, by: [owner] } }
    release: { minUnits: 10, maxRows: 50, limits: { wallMs: 1500 } }
`;
const LIMITS = 'wallMs: 60000, cpuMs: 20000, memoryMiB: 64, blocks: 12, rounds: 3';

let code: CodeRuntime;
let acme: Glovebox;
before(async () => {
  code = await startCodeRuntime({
    dataset: 'clinical',
    files: [{ path: join(folder, 'colon.csv'), table: 'colon' }],
    policy: policyOf(LIMITS),
  });
  acme = await code.join('acme');
});
after(() => code.close());

const age = { name: 'age', low: 18, high: 90, defaultValue: 60 };
const blocks = (more: Init<JavaScriptProgram> = {}): Init<JavaScriptProgram> => ({
  method: 'blocks',
  source: '({ columns }) => columns.age.reduce((sum, one) => sum + one, 0) / columns.age.length',
  table: 'colon',
  columns: ['age'],
  outputs: [age],
  timeoutMs: 100,
  ...more,
});
const rounds = (count: number): Init<JavaScriptProgram> => ({
  method: 'rowFunction',
  source: '(row) => row.age',
  table: 'colon',
  columns: ['age'],
  outputs: [age],
  iterate: { algorithm: 'kMeans', rounds: count, centres: [{ coordinates: [40] }, { coordinates: [70] }] },
});

async function refusalOf(program: Init<JavaScriptProgram>, by = acme): Promise<string> {
  const outcome = await by.jobs.run({ computation: { kind: 'javascript', javascript: program } });
  if (outcome.kind === 'released') return 'released';
  const [first] = outcome.reasons;
  return `${first?.code} ${first?.clause} ${first?.remedy}`;
}

test('more blocks or rounds than the policy allows are refused, with the clause and what would be allowed', async () => {
  assert.match(await refusalOf(blocks({ blocks: 13 })), /^too-many-blocks clinical v1 allow\[code\] .*at most 12/);
  assert.match(await refusalOf(rounds(4)), /^too-many-rounds clinical v1 allow\[code\] .*at most 3/);
});

test('explain tells the limits, and recommends no more blocks than they leave room for', async () => {
  const told = async (program: Init<JavaScriptProgram>): Promise<string> => {
    const { enforced, reasons } = await acme.jobs.explain({
      job: { computation: { kind: 'javascript', javascript: program } },
    });
    assert.deepEqual(reasons, []);
    return enforced.join('\n');
  };
  const capped = await told(blocks({ microEpsilon: 500_000n }));
  assert.match(capped, /12 disjoint blocks \(as many as the policy leaves room for; \d+ are recommended\)/);
  assert.match(
    capped,
    /policy limits .*: at most 1 minute a job, at most 20 seconds of processor time, at most 64 MiB of memory, at most 12 blocks, at most 3 rounds/,
  );
  // 20 s of processor time are two blocks of 10 s.
  assert.match(await told(blocks({ microEpsilon: 500_000n, timeoutMs: 9000 })), / 2 disjoint blocks \(as many as/);
});

test('declared blocks that could use more time than the policy gives are refused before any row is read', async () => {
  assert.match(
    await refusalOf(blocks({ blocks: 12, timeoutMs: 2000 })),
    /^too-much-processor-time .*20000 ms together/,
  );
  await code.attach(policyOf('wallMs: 6000'));
  const hasty = await code.join('hasty');
  assert.match(
    await refusalOf(blocks({ blocks: 12, timeoutMs: 5000 }), hasty),
    /^answer-too-late clinical v2 allow\[code\] .*under this policy at most 5500 ms/,
  );
});

test('code within its limits answers; a block that takes more memory than the policy allows counts as failed', async () => {
  // 48 MB of numbers, which fit into the isolate that code gets where no policy says less.
  const source = '({ columns }) => new Float64Array(6e6).fill(columns.age.length > 0 ? 30 : 90)[7]';
  const program = blocks({ blocks: 2, source, timeoutMs: 800 });
  const roomy = await code.join('roomy');
  const valueOf = async (by: Glovebox, one: Init<JavaScriptProgram>): Promise<number> =>
    Math.round((await statisticsOf(by, one)).get('age')?.value ?? 0);
  assert.equal(await valueOf(roomy, blocks({ ...program, blocks: 3 })), 30);
  assert.equal(await valueOf(acme, program), age.defaultValue);
  assert.equal(await valueOf(acme, blocks({ ...program, source: source.replace('6e6', '1e6') })), 30);
});

test('a job that runs longer than its policy allows ends by the clock, with the clause, and its workers with it', async () => {
  const program: Init<JavaScriptProgram> = {
    method: 'approved',
    source: '() => { for (;;); }',
    table: 'colon',
    columns: ['age'],
    result: [{ name: 'n', kind: 'float64', maxBytes: 0 }],
    timeoutMs: 60_000,
  };
  const { code: submitted } = await acme.code.submit({ name: 'endless', dataset: 'clinical', program });
  const codeDigest = submitted?.digest ?? '';
  assert.equal((await code.provider.code.approve({ digest: codeDigest, capacity: 'owner' })).code?.state, 'approved');
  const refused = await refusalOf({ method: 'approved', codeDigest });
  assert.match(refused, /^run-time-limit clinical v1 allow\[reviewed\] /);
  assert.ok((await statisticsOf(acme, rounds(1))).size > 0);
});

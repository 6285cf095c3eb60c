import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { type CodeRuntime, seededEntropy, startCodeRuntime, statisticsOf } from './code-runtime.ts';

const folder = join(import.meta.dirname, '..', '..', 'examples', 'data', 'clinical');

const policyWith = (epsilonTotal: number, more = ''): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: clinical, grade: important }
tables:
  colon:
    privacyUnit: [id]
    columns:
      id:     { rights: [countDistinct] }
      rx:     { rights: [group, filter], values: [Obs, Lev, Lev+5FU] }
      age:    { rights: [filter, aggregate], bounds: [18, 90] }
      nodes:  { rights: [aggregate], bounds: [0, 40] }
      etype:  { rights: [group, filter] }
      status: { rights: [aggregate], bounds: [0, 1] }
      surg:   { rights: [order] }
allow:
  - { id: code, mode: sandbox, release: { methods: [rowFunction, blocks, post], epsilonPerJob: 2, epsilonTotal: ${epsilonTotal}, outputs: 4, maxRowsPerUnit: 2 } }
${more}
`;

let code: CodeRuntime;
let acme: Glovebox;
before(async () => {
  code = await startCodeRuntime({
    dataset: 'clinical',
    files: [{ path: join(folder, 'colon.csv'), table: 'colon' }],
    policy: policyWith(20),
    entropy: seededEntropy(7),
  });
  acme = await code.join('acme');
});

after(() => code.close());

const lines = readFileSync(join(folder, 'colon.csv'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => line.split(',').map((cell) => cell.replaceAll('"', '')));
const head = lines[0] ?? [];
const rows = lines.slice(1).map((line) => Object.fromEntries(head.map((name, i) => [name, line[i] ?? ''])));

test('a row function gives the mean and its interval, and the exact mean lies in it', async () => {
  const found = await statisticsOf(acme, {
    method: 'rowFunction',
    source: 'row => row.age',
    table: 'colon',
    columns: ['age'],
    outputs: [{ name: 'age', low: 18, high: 90 }],
    reducer: 'mean',
  });
  const exact = rows.reduce((sum, row) => sum + Number(row['age']), 0) / rows.length;
  const mean = found.get('mean(age)');
  assert.ok(mean !== undefined && mean.low <= exact && exact <= mean.high, JSON.stringify([...found]));
  assert.ok(mean.high - mean.low < 2);
  const count = found.get('count');
  assert.ok(count !== undefined && count.low <= rows.length && rows.length <= count.high);
});

test('texts are compared and grouped by declared keys, also by one that no row has', async () => {
  const found = await statisticsOf(acme, {
    method: 'rowFunction',
    isTypeScript: true,
    source: `(row) => row.etype === 1 && row.rx !== 'Obs' ? 1 : 0`,
    table: 'clinical',
    columns: ['etype', 'rx'],
    outputs: [{ name: 'hit', low: 0, high: 1 }],
    reducer: 'sum',
    groupColumn: 'rx',
    groupKeys: ['Obs', 'Lev', 'nothing'].map((text) => ({ key: { kind: 'text', text } })),
  });
  const exact = rows.filter((row) => row['etype'] === '1' && row['rx'] === 'Lev').length;
  const lev = found.get('Lev sum(hit)');
  assert.ok(lev !== undefined && lev.low <= exact && exact <= lev.high, JSON.stringify([...found]));
  assert.ok(Math.abs(found.get('Obs sum(hit)')?.value ?? 99) < 20);
  assert.ok(Math.abs(found.get('nothing sum(hit)')?.value ?? 99) < 20);
});

test('an iterative job runs its rounds under one budget and answers its numbers', async () => {
  const found = await statisticsOf(acme, {
    method: 'rowFunction',
    source: 'row => [row.age, row.nodes]',
    table: 'colon',
    columns: ['age', 'nodes'],
    outputs: [
      { name: 'age', low: 18, high: 90 },
      { name: 'nodes', low: 0, high: 40 },
    ],
    iterate: {
      algorithm: 'kMeans',
      rounds: 3,
      centres: [{ coordinates: [40, 3] }, { coordinates: [70, 3] }],
    },
  });
  const young = found.get('cluster 0: age')?.value ?? 0;
  const old = found.get('cluster 1: age')?.value ?? 0;
  assert.ok(young > 35 && young < 56 && old > 60 && old < 75, JSON.stringify([...found]));
});

test('blocks give the noisy mean over blocks of any code, also when some of them hang', async () => {
  const program = (bad: string): Parameters<typeof statisticsOf>[1] => ({
    method: 'blocks',
    source: `(input) => { const { age } = input.columns; ${bad} let sum = 0; for (const one of age) sum += one; return sum / age.length; }`,
    table: 'colon',
    columns: ['age'],
    outputs: [{ name: 'age', low: 18, high: 90, defaultValue: 20, hasDefault: true }],
    blocks: 40,
    timeoutMs: 20,
    reducer: 'mean',
  });
  const age = (await statisticsOf(acme, program(''))).get('age');
  // 40 blocks at epsilon 2: noise of scale 0.9 years; the default of 20 would be far away.
  assert.ok(
    age !== undefined && Math.abs(age.value - 59.8) < 6 && age.low <= 60 && 59.5 <= age.high,
    JSON.stringify(age),
  );
  const median = (await statisticsOf(acme, { ...program('if (age[0] < 45) for (;;);'), reducer: 'median' })).get('age');
  assert.ok(median !== undefined && Math.abs(median.value - 59.8) < 8, JSON.stringify(median));
});

test('what the policy does not offer is refused before anything runs', async () => {
  const asked = { method: 'rowFunction', table: 'colon', outputs: [{ name: 'x', low: 0, high: 1 }] } as const;
  const why = async (program: Parameters<typeof statisticsOf>[1]): Promise<string> => {
    const outcome = await acme.jobs.run({ computation: { kind: 'javascript', javascript: program } });
    return outcome.kind === 'released' ? 'released' : (outcome.reasons[0]?.code ?? '');
  };
  assert.equal(await why({ ...asked, source: 'row => row.surg', columns: ['surg'] }), 'column-not-granted');
  assert.equal(await why({ ...asked, source: 'row => row.id', columns: ['id'] }), 'column-not-granted');
  assert.equal(await why({ ...asked, source: 'row => fetch(row.age)', columns: ['age'] }), 'program-refused');
  assert.equal(
    await why({ ...asked, source: 'row => row.age', columns: ['age'], microEpsilon: 3_000_000n }),
    'epsilon-too-large',
  );
  assert.equal(
    await why({
      ...asked,
      source: 'row => row.age',
      columns: ['age'],
      groupColumn: 'age',
      groupKeys: [{ key: { kind: 'number', number: 60 } }],
    }),
    'column-right-missing',
  );
  const text = { ...asked, method: 'blocks', source: '() => 1', columns: ['rx'] } as const;
  assert.equal(
    await why({ ...text, method: 'approved', result: [{ name: 'x', kind: 'float64', maxBytes: 0 }] }),
    'mode-not-allowed',
  );
});

test('cancelling a job whose code is running ends its processes within 100 ms, and the job is told as cancelled', async () => {
  const { pool } = code.runtime;
  const lease = pool.lease.bind(pool);
  const isRunning = Promise.withResolvers<Awaited<ReturnType<typeof lease>>>();
  // The moment in which a worker has rows in its hands and runs the endless program, told by what the gateway does.
  pool.lease = async (request) => {
    const worker = await lease(request);
    if (request.kind !== 'javascript') return worker;
    const writeScratch = worker.writeScratch.bind(worker);
    worker.writeScratch = async (bytes, position) => {
      await writeScratch(bytes, position);
      isRunning.resolve(worker);
    };
    return worker;
  };
  try {
    // What this machine takes, now, for a call that does nothing and for a worker to be killed.
    const idle = await lease({ kind: 'javascript', party: 'acme' });
    let start = performance.now();
    await acme.jobs.list({});
    await idle.destroy();
    const floorMs = performance.now() - start;
    const { job } = await acme.jobs.submit({
      job: {
        computation: {
          kind: 'javascript',
          javascript: {
            method: 'blocks',
            source: '() => { for (;;); }',
            table: 'colon',
            columns: ['nodes'],
            outputs: [{ name: 'mean', low: 0, high: 40, defaultValue: 4 }],
            blocks: 20,
            timeoutMs: 10_000,
          },
        },
      },
      wait: false,
    });
    assert.ok(job !== null);
    const worker = await isRunning.promise;
    const pids = familyOf(worker.pid ?? 0);
    assert.ok(pids.length > 0 && pids.every(isAlive));
    start = performance.now();
    const cancelling = acme.jobs.cancel({ id: job.id });
    const gone = new Promise<number>((resolve) => {
      const look = (): void => {
        if (pids.some(isAlive)) setImmediate(look);
        else resolve(performance.now() - start);
      };
      look();
    });
    const { job: cancelled } = await cancelling;
    assert.equal(cancelled?.state, 'cancelled');
    // Nobody else ends it: the block has ten seconds of its own. On a quiet machine the floor is a few milliseconds.
    const goneMs = await gone;
    assert.ok(goneMs < 100 + 20 * floorMs, `gone after ${goneMs} ms, floor ${floorMs} ms`);
    await worker.destroy();
    assert.equal(pool.stats.leased, 0);
  } finally {
    pool.lease = lease;
  }
});

/** A process and everything below it; on a host without namespaces that is itself alone. */
function familyOf(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return [pid, ...(children === '' ? [] : children.split(' ').flatMap((child) => familyOf(Number(child))))];
}

/** A process that ended and was not yet asked about runs nothing more. */
function isAlive(pid: number): boolean {
  try {
    const state = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(state.slice(state.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

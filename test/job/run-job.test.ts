import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Stage } from '../../runtime/job/job.ts';
import type { JobNeeds, Preparer } from '../../runtime/job/needs.ts';
import type { Execution } from '../../runtime/job/prepare.ts';
import { runJob } from '../../runtime/job/run-job.ts';
import type { ColumnBatch, ColumnData } from '../../runtime/release/columns.ts';
import { type Ended, type JobWorld, runAndLook, startJobWorld } from './world.ts';

let world: JobWorld;
before(async () => {
  world = await startJobWorld();
});
after(() => world[Symbol.asyncDispose]());

/** The real pipeline, except that `change` stands between the worker and the gate. */
function through(change: (real: Execution, signal: AbortSignal) => Execution): Partial<JobNeeds> {
  const real = world.needs.preparers.sql;
  if (real === undefined) throw new Error('no SQL');
  const sql: Preparer = async (input) => {
    const prepared = await real(input);
    return prepared.kind === 'denied'
      ? prepared
      : { ...prepared, execute: (signal) => change(prepared.execute(signal), signal) };
  };
  return { preparers: { sql } };
}

/** A worker that sends other batches than it should. */
const lying = (change: (batch: ColumnBatch) => readonly ColumnBatch[]): Partial<JobNeeds> =>
  through((real) => ({
    summary: real.summary,
    batches: (async function* () {
      for await (const batch of real.batches) yield* change(batch);
    })(),
  }));

const column = (batch: ColumnBatch, index: number, change: (data: ColumnData) => ColumnData): ColumnBatch => ({
  ...batch,
  columns: batch.columns.map((data, at) => (at === index ? change(data) : data)),
});
const int64s = (...values: readonly bigint[]): Uint8Array => new Uint8Array(BigInt64Array.from(values).buffer);
const lastOf = (batch: ColumnBatch): number => batch.columns.length - 1;

/** What must hold of every job that touched data and released nothing. */
function assertKept(ended: Ended, code: string): void {
  assert.equal(ended.state, 'failed');
  assert.deepEqual(ended.reasons, [code]);
  assert.equal(ended.cost, 1n, 'data was touched: the use stays spent');
  assert.deepEqual(ended.files, [], 'no file is left');
  assert.deepEqual(ended.kinds.at(-1), 'job.failed');
}

describe('a job', () => {
  it('releases, in this order: evidence of request and decision, then of spending and release; and costs one use', async () => {
    const stages: Stage[] = [];
    const ended = await runAndLook(world, { at: (stage) => void stages.push(stage) });
    assert.equal(ended.outcome?.kind, 'released');
    assert.equal(ended.state, 'released');
    assert.equal(ended.cost, 1n);
    assert.deepEqual(ended.kinds, ['job.requested', 'decision', 'budget.reserved', 'budget.committed', 'release']);
    assert.deepEqual(ended.files, [`${ended.job.id}.frames`]);
    assert.deepEqual(stages, ['identify', 'decide', 'parse', 'reserve', 'run', 'disclose', 'record', 'release']);
  });

  it('that is denied costs nothing, leaves no file, and its denial is on record', async () => {
    for (const text of [
      'select * from visits',
      'select nothing',
      'not sql',
      'select patient_id from visits group by 1',
    ]) {
      const ended = await runAndLook(world, { text });
      assert.equal(ended.outcome?.kind, 'denied', text);
      assert.equal(ended.state, 'denied');
      assert.equal(ended.cost, 0n);
      assert.deepEqual(ended.files, []);
      assert.deepEqual(ended.kinds, ['decision']);
    }
  });

  it('with an id that was used before gives no second answer and costs nothing', async () => {
    const { job } = await runAndLook(world);
    const { spent } = await world.uses();
    const outcome = await runJob(world.needs, job, { signal: new AbortController().signal, report: () => {} });
    assert.ok(outcome.kind === 'denied' && outcome.reasons[0]?.code === 'job-known');
    assert.equal((await world.uses()).spent, spent);
    assert.equal((await world.store.job(job.id))?.state, 'released', 'what was released stays so');
    assert.ok(world.results.exists(job.id));
  });
});

describe('the gate is the only exit', () => {
  it('rows whose certificate is below the threshold do not leave, whatever stands beside them', async () => {
    const cases = [
      { certificates: [0n, 0n], leave: [] },
      { certificates: [60n, 9n], leave: ['east'] },
      { certificates: [9n, 60n], leave: ['west'] },
      { certificates: [-1n, -(2n ** 63n)], leave: [] },
    ];
    for (const { certificates, leave } of cases) {
      const ended = await runAndLook(world, {
        needs: lying((batch) => [
          column(batch, lastOf(batch), (data) => ({ ...data, values: int64s(...certificates) })),
        ]),
      });
      const name = String(certificates);
      assert.equal(ended.outcome?.kind === 'released' ? ended.outcome.rows : 0, leave.length, name);
      const bytes = ended.files.map((file) => readFileSync(join(world.resultFolder, file), 'latin1')).join('');
      for (const ward of ['east', 'west']) assert.equal(bytes.includes(ward), leave.includes(ward), `${name} ${ward}`);
      assert.equal(ended.cost, 1n);
    }
  });

  it('rows without any certificate release nothing', async () => {
    const ended = await runAndLook(world, {
      needs: lying((batch) => [{ ...batch, columns: batch.columns.slice(0, -1) }]),
    });
    assert.notEqual(ended.outcome?.kind, 'released');
    assert.deepEqual(ended.files, []);
    assert.equal(ended.cost, 1n);
  });

  it('more rows than the policy lets out release nothing, in one batch or in many', async () => {
    const many = lying((batch) => Array.from({ length: 600 }, () => batch));
    const ended = await runAndLook(world, { needs: many });
    assert.ok(ended.outcome?.kind === 'failed' && ended.outcome.reasons[0]?.code === 'release-too-many-rows');
    assertKept(ended, 'release-too-many-rows');
  });

  it('batches whose buffers are too short, too long, or not what their schema says release nothing', async () => {
    const shapes: ((batch: ColumnBatch) => ColumnBatch)[] = [
      (batch) => ({ ...batch, rowCount: batch.rowCount + 1 }),
      (batch) => ({ ...batch, rowCount: -1 }),
      (batch) => ({ ...batch, rowCount: Number.NaN }),
      (batch) => column(batch, 1, (data) => ({ ...data, values: data.values.subarray(1) })),
      (batch) => column(batch, 0, (data) => ({ ...data, offsets: Int32Array.of(0, 1_000_000, 2) })),
      (batch) => column(batch, 0, (data) => ({ ...data, values: new Uint8Array(data.values.length).fill(0xff) })),
      (batch) => ({ ...batch, columns: batch.columns.toReversed() }),
      () => ({ rowCount: 1, columns: [] }),
    ];
    for (const [index, change] of shapes.entries()) {
      const ended = await runAndLook(world, { needs: lying((batch) => [change(batch)]) });
      assert.notEqual(ended.outcome?.kind, 'released', `shape ${index}`);
      assert.equal(ended.state, 'failed', `shape ${index}`);
      assert.deepEqual(ended.files, []);
      assert.equal(ended.cost, 1n);
    }
  });

  it('a worker that says it failed after sending good rows releases none of them', async () => {
    const ended = await runAndLook(world, {
      needs: through((real) => ({ batches: real.batches, summary: () => ({ kind: 'failed' }) })),
    });
    assert.ok(ended.outcome?.kind === 'failed');
    assertKept(ended, 'computation-failed');
  });

  it('a worker that dies after its first batch releases nothing, and what is told does not say why', async () => {
    const ended = await runAndLook(world, {
      needs: through((real) => ({
        summary: real.summary,
        batches: (async function* () {
          yield* real.batches;
          throw new Error('patient 17 made the sql worker die');
        })(),
      })),
    });
    assert.equal(ended.outcome, null, 'a fault is ours: it is thrown, to be logged');
    assertKept(ended, 'computation-failed');
  });
});

describe('a fault at each step', () => {
  const broken = (): never => {
    throw new Error('no space left on device');
  };
  it('before anything is reserved is on record, costs nothing and says so', async () => {
    const preparers = { sql: () => Promise.reject(new Error('the parser worker died')) };
    const ended = await runAndLook(world, { needs: { preparers } });
    assert.match(String(ended.fault), /parser worker died/);
    assert.equal(ended.state, 'failed');
    assert.deepEqual(ended.reasons, ['not-started']);
    assert.equal(ended.cost, 0n);
    assert.deepEqual(ended.kinds, ['job.failed']);
  });

  it('of the reservation itself is on record when the state still takes records', async () => {
    const ledger = { ...world.needs.ledger, reserve: () => Promise.reject(new Error('disk I/O error')) };
    const ended = await runAndLook(world, { needs: { ledger } });
    assert.equal(ended.state, 'failed');
    assert.deepEqual(ended.reasons, ['not-started']);
    assert.equal(ended.cost, 0n);
  });

  it('of the result file (opened, written, finished) releases nothing', async () => {
    const writers: JobNeeds['openResult'][] = [
      () => Promise.reject(new Error('no space left on device')),
      async (id, schema) => wrapped(await world.results.create(id, schema), { write: broken }),
      async (id, schema) => wrapped(await world.results.create(id, schema), { finish: broken }),
    ];
    for (const openResult of writers) {
      const ended = await runAndLook(world, { needs: { openResult } });
      assert.equal(ended.outcome, null);
      assertKept(ended, 'computation-failed');
    }
  });

  it('of the record: the result is gone and no ticket exists', async () => {
    const ledger = { ...world.needs.ledger, release: () => Promise.reject(new Error('database or disk is full')) };
    const tickets = (await world.store.list('ticket')).length;
    const ended = await runAndLook(world, { needs: { ledger } });
    assertKept(ended, 'computation-failed');
    assert.equal((await world.store.list('ticket')).length, tickets);
  });

  it('of the record and of recording the failure: nothing is told as released, and the next start ends the job', async () => {
    const refuse = (): Promise<never> => Promise.reject(new Error('database or disk is full'));
    const ledger = { ...world.needs.ledger, release: refuse, fail: refuse };
    const ended = await runAndLook(world, { needs: { ledger } }).catch((error: unknown) => error);
    assert.match(String(ended), /still held/);
    const [open] = await world.store.jobs({ state: 'running' });
    await world.store.failJob({
      jobId: open?.id ?? '',
      state: 'failed',
      reason: 'interrupted',
      events: [
        { kind: 'job.failed', atMs: Date.now(), subjects: [{ name: 'job/x', sha256: '0'.repeat(64) }], facts: {} },
      ],
    });
    assert.equal((await world.uses()).held, 0n);
    assert.equal(world.results.exists(open?.id ?? ''), false);
  });
});

describe('an agreement that is suspended while its job runs', () => {
  it('lets nothing leave: the ledger refuses in the transaction that would have released', async () => {
    const needs = through((real) => ({
      summary: real.summary,
      batches: (async function* () {
        yield* real.batches;
        await world.setAgreement('suspended');
      })(),
    }));
    try {
      const ended = await runAndLook(world, { needs });
      assert.ok(ended.outcome?.kind === 'stopped');
      assert.equal(ended.outcome.reasons[0]?.code, 'agreement-not-active');
      assert.equal(ended.state, 'cancelled');
      assert.equal(ended.cost, 1n);
      assert.deepEqual(ended.files, []);
      assert.ok(!ended.kinds.includes('release'));
    } finally {
      await world.setAgreement('active');
    }
  });

  it('before its reservation is denied and costs nothing', async () => {
    await world.setAgreement('suspended');
    try {
      const ended = await runAndLook(world);
      assert.ok(ended.outcome?.kind === 'denied');
      assert.deepEqual(ended.reasons, ['agreement-not-active']);
      assert.equal(ended.cost, 0n);
    } finally {
      await world.setAgreement('active');
    }
  });
});

describe('a job that is stopped', () => {
  const stages: readonly Stage[] = ['identify', 'decide', 'parse', 'reserve', 'run', 'disclose', 'record'];
  const untouched = new Set<Stage>(['identify', 'decide', 'parse']);
  for (const stage of stages) {
    it(`at \`${stage}\` ends as what stopped it, releases nothing, and costs ${untouched.has(stage) ? 'nothing' : 'its use'}`, async () => {
      for (const why of ['cancelled', 'stopped', 'deadline'] as const) {
        const ended = await runAndLook(world, { at: (at, abort) => (at === stage ? abort.abort(why) : undefined) });
        assert.equal(ended.outcome?.kind, why === 'cancelled' ? 'cancelled' : 'stopped');
        assert.equal(ended.state, 'cancelled');
        assert.deepEqual(ended.reasons, [why]);
        assert.equal(ended.cost, untouched.has(stage) ? 0n : 1n);
        assert.deepEqual(ended.files, []);
        assert.ok(!ended.kinds.includes('release'));
        assert.equal(ended.kinds.at(-1), 'job.cancelled');
      }
    });
  }

  it('before it began is on record and costs nothing', async () => {
    const abort = new AbortController();
    abort.abort('cancelled');
    const ended = await runAndLook(world, { abort });
    assert.equal(ended.outcome?.kind, 'cancelled');
    assert.equal(ended.cost, 0n);
    assert.deepEqual(ended.kinds, ['job.cancelled']);
  });

  it('gives its worker back: the next job runs', async () => {
    const ended = await runAndLook(world);
    assert.equal(ended.outcome?.kind, 'released');
    assert.ok(world.pool.stats.leased === 0);
  });
});

function wrapped<T extends object>(real: T, change: Partial<T>): T {
  return new Proxy(real, {
    get: (target, name) => {
      const value: unknown = Reflect.get(change, name) ?? Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

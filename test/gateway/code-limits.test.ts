import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  execution,
  type JavaScriptRunNeeds,
  OUT_OF_TIME,
  sourceOf,
  timeOfEach,
  workersOf,
} from '../../runtime/gateway/javascript/run.ts';
import type { ReadyInput } from '../../runtime/job/prepare-javascript.ts';
import { type CodeLimits, NO_CODE_LIMITS } from '../../runtime/policy/model.ts';
import { type LeaseRequest, processBaseMiB } from '../../runtime/sandbox/pool-options.ts';

/** A table so large that its rows are folded where they are read, unless code has limits of its own. */
function inputOf(limits: Partial<CodeLimits>): ReadyInput {
  const data = { dataset: {}, table: { rowCount: 50_000_000n, columns: [] }, rowsPerUnit: 1 };
  const release = { mode: 'sandbox', tier: 'balanced', limits: { ...NO_CODE_LIMITS, ...limits } };
  return { party: 'acme', clause: 'c', release, data } as unknown as ReadyInput;
}
const { signal } = new AbortController();

async function leasedWith(limits: Partial<CodeLimits>, shares?: number): Promise<LeaseRequest['limits']> {
  const asked: LeaseRequest[] = [];
  const pool = { lease: (request: LeaseRequest) => Promise.resolve(void asked.push(request)) };
  const workers = workersOf({ pool } as unknown as JavaScriptRunNeeds, inputOf(limits), signal, shares);
  await workers.lease({ tier: 'balanced', wallMs: 7000 });
  return asked[0]?.limits;
}

test('workers of a job get the memory of its policy, and each round its share of the processor time', async () => {
  assert.deepEqual(await leasedWith({}, 3), { wallMs: 7000 });
  assert.deepEqual(await leasedWith({ memoryMiB: 100, cpuMs: 1000 }, 3), {
    wallMs: 7000,
    memoryMiB: 100 + processBaseMiB,
    cpuMs: 333,
  });
  // Blocks and groups are bounded one by one: a worker that ran out would take an innocent block with it.
  assert.deepEqual(await leasedWith({ cpuMs: 1000 }), { wallMs: 7000 });
  const share = (limits: Partial<CodeLimits>, runs: number): number => timeOfEach(5000, runs, inputOf(limits).release);
  assert.deepEqual([share({}, 4), share({ cpuMs: 10_000 }, 4), share({ cpuMs: 100_000 }, 4)], [5000, 2500, 5000]);
});

test('code whose memory or processor time is limited never runs in the worker that reads the rows', () => {
  const isFolded = (limits: Partial<CodeLimits>): boolean => {
    const reading = { isSorted: false, isNumbered: false, isReadOnce: true, rowsPerUnit: 1, signal };
    return sourceOf({ pool: {} } as unknown as JavaScriptRunNeeds, inputOf(limits), [], reading).fold !== undefined;
  };
  assert.ok(isFolded({}) && isFolded({ wallMs: 1000, rounds: 2 }));
  assert.ok(!isFolded({ cpuMs: 1000 }) && !isFolded({ memoryMiB: 100 }));
});

test('a row function beyond its processor time is told so by the clause, as one beyond the wall clock is', async () => {
  const ended = async (made: typeof OUT_OF_TIME | undefined): Promise<unknown> => {
    const run = execution(() => Promise.resolve(made), inputOf({ cpuMs: 700 }), signal);
    for await (const _ of run.batches) assert.fail('nothing may leave');
    return run.summary();
  };
  const late = (await ended(OUT_OF_TIME)) as { readonly kind: string; readonly reason: { code: string; text: string } };
  assert.equal(late.kind, 'failed');
  assert.equal(late.reason.code, 'run-time-limit');
  assert.match(JSON.stringify(late.reason), /share of 700 ms of processor time/);
  assert.deepEqual(await ended(undefined), { kind: 'failed' });
});

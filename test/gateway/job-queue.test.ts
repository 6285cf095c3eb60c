import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { JobQueue, type QueueLimits } from '../../runtime/gateway/jobs/live-jobs.ts';
import type { Job, Outcome, Stage } from '../../runtime/job/job.ts';
import { Fault } from '../../runtime/rpc/fault.ts';

const LIMITS: QueueLimits = { running: 3, runningPerParty: 2, queuedPerParty: 4, queued: 8 };
const DENIED: Outcome = { kind: 'denied', reasons: [], receipt: null };
const SCOPE = { agreements: ['a1'], datasets: ['visits'] };

function job(id: string, party: string): Job {
  return {
    id,
    asker: { party, groups: [], country: null },
    computation: { kind: 'sql', text: '', parameters: {} },
    agreementIds: [],
    rule: null,
    purpose: null,
    actor: null,
    submittedAtMs: 0,
    signature: null,
    askedDigest: null,
  };
}

/** A queue whose jobs run until they are told to end, or are stopped. */
class Bench {
  readonly queue: JobQueue;
  readonly started: string[] = [];
  readonly ended: string[] = [];
  readonly #ends = new Map<string, () => void>();
  readonly running = new Map<string, number>();
  mostRunning = 0;

  constructor(limits: QueueLimits = LIMITS) {
    this.queue = new JobQueue(limits);
  }

  add(id: string, party: string, deadlineMs: number | null = null): Promise<Outcome> {
    const run = async (
      one: Job,
      { signal, report }: { readonly signal: AbortSignal; readonly report: (stage: Stage) => void },
    ): Promise<Outcome> => {
      this.started.push(one.id);
      this.running.set(party, (this.running.get(party) ?? 0) + 1);
      this.mostRunning = Math.max(this.mostRunning, this.queue.running);
      report('run');
      const end = Promise.withResolvers<void>();
      this.#ends.set(one.id, end.resolve);
      signal.addEventListener('abort', () => end.resolve(), { once: true });
      if (signal.aborted) end.resolve();
      await end.promise;
      this.running.set(party, (this.running.get(party) ?? 1) - 1);
      this.ended.push(`${one.id} ${signal.aborted ? String(signal.reason) : 'done'}`);
      return DENIED;
    };
    return this.queue.add(job(id, party), SCOPE, run, deadlineMs);
  }

  /** Ends a running job and lets everything that follows from it happen. */
  async end(id: string): Promise<void> {
    this.#ends.get(id)?.();
    await settle();
  }
}

const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('the job queue', () => {
  it('lets parties take turns: one that submits many does not hold up the others', async () => {
    const bench = new Bench({ ...LIMITS, running: 1, runningPerParty: 1 });
    for (const id of ['a1', 'a2', 'a3', 'a4']) void bench.add(id, 'a');
    for (const id of ['b1', 'b2']) void bench.add(id, 'b');
    void bench.add('c1', 'c');
    await settle();
    for (let turn = 0; turn < 7; turn += 1) await bench.end(bench.started.at(-1) ?? '');
    assert.deepEqual(bench.started, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
    assert.equal(bench.queue.running + bench.queue.queued, 0);
  });

  it('never runs more than its limits in all and for one party, whatever comes and ends', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), party: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ do: fc.constant('end' as const), at: fc.nat(20) }),
      fc.record({ do: fc.constant('cancel' as const), at: fc.nat(20) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const bench = new Bench();
        const outcomes: Promise<Outcome>[] = [];
        const ids: string[] = [];
        for (const [index, one] of steps.entries()) {
          if (one.do === 'add') {
            const id = `${one.party}${index}`;
            try {
              outcomes.push(bench.add(id, one.party));
              ids.push(id);
            } catch (error) {
              assert.ok(error instanceof Fault && error.code === 'too-many-jobs');
            }
          } else if (one.do === 'end') await bench.end(ids[one.at] ?? '');
          else bench.queue.cancel(ids[one.at] ?? '', 'cancelled');
          await settle();
          assert.ok(bench.queue.running <= LIMITS.running);
          assert.ok(bench.queue.queued <= LIMITS.queued);
          for (const count of bench.running.values()) assert.ok(count <= LIMITS.runningPerParty);
        }
        await bench.queue.drain(0);
        await Promise.all(outcomes);
        assert.equal(bench.ended.length, ids.length, 'every job ends exactly once');
        assert.equal(bench.queue.running + bench.queue.queued + bench.queue.list().length, 0);
      }),
      { numRuns: 60 },
    );
  });

  it('refuses a party that has too many waiting, and everybody when too many wait in all', async () => {
    const bench = new Bench();
    for (let index = 0; index < 6; index += 1) void bench.add(`a${index}`, 'a');
    assert.throws(() => void bench.add('a6', 'a'), { code: 'too-many-jobs' });
    for (let index = 0; index < 5; index += 1) void bench.add(`b${index}`, 'b');
    assert.throws(() => void bench.add('c0', 'c'), { code: 'too-many-jobs' });
    await bench.queue.drain(0);
  });

  it('ends a waiting job at once when it is cancelled, without its turn, and gives its place free', async () => {
    const bench = new Bench({ ...LIMITS, running: 1 });
    void bench.add('a1', 'a');
    const waiting = bench.add('a2', 'a');
    assert.equal(bench.queue.cancel('a2', 'cancelled'), true);
    await waiting;
    assert.deepEqual(bench.ended, ['a2 cancelled']);
    assert.equal(bench.queue.queued, 0);
    assert.equal(bench.queue.running, 1, 'the other still runs');
    assert.equal(bench.queue.cancel('a2', 'cancelled'), false, 'it is gone');
    await bench.queue.drain(0);
  });

  it('counts a deadline from when a job was taken in, so that waiting does not stretch it', async () => {
    const bench = new Bench({ ...LIMITS, running: 1 });
    void bench.add('a1', 'a');
    await bench.add('a2', 'a', 1);
    assert.deepEqual(bench.ended, ['a2 deadline']);
    await bench.queue.drain(0);
  });

  it('stops those that match, waiting or running, and no others', async () => {
    const bench = new Bench();
    for (const id of ['a1', 'a2', 'a3']) void bench.add(id, 'a');
    void bench.add('b1', 'b');
    assert.equal(
      bench.queue.stop(({ party }) => party === 'a'),
      3,
    );
    await settle();
    assert.deepEqual(bench.ended.toSorted(), ['a1 stopped', 'a2 stopped', 'a3 stopped']);
    assert.deepEqual(
      bench.queue.list().map(({ job: { id } }) => id),
      ['b1'],
    );
    await bench.queue.drain(0);
  });

  it('drains: takes nothing new, lets running jobs end, and stops what runs at the deadline', async () => {
    const bench = new Bench();
    void bench.add('a1', 'a');
    void bench.add('a2', 'a');
    await settle();
    const drained = bench.queue.drain(60_000);
    assert.throws(() => void bench.add('a3', 'a'), { code: 'draining' });
    await bench.end('a1');
    await bench.end('a2');
    await drained;
    assert.deepEqual(bench.ended, ['a1 done', 'a2 done']);
    const late = new Bench();
    void late.add('b1', 'b');
    await late.queue.drain(1);
    assert.deepEqual(late.ended, ['b1 stopped']);
  });

  it('tells watchers of every move and of the end, and forgets those that leave', async () => {
    const bench = new Bench();
    void bench.add('a1', 'a');
    await settle();
    const end = bench.queue.changed('a1', new AbortController().signal);
    const leaving = new AbortController();
    const left = bench.queue.changed('a1', leaving.signal);
    leaving.abort();
    await left;
    await bench.end('a1');
    await end;
    await bench.queue.changed('a1', new AbortController().signal); // gone: answers at once
  });
});

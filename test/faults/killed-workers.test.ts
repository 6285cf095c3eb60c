import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { JobQueue } from '../../runtime/gateway/jobs/live-jobs.ts';
import type { Stage } from '../../runtime/job/job.ts';
import {
  ANSWER,
  DATASET,
  type Member,
  newQuestion,
  rowsOf,
  startWorld,
  visitsPolicy,
  type World,
} from '../gateway/world.ts';
import { descendantsOf } from './processes.ts';

let world: World;
let acme: Member;
/** Called at every step of every job. */
let onStage: (stage: Stage) => void = () => {};
const add = Reflect.get(JobQueue.prototype, 'add') as JobQueue['add'];
before(async () => {
  JobQueue.prototype.add = function (job, scope, run, deadlineMs) {
    const watched: typeof run = (one, { signal, report }) =>
      run(one, {
        signal,
        report: (stage) => {
          onStage(stage);
          report(stage);
        },
      });
    return add.call(this, job, scope, watched, deadlineMs);
  };
  world = await startWorld({ policy: visitsPolicy({ count: 1000 }) });
  acme = await world.consumer('acme');
  await acme.jobs.sql(newQuestion()); // leaves warm workers to kill
});
after(async () => {
  JobQueue.prototype.add = add;
  await world[Symbol.asyncDispose]();
});

/** Kills whatever works for this runtime now, workers that are leased and those that wait; answers which. */
function killWorkers(): readonly number[] {
  const victims = descendantsOf(process.pid);
  for (const pid of victims) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // it has ended meanwhile
    }
  }
  return victims;
}

/** Resolves when the runtime has been told that these are gone: a job that comes before may still be given one. */
async function areGone(victims: readonly number[]): Promise<void> {
  while (victims.some((pid) => existsSync(`/proc/${pid}`))) await delay(5);
  // Their pipes are closed by now, which the event loop says after it has said that the processes ended.
  for (let turn = 0; turn < 10; turn += 1) await delay(5);
}

const uses = async (): Promise<bigint> => (await acme.budgets.get({ dataset: DATASET })).budgets[0]?.uses ?? -1n;

describe('workers that are killed', () => {
  for (const doomed of ['parse', 'reserve', 'run', 'disclose', 'record'] as const) {
    it(`at \`${doomed}\`: the job is answered rightly or not at all, its use is booked, and the next one runs`, async () => {
      const before = await uses();
      let killed: readonly number[] = [];
      onStage = (stage) => {
        if (stage !== doomed || killed.length > 0) return;
        killed = killWorkers();
        assert.ok(killed.length > 0, 'there were workers to kill');
      };
      const outcome = await acme.jobs.sql(newQuestion());
      onStage = () => {};
      assert.ok(killed.length > 0);
      if (outcome.kind === 'released') assert.deepEqual(rowsOf(outcome.table), ANSWER);
      else {
        assert.equal(outcome.job.state, 'failed');
        assert.ok(outcome.job.receipt, 'its end is on record');
        assert.match(
          outcome.job.reasons[0]?.code ?? '',
          doomed === 'parse' ? /not-started/ : /computation-failed|not-started/,
        );
      }
      const cost = outcome.job.reasons[0]?.code === 'not-started' ? 0n : 1n;
      assert.equal(await uses(), before + cost);
      await areGone(killed);
      const next = await acme.jobs.sql(newQuestion());
      assert.ok(next.kind === 'released');
      assert.deepEqual(rowsOf(next.table), ANSWER);
    });
  }

  it('again and again under load: no wrong answer, no file without a release, no worker left over', async () => {
    const before = await uses();
    let count = 0;
    const killed: number[] = [];
    onStage = (stage) => {
      if (stage === 'run' && (count += 1) % 5 === 0) killed.push(...killWorkers());
    };
    const outcomes = await Promise.all(Array.from({ length: 30 }, () => acme.jobs.sql(newQuestion())));
    onStage = () => {};
    for (const outcome of outcomes) if (outcome.kind === 'released') assert.deepEqual(rowsOf(outcome.table), ANSWER);
    const spent = outcomes.filter(({ job }) => job.reasons[0]?.code !== 'not-started').length;
    assert.equal(await uses(), before + BigInt(spent));
    const { jobs } = await acme.jobs.list({});
    assert.deepEqual(
      readdirSync(join(world.path, 'results')).toSorted(),
      jobs.flatMap(({ id, state }) => (state === 'released' ? [`${id}.frames`] : [])).toSorted(),
    );
    assert.equal(world.runtime.pool.stats.leased, 0);
    assert.equal(world.runtime.pool.stats.waiting, 0);
    await areGone(killed);
    const last = await acme.jobs.sql(newQuestion());
    assert.ok(last.kind === 'released');
  });
});

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { JobQueue } from '../../runtime/gateway/live-jobs.ts';
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

/** Kills whatever works for this runtime now: workers that are leased, and those that wait. */
function killWorkers(): number {
  const victims = descendantsOf(process.pid);
  for (const pid of victims) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // it has ended meanwhile
    }
  }
  return victims.length;
}

const uses = async (): Promise<bigint> => (await acme.budgets.get({ dataset: DATASET })).budgets[0]?.uses ?? -1n;

describe('workers that are killed', () => {
  for (const doomed of ['parse', 'reserve', 'run', 'disclose', 'record'] as const) {
    it(`at \`${doomed}\`: the job is answered rightly or not at all, its use is booked, and the next one runs`, async () => {
      const before = await uses();
      let killed = 0;
      onStage = (stage) => {
        if (stage !== doomed || killed > 0) return;
        killed = killWorkers();
        assert.ok(killed > 0, 'there were workers to kill');
      };
      const outcome = await acme.jobs.sql(newQuestion());
      onStage = () => {};
      assert.ok(killed > 0);
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
      const next = await acme.jobs.sql(newQuestion());
      assert.ok(next.kind === 'released');
      assert.deepEqual(rowsOf(next.table), ANSWER);
    });
  }

  it('again and again under load: no wrong answer, no file without a release, no worker left over', async () => {
    const before = await uses();
    let count = 0;
    onStage = (stage) => {
      if (stage === 'run' && (count += 1) % 5 === 0) killWorkers();
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
    const last = await acme.jobs.sql(newQuestion());
    assert.ok(last.kind === 'released');
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { GloveboxError } from '../../runtime/client/error.ts';
import { hasEnded } from '../../runtime/client/jobs.ts';
import { parseVerifierKey } from '../../runtime/evidence/note.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
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
import { openFiles } from './processes.ts';

// One party that changes its mind all the time, beside one that asks and waits.
describe('a storm of streams, cancellations and deadlines', () => {
  let world: World;
  let acme: Member;
  let beta: Member;
  before(async () => {
    world = await startWorld({ policy: visitsPolicy({ count: 100_000 }) });
    acme = await world.consumer('acme');
    beta = await world.consumer('beta');
    await ask(beta);
  });
  after(() => world[Symbol.asyncDispose]());

  async function ask(who: Member): Promise<void> {
    const outcome = await who.jobs.sql(newQuestion());
    assert.ok(outcome.kind === 'released');
    assert.deepEqual(rowsOf(outcome.table), ANSWER);
  }
  const submit = async (deadlineMs = 0): Promise<string> => {
    const job = {
      computation: { kind: 'sql', sql: { text: newQuestion() } },
      ...(deadlineMs > 0 ? { deadlineMs } : {}),
    };
    return (await acme.jobs.submit({ job } as Parameters<Glovebox['jobs']['submit']>[0])).job?.id ?? '';
  };
  const watch = async (id: string, dropAfterMs: number): Promise<void> => {
    for await (const { job } of acme.jobs.watch({ id }, { signal: AbortSignal.timeout(dropAfterMs) })) assert.ok(job);
  };
  /** A server may say no to what comes too fast or too late; it may not break. */
  const orSaysNo = async (work: Promise<unknown>): Promise<void> => {
    await work.catch((error: unknown) => {
      assert.ok(error instanceof GloveboxError, String(error));
      const { code } = error;
      assert.match(
        code,
        /^(wrong-state|grpc-(cancelled|deadline-exceeded|unavailable|resource-exhausted))$/,
        String(error),
      );
    });
  };

  it('gives others their answers, spends what touched rows, gives back the rest, and holds nothing afterwards', async () => {
    const descriptors = openFiles();
    let isOver = false;
    let answers = 0;
    const honest = (async () => {
      for (; !isOver; answers += 1) await ask(beta);
    })();
    const rounds = Array.from({ length: 24 }, async (_, round) => {
      await delay(round * 40);
      const watched = await submit();
      const cancelled = await submit();
      const drops = Array.from({ length: 8 }, (_drop, n) => orSaysNo(watch(watched, 1 + n * 7)));
      const cancelling = delay((round * 7) % 31).then(() => acme.jobs.cancel({ id: cancelled }));
      const leaving = connect({ credential: acme.credential, server: `127.0.0.1:${world.server.port}` });
      const left = leaving.jobs.sql(newQuestion());
      const leave = delay(20 + ((round * 13) % 120)).then(() => leaving.close());
      await Promise.all([...drops, orSaysNo(cancelling), orSaysNo(submit(1 + round)), orSaysNo(left), leave]);
    });
    await Promise.all(rounds);
    isOver = true;
    await honest;
    assert.ok(answers > 0, 'another party was answered meanwhile');

    for (const { id } of (await acme.jobs.list({ page: { size: 1000 } })).jobs)
      for await (const _ of acme.jobs.watch({ id }));
    const { runningJobs, queuedJobs } = await world.owner.operator.status({});
    assert.equal(runningJobs + queuedJobs, 0);
    const key = parseVerifierKey((await world.owner.evidence.getCheckpoint({})).verifierKey);
    assert.ok(key);
    const { jobs } = await acme.jobs.list({ page: { size: 1000 } });
    assert.ok(jobs.length > 48, `${jobs.length} jobs`);
    for (const job of jobs) {
      assert.ok(hasEnded(job), job.id);
      const { receipt } = await acme.evidence.getReceipt({ of: { kind: 'jobId', jobId: job.id } });
      assert.notEqual(verifyReceipt(Buffer.from(receipt?.document ?? []).toString(), key).kind, 'refused', job.id);
    }
    // Only a job whose budget was reserved has a mode on record; of these nobody knows but that rows were read.
    const spent = jobs.filter(({ mode }) => mode !== 'unspecified').length;
    assert.ok(spent < jobs.length && jobs.some(({ state }) => state === 'released'));
    const [budget] = (await acme.budgets.get({ dataset: DATASET })).budgets;
    assert.equal(budget?.uses, BigInt(spent));
    assert.equal(budget?.usesReserved, 0n);

    // The streams that were dropped are counted no longer: as many as a party may have are open at once.
    const first = jobs[0]?.id ?? '';
    await Promise.all(Array.from({ length: 120 }, () => watch(first, 10_000)));
    for (let tries = 0; world.server.openCalls > 0 && tries < 100; tries++) await delay(20);
    assert.equal(world.server.openCalls, 0);
    for (let tries = 0; openFiles() > descriptors + 100 && tries < 100; tries++) await delay(20);
    assert.ok(openFiles() <= descriptors + 100, `${openFiles()} descriptors, ${descriptors} before`);
  });
});

// Runs jobs against a store until it is killed; says on standard output what the store has acknowledged.
import { writeSync } from 'node:fs';
import { openStore } from '../../runtime/store/store.ts';
import { admit, EPSILON, event, NOW, releaseInput, reserveInput } from './world.ts';

const [, , path, prefix] = process.argv;
if (path === undefined || prefix === undefined) throw new Error('usage: crash-child PATH PREFIX');
const say = (word: string, job: string): void => void writeSync(1, `${word} ${job}\n`);
const workerEntry = new URL('./failpoint-worker.ts', import.meta.url);
const store = await openStore({ path, clock: () => NOW, workerEntry });
await admit(store);

/** Jobs of three kinds at once, so that groups of different transactions share commits. */
async function run(index: number): Promise<void> {
  const id = `${prefix}${index}`;
  const startsNow = index % 2 === 0;
  const answer = await store.reserve(reserveInput(id, [{ budget: EPSILON, amount: 1n, limit: 1_000_000n }], startsNow));
  if (answer.kind !== 'reserved') throw new Error(answer.kind);
  say('reserved', id);
  if (!startsNow) {
    await store.startJob(id);
    say('started', id);
  }
  if (index % 3 === 2) {
    await store.failJob({ jobId: id, state: 'failed', reason: 'timeout', events: [event('job.failed', id)] });
    say('failed', id);
    return;
  }
  await store.commitRelease(releaseInput(id));
  say('released', id);
}
for (let round = 0; ; round += 1) await Promise.all([0, 1, 2, 3, 4].map((index) => run(round * 5 + index)));

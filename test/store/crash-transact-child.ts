// What agreements, duties, settlements and erasures are: one transaction of several steps after the other, until killed.
import { writeSync } from 'node:fs';
import { openStore } from '../../runtime/store/store.ts';
import { changeOf } from './crash-transact.ts';

const [, , path] = process.argv;
if (path === undefined) throw new Error('usage: crash-transact-child PATH');
const workerEntry = new URL('./failpoint-worker.ts', import.meta.url);
const store = await openStore({ path, clock: () => 1, workerEntry });
for (let index = 0; ; index += 1) {
  const outcome = await store.transact(changeOf(index));
  if (outcome.kind !== 'done') throw new Error(JSON.stringify(outcome));
  writeSync(1, `${index}\n`);
}

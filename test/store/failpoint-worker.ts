// The store's thread as in the runtime, except that the process dies (SIGKILL) when a chosen step is reached for the
// n-th time: GLOVEBOX_TEST_FAILPOINT=step@n; with GLOVEBOX_TEST_FAILURE=throw the step fails instead, as a full disk would,
// and with step@n+ it fails from then on.
import { parentPort, workerData } from 'node:worker_threads';
import type { WorkerData } from '../../runtime/store/protocol.ts';
import { serveStore } from '../../runtime/store/serve.ts';

const [step, count] = (process.env['GLOVEBOX_TEST_FAILPOINT'] ?? '').split('@');
let left = Number.parseInt(count ?? '1', 10);
const isForEver = count?.endsWith('+') === true;
if (parentPort === null) throw new Error('the store runs in a worker thread');
serveStore(parentPort, workerData as WorkerData, (name) => {
  if (name !== step) return;
  left -= 1;
  if (isForEver ? left > 0 : left !== 0) return;
  if (process.env['GLOVEBOX_TEST_FAILURE'] === 'throw') throw new Error('disk I/O error');
  process.kill(process.pid, 'SIGKILL');
});

// The store's thread as in the runtime, except that the process dies (SIGKILL) when a chosen step is reached for the
// n-th time: GLOVEBOX_TEST_FAILPOINT=step@n; with GLOVEBOX_TEST_FAILURE=throw the step fails instead, as a full disk would,
// and with step@n+ it fails from then on. Several are separated by commas.
import { parentPort, workerData } from 'node:worker_threads';
import type { WorkerData } from '../../runtime/store/protocol.ts';
import { serveStore } from '../../runtime/store/serve.ts';

const points = (process.env['GLOVEBOX_TEST_FAILPOINT'] ?? '').split(',').map((point) => {
  const [step, count = '1'] = point.split('@');
  return { step, left: Number.parseInt(count, 10), isForEver: count.endsWith('+') };
});
if (parentPort === null) throw new Error('the store runs in a worker thread');
serveStore(parentPort, workerData as WorkerData, (name) => {
  for (const point of points) {
    if (name !== point.step) continue;
    point.left -= 1;
    if (point.isForEver ? point.left > 0 : point.left !== 0) continue;
    if (process.env['GLOVEBOX_TEST_FAILURE'] === 'throw') throw new Error('disk I/O error');
    process.kill(process.pid, 'SIGKILL');
  }
});

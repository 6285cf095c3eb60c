import { parentPort, workerData } from 'node:worker_threads';
import type { WorkerData } from './protocol.ts';
import { serveStore } from './serve.ts';

if (parentPort === null) throw new Error('the store runs in a worker thread');
serveStore(parentPort, workerData as WorkerData);

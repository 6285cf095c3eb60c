// Encrypts runs of blocks beside the thread that reads rows; see encryption-threads.ts.
import { parentPort, workerData } from 'node:worker_threads';
import { blockEncryptor } from './block-encryptor.ts';
import { type BlockEncryptor, EncryptionRun } from './encryption-run.ts';
import type { EncryptionAnswer, EncryptionOrder } from './encryption-threads.ts';
import { HomomorphicFault } from './fault.ts';
import { type BackendKeys, openKeyedBackend } from './keyed-backend.ts';

const columns = new Map<number, { readonly encrypt: BlockEncryptor; readonly runs: readonly EncryptionRun[] }>();

const backend = await openKeyedBackend(workerData as BackendKeys);

// Orders that came before this point have waited in the port.
parentPort?.on('message', (order: EncryptionOrder) => {
  if (order.kind === 'end') {
    columns.delete(order.column);
    return;
  }
  if (order.kind === 'column') {
    const runs = order.memories.map((memory) => new EncryptionRun(order.header, memory));
    columns.set(order.column, { encrypt: blockEncryptor(backend, order.header), runs });
    return;
  }
  const { id } = order;
  try {
    const column = columns.get(order.column);
    const run = column?.runs[order.run];
    if (column === undefined || run === undefined) throw new Error('this thread does not know that column');
    run.seal(column.encrypt);
    answer({ kind: 'done', id });
  } catch (error) {
    const code = error instanceof HomomorphicFault ? error.code : null;
    answer({ kind: 'fault', id, code, message: error instanceof Error ? error.message : String(error) });
  }
});

function answer(message: EncryptionAnswer): void {
  parentPort?.postMessage(message);
}

// Encrypts blocks beside the thread that reads rows; see encryption-threads.ts.
import { parentPort, workerData } from 'node:worker_threads';
import { blockEncryptor } from './block-encryptor.ts';
import type { EncryptionAnswer, EncryptionKeys, EncryptionOrder } from './encryption-threads.ts';
import { HomomorphicFault } from './fault.ts';
import { openNodeSealBackend } from './node-seal-backend.ts';
import type { GivenBlock, RowBlock } from './open-block.ts';
import { PROFILES } from './profiles.ts';

const { secretKeys = [], publicKeys = [] } = workerData as EncryptionKeys;
const encryptors = new Map<number, (block: RowBlock | GivenBlock) => readonly Uint8Array[]>();

const backend = await openNodeSealBackend();
for (const { profile, secretKey } of secretKeys) backend.open(PROFILES[profile]).useSecretKey(secretKey);
for (const { profile, publicKey } of publicKeys) backend.open(PROFILES[profile]).usePublicKey(publicKey);

// Orders that came before this point have waited in the port.
parentPort?.on('message', (order: EncryptionOrder) => {
  if (order.kind === 'column') {
    encryptors.set(order.column, blockEncryptor(backend, order.header));
    return;
  }
  const { id } = order;
  try {
    const encrypt = encryptors.get(order.column);
    if (encrypt === undefined) throw new Error('this thread does not know that column');
    // what is a part of something larger (the library's memory) would be sent whole
    const channels = encrypt(order.block).map((bytes) =>
      bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice(),
    );
    answer(
      { kind: 'done', id, channels },
      channels.map((bytes) => bytes.buffer as ArrayBuffer),
    );
  } catch (error) {
    const code = error instanceof HomomorphicFault ? error.code : null;
    answer({ kind: 'fault', id, code, message: error instanceof Error ? error.message : String(error) });
  }
});

function answer(message: EncryptionAnswer, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

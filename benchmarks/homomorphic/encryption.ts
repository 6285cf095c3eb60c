import { blockEncryptor } from '../../runtime/homomorphic/block-encryptor.ts';
import { chooseParameters } from '../../runtime/homomorphic/choose.ts';
import { type ColumnHeader, rowsPerBlock } from '../../runtime/homomorphic/column.ts';
import { encryptColumn } from '../../runtime/homomorphic/encrypt-column.ts';
import { EncryptionThreads } from '../../runtime/homomorphic/encryption-threads.ts';
import { ingestColumn } from '../../runtime/homomorphic/ingest.ts';
import { generateKeyBundles } from '../../runtime/homomorphic/keys.ts';
import { openKeyedBackend } from '../../runtime/homomorphic/keyed-backend.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { OpenBlock } from '../../runtime/homomorphic/open-block.ts';
import { valueAt } from './cases.ts';
import { collect } from './collect.ts';
import type { JobsRow } from './jobs.ts';

/**
 * Encoding and encrypting as a key holder does it: a column on one core, and twice as long a column in two threads, turn
 * by turn. The floor is the encryptor alone, without rows, file and digest.
 */
export async function encryptionRow(size: number, turns: number): Promise<JobsRow> {
  const { open, secret } = generateKeyBundles(await openNodeSealBackend(), ['bgv-add-a']);
  const backend = await openKeyedBackend({ secretKeys: secret.keys });
  const rows = 2 * size;
  const choice = chooseParameters({ column: 'x', programs: ['sum'], low: 0, high: 4000, decimals: 0, rows });
  const header: ColumnHeader = { ...choice.header, keyId: open.keyId };
  const values = Float64Array.from({ length: rows }, (_, i) => valueAt(i, 0));
  await using two = new EncryptionThreads(2, { secretKeys: secret.keys });
  const elapsed = async (threads: EncryptionThreads | null, length: number): Promise<number> => {
    const start = performance.now();
    for await (const bytes of encryptColumn(threads === null ? { backend } : { threads }, header, [
      { values: values.subarray(0, length) },
    ]))
      void bytes;
    return performance.now() - start;
  };
  const block = new OpenBlock(header, rowsPerBlock(header));
  block.fill(values, 0);
  const encrypt = blockEncryptor(backend, header);
  const encryptOnly = (): number => {
    const start = performance.now();
    for (let done = 0; done < size; done += block.count) encrypt(block);
    return performance.now() - start;
  };
  // what two threads wrote is read back by a strict reader, and every thread is warm before anything is measured
  const upload = await collect(encryptColumn({ threads: two }, header, [{ values }]));
  const stored = await collect(ingestColumn(backend, [upload.bytes]));
  const isCorrect = stored.value.stored.rows === rows && stored.value.upload.digest === upload.value.digest;
  await elapsed(null, size);
  const [aloneMs, togetherMs, computeMs]: [number[], number[], number[]] = [[], [], []];
  for (let turn = 0; turn < turns; turn++) {
    aloneMs.push(await elapsed(null, size));
    togetherMs.push(await elapsed(two, rows));
    computeMs.push(encryptOnly());
  }
  const scaling = aloneMs.map((alone, turn) => (2 * alone) / (togetherMs[turn] ?? Number.NaN));
  return {
    kind: 'jobs',
    program: 'encode and encrypt',
    setting: 'threads',
    rows: size,
    columns: 1,
    isCorrect,
    aloneMs,
    togetherMs,
    scaling,
    computeMs,
  };
}

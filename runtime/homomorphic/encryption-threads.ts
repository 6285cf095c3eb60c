import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ColumnHeader } from './column.ts';
import { HomomorphicFault, type HomomorphicFaultCode } from './fault.ts';
import type { GivenBlock, RowBlock } from './open-block.ts';
import type { ProfileId } from './profiles.ts';

/** Keys that a thread encrypts with: secret ones for the key holder's own columns, public ones for a contributor's. */
export interface EncryptionKeys {
  readonly secretKeys?: readonly { readonly profile: ProfileId; readonly secretKey: Uint8Array }[];
  readonly publicKeys?: readonly { readonly profile: ProfileId; readonly publicKey: Uint8Array }[];
}

/** What goes to a thread: a column's header before its first block, then blocks. */
export type EncryptionOrder =
  | { readonly kind: 'column'; readonly column: number; readonly header: ColumnHeader }
  | { readonly kind: 'block'; readonly column: number; readonly id: number; readonly block: RowBlock | GivenBlock };

export type EncryptionAnswer =
  | { readonly kind: 'done'; readonly id: number; readonly channels: readonly Uint8Array[] }
  | {
      readonly kind: 'fault';
      readonly id: number;
      readonly code: HomomorphicFaultCode | null;
      readonly message: string;
    };

/** Blocks handed to one thread before it has answered: one that it works on and one that waits for it. */
const BLOCKS_PER_THREAD = 2;
/** More would wait for the reading of the file and the hashing of what is written. */
export const MAX_ENCRYPTION_THREADS = 8;
/** Fewer values are encrypted before a second thread is ready. */
const WORTH_THREADS_VALUES = 250_000;

/**
 * Threads for encrypting that many values: as many as asked for, else as the machine has cores, none when few values are
 * done sooner without. Dispose of them.
 */
export function encryptionThreads(
  { values, asked }: { readonly values: number; readonly asked?: number | undefined },
  keys: EncryptionKeys,
): EncryptionThreads | null {
  const count = asked ?? (values < WORTH_THREADS_VALUES ? 1 : Math.min(availableParallelism(), MAX_ENCRYPTION_THREADS));
  return count === 1 ? null : new EncryptionThreads(count, keys);
}

interface Waiting {
  readonly resolve: (channels: readonly Uint8Array[]) => void;
  readonly reject: (cause: unknown) => void;
}

/**
 * Threads of the key holder's own process that encrypt blocks side by side, each with a backend of its own. They hold
 * what this process holds, and nothing leaves them but ciphertext.
 */
export class EncryptionThreads implements AsyncDisposable {
  /** Blocks that are worth being under way at once; memory grows with it. */
  readonly blocksAtOnce: number;
  readonly #workers: readonly Worker[];
  readonly #waiting = new Map<number, Waiting>();
  #blocks = 0;
  #columns = 0;
  #failure: Error | null = null;

  constructor(count: number, keys: EncryptionKeys) {
    if (!Number.isInteger(count) || count < 1 || count > MAX_ENCRYPTION_THREADS)
      throw new RangeError(`give 1 to ${MAX_ENCRYPTION_THREADS} threads`);
    const entry = new URL(`./encryption-thread${extname(import.meta.filename)}`, import.meta.url);
    this.#workers = Array.from({ length: count }, () => new Worker(entry, { env: {}, workerData: keys }));
    this.blocksAtOnce = BLOCKS_PER_THREAD * count;
    for (const worker of this.#workers) {
      worker.on('message', (answer: EncryptionAnswer) => this.#receive(answer));
      worker.on('error', (cause) => this.#fail(new Error('a thread that encrypts has failed', { cause })));
      worker.on('exit', () => this.#fail(new Error('a thread that encrypts has ended')));
    }
  }

  /** Encrypts blocks of one column; the block belongs to the thread from then on. Rejects when a thread has failed. */
  encryptor(header: ColumnHeader): (block: RowBlock | GivenBlock) => Promise<readonly Uint8Array[]> {
    const column = this.#columns++;
    for (const worker of this.#workers)
      worker.postMessage({ kind: 'column', column, header } satisfies EncryptionOrder);
    return (rows) => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly Uint8Array[]>();
      // whoever reads rows finds out at the next block; until then nobody listens
      promise.catch(() => {});
      const id = this.#blocks++;
      if (this.#failure !== null) reject(this.#failure);
      else {
        this.#waiting.set(id, { resolve, reject });
        // plain parts: a block's own fields do not travel
        const { block, parts } = plainOf(rows);
        const worker = this.#workers[id % this.#workers.length];
        worker?.postMessage({ kind: 'block', column, id, block } satisfies EncryptionOrder, parts);
      }
      return promise;
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #receive(answer: EncryptionAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.kind === 'done') waiting?.resolve(answer.channels);
    else
      waiting?.reject(
        answer.code === null ? new Error(answer.message) : new HomomorphicFault(answer.code, answer.message),
      );
  }

  #fail(cause: Error): void {
    this.#failure ??= cause;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}

function plainOf(rows: RowBlock | GivenBlock): {
  readonly block: RowBlock | GivenBlock;
  readonly parts: ArrayBuffer[];
} {
  const { count } = rows;
  if ('given' in rows) return { block: { count, given: rows.given }, parts: [rows.given.buffer as ArrayBuffer] };
  const { integers, reals, present } = rows;
  const parts = [integers.buffer, reals.buffer, present.buffer] as ArrayBuffer[];
  return { block: { count, integers, reals, present }, parts };
}

import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Backend } from './backend.ts';
import type { ColumnHeader } from './column.ts';
import { EncryptionRun, type RunSealer } from './encryption-run.ts';
import { HomomorphicFault, type HomomorphicFaultCode } from './fault.ts';
import { type BackendKeys, openKeyedBackend } from './keyed-backend.ts';

/** What goes to a thread: a column's header and the memory of its runs, then runs by their number, then its end. */
export type EncryptionOrder =
  | {
      readonly kind: 'column';
      readonly column: number;
      readonly header: ColumnHeader;
      readonly memories: readonly SharedArrayBuffer[];
    }
  | { readonly kind: 'run'; readonly column: number; readonly id: number; readonly run: number }
  | { readonly kind: 'end'; readonly column: number };

export type EncryptionAnswer =
  | { readonly kind: 'done'; readonly id: number }
  | {
      readonly kind: 'fault';
      readonly id: number;
      readonly code: HomomorphicFaultCode | null;
      readonly message: string;
    };

/** Runs for each thread: one that it works on and one that waits for it, whatever the thread that writes is doing. */
const RUNS_PER_THREAD = 2;
/** More would wait for the reading of the file and the hashing of what is written. */
export const MAX_ENCRYPTION_THREADS = 8;
/** Fewer values are encrypted before a second thread is ready. */
const WORTH_THREADS_VALUES = 250_000;

/** Who encrypts: a backend in this thread, or several threads that have one each. */
export type Encryption = { readonly backend: Backend } | { readonly threads: EncryptionThreads };

/**
 * What encrypts that many values: as many threads as asked for, else as the machine has cores; this thread when one is
 * enough or few values are done sooner here. Dispose of it.
 */
export async function openEncryption(
  { values, asked }: { readonly values: number; readonly asked?: number | undefined },
  keys: BackendKeys,
): Promise<Encryption & AsyncDisposable> {
  const count = asked ?? (values < WORTH_THREADS_VALUES ? 1 : Math.min(availableParallelism(), MAX_ENCRYPTION_THREADS));
  if (count !== 1) {
    const threads = new EncryptionThreads(count, keys);
    return { threads, [Symbol.asyncDispose]: () => threads[Symbol.asyncDispose]() };
  }
  return { backend: await openKeyedBackend(keys), [Symbol.asyncDispose]: () => Promise.resolve() };
}

interface Waiting {
  readonly thread: Thread;
  readonly resolve: () => void;
  readonly reject: (cause: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  runs: number;
}

/**
 * Threads of the key holder's own process that encrypt runs of blocks side by side, each with a backend of its own. They
 * hold what this process holds, and nothing leaves them but ciphertext.
 */
export class EncryptionThreads implements AsyncDisposable {
  readonly #threads: readonly Thread[];
  readonly #waiting = new Map<number, Waiting>();
  #runs = 0;
  #columns = 0;
  #failure: Error | null = null;

  constructor(count: number, keys: BackendKeys) {
    if (!Number.isInteger(count) || count < 1 || count > MAX_ENCRYPTION_THREADS)
      throw new RangeError(`give 1 to ${MAX_ENCRYPTION_THREADS} threads`);
    const entry = new URL(`./encryption-thread${extname(import.meta.filename)}`, import.meta.url);
    this.#threads = Array.from({ length: count }, () => ({
      worker: new Worker(entry, { env: {}, workerData: keys }),
      runs: 0,
    }));
    for (const { worker } of this.#threads) {
      worker.on('message', (answer: EncryptionAnswer) => this.#receive(answer));
      worker.on('error', (cause) => this.#fail(new Error('a thread that encrypts has failed', { cause })));
      worker.on('exit', () => this.#fail(new Error('a thread that encrypts has ended')));
    }
  }

  /** Runs of one column that the threads share. Disposing of it lets go of their memory. */
  sealer(header: ColumnHeader): RunSealer {
    const column = this.#columns++;
    // one more than the threads have: it is filled, or written, meanwhile
    const runs = Array.from({ length: RUNS_PER_THREAD * this.#threads.length + 1 }, () => new EncryptionRun(header));
    const memories = runs.map(({ memory }) => memory);
    this.#tell({ kind: 'column', column, header, memories });
    return {
      runs,
      seal: (run) => this.#seal(column, runs.indexOf(run)),
      [Symbol.dispose]: () => this.#tell({ kind: 'end', column }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #tell(order: EncryptionOrder): void {
    for (const { worker } of this.#threads) worker.postMessage(order);
  }

  #seal(column: number, run: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // whoever reads rows finds out when it asks for this run; until then nobody listens
    promise.catch(() => {});
    const thread = this.#threads.toSorted((a, b) => a.runs - b.runs)[0];
    if (this.#failure !== null || thread === undefined) {
      reject(this.#failure);
      return promise;
    }
    const id = this.#runs++;
    this.#waiting.set(id, { thread, resolve, reject });
    thread.runs++;
    thread.worker.postMessage({ kind: 'run', column, id, run } satisfies EncryptionOrder);
    return promise;
  }

  #receive(answer: EncryptionAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    if (waiting === undefined) return;
    this.#waiting.delete(answer.id);
    waiting.thread.runs--;
    if (answer.kind === 'done') waiting.resolve();
    else
      waiting.reject(
        answer.code === null ? new Error(answer.message) : new HomomorphicFault(answer.code, answer.message),
      );
  }

  #fail(cause: Error): void {
    this.#failure ??= cause;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}

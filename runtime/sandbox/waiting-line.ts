import { FairQueue } from './fair-queue.ts';
import type { JobLimits } from './job-watch.ts';
import type { LeasedWorker } from './leased-worker.ts';
import { type LeaseRequest, processBaseMiB } from './pool-options.ts';
import type { Slot } from './pool-slot.ts';
import { PoolRefusal } from './refusal.ts';

/** A request that waits for a worker of its slot. */
export interface Waiting {
  readonly party: string;
  readonly slot: Slot;
  readonly limits: JobLimits;
  /** when it came, by performance.now() */
  readonly sinceMs: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (worker: LeasedWorker) => void;
  readonly reject: (error: unknown) => void;
  readonly stopWaiting: () => void;
}

/** Requests that wait for a worker, in turns of their parties; each leaves when served, aborted, or after a time limit. */
export class WaitingLine {
  readonly #waiting = new FairQueue<Waiting>();
  readonly #inHand: (party: string) => number;
  readonly #limits: { readonly maxQueued: number; readonly queueTimeoutMs: number };

  /** `inHand`: how many workers a party holds; who holds fewer is served first. */
  constructor(
    limits: { readonly maxQueued: number; readonly queueTimeoutMs: number },
    inHand: (party: string) => number,
  ) {
    this.#limits = limits;
    this.#inHand = inHand;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** All that wait, in the order in which they are to be served. */
  inTurn(): readonly Waiting[] {
    return this.#waiting.inTurn(this.#inHand);
  }

  isWantedBySomebody(slot: Slot): boolean {
    return this.#waiting.inTurn(() => 0).some((waiting) => waiting.slot === slot);
  }

  /** Rejects when too many wait already (PoolRefusal BUSY), after the time limit (QUEUE_TIMEOUT), or when aborted. */
  join(slot: Slot, request: LeaseRequest): Promise<LeasedWorker> {
    const { maxQueued, queueTimeoutMs } = this.#limits;
    if (this.size >= maxQueued) throw new PoolRefusal('BUSY', `${this.size} requests are waiting already`);
    const { promise, resolve, reject } = Promise.withResolvers<LeasedWorker>();
    const onAbort = (): void => this.giveUp(waiting, request.signal?.reason);
    const timer = setTimeout(() => {
      this.giveUp(waiting, new PoolRefusal('QUEUE_TIMEOUT', `no worker was free within ${queueTimeoutMs} ms`));
    }, queueTimeoutMs);
    const waiting: Waiting = {
      party: request.party,
      slot,
      sinceMs: performance.now(),
      limits: strictest(request.limits ?? {}, slot),
      signal: request.signal,
      resolve,
      reject,
      stopWaiting: () => {
        clearTimeout(timer);
        request.signal?.removeEventListener('abort', onAbort);
      },
    };
    request.signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiting.add(waiting);
    return promise;
  }

  /** Takes out who gets a worker; its party goes to the end of the turns. */
  serve(waiting: Waiting): void {
    this.#waiting.remove(waiting, { wasServed: true });
    waiting.stopWaiting();
  }

  /** Takes out who gets none, and tells it why; does nothing when it was taken out before. */
  giveUp(waiting: Waiting, error: unknown): void {
    if (!this.#waiting.remove(waiting)) return;
    waiting.stopWaiting();
    waiting.reject(error);
  }

  refuseAll(error: unknown): void {
    for (const waiting of this.#waiting.inTurn(() => 0)) this.giveUp(waiting, error);
  }
}

/** A request can only lower the limits of its image. */
function strictest(asked: Partial<JobLimits>, { image }: Slot): JobLimits {
  const { limits } = image.manifest;
  return {
    wallMs: Math.min(asked.wallMs ?? Infinity, limits.wallMs),
    cpuMs: Math.min(asked.cpuMs ?? Infinity, limits.cpuMs),
    memoryMiB: Math.min(asked.memoryMiB ?? Infinity, limits.memoryMiB + processBaseMiB),
    outputBytes: Math.min(asked.outputBytes ?? Infinity, limits.outputBytes),
  };
}

/**
 * The pool of jailed workers. How to use it:
 *
 *   const pool = await WorkerPool.start({ root: installationFolder });
 *   const worker = await pool.lease({ kind: 'sql', party: 'acme', mounts: [{ hostPath, guestPath: '/data/v.duckdb' }], signal });
 *   try {
 *     await worker.sendJson(frameType.JOB, job);
 *     for (;;) { const frame = await worker.next(); if (frame.type === frameType.RESULT) break; ... }
 *     worker.release();                // clean: the worker may serve another job over the same mounts
 *   } catch (error) {
 *     await worker.destroy();          // any doubt: the process dies
 *     throw error;
 *   }
 *
 * What it promises: one job at a time per process; a worker sees its image, its mounts and nothing else; a worker that
 * is in doubt, over a limit, cancelled, or of an image with `jobsPerWorker: 1` never gets another job; waiting parties
 * take turns; no more than `maxWorkers` processes exist; `close()` leaves no process, descriptor or file.
 * Start it on the main thread: a worker dies with the thread that started it.
 * A dead worker shows as `WorkerFault` with a reason for the operator's log; tell a consumer nothing of it.
 */
import { Host } from './host.ts';
import type { SandboxImage } from './image.ts';
import { LeasedWorker } from './leased-worker.ts';
import { PartyPlaces } from './party-places.ts';
import { poolDefaults, type LeaseRequest, type PoolNumbers, type PoolOptions, type PoolStats } from './pool-options.ts';
import {
  emptySlot,
  hostPathOf,
  isReusable,
  needsSecond,
  type PooledWorker,
  type Slot,
  slotIdentity,
} from './pool-slot.ts';
import { probeIsolation, type IsolationReport } from './probe.ts';
import { closed } from './refusal.ts';
import { type Waiting, WaitingLine } from './waiting-line.ts';
import type { EndReason } from './worker-end.ts';

// Part of the pool's face, so they are named here too.
export type { LeaseRequest, PoolOptions, PoolStats, WorkerEvent } from './pool-options.ts';
export type { LeasedWorker } from './leased-worker.ts';

/**
 * How long the replacement of a worker that serves one job waits while that job runs. Most jobs are over by then: starting
 * a process takes a core, and the gateway's own thread for some milliseconds, at the worst moment for them.
 */
const replaceAfterMs = 250;
/** The same after the first of several workers that one job uses: the next lease is most likely the same job's. */
const betweenWorkersMs = 50;

/**
 * How long a request waits for one of the workers that its slot has, before an idle worker of another slot is ended to
 * make room: a job holds a worker for some ten milliseconds, a start takes hundreds. Without it the slots of parsing and
 * of computing take each other's places with every job once all places are taken.
 */
const patienceMs = 500;

export class WorkerPool implements AsyncDisposable {
  readonly isolation: IsolationReport;
  readonly #host: Host;
  readonly #options: PoolOptions;
  readonly #limits: PoolNumbers;
  readonly #maxPerParty: number;
  readonly #places: PartyPlaces;
  readonly #waiting: WaitingLine;
  /** in order of last use */
  readonly #slots = new Map<string, Slot>();
  readonly #live = new Set<PooledWorker>();
  readonly #pending = new Set<Promise<unknown>>();
  #count = 0;
  #dying = 0;
  #isClosed = false;
  #lookAgain: NodeJS.Timeout | undefined;

  constructor(parts: { readonly host: Host; readonly options: PoolOptions; readonly isolation: IsolationReport }) {
    this.#host = parts.host;
    this.#options = parts.options;
    this.isolation = parts.isolation;
    const { options } = parts;
    this.#limits = {
      maxWorkers: Math.max(1, Math.min(options.maxWorkers ?? poolDefaults.maxWorkers, this.#host.uidCount)),
      warmKeys: options.warmKeys ?? poolDefaults.warmKeys,
      warmPerKey: options.warmPerKey ?? poolDefaults.warmPerKey,
      maxQueued: options.maxQueued ?? poolDefaults.maxQueued,
      queueTimeoutMs: options.queueTimeoutMs ?? poolDefaults.queueTimeoutMs,
    };
    const { maxWorkers } = this.#limits;
    this.#maxPerParty = options.maxPerParty ?? Math.max(1, maxWorkers - 1);
    this.#places = new PartyPlaces({ maxWorkers, maxPerParty: this.#maxPerParty });
    this.#waiting = new WaitingLine(this.#limits, (party) => this.#places.of(party));
  }

  /** Probes what this machine gives and opens a pool on it. Throws when no worker can be started at all. */
  static async start(options: PoolOptions): Promise<WorkerPool> {
    const host = await Host.open(options);
    try {
      const isolation = await probeIsolation(
        host,
        options.declaredLevel === undefined ? {} : { declaredLevel: options.declaredLevel },
      );
      return new WorkerPool({ host, options, isolation });
    } catch (cause) {
      await host.close();
      throw cause;
    }
  }

  get stats(): PoolStats {
    let idle = 0;
    for (const slot of this.#slots.values()) idle += slot.idle.length;
    return {
      workers: this.#count,
      idle,
      leased: this.#places.total,
      waiting: this.#waiting.size,
      slots: this.#slots.size,
    };
  }

  /** Leases that one party may hold at one time. */
  get maxPerParty(): number {
    return this.#maxPerParty;
  }

  /** Folder in which this pool makes files reachable for its workers; gone after `close`. */
  get stageFolder(): string {
    return this.#host.stage.root;
  }

  /** An image, loaded and verified when this is its first use. Rejects when it is not intact. */
  image(kind: string): Promise<SandboxImage> {
    return this.#host.image(kind);
  }

  /** Digest of an image, likewise. */
  async imageDigest(kind: string): Promise<string> {
    return (await this.image(kind)).digest;
  }

  /**
   * Waits for a worker. Rejects with PoolRefusal when none may or can be had, with WorkerFault START_FAILED when it
   * cannot be started, with the signal's reason when aborted, and with an ordinary error for a wrong image or mount.
   */
  async lease(request: LeaseRequest): Promise<LeasedWorker> {
    request.signal?.throwIfAborted();
    const slot = await this.#slotFor(request);
    try {
      request.signal?.throwIfAborted();
      if (this.#isClosed) throw closed();
      return this.#waiting.join(slot, request);
    } finally {
      slot.pins -= 1;
      this.#pump();
    }
  }

  /** Starts workers ahead of the first job and keeps that many ready. Resolves when they are; a failure rejects. */
  async prewarm(request: Pick<LeaseRequest, 'kind' | 'mounts' | 'tier'>, count: number): Promise<void> {
    const slot = await this.#slotFor({ ...request, party: '' });
    slot.warm = Math.max(slot.warm, count);
    this.#rest(slot, 0);
    slot.pins -= 1;
    this.#pump();
    while (!this.#isClosed && slot.starting > 0) await Promise.race(this.#pending);
    if (slot.alive === 0) throw new Error(`no worker of \`${request.kind}\` could be started`);
  }

  /** Kills the idle workers over a mount that holds this host path, e.g. because its dataset was removed or suspended. */
  async forget(hostPath: string): Promise<void> {
    const slots = [...this.#slots.values()].filter((slot) => slot.key.includes(JSON.stringify(hostPath)));
    await Promise.all(slots.map((slot) => this.#drop(slot)));
  }

  /** Kills every worker, refuses what waits, and removes the stage. Resolves when all of it is gone. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#lookAgain);
    this.#waiting.refuseAll(closed());
    await Promise.all([...this.#live].map((worker) => worker.process.kill('STOPPED', 'the pool is closing')));
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
    await this.#host.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #slotFor(request: LeaseRequest): Promise<Slot> {
    if (this.#isClosed) throw closed();
    const identity = await slotIdentity(this.#host, this.isolation, request);
    const { key, image, mounts } = identity;
    if (this.#isClosed) throw closed();
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = emptySlot(identity, this.#host);
      slot.mounts.catch(() => this.#slots.delete(key));
    }
    // Most recently used last; the oldest beyond the number of warm keys cools down.
    this.#slots.delete(key);
    this.#slots.set(key, slot);
    // A worker for one job over certain files (an ingest) is not likely to be wanted a second time.
    const isOneOff = image.manifest.jobsPerWorker === 1 && mounts.length > 0;
    const wanted = this.#limits.warmPerKey * (image.manifest.workersPerJob ?? 1);
    slot.warm = Math.max(slot.warm, isOneOff ? 0 : Math.min(wanted, this.#limits.maxWorkers));
    for (const old of [...this.#slots.values()].slice(0, -this.#limits.warmKeys)) void this.#drop(old);
    slot.pins += 1;
    try {
      await slot.mounts;
      return slot;
    } catch (cause) {
      slot.pins -= 1;
      throw cause;
    }
  }

  /** Stops keeping a slot warm; it disappears with its last worker and last waiting request. */
  async #drop(slot: Slot): Promise<void> {
    slot.warm = 0;
    await Promise.all(slot.idle.splice(0).map((worker) => this.#retire(worker)));
    await this.#tidy(slot);
  }

  async #tidy(slot: Slot): Promise<void> {
    if (slot.warm > 0 || slot.alive > 0 || slot.pins > 0 || this.#waiting.isWantedBySomebody(slot)) return;
    if (this.#slots.get(slot.key) !== slot) return;
    this.#slots.delete(slot.key);
    await slot.mounts.then((staged) => staged.release()).catch(() => {});
  }

  /** Gives workers to whoever is next, starts what is missing, makes room, and keeps used slots warm. */
  #pump(): void {
    if (this.#isClosed) return;
    const covered = new Map<Slot, number>();
    let withoutPlace = 0;
    for (const waiting of this.#waiting.inTurn()) {
      const { party, slot } = waiting;
      if (!this.#places.mayTake(party, needsSecond(slot))) continue;
      // One that was just killed may still stand in line until its pipes are closed.
      let worker = slot.idle.pop();
      while (worker?.process.hasEnded === true) worker = slot.idle.pop();
      if (worker !== undefined) {
        this.#grant(waiting, worker);
        continue;
      }
      const before = covered.get(slot) ?? 0;
      covered.set(slot, before + 1);
      if (before < slot.starting) continue;
      if (this.#count < this.#limits.maxWorkers) this.#begin(slot);
      else if (this.#mayMakeRoom(waiting)) withoutPlace += 1;
    }
    for (const slot of this.#slots.values()) {
      // least recently used first
      while (withoutPlace > this.#dying) {
        const victim = slot.idle.shift();
        if (victim === undefined) break;
        void this.#retire(victim);
      }
    }
    if (this.#waiting.size > 0) return;
    for (const slot of [...this.#slots.values()].toReversed()) {
      if (slot.rest !== undefined) continue;
      // A used worker of a reusable image comes back, so it counts as kept.
      const kept = isReusable(slot) ? (): number => slot.alive : (): number => slot.idle.length + slot.starting;
      while (kept() < slot.warm && this.#count < this.#limits.maxWorkers) this.#begin(slot);
    }
  }

  /** Whether somebody's idle worker is ended for this request now; if not, it is looked at again in time. */
  #mayMakeRoom({ slot, sinceMs }: Waiting): boolean {
    const comesBack = slot.alive > 0 && isReusable(slot);
    const leftMs = sinceMs + (this.#options.patienceMs ?? patienceMs) - performance.now();
    if (!comesBack || leftMs <= 0) return true;
    this.#lookAgain ??= setTimeout(() => {
      this.#lookAgain = undefined;
      this.#pump();
    }, leftMs + 1);
    return false;
  }

  #grant(waiting: Waiting, worker: PooledWorker): void {
    this.#waiting.serve(waiting);
    this.#places.take(waiting.party, needsSecond(worker.slot));
    worker.jobs += 1;
    worker.party = waiting.party;
    worker.process.beginJob(waiting.limits);
    const { slot } = worker;
    if (!isReusable(slot)) this.#rest(slot, replaceAfterMs);
    const lease = new LeasedWorker({
      kind: slot.image.manifest.name,
      imageDigest: slot.image.digest,
      tier: slot.tier,
      isolation: this.isolation.level,
      process: worker.process,
      pathOf: worker.pathOf,
      scratch: worker.scratch,
      signal: waiting.signal,
      giveBack: (reason) => this.#takeBack(worker, waiting.party, reason),
    });
    waiting.resolve(lease);
  }

  /** Holds back replacements for that long, whatever was said before. */
  #rest(slot: Slot, ms: number): void {
    clearTimeout(slot.rest);
    const isOver = (): void => {
      slot.rest = undefined;
      this.#pump();
    };
    slot.rest = ms > 0 ? setTimeout(isOver, ms).unref() : undefined;
  }

  #takeBack(worker: PooledWorker, party: string, reason: EndReason | undefined): Promise<unknown> {
    this.#places.giveBack(party, needsSecond(worker.slot));
    const isClean = worker.process.endJob();
    this.#rest(worker.slot, needsSecond(worker.slot) ? betweenWorkersMs : 0);
    const mayServe = isClean && reason === undefined && worker.jobs < worker.slot.image.manifest.jobsPerWorker;
    if (mayServe && !this.#isClosed && worker.slot.warm > 0) {
      worker.party = undefined;
      worker.slot.starting += 1; // it counts as coming, so that nobody starts another in its place
      const settled = this.#settle(worker).finally(() => this.#pending.delete(settled));
      this.#pending.add(settled);
      return Promise.resolve();
    }
    // A clean end of a worker that has served its time is no event; anything else is.
    const gone = this.#kill(
      worker,
      reason ?? (isClean ? 'RETIRED' : 'PROTOCOL'),
      isClean ? '' : 'unread frames at the end of a job',
    );
    this.#pump();
    return gone;
  }

  async #settle(worker: PooledWorker): Promise<void> {
    const maySettle = await worker.process.settle();
    worker.slot.starting -= 1;
    if (maySettle && !worker.process.hasEnded) worker.slot.idle.push(worker);
    this.#pump();
  }

  #retire(worker: PooledWorker): Promise<unknown> {
    return this.#kill(worker, 'RETIRED', '');
  }

  async #kill(worker: PooledWorker, reason: EndReason, detail: string): Promise<void> {
    this.#dying += 1;
    await worker.process.kill(reason, detail);
    this.#dying -= 1;
  }

  #begin(slot: Slot): void {
    slot.starting += 1;
    slot.alive += 1;
    this.#count += 1;
    const step = this.#startWorker(slot).finally(() => this.#pending.delete(step));
    this.#pending.add(step);
  }

  async #startWorker(slot: Slot): Promise<void> {
    let worker: PooledWorker | undefined;
    try {
      const { binds } = await slot.mounts;
      const { mechanism } = this.isolation;
      const wall = mechanism === 'none' ? 'process' : mechanism;
      const started = await this.#host.start({ image: slot.image, tier: slot.tier, binds, wall });
      const pathOf = (guestPath: string): string => (wall === 'bubblewrap' ? guestPath : hostPathOf(guestPath, binds));
      worker = { slot, process: started.process, scratch: started.scratch, pathOf, jobs: 0, party: undefined };
      this.#live.add(worker);
      const ended = this.#afterEnd(worker).finally(() => this.#pending.delete(ended));
      this.#pending.add(ended);
      if (this.#isClosed) await worker.process.kill('STOPPED', 'the pool is closing');
      await worker.process.ready;
      slot.starting -= 1;
      slot.idle.push(worker);
      this.#pump();
    } catch (error) {
      slot.starting -= 1;
      slot.warm = 0; // no new tries until somebody asks again
      if (worker === undefined) {
        slot.alive -= 1;
        this.#count -= 1;
      }
      const unlucky = this.#waiting.inTurn().find((waiting) => waiting.slot === slot);
      if (unlucky !== undefined) this.#waiting.giveUp(unlucky, error);
      this.#pump();
    }
  }

  async #afterEnd(worker: PooledWorker): Promise<void> {
    const { slot } = worker;
    const end = await worker.process.closed;
    const index = slot.idle.indexOf(worker);
    if (index !== -1) slot.idle.splice(index, 1);
    // A worker that died while it waited would only die again: start the next one when somebody asks.
    if (index !== -1 && end.reason !== 'RETIRED') slot.warm = 0;
    this.#live.delete(worker);
    await worker.scratch?.close();
    slot.alive -= 1;
    this.#count -= 1;
    if (end.reason !== 'RETIRED' && !this.#isClosed) {
      const { name: kind } = slot.image.manifest;
      this.#options.onWorkerEnd?.({ ...end, kind, imageDigest: slot.image.digest, party: worker.party });
    }
    this.#pump();
    if (!this.#isClosed) await this.#tidy(slot);
  }
}

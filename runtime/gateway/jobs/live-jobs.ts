import { availableParallelism } from 'node:os';
import type { Job, Outcome, Stage } from '../../job/job.ts';
import type { JobRun, StopReason } from '../../job/needs.ts';
import { Fault } from '../../rpc/fault.ts';
import type { LiveJobs } from '../needs.ts';

/** How many jobs may run at once, and how many more may wait, in all and for one party. */
export interface QueueLimits {
  readonly running: number;
  readonly runningPerParty: number;
  readonly queuedPerParty: number;
  readonly queued: number;
}
/** More jobs at once than the machine has cores for only start workers that wait for each other. */
export const DEFAULT_QUEUE_LIMITS: QueueLimits = {
  running: Math.max(4, 2 * availableParallelism()),
  runningPerParty: 4,
  // A quarter of all: who asks 200 times at once is answered 200 times, by the budget and not by the length of a queue.
  queuedPerParty: 256,
  queued: 1024,
};

/** When these begin depends on rows: whoever watches sees a job run until its end is told. */
const AFTER_ROWS: ReadonlySet<Stage> = new Set(['disclose', 'record', 'release']);

export interface LiveJob {
  readonly job: Job;
  readonly scope: { readonly agreements: readonly string[]; readonly datasets: readonly string[] };
  readonly stage: Stage | 'queued';
  readonly outcome: Promise<Outcome>;
}

/** Rounds of a job that are done, of all. */
export interface Parts {
  readonly done: number;
  readonly total: number;
}

interface Entry {
  readonly job: Job;
  readonly scope: { readonly agreements: readonly string[]; readonly datasets: readonly string[] };
  readonly abort: AbortController;
  readonly start: () => void;
  readonly stage: Stage | 'queued';
  readonly parts: Parts | null;
  readonly outcome: Promise<Outcome>;
  readonly watchers: Set<() => void>;
}

/** Jobs that wait or run now. Parties take turns, so that one that submits a thousand does not hold up the others. */
export class JobQueue implements LiveJobs {
  readonly #limits: QueueLimits;
  readonly #entries = new Map<string, Entry>();
  readonly #waiting = new Map<string, Entry[]>();
  readonly #runningOf = new Map<string, number>();
  #running = 0;
  #isDraining = false;

  constructor(limits: QueueLimits = DEFAULT_QUEUE_LIMITS) {
    this.#limits = limits;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return [...this.#waiting.values()].reduce((sum, list) => sum + list.length, 0);
  }

  /** Whether a job of this party would begin at once. */
  hasRoomFor(party: string): boolean {
    const { running, runningPerParty } = this.#limits;
    return !this.#isDraining && this.#running < running && (this.#runningOf.get(party) ?? 0) < runningPerParty;
  }

  find(id: string): Pick<Entry, 'job' | 'stage' | 'parts' | 'outcome'> | undefined {
    return this.#entries.get(id);
  }

  list(): readonly LiveJob[] {
    return [...this.#entries.values()];
  }

  /** Queues a job; throws the fault `too-many-jobs` when its party has too many already. */
  add(
    job: Job,
    scope: { readonly agreements: readonly string[]; readonly datasets: readonly string[] },
    run: (job: Job, run: JobRun) => Promise<Outcome>,
    deadlineMs: number | null,
  ): Promise<Outcome> {
    const { party } = job.asker;
    if (this.#isDraining) throw new Fault('draining', 'the runtime is shutting down and takes no new jobs');
    const waiting = this.#waiting.get(party) ?? [];
    if (waiting.length >= this.#limits.queuedPerParty || this.queued >= this.#limits.queued) {
      throw new Fault('too-many-jobs', `${waiting.length} of your jobs are waiting already: wait for some to end`, {
        retryAfterMs: 1000,
      });
    }
    const abort = new AbortController();
    const started = Promise.withResolvers<void>();
    const state: { stage: Stage | 'queued'; parts: Parts | null } = { stage: 'queued', parts: null };
    const watchers = new Set<() => void>();
    // Counted from here: time in the queue is time that the asker waits.
    const timer = deadlineMs === null ? undefined : setTimeout(() => this.cancel(job.id, 'deadline'), deadlineMs);
    const outcome = (async (): Promise<Outcome> => {
      await started.promise;
      try {
        return await run(job, {
          signal: abort.signal,
          report: (stage) => {
            if (AFTER_ROWS.has(stage)) return;
            state.stage = stage;
            state.parts = null;
            for (const wake of watchers) wake();
          },
          progress: (done, total) => {
            state.parts = { done, total };
            for (const wake of watchers) wake();
          },
        });
      } finally {
        clearTimeout(timer);
        this.#running -= 1;
        const left = (this.#runningOf.get(party) ?? 1) - 1;
        if (left === 0) this.#runningOf.delete(party);
        else this.#runningOf.set(party, left);
        this.#entries.delete(job.id);
        for (const wake of watchers) wake();
        this.#next();
      }
    })();
    // Whoever waits for it sees the failure; nobody waiting must not end the process.
    outcome.catch(() => undefined);
    const entry: Entry = {
      job,
      scope,
      abort,
      start: started.resolve,
      get stage() {
        return state.stage;
      },
      get parts() {
        return state.parts;
      },
      outcome,
      watchers,
    };
    this.#entries.set(job.id, entry);
    this.#waiting.set(party, [...waiting, entry]);
    this.#next();
    return outcome;
  }

  /** Stops one job; false when it neither waits nor runs. */
  cancel(id: string, reason: StopReason): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    entry.abort.abort(reason);
    this.#letGo(entry);
    return true;
  }

  stop(matches: Parameters<LiveJobs['stop']>[0]): number {
    let stopped = 0;
    for (const { job, scope } of Array.from(this.#entries.values())) {
      const { actor } = job;
      const by = { actor: actor?.party ?? null, mandate: actor?.mandate ?? null };
      if (matches({ party: job.asker.party, ...scope, ...by }) && this.cancel(job.id, 'stopped')) stopped += 1;
    }
    return stopped;
  }

  /** Resolves whenever the job moves on, and at its end. */
  async changed(id: string, signal: AbortSignal): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const moved = Promise.withResolvers<void>();
    const wake = (): void => moved.resolve();
    entry.watchers.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    try {
      await moved.promise;
    } finally {
      entry.watchers.delete(wake);
      signal.removeEventListener('abort', wake);
    }
  }

  /** Takes no more jobs; resolves when none is left, after stopping what still runs at the deadline. */
  async drain(deadlineMs: number): Promise<void> {
    this.#isDraining = true;
    const timer = setTimeout(() => this.stop(() => true), deadlineMs);
    while (this.#entries.size > 0) await Promise.allSettled([...this.#entries.values()].map(({ outcome }) => outcome));
    clearTimeout(timer);
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** A stopped job does not wait for its turn: all that is left to do is to record its end. */
  #letGo(entry: Entry): void {
    const { party } = entry.job.asker;
    const waiting = this.#waiting.get(party);
    if (waiting?.includes(entry) !== true) return;
    const rest = waiting.filter((one) => one !== entry);
    if (rest.length > 0) this.#waiting.set(party, rest);
    else this.#waiting.delete(party);
    this.#begin(entry);
  }

  #begin(entry: Entry): void {
    const { party } = entry.job.asker;
    this.#running += 1;
    this.#runningOf.set(party, (this.#runningOf.get(party) ?? 0) + 1);
    entry.start();
  }

  #next(): void {
    while (this.#running < this.#limits.running) {
      // The map keeps the order in which parties came; a party that was served goes to its end.
      const turn = [...this.#waiting].find(
        ([party, list]) => list.length > 0 && (this.#runningOf.get(party) ?? 0) < this.#limits.runningPerParty,
      );
      if (turn === undefined) return;
      const [party, [entry, ...rest]] = turn;
      this.#waiting.delete(party);
      if (rest.length > 0) this.#waiting.set(party, rest);
      if (entry !== undefined) this.#begin(entry);
    }
  }
}

import type { ProcessUsage } from './process-table.ts';
import type { EndReason } from './worker-end.ts';

/** Limits of one job. */
export interface JobLimits {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly memoryMiB: number;
  readonly outputBytes: number;
}

/** Between two looks at memory and processor time. */
const lookEveryMs = 100;
/** Looks, one after the other, at which a stopped process is left alone: two seconds. */
const maxStoppedLooks = 20;

/** Holds the worker of one job to its limits from outside: a worker that runs consumer code may ignore what it is told. */
export class JobWatch {
  readonly #limits: JobLimits;
  readonly #usage: () => Promise<ProcessUsage | undefined>;
  readonly #kill: (reason: EndReason, detail: string) => void;
  readonly #deadline: NodeJS.Timeout;
  readonly #looks: NodeJS.Timeout;
  #bytes = 0;
  #cpuAtStartMs: number | undefined;
  #stoppedLooks = 0;
  #isOver = false;

  /** Begins at once; `usage` reads the process from outside, `kill` ends it. */
  constructor(
    limits: JobLimits,
    process: {
      readonly usage: () => Promise<ProcessUsage | undefined>;
      readonly kill: (reason: EndReason, detail: string) => void;
    },
  ) {
    this.#limits = limits;
    this.#usage = process.usage;
    this.#kill = process.kill;
    this.#deadline = setTimeout(() => this.#kill('TIMEOUT', `${limits.wallMs} ms`), limits.wallMs);
    this.#looks = setInterval(() => void this.#look(), lookEveryMs);
    void this.#look();
  }

  /** Counts what the worker has sent; false, and the worker is killed, when it is more than the job may send. */
  mayStillSend(bytes: number): boolean {
    this.#bytes += bytes;
    if (this.#bytes <= this.#limits.outputBytes) return true;
    this.#kill('OUTPUT', `more than ${this.#limits.outputBytes} bytes`);
    return false;
  }

  stop(): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
    clearInterval(this.#looks);
  }

  async #look(): Promise<void> {
    if (this.#isOver) return;
    const usage = await this.#usage();
    if (usage === undefined || this.#isOver) return;
    this.#cpuAtStartMs ??= usage.cpuMs;
    const cpuMs = usage.cpuMs - this.#cpuAtStartMs;
    if (usage.rssMiB > this.#limits.memoryMiB) this.#kill('MEMORY', `${Math.round(usage.rssMiB)} MiB resident`);
    else if (cpuMs > this.#limits.cpuMs) this.#kill('CPU', `${cpuMs} ms`);
    // Counted in looks, not by the clock: a gateway that was stopped along with it saw nothing of that time.
    this.#stoppedLooks = usage.isStopped ? this.#stoppedLooks + 1 : 0;
    if (this.#stoppedLooks > maxStoppedLooks) this.#kill('FROZEN', 'stopped by a signal');
  }
}

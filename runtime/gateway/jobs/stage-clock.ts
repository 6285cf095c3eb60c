import type { Stage } from '../../job/job.ts';
import type { JobRun } from '../../job/needs.ts';

/** Times the stages of one job. What it says is for the operator only: it depends on rows. */
export class StageClock {
  readonly #spent = new Map<Stage, number>();
  #stage: Stage | null = null;
  #since = 0;

  /** The same run, with each reported stage timed. */
  timing(run: JobRun): JobRun {
    return {
      ...run,
      report: (stage) => {
        this.#enter(stage);
        run.report(stage);
      },
    };
  }

  /** Milliseconds by stage, to the microsecond; the last stage ends now. */
  stop(): Readonly<Record<string, number>> {
    this.#enter(null);
    return Object.fromEntries([...this.#spent].map(([stage, ms]) => [stage, Math.round(ms * 1000) / 1000]));
  }

  #enter(stage: Stage | null): void {
    const now = performance.now();
    if (this.#stage !== null) this.#spent.set(this.#stage, (this.#spent.get(this.#stage) ?? 0) + now - this.#since);
    this.#stage = stage;
    this.#since = now;
  }
}

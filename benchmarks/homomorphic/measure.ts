/** Median, least and most of repeated runs, in milliseconds. */
export interface Timing {
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly runs: number;
}

/** Times a synchronous step: one warm-up, then `runs` runs. */
export function timed(runs: number, step: () => void): Timing {
  step();
  return summary(
    Array.from({ length: runs }, () => {
      const start = performance.now();
      step();
      return performance.now() - start;
    }),
  );
}

/** Times an asynchronous step: one warm-up, then `runs` runs. */
export async function timedAsync(runs: number, step: () => Promise<unknown>): Promise<Timing> {
  await step();
  const times: number[] = [];
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    await step();
    times.push(performance.now() - start);
  }
  return summary(times);
}

/** Median, least and most of measured milliseconds. */
export function summary(times: readonly number[]): Timing {
  const sorted = times.toSorted((a, b) => a - b);
  return {
    medianMs: sorted[sorted.length >> 1] ?? 0,
    minMs: sorted[0] ?? 0,
    maxMs: sorted.at(-1) ?? 0,
    runs: sorted.length,
  };
}

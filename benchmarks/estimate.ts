import type { BenchSection } from './measurement.ts';

/**
 * Seconds of a section on two cores that do nothing else: a fixed part, and one for each million rows and run. Rough: it
 * is there so that nobody waits an hour for what takes ten minutes, or the other way round.
 */
const SECONDS: Readonly<
  Record<BenchSection, { readonly quick: number; readonly fixed: number; readonly each: number }>
> = {
  'end-to-end': { quick: 40, fixed: 90, each: 0.9 },
  sql: { quick: 12, fixed: 35, each: 1 },
  sandbox: { quick: 15, fixed: 20, each: 0.5 },
  homomorphic: { quick: 45, fixed: 300, each: 0 },
  ledger: { quick: 5, fixed: 25, each: 0 },
  scale: { quick: 35, fixed: 150, each: 0.4 },
};
/** Making and registering a million rows, once; they are kept. */
const PREPARE_SECONDS_PER_MILLION = 12;

/** About how many seconds the sections take together, without the data that has to be made first. */
export function estimateSeconds(
  sections: readonly BenchSection[],
  { rows, runs, isQuick }: { readonly rows: number; readonly runs: number; readonly isQuick: boolean },
): number {
  return sections.reduce((sum, section) => {
    const { quick, fixed, each } = SECONDS[section];
    return sum + (isQuick ? quick : fixed + each * (rows / 1e6) * runs);
  }, 0);
}

/** About how many seconds it takes to make data of so many rows, and smaller data of the same kind. */
export function preparationSeconds(rows: number): number {
  return (rows / 1e6) * PREPARE_SECONDS_PER_MILLION;
}

/** `about 12 minutes`. */
export function inWords(seconds: number): string {
  if (seconds < 90) return `about ${Math.max(1, Math.round(seconds))} seconds`;
  return `about ${Math.round(seconds / 60)} minutes`;
}

/** What a benchmark answers: plain data, the same in the table, in JSON and on the page. */

/** Several runs of one thing. `runs` keeps their order, so that pairs of one round can be compared. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly p95: number;
  readonly runs: readonly number[];
}

export type BenchSection = 'end-to-end' | 'sql' | 'sandbox' | 'homomorphic' | 'ledger' | 'scale';
export type Unit = 'ms' | 'CPU ms' | '/s' | 'MiB/s' | 'MiB' | 'rows/s' | 'MB' | 'bits' | '×';

/** One figure with its floor: the same work without Glovebox, measured in the same run, turn by turn. */
export interface Measurement {
  readonly section: BenchSection;
  /** Figures of one group belong in one plot. */
  readonly group: string;
  readonly name: string;
  /** Where the figure lies on the group's axis (clients, rows, workers); null when it has none. */
  readonly at: { readonly axis: string; readonly value: number } | null;
  readonly unit: Unit;
  readonly value: Spread;
  readonly floor: { readonly name: string; readonly value: Spread } | null;
  /** value ÷ floor, round by round, then the median; null without a floor. */
  readonly ratio: Spread | null;
  /** CPU time of the whole runtime (gateway and workers) over that of the floor; meaningful on a busy machine too. */
  readonly cpuRatio: number | null;
  /** Milliseconds by stage, medians, in the order of the job. */
  readonly stages: Readonly<Record<string, number>> | null;
  /** What is promised: the bound, which figure it bounds, and whether it held in this run. */
  readonly goal: Goal | null;
  /** How the answer was checked. A figure whose answer is wrong is never reported: the benchmark fails. */
  readonly checked: string;
}

export interface Goal {
  readonly text: string;
  readonly isMet: boolean;
}

/** A finished run of `glovebox bench`. */
export interface BenchReport {
  readonly kind: 'glovebox-bench';
  readonly form: 1;
  readonly command: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly options: { readonly rows: number; readonly runs: number; readonly isQuick: boolean };
  readonly seed: number;
  readonly machine: MachineFacts;
  readonly versions: Readonly<Record<string, string>>;
  readonly measurements: readonly Measurement[];
  /** Sections that are done, and how long each took; absent in reports of earlier versions. */
  readonly parts?: readonly Part[];
  /** Sections that ended with an error: none of their figures is in the report. */
  readonly failures?: readonly Failure[];
}

export interface Part {
  readonly section: BenchSection;
  readonly seconds: number;
}

export interface Failure {
  readonly section: BenchSection;
  readonly message: string;
}

export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly isolation: string;
  /** 1, 5 and 15 minutes, at the start: a busy machine is told, not hidden. */
  readonly loadAtStart: readonly number[];
  readonly loadAtEnd: readonly number[];
}

export function spreadOf(runs: readonly number[]): Spread {
  if (runs.length === 0) throw new RangeError('a spread needs at least one run');
  const sorted = runs.toSorted((one, other) => one - other);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(0.5) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
  return { median, min: at(0), max: sorted.at(-1) ?? 0, p95: at(0.95), runs };
}

/** Median of the ratios of pairs that ran one after the other: what slows the machine down meets both. */
export function pairedRatio(values: readonly number[], floors: readonly number[]): Spread {
  return spreadOf(values.map((value, round) => value / Math.max(floors[round] ?? NaN, 1e-6)));
}

type Given = Pick<Measurement, 'section' | 'group' | 'name' | 'unit' | 'checked'> & {
  readonly runs: readonly number[];
  readonly floor?: { readonly name: string; readonly runs: readonly number[] };
} & Partial<Pick<Measurement, 'at' | 'cpuRatio' | 'stages' | 'goal'>>;

export function measurement(given: Given): Measurement {
  const { runs, floor, at = null, cpuRatio = null, stages = null, goal = null, ...rest } = given;
  return {
    ...rest,
    at,
    cpuRatio,
    stages,
    goal,
    value: spreadOf(runs),
    floor: floor === undefined ? null : { name: floor.name, value: spreadOf(floor.runs) },
    ratio: floor === undefined ? null : pairedRatio(runs, floor.runs),
  };
}

/** Thrown when an answer differs from its floor's: no figure is worth anything then. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer';
}

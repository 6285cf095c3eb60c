import { VERSION } from '../runtime/container.ts';
import { machineFacts, versions } from './machine.ts';
import type { BenchReport, BenchSection, Measurement } from './measurement.ts';
import { defaultCache } from './world/cache.ts';
import { SEED } from './world/data.ts';

export interface MeasureOptions {
  readonly kinds: readonly BenchSection[];
  readonly command: string;
  readonly rows: number;
  readonly runs: number;
  readonly isQuick: boolean;
  /** null: the standard place. */
  readonly cache: string | null;
  readonly loadAtStart: readonly number[];
  readonly progress: (text: string) => void;
}

interface Part {
  readonly cache: string;
  readonly rows: number;
  readonly runs: number;
  readonly isQuick: boolean;
  readonly progress: (text: string) => void;
}
type Run = (part: Part) => Promise<{ readonly measurements: readonly Measurement[]; readonly isolation?: string }>;

/** Loaded when asked for: each brings libraries of its own. */
const BENCHMARKS: Readonly<Record<BenchSection, Run>> = {
  'end-to-end': async (part) => (await import('./end-to-end/bench.ts')).benchEndToEnd(part),
  sql: async (part) => (await import('./sql/bench.ts')).benchSql(part),
  sandbox: async (part) => (await import('./sandbox/bench.ts')).benchSandbox(part),
  homomorphic: async (part) => (await import('./homomorphic/measurements.ts')).benchHomomorphic(part),
  scale: async (part) => (await import('./scale/bench.ts')).benchScale(part),
  ledger: async (part) => (await import('./ledger/bench.ts')).benchLedger(part),
};

/** Runs benchmarks one after the other; throws `WrongAnswer` when one does not reach its floor's answer. */
export async function measure(options: MeasureOptions): Promise<BenchReport> {
  const { rows, runs, isQuick, progress } = options;
  const cache = options.cache ?? defaultCache();
  const startedAt = new Date().toISOString();
  const measurements: Measurement[] = [];
  let isolation = 'not used';
  for (const kind of options.kinds) {
    const run = BENCHMARKS[kind];
    const done = await run({ cache, rows, runs, isQuick, progress });
    isolation = done.isolation ?? isolation;
    measurements.push(...done.measurements);
  }
  return {
    kind: 'glovebox-bench',
    form: 1,
    command: options.command,
    startedAt,
    endedAt: new Date().toISOString(),
    options: { rows, runs, isQuick },
    seed: SEED,
    machine: machineFacts(isolation, options.loadAtStart),
    versions: versions(VERSION),
    measurements,
  };
}

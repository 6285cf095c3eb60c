import { VERSION } from '../runtime/container.ts';
import { estimateSeconds, inWords, preparationSeconds } from './estimate.ts';
import { machineFacts, versions } from './machine.ts';
import type { BenchReport, BenchSection, Failure, Measurement, Part } from './measurement.ts';
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
  /** Lines that stay: how long it will take, what is done, what failed. */
  readonly say?: (line: string) => void;
  /** Hears the report as it stands after every section, so that whoever ends the run loses one section at most. */
  readonly onPart?: (report: BenchReport) => void;
  /** An earlier report of the same question: its sections are not measured again. */
  readonly earlier?: BenchReport | null;
  /** What runs a section; tests put others here. */
  readonly benchmarks?: Readonly<Record<BenchSection, Run>>;
}

interface PartOptions {
  readonly cache: string;
  readonly rows: number;
  readonly runs: number;
  readonly isQuick: boolean;
  readonly progress: (text: string) => void;
}
export type Run = (
  part: PartOptions,
) => Promise<{ readonly measurements: readonly Measurement[]; readonly isolation?: string }>;

/** Loaded when asked for: each brings libraries of its own. */
const BENCHMARKS: Readonly<Record<BenchSection, Run>> = {
  'end-to-end': async (part) => (await import('./end-to-end/bench.ts')).benchEndToEnd(part),
  sql: async (part) => (await import('./sql/bench.ts')).benchSql(part),
  sandbox: async (part) => (await import('./sandbox/bench.ts')).benchSandbox(part),
  homomorphic: async (part) => (await import('./homomorphic/measurements.ts')).benchHomomorphic(part),
  scale: async (part) => (await import('./scale/bench.ts')).benchScale(part),
  ledger: async (part) => (await import('./ledger/bench.ts')).benchLedger(part),
};

/**
 * Runs benchmarks one after the other. A section that fails (an answer that is not its floor's, a runtime that does not
 * start) is told in `failures` with none of its figures; the others go on.
 */
export async function measure(options: MeasureOptions): Promise<BenchReport> {
  const { rows, runs, isQuick, progress, say = () => {} } = options;
  const benchmarks = options.benchmarks ?? BENCHMARKS;
  const cache = options.cache ?? defaultCache();
  const earlier = options.earlier ?? null;
  const startedAt = earlier?.startedAt ?? new Date().toISOString();
  const measurements: Measurement[] = [...(earlier?.measurements ?? [])];
  const parts: Part[] = [...(earlier?.parts ?? [])];
  const failures: Failure[] = [];
  let isolation = earlier?.machine.isolation ?? 'not used';
  const report = (): BenchReport => ({
    kind: 'glovebox-bench',
    form: 1,
    command: options.command,
    startedAt,
    endedAt: new Date().toISOString(),
    options: { rows, runs, isQuick },
    seed: SEED,
    machine: machineFacts(isolation, options.loadAtStart),
    versions: versions(VERSION),
    measurements: [...measurements],
    parts: [...parts],
    failures: [...failures],
  });
  const left = options.kinds.filter((kind) => parts.every(({ section }) => section !== kind));
  if (left.length > 0) {
    const time = inWords(estimateSeconds(left, options));
    const preparing = isQuick ? '' : `, and ${inWords(preparationSeconds(rows))} more where data must be made first`;
    say(`${left.join(', ')}: ${time} on a quiet machine${preparing}`);
  }
  for (const [index, kind] of left.entries()) {
    const started = performance.now();
    const place = left.length === 1 ? `${kind}: ` : `${kind} (${index + 1} of ${left.length}): `;
    try {
      const done = await benchmarks[kind]({
        cache,
        rows,
        runs,
        isQuick,
        progress: (text) => progress(`${place}${text}`),
      });
      isolation = done.isolation ?? isolation;
      measurements.push(...done.measurements);
      const seconds = Math.round((performance.now() - started) / 100) / 10;
      parts.push({ section: kind, seconds });
      say(`${place}done in ${seconds} seconds`);
    } catch (error) {
      failures.push({ section: kind, message: messageOf(error) });
      say(`${place}failed: ${messageOf(error)}`);
    }
    options.onPart?.(report());
  }
  return report();
}

/** What went wrong, with what caused it. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { name, message, cause } = error;
  return `${name}: ${message}${cause === undefined ? '' : ` (${messageOf(cause)})`}`;
}

/** Why an earlier report cannot be continued; null when it can. */
export function unlike(
  earlier: BenchReport,
  { command, options }: { readonly command: string; readonly options: BenchReport['options'] },
): string | null {
  const facts = machineFacts('', []);
  const now = versions(VERSION);
  if (earlier.command !== command) return `it is of \`${earlier.command}\``;
  if (JSON.stringify(earlier.options) !== JSON.stringify(options)) return 'it has other rows or runs';
  if (earlier.seed !== SEED) return 'it has another seed';
  if (earlier.machine.cpu !== facts.cpu || earlier.machine.cores !== facts.cores) return 'it is of another machine';
  if (JSON.stringify(earlier.versions) !== JSON.stringify(now)) return 'it is of other versions';
  return null;
}

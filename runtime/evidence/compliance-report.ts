import type { EvidenceEvent, EvidenceKind } from './entry.ts';

/** What a log says about how a runtime was used; anybody with the log can compute it again. */
export interface ComplianceReport {
  readonly entries: number;
  /** Time of the first and last entry, milliseconds since 1970; null for an empty log. */
  readonly firstMs: number | null;
  readonly lastMs: number | null;
  readonly byKind: Readonly<Partial<Record<EvidenceKind, number>>>;
  /** Decisions by the fact `verdict`, e.g. permit and deny. */
  readonly verdicts: Readonly<Record<string, number>>;
  /** Denials by reason code. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Sum of the whole-number facts of all releases: cells, rows, micro-epsilon and the like. */
  readonly released: Readonly<Record<string, number>>;
  /** Releases recorded after a stop switch was thrown and before it was lifted: must be empty. Positions in the log. */
  readonly releasedWhileStopped: readonly number[];
  /** Jobs with more than one release entry: must be empty. */
  readonly releasedTwice: readonly string[];
}

/** Collects a compliance report entry by entry: give `visit` to verifyLog, so that only verified entries are counted. */
export function complianceReport(): {
  readonly visit: (event: EvidenceEvent, position: number) => void;
  readonly report: () => ComplianceReport;
} {
  const byKind: Partial<Record<EvidenceKind, number>> = {};
  const verdicts: Record<string, number> = {};
  const reasons: Record<string, number> = {};
  const released: Record<string, number> = {};
  const releasedWhileStopped: number[] = [];
  const releasedJobs = new Map<string, number>();
  let [entries, firstMs, lastMs] = [0, null as number | null, null as number | null];
  let isStopped = false;

  const visit = (event: EvidenceEvent, position: number): void => {
    const { kind, facts, atMs } = event;
    entries += 1;
    firstMs ??= atMs;
    lastMs = atMs;
    byKind[kind] = (byKind[kind] ?? 0) + 1;
    if (kind === 'decision') {
      if (typeof facts['verdict'] === 'string') add(verdicts, facts['verdict'], 1);
      const given = facts['reasons'] ?? facts['reason'];
      for (const reason of Array.isArray(given) ? (given as string[]) : [given]) {
        if (typeof reason === 'string') add(reasons, reason, 1);
      }
    }
    if (kind === 'switch' && facts['scope'] === 'all') isStopped = facts['state'] === 'on';
    if (kind === 'release') {
      if (isStopped) releasedWhileStopped.push(position);
      for (const [name, value] of Object.entries(facts)) if (typeof value === 'number') add(released, name, value);
      const job = event.subjects.find((subject) => subject.name.startsWith('job/'))?.name;
      if (job !== undefined) releasedJobs.set(job, (releasedJobs.get(job) ?? 0) + 1);
    }
  };
  const report = (): ComplianceReport => ({
    entries,
    firstMs,
    lastMs,
    byKind,
    verdicts,
    reasons,
    released,
    releasedWhileStopped,
    releasedTwice: [...releasedJobs].filter(([, count]) => count > 1).map(([job]) => job),
  });
  return { visit, report };
}

function add(counts: Record<string, number>, name: string, by: number): void {
  counts[name] = (counts[name] ?? 0) + by;
}

/** Why the pool does not start a job. Nothing ran; the messages are for people and hold nothing of any data. */
import type { IsolationLevel } from './manifest.ts';
import type { IsolationReport } from './probe.ts';

export type RefusalCode = 'BUSY' | 'QUEUE_TIMEOUT' | 'CLOSED' | 'WEAK_ISOLATION' | 'UNKNOWN_TIER';

/** The pool does not start the job; nothing ran. The message is for people and holds nothing of any data. */
export class PoolRefusal extends Error {
  override readonly name = 'PoolRefusal';
  readonly code: RefusalCode;
  constructor(code: RefusalCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The refusal of a pool that is closing. */
export function closed(): PoolRefusal {
  return new PoolRefusal('CLOSED', 'the worker pool is closed');
}

/** The refusal below the demanded level, with what was found and what helps. */
export function weakIsolation(report: IsolationReport, demanded: IsolationLevel, kind: string): PoolRefusal {
  const failed = report.findings.find((finding) => !finding.ok);
  const cause = failed === undefined ? '' : ` (${failed.name}: ${failed.detail})`;
  const advice = report.advice.length === 0 ? '' : `; ${report.advice.join('; ')}`;
  return new PoolRefusal(
    'WEAK_ISOLATION',
    `cannot run \`${kind}\`: this host offers isolation \`${report.level}\`${cause}, \`${demanded}\` is required${advice}`,
  );
}

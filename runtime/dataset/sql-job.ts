/** What travels between the gateway and a SQL worker, besides batches (batch-frame.ts). Both sides use this file. */
import type { EngineDatabase, EngineLimits } from './engine.ts';
import type { Gate, HiddenGroup } from '../query/enforced.ts';
import type { Schema } from '../release/columns.ts';

/** JOB payload of a SQL worker: statements that the gateway printed, and the columns they must yield. */
export interface SqlJob {
  readonly databases: readonly EngineDatabase[];
  readonly setup: readonly string[];
  /** Parts of `setup` to leave out when no row of a temporary table is `open`; absent: none. */
  readonly gates?: readonly Gate[];
  /** Absent: nothing is compared with other answers. */
  readonly guard?: SqlGuard;
  readonly result: string;
  readonly columns: Schema;
  readonly summary: string;
  readonly limits: EngineLimits;
}

/**
 * The guarded part of a job: the worker runs `setup`, sends what `sketches` yield as DATA in the columns `GUARD_COLUMNS`,
 * then CONTROL `{ sketched }` with the number of their rows, and waits for CONTROL `{ hide }`. If that is not empty it
 * runs `apply`, then goes on to the result.
 */
export interface SqlGuard {
  readonly setup: readonly string[];
  readonly sketches: readonly string[];
  readonly apply: readonly string[];
}

/** block, series, group, partition, bucket, and the seven words of a bucket (release/sketch.ts). */
export const GUARD_COLUMNS: Schema = Array.from({ length: 12 }, (_, i) => ({
  name: `g${i}`,
  type: { kind: 'int64' as const },
  nullable: false,
}));
export const HIDE_TABLE = 'gb_hide';

/** Most groups that one answer may lose to the guard; an answer that would lose more is not given. */
export const MAX_HIDDEN = 20_000;

/** What a CONTROL frame says is withheld, as `[block, group]`; null when it is not that. */
export function hideOf(payload: unknown): readonly HiddenGroup[] | null {
  const list = (payload as { hide?: unknown } | null)?.hide;
  if (!Array.isArray(list) || list.length > MAX_HIDDEN) return null;
  const hide: HiddenGroup[] = [];
  for (const one of list as unknown[]) {
    if (!Array.isArray(one) || one.length !== 2 || !one.every((part) => Number.isSafeInteger(part))) return null;
    const [block = 0, group = 0] = one as number[];
    hide.push({ block, group });
  }
  return hide;
}

/** RESULT payload of a SQL worker. */
export interface SqlJobResult {
  readonly rows: number;
  readonly batches: number;
  /** decimal text, or `null` when the withheld cells together are too few to be counted */
  readonly withheldCells: string | null;
  /** CPU time of the whole worker process during the job, microseconds */
  readonly cpuMicros: number;
}

/**
 * Why a worker gave up. `failed` covers everything that happens once rows can be touched: telling an overflow from an
 * exhausted memory would be an oracle about rows.
 */
export type SqlFailCode = 'failed' | 'cancelled' | 'bad-job' | 'not-opened';
export const SQL_FAIL_CODES: readonly SqlFailCode[] = ['failed', 'cancelled', 'bad-job', 'not-opened'];

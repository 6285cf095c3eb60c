/** What travels between the gateway and a SQL worker, besides batches (batch-frame.ts). Both sides use this file. */
import type { EngineDatabase, EngineLimits } from './engine.ts';
import type { Gate } from '../query/enforced.ts';
import type { Schema } from '../release/columns.ts';

/** JOB payload of a SQL worker: statements that the gateway printed, and the columns they must yield. */
export interface SqlJob {
  readonly databases: readonly EngineDatabase[];
  readonly setup: readonly string[];
  /** Parts of `setup` to leave out when no row of a temporary table is `open`; absent: none. */
  readonly gates?: readonly Gate[];
  readonly result: string;
  readonly columns: Schema;
  readonly summary: string;
  readonly limits: EngineLimits;
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

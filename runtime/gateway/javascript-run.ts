import type { ReadyInput } from '../job/prepare-javascript.ts';
import type { ColumnAccuracy, Execution, ExecutionSummary } from '../job/prepare.ts';
import type { SqlEngine } from '../job/prepare-sql.ts';
import type { Cell } from '../release/column-values.ts';
import type { ColumnBatch } from '../release/columns.ts';
import type { Entropy } from '../release/entropy.ts';
import type { NoiseShare } from '../release/noise.ts';
import { javascriptLimits } from '../sandbox/javascript/limits.ts';
import { pooledWorkers } from '../sandbox/javascript/pooled-workers.ts';
import type { JobTerms, PreparedComputation } from '../sandbox/javascript/prepared.ts';
import type { ColumnSource } from '../sandbox/javascript/source.ts';
import type { JavaScriptWorkers } from '../sandbox/javascript/worker-link.ts';
import type { WorkerPool } from '../sandbox/pool.ts';
import { type ReadColumn, type RowsRequest, rowSource } from './javascript-rows.ts';

/** What the four ways of running code share: rows, workers, terms, and one word for every failure. */

export interface JavaScriptRunNeeds {
  readonly pool: WorkerPool;
  readonly open: SqlEngine['open'];
  /** Noise, block keys and seeds come from here; only the seed ever reaches a worker with consumer code. */
  readonly entropy: Entropy;
  readonly nowMs: () => number;
  /** Rows of a released result of that party by job id; undefined when there is none of its own. */
  readonly resultOf: (party: string, jobId: string) => Promise<readonly Readonly<Record<string, Cell>>[] | undefined>;
}

export type Of<Mode extends PreparedComputation['mode']> = Extract<PreparedComputation, { readonly mode: Mode }>;

/** Coverage of the intervals that go out beside noisy numbers. */
export const CONFIDENCE = 0.95;

export function sourceOf(
  needs: JavaScriptRunNeeds,
  { data, party }: ReadyInput,
  columns: readonly ReadColumn[],
  more: Pick<RowsRequest, 'isSorted' | 'isNumbered' | 'isReadOnce' | 'rowsPerUnit' | 'signal'>,
): ColumnSource {
  if (data === null) throw new Error('code over a table without a table');
  const { dataset, table } = data;
  return rowSource({ pool: needs.pool, party, dataset, table, columns, ...more });
}

export const workersOf = (needs: JavaScriptRunNeeds, { party }: ReadyInput, signal: AbortSignal): JavaScriptWorkers =>
  pooledWorkers(needs.pool, { party, signal });

/** The clock is the job's, in whole days, and the seed is fresh: neither tells anything about rows or other jobs. */
export function termsOf(needs: JavaScriptRunNeeds, { release }: ReadyInput, signal: AbortSignal): JobTerms {
  const bytes = needs.entropy.bytes(4);
  return {
    tier: release.mode === 'sandbox' ? release.tier : 'balanced',
    timeoutMs: javascriptLimits.programTimeoutMs,
    nowMs: Math.floor(needs.nowMs() / DAY_MS) * DAY_MS,
    seed: new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true),
    signal,
  };
}

const DAY_MS = 86_400_000;

export interface Made {
  readonly batch: ColumnBatch;
  readonly errors: readonly ColumnAccuracy[];
}

/** One batch, or one word for every failure. */
export function execution(run: () => Promise<Made | undefined>, { data, release }: ReadyInput): Execution {
  let summary: ExecutionSummary = { kind: 'failed' };
  async function* batches(): AsyncGenerator<ColumnBatch, void, void> {
    const made = await run();
    if (made === undefined) return;
    const { batch, errors } = made;
    summary = {
      kind: 'done',
      // Noise hides how many rows there are; a bill must not tell it.
      rowsScanned: release.mode === 'sandbox' ? 0 : Number(data?.table.rowCount ?? 0n),
      cpuMs: 0,
      withheld: { cells: null, reasons: [] },
      errors,
    };
    yield batch;
  }
  return { batches: batches(), summary: () => summary };
}

/** What a job may spend on noise, as noise of one kind or the other. */
export const noiseBudgetOf = ({
  microEpsilon,
  concentrated,
}: Pick<ReadyInput, 'microEpsilon' | 'concentrated'>): NoiseShare =>
  concentrated === null ? { kind: 'laplace', microEpsilon } : { kind: 'gaussian', nanoRho: concentrated.nanoRho };

export const epsilonText = ({
  microEpsilon,
  concentrated,
}: Pick<ReadyInput, 'microEpsilon' | 'concentrated'>): string =>
  concentrated === null
    ? `epsilon ${microEpsilon / 1e6}, delta 0`
    : `epsilon ${microEpsilon / 1e6} at delta ${concentrated.delta} (zCDP, rho ${concentrated.nanoRho / 1e9})`;

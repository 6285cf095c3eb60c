import type { ReadyInput } from '../../job/prepare-javascript.ts';
import type { ColumnAccuracy, Execution, ExecutionSummary } from '../../job/prepare.ts';
import type { SqlEngine } from '../../job/sql-engine.ts';
import { type Reason, reason } from '../../policy/reason.ts';
import type { Cell } from '../../release/column-values.ts';
import type { ColumnBatch } from '../../release/columns.ts';
import type { Entropy } from '../../release/entropy.ts';
import type { NoiseShare } from '../../release/noise.ts';
import { javascriptLimits } from '../../sandbox/javascript/limits.ts';
import { pooledWorkers } from '../../sandbox/javascript/pooled-workers.ts';
import type { JobTerms, PreparedComputation } from '../../sandbox/javascript/prepared.ts';
import type { ColumnSource } from '../../sandbox/javascript/source.ts';
import type { JavaScriptWorkers } from '../../sandbox/javascript/worker-link.ts';
import { processBaseMiB } from '../../sandbox/pool-options.ts';
import type { WorkerPool } from '../../sandbox/pool.ts';
import { rowSource } from './rows.ts';
import type { ReadColumn, RowsRequest } from './row-request.ts';

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
  { data, party, release }: ReadyInput,
  columns: readonly ReadColumn[],
  more: Pick<RowsRequest, 'isSorted' | 'isNumbered' | 'isReadOnce' | 'rowsPerUnit' | 'signal'>,
): ColumnSource {
  if (data === null) throw new Error('code over a table without a table');
  const { dataset, table } = data;
  const source = rowSource({ pool: needs.pool, party, dataset, table, columns, ...more });
  const { cpuMs, memoryMiB } = release.limits;
  if (cpuMs === null && memoryMiB === null) return source;
  // Only a worker that does nothing else can be held to what the code may use, not the one that reads the rows.
  const { fold: _fold, ...rest } = source;
  return rest;
}

/** Workers for the code of a job under the limits of its policy. `shares`: runs one after the other that split its processor time. */
export function workersOf(
  needs: JavaScriptRunNeeds,
  { party, release }: ReadyInput,
  signal: AbortSignal,
  shares?: number,
): JavaScriptWorkers {
  const { cpuMs, memoryMiB } = release.limits;
  return pooledWorkers(needs.pool, {
    party,
    signal,
    ...(memoryMiB === null ? {} : { memoryMiB: memoryMiB + processBaseMiB }),
    ...(cpuMs === null || shares === undefined ? {} : { cpuMs: Math.max(1, Math.floor(cpuMs / shares)) }),
  });
}

/**
 * The longest that each of several runs of code may take: what the program declares, and no more than its share of the processor
 * time of the job. An isolate computes on one thread, so its time bounds what it uses; and a share that was fixed beforehand is
 * never used up by another block or group.
 */
export function timeOfEach(declaredMs: number, runs: number, { limits }: ReadyInput['release']): number {
  return limits.cpuMs === null ? declaredMs : Math.max(1, Math.min(declaredMs, Math.floor(limits.cpuMs / runs)));
}

/** The clock is the job's, in whole days, and the seed is fresh: neither tells anything about rows or other jobs. */
export function termsOf(needs: JavaScriptRunNeeds, { release }: ReadyInput, signal: AbortSignal): JobTerms {
  const bytes = needs.entropy.bytes(4);
  const { memoryMiB } = release.limits;
  return {
    tier: release.mode === 'sandbox' ? release.tier : 'balanced',
    timeoutMs: javascriptLimits.programTimeoutMs,
    nowMs: Math.floor(needs.nowMs() / DAY_MS) * DAY_MS,
    seed: new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true),
    signal,
    ...(memoryMiB === null ? {} : { memoryMiB }),
  };
}

const DAY_MS = 86_400_000;

export interface Made {
  readonly batch: ColumnBatch;
  readonly errors: readonly ColumnAccuracy[];
}

/**
 * One batch, or one word for every failure but one: that the job took longer, by either clock, than its policy allows. A clock says that, as it
 * does of a deadline, which any consumer may set as short.
 */
export function execution(
  run: (signal: AbortSignal) => Promise<Made | typeof OUT_OF_TIME | undefined>,
  { data, release, clause }: ReadyInput,
  signal: AbortSignal,
): Execution {
  let summary: ExecutionSummary = { kind: 'failed' };
  async function* batches(): AsyncGenerator<ColumnBatch, void, void> {
    const made = await withinWall(run, release.limits.wallMs, signal);
    const { wallMs, cpuMs } = release.limits;
    if (made === LATE) summary = { kind: 'failed', reason: lateReason(`the ${wallMs} ms`, clause) };
    if (made === OUT_OF_TIME)
      summary = { kind: 'failed', reason: lateReason(`its share of ${cpuMs} ms of processor time`, clause) };
    if (made === undefined || typeof made === 'symbol') return;
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

const LATE = Symbol('late');
/** A row function used more processor time than its policy allows: it fails for no other cause that its rows could choose. */
export const OUT_OF_TIME = Symbol('out of processor time');

/** Runs with a signal that also fires when the time is over: every worker of the run is killed then. */
async function withinWall<T>(
  run: (signal: AbortSignal) => Promise<T>,
  wallMs: number | null,
  signal: AbortSignal,
): Promise<T | typeof LATE> {
  if (wallMs === null) return run(signal);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(LATE), wallMs);
  try {
    const made = await run(AbortSignal.any([signal, late.signal]));
    return late.signal.aborted ? LATE : made;
  } catch (error) {
    if (late.signal.aborted && !signal.aborted) return LATE;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function lateReason(limit: string, clause: string): Reason {
  return reason('run-time-limit', `the job ran longer than ${limit} that the policy allows`, {
    clause,
    remedy: 'ask for less: fewer rounds, groups or columns; the budget stays spent',
  });
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

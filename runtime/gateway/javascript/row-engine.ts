import type { EngineDatabase, EngineLimits } from '../../dataset/engine.ts';
import { DEFAULT_RUN_LIMITS, runEnforced } from '../../dataset/run-enforced.ts';
import { runFold } from '../../dataset/run-fold.ts';
import { linkOf, WorkerFault } from '../../dataset/worker-link.ts';
import type { EnforcedQuery } from '../../query/enforced.ts';
import type { ColumnBatch } from '../../release/columns.ts';
import type { FoldedRows, SourceKernel } from '../../sandbox/javascript/source.ts';
import { javascriptLimits } from '../../sandbox/javascript/limits.ts';
import type { LeasedWorker } from '../../sandbox/pool.ts';
import type { LeaseRequest } from '../../sandbox/pool-options.ts';
import { statementsOf, WHOLE } from './row-statements.ts';
import type { RowsRequest } from './row-request.ts';

/** What the engine may use for one part; half a GiB for the whole SQL worker then. */
const ENGINE: EngineLimits = { ...DEFAULT_RUN_LIMITS.engine, memoryMiB: 384 };

/** Checked batches of one of our own statements, from a jailed SQL worker that has the dataset. Throws WorkerFault. */
export async function* engineBatches(
  request: RowsRequest,
  query: EnforcedQuery,
): AsyncGenerator<ColumnBatch, void, void> {
  const { signal } = request;
  const { worker, databases } = await leaseFor(request);
  let isClean = false;
  try {
    const run = runEnforced(linkOf(worker), databases, query, {
      limits: { ...DEFAULT_RUN_LIMITS, engine: ENGINE },
      signal,
    });
    yield* run.batches();
    if (run.outcome.kind !== 'done') throw new WorkerFault('the rows could not be read');
    isClean = true;
  } finally {
    if (isClean) worker.release();
    else await worker.destroy();
  }
}

/**
 * Runs a kernel in the worker that reads the rows. The kernel is our own text over a checked, closed program, like a statement;
 * still, what was shaped by one consumer serves no other: the worker ends with the job.
 */
export async function foldRows(request: RowsRequest, fold: SourceKernel): Promise<FoldedRows> {
  const { worker, databases } = await leaseFor(request, KERNEL);
  try {
    const maxRows = Number(request.table.rowCount);
    return await runFold(linkOf(worker), databases, statementsOf(request, WHOLE), { fold, engine: ENGINE, maxRows });
  } finally {
    worker.destroy().catch(() => undefined);
  }
}

/** A SQL worker that runs a kernel: the isolation that the image of consumer code demands, and the time of a whole row function. */
const KERNEL: Pick<LeaseRequest, 'isolation' | 'limits'> = {
  isolation: 'confined',
  limits: { wallMs: javascriptLimits.programTimeoutMs },
};

/** A SQL worker that has the dataset; aborting the request's signal kills it. */
async function leaseFor(
  { pool, party, dataset, signal }: RowsRequest,
  more: Pick<LeaseRequest, 'isolation' | 'limits'> = {},
): Promise<{ readonly worker: LeasedWorker; readonly databases: readonly EngineDatabase[] }> {
  const guestPath = `/data/${dataset.database}.duckdb`;
  const mounts = [{ hostPath: dataset.file, guestPath }];
  const worker = await pool.lease({ kind: 'sql', party, mounts, signal, ...more });
  const path = worker.isolation === 'process' ? dataset.file : guestPath;
  return { worker, databases: [{ alias: dataset.database, path }] };
}

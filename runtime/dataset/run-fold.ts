/** The gateway's side of a kernel that runs where the rows are read: one answer of a known size, or a fault. */
import type { EnforcedQuery } from '../query/enforced.ts';
import { frameType, jsonPayload, parseJsonPayload } from '../sandbox/channel.ts';
import type { EngineDatabase, EngineLimits } from './engine.ts';
import type { SqlFold, SqlJob } from './sql-job.ts';
import { WorkerFault, type WorkerLink } from './worker-link.ts';

/**
 * Runs a kernel over the rows of an enforced query in a leased SQL worker and returns its cells (`i64`, little-endian) with the
 * number of rows that the worker says it read. Throws `WorkerFault` for anything else; a job is cancelled by killing the worker,
 * which serves nobody afterwards.
 */
export async function runFold(
  worker: WorkerLink,
  databases: readonly EngineDatabase[],
  query: Pick<EnforcedQuery, 'setup' | 'result' | 'summary'>,
  { fold, engine, maxRows }: { readonly fold: SqlFold; readonly engine: EngineLimits; readonly maxRows: number },
): Promise<{ readonly totals: Uint8Array; readonly rows: number }> {
  const { setup, result, summary } = query;
  const job: SqlJob = { databases, setup, result, summary, columns: [], fold, limits: engine };
  await worker.send(frameType.JOB, jsonPayload(job));
  const totals = await worker.next();
  if (totals?.type !== frameType.DATA || totals.payload.byteLength !== fold.cells * 8)
    throw new WorkerFault('the sql worker sent no cells');
  const end = await worker.next();
  if (end?.type !== frameType.RESULT) throw new WorkerFault('the sql worker did not end its job');
  const { rows } = parseJsonPayload(end.payload);
  if (typeof rows !== 'number' || !Number.isSafeInteger(rows) || rows < 0 || rows > maxRows)
    throw new WorkerFault('the sql worker counts more rows than there are');
  return { totals: totals.payload, rows };
}

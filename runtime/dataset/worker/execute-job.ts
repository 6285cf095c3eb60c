/** Runs one SQL job on a sealed engine and hands out encoded batches. */
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { BatchBuilder, columnBuilder } from '../bridge.ts';
import type { ColumnBuilder } from '../bridge-buffer.ts';
import { BATCH_LIMITS } from '../limits.ts';
import type { HiddenGroup } from '../../query/enforced.ts';
import type { Schema } from '../../release/columns.ts';
import { GUARD_COLUMNS, HIDE_TABLE, type SqlFold, type SqlGuard, type SqlJob, type SqlJobResult } from '../sql-job.ts';
import { batchFrames } from './batch-frames.ts';
import { foldRows } from './fold-rows.ts';

export interface JobStop {
  /** Set by the caller when the job was cancelled; read between chunks and statements. */
  isStopped: boolean;
  /** Called with the connection in use, so that the caller can interrupt it; with null when it is gone. */
  using(connection: DuckDBConnection | null): void;
}

/** Thrown when the job was stopped by its caller. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';
}

/** Runs `setup`, asks the guard if there is one, streams `result`, reads `summary`. Throws on anything that goes wrong; nothing in the error may leave. */
export async function executeJob(
  instance: DuckDBInstance,
  job: SqlJob,
  stop: JobStop,
  send: (frame: Uint8Array) => Promise<void>,
  askGuard: (rows: number) => Promise<readonly HiddenGroup[]> = () =>
    Promise.reject(new TypeError('nobody guards this job')),
): Promise<SqlJobResult> {
  const before = process.cpuUsage();
  // Temporary tables live and die with the connection: each job gets its own.
  const connection = await instance.connect();
  stop.using(connection);
  try {
    await runSetup(connection, job, stop);
    if (job.guard !== undefined) await obeyGuard(connection, job.guard, { stop, send, askGuard });
    if (job.limits.threads === 1 && isPlain(job)) await connection.run('PRAGMA disable_optimizer');
    const sent =
      job.fold === undefined
        ? await stream(connection, job.result, job.columns, stop, send)
        : await sendFold(connection, job.result, job.fold, { stop, send });
    refuseWhenStopped(stop);
    const withheldCells = await readSummary(connection, job.summary);
    const { user, system } = process.cpuUsage(before);
    return { ...sent, withheldCells, cpuMicros: user + system };
  } finally {
    stop.using(null);
    connection.closeSync();
  }
}

/**
 * Whether what is left to do is to read cells as they stand: of few, making the plans better takes longer than running
 * them. A join is another matter: only the optimizer makes a hash join of a product.
 */
export function isPlain({ result, summary }: Pick<SqlJob, 'result' | 'summary'>): boolean {
  return !/\bJOIN\b/i.test(`${result} ${summary}`);
}

/** Runs what is to run before the result. A gate whose table says that nothing is open spares its statements. */
async function runSetup(connection: DuckDBConnection, job: SqlJob, stop: JobStop): Promise<void> {
  for (let i = 0; i < job.setup.length; i++) {
    refuseWhenStopped(stop);
    const gate = job.gates?.find(({ from }) => from === i);
    if (gate !== undefined && gate.to > i && !(await isOpen(connection, gate.table))) {
      i = gate.to - 1;
      continue;
    }
    const statement = job.setup[i];
    if (statement !== undefined) await connection.run(statement);
  }
}

async function isOpen(connection: DuckDBConnection, table: string): Promise<boolean> {
  if (!/^[a-z0-9_]+$/.test(table)) throw new TypeError('a gate names no table');
  const reader = await connection.runAndReadAll(`SELECT 1 FROM temp."${table}" WHERE open LIMIT 1`);
  return reader.currentRowCount > 0;
}

function refuseWhenStopped(stop: JobStop): void {
  if (stop.isStopped) throw new StoppedError('the job was stopped');
}

/** Shows the guard who contributes to the cells, and takes out of the verdict what it withholds. */
async function obeyGuard(
  connection: DuckDBConnection,
  guard: SqlGuard,
  {
    stop,
    send,
    askGuard,
  }: {
    readonly stop: JobStop;
    readonly send: (frame: Uint8Array) => Promise<void>;
    readonly askGuard: (rows: number) => Promise<readonly HiddenGroup[]>;
  },
): Promise<void> {
  for (const statement of guard.setup) {
    refuseWhenStopped(stop);
    await connection.run(statement);
  }
  let rows = 0;
  for (const select of guard.sketches) rows += (await stream(connection, select, GUARD_COLUMNS, stop, send)).rows;
  const hide = await askGuard(rows);
  if (hide.length === 0) return;
  // Whole numbers only: hideOf saw to that on both sides.
  const values = hide.map(({ block, group }) => `(${block}, ${group})`);
  await connection.run(`INSERT INTO temp."${HIDE_TABLE}" VALUES ${values.join(', ')}`);
  for (const statement of guard.apply) {
    refuseWhenStopped(stop);
    await connection.run(statement);
  }
}

async function sendFold(
  connection: DuckDBConnection,
  select: string,
  fold: SqlFold,
  { stop, send }: { readonly stop: JobStop; readonly send: (frame: Uint8Array) => Promise<void> },
): Promise<{ rows: number; batches: number }> {
  refuseWhenStopped(stop);
  const { rows, totals } = await foldRows(connection, select, fold, () => refuseWhenStopped(stop));
  await send(new Uint8Array(totals.buffer));
  return { rows, batches: 1 };
}

async function stream(
  connection: DuckDBConnection,
  select: string,
  columns: Schema,
  stop: JobStop,
  send: (frame: Uint8Array) => Promise<void>,
): Promise<{ rows: number; batches: number }> {
  refuseWhenStopped(stop);
  const result = await connection.stream(select);
  const types = result.columnTypes();
  if (types.length !== columns.length) throw new TypeError('the result has other columns than agreed');
  const builders = columns.map((column, i): ColumnBuilder => {
    const source = types[i];
    const builder = source === undefined ? null : columnBuilder(source, column.type);
    if (builder === null) throw new TypeError(`column ${i} has another type than agreed`);
    return builder;
  });
  const batch = new BatchBuilder(builders);
  let rows = 0;
  let batches = 0;
  const flush = async (): Promise<void> => {
    for (const frame of batchFrames(columns, batch.view())) {
      await send(frame);
      batches++;
    }
    rows += batch.rowCount;
    batch.reset();
  };
  for (;;) {
    refuseWhenStopped(stop);
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    batch.append(chunk);
    if (batch.rowCount >= BATCH_LIMITS.rows || batch.byteLength >= BATCH_LIMITS.bytes) await flush();
  }
  if (batch.rowCount > 0) await flush();
  return { rows, batches };
}

async function readSummary(connection: DuckDBConnection, summary: string): Promise<string | null> {
  const reader = await connection.runAndReadAll(summary);
  const value: unknown = reader.getRows()[0]?.[0];
  if (reader.currentRowCount !== 1 || reader.columnCount !== 1) throw new TypeError('the summary is not one value');
  if (value === null) return null;
  if (typeof value !== 'bigint') throw new TypeError('the summary is not a BIGINT');
  return value.toString();
}

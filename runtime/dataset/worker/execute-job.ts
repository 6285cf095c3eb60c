/** Runs one SQL job on a sealed engine and hands out encoded batches. */
import type { DuckDBConnection, DuckDBDataChunk, DuckDBType } from '@duckdb/node-api';
import { BatchBuilder, columnBuilder } from '../bridge.ts';
import type { ColumnBuilder } from '../bridge-buffer.ts';
import { BATCH_LIMITS } from '../limits.ts';
import type { Gate, HiddenGroup } from '../../query/enforced.ts';
import type { Schema } from '../../release/columns.ts';
import { GUARD_COLUMNS, HIDE_TABLE, type SqlFold, type SqlGuard, type SqlJob, type SqlJobResult } from '../sql-job.ts';
import { batchFrames } from './batch-frames.ts';
import { foldRows } from './fold-rows.ts';
import type { JobConnections } from './job-connections.ts';

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
  connections: JobConnections,
  job: SqlJob,
  stop: JobStop,
  send: (frame: Uint8Array) => Promise<void>,
  askGuard: (rows: number) => Promise<readonly HiddenGroup[]> = () =>
    Promise.reject(new TypeError('nobody guards this job')),
): Promise<SqlJobResult> {
  const before = process.cpuUsage();
  const isBrief = isOfFewCells(job);
  const connection = await (isBrief ? connections.connectPlainly() : connections.connect());
  stop.using(connection);
  try {
    const isWhole = isBrief && job.guard === undefined && (job.gates ?? []).length === 0;
    const planning = new Planning(connection, !isBrief);
    if (!isWhole) await runSetup(connection, planning, job, stop);
    if (job.guard !== undefined) {
      await planning.improves(true);
      await obeyGuard(connection, job.guard, { stop, send, askGuard });
    }
    const isLittle = isPlain(job) && (job.limits.threads === 1 || !readsRows(`${job.result} ${job.summary}`));
    await planning.improves(!isLittle);
    const sent =
      job.fold !== undefined
        ? await sendFold(connection, job.result, job.fold, { stop, send })
        : isBrief
          ? await sendAtOnce(connection, isWhole ? [...job.setup, job.result] : [job.result], job.columns, stop, send)
          : await stream(connection, job.result, job.columns, stop, send);
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

/**
 * Whether a job reads so few cells, of one relation, that its plans are run as they stand and its result is taken whole.
 * Of one relation: of several, only the optimizer finds out in which order they are read.
 */
function isOfFewCells({ isFewCells, fold, setup, result, summary }: SqlJob): boolean {
  return isFewCells === true && fold === undefined && !/ AS r[1-9]/.test([...setup, result, summary].join(' '));
}

/**
 * Runs what is to run before the result. A gate whose table says that nothing is open spares its statements; it is asked in
 * one go with the statement before it.
 */
async function runSetup(
  connection: DuckDBConnection,
  planning: Planning,
  { setup, gates = [] }: SqlJob,
  stop: JobStop,
): Promise<void> {
  const gateAt = (at: number): Gate | undefined => gates.find(({ from, to }) => from === at && to > at);
  if (gateAt(0) !== undefined) throw new TypeError('a gate stands before the table that it asks');
  for (let at = 0; at < setup.length;) {
    refuseWhenStopped(stop);
    const statement = setup[at] ?? '';
    at += 1;
    let gate = gateAt(at);
    if (gate === undefined) {
      await planning.improves(true);
      await connection.run(statement);
      continue;
    }
    await planning.improves(readsRows(statement));
    let isOpen = await yields(connection, `${statement}\n;\n${openIn(gate)}`);
    while (!isOpen) {
      at = gate.to;
      gate = gateAt(at);
      if (gate === undefined) break;
      isOpen = await yields(connection, openIn(gate));
    }
  }
}

/** Whether a statement reads more than temporary tables, which hold little; a wrong answer costs time only. */
export function readsRows(statement: string): boolean {
  return / AS r\d/.test(statement);
}

/**
 * Whether the engine makes plans better before it runs them: for little that takes longer than it spares. It is told alone:
 * of several statements of which the first is a PRAGMA, the engine's library hands out another result than the last one's.
 */
class Planning {
  readonly #connection: DuckDBConnection;
  readonly #mayImprove: boolean;
  #improves: boolean;

  /** `mayImprove`: false for a connection that runs all plans as they stand. */
  constructor(connection: DuckDBConnection, mayImprove: boolean) {
    this.#connection = connection;
    this.#mayImprove = mayImprove;
    this.#improves = mayImprove;
  }

  async improves(wanted: boolean): Promise<void> {
    if (!this.#mayImprove || wanted === this.#improves) return;
    await this.#connection.run(`PRAGMA ${wanted ? 'enable' : 'disable'}_optimizer`);
    this.#improves = wanted;
  }
}

function openIn({ table }: Gate): string {
  if (!/^[a-z0-9_]+$/.test(table)) throw new TypeError('a gate names no table');
  return `SELECT 1 FROM temp."${table}" WHERE open LIMIT 1`;
}

async function yields(connection: DuckDBConnection, statements: string): Promise<boolean> {
  return (await connection.run(statements)).rowCount > 0;
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
  const [makeTable = '', ...statements] = guard.apply;
  for (const statement of [makeTable, `INSERT INTO temp."${HIDE_TABLE}" VALUES ${values.join(', ')}`, ...statements]) {
    refuseWhenStopped(stop);
    await connection.run(statement);
  }
}

/** Runs statements in one go (each step of the way to the engine wakes two threads) and sends what the last one yields. */
async function sendAtOnce(
  connection: DuckDBConnection,
  statements: readonly string[],
  columns: Schema,
  stop: JobStop,
  send: (frame: Uint8Array) => Promise<void>,
): Promise<{ rows: number; batches: number }> {
  refuseWhenStopped(stop);
  const result = await connection.run(statements.join('\n;\n'));
  const outgoing = new Outgoing(result.columnTypes(), columns, send);
  for (let chunk = 0; chunk < result.chunkCount; chunk++) {
    refuseWhenStopped(stop);
    await outgoing.add(result.getChunk(chunk));
  }
  return outgoing.end();
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
  const outgoing = new Outgoing(result.columnTypes(), columns, send);
  for (;;) {
    refuseWhenStopped(stop);
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    await outgoing.add(chunk);
  }
  return outgoing.end();
}

/** Rows on their way out, in batches of a size that suits the pipe. Throws when the result has other columns than agreed. */
class Outgoing {
  readonly #columns: Schema;
  readonly #batch: BatchBuilder;
  readonly #send: (frame: Uint8Array) => Promise<void>;
  #rows = 0;
  #batches = 0;

  constructor(types: readonly DuckDBType[], columns: Schema, send: (frame: Uint8Array) => Promise<void>) {
    if (types.length !== columns.length) throw new TypeError('the result has other columns than agreed');
    this.#columns = columns;
    this.#send = send;
    this.#batch = new BatchBuilder(
      columns.map((column, i): ColumnBuilder => {
        const source = types[i];
        const builder = source === undefined ? null : columnBuilder(source, column.type);
        if (builder === null) throw new TypeError(`column ${i} has another type than agreed`);
        return builder;
      }),
    );
  }

  async add(chunk: DuckDBDataChunk): Promise<void> {
    this.#batch.append(chunk);
    if (this.#batch.rowCount >= BATCH_LIMITS.rows || this.#batch.byteLength >= BATCH_LIMITS.bytes) await this.#flush();
  }

  async end(): Promise<{ rows: number; batches: number }> {
    if (this.#batch.rowCount > 0) await this.#flush();
    return { rows: this.#rows, batches: this.#batches };
  }

  async #flush(): Promise<void> {
    for (const frame of batchFrames(this.#columns, this.#batch.view())) {
      await this.#send(frame);
      this.#batches++;
    }
    this.#rows += this.#batch.rowCount;
    this.#batch.reset();
  }
}

async function readSummary(connection: DuckDBConnection, summary: string): Promise<string | null> {
  const result = await connection.run(summary);
  if (result.rowCount !== 1 || result.columnCount !== 1) throw new TypeError('the summary is not one value');
  const value: unknown = result.getChunk(0).getRows()[0]?.[0];
  if (value === null) return null;
  if (typeof value !== 'bigint') throw new TypeError('the summary is not a BIGINT');
  return value.toString();
}

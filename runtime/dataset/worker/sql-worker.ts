/**
 * Entry of the jailed SQL worker. It opens the layout files it was given read-only, runs one job at a time and answers
 * with batches and counts, or with a code that says nothing about rows.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import type { HiddenGroup } from '../../query/enforced.ts';
import { frameType, parseJsonPayload, type Frame } from '../../sandbox/channel.ts';
import { WorkerChannel } from '../../sandbox/worker-channel.ts';
import { DEFAULT_ENGINE_LIMITS, openSealedEngine } from '../engine.ts';
import { hideOf, MAX_SETUP_BYTES, type SqlFailCode, type SqlGuard, type SqlJob } from '../sql-job.ts';
import { executeJob, StoppedError, type JobStop } from './execute-job.ts';
import { ReadyConnections } from './job-connections.ts';

const channel = new WorkerChannel();

/** The engine in use and the job settings it was opened for; kept between jobs while nothing went wrong in it. */
let engine: { readonly key: string; readonly connections: ReadyConnections } | null = null;

async function closeEngine(): Promise<void> {
  const closing = engine;
  engine = null;
  await closing?.connections.close();
}

async function engineFor(job: SqlJob): Promise<ReadyConnections> {
  const key = JSON.stringify([job.databases, job.limits]);
  if (engine !== null && engine.key !== key) await closeEngine();
  engine ??= { key, connections: new ReadyConnections(await openSealedEngine(job.databases, job.limits)) };
  return engine.connections;
}

class RunningJob implements JobStop {
  isStopped = false;
  #connection: DuckDBConnection | null = null;

  using(connection: DuckDBConnection | null): void {
    this.#connection = connection;
  }

  #answer: ((hide: readonly HiddenGroup[]) => void) | null = null;
  #refuse: ((error: Error) => void) | null = null;

  /** Waits for what the guard says. */
  guarded(): Promise<readonly HiddenGroup[]> {
    return new Promise((resolve, reject) => {
      if (this.isStopped) reject(new StoppedError('the job was stopped'));
      this.#answer = resolve;
      this.#refuse = reject;
    });
  }

  /** The guard's answer; an unreadable one ends the job. */
  hear(hide: readonly HiddenGroup[] | null): void {
    if (hide === null) this.#refuse?.(new TypeError('the guard said something else'));
    else this.#answer?.(hide);
  }

  stop(): void {
    this.isStopped = true;
    this.#refuse?.(new StoppedError('the job was stopped'));
    this.#connection?.interrupt();
  }
}

const fail = (code: SqlFailCode): Promise<void> => channel.sendJson(frameType.FAIL, { code });

async function serve(job: SqlJob, running: RunningJob): Promise<void> {
  let connections: ReadyConnections;
  try {
    connections = await engineFor(job);
  } catch {
    await closeEngine();
    return fail('not-opened');
  }
  try {
    const result = await executeJob(
      connections,
      job,
      running,
      (bytes) => channel.send(frameType.DATA, bytes),
      async (sketched) => {
        const answer = running.guarded();
        await channel.sendJson(frameType.CONTROL, { sketched });
        return answer;
      },
    );
    await channel.sendJson(frameType.RESULT, result);
    if (job.isFewCells === true) connections.prepareSoon();
  } catch (error) {
    // What went wrong inside may depend on rows: the engine goes, and only a code leaves.
    await closeEngine();
    await fail(running.isStopped || error instanceof StoppedError ? 'cancelled' : 'failed');
  }
}

function jobOf(frame: Frame): SqlJob | null {
  const job = parseJsonPayload(frame.payload) as unknown as SqlJob;
  const isWhole =
    Array.isArray(job.databases) &&
    Array.isArray(job.setup) &&
    (job.gates === undefined || Array.isArray(job.gates)) &&
    (job.guard === undefined || isGuard(job.guard)) &&
    (job.fold === undefined || (typeof job.fold.kernel === 'string' && Array.isArray(job.fold.kinds))) &&
    Array.isArray(job.columns) &&
    typeof job.result === 'string' &&
    typeof job.summary === 'string' &&
    typeof job.limits === 'object';
  return isWhole ? job : null;
}

/** The job with the statements that came ahead of it; null when they are not those that it speaks of. */
function withSetup(
  job: SqlJob | null,
  { parts, bytes }: { readonly parts: readonly Buffer[]; readonly bytes: number },
): SqlJob | null {
  if (job === null || (job.setupBytes ?? 0) !== bytes || bytes > MAX_SETUP_BYTES) return null;
  if (bytes === 0) return job;
  const setup = JSON.parse(Buffer.concat(parts).toString('utf8')) as unknown;
  return Array.isArray(setup) && job.setup.length === 0 ? { ...job, setup: setup as string[] } : null;
}

function isGuard(guard: SqlGuard): boolean {
  return [guard.setup, guard.sketches, guard.apply].every(Array.isArray);
}

/** Loads the engine's library and its first instance before the worker calls itself ready: the first job is as fast as later ones. */
async function warmUp(): Promise<void> {
  const instance = await openSealedEngine([], { ...DEFAULT_ENGINE_LIMITS, threads: 1 });
  const connection = await instance.connect();
  await connection.run('SELECT 1');
  connection.closeSync();
  instance.closeSync();
}

await warmUp();
await channel.ready({ kind: 'sql' });
let running: RunningJob | null = null;
/** Statements that came ahead of the next job. */
let ahead: { parts: Buffer[]; bytes: number } = { parts: [], bytes: 0 };
for await (const frame of channel.frames()) {
  if (frame.type === frameType.CANCEL) running?.stop();
  else if (frame.type === frameType.CONTROL) running?.hear(hideOf(parseJsonPayload(frame.payload)));
  else if (frame.type === frameType.DATA) {
    ahead.bytes += frame.payload.byteLength;
    if (ahead.bytes <= MAX_SETUP_BYTES) ahead.parts.push(Buffer.from(frame.payload));
  } else if (frame.type === frameType.JOB) {
    const job = running === null ? withSetup(jobOf(frame), ahead) : null;
    ahead = { parts: [], bytes: 0 };
    if (job === null) {
      await fail('bad-job');
      continue;
    }
    const mine = new RunningJob();
    running = mine;
    // Not awaited: frames keep being read, so that CANCEL gets through.
    void serve(job, mine).finally(() => {
      running = null;
    });
  }
}
await closeEngine();
process.exit(0);

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, closeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ProcessUsage } from './process-usage.ts';

/** A gateway in a process of its own, started as an operator starts it. */
export interface BenchServer extends AsyncDisposable {
  readonly address: string;
  readonly isolation: string;
  /** The operator's credential bundle. */
  readonly credential: string;
  readonly usage: ProcessUsage;
  /** Milliseconds by stage of each job since the last call, from the operator's log. */
  takeStages(): readonly JobStages[];
}

export interface JobStages {
  readonly job: string;
  readonly stages: Readonly<Record<string, number>>;
}

const ROOT = join(import.meta.dirname, '..', '..');
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

export async function startServer(options: {
  readonly data: string;
  readonly isInsecure?: boolean;
  /** Jobs that may run at once; default: what the runtime thinks right. */
  readonly jobsRunning?: number;
}): Promise<BenchServer> {
  mkdirSync(dirname(options.data), { recursive: true });
  const logFile = `${options.data}.log`;
  const log = openSync(logFile, 'w', 0o600);
  const args = ['serve', '--data', options.data, '--listen', '127.0.0.1:0', '--json', '--log-level', 'debug'];
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      join(ROOT, 'runtime', 'cli', 'main.ts'),
      ...args,
      ...(options.isInsecure === true ? ['--insecure'] : []),
    ],
    {
      stdio: ['ignore', 'pipe', log],
      env:
        options.jobsRunning === undefined
          ? process.env
          : { ...process.env, GLOVEBOX_JOBS_RUNNING: String(options.jobsRunning) },
    },
  );
  closeSync(log);
  try {
    const ready = await readiness(child);
    let read = 0;
    return {
      address: ready.address,
      isolation: ready.isolation,
      credential: ready.credential,
      usage: new ProcessUsage(child.pid ?? 0),
      takeStages: () => {
        const text = readFileSync(logFile, 'utf8');
        const fresh = text.slice(read, text.lastIndexOf('\n') + 1);
        read += fresh.length;
        return fresh.split('\n').flatMap(stagesIn);
      },
      [Symbol.asyncDispose]: () => stop(child),
    };
  } catch (error) {
    await stop(child);
    const tail = readFileSync(logFile, 'utf8').split('\n').slice(-5).join('\n');
    throw new Error(`the runtime did not start: ${tail}`, { cause: error });
  }
}

interface Ready {
  readonly address: string;
  readonly isolation: string;
  readonly credential: string;
}

async function readiness(child: ChildProcess): Promise<Ready> {
  const { promise, resolve, reject } = Promise.withResolvers<Ready>();
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    // What it has to say of a failure takes several lines.
    const end = text.indexOf('}\n');
    if (text.startsWith('{"') && end >= 0) resolve(JSON.parse(text.slice(0, end + 1)) as Ready);
  });
  child.once('close', (code) => reject(new Error(`it ended with code ${code}: ${text}`)));
  child.once('error', reject);
  const timer = setTimeout(() => reject(new Error('it was not ready in time')), START_TIMEOUT_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const patience = new AbortController();
  await Promise.race([ended, delay(STOP_TIMEOUT_MS, undefined, { signal: patience.signal }).catch(() => undefined)]);
  patience.abort();
  child.kill('SIGKILL');
  await ended;
}

function stagesIn(line: string): readonly JobStages[] {
  if (!line.includes('"job.stages"')) return [];
  const { job, time: _time, msg: _msg, level: _level, ...stages } = JSON.parse(line) as Record<string, unknown>;
  return typeof job === 'string' ? [{ job, stages: stages as Record<string, number> }] : [];
}

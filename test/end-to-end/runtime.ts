import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Ran, runCommand } from './commands.ts';

export const ROOT = join(import.meta.dirname, '..', '..');
const MAIN = join(ROOT, 'runtime', 'cli', 'main.ts');
const NODE = ['--disable-warning=ExperimentalWarning', MAIN];

/** A `glovebox serve` of its own process over a data directory of its own, and its command line. */
export interface ServedRuntime extends AsyncDisposable {
  readonly folder: string;
  readonly data: string;
  readonly address: string;
  readonly credential: string;
  /** Runs a command; as the operator unless `--as` is among the arguments. */
  run(...args: readonly string[]): Promise<Ran>;
  /** The same in a process of its own. */
  runProcess(...args: readonly string[]): Promise<Ran>;
  /** `run` with `--json`, read. */
  json<T = Readonly<Record<string, unknown>>>(...args: readonly string[]): Promise<{ exit: number | null; value: T }>;
  /** Stops every present worker of a kind where it is, as if its query never ended; answers how many. */
  freezeWorkers(entry: string): number;
  /** Ends the server as a power cut would, and starts it again over the same data directory. */
  crashAndRestart(): Promise<void>;
}

export async function serveRuntime(): Promise<ServedRuntime> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-cli-'));
  const data = join(folder, 'data');
  let { child, ready } = await start(data);
  const run = (...args: readonly string[]): Promise<Ran> => glovebox([...args, '--server', ready.address], data);
  return {
    folder,
    data,
    get address() {
      return ready.address;
    },
    credential: ready.credential,
    run,
    runProcess: (...args) => gloveboxProcess([...args, '--server', ready.address], data),
    json: async <T>(...args: readonly string[]) => {
      const { exit, stdout, stderr } = await run(...args, '--json');
      if (stdout === '') throw new Error(`no JSON, exit ${exit}: ${stderr}`);
      return { exit, value: JSON.parse(stdout) as T };
    },
    freezeWorkers: (entry) => {
      const workers = descendants(child.pid ?? 0).filter((pid) => commandOf(pid).includes(entry));
      for (const pid of workers) process.kill(pid, 'SIGSTOP');
      return workers.length;
    },
    crashAndRestart: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      ({ child, ready } = await start(data));
    },
    [Symbol.asyncDispose]: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface Ready {
  readonly address: string;
  readonly credential: string;
  readonly isolation: string;
}

async function start(data: string): Promise<{ readonly child: ChildProcess; readonly ready: Ready }> {
  const child = spawn(process.execPath, [...NODE, 'serve', '--data', data, '--listen', '127.0.0.1:0', '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const errors: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => void errors.push(chunk.toString()));
  for await (const line of createInterface({ input: child.stdout })) return { child, ready: JSON.parse(line) as Ready };
  throw new Error(`serve ended before it was ready: ${errors.join('')}`);
}

const environment = (data: string): Readonly<Record<string, string>> => ({
  GLOVEBOX_DATA: data,
  GLOVEBOX_CREDENTIAL: '',
});

/** Runs the command line. */
export function glovebox(args: readonly string[], data = '/nonexistent'): Promise<Ran> {
  return runCommand({ args, env: environment(data) });
}

/** Runs the command line in a process of its own. */
export async function gloveboxProcess(args: readonly string[], data = '/nonexistent'): Promise<Ran> {
  return await outputOf(
    spawn(process.execPath, [...NODE, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment(data) },
    }),
  );
}

export async function outputOf(child: ChildProcess): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [exit] = (await once(child, 'close')) as [number | null];
  return { exit, stdout, stderr };
}

/** Processes that a process started, and those that they started. */
function descendants(ancestor: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readProcess(Number(name), 'stat');
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent === ancestor || (parent !== undefined && parent > 1 && isBelow(parent));
  };
  return [...parents.keys()].filter(isBelow);
}

const commandOf = (pid: number): string => readProcess(pid, 'cmdline').replaceAll('\0', ' ');

function readProcess(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return ''; // It has ended meanwhile.
  }
}

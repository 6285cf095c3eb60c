import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A server in a process of its own that may die at any moment. */
export interface Child {
  readonly address: string;
  readonly process: ChildProcess;
  /** Makes it die when the next job reaches this point. */
  readonly arm: (point: string) => Promise<void>;
  /** What it wrote to its log. */
  readonly log: () => string;
  /** Resolves with the signal or code when it has ended. */
  readonly ended: Promise<string>;
}

/** Starts the doomed server over a data directory; rejects when it ends before it serves. */
export async function startChild(
  dataDirectory: string,
  onSpawn: (child: ChildProcess) => void = () => {},
): Promise<Child> {
  const entry = join(import.meta.dirname, 'doomed-server.ts');
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entry, dataDirectory], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  onSpawn(child);
  const lines: string[] = [];
  child.stderr?.on('data', (text: Buffer) => lines.push(text.toString()));
  const ended = once(child, 'exit').then(([code, signal]) => String(signal ?? code));
  const first = await Promise.race([
    once(createInterface(child.stdout ?? process.stdin), 'line').then(([line]) => String(line)),
    ended.then((how) => {
      throw new Error(`the server ended with ${how}: ${lines.join('')}`);
    }),
  ]);
  const arm = async (point: string): Promise<void> => {
    child.send(point);
    await once(child, 'message');
  };
  return { address: first, process: child, log: () => lines.join(''), ended, arm };
}

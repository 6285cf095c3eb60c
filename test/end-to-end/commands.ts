import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

export interface Ran {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a thread is told: the words of a command, and what differs in its environment. */
export interface Told {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const idle: Worker[] = [];

/**
 * Runs a command of the command line in a thread that has run others before: all of it but the start of a process, which
 * costs more than most commands. `gloveboxProcess` is for tests of what only a process has.
 */
export async function runCommand(told: Told): Promise<Ran> {
  const thread = idle.pop() ?? new Worker(join(import.meta.dirname, 'command-thread.ts'));
  thread.ref();
  const answer = once(thread, 'message') as Promise<[Ran]>;
  thread.postMessage(told);
  const [ran] = await answer;
  thread.unref();
  idle.push(thread);
  return ran;
}

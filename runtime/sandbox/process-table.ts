/** What the kernel tells of a process that we started, and of those in its jail: its children, what it uses, its end. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

export interface ProcessUsage {
  /** Resident memory now. */
  readonly rssMiB: number;
  /** Of its whole life, in steps of 10 ms. */
  readonly cpuMs: number;
  /** Stopped by a signal: it will not run before it is told to. */
  readonly isStopped: boolean;
}

/** Of the machines that the jail is made for. */
const PAGE_BYTES = 4096;

/** How often a process is looked at that was told to stop, a millisecond apart. */
const STOP_TRIES = 1000;

/**
 * Reads what the process uses from outside; undefined when it is gone. Each job does it: the kernel answers
 * from memory at once, and asking another thread to ask it, four times for each file, costs ten times as much.
 */
export function usageOf(pid: number): ProcessUsage | undefined {
  const stat = readNow(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // Fields after the last `)`: the name in the parentheses may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const rssMiB = (Number(fields[21]) * PAGE_BYTES) / 2 ** 20;
  const cpuMs = (Number(fields[11]) + Number(fields[12])) * 10; // clock ticks: 100 a second on Linux
  return { rssMiB, cpuMs, isStopped: fields[0] === 'T' };
}

function readNow(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Its children as the host numbers them, oldest first; none when it is gone. */
export async function childrenOf(pid: number): Promise<readonly number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return children
    .trim()
    .split(' ')
    .map(Number)
    .filter((child) => child > 0);
}

/**
 * Kills a bubblewrap that may not have finished starting, with what it has started so far.
 *
 * bubblewrap's own child asks to die with its parent only after a moment in which it waits for it: killed then, the
 * parent leaves an orphan that waits for ever (seen with 0.8.0). So the parent is stopped, its children are killed
 * while it cannot make another, and then the parent.
 */
export async function killStarting(parent: ChildProcess): Promise<void> {
  const { pid } = parent;
  if (pid === undefined) return;
  parent.kill('SIGSTOP');
  for (let tries = 0; tries < STOP_TRIES; tries += 1) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') X');
    if (/\) [TXZ]/.test(stat)) break;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  for (const child of await childrenOf(pid)) killQuietly(child);
  // Through its handle: a number could be another process by now.
  parent.kill('SIGKILL');
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it is gone already
  }
}

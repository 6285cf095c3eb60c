import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { WorkerGroup } from './cgroup.ts';
import type { CommandLine } from './jail.ts';

/** What a worker process is started with. */
export interface WorkerSpawn {
  readonly line: CommandLine;
  readonly env: Readonly<Record<string, string>>;
  /** uid and gid to drop to; undefined keeps the gateway's own */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
  readonly filterPath: string | undefined;
  /** read-only descriptor that becomes fd 5 */
  readonly scratchFd: number | undefined;
  readonly startTimeoutMs: number;
  readonly isNamespaced: boolean;
  /** control group of the process, where there are any; removed when it is gone */
  readonly group: WorkerGroup | undefined;
  readonly cpuLimitSeconds: number;
}

/** The descriptor on which bubblewrap finds the filter: right after the scratch file, if there is one. */
export const workerFds = {
  input: 3,
  output: 4,
  scratch: 5,
  filter: (hasScratch: boolean): number => (hasScratch ? 6 : 5),
} as const;

/** Starts the process with the pipes of `workerFds` and standard error; every other descriptor stays closed to it. */
export function spawnWorker({ line, env, ids, filterPath, scratchFd }: WorkerSpawn): ChildProcess {
  const stdio: ('ignore' | 'pipe' | number)[] = ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'];
  if (scratchFd !== undefined) stdio.push(scratchFd);
  // Opened anew for each worker: bubblewrap reads to the end, and an inherited offset would be shared.
  const filter = filterPath === undefined ? undefined : openSync(filterPath, 'r');
  if (filter !== undefined) stdio[workerFds.filter(scratchFd !== undefined)] = filter;
  try {
    return spawn(line.command, [...line.args], { stdio, cwd: '/', env: { ...env }, ...ids });
  } finally {
    if (filter !== undefined) closeSync(filter);
  }
}

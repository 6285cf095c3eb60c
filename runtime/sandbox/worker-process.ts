/**
 * One worker process from spawn to close: its pipes, its job limits, and why it ended. The parent enforces the wall
 * clock, the memory, the CPU time and the output of a job from outside, because a worker that runs consumer code may
 * ignore everything it is told.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import {
  FrameDecoder,
  channelLimits,
  frameType,
  parseJsonPayload,
  writeFrame,
  type Frame,
  type FrameType,
} from './channel.ts';
import type { WorkerGroup } from './cgroup.ts';
import { childrenOf, killStarting, type ProcessUsage, usageOf } from './process-table.ts';
import { endOf, startFailure, WorkerFault, type EndReason, type WorkerEnd } from './worker-end.ts';
import type { CommandLine } from './jail.ts';

/** Limits of one job. */
export interface JobLimits {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly memoryMiB: number;
  readonly outputBytes: number;
}

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

const limits = {
  startTextBytes: 4096,
  queuedBytes: 8 * 1024 * 1024,
  watchMs: 100,
  /** looks, one after the other, at which a stopped process is left alone: two seconds */
  stoppedLooks: 20,
  settleMs: 2000,
} as const;

/** What a worker may send while it has a job. */
const jobFrames: ReadonlySet<FrameType> = new Set([
  frameType.DATA,
  frameType.RESULT,
  frameType.FAIL,
  frameType.PROGRESS,
  frameType.CONTROL,
]);

export class WorkerProcess {
  /** Resolves at READY; rejects with a WorkerFault. */
  readonly ready: Promise<Readonly<Record<string, unknown>>>;
  /** Resolves when the process and everything in its jail is gone. Never rejects. */
  readonly closed: Promise<WorkerEnd>;
  /** outer uid, to be given back after `closed` */
  readonly uid: number | undefined;

  readonly #child: ChildProcess;
  readonly #input: Socket;
  readonly #output: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #isNamespaced: boolean;
  readonly #cpuLimitSeconds: number;
  readonly #queue: Frame[] = [];
  #queuedBytes = 0;
  #waiter: { readonly resolve: (frame: Frame) => void; readonly reject: (fault: WorkerFault) => void } | undefined;
  #onReady: ((details: Readonly<Record<string, unknown>>) => void) | undefined;
  #onPong: (() => void) | undefined;
  #isReady = false;
  #startText = '';
  #end: WorkerEnd | undefined;
  #isClosed = false;
  #job:
    | {
        readonly limits: JobLimits;
        bytes: number;
        readonly timer: NodeJS.Timeout;
        cpuAtStartMs: number | undefined;
        stoppedLooks: number;
      }
    | undefined;
  #watch: NodeJS.Timeout | undefined;
  #innerPid: number | undefined;
  #peakRssMiB = 0;
  #cpuMs = 0;

  constructor(options: WorkerSpawn) {
    const hasScratch = options.scratchFd !== undefined;
    const stdio: ('ignore' | 'pipe' | number)[] = ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'];
    if (options.scratchFd !== undefined) stdio.push(options.scratchFd);
    // Opened anew for each worker: bubblewrap reads to the end, and an inherited offset would be shared.
    const filter = options.filterPath === undefined ? undefined : openSync(options.filterPath, 'r');
    if (filter !== undefined) stdio[workerFds.filter(hasScratch)] = filter;
    try {
      this.#child = spawn(options.line.command, [...options.line.args], {
        stdio,
        cwd: '/',
        env: { ...options.env },
        ...options.ids,
      });
    } finally {
      if (filter !== undefined) closeSync(filter);
    }
    this.uid = options.ids?.uid;
    this.#isNamespaced = options.isNamespaced;
    this.#cpuLimitSeconds = options.cpuLimitSeconds;
    this.#input = this.#child.stdio[3] as Socket;
    this.#output = this.#child.stdio[4] as Socket;
    const texts = this.#child.stderr!;
    texts.setEncoding('utf8');
    // Start-up errors only (bubblewrap's first line). After READY the pipe is closed: V8 prints its reports there, and
    // what a worker prints after its first job may hold rows.
    texts.on('data', (text: string) => {
      this.#startText = (this.#startText + text).slice(0, limits.startTextBytes);
    });
    texts.on('error', () => {});
    this.#input.on('error', () => {}); // the end is reported by `close`
    this.#output.on('error', () => {});
    this.#output.on('data', (chunk: Buffer) => this.#receive(chunk));

    // At once: prlimit and bubblewrap take a millisecond each before they make the child that is to be inside as well.
    if (this.#child.pid !== undefined) addQuietly(options.group, this.#child.pid);
    const finished = new Promise<WorkerEnd>((resolve) => {
      this.#child.on('error', (error) => {
        this.#end ??= { reason: 'START_FAILED', detail: error.message };
        if (this.#child.pid === undefined) resolve(this.#finish(null, null));
      });
      // `close`, not `exit`: the outer process is gone at `exit`, the one in the jail only when its pipes are closed.
      this.#child.on('close', (code, signal) => resolve(this.#finish(code, signal)));
      this.#child.once('exit', () => this.#letGo());
    });
    this.closed = finished.then(async (end) => {
      await options.group?.remove();
      return end;
    });
    const startTimer = setTimeout(
      () => void this.kill('START_FAILED', `not ready after ${options.startTimeoutMs} ms`),
      options.startTimeoutMs,
    );
    this.ready = new Promise((resolve, reject) => {
      this.#onReady = (details) => {
        this.#isReady = true;
        clearTimeout(startTimer);
        texts.destroy();
        resolve(this.#joinGroup(options.group).then(() => details));
      };
      void this.closed.then((end) => {
        clearTimeout(startTimer);
        reject(new WorkerFault(end));
      });
    });
    this.ready.catch(() => {});
  }

  /** pid of the process we started (bubblewrap, or the worker itself without namespaces); undefined if none started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Highest resident memory that was seen, in MiB. */
  get peakRssMiB(): number {
    return this.#peakRssMiB;
  }

  /** CPU time of the whole life as last seen, in milliseconds. */
  get cpuMs(): number {
    return this.#cpuMs;
  }

  get hasEnded(): boolean {
    return this.#end !== undefined || this.#isClosed;
  }

  /** Starts the limits of a job. */
  beginJob(job: JobLimits): void {
    if (this.#job !== undefined) throw new Error('the worker has a job already');
    const timer = setTimeout(() => void this.kill('TIMEOUT', `${job.wallMs} ms`), job.wallMs);
    this.#job = { limits: job, bytes: 0, timer, cpuAtStartMs: undefined, stoppedLooks: 0 };
    this.#watch = setInterval(() => void this.#look(), limits.watchMs);
    void this.#look();
  }

  /** Ends the limits of a job; true when the worker left nothing unread behind and may get another. */
  endJob(): boolean {
    clearTimeout(this.#job?.timer);
    clearInterval(this.#watch);
    this.#job = undefined;
    this.#watch = undefined;
    return !this.hasEnded && this.#queue.length === 0 && !this.#decoder.isMidFrame;
  }

  /**
   * Makes sure, between two jobs, that nothing of the last one is still under way: the worker must answer PING with PONG
   * and with nothing else before it. Else it is killed. Resolves to whether it may serve again.
   */
  async settle(): Promise<boolean> {
    if (this.hasEnded || this.#job !== undefined) return false;
    const timer = setTimeout(() => void this.kill('PROTOCOL', 'no answer between two jobs'), limits.settleMs);
    try {
      const answered = new Promise<boolean>((resolve) => {
        this.#onPong = () => resolve(true);
        void this.closed.then(() => resolve(false));
      });
      await this.send(frameType.PING, new Uint8Array(0));
      return (await answered) && !this.hasEnded;
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
      this.#onPong = undefined;
    }
  }

  /** Sends a frame; resolves when the pipe took it, rejects with a WorkerFault when the worker is gone. */
  async send(type: FrameType, payload: Uint8Array): Promise<void> {
    if (this.hasEnded) throw new WorkerFault(await this.closed);
    try {
      await Promise.race([
        writeFrame(this.#input, type, payload),
        this.closed.then((end) => Promise.reject(new WorkerFault(end))),
      ]);
    } catch (error) {
      if (error instanceof WorkerFault || !isBrokenPipe(error)) throw error;
      void this.kill('CRASHED', 'its pipe is closed');
      throw new WorkerFault(await this.closed);
    }
  }

  /** Waits for the next frame of the job in hand; rejects with a WorkerFault when the worker is gone. */
  next(): Promise<Frame> {
    const frame = this.#queue.shift();
    if (frame !== undefined) {
      this.#queuedBytes -= frame.payload.length;
      if (this.#queuedBytes < limits.queuedBytes && this.#output.isPaused()) this.#output.resume();
      return Promise.resolve(frame);
    }
    if (this.#isClosed || this.#end !== undefined)
      return this.closed.then((end) => Promise.reject(new WorkerFault(end)));
    if (this.#waiter !== undefined) throw new Error('a frame is awaited already');
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  /** Kills the worker now (SIGKILL) for this reason, unless it has ended; resolves when it is gone. */
  kill(reason: EndReason, detail = ''): Promise<WorkerEnd> {
    if (this.#end === undefined && !this.#isClosed) {
      this.#end = { reason, detail };
      if (this.#isReady || !this.#isNamespaced) this.#child.kill('SIGKILL');
      else void killStarting(this.#child);
      this.#waiter?.reject(new WorkerFault(this.#end));
      this.#waiter = undefined;
      // A pipe that nobody reads would hold back `close` for as long as unread bytes wait in it.
      this.#output.removeAllListeners('data');
      this.#output.resume();
      this.#queue.length = 0;
    }
    return this.closed;
  }

  /**
   * Closes what leads to a process whose bubblewrap is gone. Somebody who kills bubblewrap itself, in the moment before its
   * child asked to die with it, leaves the child behind: it would hold the pipes open for ever, and ends when they close.
   */
  #letGo(): void {
    const timer = setInterval(() => {
      // What is paused is still read, by a job that takes its time.
      if (this.#output.isPaused()) return;
      clearInterval(timer);
      for (const stream of this.#child.stdio) stream?.destroy();
    }, limits.settleMs);
    this.#child.once('close', () => clearInterval(timer));
  }

  /** On a busy machine bubblewrap may have made its child before it was moved: then the child follows before its first job. */
  async #joinGroup(group: WorkerGroup | undefined): Promise<void> {
    const pid = group === undefined ? undefined : await this.innerPid();
    if (pid !== undefined) addQuietly(group, pid);
  }

  #receive(chunk: Buffer): void {
    if (this.#end !== undefined) return;
    let frames: readonly Frame[];
    try {
      frames = this.#decoder.push(chunk);
    } catch (error) {
      void this.kill('PROTOCOL', (error as Error).message);
      return;
    }
    if (this.#job !== undefined) {
      this.#job.bytes += chunk.length;
      if (this.#job.bytes > this.#job.limits.outputBytes) {
        void this.kill('OUTPUT', `more than ${this.#job.limits.outputBytes} bytes`);
        return;
      }
    }
    for (const frame of frames) this.#take(frame);
  }

  #take(frame: Frame): void {
    if (this.#onReady !== undefined) {
      const details = frame.type === frameType.READY ? readDetails(frame.payload) : undefined;
      if (details === undefined) void this.kill('PROTOCOL', 'the first frame is not READY');
      else this.#onReady(details);
      this.#onReady = undefined;
      return;
    }
    if (frame.type === frameType.PONG && this.#onPong !== undefined && this.#job === undefined) {
      this.#onPong();
      this.#onPong = undefined;
      return;
    }
    if (this.#job === undefined || !jobFrames.has(frame.type) || this.#end !== undefined) {
      void this.kill('PROTOCOL', 'a frame outside a job');
      return;
    }
    if (this.#waiter !== undefined) {
      const { resolve } = this.#waiter;
      this.#waiter = undefined;
      resolve(frame);
      return;
    }
    this.#queue.push(frame);
    this.#queuedBytes += frame.payload.length;
    if (this.#queuedBytes >= limits.queuedBytes) this.#output.pause();
  }

  async #look(): Promise<void> {
    const job = this.#job;
    if (job === undefined || this.#end !== undefined) return;
    const usage = await this.usage();
    if (usage === undefined || this.#job !== job) return;
    job.cpuAtStartMs ??= usage.cpuMs;
    if (usage.rssMiB > job.limits.memoryMiB) void this.kill('MEMORY', `${Math.round(usage.rssMiB)} MiB resident`);
    else if (usage.cpuMs - job.cpuAtStartMs > job.limits.cpuMs)
      void this.kill('CPU', `${usage.cpuMs - job.cpuAtStartMs} ms`);
    // Counted in looks, not by the clock: a gateway that was stopped along with it saw nothing of that time.
    job.stoppedLooks = usage.isStopped ? job.stoppedLooks + 1 : 0;
    if (job.stoppedLooks > limits.stoppedLooks) void this.kill('FROZEN', 'stopped by a signal');
  }

  /** Reads resident memory and CPU time from outside; undefined when the process is gone. */
  async usage(): Promise<ProcessUsage | undefined> {
    const pid = await this.innerPid();
    if (pid === undefined) return undefined;
    const seen = usageOf(pid);
    if (seen === undefined) return undefined;
    this.#peakRssMiB = Math.max(this.#peakRssMiB, seen.rssMiB);
    this.#cpuMs = Math.max(this.#cpuMs, seen.cpuMs);
    return seen;
  }

  /** pid, as seen by the host, of the process inside the jail. */
  async innerPid(): Promise<number | undefined> {
    const outer = this.#child.pid;
    if (outer === undefined || this.#isClosed) return undefined;
    if (!this.#isNamespaced) return outer;
    this.#innerPid ??= (await childrenOf(outer))[0];
    return this.#innerPid;
  }

  #finish(code: number | null, signal: NodeJS.Signals | null): WorkerEnd {
    this.#isClosed = true;
    this.endJob();
    this.#end ??= this.#isReady
      ? endOf(code, signal, this.#cpuMs, this.#cpuLimitSeconds)
      : startFailure(code, signal, this.#startText);
    this.#waiter?.reject(new WorkerFault(this.#end));
    this.#waiter = undefined;
    return this.#end;
  }
}

function addQuietly(group: WorkerGroup | undefined, pid: number): void {
  try {
    group?.add(pid);
  } catch {
    // it is gone already; its end is reported by `close`
  }
}

function readDetails(payload: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const details = parseJsonPayload(payload);
    return details['protocol'] === channelLimits.protocol ? details : undefined;
  } catch {
    return undefined;
  }
}

function isBrokenPipe(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  return ['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END'].includes(code);
}

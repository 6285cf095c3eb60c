/**
 * One worker process from spawn to close: its pipes, its jobs one after the other, and why it ended.
 */
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { WorkerGroup } from './cgroup.ts';
import {
  FrameDecoder,
  channelLimits,
  frameType,
  parseJsonPayload,
  writeFrame,
  type Frame,
  type FrameType,
} from './channel.ts';
import { FrameInbox } from './frame-inbox.ts';
import { JobWatch, type JobLimits } from './job-watch.ts';
import { childrenOf, killStarting, type ProcessUsage, usageOf } from './process-table.ts';
import { spawnWorker, type WorkerSpawn } from './spawn-worker.ts';
import { endOf, startFailure, WorkerFault, type EndReason, type WorkerEnd } from './worker-end.ts';

const limits = {
  startTextBytes: 4096,
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
  readonly #inbox: FrameInbox;
  #onReady: ((details: Readonly<Record<string, unknown>>) => void) | undefined;
  #onPong: (() => void) | undefined;
  #isReady = false;
  #startText = '';
  #end: WorkerEnd | undefined;
  #isClosed = false;
  /** Defined while there is a job, also when the process has ended meanwhile. */
  #job: JobWatch | undefined;
  #innerPid: number | undefined;
  #peakRssMiB = 0;
  #cpuMs = 0;

  constructor(options: WorkerSpawn) {
    this.#child = spawnWorker(options);
    this.uid = options.ids?.uid;
    this.#isNamespaced = options.isNamespaced;
    this.#cpuLimitSeconds = options.cpuLimitSeconds;
    this.#input = this.#child.stdio[3] as Socket;
    this.#output = this.#child.stdio[4] as Socket;
    this.#inbox = new FrameInbox(this.#output);
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
    this.#job = new JobWatch(job, {
      usage: () => this.usage(),
      kill: (reason, detail) => void this.kill(reason, detail),
    });
  }

  /** Ends the limits of a job; true when the worker left nothing unread behind and may get another. */
  endJob(): boolean {
    this.#job?.stop();
    this.#job = undefined;
    return !this.hasEnded && this.#inbox.isEmpty && !this.#decoder.isMidFrame;
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
    const frame = this.#inbox.takeQueued();
    if (frame !== undefined) return Promise.resolve(frame);
    if (this.hasEnded) return this.closed.then((end) => Promise.reject(new WorkerFault(end)));
    return this.#inbox.wait();
  }

  /** Kills the worker now (SIGKILL) for this reason, unless it has ended; resolves when it is gone. */
  kill(reason: EndReason, detail = ''): Promise<WorkerEnd> {
    if (this.#end === undefined && !this.#isClosed) {
      this.#end = { reason, detail };
      if (this.#isReady || !this.#isNamespaced) this.#child.kill('SIGKILL');
      else void killStarting(this.#child);
      this.#job?.stop();
      this.#inbox.fail(new WorkerFault(this.#end));
      // A pipe that nobody reads would hold back `close` for as long as unread bytes wait in it.
      this.#output.removeAllListeners('data');
      this.#output.resume();
      this.#inbox.clear();
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
    if (this.#job?.mayStillSend(chunk.length) === false) return;
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
    this.#inbox.put(frame);
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
    this.#inbox.fail(new WorkerFault(this.#end));
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

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { FrameDecoder, dataPayloads, frameType, jsonPayload, writeFrame } from '../../runtime/sandbox/channel.ts';
import type { Frame, FrameType } from '../../runtime/sandbox/channel.ts';
import { WorkerLost } from '../../runtime/sandbox/javascript/worker-link.ts';
import type { JavaScriptWorker, JavaScriptWorkers, Tier } from '../../runtime/sandbox/javascript/worker-link.ts';

const entry = new URL('../../runtime/sandbox/javascript/worker.ts', import.meta.url).pathname;
export const nodeFlags = ['--no-node-snapshot', '--disable-wasm-trap-handler'] as const;
export const tierFlags: Readonly<Record<Tier, readonly string[]>> = {
  balanced: ['--no-turbofan'],
  strict: ['--jitless'],
};

/** The real worker in a plain child process, without the jail: for tests of what the worker and the gateway say to each other. */
export class PlainWorker implements JavaScriptWorker {
  readonly #child;
  readonly #frames: Frame[] = [];
  readonly #waiting: { resolve: (frame: Frame) => void; reject: (error: Error) => void }[] = [];
  #isGone = false;
  readonly ready: Promise<Frame>;

  constructor(tier: Tier) {
    const data = 700 + 527 * 2;
    const limits = tier === 'strict' ? '--data=1073741824' : `--data=${data * 2 ** 20}`;
    this.#child = spawn(
      'prlimit',
      [limits, '--core=0', '--', process.execPath, ...nodeFlags, ...tierFlags[tier], entry],
      {
        stdio: ['ignore', 'ignore', process.env.WORKER_STDERR === undefined ? 'ignore' : 'inherit', 'pipe', 'pipe'],
        env: { PATH: '/usr/bin:/bin', TZ: 'UTC' },
      },
    );
    const decoder = new FrameDecoder();
    this.#output.on('data', (chunk: Buffer) => {
      try {
        for (const frame of decoder.push(chunk)) this.#take(frame);
      } catch {
        this.#child.kill('SIGKILL');
      }
    });
    this.#input.on('error', () => {});
    this.#output.on('error', () => {});
    this.#child.on('close', () => {
      this.#isGone = true;
      for (const { reject } of this.#waiting.splice(0)) reject(new WorkerLost('the worker is gone'));
    });
    this.ready = this.next();
  }

  get #input(): Socket {
    return this.#child.stdio[3] as Socket;
  }

  get #output(): Socket {
    return this.#child.stdio[4] as Socket;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  #take(frame: Frame): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#frames.push(frame);
    else waiting.resolve(frame);
  }

  send(type: FrameType, payload: Uint8Array): Promise<void> {
    return writeFrame(this.#input, type, payload);
  }

  sendJson(type: FrameType, value: unknown): Promise<void> {
    return this.send(type, jsonPayload(value));
  }

  async sendData(bytes: Uint8Array): Promise<void> {
    for (const part of dataPayloads(bytes)) await this.send(frameType.DATA, part);
  }

  next(): Promise<Frame> {
    const frame = this.#frames.shift();
    if (frame !== undefined) return Promise.resolve(frame);
    if (this.#isGone) return Promise.reject(new WorkerLost('the worker is gone'));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async destroy(): Promise<void> {
    if (this.#isGone) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'close');
  }
}

/** Starts a plain worker per lease. */
export const plainWorkers: JavaScriptWorkers = {
  async lease({ tier }) {
    const worker = new PlainWorker(tier);
    await worker.ready;
    return worker;
  },
};

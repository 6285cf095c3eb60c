import type { Socket } from 'node:net';
import type { Frame } from './channel.ts';
import type { WorkerFault } from './worker-end.ts';

/** Bytes of frames that wait for their reader; beyond it the worker's pipe is not read. */
const maxQueuedBytes = 8 * 1024 * 1024;

/** Frames that a worker sent and its job has not read yet. */
export class FrameInbox {
  readonly #pipe: Socket;
  readonly #queue: Frame[] = [];
  #queuedBytes = 0;
  #reader: { readonly resolve: (frame: Frame) => void; readonly reject: (fault: WorkerFault) => void } | undefined;

  constructor(pipe: Socket) {
    this.#pipe = pipe;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  put(frame: Frame): void {
    if (this.#reader !== undefined) {
      const { resolve } = this.#reader;
      this.#reader = undefined;
      resolve(frame);
      return;
    }
    this.#queue.push(frame);
    this.#queuedBytes += frame.payload.length;
    if (this.#queuedBytes >= maxQueuedBytes) this.#pipe.pause();
  }

  /** The next frame that is here already. */
  takeQueued(): Frame | undefined {
    const frame = this.#queue.shift();
    if (frame === undefined) return undefined;
    this.#queuedBytes -= frame.payload.length;
    if (this.#queuedBytes < maxQueuedBytes && this.#pipe.isPaused()) this.#pipe.resume();
    return frame;
  }

  /** Waits for the next frame that comes; rejects when the worker ends. One reader at a time. */
  wait(): Promise<Frame> {
    if (this.#reader !== undefined) throw new Error('a frame is awaited already');
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  /** Tells whoever waits that nothing more comes. */
  fail(fault: WorkerFault): void {
    this.#reader?.reject(fault);
    this.#reader = undefined;
  }

  /** Forgets what nobody will read. */
  clear(): void {
    this.#queue.length = 0;
  }
}

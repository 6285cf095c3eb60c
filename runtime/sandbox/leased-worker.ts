import { writevSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { dataPayloads, frameType, jsonPayload, type Frame, type FrameType } from './channel.ts';
import type { IsolationLevel } from './manifest.ts';
import type { EndReason } from './worker-end.ts';
import type { WorkerProcess } from './worker-process.ts';

/** A worker in the hands of one job. Exactly one of `release` and `destroy` ends it; later calls do nothing. */
export class LeasedWorker {
  readonly kind: string;
  readonly imageDigest: string;
  readonly tier: string;
  readonly isolation: IsolationLevel;
  readonly #process: WorkerProcess;
  readonly #pathOf: (guestPath: string) => string;
  readonly #scratch: FileHandle | undefined;
  readonly #giveBack: (reason: EndReason | undefined) => Promise<unknown>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => void this.destroy();
  #hasEnded = false;

  constructor(parts: {
    readonly kind: string;
    readonly imageDigest: string;
    readonly tier: string;
    readonly isolation: IsolationLevel;
    readonly process: WorkerProcess;
    readonly pathOf: (guestPath: string) => string;
    readonly scratch: FileHandle | undefined;
    readonly signal: AbortSignal | undefined;
    readonly giveBack: (reason: EndReason | undefined) => Promise<unknown>;
  }) {
    this.kind = parts.kind;
    this.imageDigest = parts.imageDigest;
    this.tier = parts.tier;
    this.isolation = parts.isolation;
    this.#process = parts.process;
    this.#pathOf = parts.pathOf;
    this.#scratch = parts.scratch;
    this.#giveBack = parts.giveBack;
    this.#signal = parts.signal;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (this.#signal?.aborted === true) this.#onAbort();
  }

  /** pid of the outermost process of the worker, as the host sees it. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** The path under which the worker finds a mount, or a file in one: the guest path itself in a jail. */
  pathInWorker(guestPath: string): string {
    return this.#pathOf(guestPath);
  }

  /** Sends one frame; resolves when the pipe took it. Rejects with WorkerFault when the worker is gone. */
  send(type: FrameType, payload: Uint8Array): Promise<void> {
    this.#assertHeld();
    return this.#process.send(type, payload);
  }

  /** Sends one JSON frame. */
  sendJson(type: FrameType, value: unknown): Promise<void> {
    return this.send(type, jsonPayload(value));
  }

  /** Sends bytes of any length as DATA frames, no faster than the worker reads. */
  async sendData(bytes: Uint8Array): Promise<void> {
    for (const part of dataPayloads(bytes)) await this.send(frameType.DATA, part);
  }

  /** Waits for the worker's next frame. Rejects with WorkerFault when the worker is gone, over a limit, or cancelled. */
  next(): Promise<Frame> {
    this.#assertHeld();
    return this.#process.next();
  }

  /** The worker's frames, one after another, for as long as the lease lasts. */
  async *frames(): AsyncGenerator<Frame, never, void> {
    for (;;) yield await this.next();
  }

  /**
   * Writes bytes, or pieces one after the other, into the worker's fd 5 at a position in bytes (images with `scratch: true`),
   * without passing the pipe.
   */
  async writeScratch(bytes: Uint8Array | readonly Uint8Array[], position: number): Promise<void> {
    this.#assertHeld();
    if (this.#scratch === undefined) throw new Error(`image \`${this.kind}\` has no scratch file`);
    const pieces = bytes instanceof Uint8Array ? [bytes] : bytes;
    await writePieces(this.#scratch, pieces, position);
  }

  /** Ends the lease after a clean job. The worker serves again if its image allows and it left nothing behind. */
  release(): void {
    void this.#end(undefined);
  }

  /** Ends the lease by killing the worker at once; resolves when the process is gone. */
  async destroy(): Promise<void> {
    await this.#end('STOPPED');
  }

  async #end(reason: EndReason | undefined): Promise<void> {
    if (this.#hasEnded) return void (reason !== undefined && (await this.#process.closed));
    this.#hasEnded = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    await this.#giveBack(reason);
  }

  #assertHeld(): void {
    if (this.#hasEnded && !this.#process.hasEnded) throw new Error('the worker was given back already');
  }
}

/** What is copied into memory at once on this thread: a thread of the pool would take longer to be asked than this takes. */
const inlineBytes = 4 * 1024 * 1024;

async function writePieces(file: FileHandle, pieces: readonly Uint8Array[], position: number): Promise<void> {
  const size = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  if (size === 0) return;
  const isInline = size <= inlineBytes && pieces.length <= maxVector;
  if (isInline && writevSync(file.fd, [...pieces], position) === size) return;
  // Large, or the file took a part only: piece by piece, each to its end.
  let start = position;
  for (const piece of pieces) {
    for (let at = 0; at < piece.byteLength;) {
      const { bytesWritten } = await file.write(piece, at, piece.byteLength - at, start + at);
      at += bytesWritten;
    }
    start += piece.byteLength;
  }
}

/** Pieces that one `writev` takes (IOV_MAX on Linux). */
const maxVector = 1024;

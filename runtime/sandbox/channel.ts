/**
 * The byte channel between the gateway and a jailed worker: frames of `u32le payload length, u8 type, payload`.
 * The worker reads fd 3 and writes fd 4. Both sides use this file. What a payload means is the business of the
 * worker's kind; this file only bounds it. From its first JOB on a worker counts as hostile, so the decoder
 * refuses everything that is not a whole, known, bounded frame and never tries to resynchronise.
 */
import { closeSync, readSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';

/** Frame types. JSON types carry one JSON object, DATA carries bytes. */
export const frameType = {
  /** worker → gateway, once, when it can take a job: `{ protocol, ... }` */
  READY: 1,
  /** gateway → worker: the job, a JSON object that the kind defines */
  JOB: 2,
  /** both ways: bytes (Arrow IPC, ciphertexts, doubles) */
  DATA: 3,
  /** worker → gateway: the job's end, with its JSON result */
  RESULT: 4,
  /** worker → gateway: the job's end without a result: `{ code }`, never free text */
  FAIL: 5,
  /** worker → gateway: JSON progress */
  PROGRESS: 6,
  /** gateway → worker: stop the job in hand (a courtesy: the gateway kills what does not stop) */
  CANCEL: 7,
  /** both ways: kind-defined JSON in the middle of a job */
  CONTROL: 8,
  /** gateway → worker, between jobs: answer with PONG after everything you have sent. The channel answers by itself. */
  PING: 9,
  /** worker → gateway: what came before it belongs to the job that ended */
  PONG: 10,
} as const;

export type FrameType = (typeof frameType)[keyof typeof frameType];

export interface Frame {
  readonly type: FrameType;
  readonly payload: Buffer;
}

/** Limits of the channel, in bytes, and its protocol number. */
export const channelLimits = {
  protocol: 1,
  headerBytes: 5,
  controlFrameBytes: 1024 * 1024,
  dataFrameBytes: 4 * 1024 * 1024,
  /** deepest nesting of a JSON payload */
  jsonDepth: 32,
} as const;

/** Bytes that are not a frame. After it the stream has no meaning and the peer must be dropped. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError';
}

const knownTypes: ReadonlySet<number> = new Set(Object.values(frameType));

function isFrameType(type: number): type is FrameType {
  return knownTypes.has(type);
}

/** Returns the largest payload, in bytes, that a frame of this type may carry. */
export function payloadLimit(type: FrameType): number {
  return type === frameType.DATA ? channelLimits.dataFrameBytes : channelLimits.controlFrameBytes;
}

function header(type: FrameType, length: number): Buffer {
  if (length > payloadLimit(type)) {
    throw new ChannelError(`frame of type ${type} has ${length} bytes, limit is ${payloadLimit(type)}`);
  }
  const bytes = Buffer.allocUnsafe(channelLimits.headerBytes);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt8(type, 4);
  return bytes;
}

/** Encodes one frame as the two buffers to write; the payload is not copied. Throws ChannelError above the limit. */
export function encodeFrame(type: FrameType, payload: Uint8Array): readonly [Buffer, Uint8Array] {
  return [header(type, payload.byteLength), payload];
}

/** Splits bytes into DATA payloads of at most `channelLimits.dataFrameBytes`, without a copy. */
export function* dataPayloads(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += channelLimits.dataFrameBytes) {
    yield bytes.subarray(at, at + channelLimits.dataFrameBytes);
  }
}

/** Encodes a JSON payload. */
export function jsonPayload(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Parses a JSON payload from a peer: a plain object of bounded depth, else ChannelError. Its fields stay unchecked. */
export function parseJsonPayload(payload: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw new ChannelError('control payload is not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ChannelError('control payload is not a JSON object');
  }
  if (isDeeperThan(value, channelLimits.jsonDepth)) throw new ChannelError('control payload is nested too deeply');
  return value as Readonly<Record<string, unknown>>;
}

function isDeeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depth === 0) return true;
  return Object.values(value).some((child) => isDeeperThan(child, depth - 1));
}

/**
 * Incremental decoder of one direction. It holds at most one unfinished frame, whatever sizes the bytes arrive in; a
 * header that promises more than its type may carry is refused before anything of the payload is kept.
 */
export class FrameDecoder {
  readonly #header: Buffer = Buffer.alloc(channelLimits.headerBytes);
  #headerFilled = 0;
  #body: Buffer | undefined;
  #bodyFilled = 0;
  #isBroken = false;

  /** Says whether bytes of an unfinished frame are held. */
  get isMidFrame(): boolean {
    return this.#headerFilled > 0;
  }

  /** Takes bytes and returns the frames they complete. Throws ChannelError on the first wrong byte, and ever after. */
  push(chunk: Buffer): readonly Frame[] {
    if (this.#isBroken) throw new ChannelError('the stream was already refused');
    const frames: Frame[] = [];
    for (let at = 0; at < chunk.length;) {
      if (this.#headerFilled < channelLimits.headerBytes) {
        const copied = chunk.copy(this.#header, this.#headerFilled, at);
        this.#headerFilled += copied;
        at += copied;
        if (this.#headerFilled < channelLimits.headerBytes) break;
      }
      const type = this.#header.readUInt8(4);
      const length = this.#header.readUInt32LE(0);
      if (!isFrameType(type)) throw this.#broken(`unknown frame type ${type}`);
      if (length > payloadLimit(type)) throw this.#broken(`frame of type ${type} announces ${length} bytes`);
      let payload: Buffer | undefined;
      if (this.#body === undefined && chunk.length - at >= length) {
        payload = chunk.subarray(at, at + length);
        at += length;
      } else {
        this.#body ??= Buffer.allocUnsafeSlow(length);
        const copied = chunk.copy(this.#body, this.#bodyFilled, at);
        this.#bodyFilled += copied;
        at += copied;
        if (this.#bodyFilled === length) payload = this.#body;
      }
      if (payload !== undefined) {
        frames.push({ type, payload });
        this.#body = undefined;
        this.#bodyFilled = 0;
        this.#headerFilled = 0;
      }
    }
    return frames;
  }

  #broken(message: string): ChannelError {
    this.#isBroken = true;
    this.#body = undefined;
    return new ChannelError(message);
  }
}

/** Writes a frame to a stream and resolves when the stream can take more. Rejects when the peer is gone. */
export async function writeFrame(stream: Socket, type: FrameType, payload: Uint8Array): Promise<void> {
  const [head, body] = encodeFrame(type, payload);
  await new Promise<void>((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve());
    stream.cork();
    if (body.byteLength === 0) stream.write(head, done);
    else {
      stream.write(head, (error) => error && reject(error));
      stream.write(body, done);
    }
    stream.uncork();
  });
}

/** Names the descriptors that a worker inherited by accident and must close before anything else, as `7,251`. */
export const strayDescriptorsVariable = 'GLOVEBOX_CLOSE';

/**
 * A gateway may itself have inherited descriptors that a child inherits in turn (a shell's, a supervisor's). Node gives
 * no way to mark them; so the worker, still trusted, closes what the gateway names.
 */
export function closeStrayDescriptors(): void {
  for (const fd of (process.env[strayDescriptorsVariable] ?? '').split(',').filter((word) => /^\d+$/.test(word))) {
    try {
      closeSync(Number(fd));
    } catch {
      // it was gone before the worker was born
    }
  }
  delete process.env[strayDescriptorsVariable];
}

const chunkBytes = { small: 4096, bulk: 256 * 1024 } as const;

/** The worker's end for code that must stay synchronous on the main thread (an isolate host). */
export class SyncWorkerChannel {
  readonly #decoder = new FrameDecoder();
  readonly #queue: Frame[] = [];
  /** Small until bytes come in bulk: a buffer of 256 KiB per announcement would cost more than what it announces. */
  #chunkBytes: number = chunkBytes.small;
  readonly #fds: { readonly input: number; readonly output: number };

  constructor(fds: { readonly input: number; readonly output: number } = { input: 3, output: 4 }) {
    closeStrayDescriptors();
    this.#fds = fds;
  }

  /** Blocks until a frame is there; undefined when the gateway closed its end. */
  read(): Frame | undefined {
    for (;;) {
      const frame = this.#queue.shift();
      if (frame?.type === frameType.PING) {
        this.send(frameType.PONG, frame.payload);
        continue;
      }
      if (frame !== undefined) return frame;
      // A fresh buffer per read: payloads are views of it.
      const chunk = Buffer.allocUnsafeSlow(this.#chunkBytes);
      const size = retryWhileBusy(() => readSync(this.#fds.input, chunk, 0, chunk.length, null));
      if (size === 0) return undefined;
      this.#chunkBytes = size >= chunkBytes.small ? chunkBytes.bulk : chunkBytes.small;
      this.#queue.push(...this.#decoder.push(chunk.subarray(0, size)));
    }
  }

  /** Blocks until the pipe took the whole frame. */
  send(type: FrameType, payload: Uint8Array): void {
    for (const part of encodeFrame(type, payload)) {
      for (let at = 0; at < part.byteLength;) {
        at += retryWhileBusy(() => writeSync(this.#fds.output, part, at, part.byteLength - at));
      }
    }
  }

  /** Sends one JSON frame. */
  sendJson(type: FrameType, value: unknown): void {
    this.send(type, jsonPayload(value));
  }

  /** Sends bytes of any length as DATA frames. */
  sendData(bytes: Uint8Array): void {
    for (const part of dataPayloads(bytes)) this.send(frameType.DATA, part);
  }

  /** Tells the gateway that this worker can take a job. */
  ready(details: Readonly<Record<string, unknown>> = {}): void {
    this.sendJson(frameType.READY, { protocol: channelLimits.protocol, node: process.version, ...details });
  }
}

const nap = new Int32Array(new SharedArrayBuffer(4));

/** The pipe is a socket pair and may be non-blocking in the child: EAGAIN means wait, not fail. */
function retryWhileBusy(step: () => number): number {
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 20)) {
    try {
      return step();
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EINTR') continue;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(nap, 0, 0, waitMs);
    }
  }
}

import type { Http2Stream } from 'node:http2';
import type { Readable, Writable } from 'node:stream';
import { Fault } from './fault.ts';
import type { RpcLimits } from './limits.ts';

/** A stream of a call: grpc-js emits `cancelled` when the call ends, whoever ended it. */
export interface CancellableWritable extends Writable {
  readonly cancelled: boolean;
}

/**
 * Sends messages with a bound on the bytes that are on their way: grpc-js alone would keep 16 messages per slow reader,
 * whatever their size.
 */
export class Outgoing {
  readonly #call: CancellableWritable;
  readonly #signal: AbortSignal;
  readonly #limits: Pick<RpcLimits, 'maxOutgoingBytes' | 'readerPauseMs'>;
  #hasBegun = false;
  #bytes = 0;
  #wake: (() => void) | null = null;

  constructor(
    call: CancellableWritable,
    signal: AbortSignal,
    limits: Pick<RpcLimits, 'maxOutgoingBytes' | 'readerPauseMs'>,
  ) {
    this.#call = call;
    this.#signal = signal;
    this.#limits = limits;
    call.on('close', () => this.#wake?.());
    signal.addEventListener('abort', () => this.#wake?.());
  }

  /**
   * Takes one message and waits while too much is on its way. False when the call is over; throws the fault
   * `reader-too-slow` when nothing was read for `readerPauseMs`.
   */
  async send(message: Uint8Array): Promise<boolean> {
    return await this.#send(message, this.#limits.maxOutgoingBytes, (done) => void this.#call.write(message, done));
  }

  /**
   * The same for a message whose memory is lent: it is no longer used when this resolves to true. Messages behind the
   * first go to the HTTP/2 stream itself when there is one, because grpc-js copies each into new memory.
   */
  async sendLent(message: Uint8Array, stream: Pick<Http2Stream, 'cork' | 'uncork' | 'write'> | null): Promise<boolean> {
    // The first one takes the headers with it.
    const isDirect = this.#hasBegun && stream !== null;
    this.#hasBegun = true;
    return await this.#send(message, 0, (done) => {
      if (!isDirect) return void this.#call.write(message, done);
      const prefix = Buffer.alloc(GRPC_PREFIX_BYTES);
      prefix.writeUInt32BE(message.byteLength, 1);
      stream.cork();
      stream.write(prefix);
      stream.write(message, done);
      stream.uncork();
    });
  }

  async #send(message: Uint8Array, maxBytes: number, write: (done: () => void) => void): Promise<boolean> {
    if (this.#isOver()) return false;
    this.#bytes += message.byteLength;
    write(() => {
      this.#bytes -= message.byteLength;
      this.#wake?.();
    });
    while (this.#bytes > maxBytes && !this.#isOver()) await this.#somethingRead();
    return !this.#isOver();
  }

  #isOver(): boolean {
    return this.#signal.aborted || this.#call.cancelled || this.#call.destroyed;
  }

  async #somethingRead(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const pauseMs = this.#limits.readerPauseMs;
    const timer = setTimeout(() => reject(new Fault('reader-too-slow', `nothing was read for ${pauseMs} ms`)), pauseMs);
    this.#wake = resolve;
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#wake = null;
    }
  }
}

/** A byte that says `not compressed` and four of length, before each message. */
const GRPC_PREFIX_BYTES = 5;

/**
 * The messages of an upload, decoded one by one as the application asks for them. Throws the fault `cancelled` when the
 * client leaves before the end, and `upload-too-slow` when it pauses for longer than `pauseMs`.
 */
export async function* receive<Message>(
  call: Readable,
  decode: (bytes: Uint8Array) => Message,
  options: { readonly signal: AbortSignal; readonly pauseMs: number },
): AsyncGenerator<Message, void, void> {
  // Leaving the loop early must not destroy the call: the response is still to be written on it.
  const messages = call.iterator({ destroyOnReturn: false });
  for (;;) {
    const next = await withinPause(messages.next() as Promise<IteratorResult<Uint8Array, void>>, options);
    if (next.done === true) return;
    yield decode(next.value);
  }
}

/** Stops waiting for `promise` when the signal aborts or after `pauseMs`. */
async function withinPause<Value>(
  promise: Promise<Value>,
  options: { readonly signal: AbortSignal; readonly pauseMs: number },
): Promise<Value> {
  const { promise: over, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new Fault('cancelled', 'the client left before the end of the upload'));
  if (options.signal.aborted) onAbort();
  options.signal.addEventListener('abort', onAbort);
  const timer = setTimeout(
    () => reject(new Fault('upload-too-slow', `no part of the upload arrived for ${options.pauseMs} ms`)),
    options.pauseMs,
  );
  try {
    return await Promise.race([promise, over]);
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener('abort', onAbort);
  }
}

/** Runs through `items` until they end or the signal aborts; a producer that hangs does not hold the caller. */
export async function* untilAborted<Item>(
  items: AsyncIterable<Item>,
  signal: AbortSignal,
): AsyncGenerator<Item, void, void> {
  const iterator = items[Symbol.asyncIterator]();
  const { promise: aborted, resolve } = Promise.withResolvers<{ readonly done: true; readonly value: undefined }>();
  const onAbort = (): void => resolve({ done: true, value: undefined });
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort);
  let isFinished = false;
  try {
    while (!signal.aborted) {
      const next = await Promise.race([iterator.next(), aborted]);
      if (next.done === true) {
        isFinished = !signal.aborted;
        return;
      }
      yield next.value;
    }
  } catch (thrown) {
    isFinished = true;
    throw thrown;
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Not awaited: a producer that hangs in `next` would hang here too. Its own clean-up runs when it wakes up.
    if (!isFinished) void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

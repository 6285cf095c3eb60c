import { Client, credentials, Metadata, type CallOptions as GrpcOptions } from '@grpc/grpc-js';
import type protobuf from 'protobufjs';
import type { CredentialBundle } from '../identity/credential.ts';
import type { CallOptions } from '../rpc/call.ts';
import { lowerFirst } from '../rpc/names.ts';
import { schema } from '../rpc/schema.ts';
import { codecOf } from '../rpc/translate.ts';
import { errorOf, GloveboxError } from './error.ts';

export interface ChannelOptions {
  /** `host:port`. */
  readonly server: string;
  /** null: plain text, for an insecure server on this machine. */
  readonly credential: CredentialBundle | null;
  /** Milliseconds for one unary call; default 120,000. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 120_000;
/** Without it a stream moves 64 KiB per round trip. */
const FLOW_CONTROL_WINDOW = 8 << 20;
const MAX_MESSAGE_BYTES = 16 << 20;

/** One HTTP/2 connection to a runtime and the calls on it. */
export class Channel {
  readonly #client: Client;
  readonly #timeoutMs: number;

  constructor(options: ChannelOptions) {
    const { credential } = options;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#client = new Client(
      options.server,
      credential === null
        ? credentials.createInsecure()
        : credentials.createSsl(
            Buffer.from(credential.ca),
            Buffer.from(credential.key),
            Buffer.from(credential.certificate),
          ),
      {
        'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW,
        'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
        'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
        'grpc.keepalive_time_ms': 60_000,
        'grpc.enable_http_proxy': 0,
        'grpc.use_local_subchannel_pool': 1,
        ...(credential === null ? {} : { 'grpc.ssl_target_name_override': credential.serverName }),
      },
    );
  }

  close(): void {
    this.#client.close();
  }

  async unary(
    path: string,
    request: Buffer,
    options: CallOptions = {},
    headers: Metadata = new Metadata(),
  ): Promise<Buffer> {
    options.signal?.throwIfAborted();
    return await new Promise<Buffer>((resolve, reject) => {
      const onAbort = (): void => call.cancel();
      const call = this.#client.makeUnaryRequest(
        path,
        same,
        same,
        request,
        headers,
        this.#limits(options),
        (error, answer) => {
          options.signal?.removeEventListener('abort', onAbort);
          if (error !== null) reject(errorOf(error));
          else if (answer === undefined) reject(new GloveboxError('the runtime sent no answer', { status: 13 }));
          else resolve(answer);
        },
      );
      options.signal?.addEventListener('abort', onAbort);
    });
  }

  /** A stream of responses; leaving the loop early cancels the call. */
  async *serverStream(path: string, request: Buffer, options: CallOptions = {}): AsyncGenerator<Buffer, void, void> {
    options.signal?.throwIfAborted();
    const call = this.#client.makeServerStreamRequest(
      path,
      same,
      same,
      request,
      new Metadata(),
      this.#deadline(options),
    );
    yield* read(call, options);
  }

  /** A stream both ways; requests are pulled as the runtime takes them. */
  async *duplex(
    path: string,
    requests: AsyncIterable<Buffer>,
    options: CallOptions = {},
  ): AsyncGenerator<Buffer, void, void> {
    options.signal?.throwIfAborted();
    const call = this.#client.makeBidiStreamRequest(path, same, same, new Metadata(), this.#deadline(options));
    const sending = send(call, requests);
    try {
      yield* read(call, options);
    } finally {
      const failure = await sending;
      // The caller's own iterable failed: that is the error to see, not the cancellation that followed.
      // eslint-disable-next-line no-unsafe-finally
      if (failure !== null) throw failure;
    }
  }

  #limits(options: CallOptions): GrpcOptions {
    return { deadline: Date.now() + (options.timeoutMs ?? this.#timeoutMs) };
  }

  #deadline(options: CallOptions): GrpcOptions {
    return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
  }
}

type ReadableCall = AsyncIterable<Buffer> & { cancel(): void };
type DuplexCall = ReadableCall & {
  write(message: Buffer): boolean;
  end(): void;
  once(event: string, listener: () => void): unknown;
  readonly destroyed: boolean;
};

async function* read(call: ReadableCall, options: CallOptions): AsyncGenerator<Buffer, void, void> {
  const onAbort = (): void => call.cancel();
  options.signal?.addEventListener('abort', onAbort);
  let isFinished = false;
  try {
    for await (const message of call) yield message;
    isFinished = true;
  } catch (thrown) {
    isFinished = true;
    throw errorOf(thrown);
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
    if (!isFinished) call.cancel();
  }
}

async function send(call: DuplexCall, requests: AsyncIterable<Buffer>): Promise<Error | null> {
  let isOver = false;
  const { promise: over, resolve } = Promise.withResolvers<void>();
  for (const event of ['close', 'end', 'error', 'status']) {
    call.once(event, () => {
      isOver = true;
      resolve();
    });
  }
  try {
    for await (const request of requests) {
      if (isOver) break;
      if (!call.write(request)) {
        await Promise.race([new Promise<void>((drained) => call.once('drain', drained)), over]);
      }
    }
    if (!isOver) call.end();
    return null;
  } catch (thrown) {
    call.cancel();
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

/** A typed client of one service of package glovebox.v1: one function per rpc. */
export function serviceClient<Service>(channel: Channel, name: string): Service {
  const service = schema().lookupService(`glovebox.v1.${name}`);
  const functions = service.methodsArray.map((method) => [lowerFirst(method.name), functionOf(channel, name, method)]);
  return Object.fromEntries(functions) as Service;
}

function functionOf(channel: Channel, service: string, method: protobuf.Method): unknown {
  const path = `/glovebox.v1.${service}/${method.name}`;
  const request = codecOf(method.requestType);
  const response = codecOf(method.responseType);
  const decoded = async function* (answers: AsyncIterable<Buffer>): AsyncGenerator<unknown, void, void> {
    for await (const answer of answers) yield response.decode(answer);
  };
  if (method.requestStream === true) {
    return (requests: AsyncIterable<unknown> | Iterable<unknown>, options?: CallOptions) => {
      const encoded = async function* (): AsyncGenerator<Buffer, void, void> {
        for await (const one of requests) yield request.encode(one);
      };
      return decoded(channel.duplex(path, encoded(), options));
    };
  }
  if (method.responseStream === true) {
    return (plain: unknown, options?: CallOptions) =>
      decoded(channel.serverStream(path, request.encode(plain), options));
  }
  return async (plain: unknown, options?: CallOptions) =>
    response.decode(await channel.unary(path, request.encode(plain), options));
}

import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  ServerDuplexStream,
  ServerWritableStream,
  StatusObject,
} from '@grpc/grpc-js';
import type { Caller } from '../identity/party.ts';
import type { Denied } from '../policy/reason.ts';
import type { Admissions } from './admission.ts';
import type { CallContext, SignedRequest } from './call.ts';
import { statusFor, statusOf, statusOfDenial, type RpcLog } from './error-detail.ts';
import { Fault } from './fault.ts';
import type { RpcLimits } from './limits.ts';
import { Outgoing, receive, untilAborted } from './streams.ts';
import type { Codec } from './translate.ts';

export interface HandleNeeds {
  readonly admissions: Admissions;
  readonly limits: RpcLimits;
  readonly log: RpcLog;
}

/** One rpc between wire and application. */
export interface Rpc {
  /** `/glovebox.v1.JobService/Submit` */
  readonly path: string;
  readonly request: Codec;
  readonly response: Codec;
  /** Verifies the request's signature, where the rpc has one; throws when it is wrong. */
  readonly signatureOf: ((caller: Caller, request: unknown) => SignedRequest | null) | null;
}

interface CallLike {
  readonly metadata: Metadata;
  /** True from the moment the call is over, however it ended; `cancelled` is told once, at that moment. */
  readonly cancelled: boolean;
  getDeadline(): Date | number;
  on(event: 'cancelled', listener: () => void): unknown;
}

export interface Started {
  readonly caller: Caller;
  readonly context: CallContext;
}

/** Why every call's signal aborts in the end; made once, because an error of its own for each call costs more than most calls. */
const CALL_IS_OVER = new DOMException('the call is over', 'AbortError');

/** The caller of an admitted call, and a context whose signal aborts when the call is over. */
export function startCall(needs: HandleNeeds, call: CallLike): Started {
  const { caller, callId } = needs.admissions.of(call.metadata);
  const controller = new AbortController();
  const longest = setTimeout(() => controller.abort(CALL_IS_OVER), needs.limits.maxCallMs).unref();
  call.on('cancelled', () => {
    clearTimeout(longest);
    controller.abort(CALL_IS_OVER);
  });
  const deadline = Number(call.getDeadline());
  const deadlineAtMs = Number.isFinite(deadline) ? deadline : null;
  return { caller, context: { signal: controller.signal, deadlineAtMs, callId, signedRequest: null } };
}

export function unaryHandler(
  needs: HandleNeeds,
  rpc: Rpc,
  run: (caller: Caller, request: unknown, call: CallContext, headers: Metadata) => Promise<unknown>,
): handleUnaryCall<Buffer, Buffer> {
  return (call, callback) => {
    const answer = async (): Promise<void> => {
      let outcome: Buffer | StatusObject;
      try {
        const { caller, context } = startCall(needs, call);
        const request = rpc.request.decodeRequest(call.request);
        const signedRequest = rpc.signatureOf?.(caller, request) ?? null;
        let answer: unknown;
        try {
          answer = await run(caller, request, { ...context, signedRequest }, call.metadata);
        } catch (thrown) {
          throw namingNothing(rpc, request, thrown);
        }
        outcome = responseOf(rpc, answer);
      } catch (thrown) {
        // What a call that is already gone ended with concerns nobody.
        if (call.cancelled) return;
        outcome = statusOf(thrown, needs.log, rpc.path);
      }
      limitTail(needs, call);
      if (Buffer.isBuffer(outcome)) callback(null, outcome);
      else callback(outcome);
    };
    void answer().catch((thrown: unknown) => abandon(needs, rpc.path, call, thrown));
  };
}

export function serverStreamHandler(
  needs: HandleNeeds,
  rpc: Rpc,
  run: (caller: Caller, request: unknown, call: CallContext) => AsyncIterable<unknown>,
): handleServerStreamingCall<Buffer, Buffer> {
  return (call) => {
    void respond(needs, rpc.path, call, (started) => {
      const request = rpc.request.decodeRequest(call.request);
      const signedRequest = rpc.signatureOf?.(started.caller, request) ?? null;
      return encoded(rpc, named(rpc, request, run(started.caller, request, { ...started.context, signedRequest })));
    });
  };
}

/** Both shapes of client streaming; `run` answers a stream or, where the rpc has one response, a promise. */
export function uploadHandler(
  needs: HandleNeeds,
  rpc: Rpc,
  run: (
    caller: Caller,
    requests: AsyncIterable<unknown>,
    call: CallContext,
  ) => AsyncIterable<unknown> | Promise<unknown>,
): handleBidiStreamingCall<Buffer, Buffer> {
  return (call) => {
    void respond(needs, rpc.path, call, ({ caller, context }) => {
      const pause = { signal: context.signal, pauseMs: needs.limits.uploadPauseMs };
      const requests = whileAdmitted(needs, call, receive(call, rpc.request.decodeRequest, pause));
      const answer = run(caller, requests, context);
      return encoded(rpc, Symbol.asyncIterator in answer ? answer : once(answer));
    });
  };
}

/**
 * Writes a stream of encoded messages under back-pressure and ends the call with the right status. With `isLent` each
 * message is sent before the next is asked for, and not copied.
 */
export async function respond(
  needs: HandleNeeds,
  path: string,
  call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
  start: (started: Started) => AsyncIterable<Uint8Array>,
  { isLent = false }: { readonly isLent?: boolean } = {},
): Promise<void> {
  try {
    const started = startCall(needs, call);
    const { signal } = started.context;
    const outgoing = new Outgoing(call, signal, needs.limits);
    for await (const message of whileAdmitted(needs, call, untilAborted(start(started), signal))) {
      const isSent = isLent
        ? await outgoing.sendLent(message, needs.admissions.of(call.metadata).stream)
        : await outgoing.send(message);
      if (!isSent) break;
    }
    if (signal.aborted && !call.cancelled) {
      throw new Fault('deadline-exceeded', 'the call was longer than the longest call');
    }
    call.end();
  } catch (thrown) {
    if (call.cancelled) return;
    if (thrown instanceof Fault && thrown.code === 'reader-too-slow') {
      // The status would wait behind what is not read.
      needs.admissions.reset(call.metadata);
      return;
    }
    call.emit(
      'error',
      thrown instanceof NoLongerAdmitted
        ? thrown.status
        : thrown instanceof DeniedStream
          ? statusOfDenial(thrown.denied)
          : statusOf(thrown, needs.log, path),
    );
  }
  limitTail(needs, call);
}

/** A call whose answer cannot even be sent ends by itself: what one caller sent must not end the work of all others. */
function abandon(needs: HandleNeeds, path: string, call: CallLike, thrown: unknown): void {
  statusOf(thrown, needs.log, path);
  needs.admissions.reset(call.metadata);
}

/** A reader that leaves the end of a response unread must not hold the call, and the memory of what it was sent. */
function limitTail(needs: HandleNeeds, call: CallLike): void {
  // Over already: no event would end the timer, and it would hold all that the call held.
  if (call.cancelled) return;
  const tail = setTimeout(() => needs.admissions.reset(call.metadata), needs.limits.readerPauseMs).unref();
  call.on('cancelled', () => clearTimeout(tail));
}

/**
 * The messages of a stream, until its party is suspended or its certificate ends: admission was decided when the call
 * began, and a stream can last for hours.
 */
async function* whileAdmitted<Message>(
  needs: HandleNeeds,
  call: CallLike,
  messages: AsyncIterable<Message>,
): AsyncGenerator<Message, void, void> {
  let [seen, lookedAt] = [0, Number.NEGATIVE_INFINITY];
  for await (const message of messages) {
    const now = performance.now();
    if (seen++ < MESSAGES_OF_FEW || now - lookedAt >= ADMITTED_FOR_MS) {
      const status = await needs.admissions.of(call.metadata).refusedNow();
      if (status !== null && !call.cancelled) throw new NoLongerAdmitted(status);
      lookedAt = now;
    }
    yield message;
  }
}

/** A large result is thousands of messages: not before each of them. */
const MESSAGES_OF_FEW = 64;
const ADMITTED_FOR_MS = 100;

class NoLongerAdmitted extends Error {
  readonly status: StatusObject;
  constructor(status: StatusObject) {
    super(status.details);
    this.status = status;
  }
}

class DeniedStream extends Error {
  readonly denied: Denied;
  constructor(denied: Denied) {
    super('denied');
    this.denied = denied;
  }
}

async function* encoded(rpc: Rpc, answers: AsyncIterable<unknown>): AsyncGenerator<Buffer> {
  for await (const answer of answers) {
    const response = responseOf(rpc, answer);
    if (!Buffer.isBuffer(response)) throw new DeniedStream(answer as Denied);
    yield response;
  }
}

async function* once(promise: Promise<unknown>): AsyncGenerator<unknown> {
  yield await promise;
}

/** A denial is an answer where the response has room for reasons, and a status where it has not. */
function responseOf(rpc: Rpc, answer: unknown): Buffer | StatusObject {
  if (!isDenied(answer)) return rpc.response.encode(answer);
  if (!rpc.response.has('reasons')) return statusOfDenial(answer);
  return rpc.response.encode({ reasons: answer.reasons });
}

function isDenied(answer: unknown): answer is Denied {
  return typeof answer === 'object' && answer !== null && 'kind' in answer && answer.kind === 'denied';
}

async function* named(rpc: Rpc, request: unknown, answers: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* answers;
  } catch (thrown) {
    throw namingNothing(rpc, request, thrown);
  }
}

/** What was not found because the request does not name it is a field that was forgotten, and which. */
function namingNothing(rpc: Rpc, request: unknown, thrown: unknown): unknown {
  const { subject } = rpc.request;
  if (!(thrown instanceof Fault) || thrown.code !== 'not-found' || subject === null) return thrown;
  if ((request as Readonly<Record<string, unknown>>)[subject] !== '') return thrown;
  return new Fault('argument-not-valid', `\`${subject}\` is empty: name what the request is about`);
}

/** The handler of an rpc that the application does not have. */
export function notAvailable(path: string): StatusObject {
  return statusFor('not-available', `${path.slice(1)} is not available in this runtime`);
}

import { randomBytes } from 'node:crypto';
import { constants, type Http2Stream } from 'node:http2';
import {
  ServerInterceptingCall,
  type Metadata,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type StatusObject,
} from '@grpc/grpc-js';
import type { Caller } from '../identity/party.ts';
import type { Application } from './application.ts';
import { statusFor, statusOf, type RpcLog } from './error-detail.ts';
import type { RpcLimits } from './limits.ts';
import type { ConnectionProof } from './listener.ts';
import type { RateLimit } from './rate-limit.ts';
import { FAULTS } from './status.ts';
import { Unpacking } from './unpacking.ts';

export interface AdmissionNeeds {
  readonly application: Pick<Application, 'identify' | 'insecureCaller'>;
  readonly limits: RpcLimits;
  readonly rateLimit: RateLimit;
  readonly log: RpcLog;
  readonly now: () => number;
  readonly isDraining: () => boolean;
  readonly proofOf: (call: ServerInterceptingCallInterface) => ConnectionProof | null;
  /** Hears that a party has called on the connection of a call. */
  readonly called: (call: ServerInterceptingCallInterface, party: string) => void;
  /** Hears that a call was refused because no party is known behind its connection. */
  readonly refused: (call: ServerInterceptingCallInterface) => void;
  /** Closes the connection of a call. */
  readonly disconnect: (call: ServerInterceptingCallInterface) => void;
}

/** What admission found out about a call. */
export interface Admitted {
  readonly caller: Caller;
  readonly callId: string;
  /** Ends the call at once, without a status. */
  readonly reset: () => void;
  /** Why its party may not call any more, which can end while a stream is open; null: it may. */
  readonly refusedNow: () => Promise<StatusObject | null>;
  /** The HTTP/2 stream of the call; null when grpc-js does not show it. */
  readonly stream: Http2Stream | null;
}

/**
 * Decides about a call before its message is read: who calls, whether the party may call now, how often and how many at
 * once. What it found is kept beside the call, keyed by the metadata *object* — no header can set it.
 */
export class Admissions {
  readonly #admitted = new WeakMap<Metadata, Admitted>();
  readonly #openCalls = new Map<string, number>();
  /** Bytes of single requests that are open, by party. */
  readonly #heldBytes = new Map<string, number>();
  readonly #unpacking = new Unpacking();
  readonly #needs: AdmissionNeeds;

  constructor(needs: AdmissionNeeds) {
    this.#needs = needs;
  }

  /** What admission found out about the call with this metadata; throws for a call that was not admitted. */
  of(metadata: Metadata): Admitted {
    const admitted = this.#admitted.get(metadata);
    // INVARIANT: no handler runs for a call that was not admitted.
    if (admitted === undefined) throw new Error('a handler was reached by a call that was not admitted');
    return admitted;
  }

  /** Ends a call whose reader does not read, so that not even a status would arrive. */
  reset(metadata: Metadata): void {
    this.of(metadata).reset();
  }

  /** Calls that are open now. */
  get openCalls(): number {
    let sum = 0;
    for (const count of this.#openCalls.values()) sum += count;
    return sum;
  }

  interceptor(): ServerInterceptor {
    return (method, call) => {
      let party: string | null = null;
      let held = 0;
      let isOver = false;
      let hasAskedAll = false;
      let arrival: NodeJS.Timeout | undefined;
      const refuse = (status: StatusObject): void => {
        clearTimeout(arrival);
        if (!isOver) call.sendStatus(status);
      };
      /** Counts what the call holds, or no longer holds; whether its party may. */
      const hold = (bytes: number): boolean => {
        if (isOver || party === null) return true;
        held += bytes;
        return this.#hold(party, bytes);
      };
      const unpacked = this.#unpacking.guard(call, () => party, hold, TOO_MUCH_HELD);
      return new ServerInterceptingCall(call, {
        start: (proceed) => {
          proceed({
            onReceiveMetadata: (metadata, next) => {
              const admit = async (): Promise<void> => {
                const outcome = await this.#admit(call, method.path, metadata);
                if (isOver) return;
                if (outcome.kind === 'refused') {
                  refuse(outcome.status);
                  return;
                }
                party = outcome.caller.party;
                this.#needs.called(call, party);
                this.#openCalls.set(party, (this.#openCalls.get(party) ?? 0) + 1);
                this.#admitted.set(metadata, {
                  caller: outcome.caller,
                  callId: randomBytes(8).toString('hex'),
                  reset: () => reset(call, this.#needs.disconnect),
                  refusedNow: async () => {
                    const again = await this.#identify(call);
                    return 'status' in again ? again.status : null;
                  },
                  stream: streamOf(call),
                });
                if (!method.requestStream) {
                  streamOf(call)?.on('data', ({ length }: Uint8Array) => {
                    if (hold(length)) return;
                    refuse(TOO_MUCH_HELD);
                    closeSoon(call, 0);
                  });
                  // Slow loris: a unary request that trickles in holds a stream and memory.
                  arrival = setTimeout(
                    () => refuse(statusFor('upload-too-slow', 'the request did not arrive in time')),
                    this.#needs.limits.requestTimeoutMs,
                  ).unref();
                }
                next(metadata);
              };
              admit().catch((thrown: unknown) => refuse(statusOf(thrown, this.#needs.log, method.path)));
            },
            onReceiveMessage: (message, next) => {
              // Who reads an upload is its application; a single request is held until it is answered.
              if (method.requestStream) hold(-(unpacked.get(message as Buffer) ?? 0));
              next(message);
            },
            onReceiveHalfClose: (next) => {
              hasAskedAll = true;
              clearTimeout(arrival);
              next();
            },
            // Called once for every call, however it ended.
            onCancel: () => {
              isOver = true;
              clearTimeout(arrival);
              if (!hasAskedAll) closeSoon(call, this.#needs.limits.requestTimeoutMs);
              if (party === null) return;
              this.#hold(party, -held);
              held = 0;
              const left = (this.#openCalls.get(party) ?? 1) - 1;
              if (left === 0) this.#openCalls.delete(party);
              else this.#openCalls.set(party, left);
            },
          });
        },
      });
    };
  }

  /** Counts bytes that a party's requests hold, or no longer hold; whether they may. */
  #hold(party: string, bytes: number): boolean {
    const sum = (this.#heldBytes.get(party) ?? 0) + bytes;
    if (sum > 0) this.#heldBytes.set(party, sum);
    else this.#heldBytes.delete(party);
    return sum <= this.#needs.limits.maxRequestBytesPerParty;
  }

  async #admit(
    call: ServerInterceptingCallInterface,
    method: string,
    metadata: Metadata,
  ): Promise<
    { readonly kind: 'ok'; readonly caller: Caller } | { readonly kind: 'refused'; readonly status: StatusObject }
  > {
    const { limits, rateLimit, now } = this.#needs;
    const identified = await this.#identify(call);
    if ('status' in identified) {
      this.#needs.refused(call);
      return { kind: 'refused', status: identified.status };
    }
    const { caller } = identified;
    if (bytesOf(metadata) > limits.maxMetadataBytes) {
      const message = `the headers are larger than ${limits.maxMetadataBytes} bytes`;
      return { kind: 'refused', status: statusFor('message-too-large', message) };
    }
    if (this.#needs.isDraining() && REFUSED_WHILE_DRAINING.has(method)) {
      return { kind: 'refused', status: statusFor('draining', 'the runtime is shutting down and takes no new work') };
    }
    const waitMs = rateLimit.take(caller.party, now());
    if (waitMs > 0) {
      const message = `more than ${limits.callsPerSecond} calls per second; try again in ${waitMs} ms`;
      return { kind: 'refused', status: statusFor('rate-exceeded', message, { retryAfterMs: waitMs }) };
    }
    if ((this.#openCalls.get(caller.party) ?? 0) >= limits.maxStreamsPerParty) {
      const message = `more than ${limits.maxStreamsPerParty} open calls of one party`;
      return { kind: 'refused', status: statusFor('too-many-streams', message) };
    }
    return { kind: 'ok', caller };
  }

  async #identify(
    call: ServerInterceptingCallInterface,
  ): Promise<{ readonly caller: Caller } | { readonly status: StatusObject }> {
    const { application, now } = this.#needs;
    const proof = this.#needs.proofOf(call);
    if (proof === null) return { status: statusFor('credential-missing', 'the connection is gone') };
    if (proof.kind === 'none') return { status: STRANGERS[proof.problem] };
    if (proof.kind === 'insecureLoopback') {
      const caller = application.insecureCaller;
      if (caller === null) return { status: STRANGERS.missing };
      return { caller: { ...caller, isInsecureLoopback: true } };
    }
    // The connection may be older than the end of the certificate.
    if (proof.credential.notAfterMs <= now()) return { status: STRANGERS.expired };
    const identified = await application.identify(proof.credential);
    if (identified.kind === 'known') return { caller: identified.caller };
    const { reason } = identified;
    const named = Object.hasOwn(FAULTS, reason.code) ? (reason.code as keyof typeof FAULTS) : null;
    const fallback = identified.kind === 'unknown' ? 'credential-unknown' : 'party-not-admitted';
    return { status: statusFor(named ?? fallback, reason.message, { reasons: [reason] }) };
  }
}

const TOO_MUCH_HELD = statusFor(
  'rate-exceeded',
  'your open requests hold more bytes than one party may: let some of them end',
  { retryAfterMs: 1000 },
);

/** Size of the header block as HTTP/2 counts it (RFC 9113 §6.5.2): 32 bytes for each field, names and values. */
function bytesOf(metadata: Metadata): number {
  return Object.entries(metadata.toHttp2Headers()).reduce((sum, [name, value]) => {
    const values = Array.isArray(value) ? value : [String(value ?? '')];
    return sum + values.reduce((inner, one) => inner + 32 + name.length + one.length, 0);
  }, 0);
}

/** grpc-js has no public way to reset one stream; without its inner one the whole connection is closed. */
function reset(
  call: ServerInterceptingCallInterface,
  disconnect: (call: ServerInterceptingCallInterface) => void,
): void {
  const stream = streamOf(call);
  if (stream === null) disconnect(call);
  else stream.close(constants.NGHTTP2_CANCEL);
}

/**
 * A client that goes on sending when it has its status would keep its stream for ever, and no limit counts it any more
 * (RFC 9113 §8.1 lets a server end it so).
 */
function closeSoon(call: ServerInterceptingCallInterface, afterMs: number): void {
  const stream = streamOf(call);
  if (stream === null || stream.closed) return;
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), afterMs).unref();
  stream.once('close', () => clearTimeout(timer));
}

function streamOf(call: ServerInterceptingCallInterface): Http2Stream | null {
  const { stream } = call as { readonly stream?: Http2Stream };
  return typeof stream?.close === 'function' && typeof stream.write === 'function' ? stream : null;
}

/** Draining lets running jobs be watched and their results be fetched. */
const REFUSED_WHILE_DRAINING: ReadonlySet<string> = new Set([
  '/glovebox.v1.JobService/Submit',
  '/glovebox.v1.CatalogService/RegisterDataset',
  '/glovebox.v1.HomomorphicService/Upload',
  '/glovebox.v1.HomomorphicService/Run',
]);

const STRANGERS = {
  missing: statusFor(
    'credential-missing',
    'the connection presented no certificate; connect with a credential of this runtime',
  ),
  unknown: statusFor('credential-unknown', 'the certificate was not issued by this runtime'),
  expired: statusFor('credential-expired', 'the certificate has expired; ask the operator for a new credential'),
} as const;

import { randomBytes } from 'node:crypto';
import { Metadata, type StatusObject } from '@grpc/grpc-js';
import type { Denied } from '../policy/reason.ts';
import { Fault } from './fault.ts';
import { FAULTS, type FaultCode } from './status.ts';
import { codecOf } from './translate.ts';

/** Trailer that carries a `glovebox.v1.ErrorDetail`. */
export const ERROR_TRAILER = 'glovebox-error-bin';

/** Where faults of the runtime are written; never to callers. */
export interface RpcLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

const MAX_MESSAGE_LENGTH = 1024;

/**
 * The gRPC status of whatever a handler threw. A `Fault` says what its message says; anything else is INTERNAL with an
 * incident name that leads the operator to the logged cause.
 */
export function statusOf(thrown: unknown, log: RpcLog, method: string): StatusObject {
  if (thrown instanceof Fault && (FAULTS[thrown.code].owner === 'caller' || NO_FAILURES.has(thrown.code))) {
    // One short line: callers must not be able to fill the log with stacks.
    const { cause } = thrown;
    if (cause instanceof Error)
      log.warn({ method, code: thrown.code, cause: cause.message.slice(0, 200) }, 'call refused');
    return statusFor(thrown.code, thrown.message, { reasons: thrown.reasons, retryAfterMs: thrown.retryAfterMs });
  }
  const incident = randomBytes(8).toString('hex');
  log.error({ method, incident, cause: describe(thrown) }, 'call failed');
  const code: FaultCode = thrown instanceof Fault ? thrown.code : isOfStorage(thrown) ? 'storage-failed' : 'internal';
  const message = thrown instanceof Fault ? thrown.message : MESSAGES[code === 'storage-failed' ? code : 'internal'];
  const retryAfterMs = thrown instanceof Fault ? thrown.retryAfterMs : 0;
  return statusFor(
    code,
    thrown instanceof Fault && code !== 'internal' ? message : `${message} (incident ${incident})`,
    {
      incident,
      retryAfterMs,
    },
  );
}

/** What the runtime cannot do now, or at all: whoever asks for it again and again is no reason to call its operator. */
const NO_FAILURES: ReadonlySet<FaultCode> = new Set(['not-available', 'draining', 'stopped']);

/** The status of a denial, for rpcs whose response has no `reasons`. */
export function statusOfDenial(denied: Denied): StatusObject {
  return statusFor('denied', denied.reasons[0]?.message ?? 'denied', { reasons: denied.reasons });
}

/** A status with its detail in the trailer. */
export function statusFor(
  code: FaultCode,
  message: string,
  detail: { readonly reasons?: Denied['reasons']; readonly retryAfterMs?: number; readonly incident?: string } = {},
): StatusObject {
  const fault = FAULTS[code];
  const metadata = new Metadata();
  const bytes = codecOf('ErrorDetail').encode({
    code,
    // Trailers travel in one header block, so a long list is cut rather than the whole status lost.
    reasons: (detail.reasons ?? []).slice(0, 8),
    isRetryable: fault.isRetryable,
    retryAfterMs: detail.retryAfterMs ?? 0,
    incident: detail.incident ?? '',
  });
  if (bytes.length <= MAX_DETAIL_BYTES) metadata.set(ERROR_TRAILER, bytes);
  else metadata.set(ERROR_TRAILER, codecOf('ErrorDetail').encode({ code, isRetryable: fault.isRetryable }));
  return { code: fault.status, details: oneLine(message), metadata };
}

/**
 * A message quotes what was sent: whatever that was, it stays one line that a terminal or a log can show, in the order in
 * which it is written.
 */
function oneLine(message: string): string {
  // INVARIANT: well-formed. A cut between the two halves of a character leaves one that grpc-js cannot send: it throws.
  return message
    .slice(0, MAX_MESSAGE_LENGTH)
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, '\ufffd');
}

const MAX_DETAIL_BYTES = 6 * 1024;

const MESSAGES = {
  internal: 'the runtime failed',
  'storage-failed': 'the runtime could not write to its disk: nothing of the call happened; try again later',
} as const;

/** Whether the disk refused: that passes, and the same call may be made again. */
function isOfStorage(thrown: unknown): boolean {
  return thrown instanceof Error && STORAGE_CODES.has((thrown as NodeJS.ErrnoException).code ?? '');
}
const STORAGE_CODES: ReadonlySet<string> = new Set(
  'ENOSPC EDQUOT EFBIG EROFS EIO EMFILE ENFILE state-write-failed state-closed'.split(' '),
);

function describe(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}

import { status, type Metadata } from '@grpc/grpc-js';
import type { ErrorDetail, Reason } from '../gen/messages.ts';
import { ERROR_TRAILER } from '../rpc/error-detail.ts';
import { codecOf } from '../rpc/translate.ts';

/** A call that failed: `code` is one of docs/errors.md, or `grpc-…` when the failure did not come from the runtime. */
export class GloveboxError extends Error {
  override readonly name = 'GloveboxError';
  readonly code: string;
  /** gRPC status code. */
  readonly status: number;
  readonly reasons: readonly Reason[];
  /** Whether the same call may succeed later without a change. */
  readonly isRetryable: boolean;
  readonly retryAfterMs: number;
  /** Names the entry in the operator's log; empty when there is none. */
  readonly incident: string;

  constructor(message: string, detail: { readonly status: number } & Partial<ErrorDetail>, cause?: unknown) {
    super(message, { cause });
    this.status = detail.status;
    this.code = detail.code ?? `grpc-${(status[detail.status] ?? 'unknown').toLowerCase().replaceAll('_', '-')}`;
    this.reasons = detail.reasons ?? [];
    this.isRetryable = detail.isRetryable ?? detail.status === status.UNAVAILABLE;
    this.retryAfterMs = detail.retryAfterMs ?? 0;
    this.incident = detail.incident ?? '';
  }
}

/** The typed error of whatever a call of grpc-js failed with. */
export function errorOf(thrown: unknown): GloveboxError {
  if (thrown instanceof GloveboxError) return thrown;
  const { code, details, metadata } = thrown as {
    readonly code?: number;
    readonly details?: string;
    readonly metadata?: Metadata;
  };
  const message = plainly(details ?? (thrown instanceof Error ? thrown.message : String(thrown)));
  const trailer = metadata?.get(ERROR_TRAILER)[0];
  const known = typeof code === 'number' ? code : status.UNKNOWN;
  if (!Buffer.isBuffer(trailer)) return new GloveboxError(message, { status: known }, thrown);
  try {
    const detail = codecOf('ErrorDetail').decode(trailer) as ErrorDetail;
    return new GloveboxError(message, { ...detail, status: known }, thrown);
  } catch {
    return new GloveboxError(message, { status: known }, thrown);
  }
}

/** What grpc-js says when no runtime answers, in words that help: by far the most frequent failure of a first try. */
function plainly(details: string): string {
  const [, cause = ''] =
    /^No connection established\. Last error: (?:Error: )?(.*?)\. Resolution note: /s.exec(details) ?? [];
  const [, refused] = /^connect ECONNREFUSED (\S+)/.exec(cause) ?? [];
  if (refused !== undefined) return `no runtime answers at ${refused}: is it running, and is this its address?`;
  if (cause !== '') return `no runtime can be reached: ${cause}`;
  const [, target] = /^Name resolution failed for target (?:dns:)?(\S+)/.exec(details) ?? [];
  return target === undefined ? details : `no runtime can be reached: the name in ${target} is not known`;
}

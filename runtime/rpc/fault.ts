import type { Reason } from '../policy/reason.ts';
import type { FaultCode } from './status.ts';

export interface FaultOptions {
  readonly reasons?: readonly Reason[];
  readonly retryAfterMs?: number;
  /** Logged, never sent. */
  readonly cause?: unknown;
}

/**
 * Something is broken, or the caller's message makes no sense. `message` is sent to the caller, so it must be safe to
 * show: what was tried, what stopped it, what would be allowed, and nothing about rows or the inside.
 */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;
  readonly reasons: readonly Reason[];
  readonly retryAfterMs: number;

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.reasons = options.reasons ?? [];
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

import { status } from '@grpc/grpc-js';

/**
 * The one list of fault codes that cross the wire (docs/errors.md describes them), with the gRPC status each becomes,
 * whose fault it is, and whether the same call can succeed later without a change.
 */
export const FAULTS = {
  // Who calls.
  'credential-missing': { status: status.UNAUTHENTICATED, owner: 'caller', isRetryable: false },
  'credential-unknown': { status: status.UNAUTHENTICATED, owner: 'caller', isRetryable: false },
  'credential-expired': { status: status.UNAUTHENTICATED, owner: 'caller', isRetryable: false },
  'party-not-admitted': { status: status.PERMISSION_DENIED, owner: 'caller', isRetryable: false },
  'role-missing': { status: status.PERMISSION_DENIED, owner: 'caller', isRetryable: false },
  denied: { status: status.PERMISSION_DENIED, owner: 'caller', isRetryable: false },
  'signature-not-valid': { status: status.PERMISSION_DENIED, owner: 'caller', isRetryable: false },
  // What was sent.
  'message-not-valid': { status: status.INVALID_ARGUMENT, owner: 'caller', isRetryable: false },
  'argument-not-valid': { status: status.INVALID_ARGUMENT, owner: 'caller', isRetryable: false },
  'message-too-large': { status: status.RESOURCE_EXHAUSTED, owner: 'caller', isRetryable: false },
  'page-token-not-valid': { status: status.INVALID_ARGUMENT, owner: 'caller', isRetryable: false },
  'not-found': { status: status.NOT_FOUND, owner: 'caller', isRetryable: false },
  'already-exists': { status: status.ALREADY_EXISTS, owner: 'caller', isRetryable: false },
  'wrong-state': { status: status.FAILED_PRECONDITION, owner: 'caller', isRetryable: false },
  conflict: { status: status.ABORTED, owner: 'caller', isRetryable: true },
  'ticket-not-valid': { status: status.NOT_FOUND, owner: 'caller', isRetryable: false },
  // How much, how long.
  'rate-exceeded': { status: status.RESOURCE_EXHAUSTED, owner: 'caller', isRetryable: true },
  'too-many-streams': { status: status.RESOURCE_EXHAUSTED, owner: 'caller', isRetryable: true },
  'too-many-jobs': { status: status.RESOURCE_EXHAUSTED, owner: 'caller', isRetryable: true },
  'upload-too-slow': { status: status.DEADLINE_EXCEEDED, owner: 'caller', isRetryable: true },
  'reader-too-slow': { status: status.DEADLINE_EXCEEDED, owner: 'caller', isRetryable: true },
  'deadline-exceeded': { status: status.DEADLINE_EXCEEDED, owner: 'caller', isRetryable: true },
  cancelled: { status: status.CANCELLED, owner: 'caller', isRetryable: true },
  // What the runtime can do now.
  'not-available': { status: status.UNIMPLEMENTED, owner: 'runtime', isRetryable: false },
  draining: { status: status.UNAVAILABLE, owner: 'runtime', isRetryable: true },
  stopped: { status: status.UNAVAILABLE, owner: 'runtime', isRetryable: true },
  'dataset-changed': { status: status.DATA_LOSS, owner: 'runtime', isRetryable: false },
  'result-changed': { status: status.DATA_LOSS, owner: 'runtime', isRetryable: false },
  'storage-failed': { status: status.UNAVAILABLE, owner: 'runtime', isRetryable: true },
  internal: { status: status.INTERNAL, owner: 'runtime', isRetryable: false },
} as const satisfies Record<string, FaultKind>;

export interface FaultKind {
  readonly status: status;
  readonly owner: 'caller' | 'runtime';
  readonly isRetryable: boolean;
}

export type FaultCode = keyof typeof FAULTS;

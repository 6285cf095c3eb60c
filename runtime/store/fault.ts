/** What can be wrong with the durable state. Faults are ours, not a caller's: they stop the runtime, never a job's answer. */
export type StoreFaultCode =
  /** Another process has the data directory open. */
  | 'state-locked'
  /** The database, its seal or the log do not fit together: somebody or something changed bytes. */
  | 'state-tampered'
  /** The published checkpoint knows more entries than the database: an older copy of the state was put back. */
  | 'state-rolled-back'
  /** The state was written by a newer version of the runtime. */
  | 'state-too-new'
  /** The key that signs the log is missing or is not the one that signed it. */
  | 'state-key'
  /** The disk refused a write. Nothing of the call happened. */
  | 'state-write-failed'
  /** The store is closed, or an earlier failed write made it unusable. */
  | 'state-closed'
  /** The call itself makes no sense (a fault of the calling code). */
  | 'state-misuse';

/** A fault of the durable state, with a code from one list. */
export class StoreFault extends Error {
  readonly code: StoreFaultCode;

  constructor(code: StoreFaultCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'StoreFault';
    this.code = code;
  }
}

/** Whatever was thrown while the state was read or written, as a fault. */
export function asFault(error: unknown): StoreFault {
  if (error instanceof StoreFault) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RangeError) return new StoreFault('state-misuse', message, { cause: error });
  return new StoreFault('state-write-failed', `the state could not be written: ${message}`, { cause: error });
}

/** A fault as it goes to another thread. */
export function faultOf(error: unknown): { readonly code: StoreFaultCode; readonly message: string } {
  const { code, message } = asFault(error);
  return { code, message };
}

/** Why a homomorphic step could not be done; `caller` faults come from the bytes or program sent, `runtime` faults are ours. */
export type HomomorphicFaultCode =
  | 'bad-ciphertext'
  | 'bad-key'
  | 'bad-column'
  | 'bad-program'
  | 'out-of-range'
  | 'no-parameters'
  | 'not-released'
  | 'worker-failed'
  | 'library-failed';

const RUNTIME_CODES: ReadonlySet<HomomorphicFaultCode> = new Set(['worker-failed', 'library-failed']);

/** A fault of the homomorphic mode with a code from one list; the cause is for our log and never leaves. */
export class HomomorphicFault extends Error {
  readonly code: HomomorphicFaultCode;

  constructor(code: HomomorphicFaultCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'HomomorphicFault';
    this.code = code;
  }

  /** Whose fault it is: bytes and programs that a caller sent, or ours. */
  get blame(): 'caller' | 'runtime' {
    return RUNTIME_CODES.has(this.code) ? 'runtime' : 'caller';
  }
}

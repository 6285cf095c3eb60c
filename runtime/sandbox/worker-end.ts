/** How workers end. All of it is for the operator; a consumer learns that the job failed, and no more. */

/** Why a worker ended: for the operator's log and for counting only, never for a consumer. */
export type EndReason =
  | 'VIOLATION' // a system call that the filter kills: the guest got native code, or the filter does not fit this host
  | 'MEMORY'
  | 'CPU'
  | 'CRASHED'
  | 'TIMEOUT'
  | 'FROZEN' // somebody on the host stopped the process (SIGSTOP) and did not let it go on
  | 'OUTPUT' // more bytes than the job may send
  | 'PROTOCOL' // bytes that are no frame, or a frame at the wrong moment
  | 'STOPPED' // cancelled or destroyed by its user
  | 'RETIRED' // served its time, or its place was needed
  | 'START_FAILED';

export interface WorkerEnd {
  readonly reason: EndReason;
  /** operator's text; may quote bubblewrap, never a worker that has had a job */
  readonly detail: string;
}

/** A worker is gone, so its job is. */
export class WorkerFault extends Error {
  override readonly name = 'WorkerFault';
  readonly reason: EndReason;
  constructor(end: WorkerEnd) {
    super(`worker ended: ${end.reason}${end.detail === '' ? '' : ` (${end.detail})`}`);
    this.reason = end.reason;
  }
}

/** Exit codes as bubblewrap passes them on: 128 + the signal that ended the worker. */
export function endOf(code: number | null, signal: string | null, cpuMs: number, cpuLimitSeconds: number): WorkerEnd {
  const detail = signal ?? `exit code ${code}`;
  if (code === 159 || signal === 'SIGSYS') return { reason: 'VIOLATION', detail };
  // A SIGKILL that is not ours is the kernel's: RLIMIT_CPU, or no memory.
  if (code === 137 || signal === 'SIGKILL') return { reason: cpuMs > cpuLimitSeconds * 900 ? 'CPU' : 'MEMORY', detail };
  return { reason: 'CRASHED', detail };
}

/** How a worker that never became ready ended; quotes the first line of bubblewrap or node. */
export function startFailure(code: number | null, signal: string | null, text: string): WorkerEnd {
  const line = text.split('\n').find((one) => one.trim() !== '') ?? '';
  const hint = code === 159 || signal === 'SIGSYS' ? 'the system call filter does not fit this host' : line;
  return { reason: 'START_FAILED', detail: `${signal ?? `exit code ${code}`}${hint === '' ? '' : `: ${hint}`}` };
}

import type { Frame, FrameType } from '../sandbox/channel.ts';
import type { LeasedWorker } from '../sandbox/pool.ts';

/**
 * One leased worker process as the dataset part sees it: frames in, frames out, and death. The sandbox pool's lease is
 * adapted to it; tests use a bare child process.
 */
export interface WorkerLink {
  send(type: FrameType, payload: Uint8Array): Promise<void>;
  /** The next frame, or `null` when the worker is gone; may also reject when it is gone or its stream was broken. */
  next(): Promise<Frame | null>;
  /** Kills the process at once; further calls do nothing. */
  kill(): void;
}

/** The worker died, lied or broke the protocol; its message is for the operator's log only. */
export class WorkerFault extends Error {
  override readonly name = 'WorkerFault';
}

/** A leased worker as a link. Giving the lease back after a clean job stays the caller's business. */
export function linkOf(lease: LeasedWorker): WorkerLink {
  return {
    send: (type, payload) => lease.send(type, payload),
    next: () => lease.next(),
    kill: () => void lease.destroy().catch(() => undefined),
  };
}

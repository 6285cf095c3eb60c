import { readFileSync } from 'node:fs';
import type { RpcLimits } from './limits.ts';

/** Descriptors that the gateway needs besides connections: state, log, files of datasets and results. */
const OWN = 128;
/** Pipes and files of one jailed worker. */
const PER_WORKER = 12;
/** Fewer connections than this are no service. */
const LEAST = 16;

/** Files that this process may have open; Infinity where the system does not say. */
export function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return soft === undefined || soft === 'unlimited' ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}

/**
 * Connections that leave enough descriptors for jobs. Without this, strangers who only connect would take the
 * descriptors that a job needs for its worker and its result. A quarter may be silent, unless the limits say less.
 */
export function connectionsWithin(
  limits: Pick<RpcLimits, 'maxConnections' | 'maxSilentConnections'>,
  descriptors: number,
  workers: number,
): Pick<RpcLimits, 'maxConnections' | 'maxSilentConnections'> {
  const room = Math.max(LEAST, descriptors - OWN - PER_WORKER * workers);
  if (room >= limits.maxConnections) return limits;
  return {
    maxConnections: room,
    maxSilentConnections: Math.min(limits.maxSilentConnections, Math.max(1, Math.floor(room / 4))),
  };
}

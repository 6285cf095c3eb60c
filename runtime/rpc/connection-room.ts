import { readFileSync } from 'node:fs';
import type { RpcLimits } from './limits.ts';

/** Descriptors that the gateway needs besides connections: state, log, files of datasets and results. */
const OWN = 128;
/** Pipes and files of one jailed worker. */
const PER_WORKER = 12;
/** Fewer connections than this are no service. */
const LEAST = 16;

type ConnectionLimits = Pick<RpcLimits, 'maxConnections' | 'maxSilentConnections' | 'maxConnectionsPerParty'>;

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
 * descriptors that a job needs for its worker and its result. A quarter may be silent and half may be one party's, unless
 * the limits say less.
 */
export function connectionsWithin(limits: ConnectionLimits, descriptors: number, workers: number): ConnectionLimits {
  const room = Math.max(LEAST, descriptors - OWN - PER_WORKER * workers);
  if (room >= limits.maxConnections) return limits;
  return {
    maxConnections: room,
    maxSilentConnections: Math.min(limits.maxSilentConnections, Math.floor(room / 4)),
    maxConnectionsPerParty: Math.min(limits.maxConnectionsPerParty, Math.floor(room / 2)),
  };
}

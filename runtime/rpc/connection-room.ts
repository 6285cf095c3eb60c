import { readFileSync } from 'node:fs';
import type { RpcLimits } from './limits.ts';

/** Descriptors that the gateway needs besides connections: state, log, files of datasets and results. */
const OWN = 128;
/** Pipes and files of one jailed worker. */
const PER_WORKER = 12;
/** Fewer connections than this are no service. */
const LEAST = 16;

/** A worker that reads a dataset may have as many open; a process that may not cannot let one have them. */
export const LEAST_DESCRIPTORS = 256;

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

/** Workers that such a process has descriptors for: beyond them each job would fail for want of one. */
export function workersWithin(workers: number, descriptors: number): number {
  return Math.min(workers, Math.max(1, Math.floor((descriptors - OWN - LEAST) / PER_WORKER)));
}

/** What is wrong with a process that may open so many files; null when nothing is. */
export function problemOfDescriptors(descriptors: number): string | null {
  if (descriptors >= LEAST_DESCRIPTORS) return null;
  return `this process may open ${descriptors} files and needs ${LEAST_DESCRIPTORS} at least: raise the limit (\`ulimit -n 65536\`, or \`LimitNOFILE=65536\` of its unit)`;
}

/** What a pool is asked and what it tells: options, requests, events. */
import { availableParallelism } from 'node:os';
import type { HostOptions } from './host.ts';
import type { JobLimits } from './job-watch.ts';
import type { IsolationLevel } from './manifest.ts';
import type { Mount } from './stage.ts';
import type { WorkerEnd } from './worker-end.ts';

/** Defaults of a pool; every one can be given in `PoolOptions`. */
export const poolDefaults = {
  /** processes, whatever they are doing */
  maxWorkers: 4 + 2 * availableParallelism(),
  /** mount sets (with image and tier) that are kept warm; the least recently used goes */
  warmKeys: 8,
  /** ready workers to keep for a key that is in use */
  warmPerKey: 1,
  maxQueued: 1024,
  queueTimeoutMs: 60_000,
} as const;

/** Resident memory of node itself, which a job's memory limit comes on top of. */
export const processBaseMiB = 128;

/** The numbers of a pool. */
export type PoolNumbers = { readonly [name in keyof typeof poolDefaults]: number };

export interface PoolOptions extends HostOptions, Partial<PoolNumbers> {
  /** the operator declares that the whole gateway runs in a virtual machine of its own */
  readonly declaredLevel?: 'vm';
  /** leases that one party may hold at one time; default: all but one worker, at least one */
  readonly maxPerParty?: number;
  /** how long a request waits for a worker of its own slot before another's idle worker is ended for it */
  readonly patienceMs?: number;
  /** told of every worker that ended otherwise than by retirement: the operator's log */
  readonly onWorkerEnd?: (event: WorkerEvent) => void;
}

export interface WorkerEvent extends WorkerEnd {
  readonly kind: string;
  readonly imageDigest: string;
  readonly party: string | undefined;
}

export interface LeaseRequest {
  /** name of the image */
  readonly kind: string;
  /** whose turn it is; parties wait in turns */
  readonly party: string;
  readonly mounts?: readonly Mount[];
  /** tier of the image; default: the image's */
  readonly tier?: string;
  /** can only lower the image's limits */
  readonly limits?: Partial<JobLimits>;
  /** weakest level that will do; default and floor: the image's */
  readonly isolation?: IsolationLevel;
  /** aborting it takes the request out of the line, or kills the leased worker at once */
  readonly signal?: AbortSignal | undefined;
}

export interface PoolStats {
  readonly workers: number;
  readonly idle: number;
  readonly leased: number;
  readonly waiting: number;
  readonly slots: number;
}

import type { IsolationLevel } from '../manifest.ts';
import type { WorkerPool } from '../pool.ts';
import type { JavaScriptWorkers } from './worker-link.ts';

/** Workers of the image `javascript` from the pool, for one party; aborting the signal kills those that are leased. */
export function pooledWorkers(
  pool: WorkerPool,
  request: {
    readonly party: string;
    readonly isolation?: IsolationLevel;
    readonly memoryMiB?: number;
    readonly cpuMs?: number;
    readonly signal?: AbortSignal;
  },
): JavaScriptWorkers {
  const { party, isolation, memoryMiB, cpuMs, signal } = request;
  return {
    lease: ({ tier, wallMs }) =>
      pool.lease({
        kind: 'javascript',
        party,
        tier,
        limits: {
          wallMs,
          ...(memoryMiB === undefined ? {} : { memoryMiB }),
          ...(cpuMs === undefined ? {} : { cpuMs }),
        },
        ...(isolation === undefined ? {} : { isolation }),
        ...(signal === undefined ? {} : { signal }),
      }),
  };
}

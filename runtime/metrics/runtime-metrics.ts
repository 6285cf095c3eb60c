import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Store } from '../store/store.ts';
import type { BudgetLeft, MetricsNeeds } from './metrics.ts';
import type { Gateway } from '../gateway/gateway-parts.ts';

export interface MeasuredRuntime {
  readonly dataDirectory: string;
  readonly version: string;
  readonly gateway: Gateway;
  readonly store: Store;
  readonly pool: {
    readonly isolation: { readonly level: string };
    readonly stats: { readonly idle: number; readonly leased: number; readonly waiting: number };
  };
  readonly openCalls: () => number;
}

/** What metrics read of a running runtime. */
export function metricsNeeds({ gateway, store, pool, ...more }: MeasuredRuntime): MetricsNeeds {
  const { queue } = gateway;
  return {
    version: more.version,
    isolation: pool.isolation.level,
    now: () => ({
      runningJobs: queue.running,
      queuedJobs: queue.queued,
      isStopped: store.peek('switch', 'all')?.state === 'on',
      isDraining: queue.isDraining,
      openCalls: more.openCalls(),
      workers: pool.stats,
    }),
    budgets: async () =>
      (await gateway.budgets()).map((one): BudgetLeft => ({
        dataset: one.dataset,
        consumer: one.consumer,
        rule: one.ruleId === '' ? 'all' : one.ruleId,
        microEpsilon: left(one.microEpsilonLimit, one.microEpsilonSpent + one.microEpsilonReserved),
        uses: left(one.usesLimit, one.uses + one.usesReserved),
      })),
    evidence: async () => ({
      recorded: sizeOf(await store.checkpoint()),
      published: sizeOf(await readFile(join(more.dataDirectory, 'evidence', 'checkpoint'), 'utf8').catch(() => '')),
    }),
  };
}

/** The second line of a checkpoint (C2SP tlog-checkpoint) is the number of entries. */
function sizeOf(checkpoint: string): number {
  const size = Number(checkpoint.split('\n')[1]);
  return Number.isSafeInteger(size) ? size : 0;
}

function left(limit: bigint | null, used: bigint): bigint | null {
  if (limit === null) return null;
  return limit > used ? limit - used : 0n;
}

import { DatasetError } from '../../dataset/dataset-error.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../dataset/engine.ts';
import type { LayoutNeeds } from '../../dataset/layout.ts';
import { parseInWorker } from '../../dataset/parse-in-worker.ts';
import { FileGuard } from '../../dataset/verify.ts';
import { linkOf } from '../../dataset/worker-link.ts';
import type { WorkerPool } from '../../sandbox/pool.ts';

/** How this runtime lays out datasets below `data`: the provider's row scopes are parsed in a jail, keys are hashed by `unitKey`. */
export function layoutNeeds(pool: WorkerPool, data: string, unitKey: Uint8Array): LayoutNeeds {
  return {
    root: data,
    // A provider's row scope is parsed where no data is, like a consumer's query.
    parse: async (statement) => {
      const worker = await pool.lease({ kind: 'parser', party: 'runtime' });
      try {
        const answer = await parseInWorker(linkOf(worker), statement);
        if (answer.kind === 'refused')
          throw new DatasetError('invalid-layout', 'a condition of the policy is too long to be read');
        return answer.value;
      } finally {
        await worker.destroy();
      }
    },
    limits: DEFAULT_ENGINE_LIMITS,
    guard: new FileGuard(),
    hashKey: unitKey,
  };
}

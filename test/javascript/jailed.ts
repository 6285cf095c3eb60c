import { join } from 'node:path';
import { after } from 'node:test';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { pooledWorkers } from '../../runtime/sandbox/javascript/pooled-workers.ts';
import { prepareInWorker } from '../../runtime/sandbox/javascript/prepare-in-worker.ts';
import type { ColumnSource, RunTerms } from '../../runtime/sandbox/javascript/source.ts';
import type { JavaScriptWorkers } from '../../runtime/sandbox/javascript/worker-link.ts';
import type { ColumnSpec } from '../../runtime/sandbox/javascript/columns.ts';
import { factoryText } from '../../runtime/sandbox/javascript/prepare.ts';

/** A pool of really jailed workers for one test file; closed after it. */
export async function jailedWorkers(
  maxWorkers = 4,
): Promise<{ readonly pool: WorkerPool; readonly workers: JavaScriptWorkers }> {
  const pool = await WorkerPool.start({ root: join(import.meta.dirname, '..', '..'), maxWorkers, warmPerKey: 2 });
  after(() => pool.close());
  return { pool, workers: pooledWorkers(pool, { party: 'acme' }) };
}

export const terms: RunTerms = { tier: 'balanced', timeoutMs: 2000, nowMs: Date.UTC(2026, 0, 2), seed: 7 };

/** Rows of one float64 column `x` (and `y = 2x + 1`), one unit per row. */
export function numbersSource(x: readonly number[]): ColumnSource {
  const columns: readonly ColumnSpec[] = ['x', 'y'].map((name) => ({ name, kind: 'float64', isNullable: false }));
  const values = Float64Array.from(x);
  return {
    columns,
    dictionaries: new Map(),
    units: x.length,
    batches: () => [
      {
        rows: x.length,
        columns: [{ values }, { values: values.map((each) => 2 * each + 1) }],
        unit: Int32Array.from(x, (_, i) => i),
      },
    ],
  };
}

/** Prepares trusted test code without a worker. */
export const factory = (source: string): string => factoryText(source);

export { prepareInWorker };

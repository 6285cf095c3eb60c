import { WorkerFault } from '../worker-end.ts';
import type { JobFailed } from './source.ts';
import { finishJob, within } from './worker-link.ts';
import type { JavaScriptWorker, JavaScriptWorkers, Tier } from './worker-link.ts';

/** Largest answer of any kind: one frame. */
export const answerBytes = 4 * 1024 * 1024;

/** Leases a worker for one job; it never serves another one, and is killed unless the job ended cleanly. */
export async function withWorker<T>(
  workers: JavaScriptWorkers,
  terms: { readonly tier: Tier; readonly wallMs: number; readonly signal?: AbortSignal | undefined },
  body: (worker: JavaScriptWorker) => Promise<T>,
): Promise<T | JobFailed> {
  terms.signal?.throwIfAborted();
  const worker = await workers.lease({ tier: terms.tier, wallMs: terms.wallMs });
  const stop = (): void => void worker.destroy();
  terms.signal?.addEventListener('abort', stop);
  try {
    terms.signal?.throwIfAborted();
    const done = await within(terms.wallMs, body(worker));
    await finishJob(worker);
    return done;
  } catch (error) {
    worker.destroy().catch(() => {});
    terms.signal?.throwIfAborted();
    if (error instanceof RangeError) throw error; // ours
    const detail = error instanceof Error ? error.message : 'unknown';
    return { kind: 'failed', detail, isOutOfTime: error instanceof WorkerFault && error.reason === 'CPU' };
  } finally {
    terms.signal?.removeEventListener('abort', stop);
  }
}

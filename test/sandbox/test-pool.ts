/** A pool over the test images, and the reason to skip where this machine cannot make the jail. */
import { frameType, type Frame } from '../../runtime/sandbox/channel.ts';
import { WorkerPool, type LeaseRequest, type PoolOptions, type WorkerEvent } from '../../runtime/sandbox/pool.ts';

export const root = new URL('../..', import.meta.url).pathname.replace(/\/$/, '');
export const testImages = `${root}/test/sandbox/images`;

export interface TestPool {
  readonly pool: WorkerPool;
  /** Printed by the test runner: a silent skip here would be a hole. */
  readonly skipReason: string | undefined;
  readonly events: readonly WorkerEvent[];
  close(): Promise<void>;
}

/** Starts a pool whose images are the project's and the tests'. */
export async function startTestPool(options: Partial<PoolOptions> = {}): Promise<TestPool> {
  const events: WorkerEvent[] = [];
  const pool = await WorkerPool.start({
    root,
    extraImages: testImages,
    onWorkerEnd: (event) => void events.push(event),
    ...options,
  });
  const { level, findings } = pool.isolation;
  const failed = findings.find(({ ok }) => !ok);
  const skipReason =
    level === 'namespaced'
      ? undefined
      : `this machine gives isolation \`${level}\`: ${failed?.name}: ${failed?.detail}`;
  return { pool, skipReason, events, close: () => pool.close() };
}

/** Leases a worker, sends one job, returns its first frame, gives the worker back. */
export async function runJob(
  { pool }: TestPool,
  request: Omit<LeaseRequest, 'party'> & { readonly party?: string },
  job: unknown,
): Promise<Frame> {
  const worker = await pool.lease({ party: 'acme', ...request });
  try {
    await worker.sendJson(frameType.JOB, job);
    const frame = await worker.next();
    worker.release();
    return frame;
  } catch (error) {
    await worker.destroy();
    throw error;
  }
}

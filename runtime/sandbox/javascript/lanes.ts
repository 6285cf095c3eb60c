import { wireKind } from './columns.ts';
import { javascriptLimits } from './limits.ts';
import type { ColumnSource, RunTerms } from './source.ts';
import type { BlockStatus } from './status.ts';
import { bodyTaken, finishJob, nextAnswer, sendColumns, sendEnd } from './worker-link.ts';
import type { JavaScriptWorker, JavaScriptWorkers } from './worker-link.ts';
import type { GuestTerms } from './worker-job.ts';

export interface LaneBody {
  readonly bytes: Uint8Array;
  readonly rows: number;
}

export interface Lanes {
  readonly count: number;
  /** The columns of a body; asked for in order, once each. Undefined: it cannot be run, and counts as lost. */
  readonly body: (index: number) => Promise<LaneBody | undefined>;
  readonly start: (worker: JavaScriptWorker) => Promise<void>;
  /** Takes the answer of a block, or undefined when it is lost; true when the worker may go on with another block. */
  readonly take: (block: number, bytes: Uint8Array | undefined) => boolean;
  readonly maxBytes: number;
}

/**
 * Runs all bodies, each once, in a few workers side by side. INVARIANT: what happens to one body changes nothing for any
 * other. A worker that dies or hangs costs its own body; the next one gets a new worker.
 */
export async function runLanes(
  workers: JavaScriptWorkers,
  job: { readonly lanes?: number; readonly isProcessPerBlock?: boolean },
  terms: RunTerms,
  lanes: Lanes,
): Promise<void> {
  let next = 0;
  let done = 0;
  const { count } = lanes;
  const { leaseMs, leaseOutputBytes, startMs } = javascriptLimits;
  const blockMs = terms.timeoutMs + javascriptLimits.graceMs;
  const lane = async (): Promise<void> => {
    let worker: JavaScriptWorker | undefined;
    let leasedAt = 0;
    let answered = 0;
    const stop = (): void => void worker?.destroy();
    terms.signal?.addEventListener('abort', stop);
    try {
      while (next < count) {
        terms.signal?.throwIfAborted();
        const block = next++;
        const body = await lanes.body(block);
        terms.signal?.throwIfAborted();
        if (body === undefined) {
          lanes.take(block, undefined);
          done += 1;
          terms.onProgress?.(done, count);
          continue;
        }
        if (worker === undefined) {
          worker = await workers.lease({ tier: terms.tier, wallMs: leaseMs + 2 * blockMs + startMs });
          terms.signal?.throwIfAborted(); // it may have been cancelled while it waited for a worker
          leasedAt = performance.now();
          answered = 0;
        }
        const answer = await answerOf(worker, block, body, lanes, blockMs);
        answered += 1;
        // Replaced in time: a worker that reached a limit of its whole life would take an innocent block with it.
        const isSpent = performance.now() - leasedAt > leaseMs || answered * lanes.maxBytes > leaseOutputBytes;
        if (!lanes.take(block, answer) || job.isProcessPerBlock === true || isSpent) {
          worker.destroy().catch(() => {});
          worker = undefined;
        }
        done += 1;
        terms.onProgress?.(done, count);
      }
      if (worker !== undefined) {
        await sendEnd(worker).catch(() => {});
        await finishJob(worker);
        worker = undefined;
      }
    } catch (error) {
      next = count; // a fault of ours ends the job: the other lanes begin nothing more
      throw error;
    } finally {
      terms.signal?.removeEventListener('abort', stop);
      await worker?.destroy();
    }
  };
  const started = new Set<JavaScriptWorker>();
  const answerOf = async (
    worker: JavaScriptWorker,
    block: number,
    body: LaneBody,
    of: Lanes,
    timeoutMs: number,
  ): Promise<Uint8Array | undefined> => {
    try {
      if (!started.has(worker)) {
        started.add(worker);
        await of.start(worker);
      }
      // Its number in the job, never in the worker: how many blocks a worker had before depends on how long others took,
      // and the seed of a block comes from its number.
      await sendColumns(worker, { ...body, index: block }, 0);
      await bodyTaken(worker, timeoutMs);
      const bytes = await nextAnswer(worker, { maxBytes: of.maxBytes, timeoutMs });
      return bytes;
    } catch {
      return undefined;
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, job.lanes ?? 1) }, lane));
}

/** After an overrun the process may hold memory of the block that the next one would feel: only a clean end keeps it. */
export function isClean(status: BlockStatus | undefined): boolean {
  return (
    status === 'ok' ||
    status === 'wrongType' ||
    status === 'wrongShape' ||
    status === 'threw' ||
    status === 'notCompiled'
  );
}

/** The heap of an isolate beyond its columns: they get at most the other half of a smaller limit. */
export const heapMiB = ({ memoryMiB = Infinity }: Pick<RunTerms, 'memoryMiB'>): number =>
  Math.min(javascriptLimits.isolateMiB, Math.floor(memoryMiB / 2));

/** What every run of consumer code is given, beside its own rows. */
export function guestTerms(factory: string, source: ColumnSource, terms: RunTerms): GuestTerms {
  return {
    factory,
    columns: source.columns.map((column) => ({
      name: column.name,
      kind: wireKind(column),
      ...(column.kind === 'dictionary' ? { labels: source.dictionaries.get(column.name) ?? [] } : {}),
    })),
    timeoutMs: terms.timeoutMs,
    isolateMiB: heapMiB(terms),
    nowMs: terms.nowMs,
    seed: terms.seed,
    libraries: terms.libraries ?? [],
  };
}

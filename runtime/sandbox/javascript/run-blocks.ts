import { assignBlocks, decodeBlock, lostBlock, partition, summariseBlocks } from './blocks.ts';
import type { BlockOutcome, BlockOutput, BlockValues } from './blocks.ts';
import { encodeParts } from './columns.ts';
import type { BatchPart, ColumnBatch } from './columns.ts';
import { guestTerms, isClean, runLanes } from './lanes.ts';
import type { LaneBody } from './lanes.ts';
import type { ColumnSource, RunTerms, UnitPart } from './source.ts';
import { startJob } from './worker-link.ts';
import type { JavaScriptWorkers } from './worker-link.ts';

export type AssignBlocks = (units: number, part: UnitPart) => Int32Array;

/** Random blocks, from secret bytes that are used for one job alone. */
export function keyedBlocks(key: Uint8Array): AssignBlocks {
  return (units, { first, end }) =>
    assignBlocks(Buffer.concat([key, Buffer.from([first >> 8, first & 255])]), units, end - first);
}

export interface BlocksJob {
  readonly factory: string;
  readonly outputs: readonly BlockOutput[];
  /** the block of each unit of a part, counted from the part's first; `keyedBlocks` with a key that is used once */
  readonly assign: AssignBlocks;
  readonly blocks: number;
  /** a process per block: also native code in one block sees that block alone */
  readonly isProcessPerBlock?: boolean;
  /** workers at the same time */
  readonly lanes?: number;
}

/**
 * Runs block code on every block, the empty ones too, and returns exact integers.
 *
 * Memory. A table is read part by part, so that no more than one part is held. Each part is a range of the units' keyed hashes
 * and is split at random into its own blocks: still every unit is in one block, chosen by itself and the job's key alone.
 */
export async function runBlocks(
  workers: JavaScriptWorkers,
  job: BlocksJob,
  source: ColumnSource,
  terms: RunTerms,
): Promise<BlockOutcome & { readonly kind: 'done' }> {
  const guest = guestTerms(job.factory, source, terms);
  const values: BlockValues[] = [];
  await runLanes(workers, job, terms, {
    count: job.blocks,
    body: blockReader(job, source, terms.signal),
    start: (worker) =>
      startJob(worker, { kind: 'blocks', terms: guest, outputs: job.outputs.map((each) => each.name) }),
    take: (block, bytes) => {
      const decoded = bytes && decodeBlock(bytes, job.outputs);
      values[block] = decoded ?? lostBlock(job.outputs);
      return isClean(decoded?.status);
    },
    maxBytes: 1 + 8 * job.outputs.length,
  });
  return { kind: 'done', ...summariseBlocks(job.outputs, values) };
}

/** Hands out the columns of one block after the other and holds the rows of one part. */
function blockReader(
  job: BlocksJob,
  source: ColumnSource,
  signal: AbortSignal | undefined,
): (block: number) => Promise<LaneBody> {
  const ranges = partsOf(job.blocks, source.parts ?? 1);
  let held: { readonly part: UnitPart; readonly rows: Promise<readonly (readonly BatchPart[])[]> } | undefined;
  return async (block) => {
    const part = ranges.find(({ first, end }) => first <= block && block < end);
    if (part === undefined) throw new RangeError('no such block');
    if (held?.part !== part) {
      // Blocks are asked for in order: every block of the part before has its bytes, so its rows can go.
      held = { part, rows: readPart(job, source, part, signal) };
      held.rows.catch(() => {});
    }
    const parts = (await held.rows)[block - part.first] ?? [];
    return { bytes: encodeParts(source.columns, parts), rows: rowsOf(parts) };
  };
}

/** Cuts the blocks into `parts` runs of nearly the same length. */
export function partsOf(blocks: number, parts: number): readonly UnitPart[] {
  const count = Math.max(1, Math.min(parts, blocks));
  return Array.from({ length: count }, (_, i) => ({
    first: Math.floor((i * blocks) / count),
    end: Math.floor(((i + 1) * blocks) / count),
    of: blocks,
  }));
}

async function readPart(
  job: BlocksJob,
  source: ColumnSource,
  part: UnitPart,
  signal: AbortSignal | undefined,
): Promise<readonly (readonly BatchPart[])[]> {
  const isWhole = part.end - part.first === part.of;
  const batches: ColumnBatch[] = [];
  let units = 0;
  for await (const batch of source.batches(isWhole ? undefined : part)) {
    signal?.throwIfAborted();
    batches.push(batch);
    const { unit } = batch;
    if (unit === undefined) throw new RangeError('a batch has no unit numbers');
    for (let i = 0; i < batch.rows; i++) units = Math.max(units, (unit[i] ?? 0) + 1);
  }
  return partition(batches, job.assign(units, part), part.end - part.first);
}

function rowsOf(parts: readonly BatchPart[]): number {
  return parts.reduce((sum, part) => sum + (part.pick?.length ?? part.batch.rows), 0);
}

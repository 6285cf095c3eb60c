import type { GuardPlan, HiddenGroup } from '../query/enforced.ts';
import type { ColumnBatch } from '../release/columns.ts';
import { type History, judgeCells, type LabelledSketch, type CellSeries } from '../release/judge-cells.ts';
import { LANE_WORDS } from '../release/lanes.ts';
import { BUCKET_WORDS, emptySketch, PARTITIONS } from '../release/sketch.ts';
import type { Sketch } from '../release/cell-guard.ts';

/** Most bytes of sketches that one answer may bring; more fails the job. */
export const MAX_SKETCH_BYTES = 64 * 1024 * 1024;
const COLUMNS = 12;
/** More groups than this are compared under the first label of a series alone: each further one costs as much again. */
const MAX_FURTHER_GROUPS = 1000;

export interface GuardVerdict {
  readonly hide: readonly HiddenGroup[];
  /** Cells of the groups that are withheld. */
  readonly withheldCells: bigint;
  /** What the history has to remember once the answer leaves. */
  readonly shown: readonly LabelledSketch[];
}

/**
 * Says which groups of an answer are withheld because they, or sums of them, are too close to each other or to something
 * in the histories. `batches`: what the worker says of the cells; throws when it makes no sense.
 */
export function guardCells(
  plan: GuardPlan,
  minUnits: number,
  batches: readonly ColumnBatch[],
  histories: readonly History[],
): GuardVerdict {
  const blocks = seriesIn(plan, batches);
  const { hidden, shown } = judgeCells({ minUnits, shape: { buckets: plan.buckets } }, blocks, histories);
  const hide = hidden.flatMap((groups, block) => [...groups].map((group) => ({ block, group })));
  const withheldCells = hide.reduce((sum, { block }) => sum + BigInt(plan.blocks[block]?.cells ?? 0), 0n);
  return { hide, withheldCells, shown };
}

/** The series of each block from rows of twelve words; see `GuardPlan.sketches`. */
function seriesIn(plan: GuardPlan, batches: readonly ColumnBatch[]): CellSeries[][] {
  const words = PARTITIONS * plan.buckets * BUCKET_WORDS;
  const sketches = plan.blocks.map(({ series }) => series.map(() => new Map<number, Sketch>()));
  const places = plan.blocks.map(() => new Map<number, number[]>());
  let bytes = 0;
  for (const batch of batches) {
    const columns = batch.columns.map(
      ({ values }) => new BigInt64Array(new Uint8Array(values).buffer, 0, batch.rowCount),
    );
    if (columns.length !== COLUMNS) throw new RangeError('a sketch has other columns than agreed');
    for (let row = 0; row < batch.rowCount; row++) {
      const [block = 0, series = 0, group = 0, partition = 0, bucket = 0, ...rest] = columns.map((column) =>
        Number(column[row]),
      );
      if (!isBelow(block, plan.blocks.length) || !isBelow(group, MAX_GROUPS)) throw new RangeError('no such group');
      const isLanes = plan.blocks[block]?.series[series]?.form === 'lanes';
      const ranks = isLanes ? [partition, bucket, ...rest.slice(LANE_WORDS)] : series === -1 ? [bucket, ...rest] : [];
      const first = isLanes ? 0 : partition;
      if (ranks.some((rank) => rank > 0)) {
        const own = places[block]?.get(group) ?? [];
        for (const [i, rank] of ranks.entries()) if (rank > 0) own[first + i] = rank;
        places[block]?.set(group, own);
      }
      if (series === -1) continue;
      const known = sketches[block]?.[series];
      if (known === undefined) throw new RangeError('no such series');
      if (!isLanes && (!isBelow(partition, PARTITIONS) || !isBelow(bucket, plan.buckets)))
        throw new RangeError('no such bucket');
      let sketch = known.get(group);
      if (sketch === undefined) {
        bytes += (isLanes ? LANE_WORDS : words) * 4;
        if (bytes > MAX_SKETCH_BYTES) throw new RangeError('more cells than can be compared');
        sketch = isLanes ? new Uint32Array(LANE_WORDS) : emptySketch({ buckets: plan.buckets });
        known.set(group, sketch);
      }
      const at = isLanes ? 0 : (partition * plan.buckets + bucket) * BUCKET_WORDS;
      for (const [i, word] of rest.slice(0, isLanes ? LANE_WORDS : BUCKET_WORDS).entries()) {
        if (!isBelow(word, 2 ** 32) || sketch[at + i] !== 0) throw new RangeError('a bucket that cannot be');
        sketch[at + i] = word;
      }
    }
  }
  return plan.blocks.map(({ series }, block) =>
    series.flatMap(({ label, also = [], isOverlapping }, index): CellSeries[] => {
      const groups = [...(sketches[block]?.[index] ?? [])].toSorted(([a], [b]) => a - b);
      const sketched = groups.map(([id, sketch]) => ({
        id,
        places: id === 0 ? [] : (places[block]?.get(id) ?? [id]),
        sketch,
      }));
      const shared = isOverlapping === undefined ? {} : { isOverlapping };
      const labels = groups.length > MAX_FURTHER_GROUPS ? [label] : [label, ...also];
      return labels.map((one) => ({ label: one, ...shared, groups: sketched }));
    }),
  );
}

const MAX_GROUPS = 2 ** 31;
const isBelow = (value: number, limit: number): boolean => Number.isInteger(value) && value >= 0 && value < limit;

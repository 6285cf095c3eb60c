import type { ColumnBatch } from './columns.ts';
import { storedKeys } from './source.ts';
import type { ColumnSource, GroupBy, GroupedRows } from './source.ts';

/** Rows by group for a source of batches: every question is a pass over all of them, and units are counted here. */
export function groupsOfBatches(
  source: ColumnSource,
  groupBy: GroupBy | undefined,
  signal: AbortSignal | undefined,
): GroupedRows {
  const groupOf = grouping(source, groupBy);
  const groups = groupBy?.keys.length ?? 1;
  return {
    counts: async () => {
      const [rows, units] = [new Float64Array(groups), new Float64Array(groups)];
      // A bit per unit that was met in a group, made page by page: most units of most groups are never met.
      const met = Array.from({ length: groups }, () => new Map<number, Uint8Array>());
      for await (const batch of source.batches()) {
        signal?.throwIfAborted();
        const { unit } = batch;
        if (unit === undefined) throw new RangeError('a batch has no unit numbers');
        const of = groupOf(batch);
        for (let i = 0; i < batch.rows; i++) {
          const group = of(i);
          if (group === undefined) continue;
          rows[group] = (rows[group] ?? 0) + 1;
          if (isNew(met[group], unit[i] ?? 0)) units[group] = (units[group] ?? 0) + 1;
        }
      }
      return { rows, units };
    },
    async *rows(first, end) {
      for await (const batch of source.batches()) {
        const of = groupOf(batch);
        const picks = new Map<number, number[]>();
        for (let i = 0; i < batch.rows; i++) {
          const group = of(i);
          if (group === undefined || group < first || group >= end) continue;
          const pick = picks.get(group);
          if (pick === undefined) picks.set(group, [i]);
          else pick.push(i);
        }
        for (const [group, pick] of picks) yield { group, part: { batch, pick: Int32Array.from(pick) } };
      }
    },
  };
}

type GroupOf = (batch: ColumnBatch) => (row: number) => number | undefined;

/** Which group a row belongs to: undefined for a key that was not declared or is missing. */
function grouping(source: ColumnSource, groupBy: GroupBy | undefined): GroupOf {
  if (groupBy === undefined) return () => () => 0;
  const index = source.columns.findIndex((column) => column.name === groupBy.column);
  const groups = new Map<number, number>();
  storedKeys(source, groupBy.column, groupBy.keys).forEach((key, group) => key !== undefined && groups.set(key, group));
  return (batch) => {
    const column = batch.columns[index];
    if (column === undefined) throw new RangeError('a batch lacks the group column');
    const { values, validity } = column;
    return (row) => (validity?.[row] === 0 ? undefined : groups.get(Number(values[row])));
  };
}

const pageUnits = 4096;

function isNew(pages: Map<number, Uint8Array> | undefined, unit: number): boolean {
  if (pages === undefined) throw new RangeError('no such group');
  const at = Math.floor(unit / pageUnits);
  let page = pages.get(at);
  if (page === undefined) pages.set(at, (page = new Uint8Array(pageUnits / 8)));
  const [byte, bit] = [(unit % pageUnits) >> 3, 1 << (unit & 7)];
  if (((page[byte] ?? 0) & bit) !== 0) return false;
  page[byte] = (page[byte] ?? 0) | bit;
  return true;
}

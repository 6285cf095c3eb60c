import { WorkerFault } from '../../dataset/worker-link.ts';
import type { ColumnData } from '../../release/columns.ts';
import type { BatchPart } from '../../sandbox/javascript/columns.ts';
import { type GroupBy, type GroupedRows, storedKeys } from '../../sandbox/javascript/source.ts';
import { decodeRows } from './row-batches.ts';
import { engineBatches } from './row-engine.ts';
import { countStatement, groupedStatement, type StatedGroups } from './row-statements.ts';
import { partsOfValues, type RowsRequest } from './row-request.ts';

/**
 * Rows by group as the engine finds them: it counts rows and units, and then reads each row once, for the groups that are asked
 * for together. Units are told apart by their keyed hash; a collision would count one too few, never one too many.
 */
export function groupedRows(request: RowsRequest, groupBy: GroupBy | undefined): GroupedRows {
  const column = groupBy && request.columns.find(({ name }) => name === groupBy.column);
  if (groupBy !== undefined && column === undefined) throw new RangeError('the group column is not read');
  const stored =
    groupBy === undefined
      ? [0]
      : storedKeys(
          {
            columns: request.columns,
            dictionaries: new Map(request.columns.map(({ name, texts }) => [name, texts])),
          },
          groupBy.column,
          groupBy.keys,
        );
  const stated = (first: number, end: number): StatedGroups => ({
    column,
    keys: stored.slice(first, end).flatMap((key, i) => (key === undefined ? [] : [[key, first + i] as const])),
  });
  const tableRows = Number(request.table.rowCount);
  let rowsOf: Float64Array | undefined;
  return {
    counts: async () => {
      const [rows, units] = [new Float64Array(stored.length), new Float64Array(stored.length)];
      // The engine holds every unit that it counts, so a large table is counted part by part; no unit is in two of them.
      const of = partsOfValues(tableRows);
      for (let part = 0; part < of; part += 1) {
        const query = countStatement(request, stated(0, stored.length), { first: part, end: part + 1, of });
        for await (const batch of engineBatches(request, query)) {
          const [groups, counted, different] = batch.columns;
          const found = groupsIn(groups, batch.rowCount, { first: 0, end: stored.length });
          const [n, u] = [countsIn(counted, batch.rowCount), countsIn(different, batch.rowCount)];
          found.forEach((group, i) => {
            rows[group] = (rows[group] ?? 0) + (n[i] ?? 0);
            units[group] = (units[group] ?? 0) + (u[i] ?? 0);
          });
        }
      }
      if (rows.some((count, i) => count > tableRows || (units[i] ?? 0) > count))
        throw new WorkerFault('the engine counts rows that are not there');
      rowsOf = rows;
      return { rows, units };
    },
    async *rows(first, end) {
      const expected = rowsOf?.subarray(first, end).reduce((sum, count) => sum + count, 0) ?? tableRows;
      const of = partsOfValues((expected * (request.columns.length + 2)) / 2);
      for (let part = 0; part < of; part += 1) {
        const query = groupedStatement(request, stated(first, end), { first: part, end: part + 1, of });
        for await (const batch of engineBatches(request, query)) {
          const found = groupsIn(batch.columns[request.columns.length], batch.rowCount, { first, end });
          const decoded = decodeRows(batch, { ...request, isNumbered: false }, 0);
          for (const run of runsOf(found)) yield { group: run.group, part: slice(decoded, run) };
        }
      }
    },
  };
}

interface Run {
  readonly group: number;
  readonly start: number;
  readonly end: number;
}

function* runsOf(groups: Int32Array): Generator<Run> {
  for (let start = 0; start < groups.length;) {
    const group = groups[start] ?? -1;
    let end = start + 1;
    while (end < groups.length && groups[end] === group) end++;
    yield { group, start, end };
    start = end;
  }
}

function slice({ columns }: BatchPart['batch'], { start, end }: Run): BatchPart {
  const cut = columns.map(({ values }) => ({ values: values.subarray(start, end) }));
  return { batch: { rows: end - start, columns: cut } };
}

/** The groups of rows: each must be one that was asked for, since it decides whose isolate sees the row. */
function groupsIn(
  data: ColumnData | undefined,
  rows: number,
  { first, end }: { readonly first: number; readonly end: number },
): Int32Array {
  const groups = numbersIn(Int32Array, data, rows);
  for (const group of groups)
    if (group < first || group >= end) throw new WorkerFault('a row of a group not asked for');
  return groups;
}

function countsIn(data: ColumnData | undefined, rows: number): Float64Array {
  const counts = numbersIn(Float64Array, data, rows);
  if (!counts.every((count) => Number.isSafeInteger(count) && count >= 0)) throw new WorkerFault('not a count');
  return counts;
}

function numbersIn<Type extends typeof Int32Array | typeof Float64Array>(
  type: Type,
  data: ColumnData | undefined,
  rows: number,
): InstanceType<Type> {
  const size = rows * type.BYTES_PER_ELEMENT;
  if (data === undefined || data.validity !== null || data.values.byteLength < size)
    throw new WorkerFault('a column of a group lacks values');
  // A copy, because a frame's payload begins at any address.
  return new type(Uint8Array.from(data.values.subarray(0, size)).buffer, 0, rows) as InstanceType<Type>;
}

import { columnWriter } from './columns.ts';
import type { ColumnBatch, ColumnWriter } from './columns.ts';
import { guestTerms, isClean, runLanes } from './lanes.ts';
import type { LaneBody } from './lanes.ts';
import { javascriptLimits } from './limits.ts';
import { storedKeys } from './source.ts';
import type { ColumnSource, GroupKey, RunTerms } from './source.ts';
import { decodeGroupTable } from './table.ts';
import type { GroupTable } from './table.ts';
import { startJob } from './worker-link.ts';
import type { JavaScriptWorkers } from './worker-link.ts';
import type { TableColumn } from './worker-job.ts';

export interface ApprovedJob {
  readonly factory: string;
  readonly table: readonly TableColumn[];
  readonly maxRowsPerGroup: number;
  /** declared public keys; without them all rows are one group */
  readonly groupBy?: { readonly column: string; readonly keys: readonly GroupKey[] } | undefined;
  readonly lanes?: number;
}

/** The table of each group, with the number of units that the runtime counted in it. */
export interface ApprovedOutcome {
  readonly kind: 'done';
  readonly groups: readonly (GroupTable & {
    readonly key: GroupKey | undefined;
    readonly units: number;
    readonly rowsIn: number;
  })[];
}

/** Columns of groups that are held at one time, bytes; one group may be larger alone. */
const heldBytes = 32 * 1024 * 1024;

/**
 * Runs approved code once per declared group, each time in an isolate of its own with the rows of that group only.
 *
 * Why the unit count is sound: what a row of the result can depend on is decided by what its isolate was given, never by
 * what the code says. A row of group g was computed in an isolate that saw the rows of g and nothing else (no state
 * survives from another group), so the units behind it are among the units of g, which the gateway counts itself.
 *
 * Memory: the first pass counts, the later ones fill buffers of exactly the right size for as many groups as may be held.
 * A group whose rows do not fit into one isolate gets no table, like one whose code fails.
 */
export async function runApproved(
  workers: JavaScriptWorkers,
  job: ApprovedJob,
  source: ColumnSource,
  terms: RunTerms,
): Promise<ApprovedOutcome> {
  const keys: readonly (GroupKey | undefined)[] = job.groupBy?.keys ?? [undefined];
  const groupOf = grouping(source, job.groupBy);
  const counts = await countGroups(source, keys.length, groupOf, terms.signal);
  const guest = guestTerms(job.factory, source, terms);
  const maxRows = Math.min(job.maxRowsPerGroup, javascriptLimits.approvedRowsPerGroup);
  const maxBytes = javascriptLimits.approvedGroupBytes;
  const tables: GroupTable[] = [];
  await runLanes(workers, job, terms, {
    count: keys.length,
    body: groupReader(source, counts, groupOf, terms.signal),
    start: (worker, firstBlock) =>
      startJob(worker, { kind: 'table', terms: guest, table: job.table, maxRows, maxBytes, firstBlock }),
    take: (group, bytes) => {
      const decoded = bytes && decodeGroupTable(bytes, job.table, maxRows);
      tables[group] = decoded ?? { status: 'lost', rows: [] };
      return isClean(decoded?.status);
    },
    maxBytes,
  });
  return {
    kind: 'done',
    groups: keys.map((key, g) => ({
      ...(tables[g] ?? { status: 'lost', rows: [] }),
      key,
      units: counts.units[g] ?? 0,
      rowsIn: counts.rows[g] ?? 0,
    })),
  };
}

type GroupOf = (batch: ColumnBatch) => (row: number) => number | undefined;

/** Which group a row belongs to: undefined for a key that was not declared or is missing. */
function grouping(source: ColumnSource, groupBy: ApprovedJob['groupBy']): GroupOf {
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

interface Counts {
  readonly rows: Float64Array;
  /** different units, counted here: what thresholds are held against */
  readonly units: Float64Array;
}

async function countGroups(
  source: ColumnSource,
  groups: number,
  groupOf: GroupOf,
  signal: AbortSignal | undefined,
): Promise<Counts> {
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

/** Hands out the columns of one group after the other; each run of groups that may be held is one pass over the rows. */
function groupReader(
  source: ColumnSource,
  counts: Counts,
  groupOf: GroupOf,
  signal: AbortSignal | undefined,
): (group: number) => Promise<LaneBody | undefined> {
  let held:
    | { readonly first: number; readonly end: number; readonly bodies: Promise<readonly (LaneBody | undefined)[]> }
    | undefined;
  return async (group) => {
    if (held === undefined || group < held.first || group >= held.end) {
      const first = group;
      let end = first;
      for (let bytes = 0; end < counts.rows.length; end++) {
        bytes += columnWriter(source.columns, counts.rows[end] ?? 0, { isDry: true }).bytes;
        if (bytes > heldBytes && end > first) break;
      }
      const bodies = fill(
        source,
        counts.rows.subarray(first, end),
        (batch) => {
          const of = groupOf(batch);
          return (row) => {
            const found = of(row);
            return found === undefined ? -1 : found - first;
          };
        },
        signal,
      );
      held = { first, end, bodies };
      bodies.catch(() => {});
    }
    return (await held.bodies)[group - held.first];
  };
}

async function fill(
  source: ColumnSource,
  rows: Float64Array,
  placeOf: (batch: ColumnBatch) => (row: number) => number,
  signal: AbortSignal | undefined,
): Promise<readonly (LaneBody | undefined)[]> {
  const writers: readonly (ColumnWriter | undefined)[] = Array.from(rows, (count) => {
    const { bytes } = columnWriter(source.columns, count, { isDry: true });
    return bytes > javascriptLimits.batchBytes ? undefined : columnWriter(source.columns, count);
  });
  for await (const batch of source.batches()) {
    signal?.throwIfAborted();
    const of = placeOf(batch);
    const picks = new Map<number, number[]>();
    for (let i = 0; i < batch.rows; i++) {
      const place = of(i);
      if (writers[place] === undefined) continue;
      const pick = picks.get(place);
      if (pick === undefined) picks.set(place, [i]);
      else pick.push(i);
    }
    for (const [place, pick] of picks) writers[place]?.add({ batch, pick: Int32Array.from(pick) });
  }
  return Array.from(rows, (count, i) => {
    const writer = writers[i];
    return writer && { bytes: writer.finish(), rows: count };
  });
}

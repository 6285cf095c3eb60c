import { columnWriter } from './columns.ts';
import type { ColumnWriter } from './columns.ts';
import { groupsOfBatches } from './group-batches.ts';
import { guestTerms, isClean, runLanes } from './lanes.ts';
import type { LaneBody } from './lanes.ts';
import { javascriptLimits } from './limits.ts';
import type { ColumnSource, GroupBy, GroupKey, GroupedRows, RunTerms } from './source.ts';
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
  readonly groupBy?: GroupBy | undefined;
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
 * survives from another group), so the units behind it are among the units of g, which the runtime counts itself: the gateway over batches in its hands, or the
 * jailed engine that reads the table, by a statement of ours.
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
  const grouped = source.grouped?.(job.groupBy) ?? groupsOfBatches(source, job.groupBy, terms.signal);
  const counts = await grouped.counts();
  const guest = guestTerms(job.factory, source, terms);
  const maxRows = Math.min(job.maxRowsPerGroup, javascriptLimits.approvedRowsPerGroup);
  const maxBytes = javascriptLimits.approvedGroupBytes;
  const tables: GroupTable[] = [];
  await runLanes(workers, job, terms, {
    count: keys.length,
    body: groupReader(source, grouped, counts.rows, terms.signal),
    start: (worker) => startJob(worker, { kind: 'table', terms: guest, table: job.table, maxRows, maxBytes }),
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

/** Hands out the columns of one group after the other; each run of groups that may be held is one pass over their rows. */
function groupReader(
  source: ColumnSource,
  grouped: GroupedRows,
  rows: Float64Array,
  signal: AbortSignal | undefined,
): (group: number) => Promise<LaneBody | undefined> {
  let held:
    | { readonly first: number; readonly end: number; readonly bodies: Promise<readonly (LaneBody | undefined)[]> }
    | undefined;
  return async (group) => {
    if (held === undefined || group < held.first || group >= held.end) {
      const first = group;
      let end = first;
      for (let bytes = 0; end < rows.length; end++) {
        bytes += columnWriter(source.columns, rows[end] ?? 0, { isDry: true }).bytes;
        if (bytes > heldBytes && end > first) break;
      }
      const bodies = fill(source, grouped, { first, end, rows }, signal);
      held = { first, end, bodies };
      bodies.catch(() => {});
    }
    return (await held.bodies)[group - held.first];
  };
}

async function fill(
  source: ColumnSource,
  grouped: GroupedRows,
  { first, end, rows }: { readonly first: number; readonly end: number; readonly rows: Float64Array },
  signal: AbortSignal | undefined,
): Promise<readonly (LaneBody | undefined)[]> {
  const counts = rows.subarray(first, end);
  const writers: readonly (ColumnWriter | undefined)[] = Array.from(counts, (count) => {
    const { bytes } = columnWriter(source.columns, count, { isDry: true });
    return bytes > javascriptLimits.batchBytes ? undefined : columnWriter(source.columns, count);
  });
  if (counts.some((count) => count > 0)) {
    for await (const { group, part } of grouped.rows(first, end)) {
      signal?.throwIfAborted();
      writers[group - first]?.add(part);
    }
  }
  return Array.from(counts, (count, i) => {
    const writer = writers[i];
    return writer && { bytes: writer.finish(), rows: count };
  });
}

import { decodeBlock, lostBlock, partition, summariseBlocks } from './blocks.ts';
import type { BlockOutcome, BlockOutput, BlockValues } from './blocks.ts';
import { encodeBatch, encodeParts, wireKind, wireKinds } from './columns.ts';
import type { BatchPart, ColumnBatch, ColumnSpec } from './columns.ts';
import { javascriptLimits } from './limits.ts';
import type { Prepared, PrepareRequest } from './prepare.ts';
import { printKernel } from './row-function/kernel.ts';
import type { CheckedRowFunction } from './row-function/check.ts';
import type { Reducer, Sensitivity } from './row-function/reducer.ts';
import { statusOf } from './status.ts';
import type { BlockStatus } from './status.ts';
import { decodeGroupTable } from './table.ts';
import type { GroupTable } from './table.ts';
import {
  WorkerLost,
  decodePrepared,
  finishJob,
  bodyTaken,
  nextAnswer,
  sendColumns,
  sendEnd,
  startJob,
  within,
} from './worker-link.ts';
import type { JavaScriptWorker, JavaScriptWorkers, Tier } from './worker-link.ts';
import type { GuestTerms, TableColumn } from './worker-job.ts';

/** Largest answer of any kind: one frame. */
const answerBytes = 4 * 1024 * 1024;

/** A value of a declared public key. */
export type GroupKey = string | number | boolean;

/** The rows of a job as the query layer delivers them: only the granted columns, units numbered from 0. */
export interface ColumnSource {
  readonly columns: readonly ColumnSpec[];
  /** the texts of each dictionary column, by code; the same for all batches */
  readonly dictionaries: ReadonlyMap<string, readonly string[]>;
  /** how many units there are; every `unit` of a batch is below it */
  readonly units: number;
  batches(): AsyncIterable<ColumnBatch> | Iterable<ColumnBatch>;
}

/** How a job with consumer code is run. */
export interface RunTerms {
  readonly tier: Tier;
  readonly timeoutMs: number;
  readonly nowMs: number;
  readonly seed: number;
  readonly libraries?: readonly string[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, of: number) => void;
}

/** No result: for the operator, with a reason; a consumer sees one and the same failure for all of them. */
export interface JobFailed {
  readonly kind: 'failed';
  readonly detail: string;
}

/** Parses (and strips) a consumer's text in a worker that holds no data; its complaints may be shown to the consumer. */
export async function prepareInWorker(
  workers: JavaScriptWorkers,
  request: PrepareRequest,
): Promise<Prepared | JobFailed> {
  const { rowNames } = request;
  const face = rowNames && {
    columns: rowNames.columns,
    parameters: rowNames.parameters,
    outputs: rowNames.outputs.length,
  };
  return withWorker(workers, { tier: 'balanced', wallMs: javascriptLimits.prepareTimeoutMs }, async (worker) => {
    await startJob(worker, { kind: 'prepare', request });
    const bytes = await nextAnswer(worker, { maxBytes: answerBytes, timeoutMs: javascriptLimits.prepareTimeoutMs });
    const prepared = decodePrepared(bytes, face);
    if (prepared === undefined) throw new WorkerLost('the worker answered no program');
    return prepared;
  });
}

/** Exact sums of a row function per group, in the order of the declared keys, with the sensitivity of all of them. */
export interface RowFunctionOutcome {
  readonly kind: 'done';
  readonly groups: readonly { readonly cells: readonly bigint[]; readonly units: number | undefined }[];
  readonly sensitivity: Sensitivity;
}

export interface RowFunctionJob {
  readonly checked: CheckedRowFunction;
  readonly reducer: Reducer;
  readonly parameters?: Readonly<Record<string, number>>;
  readonly rowsPerUnit: number;
  readonly groupBy?: { readonly column: string; readonly keys: readonly GroupKey[] } | undefined;
  /** count the different units of each group, for a policy's `minUnits` */
  readonly isCountingUnits?: boolean;
}

/** Runs a checked row function over all rows in one worker, batch by batch. */
export async function runRowFunction(
  workers: JavaScriptWorkers,
  job: RowFunctionJob,
  source: ColumnSource,
  terms: Pick<RunTerms, 'tier' | 'timeoutMs' | 'signal'>,
): Promise<RowFunctionOutcome | JobFailed> {
  const { plan } = job.checked;
  const groups = job.groupBy?.keys.length ?? 1;
  const cells = groups * plan.cells.length;
  if (cells > javascriptLimits.cells) throw new RangeError(`${cells} cells, limit is ${javascriptLimits.cells}`);
  const isCountingUnits = job.isCountingUnits === true;
  if (isCountingUnits && groups * source.units > javascriptLimits.unitGroupBits)
    throw new RangeError('too many groups and units to count units');
  const kernel = printKernel(job.checked.program, {
    columns: source.columns,
    reducer: job.reducer,
    plan,
    parameters: job.parameters ?? {},
    codeOf: (column, text) => codeOf(source, column, text),
    groupBy: job.groupBy && {
      column: job.groupBy.column,
      keys: storedKeys(source, job.groupBy.column, job.groupBy.keys),
    },
    units: { count: source.units, rowsPerUnit: job.rowsPerUnit, isCounted: isCountingUnits },
  });
  return withWorker(workers, { ...terms, wallMs: terms.timeoutMs + javascriptLimits.graceMs }, async (worker) => {
    const kinds = wireKinds(source.columns, true);
    const isolateMiB = rowIsolateMiB(source.units, groups, isCountingUnits);
    await startJob(worker, {
      kind: 'rowFunction',
      kernel,
      kinds,
      isCountingUnits,
      timeoutMs: terms.timeoutMs,
      isolateMiB,
    });
    let rows = 0;
    let sent = 0;
    for await (const batch of source.batches()) {
      terms.signal?.throwIfAborted();
      if (batch.rows > javascriptLimits.batchRows) throw new RangeError('a batch has too many rows');
      rows += batch.rows;
      if (rows > javascriptLimits.rows) throw new RangeError('too many rows');
      const bytes = encodeBatch(source.columns, batch, true);
      // Two places take turns: one batch is written while the worker computes the other.
      if (sent >= 2) await bodyTaken(worker, terms.timeoutMs);
      await sendColumns(worker, { bytes, rows: batch.rows }, (sent % 2) * javascriptLimits.batchBytes);
      sent += 1;
    }
    for (let left = Math.min(sent, 2); left > 0; left--) await bodyTaken(worker, terms.timeoutMs);
    await sendEnd(worker);
    const totals = await nextAnswer(worker, { maxBytes: cells * 8, timeoutMs: terms.timeoutMs });
    const units = isCountingUnits
      ? await nextAnswer(worker, { maxBytes: groups * 8, timeoutMs: terms.timeoutMs })
      : undefined;
    return {
      kind: 'done',
      groups: decodeCells(totals, units, job, groups, rows),
      sensitivity: job.checked.sensitivity,
    };
  });
}

/** Room for two batches, a counter per unit, the bits of units per group, and the trusted code. */
function rowIsolateMiB(units: number, groups: number, isCountingUnits: boolean): number {
  const counters = units * 4 + (isCountingUnits ? (units * groups) / 8 : 0);
  return javascriptLimits.rowIsolateMiB + Math.ceil((counters + javascriptLimits.batchBytes) / 2 ** 20);
}

/** Reads `i64[groups × cells]` and `f64[groups]`; a sum that no rows could give is a lie of the worker. */
function decodeCells(
  totals: Uint8Array,
  units: Uint8Array | undefined,
  job: RowFunctionJob,
  groups: number,
  rows: number,
): RowFunctionOutcome['groups'] {
  const { cells } = job.checked.plan;
  if (totals.length !== groups * cells.length * 8 || (units !== undefined && units.length !== groups * 8)) {
    throw new WorkerLost('an answer of the wrong size');
  }
  const sums = new DataView(totals.buffer, totals.byteOffset, totals.byteLength);
  const counts = units && new DataView(units.buffer, units.byteOffset, units.byteLength);
  return Array.from({ length: groups }, (_, g) => ({
    cells: cells.map((cell, c) => {
      const sum = sums.getBigInt64((g * cells.length + c) * 8, true);
      const most = BigInt(rows) * BigInt(cell.largest);
      if (sum > most || sum < -most) throw new WorkerLost('an impossible sum');
      return sum;
    }),
    units: counts && countOf(counts.getFloat64(g * 8, true)),
  }));
}

function countOf(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > javascriptLimits.units)
    throw new WorkerLost('an impossible count');
  return value;
}

function codeOf(source: ColumnSource, column: string, text: string): number | undefined {
  const code = source.dictionaries.get(column)?.indexOf(text) ?? -1;
  return code < 0 ? undefined : code;
}

/** The declared keys as the column stores them; undefined for a key that no row can hold. */
export function storedKeys(
  source: ColumnSource,
  name: string,
  keys: readonly GroupKey[],
): readonly (number | undefined)[] {
  const column = source.columns.find((each) => each.name === name);
  if (column === undefined) throw new RangeError(`group column ${JSON.stringify(name)} is not in the data`);
  const codes = new Map((source.dictionaries.get(name) ?? []).map((text, code) => [text, code]));
  return keys.map((key) => {
    if (typeof key === 'string') return column.kind === 'dictionary' ? codes.get(key) : undefined;
    if (typeof key === 'boolean') return column.kind === 'boolean' ? Number(key) : undefined;
    return column.kind === 'float64' || column.kind === 'int32' ? key : undefined;
  });
}

export interface BlocksJob {
  readonly factory: string;
  readonly outputs: readonly BlockOutput[];
  /** block of each unit, from `assignBlocks` with a key that is used once */
  readonly blockOfUnit: Int32Array;
  readonly blocks: number;
  /** a process per block: also native code in one block sees that block alone */
  readonly isProcessPerBlock?: boolean;
  /** workers at the same time */
  readonly lanes?: number;
}

/** Runs block code on every block, the empty ones too, and returns exact integers. */
export async function runBlocks(
  workers: JavaScriptWorkers,
  job: BlocksJob,
  source: ColumnSource,
  terms: RunTerms,
): Promise<BlockOutcome & { readonly kind: 'done' }> {
  const parts = await partsOf(source, job.blockOfUnit, job.blocks);
  const guest = guestTerms(job.factory, source, terms);
  const values: BlockValues[] = [];
  await runLanes(workers, job, terms, {
    bodies: parts.map((part) => () => ({ bytes: encodeParts(source.columns, part), rows: rowsOf(part) })),
    start: (worker, firstBlock) =>
      startJob(worker, { kind: 'blocks', terms: guest, outputs: job.outputs.map((each) => each.name), firstBlock }),
    take: (block, bytes) => {
      const decoded = bytes && decodeBlock(bytes, job.outputs);
      values[block] = decoded ?? lostBlock(job.outputs);
      return isClean(decoded?.status);
    },
    maxBytes: 1 + 8 * job.outputs.length,
  });
  return { kind: 'done', ...summariseBlocks(job.outputs, values) };
}

async function partsOf(
  source: ColumnSource,
  blockOfUnit: Int32Array,
  blocks: number,
): Promise<readonly (readonly BatchPart[])[]> {
  const batches: ColumnBatch[] = [];
  for await (const batch of source.batches()) batches.push(batch);
  return partition(batches, blockOfUnit, blocks);
}

function rowsOf(parts: readonly BatchPart[]): number {
  return parts.reduce((sum, part) => sum + (part.pick?.length ?? part.batch.rows), 0);
}

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

/**
 * Runs approved code once per declared group, each time in an isolate of its own with the rows of that group only.
 *
 * Why the unit count is sound: what a row of the result can depend on is decided by what its isolate was given, never by
 * what the code says. A row of group g was computed in an isolate that saw the rows of g and nothing else (no state
 * survives from another group), so the units behind it are among the units of g, which the gateway counts itself.
 */
export async function runApproved(
  workers: JavaScriptWorkers,
  job: ApprovedJob,
  source: ColumnSource,
  terms: RunTerms,
): Promise<ApprovedOutcome> {
  const batches: ColumnBatch[] = [];
  for await (const batch of source.batches()) batches.push(batch);
  const keys: readonly (GroupKey | undefined)[] = job.groupBy?.keys ?? [undefined];
  const groups = groupParts(batches, source, job.groupBy);
  const guest = guestTerms(job.factory, source, terms);
  const maxRows = Math.min(job.maxRowsPerGroup, javascriptLimits.approvedRowsPerGroup);
  const maxBytes = javascriptLimits.approvedGroupBytes;
  const tables: GroupTable[] = [];
  await runLanes(workers, job, terms, {
    bodies: groups.map((part) => () => ({ bytes: encodeParts(source.columns, part), rows: rowsOf(part) })),
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
    groups: groups.map((part, g) => ({
      ...(tables[g] ?? { status: 'lost', rows: [] }),
      key: keys[g],
      units: unitsOf(part),
      rowsIn: rowsOf(part),
    })),
  };
}

function groupParts(
  batches: readonly ColumnBatch[],
  source: ColumnSource,
  groupBy: ApprovedJob['groupBy'],
): readonly (readonly BatchPart[])[] {
  if (groupBy === undefined) return [batches.map((batch) => ({ batch }))];
  const index = source.columns.findIndex((column) => column.name === groupBy.column);
  const groupOf = new Map<number, number>();
  storedKeys(source, groupBy.column, groupBy.keys).forEach(
    (key, group) => key !== undefined && groupOf.set(key, group),
  );
  const parts: BatchPart[][] = groupBy.keys.map(() => []);
  for (const batch of batches) {
    const column = batch.columns[index];
    if (column === undefined) throw new RangeError('a batch lacks the group column');
    const rows: number[][] = groupBy.keys.map(() => []);
    for (let i = 0; i < batch.rows; i++) {
      if (column.validity?.[i] === 0) continue;
      const group = groupOf.get(Number(column.values[i]));
      if (group !== undefined) rows[group]?.push(i);
    }
    rows.forEach((picked, group) => parts[group]?.push({ batch, pick: Int32Array.from(picked) }));
  }
  return parts;
}

function unitsOf(parts: readonly BatchPart[]): number {
  const units = new Set<number>();
  for (const { batch, pick } of parts) {
    const { unit } = batch;
    if (unit === undefined) throw new RangeError('a batch has no unit numbers');
    const rows = pick?.length ?? batch.rows;
    for (let i = 0; i < rows; i++) units.add(unit[pick === undefined ? i : (pick[i] ?? 0)] ?? -1);
  }
  return units.size;
}

/** After an overrun the process may hold memory of the block that the next one would feel: only a clean end keeps it. */
function isClean(status: BlockStatus | undefined): boolean {
  return (
    status === 'ok' ||
    status === 'wrongType' ||
    status === 'wrongShape' ||
    status === 'threw' ||
    status === 'notCompiled'
  );
}

interface Lanes {
  readonly bodies: readonly (() => { readonly bytes: Uint8Array; readonly rows: number })[];
  readonly start: (worker: JavaScriptWorker, firstBlock: number) => Promise<void>;
  /** Takes the answer of a block, or undefined when it is lost; true when the worker may go on with another block. */
  readonly take: (block: number, bytes: Uint8Array | undefined) => boolean;
  readonly maxBytes: number;
}

/**
 * Runs all bodies, each once, in a few workers side by side. INVARIANT: what happens to one body changes nothing for any
 * other. A worker that dies or hangs costs its own body; the next one gets a new worker.
 */
async function runLanes(
  workers: JavaScriptWorkers,
  job: { readonly lanes?: number; readonly isProcessPerBlock?: boolean },
  terms: RunTerms,
  lanes: Lanes,
): Promise<void> {
  let next = 0;
  let done = 0;
  const count = lanes.bodies.length;
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
        const body = lanes.bodies[block]?.();
        if (body === undefined) break;
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
    } finally {
      terms.signal?.removeEventListener('abort', stop);
      await worker?.destroy();
    }
  };
  const started = new Set<JavaScriptWorker>();
  const answerOf = async (
    worker: JavaScriptWorker,
    block: number,
    body: { readonly bytes: Uint8Array; readonly rows: number },
    of: Lanes,
    timeoutMs: number,
  ): Promise<Uint8Array | undefined> => {
    try {
      if (!started.has(worker)) {
        started.add(worker);
        await of.start(worker, block);
      }
      await sendColumns(worker, body, 0);
      await bodyTaken(worker, timeoutMs);
      const bytes = await nextAnswer(worker, { maxBytes: of.maxBytes, timeoutMs });
      return bytes;
    } catch {
      return undefined;
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, job.lanes ?? 1) }, lane));
}

function guestTerms(factory: string, source: ColumnSource, terms: RunTerms): GuestTerms {
  return {
    factory,
    columns: source.columns.map((column) => ({
      name: column.name,
      kind: wireKind(column),
      ...(column.kind === 'dictionary' ? { labels: source.dictionaries.get(column.name) ?? [] } : {}),
    })),
    timeoutMs: terms.timeoutMs,
    isolateMiB: javascriptLimits.isolateMiB,
    nowMs: terms.nowMs,
    seed: terms.seed,
    libraries: terms.libraries ?? [],
  };
}

/** Runs code over results that were already released to the same consumer; JSON in, JSON out. */
export async function runPost(
  workers: JavaScriptWorkers,
  job: { readonly factory: string; readonly input: unknown },
  terms: RunTerms,
): Promise<{ readonly kind: 'done'; readonly value: unknown } | JobFailed> {
  const input = JSON.stringify(job.input);
  if (Buffer.byteLength(input) > javascriptLimits.postBytes)
    return { kind: 'failed', detail: 'the released results are too large' };
  const guest = { ...guestTerms(job.factory, emptySource, terms), isolateMiB: javascriptLimits.isolateMiB };
  return withWorker(workers, { ...terms, wallMs: terms.timeoutMs + javascriptLimits.startMs }, async (worker) => {
    const maxBytes = javascriptLimits.postBytes;
    await startJob(worker, { kind: 'post', terms: guest, input, maxBytes });
    const bytes = await nextAnswer(worker, {
      maxBytes: maxBytes + 1,
      timeoutMs: terms.timeoutMs + javascriptLimits.graceMs,
    });
    const status = statusOf(bytes[0]);
    if (status !== 'ok') return { kind: 'failed', detail: status ?? 'not an answer' };
    const value = decodeJson(bytes.subarray(1));
    return value === undefined ? { kind: 'failed', detail: 'not JSON' } : { kind: 'done', value: value.json };
  });
}

/** Runs code on synthetic data for its author and returns everything it said. Never call it with a dataset's rows. */
export async function runOnTwin(
  workers: JavaScriptWorkers,
  job: { readonly factory: string },
  twin: ColumnSource,
  terms: RunTerms,
): Promise<
  | { readonly kind: 'done'; readonly console: readonly string[]; readonly result?: string; readonly error?: string }
  | JobFailed
> {
  const batches: ColumnBatch[] = [];
  for await (const batch of twin.batches()) batches.push(batch);
  const parts = batches.map((batch) => ({ batch }));
  return withWorker(workers, { ...terms, wallMs: terms.timeoutMs + javascriptLimits.startMs }, async (worker) => {
    const maxCharacters = javascriptLimits.debugCharacters;
    await startJob(worker, { kind: 'debug', terms: guestTerms(job.factory, twin, terms), maxCharacters });
    await sendColumns(worker, { bytes: encodeParts(twin.columns, parts), rows: rowsOf(parts) }, 0);
    await sendEnd(worker);
    await bodyTaken(worker, terms.timeoutMs);
    const bytes = await nextAnswer(worker, {
      maxBytes: answerBytes,
      timeoutMs: terms.timeoutMs + javascriptLimits.graceMs,
    });
    const said = decodeJson(bytes)?.json;
    if (typeof said !== 'object' || said === null) return { kind: 'failed', detail: 'not an answer' };
    const { console: lines, result, error } = said as Record<string, unknown>;
    return {
      kind: 'done',
      console: Array.isArray(lines) ? lines.filter((line) => typeof line === 'string') : [],
      ...(typeof result === 'string' ? { result } : {}),
      ...(typeof error === 'string' ? { error } : {}),
    };
  });
}

const emptySource: ColumnSource = { columns: [], dictionaries: new Map(), units: 0, batches: () => [] };

function decodeJson(bytes: Uint8Array): { readonly json: unknown } | undefined {
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return isShallow(json, javascriptLimits.postDepth) ? { json } : undefined;
  } catch {
    return undefined;
  }
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((each) => isShallow(each, depth - 1));
}

/** Leases a worker for one job; it never serves another one, and is killed unless the job ended cleanly. */
async function withWorker<T>(
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
    return { kind: 'failed', detail: error instanceof Error ? error.message : 'unknown' };
  } finally {
    terms.signal?.removeEventListener('abort', stop);
  }
}

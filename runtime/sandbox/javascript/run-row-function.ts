import { batchPieces, bytesOfRows, wireKinds } from './columns.ts';
import type { ColumnBatch } from './columns.ts';
import { withWorker } from './lease.ts';
import { javascriptLimits } from './limits.ts';
import type { CheckedRowFunction } from './row-function/check.ts';
import { printKernel } from './row-function/kernel.ts';
import type { KernelTerms } from './row-function/kernel.ts';
import type { Reducer, Sensitivity } from './row-function/reducer.ts';
import { vectorKernel } from './row-function/vector/reduce.ts';
import { codeOf, storedKeys } from './source.ts';
import type { ColumnSource, GroupKey, JobFailed, RunTerms, SourceKernel } from './source.ts';
import { WorkerLost, bodyTaken, bytesOf, nextAnswer, sendColumns, sendEnd, startJob, within } from './worker-link.ts';
import type { JavaScriptWorker, JavaScriptWorkers } from './worker-link.ts';

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
  terms: Pick<RunTerms, 'tier' | 'timeoutMs' | 'signal' | 'memoryMiB'>,
): Promise<RowFunctionOutcome | JobFailed> {
  const { plan } = job.checked;
  const groups = job.groupBy?.keys.length ?? 1;
  const cells = groups * plan.cells.length;
  if (cells > javascriptLimits.cells) throw new RangeError(`${cells} cells, limit is ${javascriptLimits.cells}`);
  const isCountingUnits = job.isCountingUnits === true;
  if (isCountingUnits && groups * source.units > javascriptLimits.unitGroupBits)
    throw new RangeError('too many groups and units to count units');
  // What bounds the rows of a unit is the source itself, or the kernel, which must know then which unit a row is of.
  const isBounded = source.boundedRowsPerUnit !== undefined && source.boundedRowsPerUnit <= job.rowsPerUnit;
  const units =
    isBounded && !isCountingUnits
      ? undefined
      : { count: source.units, rowsPerUnit: job.rowsPerUnit, isCounted: isCountingUnits };
  const kernelTerms: KernelTerms = {
    columns: source.columns,
    reducer: job.reducer,
    plan,
    parameters: job.parameters ?? {},
    codeOf: (column, text) => codeOf(source, column, text),
    groupBy: job.groupBy && {
      column: job.groupBy.column,
      keys: storedKeys(source, job.groupBy.column, job.groupBy.keys),
    },
    units,
  };
  const kernel = printKernel(job.checked.program, kernelTerms);
  // The strict tier promises a process without a compiler: only a worker of this image has that.
  const isCompiled = terms.tier === 'balanced';
  const bytes = isCompiled ? vectorKernel(job.checked.program, kernelTerms) : undefined;
  const module = bytes && Buffer.from(bytes).toString('base64');
  const mayFold = units === undefined && isCompiled && kernel.length <= foldCharacters;
  if (source.fold !== undefined && mayFold)
    return foldedBy(source.fold, { kernel, module, kinds: wireKinds(source.columns, false), cells }, job, terms);
  return withWorker(workers, { ...terms, wallMs: terms.timeoutMs + javascriptLimits.graceMs }, async (worker) => {
    const kinds = wireKinds(source.columns, units !== undefined);
    const wantedMiB = rowIsolateMiB(units?.count ?? 0, groups, isCountingUnits);
    const isolateMiB = Math.min(wantedMiB, terms.memoryMiB ?? Infinity);
    await startJob(worker, {
      kind: 'rowFunction',
      kernel,
      module,
      cells,
      kinds,
      isCountingUnits,
      timeoutMs: terms.timeoutMs,
      isolateMiB,
    });
    const rows = await sendBatches(worker, source, { ...terms, withUnit: units !== undefined });
    await sendEnd(worker);
    const totals = await nextAnswer(worker, { maxBytes: cells * 8, timeoutMs: terms.timeoutMs });
    const counts = isCountingUnits
      ? await nextAnswer(worker, { maxBytes: groups * 8, timeoutMs: terms.timeoutMs })
      : undefined;
    return {
      kind: 'done',
      groups: decodeCells(totals, counts, job, groups, rows),
      sensitivity: job.checked.sensitivity,
    };
  });
}

/** Longest kernel that goes to the rows: it travels in one frame beside a statement. Histograms of very many bins stay. */
const foldCharacters = 256 * 1024;

/** Runs the kernel where the source reads its rows; whatever goes wrong there is one and the same failure. */
async function foldedBy(
  fold: NonNullable<ColumnSource['fold']>,
  kernel: SourceKernel,
  job: RowFunctionJob,
  { timeoutMs, signal }: Pick<RunTerms, 'timeoutMs' | 'signal'>,
): Promise<RowFunctionOutcome | JobFailed> {
  signal?.throwIfAborted();
  try {
    const { totals, rows } = await within(timeoutMs, fold(kernel));
    const groups = kernel.cells / job.checked.plan.cells.length;
    return {
      kind: 'done',
      groups: decodeCells(totals, undefined, job, groups, rows),
      sensitivity: job.checked.sensitivity,
    };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof RangeError) throw error; // ours
    return { kind: 'failed', detail: error instanceof Error ? error.message : 'unknown' };
  }
}

/**
 * Batches go together up to this size, and so many are under way at one time; of larger ones there are two. All places together
 * fit a processor's cache: with places of 4 MiB, both processes fetched from memory what the other had just written.
 */
const SMALL_PLACES = 4;
const SMALL_BYTES = 2 ** 20;

/**
 * Sends all rows through the worker's memory file and returns how many they were. Several places take turns: a batch is
 * written while the worker computes another. INVARIANT: the worker takes batches in their order, so a place is free again
 * when fewer batches are under way than there are places of its size.
 */
async function sendBatches(
  worker: JavaScriptWorker,
  source: ColumnSource,
  terms: Pick<RunTerms, 'timeoutMs' | 'signal'> & { readonly withUnit: boolean },
): Promise<number> {
  const piecesOf = batchPieces(source.columns, terms.withUnit);
  const sizeOf = (count: number): number => bytesOfRows(source.columns, count, terms.withUnit);
  let rows = 0;
  let underWay = 0;
  let [small, large] = [0, 0];
  let gathered: ColumnBatch[] = [];
  let gatheredRows = 0;
  const leave = async (most: number): Promise<void> => {
    for (; underWay > most; underWay -= 1) await bodyTaken(worker, terms.timeoutMs);
  };
  const send = async (): Promise<void> => {
    if (gathered.length === 0) return;
    const bytes = piecesOf(gathered);
    const isSmall = bytesOf(bytes) <= SMALL_BYTES;
    await leave(isSmall ? SMALL_PLACES - 1 : 1);
    const place = isSmall
      ? (small++ % SMALL_PLACES) * SMALL_BYTES
      : SMALL_PLACES * SMALL_BYTES + (large++ % 2) * javascriptLimits.batchBytes;
    await sendColumns(worker, { bytes, rows: gatheredRows }, place);
    underWay += 1;
    gathered = [];
    gatheredRows = 0;
  };
  for await (const batch of source.batches()) {
    terms.signal?.throwIfAborted();
    if (batch.rows > javascriptLimits.batchRows) throw new RangeError('a batch has too many rows');
    rows += batch.rows;
    if (rows > javascriptLimits.rows) throw new RangeError('too many rows');
    const together = gatheredRows + batch.rows;
    if (together > javascriptLimits.batchRows || sizeOf(together) > SMALL_BYTES) await send();
    gathered.push(batch);
    gatheredRows += batch.rows;
  }
  await send();
  await leave(0);
  return rows;
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

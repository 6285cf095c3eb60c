import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { type ReadyCode, type ReadyInput, UNIT } from '../job/prepare-javascript.ts';
import type { Execution, ExecutionSummary, ColumnAccuracy } from '../job/prepare.ts';
import type { SqlEngine } from '../job/prepare-sql.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import type { OutputColumn } from '../release/candidate.ts';
import { batchFromRows, type Cell } from '../release/column-values.ts';
import type { ColumnBatch, ColumnType, Schema } from '../release/columns.ts';
import { toNumber } from '../release/discrete-laplace.ts';
import type { Entropy } from '../release/entropy.ts';
import type { NoiseShare } from '../release/noise.ts';
import { aggregateBlocks, type BlockPlan } from '../release/sample-and-aggregate.ts';
import { DEFAULT_RELEASE_LIMITS } from '../release/terms.ts';
import { Uniform } from '../release/uniform.ts';
import { blockGrid } from '../sandbox/javascript/blocks.ts';
import { iterationResult, runIteration, startIteration } from '../sandbox/javascript/iterate.ts';
import { javascriptLimits } from '../sandbox/javascript/limits.ts';
import { blockResults, estimatesOf, evenShare, noiseOfCells, noisedCells } from '../sandbox/javascript/noised.ts';
import { pooledWorkers } from '../sandbox/javascript/pooled-workers.ts';
import {
  adviseBlocks,
  blockAnswerMs,
  guaranteeOf,
  type JobTerms,
  type PreparedComputation,
  runJavaScriptJob,
} from '../sandbox/javascript/prepared.ts';
import type { NamedValue } from '../sandbox/javascript/row-function/finish.ts';
import type { ColumnSource, GroupKey } from '../sandbox/javascript/source.ts';
import type { JavaScriptWorkers } from '../sandbox/javascript/worker-link.ts';
import type { WorkerPool } from '../sandbox/pool.ts';
import { type ReadColumn, rowSource } from './javascript-rows.ts';

export interface JavaScriptRunNeeds {
  readonly pool: WorkerPool;
  readonly open: SqlEngine['open'];
  /** Noise, block keys and seeds come from here; only the seed ever reaches a worker with consumer code. */
  readonly entropy: Entropy;
  readonly nowMs: () => number;
  /** Rows of a released result of that party by job id; undefined when there is none of its own. */
  readonly resultOf: (party: string, jobId: string) => Promise<readonly Readonly<Record<string, Cell>>[] | undefined>;
}

type Of<Mode extends PreparedComputation['mode']> = Extract<PreparedComputation, { readonly mode: Mode }>;

/** Coverage of the intervals that go out beside noisy numbers. */
const CONFIDENCE = 0.95;

/** A checked row function, reduced by trusted code; noise on the exact sums. */
export function rowFunctionRun(
  needs: JavaScriptRunNeeds,
  input: ReadyInput,
  prepared: Of<'rowFunction'>,
  columns: readonly ReadColumn[],
): ReadyCode | Denied {
  const { computation, checked, facts } = prepared;
  const { groupBy, iterate, outputs, reducer } = computation;
  const rounds = iterate?.rounds ?? 1;
  const budget: NoiseShare = { kind: 'laplace', microEpsilon: input.microEpsilon };
  const share = evenShare(budget, rounds);
  if (smallestShare(share, checked.sensitivity.queries.length) < 1)
    return denied(reason('epsilon-too-small', 'the budget of the job is too small for so many numbers and rounds'));
  if (iterate !== undefined && groupBy !== undefined)
    return denied(reason('program-not-valid', 'groupBy: a job in rounds has no groups'));
  const keys: readonly (GroupKey | undefined)[] = groupBy?.keys ?? [undefined];
  const names = iterate === undefined ? predicted(checked.plan.cells.length, 0) : [];
  const table = statisticsTable(groupBy?.column, keys);
  const statistics = iterate === undefined ? keys.length * Math.max(names.length, 1) : 0;
  if (statistics > DEFAULT_RELEASE_LIMITS.maxRows)
    return denied(
      reason('too-many-outputs', `the result would have ${statistics} rows`, {
        remedy: `at most ${DEFAULT_RELEASE_LIMITS.maxRows}`,
      }),
    );
  const noise = noiseOfCells(checked.sensitivity, share);

  /** Statistics as they would come out of about as many rows: where explain takes its errors from. */
  function predicted(cells: number, rows: number): readonly NamedValue[] {
    const of = noiseOfCells(checked.sensitivity, share);
    const exact = Array.from({ length: cells }, (_, i) =>
      checked.plan.cells[i]?.name.endsWith('count') === true ? BigInt(rows) : 0n,
    );
    return estimatesOf(outputs, reducer, checked.plan, { cells: exact, noise: of });
  }

  const about = roughly(Number(input.data?.table.rowCount ?? 0n) / keys.length);
  const errors =
    iterate === undefined
      ? predicted(checked.plan.cells.length, about).map(({ name, low, high }): ColumnAccuracy => ({
          column: name,
          halfWidth: (high - low) / 2,
          confidence: CONFIDENCE,
        }))
      : [];
  return {
    kind: 'ready',
    outputs: table.outputs,
    certificates: [],
    errors,
    guarantee: `${guaranteeOf('rowFunction')}; ${epsilonText(input.microEpsilon)}`,
    inWords: [
      `for each row of \`${computation.table}\`: ${checked.printed}`,
      ...outputs.map(({ name, range: [low, high] }) => `each \`${name}\` is clamped to [${low}, ${high}]`),
      `at most ${facts.rowsPerUnit} rows of each privacy unit are used`,
      iterate === undefined
        ? `trusted code reduces the numbers by \`${reducer.kind}\`${groupBy === undefined ? '' : ` for each of ${keys.length} declared keys of \`${groupBy.column}\``}`
        : `${rounds} rounds of ${iterate.algorithm}, each on noisy sums`,
      `discrete Laplace noise of scale ${scalesText(noise)} (in steps of the grid) on the exact sums`,
      epsilonText(input.microEpsilon),
    ],
    execute: (signal, progress) =>
      execution(async () => {
        const source = sourceOf(needs, input, columns, { isSorted: false, rowsPerUnit: facts.rowsPerUnit, signal });
        const workers = workersOf(needs, input, signal);
        const terms = termsOf(needs, input, signal);
        const uniform = new Uniform(needs.entropy);
        if (iterate === undefined) {
          const outcome = await runJavaScriptJob(workers, prepared, source, terms);
          if (outcome.kind === 'failed' || outcome.mode !== 'rowFunction') return undefined;
          const noised = noisedCells(outcome, share, uniform);
          const { plan } = outcome.checked;
          return table.batchOf(
            noised.groups.map((cells) => estimatesOf(outputs, reducer, plan, { cells, noise: noised.noise })),
          );
        }
        const state = await runIteration(startIteration(iterate, outputs), async (round, index) => {
          const outcome = await runJavaScriptJob(workers, prepared, source, { ...terms, round });
          if (outcome.kind === 'failed' || outcome.mode !== 'rowFunction') return undefined;
          progress?.(index + 1, rounds);
          return noisedCells(outcome, share, uniform).groups[0];
        });
        if (state.round < rounds) return undefined;
        return table.batchOf([
          iterationResult(state).map(({ name, value }) => ({ name, value, low: null, high: null })),
        ]);
      }, input),
  };
}

/** Any code on disjoint blocks of units; noise on the aggregate over blocks, and one time at which the answer leaves. */
export function blocksRun(
  needs: JavaScriptRunNeeds,
  input: ReadyInput,
  prepared: Of<'blocks'>,
  columns: readonly ReadColumn[],
): ReadyCode | Denied {
  const { computation } = prepared;
  const { blocks, outputs } = computation;
  const epsilon = input.microEpsilon / 1e6;
  const rows = roughly(Number(input.data?.table.rowCount ?? 0n));
  const tooLarge = problemOfSize(rows, columns.length, MAX_BLOCK_VALUES);
  if (tooLarge !== null) return tooLarge;
  const advice = adviseBlocks(computation, { units: rows, epsilon });
  const count = blocks.count ?? Math.max(2, advice.blocks);
  const rowsPerUnit = input.data?.rowsPerUnit ?? 1;
  const lanes = Math.max(1, Math.min(MAX_LANES, availableParallelism()));
  // Reading and sorting rows takes its share, which may rest on nothing but the table's rough size either.
  const readMs = READ_MS + Math.ceil(rows / READ_ROWS_PER_MS);
  const answerMs = readMs + blockAnswerMs({ blocks: count, timeoutMs: blocks.timeoutMs, lanes });
  if (answerMs > MAX_ANSWER_MS) {
    return denied(
      reason('answer-too-late', `${count} blocks of ${blocks.timeoutMs} ms would be answered after ${answerMs} ms`, {
        remedy: `the answer of blocks leaves at a fixed time, at most ${MAX_ANSWER_MS} ms: declare fewer blocks or a shorter time`,
      }),
    );
  }
  const plan: BlockPlan = {
    blocks: count,
    copies: 1,
    budget: { kind: 'laplace', microEpsilon: input.microEpsilon, femtoDelta: 0 },
    outputs: outputs.map((output) => ({
      name: output.name,
      low: output.range[0],
      high: output.range[1],
      step: rationalOf(blockGrid(output).step),
      fallback: output.default,
      method: blocks.aggregate,
    })),
  };
  if (Math.floor(input.microEpsilon / outputs.length) < 1)
    return denied(reason('epsilon-too-small', 'the budget of the job is too small for so many numbers'));
  const table = statisticsTable(undefined, [undefined]);
  // Half-width of Laplace noise of scale k·(high − low)/(B·ε) at 95 %.
  const errors = outputs.map(({ name, range: [low, high] }): ColumnAccuracy => ({
    column: name,
    halfWidth: ((outputs.length * (high - low)) / (count * epsilon)) * Math.log(1 / (1 - CONFIDENCE)),
    confidence: CONFIDENCE,
  }));
  return {
    kind: 'ready',
    outputs: table.outputs,
    certificates: [],
    errors: blocks.aggregate === 'mean' ? errors : [],
    guarantee: `${guaranteeOf('blocks')}; ${count} blocks, ${epsilonText(input.microEpsilon)}`,
    inWords: [
      `the privacy units of \`${computation.table}\` are split at random into ${count} disjoint blocks${blocks.count === undefined ? ' (the recommended number)' : `; ${advice.blocks} are recommended`}`,
      `at most ${rowsPerUnit} rows of each privacy unit are used`,
      `the program runs alone on each block, for at most ${blocks.timeoutMs} ms; a block that fails counts as the declared default`,
      ...outputs.map(
        (output) =>
          `\`${output.name}\`: clamped to [${output.range[0]}, ${output.range[1]}], default ${output.default}`,
      ),
      `the noisy ${blocks.aggregate} over the blocks is released, ${epsilonText(input.microEpsilon)}`,
      `the answer leaves ${answerMs} ms after the start, whatever the blocks did`,
    ],
    execute: (signal) =>
      execution(async () => {
        const started = performance.now();
        const source = sourceOf(needs, input, columns, { isSorted: true, rowsPerUnit, signal });
        const outcome = await runJavaScriptJob(workersOf(needs, input, signal), prepared, source, {
          ...termsOf(needs, input, signal),
          blockKey: needs.entropy.bytes(32),
          blocks: count,
          lanes,
        });
        if (outcome.kind === 'failed' || outcome.mode !== 'blocks') return undefined;
        const estimates = aggregateBlocks(plan, blockResults(outcome), needs.entropy);
        // How long blocks ran would tell whether somebody's rows were among them.
        await delay(Math.max(0, answerMs - (performance.now() - started)), undefined, { signal });
        return table.batchOf([
          outputs.map(({ name }, i) => {
            const { value = 0, low = 0, high = 0 } = estimates[i] ?? {};
            return { name, value, low, high };
          }),
        ]);
      }, input),
  };
}

/** These methods hold the table in the gateway's memory; what a row function reads is streamed. */
function problemOfSize(rows: number, columns: number, most: number): Denied | null {
  if (rows * (columns + 1) <= most) return null;
  return denied(
    reason('table-too-large', 'the table is too large to be held in memory for this method', {
      remedy: 'use a row function, which reads tables of any size, or fewer columns',
    }),
  );
}

/** Values (rows × columns, and the unit) of a table that is split into blocks; of one that approved code reads at once. */
const MAX_BLOCK_VALUES = 64_000_000;
const MAX_APPROVED_VALUES = 16_000_000;
/** What the fixed time of an answer grants to reading rows. */
const READ_MS = 1000;
const READ_ROWS_PER_MS = 500;
/** Workers that serve blocks side by side. */
const MAX_LANES = 4;
/** Latest time at which the answer of a job in blocks may leave. */
const MAX_ANSWER_MS = 30 * 60_000;

/** Code that people approved: a table per declared group, with the units that the runtime counted as its certificate. */
export function approvedRun(
  needs: JavaScriptRunNeeds,
  input: ReadyInput,
  prepared: Of<'approved'>,
  columns: readonly ReadColumn[],
): ReadyCode | Denied {
  const { computation } = prepared;
  const { groupBy, result } = computation;
  if (input.release.mode !== 'approvedCode') throw new Error('approved code runs in its own mode');
  const { minUnits } = input.release;
  const tooLarge = problemOfSize(
    roughly(Number(input.data?.table.rowCount ?? 0n)),
    columns.length,
    MAX_APPROVED_VALUES,
  );
  if (tooLarge !== null) return tooLarge;
  const keyType = groupBy === undefined ? undefined : typeOfKeys(groupBy.keys);
  const outputs: OutputColumn[] = [
    ...(groupBy === undefined || keyType === undefined
      ? []
      : [{ name: groupBy.column, type: keyType, nullable: true, role: 'key' as const }]),
    ...result.map(({ name, kind }) => ({ name, type: cellType(kind), nullable: true, role: 'cell' as const })),
  ];
  const hidden = 'units behind the row';
  const taken = outputs.map(({ name }) => name);
  if (new Set([...taken, hidden]).size !== taken.length + 1)
    return denied(reason('program-not-valid', 'result: two columns have the same name'));
  const schema: Schema = [
    ...outputs.map(({ name, type, nullable }) => ({ name, type, nullable })),
    { name: hidden, type: { kind: 'int64' }, nullable: false },
  ];
  return {
    kind: 'ready',
    outputs,
    certificates: [{ kind: 'units', column: hidden, unit: UNIT, cells: null }],
    errors: [],
    guarantee: `${guaranteeOf('approved')}; at least ${minUnits} units behind every row`,
    inWords: [
      groupBy === undefined
        ? `the approved program runs once, over all rows of \`${computation.table}\``
        : `the approved program runs once for each of ${groupBy.keys.length} declared keys of \`${groupBy.column}\`, with the rows of that key alone`,
      `rows over fewer than ${minUnits} privacy units are withheld; the runtime counts them`,
    ],
    execute: (signal) =>
      execution(async () => {
        const source = sourceOf(needs, input, columns, { isSorted: true, rowsPerUnit: null, signal });
        const outcome = await runJavaScriptJob(
          workersOf(needs, input, signal),
          prepared,
          source,
          termsOf(needs, input, signal),
        );
        if (outcome.kind === 'failed' || outcome.mode !== 'approved') return undefined;
        const rows = outcome.groups.flatMap(({ key, rows: own, units }) =>
          own.map((row): readonly Cell[] => [
            ...(groupBy === undefined ? [] : [keyCell(key, keyType)]),
            ...row.map((cell, i) => (result[i]?.kind === 'int32' && typeof cell === 'number' ? cell | 0 : cell)),
            BigInt(units),
          ]),
        );
        return { batch: batchFromRows(schema, rows), errors: [] };
      }, input),
  };
}

/** Code over results that this party already has: its answer is one JSON document. */
export async function postRun(
  needs: JavaScriptRunNeeds,
  input: ReadyInput,
  prepared: Of<'post'>,
): Promise<ReadyCode | Denied> {
  const { results } = prepared.computation;
  for (const id of results) {
    if ((await needs.resultOf(input.party, id)) === undefined) {
      return denied(
        reason('result-unknown', `no released result \`${id}\` of yours is kept`, {
          remedy: 'name jobs of your own that were released within the last day',
        }),
      );
    }
  }
  const outputs: OutputColumn[] = [{ name: 'result', type: { kind: 'utf8' }, nullable: true, role: 'cell' }];
  const schema: Schema = [{ name: 'result', type: { kind: 'utf8' }, nullable: true }];
  return {
    kind: 'ready',
    outputs,
    certificates: [],
    errors: [],
    guarantee: guaranteeOf('post'),
    inWords: [
      `the program reads the released results of ${results.join(', ')} and nothing else`,
      'it costs no privacy budget',
    ],
    execute: (signal) =>
      execution(async () => {
        const released: Record<string, unknown> = {};
        for (const id of results) released[id] = (await needs.resultOf(input.party, id))?.map(plainRow) ?? [];
        const outcome = await runJavaScriptJob(workersOf(needs, input, signal), prepared, NO_ROWS, {
          ...termsOf(needs, input, signal),
          released,
        });
        if (outcome.kind === 'failed' || outcome.mode !== 'post') return undefined;
        return { batch: batchFromRows(schema, [[JSON.stringify(outcome.value)]]), errors: [] };
      }, input),
  };
}

const NO_ROWS: ColumnSource = { columns: [], dictionaries: new Map(), units: 0, batches: () => [] };

/** BigInts have no JSON: exact where doubles are, else as text. */
function plainRow(row: Readonly<Record<string, Cell>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(row).map(([name, cell]) => [
      name,
      typeof cell !== 'bigint' ? cell : Number.isSafeInteger(Number(cell)) ? Number(cell) : cell.toString(),
    ]),
  );
}

function sourceOf(
  needs: JavaScriptRunNeeds,
  { data, party }: ReadyInput,
  columns: readonly ReadColumn[],
  more: { readonly isSorted: boolean; readonly rowsPerUnit: number | null; readonly signal: AbortSignal },
): ColumnSource {
  if (data === null) throw new Error('code over a table without a table');
  const { dataset, table } = data;
  return rowSource({ pool: needs.pool, party, dataset, table, columns, ...more });
}

const workersOf = (needs: JavaScriptRunNeeds, { party }: ReadyInput, signal: AbortSignal): JavaScriptWorkers =>
  pooledWorkers(needs.pool, { party, signal });

/** The clock is the job's, in whole days, and the seed is fresh: neither tells anything about rows or other jobs. */
function termsOf(needs: JavaScriptRunNeeds, { release }: ReadyInput, signal: AbortSignal): JobTerms {
  const bytes = needs.entropy.bytes(4);
  return {
    tier: release.mode === 'sandbox' ? release.tier : 'balanced',
    timeoutMs: javascriptLimits.programTimeoutMs,
    nowMs: Math.floor(needs.nowMs() / DAY_MS) * DAY_MS,
    seed: new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true),
    signal,
  };
}

const DAY_MS = 86_400_000;

interface Made {
  readonly batch: ColumnBatch;
  readonly errors: readonly ColumnAccuracy[];
}

/** One batch, or one word for every failure. */
function execution(run: () => Promise<Made | undefined>, { data }: ReadyInput): Execution {
  let summary: ExecutionSummary = { kind: 'failed' };
  async function* batches(): AsyncGenerator<ColumnBatch, void, void> {
    const made = await run();
    if (made === undefined) return;
    const { batch, errors } = made;
    summary = {
      kind: 'done',
      rowsScanned: Number(data?.table.rowCount ?? 0n),
      cpuMs: 0,
      withheld: { cells: null, reasons: [] },
      errors,
    };
    yield batch;
  }
  return { batches: batches(), summary: () => summary };
}

interface Statistic {
  readonly name: string;
  readonly value: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** One row per statistic and key: its name, the noisy value, and between what the exact one lies (95 %). */
function statisticsTable(
  groupColumn: string | undefined,
  keys: readonly (GroupKey | undefined)[],
): {
  readonly outputs: readonly OutputColumn[];
  readonly batchOf: (groups: readonly (readonly Statistic[])[]) => Made;
} {
  const own = ['statistic', 'value', 'low', 'high'];
  const keyType = groupColumn === undefined ? undefined : typeOfKeys(keys.filter((key) => key !== undefined));
  const float64: ColumnType = { kind: 'float64' };
  const outputs: readonly OutputColumn[] = [
    ...(groupColumn === undefined || keyType === undefined
      ? []
      : [
          {
            name: own.includes(groupColumn) ? `key ${groupColumn}` : groupColumn,
            type: keyType,
            nullable: true,
            role: 'key' as const,
          },
        ]),
    { name: 'statistic', type: { kind: 'utf8' }, nullable: true, role: 'key' },
    { name: 'value', type: float64, nullable: true, role: 'cell' },
    { name: 'low', type: float64, nullable: true, role: 'cell' },
    { name: 'high', type: float64, nullable: true, role: 'cell' },
  ];
  const schema: Schema = outputs.map(({ name, type, nullable }) => ({ name, type, nullable }));
  return {
    outputs,
    batchOf: (groups) => ({
      batch: batchFromRows(
        schema,
        groups.flatMap((statistics, g) =>
          statistics.map(({ name, value, low, high }): readonly Cell[] => [
            ...(keyType === undefined ? [] : [keyCell(keys[g], keyType)]),
            name,
            value,
            low,
            high,
          ]),
        ),
      ),
      errors: widestOf(groups.flat()),
    }),
  };
}

/** The widest interval of each statistic, half of it. */
function widestOf(statistics: readonly Statistic[]): readonly ColumnAccuracy[] {
  const widest = new Map<string, number>();
  for (const { name, low, high } of statistics) {
    if (low !== null && high !== null) widest.set(name, Math.max(widest.get(name) ?? 0, (high - low) / 2));
  }
  return [...widest].slice(0, MAX_ERRORS).map(([column, halfWidth]) => ({ column, halfWidth, confidence: CONFIDENCE }));
}

/** Errors told beside a result; every row of it has its own interval anyway. */
const MAX_ERRORS = 64;

/** Keys of one type keep it; mixed ones become texts. */
function typeOfKeys(keys: readonly GroupKey[]): ColumnType {
  if (keys.every((key) => typeof key === 'number')) return { kind: 'float64' };
  return keys.every((key) => typeof key === 'boolean') ? { kind: 'bool' } : { kind: 'utf8' };
}

function keyCell(key: GroupKey | undefined, type: ColumnType | undefined): Cell {
  if (key === undefined) return null;
  return type?.kind === 'utf8' ? String(key) : key;
}

function cellType(kind: 'float64' | 'int32' | 'boolean' | 'text'): ColumnType {
  switch (kind) {
    case 'float64':
    case 'int32':
      return { kind };
    case 'boolean':
      return { kind: 'bool' };
    case 'text':
      return { kind: 'utf8' };
  }
}

/** The size of a table to the next lower power of two: what block numbers and predicted errors may rest on. */
function roughly(rows: number): number {
  return rows < 1 ? 1 : 2 ** Math.floor(Math.log2(rows));
}

/** A double as the fraction that it is. */
function rationalOf(value: number): { readonly numerator: bigint; readonly denominator: bigint } {
  let [scaled, denominator] = [value, 1n];
  while (!Number.isInteger(scaled)) [scaled, denominator] = [scaled * 2, denominator * 2n];
  return { numerator: BigInt(scaled), denominator };
}

const smallestShare = (share: NoiseShare, parts: number): number =>
  share.kind === 'laplace' ? Math.floor(share.microEpsilon / parts) : Math.floor(share.nanoRho / parts);

const epsilonText = (microEpsilon: number): string => `epsilon ${microEpsilon / 1e6}, delta 0`;

function scalesText(noise: readonly ReturnType<typeof noiseOfCells>[number][]): string {
  const scales = noise.map((one) => (one.kind === 'laplace' ? Math.round(toNumber(one.scale)) : 0));
  return [...new Set(scales)].slice(0, 5).join(', ');
}

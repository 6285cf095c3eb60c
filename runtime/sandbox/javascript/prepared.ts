import { recommendBlocks } from './blocks.ts';
import type { BlockAdvice, BlockOutcome } from './blocks.ts';
import type { ColumnSpec } from './columns.ts';
import type { Complaint } from './complaint.ts';
import type {
  ApprovedComputation,
  BlocksComputation,
  JavaScriptComputation,
  PostComputation,
  RowFunctionComputation,
} from './computation.ts';
import { nextReducer, startIteration } from './iterate.ts';
import { javascriptLimits } from './limits.ts';
import { planRowFunction } from './row-function/check.ts';
import type { CheckedRowFunction } from './row-function/check.ts';
import type { RowProgram } from './row-function/program.ts';
import type { Reducer } from './row-function/reducer.ts';
import { prepareInWorker } from './prepare-in-worker.ts';
import { runApproved } from './run-approved.ts';
import { keyedBlocks, runBlocks } from './run-blocks.ts';
import { runPost } from './run-post.ts';
import { runRowFunction } from './run-row-function.ts';
import type { ApprovedOutcome } from './run-approved.ts';
import type { RowFunctionOutcome } from './run-row-function.ts';
import type { ColumnSource, JobFailed, RunTerms } from './source.ts';
import type { JavaScriptWorkers } from './worker-link.ts';

/** What is known about the data without reading a row: the granted columns and how much a unit may contribute. */
export interface DataFacts {
  readonly columns: readonly ColumnSpec[];
  readonly rowsPerUnit: number;
}

/** A computation whose text was parsed, checked and turned into what a worker with data may get. */
export type PreparedComputation =
  | {
      readonly mode: 'rowFunction';
      readonly computation: RowFunctionComputation;
      readonly program: RowProgram;
      readonly checked: CheckedRowFunction;
      readonly facts: DataFacts;
    }
  | { readonly mode: 'blocks'; readonly computation: BlocksComputation; readonly factory: string }
  | { readonly mode: 'approved'; readonly computation: ApprovedComputation; readonly factory: string }
  | { readonly mode: 'post'; readonly computation: PostComputation; readonly factory: string };

export type PreparedAnswer =
  | { readonly kind: 'ok'; readonly prepared: PreparedComputation }
  | { readonly kind: 'refused'; readonly reasons: readonly Complaint[] }
  | JobFailed;

/** Prepares a computation in a worker without data, for `explain` and for the job alike. */
export async function prepareComputation(
  workers: JavaScriptWorkers,
  computation: JavaScriptComputation,
  facts: DataFacts,
): Promise<PreparedAnswer> {
  const { language, source } = computation;
  if (computation.mode !== 'rowFunction') {
    const prepared = await prepareInWorker(workers, { language, source });
    if (prepared.kind === 'refused' || prepared.kind === 'failed') return prepared;
    if (prepared.kind !== 'program') return { kind: 'failed', detail: 'the worker answered another kind of program' };
    return {
      kind: 'ok',
      prepared: { mode: computation.mode, computation, factory: prepared.factory } as PreparedComputation,
    };
  }
  const rowNames = {
    columns: facts.columns,
    parameters: Object.keys(computation.parameters ?? {}),
    outputs: computation.outputs.map((output) => output.name),
  };
  const prepared = await prepareInWorker(workers, { language, source, rowNames });
  if (prepared.kind === 'refused' || prepared.kind === 'failed') return prepared;
  if (prepared.kind !== 'rowFunction') return { kind: 'failed', detail: 'the worker answered another kind of program' };
  const checked = planFor(computation, prepared.program, facts, firstReducer(computation));
  if (checked.kind === 'refused') return checked;
  return { kind: 'ok', prepared: { mode: 'rowFunction', computation, program: prepared.program, checked, facts } };
}

function firstReducer(computation: RowFunctionComputation): Reducer {
  const { iterate, outputs, reducer } = computation;
  return iterate === undefined ? reducer : (nextReducer(startIteration(iterate, outputs)) ?? reducer);
}

function planFor(
  computation: RowFunctionComputation,
  program: RowProgram,
  facts: DataFacts,
  reducer: Reducer,
): ReturnType<typeof planRowFunction> {
  const { outputs, parameters } = computation;
  return planRowFunction(program, { ...facts, outputs, reducer, parameters });
}

/** How one job is run, beyond what the computation says. */
export interface JobTerms extends RunTerms {
  /** fresh random bytes of this job, used for nothing else: they decide which unit falls into which block */
  readonly blockKey?: Uint8Array;
  /** number of blocks when the computation names none */
  readonly blocks?: number;
  readonly lanes?: number;
  /** default: in the strict tier */
  readonly isProcessPerBlock?: boolean;
  readonly isCountingUnits?: boolean;
  /** the reducer of this round of an iterative job */
  readonly round?: Reducer;
  /** what a post-processing program reads */
  readonly released?: unknown;
}

export type JobOutcome =
  | ({ readonly mode: 'rowFunction'; readonly checked: CheckedRowFunction } & RowFunctionOutcome)
  | ({ readonly mode: 'blocks'; readonly kind: 'done' } & BlockOutcome)
  | ({ readonly mode: 'approved' } & ApprovedOutcome)
  | { readonly mode: 'post'; readonly kind: 'done'; readonly value: unknown }
  | JobFailed;

/** Runs a prepared computation (one round of it when it iterates) and returns exact results for the release gate. */
export async function runJavaScriptJob(
  workers: JavaScriptWorkers,
  prepared: PreparedComputation,
  source: ColumnSource,
  terms: JobTerms,
): Promise<JobOutcome> {
  const libraries = prepared.computation.libraries ?? [];
  switch (prepared.mode) {
    case 'rowFunction': {
      const { computation, program, facts } = prepared;
      const reducer = terms.round ?? firstReducer(computation);
      const checked = planFor(computation, program, facts, reducer);
      if (checked.kind === 'refused') return { kind: 'failed', detail: checked.reasons[0]?.message ?? 'refused' };
      const { parameters = {}, groupBy } = computation;
      const job = {
        checked,
        reducer,
        parameters,
        groupBy,
        rowsPerUnit: facts.rowsPerUnit,
        isCountingUnits: terms.isCountingUnits === true,
      };
      const outcome = await runRowFunction(workers, job, source, terms);
      return outcome.kind === 'failed' ? outcome : { mode: 'rowFunction', checked, ...outcome };
    }
    case 'blocks': {
      const { outputs, blocks } = prepared.computation;
      const count = blocks.count ?? terms.blocks;
      if (terms.blockKey === undefined || count === undefined)
        throw new RangeError('a job in blocks needs a key and a number of blocks');
      const job = {
        factory: prepared.factory,
        outputs,
        blocks: count,
        assign: keyedBlocks(terms.blockKey),
        ...(terms.lanes === undefined ? {} : { lanes: terms.lanes }),
        isProcessPerBlock: terms.isProcessPerBlock ?? terms.tier === 'strict',
      };
      const outcome = await runBlocks(workers, job, source, { ...terms, libraries, timeoutMs: blocks.timeoutMs });
      return { mode: 'blocks', ...outcome };
    }
    case 'approved': {
      const { result, maxRowsPerGroup, groupBy } = prepared.computation;
      const timeoutMs = Math.min(prepared.computation.timeoutMs, terms.timeoutMs);
      const isProcessPerBlock = terms.isProcessPerBlock === true;
      const job = { factory: prepared.factory, table: result, maxRowsPerGroup, groupBy, isProcessPerBlock };
      return { mode: 'approved', ...(await runApproved(workers, job, source, { ...terms, libraries, timeoutMs })) };
    }
    case 'post': {
      const timeoutMs = Math.min(prepared.computation.timeoutMs, terms.timeoutMs);
      const job = { factory: prepared.factory, input: terms.released };
      const outcome = await runPost(workers, job, { ...terms, libraries, timeoutMs });
      return outcome.kind === 'failed' ? outcome : { mode: 'post', ...outcome };
    }
  }
}

/**
 * When the answer of a job in blocks may leave: the time that all blocks would take if every one used up its own, whatever they
 * did. It depends on declared numbers alone, so that how long a job took says nothing about rows.
 */
export function blockAnswerMs(job: {
  readonly blocks: number;
  readonly timeoutMs: number;
  readonly lanes: number;
}): number {
  return Math.ceil(job.blocks / job.lanes) * (job.timeoutMs + javascriptLimits.graceMs);
}

/** Rounds a duration up to the next power of two of `quantumMs`, for answers whose work is bounded but not constant. */
export function quantisedAnswerMs(elapsedMs: number, quantumMs = 250): number {
  return quantumMs * 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(elapsedMs, 1) / quantumMs)));
}

/** What a mode guarantees, in the words that `explain`, the receipt and the documentation print. */
export function guaranteeOf(mode: JavaScriptComputation['mode']): string {
  switch (mode) {
    case 'rowFunction':
      return 'differential privacy per privacy unit: the function was checked to depend on one row only, each value is clamped, rows per unit are bounded, and noise fitted to that is added to exact sums';
    case 'blocks':
      return 'differential privacy per privacy unit for any code: units are split into disjoint blocks at random, each block runs alone and gives clamped numbers, failures count as the declared default, and noise fitted to one block is added to the aggregate';
    case 'approved':
      return 'human review only: people approved this exact code; each row was computed from the rows of one group alone, whose units the runtime counted for the thresholds';
    case 'post':
      return 'as strong as the results it reads: the code saw nothing but results already released to the same consumer';
  }
}

/** Recommends a number of blocks for `explain`, from public numbers. */
export function adviseBlocks(
  computation: BlocksComputation,
  known: { readonly units: number; readonly epsilon: number },
): BlockAdvice {
  return recommendBlocks({ ...known, outputs: computation.outputs });
}

import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { type ReadyCode, type ReadyInput } from '../job/prepare-javascript.ts';
import type { ColumnAccuracy } from '../job/prepare.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import type { NoiseShare } from '../release/noise.ts';
import { aggregateBlocks, type BlockPlan, meanHalfWidth } from '../release/sample-and-aggregate.ts';
import { blockGrid } from '../sandbox/javascript/blocks.ts';
import { javascriptLimits } from '../sandbox/javascript/limits.ts';
import { blockResults } from '../sandbox/javascript/noised.ts';
import { adviseBlocks, blockAnswerMs, guaranteeOf, runJavaScriptJob } from '../sandbox/javascript/prepared.ts';
import { partsFor, type ReadColumn, roughly } from './javascript-rows.ts';
import {
  CONFIDENCE,
  epsilonText,
  execution,
  type JavaScriptRunNeeds,
  noiseBudgetOf,
  type Of,
  sourceOf,
  termsOf,
  workersOf,
} from './javascript-run.ts';
import { statisticsTable } from './javascript-statistics.ts';

/** Any code on disjoint blocks of units; noise on the aggregate over blocks, and one time at which the answer leaves. */
export function blocksRun(
  needs: JavaScriptRunNeeds,
  input: ReadyInput,
  prepared: Of<'blocks'>,
  columns: readonly ReadColumn[],
): ReadyCode | Denied {
  const { computation } = prepared;
  const { blocks, outputs } = computation;
  const budget = noiseBudgetOf(input);
  const rows = roughly(Number(input.data?.table.rowCount ?? 0n));
  const advice = adviseBlocks(computation, { units: rows, epsilon: laplaceLike(budget, outputs.length) });
  const count = blocks.count ?? Math.max(2, advice.blocks);
  const rowsPerUnit = input.data?.rowsPerUnit ?? 1;
  const blockBytes = ((2 * rows) / count) * columns.length * 8;
  if (blockBytes > javascriptLimits.batchBytes / 2) {
    return denied(
      reason('table-too-large', `${count} blocks of this table are too large for one isolate each`, {
        remedy: 'declare more blocks or fewer columns, or use a row function, which reads tables of any size',
      }),
    );
  }
  const lanes = Math.max(1, Math.min(MAX_LANES, availableParallelism()));
  // Reading and sorting rows takes its share, which may rest on nothing but the table's rough size either.
  const readMs = READ_MS * Math.min(count, partsFor(rows, columns.length)) + Math.ceil(rows / READ_ROWS_PER_MS);
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
    budget: { ...budget, femtoDelta: 0 },
    outputs: outputs.map((output) => ({
      name: output.name,
      low: output.range[0],
      high: output.range[1],
      step: rationalOf(blockGrid(output).step),
      fallback: output.default,
      method: blocks.aggregate,
    })),
  };
  if (Math.floor((budget.kind === 'laplace' ? budget.microEpsilon : budget.nanoRho) / outputs.length) < 1)
    return denied(reason('epsilon-too-small', 'the budget of the job is too small for so many numbers'));
  const table = statisticsTable(undefined, [undefined]);
  const errors = plan.outputs.map((output): ColumnAccuracy => ({
    column: output.name,
    halfWidth: meanHalfWidth(plan, output),
    confidence: CONFIDENCE,
  }));
  return {
    kind: 'ready',
    outputs: table.outputs,
    certificates: [],
    errors: blocks.aggregate === 'mean' ? errors : [],
    guarantee: `${guaranteeOf('blocks')}; ${count} blocks, ${epsilonText(input)}`,
    inWords: [
      `the privacy units of \`${computation.table}\` are split at random into ${count} disjoint blocks${blocks.count === undefined ? ' (the recommended number)' : `; ${advice.blocks} are recommended`}`,
      `at most ${rowsPerUnit} rows of each privacy unit are used`,
      `the program runs alone on each block, for at most ${blocks.timeoutMs} ms; a block that fails counts as the declared default`,
      ...outputs.map(
        (output) =>
          `\`${output.name}\`: clamped to [${output.range[0]}, ${output.range[1]}], default ${output.default}`,
      ),
      `the noisy ${blocks.aggregate} over the blocks is released, ${epsilonText(input)}`,
      `the answer leaves ${answerMs} ms after the start, whatever the blocks did`,
    ],
    execute: (signal) =>
      execution(async () => {
        const started = performance.now();
        const source = sourceOf(needs, input, columns, { isSorted: true, isNumbered: true, rowsPerUnit, signal });
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

/** The epsilon whose Laplace noise varies as much as Gaussian noise of this budget: what the advice on blocks reckons with. */
function laplaceLike(budget: NoiseShare, outputs: number): number {
  // Laplace of scale k·w/ε deviates by √2·k·w/ε, Gaussian noise of ρ/k for each output by w·√(k/2ρ).
  return budget.kind === 'laplace' ? budget.microEpsilon / 1e6 : 2 * Math.sqrt((outputs * budget.nanoRho) / 1e9);
}

/** What the fixed time of an answer grants to reading rows. */
const READ_MS = 1000;
const READ_ROWS_PER_MS = 500;
/** Workers that serve blocks side by side. */
const MAX_LANES = 4;
/** Latest time at which the answer of a job in blocks may leave. */
const MAX_ANSWER_MS = 30 * 60_000;

/** A double as the fraction that it is. */
function rationalOf(value: number): { readonly numerator: bigint; readonly denominator: bigint } {
  let [scaled, denominator] = [value, 1n];
  while (!Number.isInteger(scaled)) [scaled, denominator] = [scaled * 2, denominator * 2n];
  return { numerator: BigInt(scaled), denominator };
}

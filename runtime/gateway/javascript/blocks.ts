import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { type ReadyCode, type ReadyInput } from '../../job/prepare-javascript.ts';
import type { ColumnAccuracy } from '../../job/prepare.ts';
import type { CodeLimits } from '../../policy/model.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import type { NoiseShare } from '../../release/noise.ts';
import { aggregateBlocks, type BlockPlan, meanHalfWidth } from '../../release/sample-and-aggregate.ts';
import { blockGrid } from '../../sandbox/javascript/blocks.ts';
import { javascriptLimits } from '../../sandbox/javascript/limits.ts';
import { blockResults } from '../../sandbox/javascript/noised.ts';
import { adviseBlocks, blockAnswerMs, guaranteeOf, runJavaScriptJob } from '../../sandbox/javascript/prepared.ts';
import { partsFor, type ReadColumn, roughly } from './row-request.ts';
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
} from './run.ts';
import { statisticsTable } from './statistics.ts';

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
  // One more reads the rows of the next part meanwhile: lanes that took every worker of their party would wait for ever.
  const lanes = Math.max(1, Math.min(MAX_LANES, availableParallelism(), needs.pool.maxPerParty - 1));
  // Reading and sorting rows takes its share, which may rest on nothing but the table's rough size either.
  const answerMsOf = (count: number): number =>
    READ_MS * Math.min(count, partsFor(rows, columns.length)) +
    Math.ceil(rows / READ_ROWS_PER_MS) +
    blockAnswerMs({ blocks: count, timeoutMs: blocks.timeoutMs, lanes });
  const { limits } = input.release;
  const recommended = Math.max(2, advice.blocks);
  const count = blocks.count ?? mostBlocks(recommended, limits, { timeoutMs: blocks.timeoutMs, answerMsOf });
  const rowsPerUnit = input.data?.rowsPerUnit ?? 1;
  const blockBytes = ((2 * rows) / count) * columns.length * 8;
  if (blockBytes > Math.min(javascriptLimits.batchBytes / 2, (limits.memoryMiB ?? Infinity) * 2 ** 19)) {
    return denied(
      reason('table-too-large', `${count} blocks of this table are too large for one isolate each`, {
        remedy: 'declare more blocks or fewer columns, or use a row function, which reads tables of any size',
      }),
    );
  }
  const answerMs = answerMsOf(count);
  const refused =
    answerTooLate(count, blocks.timeoutMs, answerMs, input) ?? tooMuchTime(count, blocks.timeoutMs, input);
  if (refused !== null) return refused;
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
      `the privacy units of \`${computation.table}\` are split at random into ${count} disjoint blocks${numberInWords(blocks.count, count, recommended, advice.blocks)}`,
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
      execution(
        async (limited) => {
          const started = performance.now();
          const source = sourceOf(needs, input, columns, {
            isSorted: true,
            isNumbered: true,
            rowsPerUnit,
            signal: limited,
          });
          const outcome = await runJavaScriptJob(workersOf(needs, input, limited), prepared, source, {
            ...termsOf(needs, input, limited),
            blockKey: needs.entropy.bytes(32),
            blocks: count,
            lanes,
            // Under a limit of memory, what one block left behind in a process would be felt by the next.
            ...(limits.memoryMiB === null ? {} : { isProcessPerBlock: true }),
          });
          if (outcome.kind === 'failed' || outcome.mode !== 'blocks') return undefined;
          const estimates = aggregateBlocks(plan, blockResults(outcome), needs.entropy);
          // How long blocks ran would tell whether somebody's rows were among them.
          await delay(Math.max(0, answerMs - (performance.now() - started)), undefined, { signal: limited });
          return table.batchOf([
            outputs.map(({ name }, i) => {
              const { value = 0, low = 0, high = 0 } = estimates[i] ?? {};
              return { name, value, low, high };
            }),
          ]);
        },
        input,
        signal,
      ),
  };
}

/** As many blocks as are recommended, or as the policy's limits leave room for; at least two, which may then be refused. */
function mostBlocks(
  recommended: number,
  { blocks, cpuMs, wallMs }: CodeLimits,
  { timeoutMs, answerMsOf }: { readonly timeoutMs: number; readonly answerMsOf: (count: number) => number },
): number {
  let count = Math.min(recommended, blocks ?? Infinity, Math.floor((cpuMs ?? Infinity) / timeoutMs));
  while (count > 2 && answerMsOf(count) > latestAnswer(wallMs)) count -= 1;
  return Math.max(2, count);
}

/** The latest fixed time of an answer: what is left then is for the noise and for a busy machine. */
const latestAnswer = (wallMs: number | null): number => Math.min(MAX_ANSWER_MS, (wallMs ?? Infinity) - WALL_MARGIN_MS);

function answerTooLate(
  count: number,
  timeoutMs: number,
  answerMs: number,
  { release, clause }: ReadyInput,
): Denied | null {
  const { wallMs } = release.limits;
  const latest = latestAnswer(wallMs);
  if (answerMs <= latest) return null;
  const isOfPolicy = latest < MAX_ANSWER_MS;
  return denied(
    reason('answer-too-late', `${count} blocks of ${timeoutMs} ms would be answered after ${answerMs} ms`, {
      ...(isOfPolicy ? { clause } : {}),
      remedy: `the answer of blocks leaves at a fixed time, ${isOfPolicy ? `under this policy at most ${Math.max(0, latest)} ms` : `at most ${latest} ms`}: declare fewer blocks or a shorter time`,
    }),
  );
}

/** A block is stopped when its time is over, so blocks that all use theirs up are the most that a job can use. */
function tooMuchTime(count: number, timeoutMs: number, { release, clause }: ReadyInput): Denied | null {
  const { cpuMs } = release.limits;
  if (cpuMs === null || count * timeoutMs <= cpuMs) return null;
  return denied(
    reason(
      'too-much-processor-time',
      `${count} blocks of ${timeoutMs} ms may use ${count * timeoutMs} ms of processor time`,
      {
        clause,
        remedy: `declare blocks that use at most ${cpuMs} ms together: fewer of them, or a shorter time`,
      },
    ),
  );
}

function numberInWords(declared: number | undefined, count: number, recommended: number, advised: number): string {
  if (declared !== undefined) return `; ${advised} are recommended`;
  return count < recommended
    ? ` (as many as the policy leaves room for; ${recommended} are recommended)`
    : ' (the recommended number)';
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
/** How long before the policy's limit of time an answer has to be planned. */
const WALL_MARGIN_MS = 500;

/** A double as the fraction that it is. */
function rationalOf(value: number): { readonly numerator: bigint; readonly denominator: bigint } {
  let [scaled, denominator] = [value, 1n];
  while (!Number.isInteger(scaled)) [scaled, denominator] = [scaled * 2, denominator * 2n];
  return { numerator: BigInt(scaled), denominator };
}

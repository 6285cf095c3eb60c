import { type ReadyCode, type ReadyInput } from '../../job/prepare-javascript.ts';
import type { ColumnAccuracy } from '../../job/prepare.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import { toNumber } from '../../release/discrete-laplace.ts';
import type { Noise, NoiseShare } from '../../release/noise.ts';
import { DEFAULT_RELEASE_LIMITS } from '../../release/terms.ts';
import { Uniform } from '../../release/uniform.ts';
import { type IterationPlan, iterationResult, runIteration, startIteration } from '../../sandbox/javascript/iterate.ts';
import { estimatesOf, evenShare, noiseOfCells, noisedCells, widthsOfRound } from '../../sandbox/javascript/noised.ts';
import { type JobOutcome, guaranteeOf, runJavaScriptJob } from '../../sandbox/javascript/prepared.ts';
import type { NamedValue } from '../../sandbox/javascript/row-function/finish.ts';
import type { GroupKey } from '../../sandbox/javascript/source.ts';
import { type ReadColumn, roughly } from './row-request.ts';
import {
  CONFIDENCE,
  epsilonText,
  execution,
  type JavaScriptRunNeeds,
  noiseBudgetOf,
  type Of,
  OUT_OF_TIME,
  sourceOf,
  termsOf,
  workersOf,
} from './run.ts';
import { statisticsTable } from './statistics.ts';

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
  const budget = noiseBudgetOf(input);
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
  const { memoryMiB } = input.release.limits;
  // A counter for each unit is held beside the code.
  if (memoryMiB !== null && roughly(Number(input.data?.table.rowCount ?? 0n)) * COUNTER_BYTES > memoryMiB * 2 ** 19)
    return denied(
      reason('table-too-large', `the units of this table cannot be counted within ${memoryMiB} MiB`, {
        clause: input.clause,
        remedy: 'ask the provider for more memory',
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
    guarantee: `${guaranteeOf('rowFunction')}; ${epsilonText(input)}`,
    inWords: [
      `for each row of \`${computation.table}\`: ${checked.printed}`,
      ...outputs.map(({ name, range: [low, high] }) => `each \`${name}\` is clamped to [${low}, ${high}]`),
      `at most ${facts.rowsPerUnit} rows of each privacy unit are used`,
      iterate === undefined
        ? `trusted code reduces the numbers by \`${reducer.kind}\`${groupBy === undefined ? '' : ` for each of ${keys.length} declared keys of \`${groupBy.column}\``}`
        : `${rounds} rounds of ${iterate.algorithm}, each on noisy sums; ${intervalOf(iterate.algorithm)}`,
      `discrete ${noiseText(noise)} (in steps of the grid) on the exact sums`,
      epsilonText(input),
    ],
    execute: (signal, progress) =>
      execution(
        async (limited) => {
          const source = sourceOf(needs, input, columns, {
            isSorted: false,
            isNumbered: false,
            isReadOnce: iterate === undefined,
            rowsPerUnit: facts.rowsPerUnit,
            signal: limited,
          });
          const workers = workersOf(needs, input, limited, rounds);
          const terms = termsOf(needs, input, limited);
          const uniform = new Uniform(needs.entropy);
          if (iterate === undefined) {
            const outcome = await runJavaScriptJob(workers, prepared, source, terms);
            if (isOutOfTime(outcome)) return OUT_OF_TIME;
            if (outcome.kind === 'failed' || outcome.mode !== 'rowFunction') return undefined;
            const noised = noisedCells(outcome, share, uniform);
            const { plan } = outcome.checked;
            return table.batchOf(
              noised.groups.map((cells) => estimatesOf(outputs, reducer, plan, { cells, noise: noised.noise })),
            );
          }
          let isLate = false;
          const state = await runIteration(startIteration(iterate, outputs), async (round, index) => {
            const outcome = await runJavaScriptJob(workers, prepared, source, { ...terms, round });
            isLate = isOutOfTime(outcome);
            if (outcome.kind === 'failed' || outcome.mode !== 'rowFunction') return undefined;
            progress?.(index + 1, rounds);
            const noised = noisedCells(outcome, share, uniform);
            const [cells] = noised.groups;
            return cells && { cells, halfWidths: widthsOfRound(noised.noise, rounds) };
          });
          if (state.round < rounds) return isLate ? OUT_OF_TIME : undefined;
          return table.batchOf([iterationResult(state)]);
        },
        input,
        signal,
      ),
  };
}

const isOutOfTime = (outcome: JobOutcome): boolean => outcome.kind === 'failed' && outcome.isOutOfTime === true;

const COUNTER_BYTES = 4;

/** What `low` and `high` of an iterative job mean. */
function intervalOf(algorithm: IterationPlan['algorithm']): string {
  return algorithm === 'kMeans'
    ? 'an interval holds the exact means of the rows nearest to the noisy centres of the round before'
    : 'an interval holds the weights of the same rounds without noise';
}

const smallestShare = (share: NoiseShare, parts: number): number =>
  share.kind === 'laplace' ? Math.floor(share.microEpsilon / parts) : Math.floor(share.nanoRho / parts);

function noiseText(noise: readonly Noise[]): string {
  const sizes = noise.map((one) =>
    Math.round(one.kind === 'laplace' ? toNumber(one.scale) : Math.sqrt(toNumber(one.variance))),
  );
  const text = [...new Set(sizes)].slice(0, 5).join(', ');
  return noise[0]?.kind === 'gaussian' ? `Gaussian noise of deviation ${text}` : `Laplace noise of scale ${text}`;
}

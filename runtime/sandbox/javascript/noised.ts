import { draw, halfWidth, noiseFor } from '../../release/noise.ts';
import type { Noise, NoiseShare } from '../../release/noise.ts';
import { MISS } from '../../release/mechanisms/mechanism.ts';
import type { Uniform } from '../../release/uniform.ts';
import type { BlockOutcome } from './blocks.ts';
import { finishReducer } from './row-function/finish.ts';
import type { NamedValue } from './row-function/finish.ts';
import type { OutputSpec, Reducer, ReducerPlan, Sensitivity } from './row-function/reducer.ts';
import type { RowFunctionOutcome } from './run-row-function.ts';

/** The noisy cells of every group, and the noise that each cell got: all that may be looked at afterwards. */
export interface NoisedCells {
  readonly groups: readonly (readonly bigint[])[];
  readonly noise: readonly Noise[];
}

/**
 * Adds exact discrete noise to a row function's sums. The budget is split evenly over the queries of the sensitivity
 * (sequential composition); within a query all groups and cells share one noise, because the sensitivity already holds for all
 * of them together. Throws RangeError when the budget is too small to be split.
 */
export function noisedCells(
  outcome: Pick<RowFunctionOutcome, 'groups' | 'sensitivity'>,
  budget: NoiseShare,
  uniform: Uniform,
): NoisedCells {
  const { queries } = outcome.sensitivity;
  const noise = noiseOfCells(outcome.sensitivity, budget);
  const groups = outcome.groups.map(({ cells }) => {
    const noisy = [...cells];
    for (const query of queries) {
      for (const cell of query.cells) {
        const own = noise[cell];
        if (own === undefined) throw new RangeError('a cell without noise');
        noisy[cell] = (cells[cell] ?? 0n) + draw(uniform, own);
      }
    }
    return noisy;
  });
  return { groups, noise };
}

/** The noise that each cell of a group gets under a budget: for `explain`, before anything is computed. */
export function noiseOfCells(sensitivity: Sensitivity, budget: NoiseShare): readonly Noise[] {
  const share = evenShare(budget, sensitivity.queries.length);
  const noise: Noise[] = [];
  for (const query of sensitivity.queries) {
    const own = noiseFor(query, share);
    for (const cell of query.cells) noise[cell] = own;
  }
  return noise;
}

/** Splits a budget into equal shares, rounded down: together they never cost more. */
export function evenShare(budget: NoiseShare, parts: number): NoiseShare {
  return budget.kind === 'laplace'
    ? { kind: 'laplace', microEpsilon: Math.floor(budget.microEpsilon / parts) }
    : { kind: 'gaussian', nanoRho: Math.floor(budget.nanoRho / parts) };
}

/** Half-widths of the cells of one of `rounds` rounds: all cells of all rounds are within theirs with probability 0.95. */
export function widthsOfRound(noise: readonly Noise[], rounds: number): readonly number[] {
  return noise.map((one) => halfWidth(one, MISS / (noise.length * rounds)));
}

/** Statistics of one group with intervals that together hold the exact ones with probability 0.95. */
export function estimatesOf(
  outputs: readonly OutputSpec[],
  reducer: Reducer,
  plan: ReducerPlan,
  noised: { readonly cells: readonly bigint[]; readonly noise: readonly Noise[] },
): readonly NamedValue[] {
  const widths = noised.noise.map((noise) => halfWidth(noise, MISS / noised.noise.length));
  return finishReducer(outputs, reducer, plan, noised.cells, widths).values;
}

/** Block values as the release engine aggregates them: defaults are already in, so every block counts as good. */
export function blockResults(
  outcome: BlockOutcome,
): readonly { readonly isOk: true; readonly values: readonly number[] }[] {
  return outcome.blocks.map((block) => ({
    isOk: true,
    values: outcome.outputs.map(({ range: [lo, hi] }, i) => {
      const steps = outcome.steps[i] ?? 0;
      return Math.min(hi, lo + steps * (block.integers[i] ?? 0));
    }),
  }));
}

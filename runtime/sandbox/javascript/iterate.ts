import { finishReducer } from './row-function/finish.ts';
import { planReducer } from './row-function/reducer.ts';
import type { OutputSpec, Reducer } from './row-function/reducer.ts';

/**
 * A job of several rounds: each round is one row function job whose reducer holds the numbers of the round, and trusted code
 * here turns the *noisy* sums of one round into the numbers of the next. The rows are read by rounds only, so the loss of
 * the whole job is the composition of its rounds, and everything between them is post-processing.
 */
export type IterationPlan =
  | { readonly algorithm: 'kMeans'; readonly rounds: number; readonly centres: readonly (readonly number[])[] }
  | {
      readonly algorithm: 'linearRegression' | 'logisticRegression';
      readonly rounds: number;
      /** bias, then one weight per feature */
      readonly weights: readonly number[];
      /** length to which the gradient of one row is clipped */
      readonly clip: number;
      /** step along the mean gradient */
      readonly rate: number;
    };

export interface IterationState {
  readonly plan: IterationPlan;
  readonly outputs: readonly OutputSpec[];
  /** rounds that are done */
  readonly round: number;
  /** k-means: the centres; a regression: one row with bias and weights */
  readonly numbers: readonly (readonly number[])[];
}

/** Starts an iteration over the declared outputs: the coordinates, or the target and then the features. */
export function startIteration(plan: IterationPlan, outputs: readonly OutputSpec[]): IterationState {
  return { plan, outputs, round: 0, numbers: plan.algorithm === 'kMeans' ? plan.centres : [plan.weights] };
}

/** Returns the reducer of the next round, or undefined when all rounds are done. */
export function nextReducer(state: IterationState): Reducer | undefined {
  const { plan } = state;
  if (state.round >= plan.rounds) return undefined;
  if (plan.algorithm === 'kMeans') return { kind: 'clusterSums', centres: state.numbers };
  const model = plan.algorithm === 'logisticRegression' ? 'logistic' : 'linear';
  return { kind: 'gradient', model, weights: state.numbers[0] ?? plan.weights, clip: plan.clip };
}

/** Takes the noisy cells of a round into the state. Pure arithmetic on released numbers. */
export function absorb(state: IterationState, noisyCells: readonly bigint[]): IterationState {
  const reducer = nextReducer(state);
  if (reducer === undefined) throw new RangeError('all rounds are done');
  const planned = planReducer(state.outputs, reducer);
  if (planned.kind === 'refused') throw new RangeError(planned.reasons.join('; '));
  const finished = finishReducer(state.outputs, reducer, planned.plan, noisyCells);
  return { ...state, round: state.round + 1, numbers: nextNumbers(state, finished) };
}

function nextNumbers(
  state: IterationState,
  finished: ReturnType<typeof finishReducer>,
): readonly (readonly number[])[] {
  const { plan } = state;
  const { values } = finished;
  if (plan.algorithm === 'kMeans') {
    const width = state.outputs.length + 1;
    // A centre that (noisily) has no rows stays where it is.
    return state.numbers.map((centre, c) =>
      (values[c * width + width - 1]?.value ?? 0) < 1
        ? centre
        : centre.map((_, i) => values[c * width + i]?.value ?? 0),
    );
  }
  const weights = state.numbers[0] ?? plan.weights;
  // Bounded, so that a run-away rate cannot make a round's reducer refuse its own numbers.
  return [weights.map((weight, i) => Math.min(1e9, Math.max(-1e9, weight - plan.rate * (values[i]?.value ?? 0))))];
}

/** Runs all rounds; `runRound` computes one reducer under the job's budget and returns its noisy cells. */
export async function runIteration(
  state: IterationState,
  runRound: (reducer: Reducer, round: number) => Promise<readonly bigint[] | undefined>,
): Promise<IterationState> {
  for (let now = state; ;) {
    const reducer = nextReducer(now);
    if (reducer === undefined) return now;
    const cells = await runRound(reducer, now.round);
    if (cells === undefined) return now; // stopped: the caller compares `round` with the plan
    now = absorb(now, cells);
  }
}

/** Returns the numbers of a state with their names. */
export function iterationResult(state: IterationState): readonly { readonly name: string; readonly value: number }[] {
  return state.numbers.flatMap((numbers, c) =>
    numbers.map((value, i) => {
      if (state.plan.algorithm === 'kMeans') return { name: `cluster ${c}: ${state.outputs[i]?.name}`, value };
      return { name: i === 0 ? 'bias' : `weight(${state.outputs[i]?.name})`, value };
    }),
  );
}

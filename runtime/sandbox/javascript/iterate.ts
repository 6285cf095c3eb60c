import { finishReducer } from './row-function/finish.ts';
import type { NamedValue } from './row-function/finish.ts';
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
  /** how far each of the numbers may be from the exact one; undefined where no bound can be given */
  readonly halfWidths: readonly (readonly (number | undefined)[])[];
}

/** The noisy cells of a round, and the half-widths of their noise, which all hold together as often as the caller says. */
export interface RoundCells {
  readonly cells: readonly bigint[];
  readonly halfWidths: readonly number[];
}

/** Starts an iteration over the declared outputs: the coordinates, or the target and then the features. */
export function startIteration(plan: IterationPlan, outputs: readonly OutputSpec[]): IterationState {
  const numbers = plan.algorithm === 'kMeans' ? plan.centres : [plan.weights];
  return { plan, outputs, round: 0, numbers, halfWidths: numbers.map((row) => row.map(() => 0)) };
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
export function absorb(state: IterationState, { cells, halfWidths }: RoundCells): IterationState {
  const reducer = nextReducer(state);
  if (reducer === undefined) throw new RangeError('all rounds are done');
  const planned = planReducer(state.outputs, reducer);
  if (planned.kind === 'refused') throw new RangeError(planned.reasons.join('; '));
  const { values } = finishReducer(state.outputs, reducer, planned.plan, cells, halfWidths);
  const next = state.plan.algorithm === 'kMeans' ? nextCentres(state, values) : nextWeights(state, state.plan, values);
  return { ...state, round: state.round + 1, ...next };
}

type Next = Pick<IterationState, 'numbers' | 'halfWidths'>;

/**
 * Centres move to the means of their rows. The half-width is that of this round: it bounds the distance to the exact means of
 * the rows that are nearest to the centres before, which are noisy themselves. A centre that (noisily) has no rows stays.
 */
function nextCentres(state: IterationState, values: readonly NamedValue[]): Next {
  const width = state.outputs.length + 1;
  const isEmpty = (c: number): boolean => (values[c * width + width - 1]?.value ?? 0) < 1;
  return {
    numbers: state.numbers.map((centre, c) =>
      isEmpty(c) ? centre : centre.map((_, i) => values[c * width + i]?.value ?? 0),
    ),
    halfWidths: state.numbers.map((centre, c) =>
      centre.map((_, i) => (isEmpty(c) ? undefined : reach(values[c * width + i]))),
    ),
  };
}

/**
 * One gradient step, and how far the weights may be from those of the same rounds without noise.
 *
 * Argument. The clipped gradient of a row is `x · min(|r|, clip/|x|) · sign r`, with `r` rising in `w·x` at most as fast as
 * `curvature` (1 for squares, 1/4 for the logistic loss): it is the gradient of a convex function whose curvature is at most
 * L = curvature · max|x|². A step along the mean of such gradients takes two points apart by a factor of max(1, rate·L − 1) at
 * most (Hardt, Recht, Singer 2016, "Train faster, generalize better", lemma 3.7), and, as no mean is longer than `clip`, by
 * 2·rate·clip at most. The noise adds rate times its length. So the distance of both paths follows from numbers that are
 * public or released, and each single weight is within it.
 */
function nextWeights(
  { numbers, halfWidths, outputs }: IterationState,
  plan: Exclude<IterationPlan, { readonly algorithm: 'kMeans' }>,
  values: readonly NamedValue[],
): Next {
  const weights = numbers[0] ?? plan.weights;
  const rate = Math.abs(plan.rate);
  const longest = outputs.slice(1).reduce((sum, { range: [lo, hi] }) => sum + Math.max(lo * lo, hi * hi), 1);
  const smoothness = (plan.algorithm === 'logisticRegression' ? 1 / 4 : 1) * longest;
  // Up the gradient instead of down it both paths leave each other faster.
  const spread = plan.rate < 0 ? 1 + rate * smoothness : Math.max(1, rate * smoothness - 1);
  const before = halfWidths[0]?.[0] ?? Infinity;
  const noise = Math.hypot(...weights.map((_, i) => reach(values[i])));
  const drift = Math.min(before * spread, before + 2 * rate * plan.clip) + rate * noise;
  return {
    // Bounded, so that a run-away rate cannot make a round's reducer refuse its own numbers.
    numbers: [weights.map((weight, i) => Math.min(1e9, Math.max(-1e9, weight - plan.rate * (values[i]?.value ?? 0))))],
    halfWidths: [weights.map(() => (Number.isFinite(drift) ? drift : undefined))],
  };
}

/** The farthest end of an interval from its value. */
const reach = (known: NamedValue | undefined): number =>
  known === undefined ? Infinity : Math.max(known.high - known.value, known.value - known.low);

/** Runs all rounds; `runRound` computes one reducer under the job's budget and returns its noisy cells. */
export async function runIteration(
  state: IterationState,
  runRound: (reducer: Reducer, round: number) => Promise<RoundCells | undefined>,
): Promise<IterationState> {
  for (let now = state; ;) {
    const reducer = nextReducer(now);
    if (reducer === undefined) return now;
    const cells = await runRound(reducer, now.round);
    if (cells === undefined) return now; // stopped: the caller compares `round` with the plan
    now = absorb(now, cells);
  }
}

/** Returns the numbers of a state with their names, each with the interval of its exact value where there is one. */
export function iterationResult(state: IterationState): readonly IterationNumber[] {
  return state.numbers.flatMap((numbers, c) =>
    numbers.map((value, i): IterationNumber => {
      const halfWidth = state.halfWidths[c]?.[i];
      const [low, high] = halfWidth === undefined ? [null, null] : [value - halfWidth, value + halfWidth];
      const { name = '' } = state.outputs[i] ?? {};
      if (state.plan.algorithm === 'kMeans') return { name: `cluster ${c}: ${name}`, value, low, high };
      return { name: i === 0 ? 'bias' : `weight(${name})`, value, low, high };
    }),
  );
}

export interface IterationNumber {
  readonly name: string;
  readonly value: number;
  readonly low: number | null;
  readonly high: number | null;
}

/**
 * Sample and aggregate (Nissim, Raskhodnikova, Smith 2007; GUPT, Mohan et al. 2012): any code runs on disjoint blocks of
 * privacy units, and only noisy aggregates of the block outputs leave.
 *
 * Argument. A keyed hash of the unit picks its block (its `copies` blocks, when each unit is put into several), so a unit that
 * comes or goes changes the input of `copies` blocks and of no other. Whatever the code does with them, each output of these
 * blocks stays in its declared range after the clamp, and failures give the declared default:
 *   mean: the integer sum over blocks moves by at most copies · (high − low) grid steps per output;
 *   median: each changed block moves one count of a histogram over public bins from a bin to another: 2 · copies in L1.
 * Each output has an equal share of the budget. The number of blocks, the ranges, the grid and the defaults are fixed before
 * any data is read; dividing by the number of blocks and reading a median off noisy counts is post-processing.
 *
 * Not covered here: time. A block that runs long or dies must not delay the answer (see quantum.ts).
 */
import type { Entropy } from './entropy.ts';
import { toNumber, type Rational } from './discrete-laplace.ts';
import type { NoisedPlan } from './noised-plan.ts';
import { deviation, draw, halfWidth, noiseFor, type Noise, type NoiseShare } from './noise.ts';
import { clamp, MISS, type Estimate } from './mechanisms/mechanism.ts';
import { quantileEstimate } from './mechanisms/quantile.ts';
import { Uniform } from './uniform.ts';

/** One number that the code returns per block; range, step and default are declared before it runs. */
export interface BlockOutput {
  readonly name: string;
  readonly low: number;
  readonly high: number;
  /** Outputs are rounded to multiples of it above `low`. */
  readonly step: Rational;
  /** What a block counts as that failed or gave no finite number; clamped into the range. */
  readonly fallback: number;
  readonly method: 'mean' | 'median';
}

export interface BlockPlan {
  readonly blocks: number;
  /** Blocks that each unit is put into. */
  readonly copies: number;
  readonly outputs: readonly BlockOutput[];
  readonly budget: NoisedPlan['budget'];
}

export const BLOCK_LIMITS = { maxBlocks: 100_000, maxOutputs: 64, medianBins: 256 } as const;

/** What came back of one block; anything but `ok` with finite numbers gives the defaults. */
export interface BlockResult {
  readonly isOk: boolean;
  readonly values: ArrayLike<number>;
}

/**
 * One estimate per output. Missing blocks count as failed, surplus results are a fault. Throws `RangeError` for a plan that is
 * not sound, before it looks at any result.
 */
export function aggregateBlocks(
  plan: BlockPlan,
  results: readonly BlockResult[],
  entropy: Entropy,
): readonly Estimate[] {
  const share = checkedShare(plan);
  if (results.length > plan.blocks) throw new RangeError('there are more block results than blocks');
  const uniform = new Uniform(entropy);
  return plan.outputs.map((output, index) => {
    const grid = gridOf(output);
    const steps = Array.from({ length: plan.blocks }, (_, block) => stepsOf(output, grid, results[block], index));
    return output.method === 'mean'
      ? noisyMean(output, grid, steps, plan, share, uniform)
      : noisyMedian(output, grid, steps, plan, share, uniform);
  });
}

interface Grid {
  readonly step: number;
  /** Steps from low to high. */
  readonly width: number;
}

function checkedShare({ blocks, copies, outputs, budget }: BlockPlan): NoiseShare {
  const isCount = (value: number, most: number): boolean => Number.isSafeInteger(value) && value >= 1 && value <= most;
  if (!isCount(blocks, BLOCK_LIMITS.maxBlocks) || !isCount(copies, blocks))
    throw new RangeError('odd number of blocks or copies');
  if (!isCount(outputs.length, BLOCK_LIMITS.maxOutputs)) throw new RangeError('odd number of outputs');
  outputs.forEach(gridOf);
  const share = Math.floor((budget.kind === 'laplace' ? budget.microEpsilon : budget.nanoRho) / outputs.length);
  if (!(share >= 1)) throw new RangeError('a privacy budget cannot be shared among so many outputs');
  return budget.kind === 'laplace' ? { kind: 'laplace', microEpsilon: share } : { kind: 'gaussian', nanoRho: share };
}

function gridOf({ name, low, high, step, fallback }: BlockOutput): Grid {
  const size = toNumber(step);
  const width = Math.ceil((high - low) / size);
  const isSound = Number.isFinite(low) && Number.isFinite(high) && low < high && size > 0 && Number.isFinite(fallback);
  if (!isSound || !(width >= 1 && width <= MAX_WIDTH))
    throw new RangeError(`the range or step of output ${name} is odd`);
  return { step: size, width };
}

/** Keeps sums over all blocks exact in 53 bits. */
const MAX_WIDTH = 2 ** 36;

/** A block's output in whole steps above `low`, always within [0, width]: total, so that no output can cause an error. */
function stepsOf(output: BlockOutput, { step, width }: Grid, result: BlockResult | undefined, index: number): number {
  const given = result?.isOk === true ? result.values[index] : undefined;
  const value = typeof given === 'number' && Number.isFinite(given) ? given : output.fallback;
  const steps = Math.round((clamp(value, output.low, output.high) - output.low) / step);
  return clamp(steps, 0, width);
}

/** Half-width of the interval of a mean over blocks, in its own unit: all means of the plan lie within theirs 19 times in 20. */
export function meanHalfWidth(plan: BlockPlan, output: BlockOutput): number {
  const { step, width } = gridOf(output);
  const noise = meanNoise(plan, width, checkedShare(plan));
  return (halfWidth(noise, MISS / plan.outputs.length) / plan.blocks) * step;
}

/** One number moves by at most copies · width, so its L1 and L2 sensitivities are the same. */
function meanNoise({ copies }: Pick<BlockPlan, 'copies'>, width: number, share: NoiseShare): Noise {
  const l1 = BigInt(copies) * BigInt(width);
  return noiseFor({ l1, l2Squared: l1 * l1 }, share);
}

function noisyMean(
  { low, high }: BlockOutput,
  { step, width }: Grid,
  steps: readonly number[],
  { blocks, copies, outputs }: BlockPlan,
  share: NoiseShare,
  uniform: Uniform,
): Estimate {
  const noise = meanNoise({ copies }, width, share);
  const sum = steps.reduce((total, one) => total + one, 0) + Number(draw(uniform, noise));
  // The intervals of all outputs hold together as often as one of them is promised to.
  const half = halfWidth(noise, MISS / outputs.length);
  const valueOf = (total: number): number => clamp(low + (total / blocks) * step, low, high);
  return {
    value: valueOf(sum),
    integer: null,
    low: valueOf(sum - half),
    high: valueOf(sum + half),
    noiseScale: (deviation(noise) / blocks) * step,
  };
}

function noisyMedian(
  { low, high }: BlockOutput,
  { width }: Grid,
  steps: readonly number[],
  { copies }: BlockPlan,
  share: NoiseShare,
  uniform: Uniform,
): Estimate {
  const bins = Math.min(BLOCK_LIMITS.medianBins, width + 1);
  const counts = Array.from({ length: bins }, () => 0n);
  for (const one of steps) {
    const bin = Math.min(bins - 1, Math.floor((one / width) * bins));
    counts[bin] = (counts[bin] ?? 0n) + 1n;
  }
  const c = BigInt(copies);
  // L2²: all copies can leave one bin for one other: 2·copies².
  const noise: Noise = noiseFor({ l1: 2n * c, l2Squared: 2n * c * c }, share);
  const values = counts.map((count) => count + draw(uniform, noise));
  const limits = Array.from({ length: bins + 1 }, (_, i) => low + ((high - low) * i) / bins);
  return quantileEstimate(0.5, limits, { values, noise });
}

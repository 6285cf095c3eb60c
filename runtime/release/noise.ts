/** Noise as data: how much of which kind a budget buys for a sensitivity, exactly, and what it means for accuracy. */
import { MICRO_PER_EPSILON, NANO_PER_RHO } from './accounting.ts';
import { discreteGaussian, gaussianHalfWidth, normalQuantile } from './discrete-gaussian.ts';
import { discreteLaplace, laplaceDeviation, laplaceHalfWidth, toNumber, type Rational } from './discrete-laplace.ts';
import type { Uniform } from './uniform.ts';

export type Noise =
  | { readonly kind: 'laplace'; readonly scale: Rational }
  | { readonly kind: 'gaussian'; readonly variance: Rational };

/** A share of a privacy budget, for one query. */
export type NoiseShare =
  | { readonly kind: 'laplace'; readonly microEpsilon: number }
  | { readonly kind: 'gaussian'; readonly nanoRho: number };

/** How far a query's vector of integers can move when one privacy unit comes or goes. */
export interface Sensitivity {
  readonly l1: bigint;
  readonly l2Squared: bigint;
}

/**
 * The noise that makes a query of a sensitivity cost exactly a share: Laplace of scale l1/ε, or Gaussian of variance
 * l2²/(2ρ). Rational, so nothing is rounded. Throws `RangeError` when either is not positive.
 */
export function noiseFor(sensitivity: Sensitivity, share: NoiseShare): Noise {
  const { l1, l2Squared } = sensitivity;
  if (l1 <= 0n || l2Squared <= 0n) throw new RangeError('a sensitivity is positive');
  if (share.kind === 'laplace') {
    const scale = { numerator: l1 * BigInt(MICRO_PER_EPSILON), denominator: positive(share.microEpsilon) };
    return { kind: 'laplace', scale: reduced(scale) };
  }
  const variance = { numerator: l2Squared * BigInt(NANO_PER_RHO), denominator: 2n * positive(share.nanoRho) };
  return { kind: 'gaussian', variance: reduced(variance) };
}

/** One draw. */
export function draw(uniform: Uniform, noise: Noise): bigint {
  return noise.kind === 'laplace' ? discreteLaplace(uniform, noise.scale) : discreteGaussian(uniform, noise.variance);
}

/** A half-width w with P(|noise| > w) ≤ tail. */
export function halfWidth(noise: Noise, tail: number): number {
  return noise.kind === 'laplace' ? laplaceHalfWidth(noise.scale, tail) : gaussianHalfWidth(noise.variance, tail);
}

/** An upper bound of the standard deviation (discrete Gaussian noise varies a little less than its parameter). */
export function deviation(noise: Noise): number {
  return noise.kind === 'laplace' ? laplaceDeviation(noise.scale) : Math.sqrt(toNumber(noise.variance));
}

/** A k with P(noise ≥ k) ≤ tail. */
export function upperTail(noise: Noise, tail: number): bigint {
  if (noise.kind === 'gaussian') {
    // P(X ≥ m) ≤ P(N(0, σ²) ≥ m − 1): Canonne, Kamath, Steinke 2020, proposition 25.
    return BigInt(Math.ceil(normalQuantile(tail) * Math.sqrt(toNumber(noise.variance)) * ROUND_UP)) + 1n;
  }
  // P(X ≥ k) = e^(−k/b)/(1 + e^(−1/b)).
  const b = toNumber(noise.scale);
  return BigInt(Math.max(0, Math.ceil(b * -Math.log(tail * (1 + Math.exp(-1 / b))) * ROUND_UP)));
}

/**
 * A t with P(Σ wᵢ·Xᵢ ≥ t) ≤ tail for independent draws Xᵢ; `parts` says how many have each weight, which is not negative.
 *
 * Argument (Chernoff): P(S ≥ t) ≤ exp(−s·t)·∏ E[exp(s·wᵢ·Xᵢ)] for every s > 0 where the expectations are finite, so every s
 * gives a valid t. Discrete Gaussian noise is subgaussian: ln E[exp(s·X)] ≤ s²σ²/2 (Canonne, Kamath, Steinke 2020). For
 * discrete Laplace noise with a = e^(−1/b) the expectation is (1 − a)²/((1 − a·e^s)(1 − a·e^(−s))) for s < 1/b.
 */
export function weightedTail(
  noise: Noise,
  parts: readonly { readonly weight: number; readonly count: number }[],
  tail: number,
): number {
  const counted = parts.filter(({ weight, count }) => weight > 0 && count > 0);
  if (counted.length === 0) return 0;
  const log = -Math.log(tail);
  if (noise.kind === 'gaussian') {
    const squares = counted.reduce((sum, { weight, count }) => sum + count * weight * weight, 0);
    return Math.sqrt(2 * log * squares * toNumber(noise.variance)) * ROUND_UP;
  }
  const rate = 1 / toNumber(noise.scale);
  const logMoment = (s: number): number =>
    2 * Math.log(-Math.expm1(-rate)) - Math.log(-Math.expm1(s - rate)) - Math.log(-Math.expm1(-s - rate));
  const largest = Math.max(...counted.map(({ weight }) => weight));
  const reaches = Array.from({ length: CHERNOFF_STEPS }, (_, i) => {
    const s = (rate / largest) * ((i + 1) / (CHERNOFF_STEPS + 1));
    return (counted.reduce((sum, { weight, count }) => sum + count * logMoment(s * weight), 0) + log) / s;
  });
  return Math.min(...reaches) * ROUND_UP;
}

const CHERNOFF_STEPS = 31;
const ROUND_UP = 1 + 1e-9;

function positive(value: number): bigint {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError('a share of a privacy budget is a positive integer');
  return BigInt(value);
}

function reduced({ numerator, denominator }: Rational): Rational {
  let [a, b] = [numerator, denominator];
  while (b !== 0n) [a, b] = [b, a % b];
  return { numerator: numerator / a, denominator: denominator / a };
}

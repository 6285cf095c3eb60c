import { bernoulliExp, bernoulliExpSmall, type Uniform } from './uniform.ts';

/** A positive rational number, exact. */
export interface Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/**
 * An integer x with probability proportional to exp(−|x|/scale), sampled exactly (Canonne, Kamath, Steinke 2020,
 * algorithm 2). Throws `RangeError` for a scale that is not positive.
 *
 * Why discrete: added to an integer with L1 sensitivity Δ and scale Δ/ε it is exactly ε-differentially private. Laplace
 * noise in floating point is not (Mironov, *On significance of the least significant bits*, 2012).
 */
export function discreteLaplace(uniform: Uniform, scale: Rational): bigint {
  const { numerator, denominator } = scale;
  if (numerator <= 0n || denominator <= 0n) throw new RangeError('the scale of noise is positive');
  const isSmall = numerator < MAX_SMALL_NUMERATOR && denominator < MAX_SMALL_DENOMINATOR;
  for (;;) {
    const isPositive = uniform.bit() === 1;
    const magnitude = isSmall
      ? geometricSmall(uniform, Number(numerator), Number(denominator))
      : geometric(uniform, numerator, denominator);
    // Zero would otherwise be drawn twice as often: once with each sign.
    if (isPositive || magnitude !== 0n) return isPositive ? magnitude : -magnitude;
  }
}

const MAX_SMALL_NUMERATOR = 1n << 44n;
const MAX_SMALL_DENOMINATOR = 1n << 31n;

/** A magnitude m ≥ 0 with probability proportional to exp(−m·denominator/numerator). */
function geometricSmall(uniform: Uniform, numerator: number, denominator: number): bigint {
  let remainder = uniform.below(numerator);
  while (!bernoulliExpSmall(uniform, remainder, numerator)) remainder = uniform.below(numerator);
  const whole = geometricE(uniform);
  const value = whole * numerator + remainder;
  return Number.isSafeInteger(value)
    ? BigInt(Math.floor(value / denominator))
    : (BigInt(whole) * BigInt(numerator) + BigInt(remainder)) / BigInt(denominator);
}

function geometric(uniform: Uniform, numerator: bigint, denominator: bigint): bigint {
  let remainder = uniform.belowBig(numerator);
  while (!bernoulliExp(uniform, remainder, numerator)) remainder = uniform.belowBig(numerator);
  return (BigInt(geometricE(uniform)) * numerator + remainder) / denominator;
}

/** The number of successes before the first failure, where each succeeds with probability 1/e. */
function geometricE(uniform: Uniform): number {
  let count = 0;
  while (bernoulliExpSmall(uniform, 1, 1)) count++;
  return count;
}

/**
 * The least half-width w with P(|X| > w) ≤ tail for discrete Laplace noise of a scale; from
 * P(|X| > w) = 2·e^(−(w+1)/b)/(1 + e^(−1/b)), rounded up.
 */
export function laplaceHalfWidth(scale: Rational, tail: number): number {
  const b = toNumber(scale);
  const width = b * Math.log(2 / (tail * (1 + Math.exp(-1 / b)))) - 1;
  return Math.max(0, Math.ceil(width * (1 + 1e-9)));
}

/** Standard deviation of discrete Laplace noise of a scale. */
export function laplaceDeviation(scale: Rational): number {
  const b = toNumber(scale);
  const q = Math.exp(-1 / b);
  return Math.sqrt(2 * q) / -Math.expm1(-1 / b);
}

/** The nearest floating-point number, for display and bounds only. */
export function toNumber(value: Rational): number {
  // Both parts can exceed the range of a double, so they are brought down together.
  const excess = Math.max(0, value.numerator.toString(2).length, value.denominator.toString(2).length) - 1000;
  const shift = BigInt(Math.max(0, excess));
  return Number(value.numerator >> shift) / Number(value.denominator >> shift);
}

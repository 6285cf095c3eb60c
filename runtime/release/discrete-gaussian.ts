import { discreteLaplace, toNumber, type Rational } from './discrete-laplace.ts';
import { bernoulliExp, type Uniform } from './uniform.ts';

/**
 * An integer x with probability proportional to exp(−x²/(2·variance)), sampled exactly (Canonne, Kamath, Steinke 2020,
 * algorithm 3: rejection from discrete Laplace noise). Throws `RangeError` for a variance that is not positive.
 *
 * Added to integers with L2 sensitivity Δ it is Δ²/(2·variance) zero-concentrated differentially private (ibid.,
 * theorem 4, and theorem 14 for vectors).
 */
export function discreteGaussian(uniform: Uniform, variance: Rational): bigint {
  const { numerator, denominator } = variance;
  if (numerator <= 0n || denominator <= 0n) throw new RangeError('the variance of noise is positive');
  const t = integerSquareRoot(numerator / denominator) + 1n;
  const scale: Rational = { numerator: t, denominator: 1n };
  const over = 2n * numerator * t * t * denominator;
  for (;;) {
    const value = discreteLaplace(uniform, scale);
    const magnitude = value < 0n ? -value : value;
    // (|y| − σ²/t)² / 2σ² over one denominator, in integers.
    const distance = magnitude * t * denominator - numerator;
    if (bernoulliExp(uniform, distance * distance, over)) return value;
  }
}

/** The largest integer whose square is at most `value`; throws `RangeError` for a negative one. */
export function integerSquareRoot(value: bigint): bigint {
  if (value < 0n) throw new RangeError('a negative number has no square root');
  if (value < 2n) return value;
  // From above, Newton's steps fall strictly until they reach the root.
  let root = 1n << BigInt(Math.ceil(value.toString(2).length / 2));
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/**
 * A half-width w with P(|X| > w) ≤ tail for discrete Gaussian noise of a variance; from P(X ≥ m) ≤ P(N(0, σ²) ≥ m − 1)
 * (ibid., proposition 25).
 */
export function gaussianHalfWidth(variance: Rational, tail: number): number {
  return Math.ceil(normalQuantile(tail / 2) * Math.sqrt(toNumber(variance))) + 1;
}

/** z with P(N(0, 1) > z) ≤ tail: Abramowitz and Stegun 26.2.23, whose error is below 4.5·10⁻⁴, which is added. */
export function normalQuantile(tail: number): number {
  if (!(tail > 0 && tail <= 0.5)) throw new RangeError('a tail lies above 0 and is at most one half');
  const t = Math.sqrt(-2 * Math.log(tail));
  const top = 2.515517 + t * (0.802853 + t * 0.010328);
  const bottom = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308));
  return t - top / bottom + 4.5e-4;
}

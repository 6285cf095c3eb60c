/** Interval arithmetic on estimates: an interval of a function holds its value whenever the arguments' intervals do. */
import { halfWidth } from '../noise.ts';
import { single, type NoisyAnswer } from './mechanism.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** The interval that misses the exact answer with probability at most `miss`. */
export function intervalOf(answer: NoisyAnswer, miss: number): Interval {
  const noisy = Number(single(answer));
  const width = halfWidth(answer.noise, miss);
  return { low: noisy - width, high: noisy + width };
}

/** A count that is at least 1: what ratios are divided by. */
export function atLeastOne({ low, high }: Interval): Interval {
  return { low: Math.max(1, low), high: Math.max(1, high) };
}

/**
 * n/(n − 1), which turns a mean of squares into an estimate from a sample. Two rows at least are behind one, however few the
 * noise counts: below that the largest factor stands, so that it falls with n throughout.
 */
export function perDegree(n: number): number {
  return n < 2 ? 2 : n / (n - 1);
}

/** All quotients; the divisor is positive. */
export function quotient(a: Interval, b: Interval): Interval {
  return hull([a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high]);
}

export function product(a: Interval, b: Interval): Interval {
  return hull([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]);
}

/** All squares. */
export function square({ low, high }: Interval): Interval {
  const ends = hull([low * low, high * high]);
  return low <= 0 && high >= 0 ? { low: 0, high: ends.high } : ends;
}

export function difference(a: Interval, b: Interval): Interval {
  return { low: a.low - b.high, high: a.high - b.low };
}

/** `interval` mapped by an increasing function. */
export function mapped({ low, high }: Interval, f: (value: number) => number): Interval {
  return { low: f(low), high: f(high) };
}

function hull(values: readonly number[]): Interval {
  return { low: Math.min(...values), high: Math.max(...values) };
}

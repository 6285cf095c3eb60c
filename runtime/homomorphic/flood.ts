import type { ReleasedScalar } from './derive.ts';
import { checkFlood, floodMarginBits, LEAST_FLOOD_BITS, toldDecimals } from './flood-margin.ts';
import type { Plan } from './plan.ts';

/**
 * How many approximate results may leave under one key before such a result is the last: the margin of tau results is
 * that of one less log2(tau), by the same theorem, and must not fall below the least.
 */
export function approximateLimit(plan: Plan): number {
  if (plan.logistic === null) return Number.POSITIVE_INFINITY;
  const bits = floodMarginBits(plan.logistic.meanErrorBound, toldDecimals(plan.program.parameters));
  return Math.floor(2 ** Math.min(50, bits - LEAST_FLOOD_BITS));
}

/**
 * Approximate (CKKS) numbers leave only after flooding: an exact decryption of an approximate scheme carries the
 * encryption noise, and with it the secret key (Li and Micciancio, ePrint 2020/1533). Normal noise as large as the
 * declared precision allows is added and the number is rounded to that precision. Only one number per result leaves,
 * never a vector of slots, and under one key only `approximateLimit` of them.
 */
export function floodLogistic(
  plan: Plan,
  scalars: readonly ReleasedScalar[],
  randomBytes: (length: number) => Uint8Array,
): readonly ReleasedScalar[] {
  if (plan.logistic === null) return scalars;
  const decimals = toldDecimals(plan.program.parameters);
  checkFlood(plan.logistic, decimals);
  const step = 10 ** -decimals;
  const sigma = step / 2;
  return scalars.map((scalar) => {
    if (scalar.exact !== null) return scalar;
    const noisy = scalar.number + sigma * standardNormal(randomBytes);
    // 6.5 standard deviations and half a step of rounding hold with probability above 1 - 2^-33
    return {
      ...scalar,
      number: Math.round(noisy / step) * step,
      errorBound: scalar.errorBound + 6.5 * sigma + step / 2,
    };
  });
}

/** Box–Muller from 52-bit uniforms; timing does not depend on the data. */
function standardNormal(randomBytes: (length: number) => Uint8Array): number {
  const bytes = randomBytes(16);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const uniform = (at: number): number => (Number(view.getBigUint64(at, true) >> 12n) + 0.5) / 2 ** 52;
  return Math.sqrt(-2 * Math.log(uniform(0))) * Math.cos(2 * Math.PI * uniform(8));
}

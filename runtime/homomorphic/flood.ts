import type { ReleasedScalar } from './derive.ts';
import { HomomorphicFault } from './fault.ts';
import type { Plan } from './plan.ts';

/** Fewest bits by which flooding must cover the error of an approximate result before it may leave. */
const LEAST_FLOOD_BITS = 20;
const DEFAULT_DECIMALS = 3;

/**
 * Approximate (CKKS) numbers leave only after flooding: an exact decryption of an approximate scheme carries the
 * encryption noise, and with it the secret key (Li and Micciancio, ePrint 2020/1533). Normal noise as large as the
 * declared precision allows is added and the number is rounded to that precision; sigma over sqrt(12) times the error
 * bound, squared, is the statistical margin (Li, Micciancio, Schultz, Sorrell, ePrint 2022/816). Only one number per
 * result leaves, never a vector of slots.
 */
export function floodLogistic(
  plan: Plan,
  scalars: readonly ReleasedScalar[],
  randomBytes: (length: number) => Uint8Array,
): readonly ReleasedScalar[] {
  if (plan.logistic === null) return scalars;
  const decimals = plan.program.parameters['decimals'] ?? DEFAULT_DECIMALS;
  const step = 10 ** -decimals;
  const sigma = step / 2;
  const error = plan.logistic.errorBound / 10;
  const bits = 2 * Math.log2(sigma / (Math.sqrt(12) * error));
  if (bits < LEAST_FLOOD_BITS) {
    throw new HomomorphicFault(
      'no-parameters',
      `cannot release ${decimals} decimals of an approximate result: flooding needs a coarser precision`,
    );
  }
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

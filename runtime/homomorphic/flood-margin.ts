import { HomomorphicFault } from './fault.ts';
import type { LogisticPlan } from './logistic.ts';

/** Fewest bits by which flooding must cover the error of an approximate result before it may leave. */
export const LEAST_FLOOD_BITS = 20;
const DEFAULT_DECIMALS = 3;

/**
 * Bits by which the noise of one released number covers the error that encryption left in it; more decimals, fewer bits.
 * Sigma over sqrt(12) times the error bound, squared, is the statistical margin (Li, Micciancio, Schultz, Sorrell, ePrint
 * 2022/816).
 */
export function floodMarginBits(meanErrorBound: number, decimals: number): number {
  const sigma = 10 ** -decimals / 2;
  return 2 * Math.log2(sigma / (Math.sqrt(12) * (meanErrorBound / 10)));
}

/** Decimals to which a logistic program's number is told. */
export function toldDecimals(parameters: Readonly<Record<string, number>>): number {
  return parameters['decimals'] ?? DEFAULT_DECIMALS;
}

/** Refuses a precision that flooding cannot cover even once: `no-parameters`, before anything runs. */
export function checkFlood({ meanErrorBound }: LogisticPlan, decimals: number): void {
  if (floodMarginBits(meanErrorBound, decimals) >= LEAST_FLOOD_BITS) return;
  throw new HomomorphicFault(
    'no-parameters',
    `cannot release ${decimals} decimals of an approximate result: flooding needs a coarser precision`,
  );
}

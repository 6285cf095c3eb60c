import type { SqlType } from './types.ts';

/** |fixed value| stays at or below 2^30, so that 2^32 rows sum within 63 bits. */
const MAX_FIXED_BITS = 30;

/**
 * The value of one fixed-point unit of a column with these bounds. Integers count in ones and decimals in their last
 * place when that fits; everything else counts in a power of two, so that value / step is exact.
 */
export function fixedPointStep(type: SqlType, { low, high }: { readonly low: number; readonly high: number }): number {
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (type.kind === 'integer' && largest <= 2 ** MAX_FIXED_BITS) return 1;
  if (type.kind === 'decimal' && largest * 10 ** type.scale <= 2 ** MAX_FIXED_BITS) return 10 ** -type.scale;
  return largest === 0 ? 1 : 2 ** (Math.ceil(Math.log2(largest)) - MAX_FIXED_BITS);
}

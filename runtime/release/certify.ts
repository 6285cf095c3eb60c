/**
 * Certifying a minimum of distinct units without counting them.
 *
 * Each unit owns one of 64 bits, chosen by a keyed hash; a group's certificate is the OR of the bits of its rows.
 *
 * Soundness: a set bit was set by some unit, and a unit sets one bit, so different set bits come from different units:
 * popcount(OR) ≤ distinct units. Leaving out rows can only clear bits, so a certificate over any part of the rows (a prefix
 * of the table, a sample) bounds the whole as well, and repeating rows (a join that multiplies) changes nothing. The bound is
 * one-sided: a group that is not certified may still have enough units and is then counted exactly.
 *
 * The hash is keyed so that a consumer who chooses unit identifiers cannot choose bits; soundness does not rest on it.
 */

export const CERTIFICATE_BITS = 64;

/** The bit of a unit: in SQL `1::UBIGINT << (hash & 63)`. */
export function oneHot(hash: bigint): bigint {
  return 1n << (hash & 63n);
}

/** A lower bound on the distinct units behind an OR of one-hot hashes; throws `RangeError` for more than 64 bits. */
export function certifiedUnits(bits: bigint): number {
  if (bits < 0n || bits >> BigInt(CERTIFICATE_BITS) !== 0n) throw new RangeError('a certificate has 64 bits');
  let count = 0;
  for (let rest = bits; rest !== 0n; rest &= rest - 1n) count++;
  return count;
}

/** Whether the bits prove at least `minUnits` distinct units. False means "not proven", not "too few". */
export function isCertified(bits: bigint, minUnits: number): boolean {
  return certifiedUnits(bits) >= minUnits;
}

/**
 * Distinct units of which about half the certificates would be proven: the size below which the exact count is the better
 * plan. Infinite when no group can prove the minimum.
 */
export function unitsForCertificate(minUnits: number): number {
  if (minUnits > CERTIFICATE_BITS) return Infinity;
  // Coupon collector: the expected number of units until `minUnits` of the 64 bits are set.
  let units = 0;
  for (let set = 0; set < minUnits; set++) units += CERTIFICATE_BITS / (CERTIFICATE_BITS - set);
  return units;
}

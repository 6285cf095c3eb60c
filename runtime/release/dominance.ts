/**
 * The (n, k) dominance rule of statistical disclosure control: a cell in which the n largest contributors hold more than
 * a share of the total tells their values to anyone who knows the rest (Hundepool et al., *Statistical Disclosure
 * Control*, 2012, section 4.2). Counting units does not help there: a hundred small firms and one large one are still a
 * statement about the large one.
 *
 * Contributions are taken by absolute value: with mixed signs a total near zero would otherwise hide or fake dominance.
 */

/** Largest contributions of distinct units to a cell, and the sum of all, as absolute values on one integer scale. */
export interface Concentration {
  readonly top: bigint;
  readonly total: bigint;
}

/** The parts of a million in a share, rounded down, so that the rule is never looser than written. */
export const SHARE_SCALE = 1_000_000;

/**
 * Whether the top contributions hold more than `share` of the total. Odd input (negative, top above total) counts as
 * dominated, so that a broken certificate withholds.
 */
export function isDominated({ top, total }: Concentration, share: number): boolean {
  if (!(share >= 0 && share <= 1)) throw new RangeError('a dominance share lies between 0 and 1');
  if (top < 0n || total < 0n || top > total) return true;
  if (total === 0n) return false;
  return top * BigInt(SHARE_SCALE) > total * BigInt(Math.floor(share * SHARE_SCALE));
}

/** The same for floating-point sums; rounding errors of up to one part in 10⁹ count against the release. */
export function isDominatedFloat(top: number, total: number, share: number): boolean {
  if (!(share >= 0 && share <= 1)) throw new RangeError('a dominance share lies between 0 and 1');
  if (!Number.isFinite(top) || !Number.isFinite(total) || top < 0 || total < 0) return true;
  const slack = total * 1e-9;
  if (top > total + slack) return true;
  return total > 0 && top > total * share - slack && share < 1;
}

/** The concentration of a cell from its contributions per unit (any order, any sign). */
export function concentrationOf(contributions: Iterable<bigint>, n: number): Concentration {
  if (!Number.isSafeInteger(n) || n < 1) throw new RangeError('dominance looks at one or more contributors');
  const sizes = Array.from(contributions, (value) => (value < 0n ? -value : value)).toSorted(descending);
  const sum = (values: readonly bigint[]): bigint => values.reduce((total, value) => total + value, 0n);
  return { top: sum(sizes.slice(0, n)), total: sum(sizes) };
}

function descending(a: bigint, b: bigint): number {
  return a === b ? 0 : a < b ? 1 : -1;
}

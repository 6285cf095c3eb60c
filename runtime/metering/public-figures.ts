/** Smallest step in which rows are told: a table of fewer rows counts as this many. */
export const ROW_STEP = 1000;
/** So many privacy units of the smallest group that is shown could join or leave without the figure changing, on average. */
const UNITS_PER_STEP = 10;

/**
 * How many rows a job read, as everybody may know it: the exact count of a private table tells whether one person is
 * in it, and who uploads, withdraws or joins could be watched through bills. Rounded up to two significant digits, in
 * steps of at least ROW_STEP and of at least ten times `minUnits`. The price, the evidence and the statement hold this
 * figure and no other, so nothing needs to be kept secret about it.
 */
export function publicRows(rows: number, minUnits: number | null): number {
  if (rows <= 0) return 0;
  const digits = Math.floor(Math.log10(rows)) + 1;
  const step = Math.max(ROW_STEP, 10 ** (digits - 2), powerOfTenAtLeast(UNITS_PER_STEP * (minUnits ?? 0)));
  return Math.ceil(rows / step) * step;
}

function powerOfTenAtLeast(value: number): number {
  return value <= 1 ? 1 : 10 ** Math.ceil(Math.log10(value));
}

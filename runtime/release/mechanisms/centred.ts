/**
 * Moments about the middle of the bounds. A value lies within h = ⌈(high − low)/2⌉ of the middle, so centred sums need half
 * the noise of raw ones and less still where the bounds are far from zero. The middle is public (it comes from the policy),
 * and the exact part stays plain sums: the shift happens here, in integers.
 */
import {
  exactId,
  rowsPerUnit,
  type ContributionBound,
  type ExactColumn,
  type Measure,
  type NoisyQuery,
  type ReadExact,
} from './mechanism.ts';

export interface Centre {
  readonly middle: bigint;
  /** Largest distance of a value from the middle, at least 1. */
  readonly reach: bigint;
}

export function centreOf({ low, high, name }: Measure): Centre {
  if (low > high) throw new RangeError(`the bounds of measure ${name} are empty`);
  // Shifting right rounds down for negative sums too, so `high` is the farther end.
  const middle = (low + high) >> 1n;
  const reach = high - middle;
  return { middle, reach: reach === 0n ? 1n : reach };
}

/** The exact columns that a family of moments is computed from. */
export interface MomentColumns {
  readonly rows: ExactColumn;
  readonly sum: ExactColumn;
  readonly squares: ExactColumn;
}

export function momentsOf(measure: string): MomentColumns {
  return {
    rows: { kind: 'present', measure },
    sum: { kind: 'sum', measure },
    squares: { kind: 'squares', measure },
  };
}

/** Σ(f − middle): a row moves it by at most `reach`, a unit by M · reach. */
export function centredSumQuery(columns: MomentColumns, centre: Centre, bound: ContributionBound): NoisyQuery {
  const l1 = rowsPerUnit(bound) * centre.reach;
  return {
    id: `centred ${exactId(columns.sum)}`,
    l1,
    l2Squared: l1 * l1,
    reads: [columns.rows, columns.sum],
    evaluate: (read) => [centredSum(read, columns, centre)],
  };
}

/**
 * Σ((f − middle)² − offset) with offset = ⌊reach²/2⌋: each term lies in [−offset, reach² − offset], so a row moves it by at
 * most reach² − offset, half of what the plain square costs. The estimate adds offset · count back.
 */
export function centredSquaresQuery(columns: MomentColumns, centre: Centre, bound: ContributionBound): NoisyQuery {
  const { middle, reach } = centre;
  const offset = squareOffset(centre);
  const l1 = rowsPerUnit(bound) * (reach * reach - offset);
  return {
    id: `centred ${exactId(columns.squares)}`,
    l1,
    l2Squared: l1 * l1,
    reads: [columns.rows, columns.sum, columns.squares],
    evaluate: (read) => {
      const n = read(columns.rows);
      const squares = read(columns.squares) - 2n * middle * read(columns.sum) + middle * middle * n;
      return [squares - offset * n];
    },
  };
}

export function squareOffset({ reach }: Centre): bigint {
  return (reach * reach) / 2n;
}

function centredSum(read: ReadExact, columns: MomentColumns, { middle }: Centre): bigint {
  return read(columns.sum) - middle * read(columns.rows);
}

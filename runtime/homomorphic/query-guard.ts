import { QUERY_PROFILE, type QueryColumn, type QueryHeader } from './query.ts';

/*
 * A model's output is a release: enough independent linear queries over the same rows solve for the rows. Queries are
 * encrypted, so their rank cannot be seen; every query counts as independent of all others. One answer modulo t can even
 * carry several small columns side by side (weights 1, 2^12, 2^24, …), so a query is charged for as many values as
 * its answer has room for.
 */

/** Bits of one answer. */
const ANSWER_BITS = QUERY_PROFILE.plainModulus.toString(2).length;
/** Unknowns that stay unsolved at least: half of them. */
const SOLVABLE_SHARE = 2;

/** What a query costs and what its kind may cost in all, per dataset and consumer. */
export interface QueryCharge {
  /**
   * Whatever meets single rows is counted together: half of the columns solved by scores and the other half by lookups
   * would be all of them. Totals are counted apart: they are equations in other unknowns.
   */
  readonly account: 'values' | 'totals';
  readonly charge: number;
  readonly cap: number;
}

/**
 * Counts how many unknown values one query could solve for, and how many may ever be: of the rows that there really are,
 * not of those that a query is made for, which are at least 8192. Their number counts by its highest bit alone: who is
 * charged learns no more of it.
 */
export function chargeOf(header: QueryHeader, columns: readonly QueryColumn[], rowCount: bigint): QueryCharge {
  const bits = columns.map(({ low, high }) => Math.max(1, (high - low).toString(2).length)).toSorted((a, b) => a - b);
  const packed = (unknowns: readonly number[]): number => {
    let room = ANSWER_BITS;
    let count = 0;
    for (const size of unknowns) {
      if (size > room) break;
      room -= size;
      count++;
    }
    return Math.max(1, count);
  };
  const rows = rowCount < 1n ? 0 : 2 ** (rowCount.toString(2).length - 1);
  const cap = Math.floor((rows * columns.length) / SOLVABLE_SHARE);
  if (header.output === 'rows') return { account: 'values', charge: packed(bits) * Math.max(1, rows), cap };
  const smallest = bits[0] ?? 1;
  const perAnswer = Math.max(1, Math.floor(ANSWER_BITS / smallest));
  if (header.name === 'lookup') return { account: 'values', charge: perAnswer * columns.length, cap };
  if (header.name === 'queryDot') return { account: 'values', charge: perAnswer, cap };
  return { account: 'totals', charge: perAnswer, cap: Math.floor((header.rows * columns.length) / SOLVABLE_SHARE) };
}

/** Whether a query may still run, given what its account has spent; pure, the caller keeps the spent total durable. */
export function admitQuery(
  cost: QueryCharge,
  spent: number,
):
  | { readonly kind: 'admitted'; readonly spent: number }
  | { readonly kind: 'denied'; readonly reasons: readonly string[] } {
  const total = spent + cost.charge;
  if (Number.isSafeInteger(total) && spent >= 0 && total <= cost.cap) return { kind: 'admitted', spent: total };
  return {
    kind: 'denied',
    reasons: [
      `queries against this dataset are spent: ${spent} of ${cost.cap} values could be solved for so far, this query counts for ${cost.charge}`,
    ],
  };
}

/**
 * Number of distinct privacy units, or of distinct values of a column.
 *
 * Argument, units: a unit is counted at most once per group and its M rows lie in at most G groups, M or as many as the answer
 * has, so L1 is G and, with each group moving by 1, L2² is G. A filter on the rows takes units away. Argument, values: each of the unit's M rows can bring one value that nobody else has,
 * all in one group: L1 is M, L2² is M². A value that others have too moves nothing.
 */
import { wholeNumber } from './count.ts';
import {
  exactId,
  groupsPerUnit,
  rowsPerUnit,
  single,
  type ContributionBound,
  type ExactColumn,
  type Mechanism,
  type NoisyQuery,
} from './mechanism.ts';

export interface Distinct {
  /** null counts privacy units. */
  readonly column: string | null;
  /** Whether the column tells units, so that a unit brings one value and no other. */
  readonly isOfUnits?: true;
}

export function countDistinct({ column, isOfUnits }: Distinct, bound: ContributionBound): Mechanism {
  const isUnits = column === null || isOfUnits === true;
  const m = isUnits ? groupsPerUnit(bound) : rowsPerUnit(bound);
  const exact: ExactColumn = column === null ? { kind: 'distinctUnits' } : { kind: 'distinctValues', column };
  const query: NoisyQuery = {
    id: exactId(exact),
    l1: m,
    l2Squared: isUnits ? m : m * m,
    reads: [exact],
    evaluate: (read) => [read(exact)],
  };
  return { queries: [query], estimate: (answer) => [wholeNumber(single(answer(query.id)), answer(query.id))] };
}

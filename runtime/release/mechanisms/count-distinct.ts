/**
 * Number of distinct privacy units, or of distinct values of a column.
 *
 * Argument, units: a unit is counted at most once per group and its M rows lie in at most M groups, so L1 is M and, with
 * each group moving by 1, L2² is M. Argument, values: each of the unit's M rows can bring one value that nobody else has,
 * all in one group: L1 is M, L2² is M². A value that others have too moves nothing.
 */
import { wholeNumber } from './count.ts';
import {
  exactId,
  rowsPerUnit,
  single,
  type ContributionBound,
  type ExactColumn,
  type Mechanism,
  type NoisyQuery,
} from './mechanism.ts';

/** `column` null counts privacy units. */
export function countDistinct(column: string | null, bound: ContributionBound): Mechanism {
  const m = rowsPerUnit(bound);
  const exact: ExactColumn = column === null ? { kind: 'distinctUnits' } : { kind: 'distinctValues', column };
  const query: NoisyQuery = {
    id: exactId(exact),
    l1: m,
    l2Squared: column === null ? m : m * m,
    reads: [exact],
    evaluate: (read) => [read(exact)],
  };
  return { queries: [query], estimate: (answer) => [wholeNumber(single(answer(query.id)), answer(query.id))] };
}

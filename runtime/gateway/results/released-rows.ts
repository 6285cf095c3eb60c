import type { ResultNote } from '../../job/needs.ts';
import type { Cell } from '../../release/column-values.ts';
import { rowsOfFrames } from '../../rpc/frame-rows.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { Results } from './results.ts';

/** Most rows of one released result that code may read again. */
const MAX_ROWS = 100_000;

/**
 * Rows of results that were released to a party, by job. One answer, undefined, for a job that is not the party's own, was not
 * released, or whose result is kept no more: names of others tell nothing.
 */
export function releasedRows(
  needs: Pick<GatewayNeeds, 'store'>,
  results: Results,
): (party: string, jobId: string) => Promise<readonly Readonly<Record<string, Cell>>[] | undefined> {
  return async (party, jobId) => {
    const record = await needs.store.job(jobId);
    if (record === undefined || record.owner !== party || record.state !== 'released') return undefined;
    const note = record.body.result as ResultNote | null;
    if (note === null || !results.exists(jobId)) return undefined;
    return rowsOfFrames(results.read(jobId, note), MAX_ROWS);
  };
}

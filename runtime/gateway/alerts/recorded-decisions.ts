import type { BudgetLine } from '../../ledger/reservation.ts';
import type { LedgerJob } from '../../job/needs.ts';
import type { JobRecord } from '../../store/jobs.ts';
import { linesFromJson } from '../../store/ledger-rows.ts';
import type { RecordFilter, StoredRecord } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import type { Decided } from '../../risk/detect.ts';

/** What a decision was, as the ledger was told. */
export interface LedgerDecision {
  readonly job: LedgerJob;
  readonly verdict: Decided['verdict'];
  readonly codes: readonly string[];
  readonly lines: readonly BudgetLine[];
}

/** Most decisions that are read again at a start: the newest. */
export const MAX_RECORDED_DECISIONS = 5000;
const PAGE = 1000;

/** The latest decisions as they are on record, oldest first, for detectors that lost their memory with the process. */
export async function recordedDecisions(
  store: Pick<Store, 'list'>,
): Promise<readonly { readonly decision: LedgerDecision; readonly atMs: number }[]> {
  const jobs = (await newest(store, 'job')) as readonly JobRecord[];
  const lines = new Map((await newest(store, 'reservation')).map(({ id, body }) => [id, body]));
  return jobs.toReversed().flatMap(({ id, owner, state, atMs, body }) => {
    const held = lines.get(id);
    // Ended before it was decided: nobody was told of a verdict.
    if (state !== 'denied' && held === undefined) return [];
    const drawn: readonly BudgetLine[] = held === undefined ? [] : linesFromJson(held);
    const { agreements, scopes, notAfterMs, details, reasons } = body;
    const job: LedgerJob = {
      id,
      party: owner,
      agreements,
      scopes,
      notAfterMs,
      details: details as LedgerJob['details'],
    };
    const verdict = state === 'denied' ? 'deny' : 'permit';
    return [{ atMs, decision: { job, verdict, codes: reasons, lines: drawn } as const }];
  });
}

async function newest(store: Pick<Store, 'list'>, table: 'job' | 'reservation'): Promise<readonly StoredRecord[]> {
  const found: StoredRecord[] = [];
  for (let filter: RecordFilter = { limit: PAGE }; found.length < MAX_RECORDED_DECISIONS;) {
    const page = await store.list(table, filter);
    found.push(...page);
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) break;
    filter = { limit: PAGE, before: { atMs: last.atMs, id: last.id } };
  }
  return found;
}

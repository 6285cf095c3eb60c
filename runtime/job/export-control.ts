import { destinationBudget } from '../ledger/budget.ts';
import type { BudgetLine } from '../ledger/reservation.ts';
import { CORE_NEVER_LEAVES, gradeOfResult, judgeExport, type Lineage } from '../policy/export-list.ts';
import type { Denied } from '../policy/reason.ts';
import type { Job } from './job.ts';
import type { JobNeeds } from './needs.ts';
import type { AdmittedPermit } from './admission.ts';
import type { Prepared } from './prepare.ts';

/** Counted, not limited. */
const COUNTED = 2n ** 62n;

/**
 * Whether what was prepared may go where its asker is: nothing that rests on data of grade core, nothing abroad that rests
 * on a listed field, and abroad only as often as the list allows. Answers the counters that the release draws on.
 */
export function exportLines(
  needs: Pick<JobNeeds, 'exportList'>,
  job: Job,
  permits: readonly AdmittedPermit[],
  prepared: Prepared,
): readonly BudgetLine[] | Denied {
  const lineage = lineageOf(prepared);
  if (lineage.datasets.length > 0 && gradeOf(permits, prepared) === 'core') return CORE_NEVER_LEAVES;
  const list = needs.exportList?.() ?? null;
  // Code over a result that its asker already has rests on no data of ours.
  if (list === null || lineage.datasets.length === 0) return [];
  const verdict = judgeExport(list, job.asker.country, lineage);
  if (verdict.kind === 'denied') return verdict;
  if (verdict.kind === 'inside') return [];
  const budget = destinationBudget('count', { destination: verdict.destination });
  const { perDestination } = list;
  if (perDestination === null) return [{ budget, amount: 1n, limit: COUNTED }];
  const line = { budget, amount: 1n, limit: BigInt(perDestination.max) };
  return [perDestination.perMs === null ? line : { ...line, windowMs: perDestination.perMs }];
}

/** The grade that the result has from what it rests on, as its release lowers it. */
export function gradeOf(permits: readonly AdmittedPermit[], prepared: Prepared): ReturnType<typeof gradeOfResult> {
  const policies = permits.map(({ permit }) => permit.policy);
  return gradeOfResult(policies, lineageOf(prepared), prepared.terms.mode);
}

function lineageOf({ datasets, columns }: Prepared): Lineage {
  return { datasets: datasets.map(({ name }) => name), columns: columns ?? null };
}

import { agreementBudget, consumerBudget } from '../ledger/budget.ts';
import type { BudgetLine } from '../ledger/reservation.ts';
import type { AdmittedPermit } from './admission.ts';

/**
 * What one job draws on: a use under each rule and each default that counts uses. A budget is named by dataset,
 * consumer and mode, so a new policy version or a renamed rule finds the spending where it was.
 */
export function budgetLines(consumer: string, permits: readonly AdmittedPermit[]): readonly BudgetLine[] {
  return permits.flatMap(({ agreement, permit }) => {
    const lines: BudgetLine[] = [];
    const { count } = permit.rule.when;
    if (count !== null) {
      lines.push(
        useLine(consumerBudget('count', { dataset: agreement.dataset, consumer, rule: permit.rule.mode }), count),
      );
    }
    const overall = permit.policy.defaults.count;
    if (overall !== null) {
      lines.push(useLine(consumerBudget('count', { dataset: agreement.dataset, consumer, rule: 'any' }), overall));
    }
    // Counted without a limit, so that meters and statements know the uses of every agreement.
    lines.push({ budget: agreementBudget('calls', { agreement: agreement.id }), amount: 1n, limit: MOST_CALLS });
    return lines;
  });
}

const MOST_CALLS = 2n ** 62n;

function useLine(
  budget: BudgetLine['budget'],
  count: { readonly max: number; readonly perMs: number | null },
): BudgetLine {
  const line = { budget, amount: 1n, limit: BigInt(count.max) };
  return count.perMs === null ? line : { ...line, windowMs: count.perMs };
}

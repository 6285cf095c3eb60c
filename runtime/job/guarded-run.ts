import type { AggregateRelease } from '../policy/model.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import type { EnforcedQuery } from '../query/enforced.ts';
import { shapeFor } from '../release/sketch.ts';
import { guardCells } from './guard-cells.ts';
import type { Histories, StoredSketches } from './histories.ts';
import type { Execution } from './prepare.ts';
import type { AskGuard } from './sql-engine.ts';

/** Why the guard that the policy demands cannot be had; null when it can. A protection promised is given, or nothing is. */
export async function guardRefusal(
  histories: Histories,
  query: {
    readonly terms: AggregateRelease;
    readonly enforced: EnforcedQuery;
    readonly owners: readonly string[];
    readonly clause: string;
  },
): Promise<Denied | null> {
  const { terms, enforced, owners, clause } = query;
  if (owners.length === 0) return null;
  if (shapeFor(terms.minUnits).buckets < terms.minUnits) {
    return denied(
      reason('term-not-available', `answers over ${terms.minUnits} units or more cannot be compared with each other`, {
        clause: `${clause}.release.differencing`,
        remedy: 'ask the provider for a rule with a smaller `minUnits` or without `differencing: guard`',
      }),
    );
  }
  if (enforced.guard === undefined || !(await histories.isFull(owners))) return null;
  return denied(
    reason('history-full', 'you were given more cells than a further one can be compared with', {
      clause: `${clause}.release.differencing`,
      remedy: 'use a rule of mode `differentialPrivacy`',
    }),
  );
}

/** Runs a query whose cells are compared with each other and with what its asker was given before. */
export function guarded(
  histories: Histories,
  query: { readonly enforced: EnforcedQuery; readonly owners: readonly string[]; readonly minUnits: number },
  run: (ask?: AskGuard) => Execution,
): Execution {
  const { guard } = query.enforced;
  if (guard === undefined) return run();
  let withheldCells = 0n;
  let sketches: readonly StoredSketches[] = [];
  const execution = run(async (batches) => {
    const { verdict, records } = await histories.judge(query.owners, guard.buckets, (known) =>
      guardCells(guard, query.minUnits, batches, known),
    );
    ({ withheldCells } = verdict);
    sketches = records;
    return verdict.hide;
  });
  return {
    ...execution,
    summary: () => {
      const summary = execution.summary();
      if (summary.kind === 'failed') return summary;
      const { cells } = summary.withheld;
      const all = withheldCells === 0n ? cells : (cells ?? 0n) + withheldCells;
      return { ...summary, sketches, withheld: { ...summary.withheld, cells: all } };
    },
  };
}

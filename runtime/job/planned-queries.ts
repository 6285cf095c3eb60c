import type { Denied } from '../policy/reason.ts';
import type { CatalogueTable, QueryContext } from '../query/catalogue.ts';
import { checkPlan } from '../query/check-plan.ts';
import type { EnforcedQuery } from '../query/enforced.ts';

/** Texts whose plan is remembered as good. */
const MAX_REMEMBERED = 4096;

export type Plan = (
  enforced: EnforcedQuery,
  tables: readonly CatalogueTable[],
  signal: AbortSignal,
) => Promise<unknown>;

/**
 * The second gate: what the engine understands of the text that we printed, checked apart from the compiler that
 * printed it. A text that passed over the same tables passes again, so its plan is made once.
 */
export class PlannedQueries {
  readonly #plan: Plan;
  readonly #digest: (text: string) => string;
  readonly #good = new Set<string>();

  constructor(plan: Plan, digest: (text: string) => string) {
    this.#plan = plan;
    this.#digest = digest;
  }

  /** null when the plan reads what it should and nothing else. */
  async check(enforced: EnforcedQuery, context: QueryContext, signal: AbortSignal): Promise<Denied | null> {
    // Each party's own, so that nobody learns from the time of an answer that somebody else asks the same. Names of columns are
    // in no statement.
    const { setup, guard, reads, result, summary } = enforced;
    const key = this.#digest(
      JSON.stringify([context.consumer, setup, guard, reads, result, summary, shapeOf(context.tables)]),
    );
    if (this.#good.has(key)) return null;
    const checked = checkPlan(await this.#plan(enforced, context.tables, signal), enforced, context);
    if (checked.kind === 'denied') return checked;
    const [oldest] = this.#good;
    if (this.#good.size >= MAX_REMEMBERED && oldest !== undefined) this.#good.delete(oldest);
    this.#good.add(key);
    return null;
  }
}

/** What a plan depends on: names and types, as this consumer's grants leave them. */
function shapeOf(tables: readonly CatalogueTable[]): unknown {
  return tables.map(({ dataset, physical, columns, units, cuboids }) => [
    dataset,
    physical,
    columns.map(({ name, type }) => [name, type]),
    units.map(({ hash, oneHot }) => [hash, oneHot]),
    cuboids?.map(({ physical: cuboid, columns: keys, sums }) => [cuboid, keys, sums]),
  ]);
}

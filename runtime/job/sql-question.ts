import type { Release } from '../policy/model.ts';
import type { QueryContext } from '../query/catalogue.ts';
import type { Job, ParameterValue } from './job.ts';
import type { AdmittedPermit } from './admission.ts';
import type { OpenDataset } from './sql-engine.ts';

/** A parsed question of a consumer, what it may read, and the terms under which it was asked. */
export interface SqlQuestion {
  readonly job: Job;
  readonly ast: unknown;
  readonly text: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly permits: readonly AdmittedPermit[];
  readonly release: Release;
  readonly clause: string;
  readonly open: readonly OpenDataset[];
  /** Tables of the asker's own. */
  readonly brought: readonly OpenDataset[];
  /** What is said of the question beside the rules: on which day it was asked, where that matters. */
  readonly remarks: readonly string[];
  readonly signal: AbortSignal;
}

/** Permits, and the terms that they make together. */
export interface SqlTerms {
  readonly permits: readonly AdmittedPermit[];
  readonly release: Release;
  readonly clause: string;
}

/** What a query is compiled against: the tables of these permits and of the asker, as the policies leave them. */
export function contextOf(
  { job, parameters, open, brought }: Pick<SqlQuestion, 'job' | 'parameters' | 'open' | 'brought'>,
  { permits, release, clause }: SqlTerms,
): QueryContext {
  const unguarded = new Set(
    permits.flatMap(({ agreement, permit }) =>
      permit.policy.allow.some(({ release: of }) => of.mode === 'aggregate' && !of.differencingGuard)
        ? [agreement.dataset]
        : [],
    ),
  );
  const tables = open
    .filter(({ name }) => permits.some(({ agreement }) => agreement.dataset === name))
    .flatMap(({ name, tables: all }) =>
      unguarded.has(name) ? all.map((table) => ({ ...table, isUnguarded: true as const })) : all,
    );
  const own = brought.flatMap((dataset) => dataset.tables);
  // One size of sketch for all rules of a policy: what one of them released is compared with what another one would.
  const minima = permits.flatMap(({ permit }) =>
    permit.policy.allow.map((rule) => (rule.release.mode === 'aggregate' ? rule.release.minUnits : 0)),
  );
  return {
    consumer: job.asker.party,
    tables: [...tables, ...own],
    release,
    clause,
    parameters,
    largestMinUnits: Math.max(0, ...minima),
  };
}

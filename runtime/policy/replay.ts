import { decide, type Knowledge, type Request } from './decide.ts';
import type { ColumnPolicy, TablePolicy, UsagePolicy } from './model.ts';
import { type Denied, denied, type Reason, reason } from './reason.ts';
import { grantsFor } from './rights.ts';

/** What is on record of a job's computation: which columns it used, and for what. */
export interface RecordedUse {
  readonly dataset: string;
  readonly table: string;
  readonly column: string;
  /** Rights and aggregate functions, e.g. `filter`, `group`, `sum`. */
  readonly uses: readonly string[];
}

/**
 * Decides a job on record again, under another policy: the rules by what was asked, the columns by what the footprint
 * says of their use. It answers what the rights and conditions say; whether a budget would have been left, and what only
 * the shape of a query can offend, is not replayed.
 */
export function replay(
  policy: UsagePolicy,
  request: Request,
  footprint: readonly RecordedUse[],
  knowledge: Knowledge,
  /** Whether a table that the consumer brought stood in the query. */
  hasBrought = false,
): { readonly kind: 'permitted' } | Denied {
  const decision = decide(policy, request, knowledge);
  if (decision.kind === 'denied') return decision;
  const own = footprint.filter(({ dataset }) => dataset === policy.dataset);
  const missing = [
    ...own.flatMap((use) => missingRights(policy, request, use)),
    ...(hasBrought ? consumerTables(policy, own, decision.release.mode) : []),
  ];
  return missing.length === 0 ? { kind: 'permitted' } : denied(...missing);
}

/** As brought-tables.ts decides it: every private table that was used allows such tables, and all answers are compared. */
function consumerTables(policy: UsagePolicy, own: readonly RecordedUse[], mode: string): readonly Reason[] {
  const used = [...new Set(own.map(({ table }) => table))].flatMap((name) => tableNamed(policy, name) ?? []);
  const denying = used.filter((table) => !table.isPublic && table.consumerTables === false);
  const isUnguarded = policy.allow.some(({ release }) => release.mode === 'aggregate' && !release.differencingGuard);
  const clause = `${policy.dataset} v${policy.version} consumerTables`;
  return [
    ...denying.map(({ name }) =>
      reason(
        'consumer-table-not-allowed',
        `tables of consumers may not be used together with \`${name ?? policy.dataset}\``,
        {
          clause,
        },
      ),
    ),
    ...(mode === 'aggregate' && isUnguarded && used.some(({ isPublic }) => !isPublic)
      ? [reason('consumer-table-unguarded', 'a rule of mode `aggregate` does not compare its answers', { clause })]
      : []),
  ];
}

function missingRights(policy: UsagePolicy, { consumer, groups }: Request, use: RecordedUse): readonly Reason[] {
  const table = tableNamed(policy, use.table);
  const column = table?.columns.find(({ name }) => name === use.column);
  const clause = `${policy.dataset} v${policy.version} ${table?.name === null ? '' : `tables.${use.table}.`}columns.${use.column}`;
  const grants = column === undefined ? [] : grantsFor(column, consumer, groups);
  if (table === undefined || column === undefined || grants.length === 0)
    return [reason('column-unknown', `\`${use.column}\` is not granted`, { clause })];
  if (table.isPublic) return [];
  return use.uses
    .filter((one) => !isGranted(grants, one))
    .map((one) =>
      reason('column-right-missing', `\`${use.column}\` was used for \`${one}\`, which is not granted`, { clause }),
    );
}

function isGranted(grants: ColumnPolicy['grants'], use: string): boolean {
  return grants.some(
    ({ rights, functions }) =>
      rights.some((right) => right === use) ||
      (rights.includes('aggregate') && functions.some((one) => one === use)) ||
      // Rows with a value of a key or of a column that may be counted apart are counted without a right of their own.
      (use === 'count' && (['group', 'filter', 'countDistinct'] as const).some((right) => rights.includes(right))),
  );
}

/** A footprint calls a table as SQL does; the only table of a dataset may have no name in its policy. */
function tableNamed({ tables }: UsagePolicy, name: string): TablePolicy | undefined {
  const [only] = tables;
  return tables.find((table) => table.name === name) ?? (tables.length === 1 && only?.name === null ? only : undefined);
}

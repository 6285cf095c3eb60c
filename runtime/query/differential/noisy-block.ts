/** One aggregation of private rows with noise: the exact part as SQL, and the plan of its noise. */
import type { DifferentialPrivacyRelease } from '../../policy/model.ts';
import type { Cell } from '../../release/column-values.ts';
import type { DpAggregate } from '../../release/mechanisms/aggregate.ts';
import type { ExactColumn } from '../../release/mechanisms/mechanism.ts';
import { budgetOf, type GroupKeys, type NoisedPlan, queriesOf, WHOLE_TABLE } from '../../release/noised-plan.ts';
import type { QueryContext } from '../catalogue.ts';
import type { SqlType } from '../types.ts';
import { checkLeftJoin } from '../compile/aggregate.ts';
import { checkBrought } from '../compile/brought-tables.ts';
import { groupKeys } from '../compile/released.ts';
import { newState } from '../compile/new-state.ts';
import type { State } from '../compile/state.ts';
import type { EnforcedQuery } from '../enforced.ts';
import { ROW_RANK } from '../layout.ts';
import { printTyped } from '../print.ts';
import { refuse } from '../refusal.ts';
import { printScope, privateBases, reference, type RowScope, unitsOf } from '../rows.ts';
import type { Select, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { holdsAggregate } from './answer.ts';
import { printExact } from './exact.ts';
import { keptRowsOf, rowsPerUnitOf } from './fan-out.ts';
import type { Measures } from './measures.ts';
import { publicCells } from './public-keys.ts';

export interface NoisyBlock {
  /** Yields the group keys (o0…), then one DECIMAL(38,0) per entry of `exact`. Nothing of it may leave. */
  readonly enforced: EnforcedQuery;
  readonly keys: readonly {
    readonly name: string;
    readonly type: SqlType;
    /** Public values, as released cells; null for private keys. */
    readonly values: readonly Cell[] | null;
  }[];
  readonly aggregates: readonly { readonly name: string; readonly aggregate: DpAggregate }[];
  readonly exact: readonly ExactColumn[];
  /** Most joined rows that one privacy unit can have: what the noise is measured by. */
  readonly rowsPerUnit: number;
}

export interface BlockParts {
  readonly scope: RowScope;
  readonly keys: readonly { readonly name: string; readonly expression: Typed }[];
  readonly aggregates: NoisyBlock['aggregates'];
  readonly measures: Measures;
  readonly unitHash: string;
  readonly rowsPerUnit: number;
}

/** What a query is compiled with when nothing is released by thresholds. */
export function noisyState(context: QueryContext): State {
  // INVARIANT: nothing in this mode is released by a threshold alone; a sub-query that slipped through releases nothing.
  const terms = {
    mode: 'aggregate',
    minUnits: Number.MAX_SAFE_INTEGER,
    smallGroups: 'drop',
    dominance: null,
    maxRows: 0,
    maxBytes: 0,
    differencingGuard: false,
  } as const;
  return newState(context, terms, null);
}

/** Checks the rows of an aggregation, and says how many of them one unit can have. Throws Refusal. */
export function boundRows(
  state: State,
  scope: RowScope,
  release: DifferentialPrivacyRelease,
): { readonly rowsPerUnit: number; readonly unitHash: string } {
  // INVARIANT: only tables of the layout carry a rank; what another step made bounds its rows per unit itself, or has no bound.
  if (
    scope.bases.some(
      ({ table }) =>
        !state.context.tables.includes(table) && table.rowsPerUnit === undefined && table.isDerived !== true,
    ) ||
    (scope.guards ?? []).length > 0
  )
    refuse(
      'differential-shape',
      'with differential privacy private rows come from tables, and are aggregated once',
      { words: ['from'] },
      'aggregate in one step',
    );
  checkBrought(state, scope);
  const rowsPerUnit = rowsPerUnitOf(scope, release.maxRowsPerUnit);
  for (const { left, right, expression } of scope.equalities) state.rights.join(left, right, expression.at);
  for (const base of scope.bases) for (const on of base.leftOn ?? []) checkLeftJoin(state, on);
  for (const predicate of scope.predicates) state.rights.condition(predicate);
  const [unit] = unitsOf(scope, 'joined');
  const unitHash = unit?.hash ?? refuse('no-privacy-unit', 'the table has no privacy unit');
  return { rowsPerUnit, unitHash };
}

/** The group keys of a SELECT over private rows, as the policy grants them; of SELECT DISTINCT all that it lists. */
export function keysOf(state: State, select: Select, resolveRow: (syntax: Syntax) => Typed): readonly Typed[] {
  const { items, groupAll } = select;
  const plain = items.filter(({ expression }) => !holdsAggregate(expression)).map(({ expression }) => expression);
  const isDistinct = select.distinct && select.groups.length === 0 && !groupAll && plain.length === items.length;
  const named = groupAll || isDistinct ? plain : groupKeys({ ...select, groupAll: false }, items);
  return named.map((syntax) => {
    const key = resolveRow(syntax);
    state.rights.key(key);
    if (key.type?.kind === 'interval')
      refuse(
        'type-mismatch',
        'a group key is a span of time, which no result can hold',
        key.at,
        'take a number of days',
      );
    return key;
  });
}

/** Throws Refusal when the budget of a job is too small for it. */
export function noisyBlock(state: State, release: DifferentialPrivacyRelease, parts: BlockParts): NoisyBlock {
  const { aggregates, rowsPerUnit } = parts;
  const keys = parts.keys.map(({ name, expression }) => ({
    name,
    type: expression.type ?? refuse('type-mismatch', 'a group key has no type', expression.at),
    values: publicCells(expression),
  }));
  const isPublic = keys.every(({ values }) => values !== null);
  const plan = planOf(
    release,
    rowsPerUnit,
    aggregates.map(({ aggregate }) => aggregate),
    keys.length === 0 ? WHOLE_TABLE : ({ kind: isPublic ? 'public' : 'private', keys: [] } as GroupKeys),
  );
  const exact = readsOf(plan);
  const groups = parts.keys.map(({ expression }) => expression);
  return {
    enforced: enforcedOf(state, release, { ...parts, keys, groups, exact, plan }),
    keys,
    aggregates,
    exact,
    rowsPerUnit,
  };
}

/** The noise plan of a release; public keys are filled in by whoever knows their cell types. */
export function planOf(
  release: DifferentialPrivacyRelease,
  rowsPerUnit: number,
  aggregates: readonly DpAggregate[],
  keys: GroupKeys,
): NoisedPlan {
  return {
    aggregates,
    keys,
    bound: { maxRowsPerUnit: rowsPerUnit },
    minUnits: release.minUnits,
    budget: budgetOf(release.noise, release.microEpsilonPerJob, release.delta),
  };
}

function readsOf(plan: NoisedPlan): readonly ExactColumn[] {
  try {
    return queriesOf(plan).reads;
  } catch (error) {
    if (plan.keys.kind === 'private' && plan.budget.femtoDelta < 1)
      refuse(
        'delta-missing',
        'groups whose keys are not declared need a delta, and the rule grants none',
        null,
        'group by columns whose `values` the policy declares, or ask the provider for `delta`',
      );
    if (error instanceof RangeError && error.cause === 'bins')
      refuse(
        'bins-not-usable',
        'the bins that are declared for a column are none, too many or not in order',
        null,
        'ask the provider to declare 1 to 1023 ascending `bins`, or none at all',
      );
    return budgetTooSmall(error);
  }
}

/** Refuses a question whose parts would each get no budget at all. */
export function budgetTooSmall(error: unknown): never {
  return refuse(
    'budget-too-small',
    `the privacy budget of one job cannot answer this: ${error instanceof Error ? error.message : ''}`,
    null,
    'ask for fewer aggregates, or group by declared keys',
  );
}

interface Printed extends Omit<BlockParts, 'keys'> {
  readonly keys: NoisyBlock['keys'];
  readonly groups: readonly Typed[];
  readonly exact: readonly ExactColumn[];
  readonly plan: NoisedPlan;
}

const rowsOf = (count: number): string => (count === 1 ? 'one row' : `${count} rows`);

function enforcedOf(state: State, release: DifferentialPrivacyRelease, part: Printed): EnforcedQuery {
  const { scope, groups, keys, exact, measures, unitHash, plan } = part;
  const columns = [
    ...groups.map((key, index) => `${printTyped(key)} AS o${index}`),
    ...exact.map(
      (column, index) =>
        `CAST(${printExact(column, unitHash, (name) => measures.of(name))} AS DECIMAL(38,0)) AS x${index}`,
    ),
  ];
  const bounded = privateBases(scope).map(
    ({ relation, table }) => `${reference(relation, ROW_RANK)} < ${keptRowsOf(table, release.maxRowsPerUnit)}`,
  );
  const rows = printScope(scope, [...bounded, ...scope.predicates.map(printTyped).toSorted()]);
  const grouping = groups.length === 0 ? '' : ` GROUP BY ${groups.map(printTyped).join(', ')}`;
  // No LIMIT: whether it was reached would be told without noise.
  const result = `SELECT ${columns.join(', ')} ${rows}${grouping}`;
  const { maxRowsPerUnit } = plan.bound;
  const most = Math.max(...privateBases(scope).map(({ table }) => keptRowsOf(table, release.maxRowsPerUnit)));
  const joined =
    maxRowsPerUnit === most
      ? ''
      : maxRowsPerUnit > most
        ? `, which the join can make ${maxRowsPerUnit} rows of a unit`
        : `, of which ${rowsOf(maxRowsPerUnit)} can be in the answer`;
  const isPrivate = keys.length > 0 && plan.keys.kind === 'private';
  const shown = isPrivate ? `, delta ${release.delta}; groups appear only above a noisy threshold` : '';
  return {
    setup: [],
    result,
    outputs: [
      ...keys.map(({ name, type }) => ({ name, type, role: 'key' as const })),
      ...exact.map((_, index) => ({
        name: `__gb_x${index}`,
        type: { kind: 'decimal', width: 38, scale: 0 } as const,
        role: 'cell' as const,
      })),
    ],
    certificates: [],
    summary: 'SELECT CAST(NULL AS BIGINT) AS withheldCells',
    inWords: [
      `exact sums over ${most === 1 ? 'one row' : `at most ${rowsOf(most)}`} of each privacy unit${joined}`,
      `noise for epsilon ${release.microEpsilonPerJob / 1e6}${shown}`,
      'HAVING, ORDER BY, LIMIT and calculations see noisy cells only',
    ],
    canonical: result,
    reads: [...state.reads].toSorted(),
  };
}

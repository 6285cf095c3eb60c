import type { DifferentialPrivacyRelease } from '../../policy/model.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import type { Cell } from '../../release/column-values.ts';
import type { DpAggregate } from '../../release/mechanisms/aggregate.ts';
import type { ExactColumn } from '../../release/mechanisms/mechanism.ts';
import { budgetOf, type GroupKeys, type NoisedPlan, queriesOf, WHOLE_TABLE } from '../../release/noised-plan.ts';
import type { QueryContext, SqlType } from '../catalogue.ts';
import { checkLeftJoin } from '../compile/aggregate.ts';
import { groupKeys } from '../compile/released.ts';
import { checkBrought, checkBroughtAtAll } from '../compile/brought-tables.ts';
import { compileAny, condition, expandStars, rowSight, withTables } from '../compile/select.ts';
import { addConditions, conjuncts, type From, readFrom } from '../compile/sources.ts';
import { NO_TABLES, type Relation, type State } from '../compile/state.ts';
import type { EnforcedQuery } from '../enforced.ts';
import type { Footprint } from '../footprint.ts';
import { ROW_RANK } from '../layout.ts';
import { readQuery } from '../parse/read.ts';
import { printTyped } from '../print.ts';
import { Refusal, refuse } from '../refusal.ts';
import { reasonOf } from '../repair/place.ts';
import { resolve } from '../resolve/expression.ts';
import { Rights } from '../rights.ts';
import { printScope, privateBases, reference, type RowScope, unitsOf } from '../rows.ts';
import type { Select, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { aggregateOf } from './aggregates.ts';
import { type Answer, compileAnswer, holdsAggregate } from './answer.ts';
import { printExact } from './exact.ts';
import { rowsPerUnitOf } from './fan-out.ts';
import { Measures } from './measures.ts';
import { publicCells } from './public-keys.ts';

/** A differentially private question: exact whole numbers per group for the trusted part, and the plan of its noise. */
export interface DifferentialQuery extends Answer {
  readonly kind: 'permitted';
  /** Yields the group keys (o0…), then one DECIMAL(38,0) per entry of `exact`. Nothing of it may leave. */
  readonly enforced: EnforcedQuery;
  readonly footprint: Footprint;
  readonly keys: readonly {
    readonly name: string;
    readonly type: SqlType;
    /** Public values, as released cells; null for private keys. */
    readonly values: readonly Cell[] | null;
  }[];
  readonly exact: readonly ExactColumn[];
  /** Most joined rows that one privacy unit can have: what the noise is measured by. */
  readonly rowsPerUnit: number;
}

/**
 * Compiles a query for the mode `differentialPrivacy`: aggregates of bounded columns over one private table, or several
 * joined so that a unit's rows stay bounded, grouped by declared or private keys. Sub-queries may project and filter. The
 * select list, HAVING, ORDER BY and LIMIT see noisy cells only.
 */
export function compileDifferential(ast: unknown, sqlText: string, context: QueryContext): DifferentialQuery | Denied {
  const { release } = context;
  if (release.mode !== 'differentialPrivacy') throw new Error('not a differentially private release');
  try {
    return compile(ast, context, release);
  } catch (error) {
    if (error instanceof Refusal) return denied(reasonOf(error, context.clause, sqlText));
    if (error instanceof RangeError) return denied(reason('query-too-deep', 'the query is nested too deep'));
    throw error;
  }
}

function compile(ast: unknown, context: QueryContext, release: DifferentialPrivacyRelease): DifferentialQuery {
  const query = readQuery(ast);
  if (query.kind !== 'select') {
    return refuse(
      'differential-shape',
      'UNION is not offered with differential privacy',
      { words: ['union'] },
      'send one query per part, and put the results together',
    );
  }
  if (query.qualify !== null || query.distinct || query.groupSets.length > 1) {
    refuse(
      'differential-shape',
      'QUALIFY, DISTINCT and ROLLUP are not offered with differential privacy',
      { words: ['qualify', 'distinct', 'rollup', 'cube', 'grouping'] },
      'apply them to the result: it is yours once released',
    );
  }
  const state = stateOf(context);
  const { rights } = state;
  const { from, scope, resolveRow } = rowsOf(state, query);
  checkBrought(state, scope);
  const rowsPerUnit = rowsPerUnitOf(scope, release.maxRowsPerUnit);
  checkRights(state, scope);

  const items = expandStars(query.items, from);
  const groups = groupKeys({ ...query, items, groupAll: false }, items).map(resolveRow);
  const all = query.groupAll ? items.filter((item) => !holdsAggregate(item.expression)) : [];
  const keysOf = [...groups, ...all.map((item) => resolveRow(item.expression))];
  for (const key of keysOf) {
    rights.key(key);
    if (key.type?.kind === 'interval')
      refuse(
        'type-mismatch',
        'a group key is a span of time, which no result can hold',
        key.at,
        'take a number of days',
      );
  }
  const [unit] = unitsOf(scope);
  const unitHash = unit?.hash ?? refuse('no-privacy-unit', 'the table has no privacy unit');
  const measures = new Measures();
  const answer = compileAnswer(query, {
    from,
    items,
    groups: keysOf,
    parameters: context.parameters,
    resolveRow,
    aggregateOf: (call) => aggregateOf(call, { resolveRow, rights, measures, unitHash }),
  });
  if (state.setup.length + state.gates.length + state.borrowed.length > 0)
    refuse('differential-shape', 'with differential privacy a sub-query in an expression reads public tables only');

  checkBroughtAtAll(state);
  const keys = keysOf.map((expression, index) => {
    const output = answer.outputs.find((one) => 'key' in one && one.key === index);
    return { name: output?.name ?? `key${index}`, type: typeOf(expression), values: publicCells(expression) };
  });
  const plan = planOf(
    release,
    rowsPerUnit,
    answer.aggregates.map(({ aggregate }) => aggregate),
    keys.length === 0
      ? WHOLE_TABLE
      : ({ kind: keys.every(({ values }) => values !== null) ? 'public' : 'private', keys: [] } as GroupKeys),
  );
  const exact = readsOf(plan);
  const enforced = enforcedOf(state, release, { scope, groups: keysOf, keys, exact, measures, unitHash, plan });
  return { kind: 'permitted', enforced, footprint: footprintOf(state, context), keys, exact, rowsPerUnit, ...answer };
}

function stateOf(context: QueryContext): State {
  return {
    context,
    // INVARIANT: nothing in this mode is released by a threshold alone; a sub-query that slipped through releases nothing.
    terms: {
      mode: 'aggregate',
      minUnits: Number.MAX_SAFE_INTEGER,
      smallGroups: 'drop',
      dominance: null,
      maxRows: 0,
      maxBytes: 0,
      differencingGuard: false,
    },
    rights: new Rights(),
    setup: [],
    gates: [],
    withheld: [],
    words: [],
    reads: new Set(),
    brought: 0,
    borrowed: [],
    nextRelation: 0,
    nextBlock: 0,
    sketches: null,
    shownBlocks: 0,
    compiled: 0,
  };
}

/** The private rows that the query is about, before anything is aggregated. */
function rowsOf(
  state: State,
  query: Select,
): { readonly from: From; readonly scope: RowScope; readonly resolveRow: (syntax: Syntax) => Typed } {
  const tables = withTables(state, query, NO_TABLES);
  const from = readFrom(query.from, {
    state,
    scope: tables,
    compile: (inner, within): Relation => {
      const relation = compileAny(state, inner, within, true);
      if (relation.kind === 'rows') return relation;
      return refuse(
        'differential-shape',
        'with differential privacy a sub-query in FROM picks columns and rows, and does not aggregate',
        { words: ['from'] },
        'aggregate in the outermost query',
      );
    },
    resolveIn: (inner, syntax, over) => resolve(syntax, rowSight(state, tables, inner, [], over)),
  });
  const { bases, guards } = from.scope;
  // INVARIANT: only tables of the layout carry a rank; a relation that some other step made has no bound on rows per unit.
  if (bases.some(({ table }) => !state.context.tables.includes(table)) || (guards ?? []).length > 0)
    refuse(
      'differential-shape',
      'with differential privacy a sub-query in FROM picks columns and rows, and does not aggregate',
      { words: ['from'] },
      'aggregate in the outermost query',
    );
  const sight = rowSight(state, tables, from, query.items, 'rows');
  const resolveRow = (syntax: Syntax): Typed => resolve(syntax, sight);
  const where = query.where === null ? [] : conjuncts(query.where).map((one) => condition(resolveRow(one)));
  return { from, scope: addConditions(from.scope, where), resolveRow };
}

function checkRights(state: State, scope: RowScope): void {
  for (const { left, right, expression } of scope.equalities) state.rights.join(left, right, expression.at);
  for (const base of scope.bases) for (const on of base.leftOn ?? []) checkLeftJoin(state, on);
  for (const predicate of scope.predicates) state.rights.condition(predicate);
}

function readsOf(plan: NoisedPlan): readonly ExactColumn[] {
  try {
    return queriesOf(plan).reads;
  } catch (error) {
    return refuse(
      'budget-too-small',
      `the privacy budget of one job cannot answer this: ${error instanceof Error ? error.message : ''}`,
      null,
      'ask for fewer aggregates, or group by declared keys',
    );
  }
}

interface ExactPart {
  readonly scope: RowScope;
  readonly groups: readonly Typed[];
  readonly keys: DifferentialQuery['keys'];
  readonly exact: readonly ExactColumn[];
  readonly measures: Measures;
  readonly unitHash: string;
  readonly plan: NoisedPlan;
}

function enforcedOf(state: State, release: DifferentialPrivacyRelease, part: ExactPart): EnforcedQuery {
  const { scope, groups, keys, exact, measures, unitHash, plan } = part;
  const columns = [
    ...groups.map((key, index) => `${printTyped(key)} AS o${index}`),
    ...exact.map(
      (column, index) =>
        `CAST(${printExact(column, unitHash, (name) => measures.of(name))} AS DECIMAL(38,0)) AS x${index}`,
    ),
  ];
  const bounded = privateBases(scope).map(
    ({ relation }) => `${reference(relation, ROW_RANK)} < ${release.maxRowsPerUnit}`,
  );
  const rows = printScope(scope, [...bounded, ...scope.predicates.map(printTyped).toSorted()]);
  const grouping = groups.length === 0 ? '' : ` GROUP BY ${groups.map(printTyped).join(', ')}`;
  // No LIMIT: whether it was reached would be told without noise.
  const result = `SELECT ${columns.join(', ')} ${rows}${grouping}`;
  const { maxRowsPerUnit } = plan.bound;
  const joined =
    maxRowsPerUnit === release.maxRowsPerUnit ? '' : `, which the join can make ${maxRowsPerUnit} rows of a unit`;
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
      `exact sums over at most ${release.maxRowsPerUnit} rows of each privacy unit${joined}`,
      `noise for epsilon ${release.microEpsilonPerJob / 1e6}${shown}`,
      'HAVING, ORDER BY, LIMIT and calculations see noisy cells only',
    ],
    canonical: result,
    reads: [...state.reads].toSorted(),
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

/** A dataset is touched when FROM names a table of it, even if no column is used: `select count(*) from visits`. */
function footprintOf(state: State, { tables }: QueryContext): Footprint {
  const footprint = state.rights.footprint();
  const read = tables
    .filter(({ physical, brought }) => brought !== true && state.reads.has(physical))
    .map(({ dataset }) => dataset);
  return { ...footprint, datasets: [...new Set([...read, ...footprint.datasets])].toSorted() };
}

function typeOf(expression: Typed): SqlType {
  return expression.type ?? refuse('type-mismatch', 'a group key has no type', expression.at);
}

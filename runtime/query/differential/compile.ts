import type { DifferentialPrivacyRelease, PolicyLiteral } from '../../policy/model.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import { queriesOf, type NoisedPlan, WHOLE_TABLE, budgetOf, type GroupKeys } from '../../release/noised-plan.ts';
import type { DpAggregate } from '../../release/mechanisms/aggregate.ts';
import type { ExactColumn, Measure } from '../../release/mechanisms/mechanism.ts';
import type { QueryContext, SqlType } from '../catalogue.ts';
import { readFrom, addConditions, conjuncts } from '../compile/sources.ts';
import { condition, hasAggregate, isAggregateCall, itemName, rowSight } from '../compile/select.ts';
import { groupKeys } from '../compile/released.ts';
import { NO_TABLES, type State } from '../compile/state.ts';
import type { EnforcedQuery } from '../enforced.ts';
import { fixedPointStep } from '../fixed-point-step.ts';
import type { Footprint } from '../footprint.ts';
import { ROW_RANK } from '../layout.ts';
import { readQuery } from '../parse/read.ts';
import { printTyped, quoteName } from '../print.ts';
import { Refusal, refuse, toReason } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { resolve } from '../resolve/expression.ts';
import { Rights } from '../rights.ts';
import { alias, printScope, privateBases } from '../rows.ts';
import type { Select, Syntax } from '../syntax.ts';
import { placeOf } from '../text.ts';
import type { BaseColumn, Typed } from '../typed.ts';
import { printExact } from './exact.ts';

/** A differentially private question: exact whole numbers per group for the trusted part, and the plan of its noise. */
export interface DifferentialQuery {
  readonly kind: 'permitted';
  /** Yields the group keys (o0…), then one DECIMAL(38,0) per entry of `exact`. Nothing of it may leave. */
  readonly enforced: EnforcedQuery;
  readonly footprint: Footprint;
  readonly keys: readonly {
    readonly name: string;
    readonly type: SqlType;
    readonly values: readonly PolicyLiteral[] | null;
  }[];
  readonly exact: readonly ExactColumn[];
  readonly aggregates: readonly { readonly name: string; readonly aggregate: DpAggregate }[];
  /** Places of the select list: a key or an aggregate, by index. */
  readonly outputs: readonly ({ readonly key: number } | { readonly aggregate: number })[];
  /** ORDER BY and LIMIT, to be applied to the noisy result. */
  readonly order: readonly { readonly output: number; readonly descending: boolean; readonly nullsFirst: boolean }[];
  readonly limit: number | null;
  readonly offset: number;
}

/**
 * Compiles a query for the mode `differentialPrivacy`: one SELECT over one private table, aggregates of bounded columns,
 * grouped by declared or private keys. The number of rows of a unit is bounded by the layout's rank, so one unit moves
 * every exact value by what the release core takes for granted; joins would break that and are refused.
 */
export function compileDifferential(ast: unknown, sqlText: string, context: QueryContext): DifferentialQuery | Denied {
  const { release } = context;
  if (release.mode !== 'differentialPrivacy') throw new Error('not a differentially private release');
  try {
    return compile(ast, context, release);
  } catch (error) {
    if (error instanceof Refusal) return denied(toReason(error, context.clause, (at) => placeOf(sqlText, at)));
    if (error instanceof RangeError) return denied(reason('query-too-deep', 'the query is nested too deep'));
    throw error;
  }
}

function compile(ast: unknown, context: QueryContext, release: DifferentialPrivacyRelease): DifferentialQuery {
  const query = readQuery(ast);
  if (query.kind !== 'select' || query.commonTables.length > 0 || query.from.kind !== 'table' || holdsSubquery(query)) {
    refuse(
      'differential-shape',
      'with differential privacy a query is one SELECT over one table, without WITH, UNION, joins, sub-queries or windows',
    );
  }
  if (
    query.having !== null ||
    query.qualify !== null ||
    query.distinct ||
    query.groupSets.length > 1 ||
    query.orderAll !== null
  ) {
    refuse(
      'differential-shape',
      'HAVING, QUALIFY, DISTINCT, ROLLUP and ORDER BY ALL are not offered with differential privacy',
      null,
      'filter the result: it is yours once released',
    );
  }
  const rights = new Rights();
  const state: State = {
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
    rights,
    setup: [],
    gates: [],
    withheld: [],
    words: [],
    reads: new Set(),
    borrowed: [],
    nextRelation: 0,
    nextBlock: 0,
  };
  const from = readFrom(query.from, {
    state,
    scope: NO_TABLES,
    compile: () => refuse('differential-shape', 'a table is needed here'),
    resolveIn: () => refuse('differential-shape', 'joins are not offered with differential privacy'),
  });
  const [base, ...others] = privateBases(from.scope);
  if (base === undefined || others.length > 0 || from.scope.bases.length !== 1) {
    refuse('differential-shape', 'differential privacy works on one private table', query.from.at);
  }
  if (base.table.units.length !== 1)
    refuse('differential-units', 'differential privacy needs exactly one privacy unit', query.from.at);
  const sight = rowSight(state, NO_TABLES, from, query.items, 'rows');
  const where = query.where === null ? [] : conjuncts(query.where).map((one) => condition(resolve(one, sight)));
  for (const predicate of where) rights.condition(predicate);
  const scope = addConditions(from.scope, where);

  const groups = groupKeys(query, query.items).map((syntax) => resolve(syntax, sight));
  for (const key of groups) rights.key(key);
  const printed = groups.map(printTyped);
  const aggregates: { name: string; aggregate: DpAggregate }[] = [];
  const names: string[] = groups.map((_, index) => `key${index}`);
  const outputs = query.items.map((item): DifferentialQuery['outputs'][number] => {
    const name = itemName(item, from);
    if (!hasAggregate(item.expression)) {
      const key = printed.indexOf(printTyped(resolve(item.expression, sight)));
      if (key < 0)
        refuse(
          'rows-not-released',
          `\`${name}\` is neither a group key nor an aggregate`,
          item.expression.at,
          'group by it, or aggregate it',
        );
      names[key] = name;
      return { key };
    }
    const { expression } = item;
    if (expression.kind !== 'call' || !isAggregateCall(expression)) {
      refuse(
        'differential-shape',
        'with differential privacy each result column is a key or one aggregate',
        expression.at,
        'compute with the result: it is yours once released',
      );
    }
    aggregates.push({ name, aggregate: aggregateOf(expression, (syntax) => resolve(syntax, sight), rights) });
    return { aggregate: aggregates.length - 1 };
  });
  if (aggregates.length === 0) refuse('rows-not-released', 'the query has no aggregate', null, 'use count, sum or avg');
  const keys = groups.map((expression, index) => ({
    name: names[index] ?? '',
    type: typeOf(expression),
    values: declaredValues(expression),
  }));

  const plan = planOf(
    release,
    aggregates.map(({ aggregate }) => aggregate),
    keys.length === 0
      ? WHOLE_TABLE
      : ({ kind: keys.every(({ values }) => values !== null) ? 'public' : 'private', keys: [] } as GroupKeys),
  );
  let exact: readonly ExactColumn[];
  try {
    exact = queriesOf(plan).reads;
  } catch (error) {
    return refuse(
      'budget-too-small',
      `the privacy budget of one job cannot answer this: ${error instanceof Error ? error.message : ''}`,
      null,
      'ask for fewer aggregates, or group by declared keys',
    );
  }
  const relation = alias(base.relation);
  const columns = [
    ...groups.map((key, index) => `${printTyped(key)} AS o${index}`),
    ...exact.map(
      (column, index) =>
        `CAST(${printExact(column, relation, (name) => edgesOf(base.table.columns.find((one) => one.name === name)))} AS DECIMAL(38,0)) AS x${index}`,
    ),
  ];
  const predicates = [
    `${relation}.${quoteName(ROW_RANK)} < ${release.maxRowsPerUnit}`,
    ...scope.predicates.map(printTyped),
  ];
  const grouping = groups.length === 0 ? '' : ` GROUP BY ${printed.join(', ')}`;
  // One group more than may leave, so that the trusted part sees that there were more.
  const result = `SELECT ${columns.join(', ')} ${printScope(scope, predicates)}${grouping} LIMIT ${MAX_GROUPS + 1}`;
  const enforced: EnforcedQuery = {
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
      `exact sums over at most ${release.maxRowsPerUnit} rows of each privacy unit (${base.table.units[0]?.domain ?? ''})`,
      `noise for epsilon ${release.microEpsilonPerJob / 1e6}${keys.length > 0 && plan.keys.kind === 'private' ? `, delta ${release.delta}; groups appear only above a noisy threshold` : ''}`,
    ],
    canonical: result,
    reads: [base.table.physical],
  };
  return {
    kind: 'permitted',
    enforced,
    footprint: rights.footprint(),
    keys,
    exact,
    aggregates,
    outputs,
    order: orderOf(
      query,
      query.items.map((item) => itemName(item, from)),
      printed,
      (syntax) => resolve(syntax, sight),
      outputs,
    ),
    limit: wholeOf(query.limit, 'LIMIT'),
    offset: wholeOf(query.offset, 'OFFSET') ?? 0,
  };
}

/** Most groups that the exact part may yield. */
export const MAX_GROUPS = 100_000;

/** The noise plan of a release; public keys are filled in by whoever knows their cell types. */
export function planOf(
  release: DifferentialPrivacyRelease,
  aggregates: readonly DpAggregate[],
  keys: GroupKeys,
): NoisedPlan {
  return {
    aggregates,
    keys,
    bound: { maxRowsPerUnit: release.maxRowsPerUnit },
    minUnits: release.minUnits,
    budget: budgetOf(release.noise, release.microEpsilonPerJob, release.delta),
  };
}

type Call = Syntax & { readonly kind: 'call' };

function aggregateOf(call: Call, resolveRow: (syntax: Syntax) => Typed, rights: Rights): DpAggregate {
  if (call.filter !== null)
    refuse(
      'differential-shape',
      'FILTER is not offered with differential privacy',
      call.at,
      'use WHERE in a query of its own',
    );
  if (call.name === 'count_star') return { kind: 'count', measure: null };
  const args = call.args.map((arg) => ({ arg, base: columnOf(resolveRow(arg), arg) }));
  const [first, second] = args;
  if (first === undefined) return refuse('wrong-arguments', `\`${call.name}\` needs an argument`, call.at);
  if (call.distinct) {
    if (call.name !== 'count')
      return refuse('aggregate-not-allowed', `DISTINCT in \`${call.name}\` is not offered`, call.at);
    rights.require(first.base, 'countDistinct', call.at, 'to count distinct values');
    const isUnit = first.base.table.units.some(
      ({ keyColumns }) => keyColumns.length === 1 && keyColumns[0] === first.base.column.name,
    );
    return { kind: 'countDistinct', column: isUnit ? null : first.base.column.name };
  }
  switch (call.name) {
    case 'count':
      rights.measure(resolveRow(first.arg), 'count');
      return { kind: 'count', measure: first.base.column.name };
    case 'sum':
      rights.measure(resolveRow(first.arg), 'sum');
      return { kind: 'sum', measure: measureOf(first.base, first.arg) };
    case 'avg':
    case 'mean':
      rights.measure(resolveRow(first.arg), 'avg');
      return { kind: 'avg', measure: measureOf(first.base, first.arg) };
    case 'variance':
    case 'var_samp':
    case 'var_pop':
      rights.measure(resolveRow(first.arg), 'variance');
      return {
        kind: 'variance',
        measure: measureOf(first.base, first.arg),
        of: call.name === 'var_pop' ? 'population' : 'sample',
      };
    case 'stddev':
    case 'stddev_samp':
    case 'stddev_pop':
      rights.measure(resolveRow(first.arg), 'stddev');
      return {
        kind: 'stddev',
        measure: measureOf(first.base, first.arg),
        of: call.name === 'stddev_pop' ? 'population' : 'sample',
      };
    case 'median':
    case 'quantile_cont':
    case 'quantile_disc': {
      rights.measure(resolveRow(first.arg), 'quantile');
      const { low, high } = boundsOf(first.base, first.arg);
      const q = call.name === 'median' ? 0.5 : fractionOf(call.args[1], call);
      const edges = first.base.column.grants.find(({ bins }) => bins !== null)?.bins ?? null;
      if (edges === null)
        return refuse(
          'bins-missing',
          `\`${first.base.column.name}\` has no declared bins, which a quantile needs`,
          call.at,
          'ask the provider to declare `bins`',
        );
      return { kind: 'quantile', q, bins: { column: first.base.column.name, edges }, range: { low, high } };
    }
    case 'corr':
    case 'regr_slope': {
      if (second === undefined) return refuse('wrong-arguments', `\`${call.name}\` needs two columns`, call.at);
      const wanted = call.name === 'corr' ? 'correlation' : 'regressionSlope';
      for (const one of [first, second]) rights.measure(resolveRow(one.arg), wanted);
      // regr_slope(y, x): the dependent variable comes first.
      return { kind: wanted, x: measureOf(second.base, second.arg), y: measureOf(first.base, first.arg) };
    }
    default:
      return refuse(
        'aggregate-not-allowed',
        `\`${call.name}\` is not offered with differential privacy`,
        call.at,
        'use count, sum, avg, variance, stddev, median, corr or regr_slope',
      );
  }
}

function columnOf(typed: Typed, syntax: Syntax): BaseColumn {
  if (typed.kind === 'column' && typed.base !== null) return typed.base;
  return refuse(
    'measure-not-allowed',
    'with differential privacy an aggregate works on a column',
    syntax.at,
    'aggregate a column as it is',
  );
}

function boundsOf(base: BaseColumn, syntax: Syntax): { readonly low: number; readonly high: number } {
  const bounds = base.column.grants.map((grant) => grant.bounds).find((one) => one !== null);
  if (bounds === undefined || bounds === null)
    return refuse(
      'bounds-missing',
      `\`${base.column.name}\` has no declared bounds, which noise needs`,
      syntax.at,
      'ask the provider to declare `bounds`',
    );
  return bounds;
}

function measureOf(base: BaseColumn, syntax: Syntax): Measure {
  const bounds = boundsOf(base, syntax);
  const step = fixedPointStep(base.column.type, bounds);
  // Rounded outwards: the layout rounds to the nearest step.
  const [low, high] = [BigInt(Math.floor(bounds.low / step)), BigInt(Math.ceil(bounds.high / step))];
  const inverse = 1 / step;
  const rational = Number.isInteger(step)
    ? { numerator: BigInt(step), denominator: 1n }
    : { numerator: 1n, denominator: BigInt(Math.round(inverse)) };
  return { name: base.column.name, low, high, step: rational };
}

function edgesOf(column: BaseColumn['column'] | undefined): readonly string[] {
  const bins = column?.grants.find((grant) => grant.bins !== null)?.bins ?? [];
  return bins.map((edge) => (Number.isInteger(edge) ? String(edge) : `CAST(${edge} AS DOUBLE)`));
}

function declaredValues(expression: Typed): readonly PolicyLiteral[] | null {
  const base = expression.kind === 'column' ? expression.base : null;
  const values = base?.column.grants.map((grant) => grant.values).find((one) => Array.isArray(one));
  return Array.isArray(values) ? (values as readonly PolicyLiteral[]) : null;
}

function typeOf(expression: Typed): SqlType {
  return expression.type ?? refuse('type-mismatch', 'a group key has no type', expression.at);
}

function fractionOf(syntax: Syntax | undefined, call: Call): number {
  const value = syntax?.kind === 'constant' ? constantValue(syntax.literal) : null;
  if (value === null || !(value >= 0 && value <= 1))
    return refuse('wrong-arguments', `\`${call.name}\` needs a constant between 0 and 1`, call.at);
  return value;
}

function wholeOf(syntax: Syntax | null, what: string): number | null {
  if (syntax === null) return null;
  const value = syntax.kind === 'constant' ? constantValue(syntax.literal) : null;
  if (value === null || !Number.isSafeInteger(value) || value < 0)
    return refuse('wrong-arguments', `${what} needs a whole number`, syntax.at);
  return value;
}

function orderOf(
  query: Select,
  names: readonly string[],
  printed: readonly string[],
  resolveRow: (syntax: Syntax) => Typed,
  outputs: DifferentialQuery['outputs'],
): DifferentialQuery['order'] {
  return query.orders.map(({ expression, descending, nulls }) => {
    const named =
      expression.kind === 'column' && expression.path.length === 1
        ? names.findIndex((name) => name.toLowerCase() === expression.path[0]?.toLowerCase())
        : -1;
    const ordinal = expression.kind === 'constant' ? (constantValue(expression.literal) ?? 0) - 1 : -1;
    let output = named >= 0 ? named : ordinal;
    if (output < 0) {
      const text = JSON.stringify(withoutPlaces(expression));
      output = query.items.findIndex((item) => JSON.stringify(withoutPlaces(item.expression)) === text);
    }
    if (output < 0 && !hasAggregate(expression)) {
      const key = printed.indexOf(printTyped(resolveRow(expression)));
      output = outputs.findIndex((one) => 'key' in one && one.key === key);
    }
    if (outputs[output] === undefined)
      return refuse(
        'differential-shape',
        'ORDER BY names something that is not in the result',
        expression.at,
        'order by a result column',
      );
    return { output, descending, nullsFirst: nulls === 'first' };
  });
}

function withoutPlaces(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, one: unknown) =>
      key === 'at' ? undefined : typeof one === 'bigint' ? `${one}n` : one,
    ),
  );
}

/** Whether a sub-query or a window stands anywhere in the query. */
function holdsSubquery(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(holdsSubquery);
  if (typeof value !== 'object' || value === null) return false;
  const { kind } = value as { readonly kind?: unknown };
  return kind === 'subquery' || kind === 'window' || Object.values(value).some(holdsSubquery);
}

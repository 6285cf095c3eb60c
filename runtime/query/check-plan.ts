import { denied, type Denied, reason } from '../policy/reason.ts';
import type { QueryContext } from './catalogue.ts';
import type { EnforcedQuery } from './enforced.ts';
import { CUBOID_ROWS, CUBOID_SUM, FIXED_POINT, ROW_RANK, UNIT_HASH, UNIT_ONE_HOT } from './layout.ts';

/**
 * The second gate: what the engine understood of the text that we printed. Independent of the compiler on purpose, so
 * that a mistake there — a name that resolves elsewhere, a quote that ends early — does not reach data.
 */
export interface PlanIsGood {
  readonly kind: 'ok';
}

/** Operators of a bound plan that our statements need. */
const OPERATORS = new Set([
  'LOGICAL_CREATE_TABLE',
  'LOGICAL_PROJECTION',
  'LOGICAL_AGGREGATE_AND_GROUP_BY',
  'LOGICAL_FILTER',
  'LOGICAL_GET',
  'LOGICAL_COMPARISON_JOIN',
  'LOGICAL_ANY_JOIN',
  'LOGICAL_DELIM_JOIN',
  'LOGICAL_CROSS_PRODUCT',
  'LOGICAL_LIMIT',
  'LOGICAL_ORDER_BY',
  'LOGICAL_TOP_N',
  'LOGICAL_WINDOW',
  'LOGICAL_UNION',
  'LOGICAL_MATERIALIZED_CTE',
  'LOGICAL_CTE_REF',
  'LOGICAL_DUMMY_SCAN',
  'LOGICAL_EXPRESSION_GET',
  'LOGICAL_CHUNK_GET',
  'LOGICAL_DISTINCT',
]);

const EXPRESSIONS = new Set([
  'BOUND_AGGREGATE',
  'BOUND_BETWEEN',
  'BOUND_CASE',
  'BOUND_CAST',
  'BOUND_COLUMN_REF',
  'BOUND_COMPARISON',
  'BOUND_CONJUNCTION',
  'BOUND_CONSTANT',
  'BOUND_FUNCTION',
  'BOUND_OPERATOR',
  'BOUND_REF',
  'BOUND_WINDOW',
]);

/** Functions that our statements call; the last line is what the engine adds for scalar sub-queries and counting. */
const FUNCTIONS = new Set(
  `count sum avg min max fsum favg bit_or bit_count var_samp var_pop variance stddev stddev_samp stddev_pop corr regr_slope
   quantile_cont quantile_disc median arg_max bool_and bool_or
   & | << >> + - * / // % ** ^ || fmod mod abs ceil floor round trunc sign sqrt ln log10 log2 exp pow greatest least isfinite
   lower upper trim ltrim rtrim length left right substring concat contains starts_with prefix ^@ ends_with suffix ~~ !~~ ~~* !~~* like_escape
   year quarter month week yearweek day dayofmonth dayofweek isodow dayofyear hour dayname monthname last_day date_part date_trunc
   date_diff date_sub strftime row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
   replace translate string_split reverse strip_accents ascii strpos lpad rpad
   regexp_matches regexp_full_match regexp_extract regexp_replace
   normalized_interval time_bucket make_date make_timestamp epoch epoch_us format printf string_agg arg_min row
   covar_pop covar_samp regr_intercept regr_r2 regr_count regr_avgx regr_avgy regr_sxx regr_syy regr_sxy
   strlen skewness kurtosis kurtosis_pop geomean geometric_mean product mad sem entropy bit_and bit_xor ~~~
   mode last concat_ws not_like_escape ilike_escape not_ilike_escape
   list_unique list_distinct flatten len histogram map_entries list_transform struct_extract list_aggregate
   count_star first error`
    .split(/\s+/)
    .filter(Boolean),
);

/** What counts the units of small tables: a list of unit hashes, or of such lists. A list of anything else is rows. */
function isListOfUnits({ name, children }: Readonly<Record<string, unknown>>, { hashes }: Expected): boolean {
  if (name !== 'list' || !Array.isArray(children) || children.length !== 1) return false;
  const child: unknown = children[0];
  if (!isObject(child) || typeof child['alias'] !== 'string') return false;
  const { alias, return_type: type } = child;
  if (!isObject(type)) return false;
  return type['id'] === 'UBIGINT' ? hashes.has(alias) : type['id'] === 'LIST' && /^h\d+$/.test(alias);
}

/** What only statements that sketch contributors call: a hash of a group key in an answer would be the key. */
const GUARD_FUNCTIONS = new Set(['hash', 'xor', 'bit_xor']);

/** All statements of a query in the order in which they are planned; those that make tables are run. */
export function statementsToPlan({ setup, guard, result, summary }: EnforcedQuery): {
  readonly sql: string;
  readonly isRun: boolean;
}[] {
  const run = (statements: readonly string[] = []): { sql: string; isRun: boolean }[] =>
    statements.map((sql) => ({ sql, isRun: true }));
  const read = (statements: readonly string[] = []): { sql: string; isRun: boolean }[] =>
    statements.map((sql) => ({ sql, isRun: false }));
  return [
    ...run(setup),
    ...run(guard?.setup),
    ...read(guard?.sketches),
    ...run(guard?.apply),
    ...read([result, summary]),
  ];
}

/** Deepest nesting of a plan that is looked at. */
const MAX_PLAN_DEPTH = 5_000;

/**
 * Checks the bound plans of `setup`, `result` and `summary`, in this order, as `json_serialize_plan` gave them (parsed
 * without rounding). Anything that is not expected denies.
 */
export function checkPlan(planJson: unknown, enforced: EnforcedQuery, context: QueryContext): Denied | PlanIsGood {
  const plans = Array.isArray(planJson) ? planJson : [planJson];
  const statements = statementsToPlan(enforced);
  if (plans.length !== statements.length) return unexpected('the number of plans');
  const allowed = tablesOf(enforced, context);
  const hashes = new Set(
    context.tables.flatMap(({ units }) => units.map(({ hash }, index) => hash || UNIT_HASH(index))),
  );
  for (const [index, plan] of plans.entries()) {
    const own = new Set(statements.slice(0, index).flatMap(({ sql, isRun }) => (isRun ? [nameOfTable(sql)] : [])));
    const created = statements[index]?.isRun === true ? nameOfTable(statements[index].sql) : null;
    // Per-unit rows carry the sums of their tags along, so a guarded query hashes in its setup as well.
    const isGuard = enforced.guard !== undefined && index < statements.length - 2;
    const problem = checkOne(plan, { allowed, hashes, own, created, isGuard });
    if (problem !== null) return unexpected(problem);
  }
  return { kind: 'ok' };
}

function unexpected(what: string): Denied {
  return denied(
    reason('plan-unexpected', `the engine read the enforced query differently (${what})`, {
      remedy: 'simplify the query',
    }),
  );
}

interface Expected {
  /** Columns by `catalog-or-schema.table`. */
  readonly allowed: ReadonlyMap<string, ReadonlySet<string>>;
  /** Names of the columns that hold hashes of units. */
  readonly hashes: ReadonlySet<string>;
  /** Temporary tables that earlier statements made. */
  readonly own: ReadonlySet<string>;
  readonly created: string | null;
  /** Whether the statement may sketch contributors. */
  readonly isGuard: boolean;
}

function nameOfTable(statement: string): string {
  return /^CREATE (?:OR REPLACE )?TEMP TABLE "([a-z0-9_]+)" AS /.exec(statement)?.[1] ?? '';
}

/** `split_part` as the engine writes it out: one piece of a text. Pieces of any other list are not ours. */
function isPieceOfText({ name, children }: Readonly<Record<string, unknown>>): boolean {
  if (name !== 'array_extract' || !Array.isArray(children) || children.length !== 2) return false;
  const [list]: unknown[] = children;
  return isObject(list) && list['expression_class'] === 'BOUND_FUNCTION' && list['name'] === 'string_split';
}

/** What may be read: granted columns and the unit columns of the tables that the query named. */
function tablesOf(enforced: EnforcedQuery, context: QueryContext): Map<string, Set<string>> {
  const allowed = new Map<string, Set<string>>();
  // What bounds a unit's rows and values is of no use to any other mode, so no other mode may read it.
  const isNoised = context.release.mode === 'differentialPrivacy';
  for (const table of context.tables) {
    if (enforced.reads?.includes(table.physical) !== true) continue;
    const columns = [
      ...table.columns.map((column) => column.name),
      ...table.units.flatMap((unit, index) => [unit.hash || UNIT_HASH(index), unit.oneHot || UNIT_ONE_HOT(index)]),
      ...table.units.flatMap(({ tag, words = [], sides }) => [
        ...(tag === undefined ? [] : [tag]),
        ...words,
        ...(sides?.values() ?? []),
      ]),
      ...(isNoised && !table.isPublic ? [ROW_RANK, ...table.columns.map((column) => FIXED_POINT(column.name))] : []),
    ];
    allowed.set(table.physical.replaceAll('"', ''), new Set(columns));
    // Their keys are columns of the table, and no column of the table has the name of a sum.
    const held = table.units.flatMap(({ oneHot, words = [] }, index) => [oneHot || UNIT_ONE_HOT(index), ...words]);
    for (const { physical, columns: keys, sums } of table.cuboids ?? []) {
      const known = table.columns.filter(({ name }) => keys.includes(name)).map(({ name }) => name);
      const added = table.columns.filter(({ name }) => sums.includes(name)).map(({ name }) => CUBOID_SUM(name));
      allowed.set(physical.replaceAll('"', ''), new Set([...known, CUBOID_ROWS, ...held, ...added]));
    }
  }
  return allowed;
}

function checkOne(plan: unknown, expected: Expected): string | null {
  if (!isObject(plan) || plan['error'] !== false || !Array.isArray(plan['plans']) || plan['plans'].length !== 1) {
    return 'no single plan';
  }
  const root = plan['plans'][0] as unknown;
  const isCreate = isObject(root) && root['type'] === 'LOGICAL_CREATE_TABLE';
  if (isCreate !== (expected.created !== null)) return 'the kind of statement';
  if (isObject(root) && isCreate) {
    const info = root['info'];
    if (!isObject(info) || info['table'] !== expected.created || info['temporary'] !== true)
      return 'the table to create';
  }
  return walk(root, expected, 0);
}

function walk(value: unknown, expected: Expected, depth: number): string | null {
  if (depth > MAX_PLAN_DEPTH) return 'its depth';
  if (Array.isArray(value)) {
    for (const one of value) {
      const problem = walk(one, expected, depth + 1);
      if (problem !== null) return problem;
    }
    return null;
  }
  if (!isObject(value)) return null;
  const problem = checkNode(value, expected);
  if (problem !== null) return problem;
  for (const [key, one] of Object.entries(value)) {
    // `info` repeats the statement and column names; `value` is a constant.
    if (key === 'info' || key === 'value') continue;
    const below = walk(one, expected, depth + 1);
    if (below !== null) return below;
  }
  return null;
}

function checkNode(node: Readonly<Record<string, unknown>>, expected: Expected): string | null {
  const { type, expression_class: kind, name } = node;
  if (kind !== undefined && !(typeof kind === 'string' && EXPRESSIONS.has(kind))) return 'an expression';
  if (typeof type === 'string' && type.startsWith('LOGICAL_')) {
    if (!OPERATORS.has(type)) return `the operator ${type}`;
    if (type === 'LOGICAL_GET') return checkScan(node, expected);
    return null;
  }
  const calls =
    kind === 'BOUND_FUNCTION' || kind === 'BOUND_AGGREGATE' || (kind === 'BOUND_WINDOW' && name !== undefined);
  if (!calls) return null;
  const isKnown =
    typeof name === 'string' &&
    (FUNCTIONS.has(name) ||
      (expected.isGuard && GUARD_FUNCTIONS.has(name)) ||
      isListOfUnits(node, expected) ||
      isPieceOfText(node));
  if (!isKnown) return `the function ${String(name)}`;
  const catalog = node['catalog_name'];
  return catalog === undefined || catalog === '' || catalog === 'system' ? null : 'where a function comes from';
}

/** A scan reads one of the expected tables, and of it only expected columns. */
function checkScan(node: Readonly<Record<string, unknown>>, expected: Expected): string | null {
  const { name, function_data: data, names, column_indexes: indexes } = node;
  if (name !== 'seq_scan' || !isObject(data)) return 'a scan that is no table';
  const { catalog, schema, table } = data;
  if (typeof table !== 'string' || !Array.isArray(names) || !Array.isArray(indexes)) return 'a scan';
  if (catalog === 'temp') return expected.own.has(table) ? null : 'a table that was not made before';
  const columns = [
    `${String(catalog)}.${table}`,
    `${String(schema)}.${table}`,
    `${String(catalog)}.${String(schema)}.${table}`,
  ]
    .map((key) => expected.allowed.get(key))
    .find((known) => known !== undefined);
  if (columns === undefined) return 'a table that the query did not name';
  for (const one of indexes) {
    const index = isObject(one) ? one['index'] : null;
    // A scan that needs no column at all reads a row number that is no column of the table.
    if (typeof index !== 'number') continue;
    const column: unknown = names[index];
    if (column !== undefined && !(typeof column === 'string' && columns.has(column))) return 'a column';
  }
  return null;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

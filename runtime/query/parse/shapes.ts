/**
 * The allow-list. A query is read only if every node of its syntax tree is in this table and every key of the node is
 * in the node's row and holds what the row says. Whatever is not here — a node class, a key, a value — is refused, so
 * a new version of the parser cannot bring a feature that nobody looked at.
 */
export type Rule =
  /** Exactly one of these JSON values. */
  | { readonly is: readonly (string | boolean | null)[] }
  /** An empty list: the feature behind the key is not offered. */
  | 'nothing'
  | 'text'
  | 'texts'
  | 'flag'
  | 'place'
  | 'value'
  | 'type'
  | 'expression'
  | 'expression?'
  | 'expressions'
  | 'query'
  | 'statement'
  | 'source'
  | 'modifiers'
  | 'noOrder'
  | 'orders'
  | 'commonTables'
  | 'caseChecks'
  | 'groupSets'
  | 'replacements'
  | 'pivots';

export type Shape = Readonly<Record<string, Rule>>;

const is = (...values: (string | boolean | null)[]): Rule => ({ is: values });
const named: Shape = { alias: 'text', query_location: 'place' };

/** Expressions by `class`; `type` narrows the class. */
export const EXPRESSIONS: Readonly<Record<string, Shape>> = {
  CONSTANT: { ...named, class: 'text', type: is('VALUE_CONSTANT'), value: 'value' },
  PARAMETER: { ...named, class: 'text', type: is('VALUE_PARAMETER'), identifier: 'text' },
  COLUMN_REF: { ...named, class: 'text', type: is('COLUMN_REF'), column_names: 'texts' },
  STAR: {
    ...named,
    class: 'text',
    type: is('STAR'),
    relation_name: 'text',
    exclude_list: 'texts',
    replace_list: 'replacements',
    // `ORDER BY ALL` is written COLUMNS(*); anywhere else `columns` is refused by the reader.
    columns: 'flag',
    expr: is(null),
    qualified_exclude_list: 'nothing',
    rename_list: 'nothing',
  },
  FUNCTION: {
    ...named,
    class: 'text',
    type: is('FUNCTION'),
    function_name: 'text',
    schema: is('', 'main'),
    children: 'expressions',
    filter: 'expression?',
    // An order inside a function is read for the few that are offered with one (see read.ts), and refused otherwise.
    order_bys: 'noOrder',
    distinct: 'flag',
    is_operator: 'flag',
    export_state: is(false),
    catalog: is(''),
  },
  COMPARISON: {
    ...named,
    class: 'text',
    type: is(
      'COMPARE_EQUAL',
      'COMPARE_NOTEQUAL',
      'COMPARE_LESSTHAN',
      'COMPARE_GREATERTHAN',
      'COMPARE_LESSTHANOREQUALTO',
      'COMPARE_GREATERTHANOREQUALTO',
      'COMPARE_DISTINCT_FROM',
      'COMPARE_NOT_DISTINCT_FROM',
    ),
    left: 'expression',
    right: 'expression',
  },
  CONJUNCTION: { ...named, class: 'text', type: is('CONJUNCTION_AND', 'CONJUNCTION_OR'), children: 'expressions' },
  BETWEEN: {
    ...named,
    class: 'text',
    type: is('COMPARE_BETWEEN'),
    input: 'expression',
    lower: 'expression',
    upper: 'expression',
  },
  OPERATOR: {
    ...named,
    class: 'text',
    type: is(
      'OPERATOR_NOT',
      'OPERATOR_IS_NULL',
      'OPERATOR_IS_NOT_NULL',
      'COMPARE_IN',
      'COMPARE_NOT_IN',
      'OPERATOR_COALESCE',
      'GROUPING_FUNCTION',
      'ARRAY_SLICE',
      'ARRAY_CONSTRUCTOR',
    ),
    children: 'expressions',
  },
  CASE: { ...named, class: 'text', type: is('CASE_EXPR'), case_checks: 'caseChecks', else_expr: 'expression' },
  CAST: {
    ...named,
    class: 'text',
    type: is('OPERATOR_CAST'),
    child: 'expression',
    cast_type: 'type',
    try_cast: 'flag',
  },
  SUBQUERY: {
    ...named,
    class: 'text',
    type: is('SUBQUERY'),
    subquery_type: is('SCALAR', 'ANY', 'EXISTS', 'NOT_EXISTS'),
    subquery: 'statement',
    child: 'expression?',
    comparison_type: is('INVALID', 'COMPARE_EQUAL'),
  },
  WINDOW: {
    ...named,
    class: 'text',
    type: is(
      'WINDOW_AGGREGATE',
      'WINDOW_ROW_NUMBER',
      'WINDOW_RANK',
      'WINDOW_RANK_DENSE',
      'WINDOW_PERCENT_RANK',
      'WINDOW_CUME_DIST',
      'WINDOW_NTILE',
      'WINDOW_FIRST_VALUE',
      'WINDOW_LAST_VALUE',
      'WINDOW_NTH_VALUE',
      'WINDOW_LEAD',
      'WINDOW_LAG',
    ),
    function_name: 'text',
    schema: is('', 'main'),
    catalog: is(''),
    children: 'expressions',
    partitions: 'expressions',
    orders: 'orders',
    start: is(
      'UNBOUNDED_PRECEDING',
      'CURRENT_ROW_RANGE',
      'CURRENT_ROW_ROWS',
      'EXPR_PRECEDING_ROWS',
      'EXPR_FOLLOWING_ROWS',
      'EXPR_PRECEDING_RANGE',
      'EXPR_FOLLOWING_RANGE',
    ),
    end: is(
      'UNBOUNDED_FOLLOWING',
      'CURRENT_ROW_RANGE',
      'CURRENT_ROW_ROWS',
      'EXPR_PRECEDING_ROWS',
      'EXPR_FOLLOWING_ROWS',
      'EXPR_PRECEDING_RANGE',
      'EXPR_FOLLOWING_RANGE',
    ),
    start_expr: 'expression?',
    end_expr: 'expression?',
    offset_expr: 'expression?',
    default_expr: 'expression?',
    ignore_nulls: 'flag',
    filter_expr: 'expression?',
    exclude_clause: is('NO_OTHER', 'CURRENT_ROW', 'GROUP', 'TIES'),
    distinct: 'flag',
    arg_orders: 'nothing',
  },
};

/** What stands after FROM, by `type`. */
export const SOURCES: Readonly<Record<string, Shape>> = {
  EMPTY: { ...named, type: 'text', sample: is(null) },
  BASE_TABLE: {
    ...named,
    type: 'text',
    sample: is(null),
    schema_name: 'text',
    table_name: 'text',
    column_name_alias: 'nothing',
    catalog_name: 'text',
    at_clause: is(null),
  },
  SUBQUERY: { ...named, type: 'text', sample: is(null), subquery: 'statement', column_name_alias: 'texts' },
  EXPRESSION_LIST: {
    ...named,
    type: 'text',
    sample: is(null),
    expected_names: 'nothing',
    expected_types: 'nothing',
    values: 'orders',
  },
  PIVOT: {
    ...named,
    type: 'text',
    sample: is(null),
    source: 'source',
    aggregates: 'expressions',
    // UNPIVOT writes its names here.
    unpivot_names: 'texts',
    pivots: 'pivots',
    groups: 'texts',
    column_name_alias: 'nothing',
    include_nulls: 'flag',
  },
  TABLE_FUNCTION: {
    ...named,
    type: 'text',
    sample: is(null),
    function: 'expression',
    column_name_alias: 'texts',
    with_ordinality: is('WITHOUT_ORDINALITY'),
  },
  JOIN: {
    ...named,
    type: 'text',
    sample: is(null),
    left: 'source',
    right: 'source',
    condition: 'expression?',
    join_type: is('INNER', 'LEFT', 'RIGHT', 'FULL', 'SEMI', 'ANTI'),
    ref_type: is('REGULAR', 'CROSS', 'NATURAL'),
    using_columns: 'texts',
    delim_flipped: is(false),
    duplicate_eliminated_columns: 'nothing',
  },
};

/** Query nodes, by `type`. */
export const QUERIES: Readonly<Record<string, Shape>> = {
  SELECT_NODE: {
    type: 'text',
    modifiers: 'modifiers',
    cte_map: 'commonTables',
    select_list: 'expressions',
    from_table: 'source',
    where_clause: 'expression?',
    group_expressions: 'expressions',
    group_sets: 'groupSets',
    aggregate_handling: is('STANDARD_HANDLING', 'FORCE_AGGREGATES'),
    having: 'expression?',
    sample: is(null),
    qualify: 'expression?',
  },
  SET_OPERATION_NODE: {
    type: 'text',
    modifiers: 'modifiers',
    cte_map: 'commonTables',
    setop_type: is('UNION', 'EXCEPT', 'INTERSECT'),
    left: 'query',
    right: 'query',
    setop_all: 'flag',
  },
};

/** What changes the rows of a query node, by `type`. */
export const MODIFIERS: Readonly<Record<string, Shape>> = {
  ORDER_MODIFIER: { type: 'text', orders: 'orders' },
  LIMIT_MODIFIER: { type: 'text', limit: 'expression?', offset: 'expression?' },
  DISTINCT_MODIFIER: { type: 'text', distinct_on_targets: 'expressions' },
};

export const STATEMENT: Shape = { node: 'query', named_param_map: 'value' };
export const ORDER: Shape = {
  type: is('ORDER_DEFAULT', 'ASCENDING', 'DESCENDING'),
  null_order: is('ORDER_DEFAULT', 'NULLS FIRST', 'NULLS LAST'),
  expression: 'expression',
};
export const NO_ORDER: Shape = { type: is('ORDER_MODIFIER'), orders: 'nothing' };
export const INNER_ORDER: Shape = { type: is('ORDER_MODIFIER'), orders: 'orders' };
/** `FOR column IN (…)` of PIVOT. */
export const PIVOT: Shape = {
  pivot_expressions: 'expressions',
  unpivot_names: 'texts',
  entries: 'replacements',
  pivot_enum: is(''),
};
export const PIVOT_ENTRY: Shape = { values: 'expressions', alias: 'text', star_expr: is(null) };
export const REPLACEMENT: Shape = { key: 'text', value: 'expression' };
export const CASE_CHECK: Shape = { when_expr: 'expression', then_expr: 'expression' };
export const COMMON_TABLE_ENTRY: Shape = { key: 'text', value: 'value' };
export const COMMON_TABLE: Shape = {
  aliases: 'texts',
  query: 'statement',
  materialized: is('CTE_MATERIALIZE_DEFAULT', 'CTE_MATERIALIZE_ALWAYS', 'CTE_MATERIALIZE_NEVER'),
  key_targets: 'nothing',
};

import { type Place, refuse } from '../refusal.ts';
import type { CaseWhen, CommonTable, OrderItem, Query, Select, SelectItem, Source, Syntax } from '../syntax.ts';
import { MAX_ITEMS } from '../text.ts';
import { countIf, slice, tupleIn, unordered, withinGroup } from './calls.ts';
import { defaultName, isColumnName, MAX_NAME } from './default-name.ts';
import { printable, readLiteral, readType } from './literal.ts';
import { checkShape, deeper, type Json, list, malformed, object, placeIn, type Reading, text } from './node.ts';
import * as shapes from './shapes.ts';
import { readPivot, readUnpivot } from './pivot.ts';
import { readSeries } from './series.ts';
import { readWindow } from './window.ts';

/**
 * Reads the parser's tree (`json_serialize_sql`, parsed without rounding) into Syntax. Exactly one statement; every
 * node and key must be in the allow-list of shapes.ts. Throws Refusal.
 */
export function readQuery(ast: unknown): Query {
  const root = object(ast);
  if (root['error'] !== false) {
    refuse('sql-not-a-query', 'the text is not one SELECT query', null, 'send a single SELECT');
  }
  const statements = root['statements'];
  if (!Array.isArray(statements) || Object.keys(root).length !== 2) malformed();
  if (statements.length !== 1) {
    refuse(
      'sql-several-statements',
      `the text holds ${statements.length} statements`,
      placeOfStatement(statements[1]),
      'send a single SELECT',
    );
  }
  const query = readStatement(statements[0], { nodes: 0, depth: 0 });
  if (query.kind === 'select' && query.from.kind === 'values')
    refuse('sql-not-a-query', 'VALUES alone is not a query', null, 'SELECT … FROM (VALUES …) AS t(a, b)');
  return query;
}

/** The first thing of a statement that has a place. */
function placeOfStatement(value: unknown): Place {
  if (typeof value !== 'object' || value === null) return null;
  const { node } = value as { readonly node?: { readonly select_list?: readonly unknown[]; readonly left?: unknown } };
  const [first] = node?.select_list ?? [];
  if (typeof first === 'object' && first !== null) return placeIn(first as Json);
  return node?.left === undefined ? null : placeOfStatement({ node: node.left });
}

function readStatement(value: unknown, reading: Reading): Query {
  const node = object(value);
  checkShape(node, shapes.STATEMENT, 'a statement');
  return readNode(node['node'], reading);
}

function readNode(value: unknown, reading: Reading): Query {
  return deeper(reading, () => {
    const node = object(value);
    const type = String(node['type']);
    const shape = Object.hasOwn(shapes.QUERIES, type) ? shapes.QUERIES[type] : undefined;
    if (type === 'RECURSIVE_CTE_NODE')
      refuse('sql-not-allowed', 'WITH RECURSIVE is not offered', { words: ['recursive'] });
    if (shape === undefined) refuse('sql-not-allowed', `${printable(type)} is not offered`);
    checkShape(node, shape, type === 'SELECT_NODE' ? 'SELECT' : 'a set operation');
    const modified = {
      commonTables: readCommonTables(node['cte_map'], reading),
      ...readModifiers(list(node['modifiers']), reading),
    };
    if (type === 'SET_OPERATION_NODE') {
      const left = readNode(node['left'], reading);
      const operation = OPERATIONS[String(node['setop_type'])] ?? malformed();
      const isAll = node['setop_all'] === true;
      if (isAll && operation !== 'union')
        refuse(
          'sql-not-allowed',
          'EXCEPT ALL and INTERSECT ALL are not offered',
          { words: ['except', 'intersect'] },
          'leave out ALL',
        );
      return {
        kind: 'union',
        operation,
        isAll,
        left,
        right: readNode(node['right'], reading),
        ...modified,
      };
    }
    return { ...readSelect(node, reading), ...modified };
  });
}

type Modifiers = Pick<Select, 'orders' | 'orderAll' | 'limit' | 'offset' | 'distinct' | 'distinctOn'>;

function readSelect(node: Json, reading: Reading): Omit<Select, keyof Modifiers | 'commonTables'> {
  const groups = list(node['group_expressions']).map((one) => readExpression(one, reading));
  const items: SelectItem[] = list(node['select_list']).map((one) => ({
    expression: readExpression(one, reading),
    alias: columnName(text(object(one)['alias'] ?? ''), placeIn(object(one))),
    defaultName: defaultName(one),
  }));
  if (items.length > MAX_ITEMS || groups.length > MAX_ITEMS)
    refuse('query-too-large', 'the query has too many columns');
  return {
    kind: 'select',
    items,
    from: readSource(node['from_table'], reading),
    where: optional(node['where_clause'], reading),
    groups,
    groupSets: readGroupSets(node['group_sets'], groups.length),
    groupAll: node['aggregate_handling'] === 'FORCE_AGGREGATES',
    having: optional(node['having'], reading),
    qualify: optional(node['qualify'], reading),
  };
}

function readGroupSets(value: unknown, groups: number): number[][] {
  const sets = list(value).map((set) =>
    list(set).map((one) => (typeof one === 'number' && one >= 0 && one < groups ? one : malformed())),
  );
  if (sets.length > 64) refuse('query-too-large', 'the query has more than 64 grouping sets');
  return sets;
}

function readModifiers(values: readonly unknown[], reading: Reading): Modifiers {
  const found = {
    orders: [] as OrderItem[],
    orderAll: null as OrderItem | null,
    limit: null,
    offset: null,
    distinct: false,
  };
  const result: { -readonly [K in keyof Modifiers]: Modifiers[K] } = found;
  const seen = new Set<string>();
  for (const value of values) {
    const node = object(value);
    const type = String(node['type']);
    const shape = Object.hasOwn(shapes.MODIFIERS, type) ? shapes.MODIFIERS[type] : undefined;
    if (shape === undefined)
      refuse(
        'sql-not-allowed',
        type === 'LIMIT_PERCENT_MODIFIER'
          ? 'LIMIT with a percentage is not offered'
          : `${printable(type)} is not offered`,
        { words: ['limit'] },
        'use a number of rows',
      );
    if (seen.has(type)) malformed();
    seen.add(type);
    checkShape(node, shape, type);
    if (type === 'DISTINCT_MODIFIER') {
      const targets = list(node['distinct_on_targets']).map((one) => readExpression(one, reading));
      if (targets.length > MAX_ITEMS) refuse('query-too-large', 'the query has too many columns');
      if (targets.length === 0) result.distinct = true;
      else result.distinctOn = targets;
    }
    if (type === 'LIMIT_MODIFIER') {
      result.limit = optional(node['limit'], reading);
      result.offset = optional(node['offset'], reading);
    }
    if (type === 'ORDER_MODIFIER') {
      const [first, ...rest] = list(node['orders']);
      const star = first === undefined ? null : readOrder(first, reading, true);
      if (star !== null && star.expression.kind === 'star') {
        if (rest.length > 0) refuse('sql-not-allowed', 'ORDER BY ALL cannot be mixed with other terms');
        result.orderAll = star;
      } else {
        result.orders = readOrders(node['orders'], reading);
      }
    }
  }
  return result;
}

export function readOrders(value: unknown, reading: Reading): OrderItem[] {
  return list(value).map((one) => readOrder(one, reading, false));
}

function readOrder(value: unknown, reading: Reading, starAllowed: boolean): OrderItem {
  const node = object(value);
  checkShape(node, shapes.ORDER, 'ORDER BY');
  const inner = object(node['expression']);
  const isStar = starAllowed && inner['class'] === 'STAR' && inner['columns'] === true && inner['relation_name'] === '';
  if (isStar) checkShape(inner, shapes.EXPRESSIONS['STAR'] ?? malformed(), 'ORDER BY ALL');
  return {
    expression: isStar ? { kind: 'star', relation: '', at: placeIn(inner) } : readExpression(inner, reading),
    descending: node['type'] === 'DESCENDING',
    nulls: node['null_order'] === 'ORDER_DEFAULT' ? null : node['null_order'] === 'NULLS FIRST' ? 'first' : 'last',
  };
}

function readCommonTables(value: unknown, reading: Reading): CommonTable[] {
  const map = object(value);
  if (Object.keys(map).length !== 1) malformed();
  return list(map['map']).map((entry) => {
    const pair = object(entry);
    checkShape(pair, shapes.COMMON_TABLE_ENTRY, 'WITH');
    const node = object(pair['value']);
    checkShape(node, shapes.COMMON_TABLE, 'WITH');
    return {
      name: text(pair['key']),
      columns: names(node['aliases']).map((name) => columnName(name, null)),
      query: readStatement(node['query'], reading),
    };
  });
}

export function readSource(value: unknown, reading: Reading): Source {
  return deeper(reading, () => {
    const node = object(value);
    const type = String(node['type']);
    const shape = Object.hasOwn(shapes.SOURCES, type) ? shapes.SOURCES[type] : undefined;
    const at = placeIn(node);
    if (type === 'SHOW_REF')
      refuse(
        'sql-not-allowed',
        'DESCRIBE, SUMMARIZE and SHOW are not offered',
        at ?? { words: ['describe', 'summarize', 'show'] },
        'the catalogue shows tables, columns and what may be done with each',
      );
    if (shape === undefined) refuse('sql-not-allowed', `${printable(type)} after FROM is not offered`, at);
    checkShape(node, shape, type === 'JOIN' ? 'JOIN' : 'FROM');
    const alias = text(node['alias'] ?? '');
    switch (type) {
      case 'EMPTY':
        return { kind: 'none' };
      case 'BASE_TABLE':
        return {
          kind: 'table',
          name: text(node['table_name']),
          schema: text(node['schema_name']),
          catalog: text(node['catalog_name']),
          alias,
          at,
        };
      case 'SUBQUERY': {
        const query = readStatement(node['subquery'], reading);
        return {
          kind: 'derived',
          query,
          alias,
          columns: names(node['column_name_alias']).map((name) => columnName(name, at)),
          at,
        };
      }
      case 'EXPRESSION_LIST': {
        const rows = list(node['values']).map((row) => list(row).map((one) => readExpression(one, reading)));
        if (rows.length > MAX_ITEMS || rows.some((row) => row.length > MAX_ITEMS))
          refuse('query-too-large', `VALUES has more than ${MAX_ITEMS} rows or columns`, at);
        return { kind: 'values', rows, alias, at };
      }
      case 'PIVOT':
        return list(node['unpivot_names']).length > 0 ? readUnpivot(node, reading, at) : readPivot(node, reading, at);
      case 'TABLE_FUNCTION':
        return readSeries(node, reading, at);
      case 'JOIN': {
        const isCross = node['ref_type'] === 'CROSS';
        return {
          kind: 'join',
          type: isCross ? 'cross' : (JOIN_TYPES[String(node['join_type'])] ?? malformed()),
          left: readSource(node['left'], reading),
          right: readSource(node['right'], reading),
          condition: optional(node['condition'], reading),
          using: names(node['using_columns']),
          ...(node['ref_type'] === 'NATURAL' ? { isNatural: true as const } : {}),
          at,
        };
      }
      default:
        return malformed();
    }
  });
}

function optional(value: unknown, reading: Reading): Syntax | null {
  return value === null ? null : readExpression(value, reading);
}

export function readExpression(value: unknown, reading: Reading): Syntax {
  return deeper(reading, () => {
    const node = object(value);
    const kind = String(node['class']);
    const shape = Object.hasOwn(shapes.EXPRESSIONS, kind) ? shapes.EXPRESSIONS[kind] : undefined;
    const at = placeOfExpression(node, kind);
    if (shape === undefined) refuse('sql-not-allowed', `the expression ${printable(kind)} is not offered`, at);
    if (kind === 'OPERATOR' && ['ARRAY_EXTRACT', 'STRUCT_EXTRACT'].includes(String(node['type'])))
      refuse(
        'sql-not-allowed',
        'parts of lists and structs are not offered',
        at,
        'a part of a text is `text[from:to]`',
      );
    checkShape(node, shape, kind.toLowerCase());
    const read = (one: unknown): Syntax => readExpression(one, reading);
    const call = (name: string, ...args: Syntax[]): Syntax => ({
      kind: 'call',
      name,
      args,
      distinct: false,
      filter: null,
      at,
    });
    const type = String(node['type']);
    switch (kind) {
      case 'CONSTANT':
        return { kind: 'constant', literal: readLiteral(node['value'], at), at };
      case 'PARAMETER':
        return { kind: 'parameter', name: text(node['identifier']), at };
      case 'COLUMN_REF':
        return { kind: 'column', path: names(node['column_names']), at };
      case 'STAR':
        if (node['columns'] === true) refuse('sql-not-allowed', 'COLUMNS(…) is not offered', at);
        return readStar(node, reading, at);
      case 'FUNCTION': {
        const counted = countIf(node, read, at);
        if (counted !== null) return counted;
        const name = text(node['function_name']).toLowerCase();
        const filter = optional(node['filter'], reading);
        const distinct = node['distinct'] === true;
        const args = list(node['children']).map(read);
        const ordered = withinGroup({ name, args, orders: object(node['order_bys']), at }, reading);
        if (ordered !== null) return { kind: 'call', name, distinct, filter, at, ...ordered };
        return { kind: 'call', name, args: unordered(node, args), distinct, filter, at };
      }
      case 'COMPARISON':
        return call(COMPARISONS[type] ?? malformed(), read(node['left']), read(node['right']));
      case 'CONJUNCTION':
        return call(type === 'CONJUNCTION_AND' ? 'and' : 'or', ...list(node['children']).map(read));
      case 'BETWEEN': {
        const [input, lower, upper] = [read(node['input']), read(node['lower']), read(node['upper'])];
        return call('and', call('>=', input, lower), call('<=', input, upper));
      }
      case 'OPERATOR': {
        if (type === 'ARRAY_SLICE') return call('substring', ...slice(list(node['children']).map(read)));
        const tuples = tupleIn(type, list(node['children']).map(read), call);
        if (tuples !== null) return tuples;
        return call(OPERATORS[type] ?? malformed(), ...list(node['children']).map(read));
      }
      case 'CASE':
        return {
          kind: 'case',
          whens: list(node['case_checks']).map((one) => readWhen(one, reading)),
          otherwise: read(node['else_expr']),
          at,
        };
      case 'CAST':
        return {
          kind: 'cast',
          arg: read(node['child']),
          type: readType(node['cast_type'], at),
          isTry: node['try_cast'] === true,
          at,
        };
      case 'SUBQUERY':
        return {
          kind: 'subquery',
          test: SUBQUERIES[String(node['subquery_type'])] ?? malformed(),
          arg: optional(node['child'], reading),
          query: readStatement(node['subquery'], reading),
          at,
        };
      case 'WINDOW':
        return { kind: 'window', window: readWindow(node, reading), at };
      default:
        return malformed();
    }
  });
}

function readStar(node: Json, reading: Reading, at: Place): Syntax {
  const exclude = names(node['exclude_list']);
  const replace = list(node['replace_list']).map((one) => {
    const pair = object(one);
    checkShape(pair, shapes.REPLACEMENT, 'REPLACE');
    return { name: text(pair['key']), expression: readExpression(pair['value'], reading) };
  });
  return {
    kind: 'star',
    relation: text(node['relation_name']),
    ...(exclude.length > 0 ? { exclude } : {}),
    ...(replace.length > 0 ? { replace } : {}),
    at,
  };
}

function readWhen(value: unknown, reading: Reading): CaseWhen {
  const node = object(value);
  checkShape(node, shapes.CASE_CHECK, 'CASE');
  return { when: readExpression(node['when_expr'], reading), value: readExpression(node['then_expr'], reading) };
}

/** The parser's own place; where it has none, that of the first operand or the word that the expression is written with. */
function placeOfExpression(node: Json, kind: string): Place {
  const own = placeIn(node);
  if (own !== null) return own;
  if (kind === 'FUNCTION') return { words: [String(node['function_name']).toLowerCase()] };
  if (kind === 'COLLATE') return { words: ['collate'] };
  const [first] = Array.isArray(node['children']) ? (node['children'] as unknown[]) : [];
  return typeof first === 'object' && first !== null ? placeIn(first as Json) : null;
}

/** What a consumer calls a column; the gate would let no other name out. */
export function columnName(name: string, at: Syntax['at']): string {
  if (name !== '' && !isColumnName(name))
    refuse(
      'wrong-arguments',
      'a column name is too long or holds characters that do not print',
      at,
      `use at most ${MAX_NAME} characters`,
    );
  return name;
}

export function names(value: unknown): string[] {
  return list(value).map(text);
}

const OPERATIONS: Readonly<Record<string, 'union' | 'except' | 'intersect'>> = {
  UNION: 'union',
  EXCEPT: 'except',
  INTERSECT: 'intersect',
};

const JOIN_TYPES: Readonly<Record<string, 'inner' | 'left' | 'right' | 'full' | 'semi' | 'anti'>> = {
  INNER: 'inner',
  LEFT: 'left',
  RIGHT: 'right',
  FULL: 'full',
  SEMI: 'semi',
  ANTI: 'anti',
};

const COMPARISONS: Readonly<Record<string, string>> = {
  COMPARE_EQUAL: '=',
  COMPARE_NOTEQUAL: '<>',
  COMPARE_LESSTHAN: '<',
  COMPARE_GREATERTHAN: '>',
  COMPARE_LESSTHANOREQUALTO: '<=',
  COMPARE_GREATERTHANOREQUALTO: '>=',
  COMPARE_DISTINCT_FROM: 'is distinct from',
  COMPARE_NOT_DISTINCT_FROM: 'is not distinct from',
};

const OPERATORS: Readonly<Record<string, string>> = {
  OPERATOR_NOT: 'not',
  OPERATOR_IS_NULL: 'is null',
  OPERATOR_IS_NOT_NULL: 'is not null',
  COMPARE_IN: 'in',
  COMPARE_NOT_IN: 'not in',
  OPERATOR_COALESCE: 'coalesce',
  GROUPING_FUNCTION: 'grouping',
};

const SUBQUERIES: Readonly<Record<string, 'scalar' | 'in' | 'exists' | 'not exists'>> = {
  SCALAR: 'scalar',
  ANY: 'in',
  EXISTS: 'exists',
  NOT_EXISTS: 'not exists',
};

import { type Place, refuse } from '../refusal.ts';
import type { CommonTable, OrderItem, Query, Select, SelectItem } from '../syntax.ts';
import { MAX_ITEMS } from '../text.ts';
import { linkLists } from './comma-list.ts';
import { defaultName } from './default-name.ts';
import { printable } from './literal.ts';
import { columnName, names } from './names.ts';
import { checkShape, deeper, type Json, list, malformed, object, placeIn, type Reading, text } from './node.ts';
import { optional, readExpression } from './read-expression.ts';
import { readSource } from './read-source.ts';
import * as shapes from './shapes.ts';

/**
 * Reads the parser's tree (`json_serialize_sql`, parsed without rounding) into Syntax. Exactly one statement; every
 * node and key must be in the allow-list of shapes.ts. Throws Refusal.
 */
export function readQuery(ast: unknown): Query {
  const root = object(ast);
  if (root['error'] !== false) {
    // The parser reads it, but cannot write it down; this is all that it says of it.
    if (String(root['error_message']).startsWith('Expression type T_List'))
      refuse(
        'sql-not-allowed',
        'BETWEEN SYMMETRIC is not offered',
        { words: ['symmetric'] },
        'BETWEEN with the lower bound first',
      );
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

/** A statement, or what stands in brackets where one may. */
export function readStatement(value: unknown, reading: Reading): Query {
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
    ...linkLists(readSource(node['from_table'], reading), optional(node['where_clause'], reading)),
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

const OPERATIONS: Readonly<Record<string, 'union' | 'except' | 'intersect'>> = {
  UNION: 'union',
  EXCEPT: 'except',
  INTERSECT: 'intersect',
};

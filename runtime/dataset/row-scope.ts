/**
 * A provider's row scope (`region = 'EU' AND year >= 2020`): one boolean expression over the table's own columns. The
 * parsed tree is checked against a short allow-list and printed anew; the provider's text itself is never executed.
 */
import { DatasetError } from './dataset-error.ts';
import { DATASET_LIMITS } from './limits.ts';
import { quoteName, quoteText } from './sql-text.ts';

/** The statement whose tree `printRowScope` reads. The text is checked to be one expression afterwards. */
export function rowScopeStatement(rows: string): string {
  if (rows.length > DATASET_LIMITS.maxRowScopeLength) {
    throw refused(`is longer than ${DATASET_LIMITS.maxRowScopeLength} characters`);
  }
  // The line break ends a comment in the provider's text; the tree shows whether the parentheses were kept.
  return `SELECT 1 WHERE (${rows}\n)`;
}

const refused = (why: string): DatasetError =>
  new DatasetError(
    'invalid-layout',
    `row scope ${why}; comparisons of columns with constants, AND, OR, NOT, IN, BETWEEN, LIKE and IS NULL are allowed`,
  );

type Tree = Readonly<Record<string, unknown>>;

const COMPARISONS: Readonly<Record<string, string>> = {
  COMPARE_EQUAL: '=',
  COMPARE_NOTEQUAL: '<>',
  COMPARE_LESSTHAN: '<',
  COMPARE_GREATERTHAN: '>',
  COMPARE_LESSTHANOREQUALTO: '<=',
  COMPARE_GREATERTHANOREQUALTO: '>=',
  COMPARE_DISTINCT_FROM: 'IS DISTINCT FROM',
  COMPARE_NOT_DISTINCT_FROM: 'IS NOT DISTINCT FROM',
};

const FUNCTIONS: Readonly<Record<string, { readonly infix: string } | { readonly call: string }>> = {
  '~~': { infix: 'LIKE' },
  '!~~': { infix: 'NOT LIKE' },
  '~~*': { infix: 'ILIKE' },
  '!~~*': { infix: 'NOT ILIKE' },
  lower: { call: 'lower' },
  upper: { call: 'upper' },
  trim: { call: 'trim' },
  year: { call: 'year' },
  month: { call: 'month' },
  starts_with: { call: 'starts_with' },
  contains: { call: 'contains' },
};

const CAST_TYPES: ReadonlySet<string> = new Set([
  'BOOLEAN',
  'TINYINT',
  'SMALLINT',
  'INTEGER',
  'BIGINT',
  'DOUBLE',
  'DATE',
  'TIMESTAMP',
  'VARCHAR',
]);

/** Prints the scope in our own words. `treeText` is what the engine's `json_serialize_sql` answered for `rowScopeStatement`. */
export function printRowScope(treeText: string, columns: readonly string[]): string {
  const root = parseTree(treeText);
  if (root['error'] !== false) throw refused('is not a condition that can be parsed');
  const statements = listOf(root['statements']);
  const node = objectOf(objectOf(statements[0])['node']);
  const from = objectOf(node['from_table']);
  const list = listOf(node['select_list']);
  const isBare =
    statements.length === 1 &&
    node['type'] === 'SELECT_NODE' &&
    from['type'] === 'EMPTY' &&
    list.length === 1 &&
    listOf(node['modifiers']).length === 0 &&
    listOf(objectOf(node['cte_map'])['map']).length === 0 &&
    listOf(node['group_expressions']).length === 0 &&
    listOf(node['group_sets']).length === 0 &&
    (node['having'] ?? null) === null &&
    (node['sample'] ?? null) === null &&
    (node['qualify'] ?? null) === null &&
    node['aggregate_handling'] === 'STANDARD_HANDLING';
  if (!isBare) throw refused('is not one single condition');
  return new Printer(columns).print(objectOf(node['where_clause']), 0);
}

class Printer {
  readonly #columns: ReadonlyMap<string, string>;

  constructor(columns: readonly string[]) {
    this.#columns = new Map(columns.map((name) => [name.toLowerCase(), name]));
  }

  print(node: Tree, depth: number): string {
    if (depth > DATASET_LIMITS.maxRowScopeDepth)
      throw refused(`is nested deeper than ${DATASET_LIMITS.maxRowScopeDepth}`);
    const each = (value: unknown): string[] => listOf(value).map((child) => this.print(objectOf(child), depth + 1));
    const one = (value: unknown): string => this.print(objectOf(value), depth + 1);
    switch (node['class']) {
      case 'CONSTANT':
        return constant(objectOf(node['value']));
      case 'COLUMN_REF':
        return this.#column(listOf(node['column_names']));
      case 'COMPARISON': {
        const operator = COMPARISONS[String(node['type'])];
        if (operator === undefined) throw refused('uses a comparison that is not allowed');
        return `(${one(node['left'])} ${operator} ${one(node['right'])})`;
      }
      case 'CONJUNCTION': {
        const word = node['type'] === 'CONJUNCTION_AND' ? ' AND ' : node['type'] === 'CONJUNCTION_OR' ? ' OR ' : null;
        if (word === null) throw refused('joins conditions in a way that is not allowed');
        return `(${each(node['children']).join(word)})`;
      }
      case 'BETWEEN':
        return `(${one(node['input'])} BETWEEN ${one(node['lower'])} AND ${one(node['upper'])})`;
      case 'OPERATOR':
        return operatorText(String(node['type']), each(node['children']));
      case 'CAST':
        return castText(node, one(node['child']));
      case 'FUNCTION':
        return functionText(node, each(node['children']));
      default:
        throw refused(`uses \`${String(node['class']).toLowerCase()}\``);
    }
  }

  #column(names: readonly unknown[]): string {
    const name =
      names.length === 1 && typeof names[0] === 'string' ? this.#columns.get(names[0].toLowerCase()) : undefined;
    if (name === undefined)
      throw refused(`names \`${names.map(String).join('.').slice(0, 60)}\`, which is no column of the table`);
    return quoteName(name);
  }
}

function operatorText(type: string, parts: readonly string[]): string {
  const [first = '', ...rest] = parts;
  switch (type) {
    case 'OPERATOR_NOT':
      return `(NOT ${first})`;
    case 'OPERATOR_IS_NULL':
      return `(${first} IS NULL)`;
    case 'OPERATOR_IS_NOT_NULL':
      return `(${first} IS NOT NULL)`;
    case 'COMPARE_IN':
      return `(${first} IN (${rest.join(', ')}))`;
    case 'COMPARE_NOT_IN':
      return `(${first} NOT IN (${rest.join(', ')}))`;
    default:
      throw refused(`uses \`${type.toLowerCase()}\``);
  }
}

function functionText(node: Tree, parts: readonly string[]): string {
  const name = String(node['function_name']);
  const known = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  const isPlain =
    node['schema'] === '' &&
    node['distinct'] === false &&
    (node['filter'] ?? null) === null &&
    listOf(objectOf(node['order_bys'])['orders']).length === 0 &&
    (node['catalog'] ?? '') === '';
  if (known === undefined || !isPlain) throw refused(`uses the function \`${name.slice(0, 40)}\``);
  if ('infix' in known) return `(${parts[0] ?? ''} ${known.infix} ${parts[1] ?? ''})`;
  return `${known.call}(${parts.join(', ')})`;
}

function castText(node: Tree, child: string): string {
  const type = objectOf(node['cast_type']);
  const name = String(type['id']);
  // A column cast can fail on a row; trying never does.
  if (!CAST_TYPES.has(name) || (type['type_info'] ?? null) !== null) throw refused(`casts to ${name.slice(0, 40)}`);
  return `TRY_CAST(${child} AS ${name})`;
}

function constant(value: Tree): string {
  if (value['is_null'] === true) return 'NULL';
  const type = objectOf(value['type']);
  const content = value['value'];
  switch (type['id']) {
    case 'VARCHAR':
      return quoteText(String(content));
    case 'BOOLEAN':
      return content === true ? 'TRUE' : 'FALSE';
    case 'TINYINT':
    case 'SMALLINT':
    case 'INTEGER':
    case 'BIGINT':
      return numberText(content, /^-?\d{1,19}$/);
    case 'DOUBLE':
      return `CAST(${numberText(content, /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/)} AS DOUBLE)`;
    case 'DECIMAL': {
      const { width, scale } = objectOf(type['type_info']) as { width?: unknown; scale?: unknown };
      if (typeof scale !== 'number' || typeof width !== 'number')
        throw refused('holds a number that is not understood');
      return `CAST('${numberText(content, /^-?\d{1,19}$/)}' AS DECIMAL(38,0)) / ${10 ** scale}`;
    }
    default:
      throw refused(`holds a constant of type ${String(type['id']).slice(0, 40)}`);
  }
}

function numberText(content: unknown, shape: RegExp): string {
  const text = typeof content === 'string' || typeof content === 'number' ? String(content) : '';
  if (!shape.test(text)) throw refused('holds a number that is not understood');
  return text;
}

/** Parses the tree and keeps the digits of every number that a JavaScript number would round. */
function parseTree(text: string): Tree {
  try {
    const keepDigits = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
      typeof value === 'number' && !Number.isSafeInteger(value) ? (context?.source ?? value) : value;
    return objectOf(JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown));
  } catch (cause) {
    throw cause instanceof DatasetError ? cause : refused('is not a condition that can be parsed');
  }
}

function objectOf(value: unknown): Tree {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refused('has a shape that is not understood');
  return value as Tree;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw refused('has a shape that is not understood');
  return value;
}

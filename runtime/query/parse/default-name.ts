import { numberText } from '../lossless-json.ts';
import { decimalText } from '../print.ts';
import type { Json } from './node.ts';

/**
 * The name that DuckDB gives to an output column without an alias: its own spelling of the expression. Analysts address
 * results by these names. It is only a name: nothing that is made here is ever run.
 */
export function defaultName(node: unknown): string {
  const { class: kind, column_names: path } = fields(node);
  // A plain column is called by its name alone, without table and without quotes.
  if (kind === 'COLUMN_REF' && Array.isArray(path)) return String(path.at(-1));
  const name = spell(node).replaceAll(UNPRINTABLE, ' ');
  return name.length <= MAX_NAME ? name : `${name.slice(0, MAX_NAME - 1)}…`;
}

/** Longest column name, UTF-16 units: what the release gate lets a column be called. */
export const MAX_NAME = 256;
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Whether a result may have a column of this name. */
export function isColumnName(name: string): boolean {
  return name.length > 0 && name.length <= MAX_NAME && name.search(UNPRINTABLE) === -1;
}

function fields(node: unknown): Json {
  return typeof node === 'object' && node !== null ? (node as Json) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function spell(value: unknown): string {
  const node = fields(value);
  const children = list(node['children']);
  switch (node['class']) {
    case 'CONSTANT':
      return constant(fields(node['value']));
    case 'COLUMN_REF':
      return list(node['column_names'])
        .map((part) => quoted(String(part)))
        .join('.');
    case 'PARAMETER':
      return `$${String(node['identifier'])}`;
    case 'STAR':
      return '*';
    case 'FUNCTION':
      return call(node, children);
    case 'COMPARISON':
      return `(${spell(node['left'])} ${COMPARISONS[String(node['type'])] ?? '?'} ${spell(node['right'])})`;
    case 'CONJUNCTION':
      return `(${children.map(spell).join(node['type'] === 'CONJUNCTION_AND' ? ' AND ' : ' OR ')})`;
    case 'BETWEEN':
      return `(${spell(node['input'])} BETWEEN ${spell(node['lower'])} AND ${spell(node['upper'])})`;
    case 'OPERATOR':
      return operator(String(node['type']), children.map(spell));
    case 'CASE': {
      const whens = list(node['case_checks']).map(fields);
      const branches = whens.map((when) => ` WHEN (${spell(when['when_expr'])}) THEN (${spell(when['then_expr'])})`);
      return `CASE ${branches.join('')} ELSE ${spell(node['else_expr'])} END`;
    }
    case 'CAST':
      return `${node['try_cast'] === true ? 'TRY_' : ''}CAST(${spell(node['child'])} AS ${typeName(fields(node['cast_type']))})`;
    case 'WINDOW':
      return window(node, children);
    default:
      return '(SELECT …)';
  }
}

function constant(value: Json): string {
  if (value['is_null'] === true) return 'NULL';
  const type = fields(value['type']);
  const raw = value['value'];
  if (typeof raw === 'string') return `'${raw.replaceAll("'", "''")}'`;
  if (typeof raw === 'boolean') return raw ? 'true' : 'false';
  const text = numberText(raw) ?? wide(fields(raw));
  if (type['id'] === 'DECIMAL') return decimalText(BigInt(text), Number(fields(type['type_info'])['scale']));
  return type['id'] === 'DOUBLE' ? double(text) : text;
}

function wide(halves: Json): string {
  const [upper, lower] = [numberText(halves['upper']), numberText(halves['lower'])];
  return upper === null || lower === null ? '0' : String((BigInt(upper) << 64n) + BigInt(lower));
}

/** Doubles are written with a point; very large and small ones with an exponent of two digits. */
function double(text: string): string {
  const shown = String(Number(text));
  if (/^-?\d+$/.test(shown)) return `${shown}.0`;
  return shown.replace(/e([+-])(\d)$/, 'e$10$2');
}

function call(node: Json, children: readonly unknown[]): string {
  const name = String(node['function_name']);
  const args = children.map(spell);
  if (node['is_operator'] === true) {
    if (args.length === 1) return `${name}(${args[0]})`;
    return `(${args[0]} ${name} ${args[1]})`;
  }
  const schema = node['schema'] === '' ? '' : `${quoted(String(node['schema']))}.`;
  const filter = node['filter'] === null ? '' : ` FILTER (WHERE ${spell(node['filter'])})`;
  return `${schema}${quoted(name)}(${node['distinct'] === true ? 'DISTINCT ' : ''}${args.join(', ')})${filter}`;
}

function operator(type: string, args: readonly string[]): string {
  const [first = '', ...rest] = args;
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
    case 'GROUPING_FUNCTION':
      return `GROUPING(${args.join(', ')})`;
    default:
      return `COALESCE(${args.join(', ')})`;
  }
}

function window(node: Json, children: readonly unknown[]): string {
  const extra = [node['offset_expr'], node['default_expr']].filter((one) => one !== null);
  const args = [...children, ...extra].map(spell).join(', ');
  const partitions = list(node['partitions']).map(spell);
  const orders = list(node['orders']).map((one) => order(fields(one)));
  const over = [
    partitions.length === 0 ? '' : `PARTITION BY ${partitions.join(', ')}`,
    orders.length === 0 ? '' : `ORDER BY ${orders.join(', ')}`,
    frame(node),
  ];
  const distinct = node['distinct'] === true ? 'DISTINCT ' : '';
  return `${quoted(String(node['function_name']))}(${distinct}${args}) OVER (${over.filter(Boolean).join(' ')})`;
}

function order(item: Json): string {
  const direction = item['type'] === 'DESCENDING' ? ' DESC' : item['type'] === 'ASCENDING' ? ' ASC' : '';
  const nulls = String(item['null_order']);
  return `${spell(item['expression'])}${direction}${nulls.startsWith('NULLS') ? ` ${nulls}` : ''}`;
}

function frame(node: Json): string {
  const [start, end] = [String(node['start']), String(node['end'])];
  if (start === 'UNBOUNDED_PRECEDING' && end === 'CURRENT_ROW_RANGE') return '';
  const edge = (side: string, offset: unknown): string =>
    side.startsWith('EXPR_')
      ? `${spell(offset)} ${side.includes('PRECEDING') ? 'PRECEDING' : 'FOLLOWING'}`
      : side.startsWith('CURRENT_ROW')
        ? 'CURRENT ROW'
        : side.replace('_', ' ');
  const unit = [start, end].some((side) => side.endsWith('_RANGE')) ? 'RANGE' : 'ROWS';
  return `${unit} BETWEEN ${edge(start, node['start_expr'])} AND ${edge(end, node['end_expr'])}`;
}

const COMPARISONS: Readonly<Record<string, string>> = {
  COMPARE_EQUAL: '=',
  COMPARE_NOTEQUAL: '!=',
  COMPARE_LESSTHAN: '<',
  COMPARE_GREATERTHAN: '>',
  COMPARE_LESSTHANOREQUALTO: '<=',
  COMPARE_GREATERTHANOREQUALTO: '>=',
  COMPARE_DISTINCT_FROM: 'IS DISTINCT FROM',
  COMPARE_NOT_DISTINCT_FROM: 'IS NOT DISTINCT FROM',
};

/** Types that the parser knows by grammar stand bare in a cast; the others are names, and keywords among them quoted. */
function typeName(type: Json): string {
  const id = String(type['id']);
  if (id === 'DECIMAL') {
    const { width, scale } = fields(type['type_info']);
    return width === 18 && scale === 3 ? id : `DECIMAL(${String(width)}, ${String(scale)})`;
  }
  return BARE_TYPES.has(id) ? id : `"${id}"`;
}

const BARE_TYPES: ReadonlySet<string> = new Set([
  'INTEGER',
  'BIGINT',
  'SMALLINT',
  'FLOAT',
  'VARCHAR',
  'TIMESTAMP',
  'BOOLEAN',
  'INTERVAL',
  'TIME',
]);

function quoted(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !KEYWORDS.has(name.toLowerCase())
    ? name
    : `"${name.replaceAll('"', '""')}"`;
}

/** `duckdb_keywords()` of DuckDB 1.5. */
const KEYWORDS: ReadonlySet<string> = new Set(
  `
   abort absolute access action add admin after aggregate all also alter always analyse analyze and anti any array
   as asc asof assertion assignment asymmetric at attach attribute authorization backward before begin between
   bigint binary bit boolean both by cache call called cascade cascaded case cast catalog centuries century chain
   char character characteristics check checkpoint class close cluster coalesce collate collation column columns
   comment comments commit committed compression concurrently configuration conflict connection constraint
   constraints content continue conversion copy cost create cross csv cube current cursor cycle data database day
   days deallocate dec decade decades decimal declare default defaults deferrable deferred definer delete delimiter
   delimiters depends desc describe detach dictionary disable discard distinct do document domain double drop each
   else enable encoding encrypted end enum error escape event except exclude excluding exclusive execute exists
   explain export export_state extension extensions external extract false family fetch filter first float
   following for force foreign forward freeze from full function functions generated glob global grant granted
   group grouping grouping_id groups handler having header hold hour hours identity if ignore ilike immediate
   immutable implicit import in include including increment index indexes inherit inherits initially inline inner
   inout input insensitive insert install instead int integer intersect interval into invoker is isnull isolation
   join json key label lambda language large last lateral leading leakproof left level like limit listen load local
   location lock locked logged macro map mapping match matched materialized maxvalue merge method microsecond
   microseconds millennia millennium millisecond milliseconds minute minutes minvalue mode month months move name
   names national natural nchar new next no none not nothing notify notnull nowait null nullif nulls numeric object
   of off offset oids old on only operator option options or order ordinality others out outer over overlaps
   overlay overriding owned owner parallel parser partial partition partitioned passing password percent persistent
   pivot pivot_longer pivot_wider placing plans policy position positional pragma preceding precision prepare
   prepared preserve primary prior privileges procedural procedure program publication qualify quarter quarters
   quote range read real reassign recheck recursive ref references referencing refresh reindex relative release
   rename repeatable replace replica reset respect restart restrict returning returns revoke right role rollback
   rollup row rows rule sample savepoint schema schemas scope scroll search second seconds secret security select
   semi sequence sequences serializable server session set setof sets share show similar simple skip smallint
   snapshot some sorted source sql stable standalone start statement statistics stdin stdout storage stored strict
   strip struct subscription substring summarize symmetric sysid system table tables tablesample tablespace target
   temp template temporary text then ties time timestamp to trailing transaction transform treat trigger trim true
   truncate trusted try_cast type types unbounded uncommitted unencrypted union unique unknown unlisten unlogged
   unpack unpivot until update use user using vacuum valid validate validator value values varchar variable
   variadic varying verbose version view views virtual volatile week weeks when where whitespace window with within
   without work wrapper write xml xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse
   xmlpi xmlroot xmlserialize xmltable year years yes zone
`
    .trim()
    .split(/\s+/),
);

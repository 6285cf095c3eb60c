/**
 * What asks for the time, as constants of the job's day. A question that moved with every second could not be answered from
 * the record, and would read the same rows again and again under new thresholds; one that moves with the day is the same
 * question all day, and another one tomorrow, as if the date had been written out. What tells the hour (`now()`) stays refused.
 */
const DATES: ReadonlySet<string> = new Set(['current_date', 'today']);
const MENTIONED = new RegExp(`\\b(?:${[...DATES].join('|')})\\b`, 'i');

type Json = Readonly<Record<string, unknown>>;

/**
 * The parser's tree with the day (`2026-01-31`, UTC) in place of `current_date` and `today()`; the same tree when it asks for
 * neither. `taken`: asked for the names that are columns here, in lower case.
 */
export function atDay(ast: unknown, text: string, day: string, taken: () => Iterable<string>): unknown {
  if (!MENTIONED.test(text)) return ast;
  try {
    return replaced(ast, day, new Set(taken()));
  } catch (error) {
    // Nested deeper than the stack: reading the tree refuses it.
    if (error instanceof RangeError) return ast;
    throw error;
  }
}

function replaced(value: unknown, day: string, taken: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) {
    const parts = value.map((one) => replaced(one, day, taken));
    return parts.some((one, index) => one !== value[index]) ? parts : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  const node = value as Json;
  const name = clockIn(node);
  if (name !== null && !taken.has(name)) return constantOf(node, name, day);
  const entries = Object.entries(node).map(([key, one]) => [key, replaced(one, day, taken)] as const);
  return entries.some(([key, one]) => one !== node[key]) ? Object.fromEntries(entries) : value;
}

/** The clock that a node asks; null for any other node. */
function clockIn(node: Json): string | null {
  const { class: kind, column_names: path, function_name: called, children } = node;
  if (kind === 'COLUMN_REF' && Array.isArray(path) && path.length === 1) return known(path[0]);
  if (kind === 'FUNCTION' && Array.isArray(children) && children.length === 0 && node['filter'] === null)
    return known(called);
  return null;
}

function known(name: unknown): string | null {
  const lower = typeof name === 'string' ? name.toLowerCase() : '';
  return DATES.has(lower) ? lower : null;
}

/** `DATE '…'` as the parser writes it. */
function constantOf(node: Json, name: string, day: string): Json {
  const place = Object.hasOwn(node, 'query_location') ? { query_location: node['query_location'] } : {};
  const alias = typeof node['alias'] === 'string' && node['alias'] !== '' ? node['alias'] : name;
  return {
    class: 'CAST',
    type: 'OPERATOR_CAST',
    alias,
    ...place,
    child: {
      class: 'CONSTANT',
      type: 'VALUE_CONSTANT',
      alias: '',
      ...place,
      value: { type: { id: 'VARCHAR', type_info: null }, is_null: false, value: day },
    },
    cast_type: { id: 'DATE', type_info: null },
    try_cast: false,
  };
}

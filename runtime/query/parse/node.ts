import { numberText } from '../lossless-json.ts';
import { type Place, refuse } from '../refusal.ts';
import { MAX_DEPTH, MAX_ITEMS, MAX_NODES } from '../text.ts';
import type { Rule, Shape } from './shapes.ts';

export type Json = Readonly<Record<string, unknown>>;

/** Counts what was read, so that no tree is too deep or too large for the recursion below. */
export interface Reading {
  nodes: number;
  depth: number;
}

export function object(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) malformed();
  return value as Json;
}

export function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) malformed();
  if (value.length > MAX_ITEMS * 5) refuse('query-too-large', 'the query has too many items in one list');
  return value;
}

export function text(value: unknown): string {
  if (typeof value !== 'string') malformed();
  return value;
}

export function placeIn(node: Json): Place {
  const at = node['query_location'];
  return typeof at === 'number' && Number.isSafeInteger(at) && at >= 0 ? at : null;
}

/** Checks the keys of a node against its row of the allow-list; nested nodes are checked when they are read. */
export function checkShape(node: Json, shape: Shape, what: string): void {
  for (const key of Object.keys(node)) {
    const rule = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (rule === undefined) refuse('sql-not-allowed', `\`${key}\` of ${what} is not offered`, placeIn(node));
    if (!obeys(node[key], rule)) {
      const { words, remedy } = ODD_KEYS[key] ?? { words: [], remedy: null };
      const place = placeIn(node) ?? (words.length === 0 ? null : { words });
      refuse('sql-not-allowed', `this form of ${what} is not offered (${key})`, place, remedy);
    }
  }
  for (const key of Object.keys(shape)) {
    if (!Object.hasOwn(node, key) && key !== 'query_location' && key !== 'alias') malformed();
  }
}

/** What stands in the text where a key holds something that is not offered, and what to write instead. */
const ODD_KEYS: Readonly<Record<string, { readonly words: readonly string[]; readonly remedy: string | null }>> = {
  setop_type: {
    words: ['union', 'by'],
    remedy: 'UNION, EXCEPT and INTERSECT of queries that aggregate each are offered',
  },
  sample: { words: ['tablesample', 'sample', 'using'], remedy: 'leave the sample out' },
  orders: { words: ['within', 'order'], remedy: 'leave ORDER BY out of the function' },
  qualified_exclude_list: { words: ['exclude'], remedy: 'name the columns without their table' },
  with_ordinality: { words: ['ordinality'], remedy: 'count with row_number() OVER ()' },
  comparison_type: { words: ['any', 'all', 'some'], remedy: 'compare with (SELECT max(…) …) or (SELECT min(…) …)' },
  rename_list: { words: ['rename'], remedy: 'name the columns' },
  join_type: { words: ['join'], remedy: 'use an inner join, or a left join to a public table or an aggregate' },
  ref_type: { words: ['positional', 'asof', 'join'], remedy: 'write JOIN … ON a = b' },
};

function obeys(value: unknown, rule: Rule): boolean {
  if (typeof rule === 'object') return rule.is.includes(value as string);
  switch (rule) {
    case 'nothing':
      return Array.isArray(value) && value.length === 0;
    case 'text':
      return typeof value === 'string';
    case 'flag':
      return typeof value === 'boolean';
    case 'place':
      return numberText(value) !== null;
    case 'texts':
      return Array.isArray(value) && value.every((one) => typeof one === 'string');
    case 'expression?':
      return value === null || typeof value === 'object';
    case 'value':
    case 'type':
    case 'expression':
    case 'query':
    case 'statement':
    case 'source':
    case 'noOrder':
    case 'commonTables':
      return typeof value === 'object' && value !== null;
    case 'expressions':
    case 'modifiers':
    case 'orders':
    case 'caseChecks':
    case 'groupSets':
    case 'replacements':
    case 'pivots':
      return Array.isArray(value);
    default:
      return rule satisfies never;
  }
}

/** Runs `read` one level deeper; refuses trees beyond the limits. */
export function deeper<T>(reading: Reading, read: () => T): T {
  reading.nodes += 1;
  if (reading.nodes > MAX_NODES) refuse('query-too-large', `the query has more than ${MAX_NODES} parts`);
  reading.depth += 1;
  if (reading.depth > MAX_DEPTH) refuse('query-too-deep', `the query is nested more than ${MAX_DEPTH} levels deep`);
  try {
    return read();
  } finally {
    reading.depth -= 1;
  }
}

export function malformed(): never {
  return refuse('query-malformed', 'the syntax tree of the query is not in the form that the parser gives');
}

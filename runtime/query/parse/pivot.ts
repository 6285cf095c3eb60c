import { type Place, refuse } from '../refusal.ts';
import type { Select, SelectItem, Source, Syntax } from '../syntax.ts';
import { defaultName } from './default-name.ts';
import { readLiteral } from './literal.ts';
import { columnName, names } from './names.ts';
import { checkShape, type Json, list, malformed, object, type Reading, text } from './node.ts';
import { readExpression } from './read-expression.ts';
import { readSource } from './read-source.ts';
import * as shapes from './shapes.ts';

/**
 * `FROM t PIVOT (sum(n) FOR sex IN (0, 1) GROUP BY rx)` as what it means: one aggregate with a FILTER for each value,
 * grouped by `rx`; without GROUP BY by all columns that it does not use. So it stands under the same rules.
 */
export function readPivot(node: Json, reading: Reading, at: Place): Source {
  const source = readSource(node['source'], reading);
  const [pivot, ...others] = list(node['pivots']).map(object);
  if (pivot === undefined) return malformed();
  if (others.length > 0)
    refuse('sql-not-allowed', 'PIVOT over several columns is not offered', at, 'join them: `a || b`');
  checkShape(pivot, shapes.PIVOT, 'PIVOT');
  if (list(pivot['unpivot_names']).length > 0 || node['include_nulls'] !== false) malformed();
  const [on, ...more] = list(pivot['pivot_expressions']).map((one) => readExpression(one, reading));
  if (on === undefined || on.kind !== 'column' || more.length > 0)
    return refuse('sql-not-allowed', 'PIVOT takes one column', at, 'compute it in a sub-query');
  const calls = list(node['aggregates']).map((one) => {
    const alias = text(object(one)['alias'] ?? '');
    return { call: readExpression(one, reading), alias, own: alias === '' ? defaultName(one) : alias };
  });
  const isNamed = calls.length > 1 || calls.some(({ alias }) => alias !== '');
  const values = list(pivot['entries']).map((one) => readEntry(object(one), at));
  const cells = values.flatMap(({ name, literal }) =>
    calls.map(({ call, own }): SelectItem => {
      const column = isNamed ? `${name}_${own}` : name;
      return { expression: filtered(call, on, literal), alias: column, defaultName: column };
    }),
  );
  const groups = list(node['groups']).map((name): Syntax => ({ kind: 'column', path: [text(name)], at }));
  const used = [on, ...calls.map(({ call }) => call)].flatMap(columnsOf);
  const star: Syntax = { kind: 'star', relation: '', exclude: [...new Set(used)], at };
  const kept = groups.length === 0 ? [star] : groups;
  const query: Select = {
    kind: 'select',
    commonTables: [],
    items: [
      ...kept.map((expression) => ({
        expression,
        alias: '',
        defaultName: expression.kind === 'column' ? (expression.path.at(-1) ?? '') : '*',
      })),
      ...cells,
    ],
    from: source,
    where: null,
    groups,
    groupSets: [],
    groupAll: groups.length === 0,
    having: null,
    qualify: null,
    orders: [],
    orderAll: null,
    limit: null,
    offset: null,
    distinct: false,
  };
  return { kind: 'derived', query, alias: text(node['alias'] ?? ''), columns: [], at };
}

function readEntry(entry: Json, at: Place): { readonly name: string; readonly literal: Syntax } {
  checkShape(entry, shapes.PIVOT_ENTRY, 'PIVOT');
  const [value, ...more] = list(entry['values']);
  if (value === undefined || more.length > 0) return malformed();
  const literal: Syntax = { kind: 'constant', literal: readLiteral(value, at), at };
  const alias = text(entry['alias']);
  return { name: alias === '' ? nameOf(literal, at) : alias, literal };
}

/** A value as a column is called after it. */
function nameOf(syntax: Syntax & { readonly kind: 'constant' }, at: Place): string {
  const { literal } = syntax;
  if (literal.kind === 'text' || literal.kind === 'boolean' || literal.kind === 'integer') return String(literal.value);
  if (literal.kind === 'date') return literal.text;
  return refuse('sql-not-allowed', 'this value of PIVOT needs a name', at, 'IN (1.5 AS name, …)');
}

function filtered(call: Syntax, on: Syntax, literal: Syntax): Syntax {
  if (call.kind !== 'call')
    return refuse('sql-not-allowed', 'PIVOT takes aggregates', call.at, 'compute with its columns outside of it');
  const isValue: Syntax = {
    kind: 'call',
    name: 'is not distinct from',
    args: [on, literal],
    distinct: false,
    filter: null,
    at: call.at,
  };
  const filter: Syntax = call.filter === null ? isValue : { ...isValue, name: 'and', args: [call.filter, isValue] };
  return { ...call, filter };
}

/** Names of the columns that an expression uses. */
function columnsOf(syntax: Syntax): readonly string[] {
  switch (syntax.kind) {
    case 'column':
      return [syntax.path.at(-1) ?? ''];
    case 'call':
      return [...syntax.args, ...(syntax.filter === null ? [] : [syntax.filter])].flatMap(columnsOf);
    case 'case':
      return [
        ...syntax.whens.flatMap(({ when, value }) => [...columnsOf(when), ...columnsOf(value)]),
        ...(syntax.otherwise === null ? [] : columnsOf(syntax.otherwise)),
      ];
    case 'cast':
      return columnsOf(syntax.arg);
    case 'constant':
    case 'parameter':
    case 'star':
    case 'window':
    case 'subquery':
      return [];
    default:
      return syntax satisfies never;
  }
}

/** `FROM t UNPIVOT (value FOR name IN (a, b))`, and the statement of that name, which the parser writes in the same way. */
export function readUnpivot(node: Json, reading: Reading, at: Place): Source {
  const source = readSource(node['source'], reading);
  const [value, ...moreValues] = names(node['unpivot_names']);
  const [pivot, ...morePivots] = list(node['pivots']).map(object);
  if (value === undefined || pivot === undefined) return malformed();
  checkShape(pivot, shapes.PIVOT, 'UNPIVOT');
  const [name, ...moreNames] = names(pivot['unpivot_names']);
  const isOne = moreValues.length + morePivots.length + moreNames.length === 0;
  if (name === undefined || !isOne || list(node['aggregates']).length + list(node['groups']).length > 0)
    return refuse('sql-not-allowed', 'UNPIVOT makes one column of names and one of values', at);
  const entries = list(pivot['entries']).map((one) => {
    const entry = object(one);
    checkShape(entry, shapes.PIVOT_ENTRY, 'UNPIVOT');
    const [column, ...others] = list(entry['values']).map((each) => readLiteral(each, at));
    if (column?.kind !== 'text' || others.length > 0)
      return refuse('sql-not-allowed', 'UNPIVOT takes the names of columns', at, 'name each column');
    const label = text(entry['alias']);
    return { column: column.value, label: label === '' ? column.value : label };
  });
  return {
    kind: 'unpivot',
    source,
    name: columnName(name, at),
    value: columnName(value, at),
    entries,
    keepsNulls: node['include_nulls'] === true,
    alias: text(node['alias'] ?? ''),
    at,
  };
}

import type { SqlType } from '../types.ts';
import { privateBases } from '../rows.ts';
import { refuse } from '../refusal.ts';
import { printTyped } from '../print.ts';
import { type Query, type Source, type Syntax, wordsOf } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { hasAggregate } from './aggregate-calls.ts';
import { hasPartner, printReleased } from './semi-join.ts';
import { addConditions, type From, type SourceNeeds, type Visible } from './sources.ts';
import type { Scope, State } from './state.ts';

/**
 * An answer that stands beside private rows in FROM. Joined as it is, it would weigh rows; but two joins with it say
 * what sub-queries in WHERE say as well, and are compiled as these:
 *
 *     flights, (SELECT avg(delay) AS m …) a WHERE delay > m         WHERE delay > (SELECT avg(delay) …)
 *     flights JOIN (SELECT origin … GROUP BY origin LIMIT 5) USING (origin)    WHERE origin IN (SELECT origin …)
 *
 * INVARIANT: the first has exactly one row, the second at most one for each value of the column it is joined on, so that
 * no private row is repeated. Both are read off the words of the sub-query, never off its rows.
 */
export function valuesBesideRows(rows: From, answer: From, written: Source, { state, scope }: SourceNeeds): From {
  const query = queryOf(written, scope);
  if (!standsBeside(state, rows, answer) || query === null || !isOneRow(query.query)) return answer;
  if (answer.visible.some(({ columns }) => columns.some(({ expression }) => expression.type === null))) return answer;
  for (const { domain, sql } of answer.released.flatMap((one) => one.certificates))
    state.borrowed.push({ domain, sql: `(SELECT min(${sql}) ${printReleased(answer)})` });
  const looked = (value: Typed, type: SqlType): Typed => ({
    kind: 'call',
    name: 'sub-query',
    args: [],
    type,
    digits: null,
    sql: `(SELECT ${printTyped(value)} ${printReleased(answer)} LIMIT 1)`,
    at: value.at,
  });
  return { ...answer, visible: withExpressions(answer.visible, looked), released: [] };
}

/** Private rows that have a partner in the answer, where it has one row for each value of the column; null: no such join. */
export function partnersBesideRows(
  { left, right }: { readonly left: From; readonly right: From },
  conditions: readonly Typed[],
  source: Source & { kind: 'join' },
  { state, scope }: SourceNeeds,
): From | null {
  const query = queryOf(source.right, scope);
  if (source.type !== 'inner' || query === null || !standsBeside(state, left, right)) return null;
  const key = keyOf(query.query, query.scope);
  const [shown] = right.visible;
  const place = shown === undefined || key === null ? undefined : shown.columns[key]?.expression;
  if (place === undefined) return null;
  const link = conditions.flatMap((one) => {
    const [a, b] = one.kind === 'call' && one.name === '=' ? one.args : [];
    if (a === undefined || b === undefined) return [];
    const sides = printTyped(b) === printTyped(place) ? [a] : printTyped(a) === printTyped(place) ? [b] : [];
    return sides.filter((side) => side.kind === 'column' && side.base !== null);
  })[0];
  if (link === undefined) return null;
  const found = hasPartner(state, right, conditions, { at: source.at, isJoin: false });
  const isSame = link.type?.kind === place.type?.kind;
  const visible = right.visible.map((one) => ({
    ...one,
    columns: one.columns.map((column) =>
      isSame && printTyped(column.expression) === printTyped(place)
        ? { ...column, expression: link }
        : { ...column, isBesideRows: true as const },
    ),
  }));
  return {
    visible: [...left.visible, ...visible],
    scope: addConditions(left.scope, [found]),
    released: left.released,
    merged: [...left.merged, ...source.using.map((name) => name.toLowerCase())],
  };
}

/** Values of an answer have no place in aggregates over the rows beside it. */
export function refuseBeside(name: string, at: Typed['at']): never {
  return refuse(
    'join-with-released',
    `\`${name}\` is a value of an aggregated result, which private rows cannot be joined with`,
    at,
    'aggregate the private rows in a sub-query of their own, and join the two results',
  );
}

/** One exact answer, and private rows on the other side. */
function standsBeside(state: State, rows: From, answer: From): boolean {
  return (
    state.noise === undefined &&
    state.brought === 0 &&
    privateBases(rows.scope).length > 0 &&
    rows.released.length === 0 &&
    answer.released.length === 1 &&
    answer.released[0]?.leftOn === null &&
    answer.visible.length === 1 &&
    [answer.scope.bases, answer.scope.predicates, answer.scope.equalities].every((part) => part.length === 0)
  );
}

function withExpressions(
  visible: readonly Visible[],
  change: (value: Typed, type: SqlType) => Typed,
): readonly Visible[] {
  return visible.map((one) => ({
    ...one,
    columns: one.columns.map((column) => ({
      ...column,
      expression:
        column.expression.type === null ? column.expression : change(column.expression, column.expression.type),
    })),
  }));
}

/** The query in FROM, written there or named by WITH. */
function queryOf(
  source: Source,
  scope: Scope,
): { readonly query: Query; readonly scope: Scope; readonly isRenamed: boolean } | null {
  if (source.kind === 'derived') return { query: source.query, scope, isRenamed: source.columns.length > 0 };
  if (source.kind !== 'table' || source.schema !== '') return null;
  const common = scope.tables.get(source.name.toLowerCase());
  return common === undefined
    ? null
    : { query: common.table.query, scope: common.scope, isRenamed: common.table.columns.length > 0 };
}

/** An aggregate over everything, or constants: one row, whatever the rows are. */
function isOneRow(query: Query): boolean {
  if (query.kind !== 'select') return false;
  const isCut = [query.having, query.qualify, query.limit, query.offset].some((part) => part !== null);
  if (isCut || query.groups.length + query.groupSets.length > 0 || query.groupAll || query.distinctOn !== undefined)
    return false;
  if (query.from.kind === 'none') return query.where === null;
  return query.items.some(({ expression }) => hasAggregate(expression));
}

/** The output of which each value has one row: the one group key, or that of the query below; null: not known. */
function keyOf(query: Query, scope: Scope): number | null {
  if (query.kind !== 'select' || query.commonTables.length > 0 || query.groupSets.length > 1) return null;
  if (query.items.some(({ expression }) => expression.kind === 'star' && !isWhole(query))) return null;
  const aggregated = query.items.map(({ expression }) => hasAggregate(expression));
  if (query.groupAll) return only(aggregated);
  const [group, ...others] = query.groups;
  if (group !== undefined) {
    if (others.length > 0) return null;
    return placeOf(
      query.items.map(({ expression }) => expression),
      group,
    );
  }
  if (aggregated.some(Boolean)) return null;
  if (query.distinct && query.items.length === 1) return 0;
  const below = queryOf(query.from, scope);
  const key = below === null ? null : keyOf(below.query, below.scope);
  if (below?.query.kind !== 'select' || key === null) return null;
  if (isWhole(query)) return key;
  const item = below.query.items[key];
  const name = item?.alias === '' ? item.defaultName : item?.alias;
  if (name === undefined || below.isRenamed) return null;
  const at = query.items.findIndex(
    ({ expression }) => expression.kind === 'column' && expression.path.at(-1)?.toLowerCase() === name.toLowerCase(),
  );
  return at < 0 ? null : at;
}

/** `SELECT *` of one source and nothing else. */
function isWhole(query: Query): boolean {
  if (query.kind !== 'select' || query.items.length !== 1) return false;
  const expression = query.items[0]?.expression;
  return (
    expression?.kind === 'star' && (expression.exclude ?? []).length === 0 && (expression.replace ?? []).length === 0
  );
}

function only(aggregated: readonly boolean[]): number | null {
  const keys = aggregated.flatMap((is, index) => (is ? [] : [index]));
  return keys.length === 1 ? (keys[0] ?? null) : null;
}

/** Which output a group key is: by its words or its number. An alias may be a column of the table as well: not known. */
function placeOf(items: readonly Syntax[], group: Syntax): number | null {
  if (group.kind === 'constant' && group.literal.kind === 'integer') return Number(group.literal.value) - 1;
  const words = wordsOf(group);
  const at = items.findIndex((item) => wordsOf(item) === words);
  return at < 0 ? null : at;
}

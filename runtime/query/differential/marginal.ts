import type { QueryContext } from '../catalogue.ts';
import type { RowScope } from '../rows.ts';
import type { Select, Syntax } from '../syntax.ts';
import type { BaseColumn, Typed } from '../typed.ts';
import type { Answer } from './answer.ts';

/** What a noisy answer says when it is how often each value of one column of a table stands there, and nothing else. */
export interface Marginal {
  readonly dataset: string;
  readonly table: string;
  readonly column: string;
  /** The values stand in this column of the answer, their counts in the other; null: one row, a count for each bin. */
  readonly key: number | null;
  /** Ends of the bins, ascending, one more than there are bins; null with `key`. */
  readonly ends: readonly number[] | null;
}

/**
 * Whether a compiled query is `SELECT column, count(*) FROM table GROUP BY column`, or `SELECT histogram(column) FROM table`,
 * however it is spelled. It is read off what the query was resolved to, so no alias or WITH can give a column another's name.
 * Null for everything that counts a part of the rows or leaves out a part of the keys.
 */
export function marginalOf(
  query: Select,
  of: {
    readonly context: QueryContext;
    readonly scope: RowScope;
    readonly groups: readonly Typed[];
    readonly answer: Answer;
    readonly resolveRow: (syntax: Syntax) => Typed;
  },
): Marginal | null {
  const { context, scope, groups, answer, resolveRow } = of;
  const [base, ...joined] = scope.bases;
  if (base === undefined || joined.length + scope.equalities.length + scope.predicates.length > 0) return null;
  const { table } = base;
  if (!context.tables.includes(table) || table.isPublic || table.brought === true || table.given === true) return null;
  if (answer.having !== null || answer.limit !== null || answer.offset > 0) return null;
  const [only, ...others] = answer.aggregates;
  if (only === undefined || others.length > 0) return null;
  const { aggregate } = only;
  const named = (typed: Typed | undefined): BaseColumn | null =>
    typed?.kind === 'column' && typed.base?.table === table ? typed.base : null;
  const about = (found: BaseColumn): Pick<Marginal, 'dataset' | 'table' | 'column'> => ({
    dataset: table.dataset,
    table: table.names[0] ?? '',
    column: found.column.name,
  });

  if (aggregate.kind === 'count' && aggregate.measure === null) {
    const column = named(groups[0]);
    const key = answer.outputs.findIndex((output) => 'key' in output);
    const isWhole = answer.outputs.length === 2 && answer.outputs.some((output) => 'aggregate' in output);
    if (column === null || groups.length > 1 || key < 0 || !isWhole) return null;
    return { ...about(column), key, ends: null };
  }
  const call = query.items[0]?.expression;
  if (aggregate.kind !== 'histogram' || groups.length > 0 || answer.outputs.length > 1) return null;
  if (call?.kind !== 'call' || call.filter !== null || call.args[0] === undefined) return null;
  const column = named(resolveRow(call.args[0]));
  return column === null ? null : { ...about(column), key: null, ends: endsOf(column, aggregate.bins.edges) };
}

/** Bins from the lowest value to the highest; where none are declared the outer bins are as wide as their neighbours. */
function endsOf({ column }: BaseColumn, edges: readonly number[]): readonly number[] {
  const bounds = column.grants.find((grant) => grant.bounds !== null)?.bounds ?? null;
  const [first = 0, second = first + 1] = edges;
  const [last = first, before = last - 1] = edges.toReversed();
  return [
    Math.min(first, bounds?.low ?? first - (second - first)),
    ...edges,
    Math.max(last, bounds?.high ?? last + (last - before)),
  ];
}

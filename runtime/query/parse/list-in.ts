import type { Query, Syntax } from '../syntax.ts';

/** Names under which DuckDB looks for a value in a list; `x IN ['a', 'b']` is read as one of them. */
const LOOKING: readonly string[] = ['contains', 'list_contains', 'array_contains', 'list_has', 'array_has'];

/**
 * `x IN ['a', 'b']` and `list_contains(['a', 'b'], x)` are `x IN ('a', 'b')`: what stands in the brackets, and null for
 * anything else. A list with NULL in it stays a list: it answers false where IN answers NULL.
 */
export function listLookedIn(name: string, args: readonly Syntax[]): readonly Syntax[] | null {
  const [within, value, ...others] = args;
  if (!LOOKING.includes(name) || value === undefined || others.length > 0) return null;
  const options = valuesOf(within, isConstant);
  return options === null ? null : [value, ...options];
}

/** `x = ANY (['a', 'b'])`, which the parser writes as a sub-query that unnests the list, is `x IN ('a', 'b')`. */
export function listUnnested(query: Query): readonly Syntax[] | null {
  if (query.kind !== 'select' || query.from.kind !== 'none') return null;
  const [item, ...others] = query.items;
  if (item?.expression.kind !== 'call' || item.expression.name !== 'unnest' || others.length > 0) return null;
  // Whoever writes the sub-query out can add these; the parser adds none.
  const isBare =
    [query.where, query.having, query.qualify, query.limit, query.offset, item.expression.filter].every(
      (one) => one === null,
    ) && [query.groups, query.orders, query.commonTables].every(({ length }) => length === 0);
  return isBare && item.expression.args.length === 1 ? valuesOf(item.expression.args[0], isGiven) : null;
}

function valuesOf(list: Syntax | undefined, test: (one: Syntax) => boolean): readonly Syntax[] | null {
  if (list?.kind !== 'call' || list.name !== 'list_value' || list.args.length === 0) return null;
  return list.args.every(test) ? list.args : null;
}

/** A parameter may be NULL: `= ANY` answers NULL then, as IN does. */
function isGiven(one: Syntax): boolean {
  return one.kind === 'cast' ? !one.isTry && isGiven(one.arg) : one.kind === 'parameter' || isConstant(one);
}

function isConstant(one: Syntax): boolean {
  if (one.kind === 'cast') return !one.isTry && isConstant(one.arg);
  if (one.kind === 'call' && one.name === '-') return one.args.length === 1 && one.args.every(isConstant);
  return one.kind === 'constant' && one.literal.kind !== 'null';
}

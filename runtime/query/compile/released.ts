import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import type { Select, SelectItem, Syntax } from '../syntax.ts';
import { releasedColumn, type Typed } from '../typed.ts';
import { TEXT } from '../types.ts';
import { condition, expandStars, itemName } from './select.ts';
import { releasedAggregate, releasedWindow } from './released-calls.ts';
import { printReleased } from './semi-join.ts';
import { type From, lookup, tryLookup } from './sources.ts';
import type { Certificate, ReleasedRelation, Scope, State } from './state.ts';
import { type Named, finish } from './print-select.ts';
import { hasAggregate, isAggregateCall } from './aggregate-calls.ts';
import { subqueryOverReleased } from './sub-query.ts';
import { asReleased } from './joins.ts';
import { isUniqueIn } from '../differential/fan-out.ts';

/**
 * SELECT over values that were released already or are public. Nothing is protected here any more: whatever is computed
 * could be computed by the consumer from the answer (post-processing).
 */
export function compileReleased(
  state: State,
  select: Select,
  scope: Scope,
  from: From,
  given?: readonly Named[],
): ReleasedRelation {
  const items = given === undefined ? expandStars(select.items, from) : select.items;
  const base = releasedSight(state, scope, from, items);
  const grouped =
    select.groups.length > 0 ||
    select.groupAll ||
    items.some((item) => hasAggregate(item.expression)) ||
    (select.having !== null && hasAggregate(select.having));
  const links = [...from.scope.equalities.map((one) => one.expression), ...from.scope.predicates];
  const where = [...links, ...(select.where === null ? [] : [condition(resolve(select.where, base))])];
  const keys = grouped ? groupKeys(select, items).map((key) => resolve(key, base)) : [];
  const whole = grouped ? groupedSight(base, keys) : base;
  // The engine takes no aggregate inside TRY, so calculations of several stand outside of a sub-query that makes them.
  const apart = grouped && given === undefined && calculates(select, items, whole) ? apartFrom(state, keys) : null;
  const sight = apart === null ? whole : groupedSight(base, keys, apart);
  const outputs = items.map((item, index) => {
    const typed = given === undefined ? resolve(item.expression, sight) : null;
    const named = given?.[index];
    const shown = item.expression.kind === 'column' ? tryLookup(from, item.expression.path, item.expression.at) : null;
    const { noisy } = named ?? shown ?? {};
    return {
      name: itemName(item, from),
      type: named?.type ?? typed?.type ?? ({ kind: 'text' } as const),
      role: named?.role ?? shown?.role ?? ('derived' as const),
      ...(noisy === undefined ? {} : { noisy }),
      ...(typed?.kind === 'constant' && typed.type === null ? { isUntyped: true } : {}),
      sql: named?.sql ?? printTyped(typed ?? keys[0] ?? refuse('wrong-arguments', 'empty output')),
    };
  });
  const plainKey = grouped || select.distinct ? keyAsItStands(select, items, keys, base) : keyOfOne(from, items, base);
  const certificates = combine(from.released.flatMap((source) => source.certificates)).map((one) => ({
    ...one,
    sql: grouped
      ? `coalesce(min(${one.sql}), ${state.terms.minUnits})`
      : `coalesce(${one.sql}, ${state.terms.minUnits})`,
  }));
  const having = select.having === null ? [] : [printTyped(condition(resolve(select.having, sight)))];
  const groups = groupsOf(select, keys.map(printTyped));
  if (apart === null)
    return {
      ...finish({
        select,
        items,
        outputs,
        certificates,
        sight,
        from: printFrom(from),
        where: where.map(printTyped),
        groups,
        having,
      }),
      ...plainKey,
    };
  // Aggregates that only these clauses name must be made as well.
  for (const { expression } of select.orders) if (expression.kind !== 'constant') resolve(expression, sight);
  for (const on of select.distinctOn ?? []) if (on.kind !== 'constant') resolve(on, sight);
  if (select.qualify !== null) resolve(select.qualify, sight);
  const made = [
    ...keys.map((key, i) => `${printTyped(key)} AS g${i}`),
    ...apart.made.map((sql, i) => `${sql} AS m${i}`),
    ...certificates.map(({ sql }, i) => `${sql} AS c${i}`),
  ];
  const kept = where.length === 0 ? '' : ` WHERE ${where.map(printTyped).join(' AND ')}`;
  const by = groups.length === 0 ? '' : ` GROUP BY ${groups.join(', ')}`;
  const parts = {
    select,
    items,
    outputs,
    certificates: certificates.map((one, i) => ({ ...one, sql: `${apart.alias}.c${i}` })),
    sight,
    from: ` FROM (SELECT ${made.join(', ')}${printFrom(from)}${kept}${by}) AS ${apart.alias}`,
    where: having,
    groups: [],
    having: [],
  };
  return { ...finish(parts), ...plainKey };
}

/** The output that shows the column of which the one table in FROM has each value once, as it stands. */
function keyOfOne(from: From, items: readonly SelectItem[], sight: Sight): Pick<ReleasedRelation, 'oneRowFor'> {
  const [base, ...others] = from.scope.bases;
  if (base === undefined || others.length + from.released.length > 0) return {};
  const index = items.findIndex(({ expression }) => {
    const shown = expression.kind === 'column' ? resolve(expression, sight) : null;
    return shown?.kind === 'column' && shown.base !== null && isUniqueIn(from.scope, base, shown.base.column.name);
  });
  return index === -1 ? {} : { oneRowFor: index };
}

/** The output that shows the one column by which is grouped, or which DISTINCT leaves, as it stands. */
function keyAsItStands(
  select: Select,
  items: readonly SelectItem[],
  keys: readonly Typed[],
  sight: Sight,
): Pick<ReleasedRelation, 'oneRowFor'> {
  const shown = items.map(({ expression }) => (expression.kind === 'column' ? resolve(expression, sight) : null));
  const [key] = keys.length > 0 ? keys : select.distinct && select.distinctOn === undefined ? shown : [];
  const isOne = keys.length === 1 || (keys.length === 0 && items.length === 1);
  if (!isOne || select.groupSets.length > 1 || key?.kind !== 'column' || key.base === null) return {};
  if (key.base.table.isDerived === true && key.base.column.facts === undefined) return {};
  const index = shown.findIndex((one) => one !== null && printTyped(one) === printTyped(key));
  return index === -1 ? {} : { oneRowFor: index };
}

/** Where keys and aggregates are made ahead of the SELECT that calculates with them. */
interface Apart {
  readonly alias: string;
  /** The aggregates, as printed. */
  readonly made: string[];
  readonly key: (key: Typed) => Typed;
  readonly aggregate: (made: Typed) => Typed;
}

function apartFrom(state: State, keys: readonly Typed[]): Apart {
  const alias = `x${state.nextRelation++}`;
  const made: string[] = [];
  const column = (of: Typed, name: string): Typed => {
    const digits = of.kind === 'column' || of.kind === 'call' ? of.digits : null;
    return releasedColumn(`${alias}.${name}`, of.type ?? TEXT, of.at, digits);
  };
  return {
    alias,
    made,
    key: (key) => column(key, `g${keys.findIndex((one) => printTyped(one) === printTyped(key))}`),
    aggregate: (one) => {
      const sql = printTyped(one);
      const known = made.indexOf(sql);
      return column(one, `m${known === -1 ? made.push(sql) - 1 : known}`);
    },
  };
}

/** Whether what is put out, asked or ordered by holds an aggregate inside TRY. */
function calculates(select: Select, items: readonly SelectItem[], sight: Sight): boolean {
  const orders = [...select.orders.map(({ expression }) => expression), ...(select.distinctOn ?? [])];
  const all = [...items.map(({ expression }) => expression), ...orders, select.having, select.qualify];
  return all.some(
    (one) =>
      one !== null && one.kind !== 'constant' && hasAggregate(one) && /\bTRY\(/.test(printTyped(resolve(one, sight))),
  );
}

/** GROUP BY terms; over released values the engine's own grouping sets will do. */
function groupsOf(select: Select, keys: readonly string[]): readonly string[] {
  if (select.groupSets.length < 2) return keys;
  const sets = select.groupSets.map((set) => `(${set.flatMap((one) => keys.slice(one, one + 1)).join(', ')})`);
  return [`GROUPING SETS (${sets.join(', ')})`];
}

function printFrom(from: From): string {
  const sources = asReleased(from);
  return sources.length === 0
    ? ''
    : ` ${printReleased({ ...from, scope: { ...from.scope, equalities: [], predicates: [] } })}`;
}

/** One certificate per domain: the weaker one where a join brings two. */
function combine(certificates: readonly Certificate[]): Certificate[] {
  const found = new Map<string, string[]>();
  for (const { domain, sql } of certificates) found.set(domain, [...(found.get(domain) ?? []), sql]);
  return [...found].map(([domain, parts]) => ({
    domain,
    sql: parts.length === 1 ? (parts[0] ?? '') : `least(${parts.join(', ')})`,
  }));
}

/** GROUP BY terms: expressions, output positions, output names, or ALL. */
export function groupKeys(select: Select, items: readonly SelectItem[]): readonly Syntax[] {
  if (select.groupAll) return items.filter((item) => !hasAggregate(item.expression)).map((item) => item.expression);
  return select.groups.map((group) => {
    if (group.kind !== 'constant') return group;
    const number = constantValue(group.literal);
    const item = number === null ? undefined : items[number - 1];
    return item?.expression ?? refuse('wrong-arguments', 'GROUP BY names a column that is not there', group.at);
  });
}

function releasedSight(state: State, scope: Scope, from: From, items: readonly SelectItem[]): Sight {
  const pending = new Set<string>();
  const sight: Sight = {
    over: 'released',
    parameters: state.context.parameters,
    intercept: () => null,
    column: (path, at) => {
      const found = tryLookup(from, path, at);
      if (found !== null) return found.expression;
      return viaAlias(items, path, pending, sight) ?? lookup(from, path, at);
    },
    special: (syntax) => {
      if (isAggregateCall(syntax))
        refuse('aggregate-misplaced', `the aggregate \`${syntax.name}\` cannot stand here`, syntax.at);
      return null;
    },
    window: (window, at) => releasedWindow(window, sight, at),
    subquery: (syntax) => subqueryOverReleased(state, scope, syntax, sight),
  };
  return sight;
}

/** A name of the select list used in another clause. */
export function viaAlias(
  items: readonly SelectItem[],
  path: readonly string[],
  pending: Set<string>,
  sight: Sight,
): Typed | null {
  const [name = ''] = path;
  const item = path.length === 1 ? items.find((one) => one.alias.toLowerCase() === name.toLowerCase()) : undefined;
  if (item === undefined || pending.has(name.toLowerCase())) return null;
  pending.add(name.toLowerCase());
  try {
    return resolve(item.expression, sight);
  } finally {
    pending.delete(name.toLowerCase());
  }
}

/** Refuses a column that no row of the answer has one value of. */
export function refuseUngrouped(path: readonly string[], at: Place): never {
  return refuse(
    'column-not-grouped',
    `\`${printable(path.join('.'))}\` is neither a group key nor aggregated`,
    at,
    'add it to GROUP BY if the policy grants `group`, or aggregate it; a condition on rows stands in WHERE',
  );
}

function groupedSight(base: Sight, keys: readonly Typed[], apart: Apart | null = null): Sight {
  const printed = new Map(keys.map((key) => [printTyped(key), apart === null ? key : apart.key(key)]));
  const sight: Sight = {
    ...base,
    intercept: (syntax) => {
      if (syntax.kind === 'subquery' || syntax.kind === 'window' || syntax.kind === 'constant' || hasAggregate(syntax))
        return null;
      const key = printed.get(printTyped(resolve(syntax, base)));
      return key ?? null;
    },
    column: (path, at) => {
      const typed = base.column(path, at);
      return (
        printed.get(printTyped(typed)) ??
        (typed.kind === 'column'
          ? refuse('column-not-grouped', `\`${printable(path.join('.'))}\` is neither a group key nor aggregated`, at)
          : typed)
      );
    },
    special: (syntax) => {
      if (syntax.name === 'grouping')
        refuse(
          'function-not-allowed',
          '`grouping` over released values is not offered',
          syntax.at,
          'test the keys for NULL',
        );
      if (!isAggregateCall(syntax)) return null;
      const made = releasedAggregate(syntax, base);
      return apart === null ? made : apart.aggregate(made);
    },
    window: (window, at) => releasedWindow(window, sight, at),
  };
  return sight;
}

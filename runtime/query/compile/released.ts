import type { SqlType } from '../catalogue.ts';
import { RELEASED_AGGREGATES } from '../functions.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import type { OrderItem, Select, SelectItem, Syntax, WindowSyntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { BIGINT, BOOLEAN, DOUBLE, familyOf, HUGEINT } from '../types.ts';
import { condition, expandStars, hasAggregate, isAggregateCall, itemName, subqueryOverReleased } from './select.ts';
import { asReleased, type From, lookup, printConditions, tryLookup } from './sources.ts';
import type { Certificate, ReleasedRelation, Role, Scope, State } from './state.ts';

interface Named {
  readonly name: string;
  readonly sql: string;
  readonly type: SqlType;
  readonly role: Role;
}

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
  const sight = grouped ? groupedSight(base, keys) : base;
  const outputs = items.map((item, index) => {
    const typed = given === undefined ? resolve(item.expression, sight) : null;
    const named = given?.[index];
    return {
      name: itemName(item, from),
      type: named?.type ?? typed?.type ?? ({ kind: 'text' } as const),
      role: named?.role ?? roleOf(from, item.expression),
      sql: named?.sql ?? printTyped(typed ?? keys[0] ?? refuse('wrong-arguments', 'empty output')),
    };
  });
  const certificates = combine(from.released.flatMap((source) => source.certificates)).map((one) => ({
    ...one,
    sql: grouped
      ? `coalesce(min(${one.sql}), ${state.terms.minUnits})`
      : `coalesce(${one.sql}, ${state.terms.minUnits})`,
  }));
  return finish({
    select,
    items,
    outputs,
    certificates,
    sight,
    from: printFrom(from),
    where: where.map(printTyped),
    groups: groupsOf(select, keys.map(printTyped)),
    having: select.having === null ? [] : [printTyped(condition(resolve(select.having, sight)))],
  });
}

/** GROUP BY terms; over released values the engine's own grouping sets will do. */
function groupsOf(select: Select, keys: readonly string[]): readonly string[] {
  if (select.groupSets.length < 2) return keys;
  const sets = select.groupSets.map((set) => `(${set.flatMap((one) => keys.slice(one, one + 1)).join(', ')})`);
  return [`GROUPING SETS (${sets.join(', ')})`];
}

export interface Parts {
  readonly select: Select;
  readonly items: readonly SelectItem[];
  readonly outputs: readonly Named[];
  readonly certificates: readonly Certificate[];
  readonly sight: Sight;
  readonly from: string;
  readonly where: readonly string[];
  readonly groups: readonly string[];
  readonly having: readonly string[];
}

/** Prints the SELECT: outputs as o0, o1, …, certificates as c0, …, then DISTINCT, QUALIFY, ORDER BY, LIMIT. */
export function finish(parts: Parts): ReleasedRelation {
  const { select, outputs, certificates, sight } = parts;
  const columns = [
    ...outputs.map((one, i) => `${one.sql} AS o${i}`),
    ...certificates.map((one, i) => `${one.sql} AS c${i}`),
  ];
  const clauses = [
    parts.where.length === 0 ? '' : ` WHERE ${parts.where.join(' AND ')}`,
    parts.groups.length === 0 ? '' : ` GROUP BY ${parts.groups.join(', ')}`,
    parts.having.length === 0 ? '' : ` HAVING ${parts.having.join(' AND ')}`,
    select.qualify === null ? '' : ` QUALIFY ${printTyped(condition(resolve(select.qualify, sight)))}`,
  ].join('');
  const orders =
    select.orderAll === null
      ? select.orders.map((one) => orderBy(one, parts))
      : outputs.map((_, i) => `${i + 1}${direction(select.orderAll)}`);
  const positions = outputs.map((_, i) => `o${i}`);
  // INVARIANT: rows that the consumer's ORDER BY leaves equal are put in the order of what they show. The engine's own
  // order tells in which order groups were met first, and LIMIT and windows would pass that on.
  const picks = select.limit !== null || select.offset !== null;
  const ties = orders.length > 0 || picks ? outputs.map((_, i) => `${i + 1}`) : [];
  const tail = orderClause([...orders, ...ties]) + limit(select, sight);
  const inner = `SELECT ${columns.join(', ')}${parts.from}${clauses}`;
  const domains = certificates.map((one) => one.domain);
  const named = outputs.map(({ name, type, role }) => ({ name, type, role }));
  if (!select.distinct) return { kind: 'released', select: `${inner}${tail}`, columns: named, domains };
  // DISTINCT over the outputs alone; equal rows are certified by the weakest of them.
  const merged = certificates.map((_, i) => `min(c${i}) AS c${i}`);
  const sorted = select.orderAll === null ? select.orders.map((one) => orderByOutput(one, parts)) : orders;
  const order = orderClause(sorted.length > 0 || picks ? [...sorted, ...positions] : []);
  return {
    kind: 'released',
    select: `SELECT ${[...positions, ...merged].join(', ')} FROM (${inner}) GROUP BY ${positions.join(', ')}${order}${limit(select, sight)}`,
    columns: named,
    domains,
  };
}

function orderClause(terms: readonly string[]): string {
  return terms.length === 0 ? '' : ` ORDER BY ${[...new Set(terms)].join(', ')}`;
}

function orderBy(item: OrderItem, parts: Parts): string {
  const position = outputPosition(item.expression, parts);
  return `${position === null ? printTyped(resolve(item.expression, parts.sight)) : `${position + 1}`}${direction(item)}`;
}

function orderByOutput(item: OrderItem, parts: Parts): string {
  const position = outputPosition(item.expression, parts);
  if (position === null)
    refuse('wrong-arguments', 'ORDER BY after DISTINCT must name an output column', item.expression.at);
  return `o${position}${direction(item)}`;
}

/** ORDER BY 2, ORDER BY alias, or the same expression as an output. */
function outputPosition(syntax: Syntax, { items, outputs, sight }: Parts): number | null {
  if (syntax.kind === 'constant') {
    const number = constantValue(syntax.literal);
    if (number === null || !Number.isInteger(number) || number < 1 || number > items.length) {
      refuse('wrong-arguments', 'ORDER BY names a column that is not there', syntax.at);
    }
    return number - 1;
  }
  if (syntax.kind === 'column' && syntax.path.length === 1) {
    const name = syntax.path[0]?.toLowerCase();
    const index = outputs.findIndex((one) => one.name.toLowerCase() === name);
    if (index >= 0) return index;
  }
  const printed = printTyped(resolve(syntax, sight));
  const index = outputs.findIndex((one) => one.sql === printed);
  return index >= 0 ? index : null;
}

function direction(item: OrderItem | null): string {
  if (item === null) return '';
  return `${item.descending ? ' DESC' : ' ASC'}${item.nulls === null ? '' : item.nulls === 'first' ? ' NULLS FIRST' : ' NULLS LAST'}`;
}

function limit(select: Select, sight: Sight): string {
  const count = (syntax: Syntax | null, word: string): string => {
    if (syntax === null) return '';
    const typed = resolve(syntax, sight);
    const value = typed.kind === 'constant' && typed.literal.kind === 'integer' ? typed.literal.value : null;
    if (value === null || value < 0n || value > 1_000_000_000n)
      refuse('wrong-arguments', `${word} must be a whole constant`, syntax.at);
    return ` ${word} ${value}`;
  };
  return count(select.limit, 'LIMIT') + count(select.offset, 'OFFSET');
}

function printFrom(from: From): string {
  const sources = asReleased(from);
  if (sources.length === 0) return '';
  const pieces = sources.map((source, index) => {
    if (index === 0) return source.from;
    return source.leftOn === null
      ? ` CROSS JOIN ${source.from}`
      : ` LEFT JOIN ${source.from} ON (${printConditions(source.leftOn)})`;
  });
  return ` FROM ${pieces.join('')}`;
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

function roleOf(from: From, syntax: Syntax): Role {
  return syntax.kind === 'column' ? (tryLookup(from, syntax.path, syntax.at)?.role ?? 'derived') : 'derived';
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
    subquery: (syntax) => subqueryOverReleased(state, scope, syntax),
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

function groupedSight(base: Sight, keys: readonly Typed[]): Sight {
  const printed = new Map(keys.map((key) => [printTyped(key), key]));
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
      return isAggregateCall(syntax) ? releasedAggregate(syntax, base) : null;
    },
    window: (window, at) => releasedWindow(window, sight, at),
  };
  return sight;
}

/** count, sum, quantile, … of released values: free post-processing. */
function releasedAggregate(syntax: Syntax & { kind: 'call' }, base: Sight): Typed {
  const { name, at } = syntax;
  if (!RELEASED_AGGREGATES.includes(name))
    refuse('function-not-allowed', `the aggregate \`${printable(name)}\` is not offered`, at);
  const args = syntax.args.map((arg) => resolve(arg, base));
  const filter = syntax.filter === null ? '' : ` FILTER (WHERE ${printTyped(condition(resolve(syntax.filter, base)))})`;
  return aggregateCall(name, args, syntax.distinct, filter, at);
}

const QUANTILES: readonly string[] = ['quantile', 'quantile_cont', 'quantile_disc', 'approx_quantile'];

function aggregateCall(name: string, args: readonly Typed[], distinct: boolean, filter: string, at: Place): Typed {
  const done = (type: SqlType, sql: string): Typed => ({
    kind: 'call',
    name,
    args,
    type,
    digits: null,
    sql: `${sql}${filter}`,
    at,
  });
  const [arg] = args;
  if (name === 'count_star') return done(BIGINT, 'count(*)');
  if (arg === undefined || arg.type === null) refuse('wrong-arguments', `\`${name}\` needs a value`, at);
  const sql = printTyped(arg);
  const family = familyOf(arg.type);
  if (name === 'count') return done(BIGINT, `count(${distinct ? 'DISTINCT ' : ''}${sql})`);
  if (name === 'min' || name === 'max') return done(arg.type, `${name}(${sql})`);
  if (name === 'bool_and' || name === 'bool_or') {
    if (family !== 'boolean') refuse('type-mismatch', `\`${name}\` needs a condition`, at);
    return done(BOOLEAN, `${name}(${sql})`);
  }
  if (family !== 'number' || distinct) refuse('type-mismatch', `\`${name}\` needs a number`, at);
  if (name === 'sum') {
    if (arg.type.kind === 'integer') return done(HUGEINT, `sum(${sql})`);
    return arg.type.kind === 'decimal'
      ? done({ kind: 'decimal', width: 38, scale: arg.type.scale }, `sum(${sql})`)
      : done(DOUBLE, `fsum(${sql})`);
  }
  const real = `CAST(${sql} AS DOUBLE)`;
  if (QUANTILES.includes(name)) {
    const second = args[1];
    const q = second?.kind === 'constant' ? constantValue(second.literal) : null;
    if (q === null || q < 0 || q > 1) refuse('wrong-arguments', 'a quantile needs a constant between 0 and 1', at);
    const isCont = name === 'quantile_cont' || name === 'approx_quantile';
    return done(DOUBLE, `quantile_${isCont ? 'cont' : 'disc'}(${real}, ${q})`);
  }
  return done(DOUBLE, `${name === 'mean' ? 'avg' : name}(${real})`);
}

const RANKINGS: readonly string[] = ['row_number', 'rank', 'dense_rank', 'rank_dense', 'percent_rank', 'cume_dist'];

/** A window over released values. */
export function releasedWindow(window: WindowSyntax, sight: Sight, at: Place): Typed {
  const args = window.args.map((arg) => resolve(arg, sight));
  const partitions = window.partitions.map((one) => printTyped(resolve(one, sight)));
  const orders = window.orders.map((one) => `${printTyped(resolve(one.expression, sight))}${direction(one)}`);
  const amount = (syntax: Syntax | null): string => {
    if (syntax === null) return '';
    const typed = resolve(syntax, sight);
    if (typed.kind !== 'constant' || typed.literal.kind !== 'integer')
      refuse('wrong-arguments', 'a window frame needs whole constants', at);
    return `${typed.literal.value} `;
  };
  const frame =
    window.frame === null || window.name === 'row_number'
      ? ''
      : ` ${window.frame.unit} BETWEEN ${amount(window.startOffset)}${window.frame.start} AND ${amount(window.endOffset)}${window.frame.end}`;
  const over = ` OVER (${[partitions.length === 0 ? '' : `PARTITION BY ${partitions.join(', ')}`, orders.length === 0 ? '' : `ORDER BY ${orders.join(', ')}`].filter(Boolean).join(' ')}`;
  const done = (type: SqlType, call: string, hasFrame: boolean): Typed => ({
    kind: 'call',
    name: `window ${window.name}`,
    args,
    type,
    digits: null,
    sql: `${call}${over}${hasFrame ? frame : ''})`,
    at,
  });
  const [arg] = args;
  if (RANKINGS.includes(window.name)) {
    const isShare = window.name === 'percent_rank' || window.name === 'cume_dist';
    return done(isShare ? DOUBLE : BIGINT, `${window.name === 'rank_dense' ? 'dense_rank' : window.name}()`, false);
  }
  if (window.name === 'ntile') return done(BIGINT, `ntile(${amount(window.args[0] ?? null).trim()})`, false);
  if (window.name === 'lag' || window.name === 'lead') {
    if (arg?.type === undefined || arg.type === null) refuse('wrong-arguments', `\`${window.name}\` needs a value`, at);
    const offset = window.offset === null ? '1' : amount(window.offset).trim();
    const fallback = window.fallback === null ? '' : `, ${printTyped(resolve(window.fallback, sight))}`;
    return done(arg.type, `${window.name}(${printTyped(arg)}, ${offset}${fallback})`, false);
  }
  if (
    window.name === 'first_value' ||
    window.name === 'last_value' ||
    window.name === 'first' ||
    window.name === 'last'
  ) {
    if (arg?.type === undefined || arg.type === null) refuse('wrong-arguments', `\`${window.name}\` needs a value`, at);
    return done(
      arg.type,
      `${window.name.startsWith('first') ? 'first_value' : 'last_value'}(${printTyped(arg)})`,
      true,
    );
  }
  if (!RELEASED_AGGREGATES.includes(window.name))
    refuse('function-not-allowed', `the window function \`${printable(window.name)}\` is not offered`, at);
  const call = aggregateCall(window.name, args, false, '', at);
  return done(call.type ?? DOUBLE, printTyped(call), true);
}

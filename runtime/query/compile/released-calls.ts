import { BIGINT, BOOLEAN, DOUBLE, familyOf, HUGEINT, type SqlType, TEXT } from '../types.ts';
import { PAIRS, RELEASED_AGGREGATES } from '../functions.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import type { Syntax, WindowSyntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { condition } from './select.ts';
import { direction } from './print-select.ts';

/** count, sum, quantile, … of released values: free post-processing. */
export function releasedAggregate(syntax: Syntax & { kind: 'call' }, base: Sight): Typed {
  const { name, at } = syntax;
  if (!RELEASED_AGGREGATES.includes(name))
    refuse('function-not-allowed', `the aggregate \`${printable(name)}\` is not offered`, at, INSTEAD[name] ?? null);
  const args = syntax.args.map((arg) => resolve(arg, base));
  const filter = syntax.filter === null ? '' : ` FILTER (WHERE ${printTyped(condition(resolve(syntax.filter, base)))})`;
  if (JOINING.includes(name)) return joinedText(syntax, args, filter, base);
  if (name === 'first' || name === 'last' || name === 'mode') return oneOf(syntax, args, filter, base);
  return aggregateCall(name, args, syntax.distinct, filter, at);
}

const JOINED = "string_agg(x, ', ' ORDER BY x) puts them into one text";
const INSTEAD: Readonly<Record<string, string>> = {
  list: JOINED,
  array_agg: JOINED,
  histogram: 'count(*) with GROUP BY floor(x / width)',
  arbitrary: 'any_value(x)',
};

const JOINING: readonly string[] = ['string_agg', 'group_concat', 'listagg'];

/** Texts of several rows as one, in the written order; without one, and where it leaves rows equal, in that of the texts. */
function joinedText(
  { name, distinct, orders = [], at }: Syntax & { kind: 'call' },
  args: readonly Typed[],
  filter: string,
  base: Sight,
): Typed {
  const [value, separator] = args;
  const by = separator === undefined ? "','" : printTyped(separator);
  const isConstant = separator === undefined || (separator.kind === 'constant' && separator.literal.kind === 'text');
  if (value === undefined || args.length > 2 || !isConstant)
    refuse('wrong-arguments', `\`${name}\` takes a value and a constant text to stand between`, at);
  const text = `CAST(${printTyped(value)} AS VARCHAR)`;
  if (distinct && orders.length > 0) refuse('wrong-arguments', `\`${name}(DISTINCT …)\` sorts by its own values`, at);
  const order = [...orders.map((one) => `${printTyped(resolve(one.expression, base))}${direction(one)}`), text];
  const sql = `string_agg(${distinct ? 'DISTINCT ' : ''}${text}, ${by} ORDER BY ${order.join(', ')})${filter}`;
  return { kind: 'call', name, args, type: TEXT, digits: null, sql, at };
}

/** The first or last value in an order, or the most frequent one: of equal ones the least, in whatever order they are met. */
function oneOf(
  { name, distinct, orders = [], at }: Syntax & { kind: 'call' },
  args: readonly Typed[],
  filter: string,
  base: Sight,
): Typed {
  const [value] = args;
  if (value?.type == null || args.length > 1 || distinct) refuse('wrong-arguments', `\`${name}\` takes one value`, at);
  if (name !== 'mode' && orders.length === 0)
    refuse('wrong-arguments', `\`${name}\` needs an order`, at, `${name}(x ORDER BY y)`);
  const own = printTyped(value);
  const by = orders.map((one) => `${printTyped(resolve(one.expression, base))}${direction(one)}`);
  const sql = `${name}(${own} ORDER BY ${[...by, own].join(', ')})${filter}`;
  return { kind: 'call', name, args, type: value.type, digits: null, sql, at };
}

const BITS: readonly string[] = ['bit_and', 'bit_or', 'bit_xor'];
const EXTREMES: Readonly<Record<string, string>> = {
  arg_max: 'arg_max',
  max_by: 'arg_max',
  arg_min: 'arg_min',
  min_by: 'arg_min',
};

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
  if (name === 'approx_count_distinct') return done(BIGINT, `count(DISTINCT ${sql})`);
  if (name === 'entropy') return done(DOUBLE, `entropy(${sql})`);
  if (name === 'min' || name === 'max') return done(arg.type, `${name}(${sql})`);
  if (name === 'bool_and' || name === 'bool_or') {
    if (family !== 'boolean') refuse('type-mismatch', `\`${name}\` needs a condition`, at);
    return done(BOOLEAN, `${name}(${sql})`);
  }
  if (name === 'any_value') return done(arg.type, `min(${sql})`);
  const second = args[1];
  if (Object.hasOwn(EXTREMES, name)) {
    if (second === undefined || args.length > 2) refuse('wrong-arguments', `\`${name}\` takes two values`, at);
    // Of several rows at the extreme the one with the extreme value: the engine's choice would tell how groups were met.
    const [of, by] = [sql, printTyped(second)];
    const known = filter === '' ? ' FILTER (WHERE ' : ' AND ';
    const call = `${EXTREMES[name]}(${of}, row(${by}, ${of}))${filter.replace(/\)$/, '')}${known}${of} IS NOT NULL AND ${by} IS NOT NULL)`;
    return { kind: 'call', name, args, type: arg.type, digits: null, sql: call, at };
  }
  if (name === 'sum' && family === 'boolean' && !distinct) return done(HUGEINT, `sum(CAST(${sql} AS INTEGER))`);
  if (family !== 'number' || distinct) refuse('type-mismatch', `\`${name}\` needs a number`, at);
  if (BITS.includes(name)) {
    if (arg.type.kind !== 'integer') refuse('type-mismatch', `\`${name}\` needs whole numbers`, at);
    return done(arg.type, `${name}(${sql})`);
  }
  if (PAIRS.includes(name)) {
    if (second?.type == null || familyOf(second.type) !== 'number')
      refuse('type-mismatch', `\`${name}\` needs two numbers`, at);
    const pair = `${name}(CAST(${sql} AS DOUBLE), CAST(${printTyped(second)} AS DOUBLE))`;
    return name === 'regr_count' ? done(BIGINT, `CAST(${pair} AS BIGINT)`) : done(DOUBLE, pair);
  }
  if (name === 'sum') {
    if (arg.type.kind === 'integer') return done(HUGEINT, `sum(${sql})`);
    return arg.type.kind === 'decimal'
      ? done({ kind: 'decimal', width: 38, scale: arg.type.scale }, `sum(${sql})`)
      : done(DOUBLE, `fsum(${sql})`);
  }
  const real = `CAST(${sql} AS DOUBLE)`;
  if (QUANTILES.includes(name)) {
    const q = second?.kind === 'constant' ? constantValue(second.literal) : null;
    if (q === null || q < 0 || q > 1) refuse('wrong-arguments', 'a quantile needs a constant between 0 and 1', at);
    const isCont = name === 'quantile_cont' || name === 'approx_quantile';
    return done(DOUBLE, `quantile_${isCont ? 'cont' : 'disc'}(${real}, ${q})`);
  }
  // A logarithm has no value at or below 0, and would fail.
  if (name === 'geomean' || name === 'geometric_mean')
    return done(DOUBLE, `exp(avg(ln(CASE WHEN ${real} > 0 THEN ${real} END)))`);
  return done(DOUBLE, `${name === 'mean' ? 'avg' : name}(${real})`);
}

/** Windows that show the value of some row. */
const VALUES_OF_ROWS: readonly string[] = ['lag', 'lead', 'first_value', 'last_value', 'nth_value', 'first', 'last'];
const RANKINGS: readonly string[] = ['row_number', 'rank', 'dense_rank', 'rank_dense', 'percent_rank', 'cume_dist'];

/** A window over released values. */
export function releasedWindow(window: WindowSyntax, sight: Sight, at: Place): Typed {
  const args = window.args.map((arg) => resolve(arg, sight));
  const partitions = window.partitions.map((one) => printTyped(resolve(one, sight)));
  const sorted = window.orders.map((one) => ({ by: resolve(one.expression, sight), direction: direction(one) }));
  const isAggregate = RELEASED_AGGREGATES.includes(window.name) && !VALUES_OF_ROWS.includes(window.name);
  if ((window.filter !== null || window.distinct) && !isAggregate)
    refuse('wrong-arguments', `\`${printable(window.name)}\` takes neither FILTER nor DISTINCT`, at);
  if (window.ignoresNulls && !VALUES_OF_ROWS.includes(window.name))
    refuse('wrong-arguments', `\`${printable(window.name)}\` does not take IGNORE NULLS`, at);
  const nulls = window.ignoresNulls ? ' IGNORE NULLS' : '';
  const amount = (syntax: Syntax | null): string => {
    if (syntax === null) return '';
    const typed = resolve(syntax, sight);
    if (typed.kind !== 'constant' || typed.literal.kind !== 'integer')
      refuse('wrong-arguments', 'a window frame needs whole constants', at);
    return `${typed.literal.value} `;
  };
  const [first, ...moreOrders] = sorted;
  /** How far a frame reaches: rows, or by RANGE what is added to the one number or date of ORDER BY. */
  const reach = (syntax: Syntax | null): string => {
    if (syntax === null || window.frame?.unit !== 'RANGE') return amount(syntax);
    const typed = resolve(syntax, sight);
    const wanted = first?.by.type == null || moreOrders.length > 0 ? null : familyOf(first.by.type);
    const isFit =
      typed.kind === 'constant' &&
      ((wanted === 'number' && typed.literal.kind === 'integer') ||
        (wanted === 'date' && typed.literal.kind === 'interval'));
    if (!isFit)
      refuse(
        'wrong-arguments',
        'a RANGE frame needs one ORDER BY of a number and a whole constant, or of a date and an INTERVAL',
        at,
      );
    return `${printTyped(typed)} `;
  };
  const frame =
    window.frame === null || window.name === 'row_number'
      ? ''
      : ` ${window.frame.unit} BETWEEN ${reach(window.startOffset)}${window.frame.start} AND ${reach(window.endOffset)}${window.frame.end}${window.frame.exclude}`;
  const orders = sorted.map((one) => `${printTyped(one.by)}${one.direction}`);
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
    return done(arg.type, `${window.name}(${printTyped(arg)}, ${offset}${fallback}${nulls})`, false);
  }
  if (window.name === 'nth_value') {
    if (arg?.type === undefined || arg.type === null) refuse('wrong-arguments', '`nth_value` needs a value', at);
    return done(arg.type, `nth_value(${printTyped(arg)}, ${amount(window.args[1] ?? null).trim()}${nulls})`, true);
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
      `${window.name.startsWith('first') ? 'first_value' : 'last_value'}(${printTyped(arg)}${nulls})`,
      true,
    );
  }
  if (!RELEASED_AGGREGATES.includes(window.name) || window.name === 'mode')
    refuse('function-not-allowed', `the window function \`${printable(window.name)}\` is not offered`, at);
  const filter =
    window.filter === null ? '' : ` FILTER (WHERE ${printTyped(condition(resolve(window.filter, sight)))})`;
  const call = aggregateCall(window.name, args, window.distinct, filter, at);
  return done(call.type ?? DOUBLE, printTyped(call), true);
}

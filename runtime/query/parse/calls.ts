import { refuse } from '../refusal.ts';
import type { OrderItem, Syntax } from '../syntax.ts';
import { checkShape, type Json, list, object, type Reading, text } from './node.ts';
import { readOrders } from './read.ts';
import * as shapes from './shapes.ts';

/** `count_if(c)` is `count(*) FILTER (WHERE c)`. */
export function countIf(node: Json, read: (one: unknown) => Syntax, at: Syntax['at']): Syntax | null {
  const name = text(node['function_name']).toLowerCase();
  if (name !== 'count_if' && name !== 'countif') return null;
  const [condition, ...others] = unordered(node, list(node['children']).map(read));
  if (condition === undefined || others.length > 0 || node['distinct'] === true)
    refuse('wrong-arguments', `\`${name}\` takes one condition`, at);
  const own = node['filter'] === null ? null : read(node['filter']);
  const filter: Syntax =
    own === null ? condition : { kind: 'call', name: 'and', args: [own, condition], distinct: false, filter: null, at };
  return { kind: 'call', name: 'count_star', args: [], distinct: false, filter, at };
}

/** Lists are no values here, in whatever order they are made. */
export function noList(name: string, at: Syntax['at']): void {
  if (name !== 'list' && name !== 'array_agg') return;
  refuse(
    'aggregate-not-allowed',
    `the aggregate \`${name}\` is not offered`,
    at,
    "group by the column: its values are the rows of the answer; of released values string_agg(x, ', ' ORDER BY n) makes one text",
  );
}

/** `(a, b) IN ((1, 2), (3, 4))` is `(a = 1 AND b = 2) OR (a = 3 AND b = 4)`. */
export function tupleIn(
  type: string,
  children: readonly Syntax[],
  call: (name: string, ...args: Syntax[]) => Syntax,
): Syntax | null {
  const [left, ...options] = children.map((one) => (one.kind === 'call' && one.name === 'row' ? one.args : null));
  if ((type !== 'COMPARE_IN' && type !== 'COMPARE_NOT_IN') || left === null || left === undefined) return null;
  const branches = options.map((option) => {
    if (option?.length !== left.length || left.length < 2)
      refuse('wrong-arguments', 'IN takes lists of one length', children[0]?.at ?? null);
    return call('and', ...left.map((one, index) => call('=', one, option[index] ?? one)));
  });
  const found = branches.length === 1 && branches[0] !== undefined ? branches[0] : call('or', ...branches);
  return type === 'COMPARE_IN' ? found : call('not', found);
}

/** ORDER BY inside an aggregate picks rows one by one: not offered. */
export function unordered(node: Json, args: Syntax[]): Syntax[] {
  checkShape(object(node['order_bys']), shapes.NO_ORDER, 'ORDER BY inside a function');
  return args;
}

/** Aggregates that join what they are given into one text, in an order. */
const JOINING: readonly string[] = ['string_agg', 'group_concat', 'listagg'];

/**
 * `quantile_cont(0.5) WITHIN GROUP (ORDER BY x)` is `quantile_cont(x, 0.5)`, and `mode()` likewise; `string_agg(x, ','
 * ORDER BY y)` keeps its order. null where no order is written or none is offered.
 */
export function withinGroup(
  call: { readonly name: string; readonly args: readonly Syntax[]; readonly orders: Json; readonly at: Syntax['at'] },
  reading: Reading,
): { readonly args: readonly Syntax[]; readonly orders?: readonly OrderItem[] } | null {
  const { name, args } = call;
  const orders = call.orders['orders'];
  if (!Array.isArray(orders) || orders.length === 0) return null;
  if (JOINING.includes(name) || name === 'first' || name === 'last') {
    checkShape(call.orders, shapes.INNER_ORDER, 'ORDER BY inside a function');
    return { args, orders: readOrders(orders, reading) };
  }
  const isQuantile = ['quantile_cont', 'quantile_disc'].includes(name) && args.length === 1;
  if (!isQuantile && !(name === 'mode' && args.length === 0)) return null;
  checkShape(call.orders, shapes.INNER_ORDER, 'WITHIN GROUP');
  const [order, ...others] = readOrders(orders, reading);
  if (order === undefined || others.length > 0) return null;
  return { args: [order.expression, ...args.map((one) => (order.descending ? fromAbove(one) : one))] };
}

/** The share that is left above a share. */
function fromAbove(share: Syntax): Syntax {
  if (share.kind !== 'constant') return share;
  const { literal } = share;
  if (literal.kind === 'integer') return { ...share, literal: { ...literal, value: 1n - literal.value } };
  if (literal.kind === 'decimal')
    return { ...share, literal: { ...literal, unscaled: 10n ** BigInt(literal.scale) - literal.unscaled } };
  return refuse('wrong-arguments', 'a quantile needs a constant between 0 and 1', share.at);
}

/** Arguments of `substring` for `text[from:to]`. */
export function slice([value, from, to, ...others]: readonly Syntax[]): Syntax[] {
  const number = (one: Syntax | undefined): number | null =>
    one?.kind === 'constant' && one.literal.kind === 'integer' ? Number(one.literal.value) : null;
  const [first, last] = [number(from), number(to)];
  if (value === undefined || others.length > 0 || first === null || last === null || first < 1 || last < first)
    refuse('wrong-arguments', 'a slice needs two constants, `text[from:to]`, from 1 on', value?.at ?? null);
  const constant = (amount: number): Syntax => ({
    kind: 'constant',
    literal: { kind: 'integer', value: BigInt(amount) },
    at: value.at,
  });
  return [value, constant(first), constant(last - first + 1)];
}

import type { Syntax } from '../syntax.ts';

type Call = Syntax & { readonly kind: 'call' };

/** Aggregates that add up what they are given. `count` asks only whether a value is there. */
const ADDING: ReadonlySet<string> = new Set(
  'sum avg mean variance var_samp var_pop stddev stddev_samp stddev_pop'.split(' '),
);

/**
 * `sum(abs(x))`, `avg(nullif(x, 0))` and `sum(greatest(x, 0))` as the CASE that each of them is, under the rights and
 * minima of one: which rows change their sign, or are left out or replaced, is a condition on the column.
 */
export function withCase(call: Call): Call {
  const [arg] = call.args;
  if (!ADDING.has(call.name) || call.args.length !== 1 || arg?.kind !== 'call' || arg.filter !== null || arg.distinct)
    return call;
  const found = asCase(arg);
  return found === null ? call : { ...call, args: [found] };
}

function asCase({ name, args, at }: Call): Syntax | null {
  const [x, by] = args;
  if (x === undefined) return null;
  const build = (operator: string, ...parts: Syntax[]): Syntax => ({
    kind: 'call',
    name: operator,
    args: parts,
    distinct: false,
    filter: null,
    at,
  });
  const either = (when: Syntax, value: Syntax, otherwise: Syntax): Syntax => ({
    kind: 'case',
    whens: [{ when, value }],
    otherwise,
    at,
  });
  const number = (value: bigint): Syntax => ({ kind: 'constant', literal: { kind: 'integer', value }, at });
  if (name === 'abs' && args.length === 1) return either(build('<', x, number(0n)), build('-', x), x);
  if (by === undefined || args.length !== 2) return null;
  if (name === 'nullif' && isConstant(by) && !isConstant(x))
    return either(build('=', x, by), { kind: 'constant', literal: { kind: 'null' }, at }, x);
  if (name !== 'greatest' && name !== 'least') return null;
  const [value, limit] = isConstant(by) ? [x, by] : [by, x];
  if (!isConstant(limit) || isConstant(value)) return null;
  // Both take no notice of NULL: the limit is what is left.
  const isBeyond = build(name === 'greatest' ? '<' : '>', value, limit);
  return either(build('or', build('is null', value), isBeyond), limit, value);
}

function isConstant(one: Syntax): boolean {
  if (one.kind === 'cast') return isConstant(one.arg);
  if (one.kind === 'call' && (one.name === '-' || one.name === '+')) return one.args.every(isConstant);
  return one.kind === 'constant' || one.kind === 'parameter';
}

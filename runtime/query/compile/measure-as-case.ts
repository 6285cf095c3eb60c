import { constantValue } from '../resolve/arithmetic.ts';
import type { Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { isFloating } from '../types.ts';
import { resolvedOrNull } from './resolved-or-null.ts';

type Call = Syntax & { readonly kind: 'call' };

/** Aggregates that add up what they are given. `count` asks only whether a value is there. */
const ADDING: ReadonlySet<string> = new Set(
  'sum avg mean variance var_samp var_pop stddev stddev_samp stddev_pop'.split(' '),
);

/**
 * `sum(abs(x))`, `avg(nullif(x, 0))` and `sum(greatest(x, 0))` as the CASE that each of them is, under the rights and
 * minima of one: which rows change their sign, or are left out or replaced, is a condition on the column. Where the bounds
 * that the policy declares say that no row is, the value is the column as it stands, and there is no condition.
 */
export function withCase(call: Call, resolveRow: (syntax: Syntax) => Typed): Call {
  const [arg] = call.args;
  if (!ADDING.has(call.name) || call.args.length !== 1 || arg?.kind !== 'call' || arg.filter !== null || arg.distinct)
    return call;
  const found = withinBounds(arg, resolveRow) ?? asCase(arg);
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

/** The value without the call, where the declared bounds say that the call changes no value; else null. */
function withinBounds(call: Call, resolveRow: (syntax: Syntax) => Typed): Syntax | null {
  const { name, args, at } = call;
  const [x, by] = args;
  if (x === undefined) return null;
  if (name === 'abs' && args.length === 1) return (boundsOf(x, resolveRow)?.low ?? -1) >= 0 ? x : null;
  if (by === undefined || args.length !== 2 || !['nullif', 'greatest', 'least'].includes(name)) return null;
  const [value, limit] = isConstant(by) || name === 'nullif' ? [x, by] : [by, x];
  const [bounds, typed] = [boundsOf(value, resolveRow), resolvedOrNull(limit, resolveRow)];
  const most = typed?.kind === 'constant' ? constantValue(typed.literal) : null;
  if (bounds === null || most === null || isConstant(value)) return null;
  if (name === 'nullif') return most < bounds.low || most > bounds.high ? value : null;
  // A value that is no number is greater than any.
  const isKept = name === 'greatest' ? bounds.low >= most : bounds.high <= most && !bounds.isFloating;
  // Both take no notice of NULL: the limit is what is left.
  return isKept ? { kind: 'call', name: 'coalesce', args: [value, limit], distinct: false, filter: null, at } : null;
}

interface Bounds {
  readonly low: number;
  readonly high: number;
  readonly isFloating: boolean;
}

/** Between what values an expression lies: columns are laid out within the bounds that the policy declares. */
function boundsOf(syntax: Syntax, resolveRow: (syntax: Syntax) => Typed): Bounds | null {
  const typed = resolvedOrNull(syntax, resolveRow);
  return typed === null ? null : rangeOf(typed);
}

function rangeOf(typed: Typed): Bounds | null {
  if (typed.kind === 'constant') {
    const value = constantValue(typed.literal);
    return value === null ? null : { low: value, high: value, isFloating: false };
  }
  if (typed.kind === 'column') {
    const bounds = typed.base?.column.grants.map((grant) => grant.bounds).find((one) => one !== null);
    return bounds == null ? null : { low: bounds.low, high: bounds.high, isFloating: isFloating(typed.type) };
  }
  if (typed.kind !== 'call' || !['+', '-', '*'].includes(typed.name)) return null;
  const [a, b, ...others] = typed.args.map(rangeOf);
  if (a == null || b == null || others.length > 0) return null;
  const ends =
    typed.name === '+'
      ? [a.low + b.low, a.high + b.high]
      : typed.name === '-'
        ? [a.low - b.high, a.high - b.low]
        : [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
  return { low: Math.min(...ends), high: Math.max(...ends), isFloating: a.isFloating || b.isFloating };
}

function isConstant(one: Syntax): boolean {
  if (one.kind === 'cast') return isConstant(one.arg);
  if (one.kind === 'call' && (one.name === '-' || one.name === '+')) return one.args.every(isConstant);
  return one.kind === 'constant' || one.kind === 'parameter';
}

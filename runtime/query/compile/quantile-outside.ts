/**
 * `median(2024 - born)` as `2024 - median(born)`: what is added to a column or multiplied with it by a constant goes outside
 * of a quantile, a minimum or a maximum, which is the same value.
 *
 * Why outside: the blocks of a column of which quantiles are means must be the same ones however it is written. Of values in
 * the opposite order they would be counted from the other end, and overlapping blocks subtract to few rows. For the same
 * reason a difference of two dates is always taken in one order.
 */
import { printTyped } from '../print.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import type { Select, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { familyOf, isFloating } from '../types.ts';
import { mapSelect, mapSyntax } from './map-syntax.ts';
import { resolvedOrNull } from './resolved-or-null.ts';

type Call = Syntax & { readonly kind: 'call' };

const FRACTIONS: ReadonlySet<string> = new Set(['quantile', 'quantile_cont', 'quantile_disc', 'approx_quantile']);
const OPPOSITE: Readonly<Record<string, string>> = { min: 'max', max: 'min', median: 'median' };

interface Peeled {
  readonly inner: Syntax;
  readonly around: (value: Syntax) => Syntax;
  /** Greater values become less. */
  readonly isReversed: boolean;
}

/** The same value with the calculation outside; null where there is none to move, or it is another one. */
export function withOutside(call: Call, resolveRow: (syntax: Syntax) => Typed): Syntax | null {
  const [arg, fraction] = call.args;
  const isFraction = FRACTIONS.has(call.name);
  if (arg === undefined || !(isFraction || Object.hasOwn(OPPOSITE, call.name))) return null;
  const picked = asFilter(call, arg);
  if (picked !== null) return picked;
  const peeled = peel(arg, (syntax) => resolvedOrNull(syntax, resolveRow));
  if (peeled === null) return null;
  const { inner, around, isReversed } = peeled;
  if (!isReversed) return around({ ...call, args: [inner, ...call.args.slice(1)] });
  if (!isFraction) return around({ ...call, name: OPPOSITE[call.name] ?? call.name, args: [inner] });
  const q = fraction === undefined ? null : valueOf(resolvedOrNull(fraction, resolveRow));
  if (q === null) return null;
  const rest: Syntax = { kind: 'constant', literal: { kind: 'double', text: String(roundOff(1 - q)) }, at: call.at };
  return around({ ...call, args: [inner, rest] });
}

/** A SELECT with all that is calculated in quantiles outside of them. */
export function allOutside(select: Select, resolveRow: (syntax: Syntax) => Typed): Select {
  const found = (one: Syntax): Syntax | null => {
    const outside = one.kind === 'call' ? withOutside(one, resolveRow) : null;
    return outside === null ? null : mapSyntax(outside, found);
  };
  return mapSelect(select, found);
}

/** `median(CASE WHEN c THEN x END)` as `median(x) FILTER (WHERE c)`. */
function asFilter(call: Call, arg: Syntax): Syntax | null {
  if (arg.kind !== 'case' || arg.whens.length !== 1) return null;
  const [branch] = arg.whens;
  const isElseMissing =
    arg.otherwise === null || (arg.otherwise.kind === 'constant' && arg.otherwise.literal.kind === 'null');
  if (branch === undefined || !isElseMissing) return null;
  const both: Syntax =
    call.filter === null
      ? branch.when
      : { kind: 'call', name: 'and', args: [call.filter, branch.when], distinct: false, filter: null, at: call.at };
  return { ...call, args: [branch.value, ...call.args.slice(1)], filter: both };
}

function peel(arg: Syntax, typedOf: (syntax: Syntax) => Typed | null): Peeled | null {
  if (arg.kind === 'cast')
    return isFloating(arg.type) && isNumber(typedOf(arg.arg))
      ? { inner: arg.arg, around: (value) => ({ ...arg, arg: value }), isReversed: false }
      : null;
  if (arg.kind !== 'call' || arg.distinct || arg.filter !== null) return null;
  const [a, b] = arg.args;
  if (a === undefined) return null;
  const call = (...args: Syntax[]): Syntax => ({ ...arg, args });
  const negated = (value: Syntax): Syntax => ({ ...arg, name: '-', args: [value] });
  if (arg.name === '-' && b === undefined)
    return isNumber(typedOf(a)) ? { inner: a, around: negated, isReversed: true } : null;
  const span = spanOf(typedOf(arg));
  if (span !== null) {
    const swapped = isInOrder(span) ? null : swappedSpan(arg);
    return swapped === null ? null : { inner: swapped, around: negated, isReversed: true };
  }
  if (b === undefined || arg.args.length > 2) return null;
  const [left, right] = [typedOf(a), typedOf(b)];
  if (!isNumber(left) || !isNumber(right)) return null;
  const [first, second] = [valueOf(left), valueOf(right)];
  if ((first === null) === (second === null)) return null;
  const constant = first ?? second ?? 0;
  switch (arg.name) {
    case '+':
      return first === null
        ? { inner: a, around: (value) => call(value, b), isReversed: false }
        : { inner: b, around: (value) => call(a, value), isReversed: false };
    case '-':
      return first === null
        ? { inner: a, around: (value) => call(value, b), isReversed: false }
        : { inner: b, around: (value) => call(a, value), isReversed: true };
    case '*':
      if (constant === 0) return null;
      return first === null
        ? { inner: a, around: (value) => call(value, b), isReversed: constant < 0 }
        : { inner: b, around: (value) => call(a, value), isReversed: constant < 0 };
    case '/':
      return first !== null || constant === 0
        ? null
        : { inner: a, around: (value) => call(value, b), isReversed: constant < 0 };
    default:
      return null;
  }
}

type Span = Typed & { readonly kind: 'call' };

/** The days or seconds between two moments; null for anything else. */
export function spanOf(typed: Typed | null): Span | null {
  if (typed?.kind !== 'call' || typed.name !== '-' || typed.args.length !== 2) return null;
  const isMoment = ({ kind, type }: Typed): boolean =>
    type !== null && familyOf(type) === 'date' && (kind === 'column' || kind === 'constant');
  return typed.args.every(isMoment) ? typed : null;
}

/** Whether it is written in the one order in which its rows are cut into blocks. */
export function isInOrder({ args: [left, right] }: Span): boolean {
  if (left === undefined || right === undefined || right.kind === 'constant') return true;
  return left.kind !== 'constant' && printTyped(left) <= printTyped(right);
}

/** `b - a` for `a - b`, in the ways in which the time between two moments is written; null for another one. */
function swappedSpan(syntax: Syntax): Syntax | null {
  if (syntax.kind !== 'call') return null;
  const { name, args } = syntax;
  const [a, b, c] = args;
  if (name === '-' && a !== undefined && b !== undefined) return { ...syntax, args: [b, a] };
  if ((name === 'date_diff' || name === 'datediff') && a !== undefined && b !== undefined && c !== undefined)
    return { ...syntax, args: [a, c, b] };
  const inside = args.at(-1);
  const swapped = inside === undefined ? null : swappedSpan(inside);
  return swapped === null ? null : { ...syntax, args: [...args.slice(0, -1), swapped] };
}

function isNumber(typed: Typed | null): typed is Typed {
  return typed?.type != null && familyOf(typed.type) === 'number';
}

function valueOf(typed: Typed | null): number | null {
  return typed?.kind === 'constant' ? constantValue(typed.literal) : null;
}

/** `1 - 0.9` is 0.1. */
function roundOff(value: number): number {
  return Number(value.toPrecision(12));
}

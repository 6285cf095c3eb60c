import type { Added } from '../enforce/block.ts';
import { isFloating, type SqlType } from '../types.ts';
import { isBlank, presence } from './hidden-conditions.ts';
import type { Known } from './known.ts';
import { printTyped } from '../print.ts';
import type { Typed } from '../typed.ts';
import { rangeOfWide } from './wide-values.ts';

/** How many rows there are: all, or those of a condition. */
export function countOf(within: string | null): Added {
  return { as: 'count', value: null, within, per: null };
}

/** Sum or mean of a flag: how many rows it is true of; null for other moments. */
export function flagged(name: string, holds: string, per: string | null): Added | null {
  if (name === 'sum') return { as: 'sum', value: null, within: holds, per: null };
  return isMean(name) ? { as: 'mean', value: null, within: holds, per } : null;
}

interface Part {
  readonly value: Typed;
  readonly within: string | null;
}

/**
 * The sum or mean of an exact number, or of the one branch of a CASE that adds something; null for anything else. Of DOUBLE
 * the order of adding would show, and means of wider numbers are rounded otherwise.
 *
 * @param parts what is added, with the rows that add it.
 */
export function addedIn(
  name: string,
  arg: Typed,
  parts: readonly Part[],
  { filter, known }: { readonly filter: string | null; readonly known: Known },
): Added | null {
  const [part, ...more] = parts.filter(({ value }) => arg.kind !== 'case' || !isBlank(value));
  if (part === undefined || more.length > 0 || arg.type === null || isFloating(arg.type)) return null;
  const { value, within } = part;
  const { type } = value;
  if (!isExactLike(type, arg.type) || rangeOfWide(arg) !== null) return null;
  // What it adds nothing to, because it is missing, is no part of a mean.
  const there =
    isNumber(value) || isComplete(value, known) ? null : (presence(value, within, false, known)?.sql ?? null);
  const added = { value: isOne(value) && type?.kind === 'integer' ? null : printTyped(value), within };
  if (name === 'sum') return { as: 'sum', ...added, per: null };
  if (!isMean(name)) return null;
  // A second branch that adds nothing is the ELSE of the only WHEN, so that together they are all rows.
  if (parts.length > 1 && (arg.kind !== 'case' || arg.whens.length > 1)) return null;
  if (parts.length > 1 && there !== null) return null;
  const per = parts.length > 1 ? filter : (there ?? within);
  const { literal } = constantIn(value) ?? {};
  // A type of fewer decimals would round it.
  if (literal?.kind === 'decimal')
    return type?.kind === 'decimal' && literal.scale <= type.scale
      ? { as: 'mean', value: null, within, per, each: literal }
      : null;
  if (type?.kind === 'decimal' && arg.type.kind === 'decimal' && isShort(arg.type))
    return { as: 'mean', ...added, per, each: { unscaled: 10n ** BigInt(type.scale), scale: type.scale } };
  return type?.kind === 'integer' && type.bits <= 32 ? { as: 'mean', ...added, per } : null;
}

/** Kept in 64 bits, and ten thousand million of them can be added up as whole numbers of 128. */
const isShort = ({ width, scale }: SqlType & { kind: 'decimal' }): boolean => width <= 18 && width + scale <= 28;

const isMean = (name: string): boolean => name === 'avg' || name === 'mean';

/** Whether both are whole numbers, or decimals of one scale: the sums are of one type. */
function isExactLike(type: SqlType | null, other: SqlType): boolean {
  if (type?.kind === 'decimal') return other.kind === 'decimal' && other.scale === type.scale;
  return type?.kind === 'integer' && other.kind === 'integer';
}

/** In every row, whatever type it is given beside other branches; TRY_CAST would leave some out. */
function isComplete(value: Typed, known: Known): boolean {
  if (value.kind !== 'call' || value.name !== 'cast' || !value.sql.startsWith('CAST(')) return known.isComplete(value);
  return value.args[0] !== undefined && isComplete(value.args[0], known);
}

function isNumber(value: Typed): boolean {
  const kind = constantIn(value)?.literal.kind ?? 'null';
  return kind !== 'null';
}

function isOne(value: Typed): boolean {
  const { literal } = constantIn(value) ?? {};
  return literal?.kind === 'integer' && literal.value === 1n;
}

/** The constant that is written, if need be with a type; of TRY_CAST nothing may be left. */
function constantIn(value: Typed): (Typed & { kind: 'constant' }) | null {
  const isCast = value.kind === 'call' && value.name === 'cast' && value.sql.startsWith('CAST(');
  const [inner] = isCast ? value.args : [];
  if (inner !== undefined) return constantIn(inner);
  return value.kind === 'constant' ? value : null;
}

import {
  commonType,
  digitsOf,
  DOUBLE,
  familyOf,
  isFloating,
  printType,
  type SqlType,
  TEXT,
  TIMESTAMP,
} from '../types.ts';
import { literalType, printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import type { Typed } from '../typed.ts';
import { matchConstant } from './constant.ts';

/** Both sides in types that DuckDB compares without a cast that can fail. */
export function alignPair(left: Typed, right: Typed, at: Place): readonly [Typed, Typed] {
  if (left.type === null || right.type === null) return [left, right];
  const a = left.kind === 'constant' ? matchConstant(left, right.type, at) : left;
  const b = right.kind === 'constant' ? matchConstant(right, left.type, at) : right;
  const [typeA, typeB] = [a.type, b.type];
  if (typeA === null || typeB === null) return [a, b];
  const type = commonType(typeA, typeB);
  if (type === null) {
    refuse(
      'type-mismatch',
      `cannot compare ${printType(typeA)} with ${printType(typeB)}`,
      at,
      'compare values of one type',
    );
  }
  // Only a mix of wide numbers can overflow in DuckDB's own promotion; go through DOUBLE there, as DuckDB does for floats.
  const tight = type.kind === 'double' && digitsOf(typeA) !== null && digitsOf(typeB) !== null;
  if (tight) return [toDouble(a), toDouble(b)];
  return typeA.kind === 'date' ? asMoments(a, b) : typeB.kind === 'date' ? swapped(asMoments(b, a)) : [a, b];
}

const swapped = <A, B>([a, b]: readonly [A, B]): readonly [B, A] => [b, a];

/**
 * A day beside a moment. Days reach further than moments, and where the engine makes one of the other a far day fails; so it
 * is NULL. The beginning of a day is that day, which needs no cast.
 */
function asMoments(day: Typed, other: Typed): readonly [Typed, Typed] {
  if (other.type?.kind === 'date' || day.kind === 'constant') return [day, other];
  if (other.kind === 'constant' && other.literal.kind === 'timestamp' && MIDNIGHT.test(other.literal.text)) {
    const literal = { kind: 'date', text: other.literal.text.slice(0, 10) } as const;
    return [day, { ...other, literal, type: literalType(literal) }];
  }
  return [toMoment(day), other];
}

const MIDNIGHT = /^\d{4}-\d{2}-\d{2} 00:00:00(?:\.0+)?$/;

function toMoment(day: Typed): Typed {
  const sql = `TRY_CAST(${printTyped(day)} AS TIMESTAMP)`;
  return { kind: 'call', name: 'try_cast', args: [day], type: TIMESTAMP, digits: null, sql, at: day.at };
}

function toDouble(arg: Typed): Typed {
  return {
    kind: 'call',
    name: 'cast',
    args: [arg],
    type: DOUBLE,
    digits: null,
    sql: `CAST(${printTyped(arg)} AS DOUBLE)`,
    at: arg.at,
  };
}

/**
 * Conditions on a link of two tables under which a value on either side equals at most one value on the other.
 *
 * The engine compares whole numbers and decimals with floating-point ones as floating-point numbers, where 2^53 and 2^53 + 1
 * are equal: a row would meet the rows of two units, or two rows of a table in which no value stands twice. INVARIANT: how
 * many rows hang on one unit is counted in the types of the columns, so it has to hold for what is compared. Numbers that
 * floating point cannot tell from their neighbours are nobody's key, and meet nothing.
 */
export function apartAsFloats(left: Typed, right: Typed): readonly string[] {
  if (left.kind !== 'column' || right.kind !== 'column' || left.base === null || right.base === null) return [];
  if (left.base.relation === right.base.relation || (left.base.table.isPublic && right.base.table.isPublic)) return [];
  const floating = [left, right].find(({ type }) => type !== null && isFloating(type));
  const exact = [left, right].find(({ type }) => type !== null && digitsOf(type) !== null);
  const digits = exact?.type == null ? null : digitsOf(exact.type);
  if (floating === undefined || digits === null) return [];
  const { places, whole } =
    floating.type?.kind === 'double' ? { places: 15, whole: 2 ** 53 } : { places: 6, whole: 2 ** 24 };
  if (digits.whole + digits.scale <= places) return [];
  const end = digits.scale === 0 ? whole : 10 ** (places - digits.scale);
  const sql = printTyped(floating);
  return [`${sql} > CAST('-${end}' AS DOUBLE)`, `${sql} < CAST('${end}' AS DOUBLE)`];
}

/** One type for all, e.g. for CASE branches and COALESCE. */
export function agree(args: readonly Typed[], at: Place): { type: SqlType; args: Typed[] } {
  const typed = args.filter((arg) => arg.type !== null);
  const lead = typed.find((arg) => arg.kind !== 'constant') ?? typed[0];
  if (lead?.type === undefined || lead.type === null) return { type: TEXT, args: [...args] };
  let type: SqlType = lead.type;
  const aligned = args.map((arg) =>
    arg.kind === 'constant' && arg.type !== null ? matchConstant(arg, lead.type ?? TEXT, at) : arg,
  );
  for (const arg of aligned) {
    if (arg.type === null) continue;
    const next = commonType(type, arg.type);
    if (next === null) refuse('type-mismatch', `cannot combine ${printType(type)} with ${printType(arg.type)}`, at);
    type = next;
  }
  const sameType = (arg: Typed): boolean => arg.type === null || printType(arg.type) === printType(type);
  return {
    type,
    args: aligned.map((arg) =>
      sameType(arg) && arg.kind !== 'constant'
        ? arg
        : arg.kind !== 'constant' && arg.type?.kind === 'date' && type.kind === 'timestamp'
          ? toMoment(arg)
          : ({
              kind: 'call',
              name: 'cast',
              args: [arg],
              type,
              digits: null,
              sql: `CAST(${printTyped(arg)} AS ${printType(type)})`,
              at: arg.at,
            } satisfies Typed),
    ),
  };
}

/** Refuses a missing argument, and one of another type family than `family`. */
export function needs(arg: Typed | undefined, family: string, name: string, at: Place): void {
  if (arg === undefined) refuse('wrong-arguments', `\`${name}\` needs more values`, at);
  if (arg.type !== null && familyOf(arg.type) !== family) {
    refuse('type-mismatch', `\`${name}\` needs ${family}, not ${printType(arg.type)}`, arg.at ?? at);
  }
}

export function argument(args: readonly Typed[], index: number): Typed {
  return args[index] ?? refuse('wrong-arguments', 'a value is missing');
}

export function constant(literal: Parameters<typeof literalType>[0], at: Place): Typed {
  return { kind: 'constant', literal, type: literalType(literal), at };
}

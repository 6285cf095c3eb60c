import { BIGINT, DATE, DOUBLE, familyOf, printType, type SqlType, TEXT, TIMESTAMP } from '../types.ts';
import { DATE_PARTS, DIFFERENCES, TRUNCATIONS } from '../functions.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import type { Typed } from '../typed.ts';
import { constantValue, type Operator } from './arithmetic.ts';
import { matchConstant, readText } from './constant.ts';
import { needs, argument, constant } from './align.ts';

/** Parts, differences, truncations and texts of dates; null for any other name. Far dates become NULL, not errors. */
export function buildDateCall(name: string, args: readonly Typed[], at: Place): Typed | null {
  const done = (type: SqlType, sql: string): Typed => ({ kind: 'call', name, args, type, digits: null, sql, at });
  switch (name) {
    case 'date_part':
    case 'datepart': {
      const [part, of] = args;
      if (part?.kind === 'constant' && part.literal.kind === 'text' && part.literal.value.toLowerCase() === 'epoch')
        return buildDateCall('epoch', of === undefined ? [] : [of], at);
      const unit = partName(args, DATE_PARTS, name, at);
      needs(args[1], 'date', name, at);
      return done(BIGINT, `CAST(date_part('${unit}', ${printTyped(argument(args, 1))}) AS BIGINT)`);
    }
    case 'date_trunc':
    case 'datetrunc': {
      const unit = partName(args, TRUNCATIONS, name, at);
      needs(args[1], 'date', name, at);
      return done(TIMESTAMP, `TRY(CAST(date_trunc('${unit}', ${printTyped(argument(args, 1))}) AS TIMESTAMP))`);
    }
    case 'strftime': {
      // Both orders are DuckDB's.
      const [head, second] = args;
      if (
        head?.kind === 'constant' &&
        head.literal.kind === 'text' &&
        second !== undefined &&
        second.kind !== 'constant'
      )
        return buildDateCall(name, [second, head], at);
      needs(args[0], 'date', name, at);
      const format = args[1]?.kind === 'constant' && args[1].literal.kind === 'text' ? args[1].literal.value : '';
      if (!DATE_FORMAT.test(format)) {
        refuse('wrong-arguments', '`strftime` needs a constant format of plain parts', at, "for example '%Y-%m'");
      }
      return done(TEXT, `strftime(${printTyped(argument(args, 0))}, ${printTyped(argument(args, 1))})`);
    }
    case 'date_diff':
    case 'datediff':
    case 'date_sub':
    case 'datesub': {
      const unit = partName(args, DIFFERENCES, name, at);
      needs(args[1], 'date', name, at);
      needs(args[2], 'date', name, at);
      // Between dates the days are the difference itself, which an aggregate may add up; other units cut off.
      const [first, second] = [asDate(argument(args, 1), at), asDate(argument(args, 2), at)];
      if (unit === 'day' && first !== null && second !== null) return operateOnDates('-', second, first, at);
      const [from, to] = [asTimestamp(argument(args, 1), at), asTimestamp(argument(args, 2), at)];
      const real = name.includes('diff') ? 'date_diff' : 'date_sub';
      return done(BIGINT, `TRY(${real}('${unit}', ${from}, ${to}))`);
    }
    case 'epoch': {
      const [span] = args;
      const [later, earlier] = span?.kind === 'call' && span.name === '-' ? span.args : [];
      if (span?.type?.kind === 'interval' && later !== undefined && earlier !== undefined && args.length === 1)
        return secondsBetween(later, earlier, at);
      needs(args[0], 'date', name, at);
      return done(DOUBLE, `TRY(epoch(CAST(${printTyped(argument(args, 0))} AS TIMESTAMP)))`);
    }
    case 'time_bucket': {
      needs(args[1], 'date', name, at);
      const [width, value] = [argument(args, 0), argument(args, 1)];
      if (args.length !== 2 || !isWidth(width))
        refuse(
          'wrong-arguments',
          '`time_bucket` needs a constant width of more than nothing',
          at,
          'write INTERVAL 7 DAY',
        );
      const type = value.type?.kind === 'date' ? DATE : TIMESTAMP;
      const sql = `time_bucket(${printTyped(width)}, CAST(${printTyped(value)} AS ${printType(type)}))`;
      return done(type, `TRY(CAST(${sql} AS ${printType(type)}))`);
    }
    case 'strptime':
    case 'try_strptime': {
      const [text, format] = args.map((arg) =>
        arg.kind === 'constant' && arg.literal.kind === 'text' ? arg.literal.value : null,
      );
      const moment = args.length === 2 && text != null && format != null ? momentOf(text, format) : null;
      const literal = moment === null ? null : readText(moment, TIMESTAMP);
      if (literal === null)
        refuse(
          'wrong-arguments',
          `\`${name}\` needs a constant text that is a moment in a constant format of %Y, %m, %d, %H, %M and %S`,
          at,
          "try_cast(text AS DATE) reads a column of texts, DATE '2024-02-01' is a constant",
        );
      return constant(literal, at);
    }
    case 'make_date': {
      if (args.length === 3 && args.some((arg) => arg.kind !== 'constant')) {
        for (const arg of args) needs(arg, 'number', name, at);
        if (args.some(({ type }) => type !== null && type.kind !== 'integer'))
          refuse('type-mismatch', '`make_date` needs whole numbers', at);
        const parts = args.map((arg) => `CAST(${printTyped(arg)} AS BIGINT)`);
        return done(DATE, `TRY(make_date(${parts.join(', ')}))`);
      }
      const numbers = args.map((arg) =>
        arg.kind === 'constant' && arg.literal.kind === 'integer' ? String(arg.literal.value) : 'x',
      );
      const literal = readText(numbers.map((one, i) => one.padStart(i === 0 ? 4 : 2, '0')).join('-'), DATE);
      if (literal === null || args.length !== 3)
        refuse('wrong-arguments', '`make_date` needs three constants that are a date', at, "write DATE '2024-02-01'");
      return constant(literal, at);
    }
    default:
      return null;
  }
}

const DATE_FORMAT = /^(?:[A-Za-z0-9 .,:/_-]|%[YymdHMSjBbAaVGu]){1,40}$/;

const DIGITS: Readonly<Record<string, number>> = { Y: 4, m: 2, d: 2, H: 2, M: 2, S: 2 };

/** `'01.02.2024'` in the format `'%d.%m.%Y'` as `2024-02-01 00:00:00`; null where the text is not in that format. */
function momentOf(text: string, format: string): string | null {
  const found: Record<string, string> = { H: '00', M: '00', S: '00' };
  const seen = new Set<string>();
  let at = 0;
  for (const part of format.match(/%.|[^%]/gs) ?? []) {
    const width = part.length === 2 ? DIGITS[part.slice(1)] : part.length;
    if (width === undefined || (part.length === 2 && seen.has(part))) return null;
    const piece = text.slice(at, at + width);
    at += width;
    if (part.length === 1 ? piece !== part : !/^\d+$/.test(piece) || piece.length !== width) return null;
    if (part.length === 2) {
      seen.add(part);
      found[part.slice(1)] = piece;
    }
  }
  const { Y, m, d, H, M, S } = found;
  return at === text.length && Y !== undefined && m !== undefined && d !== undefined
    ? `${Y}-${m}-${d} ${H}:${M}:${S}`
    : null;
}

/** The argument where it is a date, or a text that is one; null when it has a time or is no constant text. */
function asDate(arg: Typed, at: Place): Typed | null {
  if (arg.kind === 'constant' && arg.literal.kind === 'text') {
    const literal = readText(arg.literal.value, DATE);
    return literal === null ? null : constant(literal, at);
  }
  return arg.type?.kind === 'date' ? arg : null;
}

function asTimestamp(arg: Typed, at: Place): string {
  return `CAST(${printTyped(matchConstant(arg, TIMESTAMP, at))} AS TIMESTAMP)`;
}

function partName(args: readonly Typed[], known: readonly string[], name: string, at: Place): string {
  const first = args[0];
  const unit = first?.kind === 'constant' && first.literal.kind === 'text' ? first.literal.value.toLowerCase() : '';
  const singular = { years: 'year', months: 'month', days: 'day', dayofweek: 'dow', dayofyear: 'doy' }[unit] ?? unit;
  if (!known.includes(singular)) {
    refuse(
      'wrong-arguments',
      `\`${name}\` does not know the part '${printable(unit)}'`,
      at,
      `use one of ${known.join(', ')}`,
    );
  }
  return singular;
}

/** date ± whole days, date ± interval, date - date (days). Far dates become NULL, not errors. */
export function operateOnDates(operator: Operator, left: Typed, right: Typed, at: Place): Typed | null {
  const [later, earlier] = [left, right].map((side) =>
    operator === '-' && side.kind === 'call' && side.name === 'epoch' ? side.args[0] : undefined,
  );
  if (later !== undefined && earlier !== undefined) return secondsBetween(later, earlier, at);
  const families = [left, right].map((side) => (side.type === null ? null : familyOf(side.type)));
  if (!families.includes('date') || (operator !== '+' && operator !== '-')) return null;
  const done = (type: SqlType, sql: string): Typed => ({
    kind: 'call',
    name: operator,
    args: [left, right],
    type,
    digits: null,
    sql,
    at,
  });
  const [a, b] = [printTyped(left), printTyped(right)];
  if (families[0] === 'date' && families[1] === 'interval') {
    return done(TIMESTAMP, `TRY(CAST((${a} ${operator} ${b}) AS TIMESTAMP))`);
  }
  if (families[0] === 'interval' && families[1] === 'date' && operator === '+') {
    return done(TIMESTAMP, `TRY(CAST((${b} + ${a}) AS TIMESTAMP))`);
  }
  if (
    left.type?.kind === 'date' &&
    families[1] === 'number' &&
    right.kind === 'constant' &&
    right.literal.kind === 'integer'
  ) {
    smallDays(right, at);
    return done(DATE, `TRY((${a} ${operator} CAST(${b} AS INTEGER)))`);
  }
  if (operator === '-' && left.type?.kind === 'date' && right.type?.kind === 'date') {
    return done(BIGINT, `TRY(CAST((${a} - ${b}) AS BIGINT))`);
  }
  // A span between two moments, for comparisons with INTERVAL constants; far ones become NULL.
  if (operator === '-' && families[1] === 'date')
    return done({ kind: 'interval' }, `TRY((${asTimestamp(left, at)} - ${asTimestamp(right, at)}))`);
  return refuse('type-mismatch', `\`${operator}\` cannot combine these types`, at);
}

/**
 * `epoch(ended) - epoch(began)`, `epoch(ended - began)`: the seconds between two moments, exact to the microsecond. It cuts
 * nothing off, so an aggregate may add it up like the days between two dates.
 */
function secondsBetween(later: Typed, earlier: Typed, at: Place): Typed {
  const [to, from] = [asTimestamp(later, at), asTimestamp(earlier, at)];
  const sql = `TRY((CAST((epoch_us(${to}) - epoch_us(${from})) AS DOUBLE) / 1000000))`;
  return { kind: 'call', name: '-', args: [later, earlier], type: DOUBLE, digits: null, sql, at };
}

function smallDays(arg: Typed, at: Place): void {
  const value = arg.kind === 'constant' ? constantValue(arg.literal) : null;
  if (value === null || Math.abs(value) > 100_000) refuse('constant-too-large', 'add at most 100000 days', at);
}

/** A constant span of months alone, or of days and shorter times alone, of more than nothing. */
function isWidth(arg: Typed): boolean {
  if (arg.kind !== 'constant' || arg.literal.kind !== 'interval') return false;
  const { months, days, micros } = arg.literal;
  const others = days + micros;
  return months >= 0 && days >= 0 && micros >= 0 && months > 0 !== others > 0;
}

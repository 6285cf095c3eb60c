import { familyOf, printType, type SqlType } from '../types.ts';
import { printable } from '../parse/literal.ts';
import { literalType } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import type { Literal } from '../syntax.ts';
import type { Typed } from '../typed.ts';

const DATE_FORM = /^(\d{4})-(\d{1,2})-(\d{1,2})$/;
const TIME_FORM = /^(\d{4}-\d{1,2}-\d{1,2})[ T](\d{2}):(\d{2})(?::(\d{2})(\.\d{1,6})?)?$/;

/**
 * A constant in the type of the other side. Text is read here, at compile time, so that the engine never casts: a cast
 * in the engine could fail on a row and say which.
 */
export function matchConstant(arg: Typed, type: SqlType, at: Place): Typed {
  if (arg.kind !== 'constant' || arg.literal.kind === 'null' || arg.type === null) return arg;
  const family = familyOf(type);
  if (familyOf(arg.type) === family) return arg;
  if (arg.literal.kind !== 'text') return arg;
  const literal = readText(arg.literal.value, type);
  if (literal === null) {
    refuse('type-mismatch', `'${printable(arg.literal.value)}' is not a ${printType(type)}`, arg.at ?? at);
  }
  return { kind: 'constant', literal, type: literalType(literal), at: arg.at };
}

/** Text as a constant of the type; null when it is not one. */
export function readText(value: string, type: SqlType): Literal | null {
  switch (familyOf(type)) {
    case 'text':
      return { kind: 'text', value };
    case 'boolean': {
      const word = value.toLowerCase();
      return ['t', 'true'].includes(word)
        ? { kind: 'boolean', value: true }
        : ['f', 'false'].includes(word)
          ? { kind: 'boolean', value: false }
          : null;
    }
    case 'number':
      return readNumber(value.trim(), type);
    case 'date':
      return readDate(value, type);
    case 'interval':
      return readInterval(value);
    default:
      return null;
  }
}

function readNumber(value: string, type: SqlType): Literal | null {
  const match = /^([-+]?)(\d{1,38})(?:\.(\d{1,38}))?([eE][-+]?\d{1,3})?$/.exec(value);
  if (match === null) return null;
  const [, sign = '', whole = '', fraction = '', exponent] = match;
  if (exponent !== undefined || type.kind === 'double' || type.kind === 'float') {
    return Number.isFinite(Number(value)) ? { kind: 'double', text: value.replace('+', '') } : null;
  }
  if (whole.length + fraction.length > 38) return null;
  const unscaled = BigInt(`${sign === '-' ? '-' : ''}${whole}${fraction}`);
  return fraction === '' ? { kind: 'integer', value: unscaled } : { kind: 'decimal', unscaled, scale: fraction.length };
}

function readDate(value: string, type: SqlType): Literal | null {
  const time = TIME_FORM.exec(value);
  const day = isoDay(time === null ? value : (time[1] ?? ''));
  if (day === null) return null;
  if (time === null)
    return type.kind === 'date' ? { kind: 'date', text: day } : { kind: 'timestamp', text: `${day} 00:00:00` };
  const [, , hour = '', minute = '', second = '00', fraction = ''] = time;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null;
  return { kind: 'timestamp', text: `${day} ${hour}:${minute}:${second}${fraction}` };
}

function isoDay(value: string): string | null {
  const match = DATE_FORM.exec(value);
  if (match === null) return null;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const date = new Date(Date.UTC(year, month - 1, day));
  date.setUTCFullYear(year);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || year < 1) return null;
  return `${match[1]}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
}

const MICROS: Readonly<Record<string, number>> = { second: 1e6, minute: 6e7, hour: 3.6e9 };
const DAYS: Readonly<Record<string, number>> = { day: 1, week: 7 };
const MONTHS: Readonly<Record<string, number>> = { month: 1, quarter: 3, year: 12, decade: 120 };

/** `3 months`, `1 day`: one amount and one unit. */
export function readInterval(value: string): Literal | null {
  const match = /^\s*([-+]?\d{1,6})\s*([a-z]+?)s?\s*$/i.exec(value);
  return match === null ? null : intervalOf(Number(match[1]), (match[2] ?? '').toLowerCase());
}

export function intervalOf(amount: number, unit: string): Literal | null {
  if (!Number.isSafeInteger(amount) || Math.abs(amount) > 100_000) return null;
  const months = Object.hasOwn(MONTHS, unit) ? MONTHS[unit] : undefined;
  const days = Object.hasOwn(DAYS, unit) ? DAYS[unit] : undefined;
  const micros = Object.hasOwn(MICROS, unit) ? MICROS[unit] : undefined;
  if (months === undefined && days === undefined && micros === undefined) return null;
  return {
    kind: 'interval',
    months: amount * (months ?? 0),
    days: amount * (days ?? 0),
    micros: amount * (micros ?? 0),
  };
}

/** Works out arithmetic of two constants, exactly; leaves everything else as it is. */
export function fold(expression: Typed): Typed {
  if (expression.kind !== 'call' || expression.args.length !== 2) return expression;
  const [a, b] = expression.args;
  if (a?.kind !== 'constant' || b?.kind !== 'constant') return expression;
  const [left, right] = [scaled(a.literal), scaled(b.literal)];
  const dated = foldDate(expression.name, a.literal, b.literal);
  if (dated !== null) return { kind: 'constant', literal: dated, type: literalType(dated), at: expression.at };
  if (left === null || right === null) return expression;
  const scale = expression.name === '*' ? left.scale + right.scale : Math.max(left.scale, right.scale);
  const [x, y] = [left.value * 10n ** BigInt(scale - left.scale), right.value * 10n ** BigInt(scale - right.scale)];
  const unscaled =
    expression.name === '+'
      ? x + y
      : expression.name === '-'
        ? x - y
        : expression.name === '*'
          ? left.value * right.value
          : null;
  if (unscaled === null || scale > 38 || unscaled.toString().length > 38) return expression;
  const literal: Literal = scale === 0 ? { kind: 'integer', value: unscaled } : { kind: 'decimal', unscaled, scale };
  return { kind: 'constant', literal, type: literalType(literal), at: expression.at };
}

function scaled(literal: Literal): { value: bigint; scale: number } | null {
  if (literal.kind === 'integer') return { value: literal.value, scale: 0 };
  return literal.kind === 'decimal' ? { value: literal.unscaled, scale: literal.scale } : null;
}

/** `date '1998-12-01' - interval 90 day`: done here, by the calendar, so that the engine sees a plain date. */
function foldDate(operator: string, left: Literal, right: Literal): Literal | null {
  if ((left.kind !== 'date' && left.kind !== 'timestamp') || (operator !== '+' && operator !== '-')) return null;
  const sign = operator === '-' ? -1 : 1;
  const span =
    right.kind === 'interval'
      ? right
      : right.kind === 'integer' && left.kind === 'date' && right.value < 100_000n && right.value > -100_000n
        ? { months: 0, days: Number(right.value), micros: 0 }
        : null;
  if (span === null || span.micros !== 0) return null;
  const [year = 0, month = 1, day = 1] = left.text.slice(0, 10).split('-').map(Number);
  const first = new Date(Date.UTC(year, month - 1 + sign * span.months, 1));
  const lastDay = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1, 0)).getUTCDate();
  first.setUTCDate(Math.min(day, lastDay));
  first.setUTCDate(first.getUTCDate() + sign * span.days);
  if (year < 100 || first.getUTCFullYear() < 1000 || first.getUTCFullYear() > 9999) return null;
  const text = first.toISOString().slice(0, 10);
  if (left.kind === 'timestamp') return { kind: 'timestamp', text: text + left.text.slice(10) };
  return right.kind === 'interval' ? { kind: 'timestamp', text: `${text} 00:00:00` } : { kind: 'date', text };
}

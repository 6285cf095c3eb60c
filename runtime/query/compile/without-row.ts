/**
 * What an aggregate of the right side of a LEFT JOIN takes from the one row of whoever found no partner, in which all columns
 * are NULL: `sum(CASE WHEN v.urgent THEN 1 ELSE 0 END)` adds 0 there, `sum(v.cost)` nothing.
 */
import type { Literal, Syntax } from '../syntax.ts';

/** The value in a row whose columns are all NULL; null: it is not known here. */
export function inEmptyRow(one: Syntax): Literal | null {
  switch (one.kind) {
    case 'constant':
      return one.literal;
    case 'column':
      return NOTHING;
    case 'cast':
      return inEmptyRow(one.arg)?.kind === 'null' ? NOTHING : null;
    case 'case':
      return chosenOf(one);
    case 'call':
      return calledWith(
        one.name,
        one.args.map((arg) => inEmptyRow(arg)),
      );
    case 'parameter':
    case 'star':
    case 'window':
    case 'subquery':
      return null;
    default:
      return one satisfies never;
  }
}

/** Whether it has a value in every row, by its words. */
export function isNeverNull(one: Syntax): boolean {
  if (one.kind === 'constant') return one.literal.kind !== 'null';
  if (one.kind === 'case')
    return one.otherwise !== null && [one.otherwise, ...one.whens.map(({ value }) => value)].every(isNeverNull);
  if (one.kind !== 'call') return false;
  if (one.name === 'coalesce' || one.name === 'ifnull') return one.args.some(isNeverNull);
  return ['+', '-', '*'].includes(one.name) && one.args.every(isNeverNull);
}

/** The value in `coalesce(value, 0)`; null for anything else. */
export function zeroFilled(one: Syntax): Syntax | null {
  if (one.kind !== 'call' || (one.name !== 'coalesce' && one.name !== 'ifnull')) return null;
  const [value, zero, ...more] = one.args;
  const isZero = zero?.kind === 'constant' && zero.literal.kind === 'integer' && zero.literal.value === 0n;
  return isZero && more.length === 0 && value?.kind === 'column' ? value : null;
}

const NOTHING: Literal = { kind: 'null' };

function chosenOf({ whens, otherwise }: Syntax & { kind: 'case' }): Literal | null {
  for (const { when, value } of whens) {
    const met = inEmptyRow(when);
    if (met?.kind === 'boolean' && met.value) return inEmptyRow(value);
    if (met?.kind !== 'boolean' && met?.kind !== 'null') return null;
  }
  return otherwise === null ? NOTHING : inEmptyRow(otherwise);
}

function calledWith(name: string, args: readonly (Literal | null)[]): Literal | null {
  const isNothing = (one: Literal | null | undefined): boolean => one?.kind === 'null';
  if (name === 'is null' || name === 'is not null') {
    const [first] = args;
    return first == null ? null : { kind: 'boolean', value: isNothing(first) === (name === 'is null') };
  }
  if (name === 'coalesce' || name === 'ifnull') {
    const there = args.find((one) => !isNothing(one));
    return there === undefined ? NOTHING : there;
  }
  const zero = args.find((one) => one?.kind === 'integer' && one.value === 0n);
  if (name === '*' && zero != null && args.every((one) => one?.kind === 'integer' || one?.kind === 'decimal'))
    return zero;
  if (args.length > 0 && args.every(isNothing)) return DISTINCT.has(name) ? null : NOTHING;
  return !LENIENT.has(name) && args.some(isNothing) ? NOTHING : null;
}

const DISTINCT: ReadonlySet<string> = new Set(['is distinct from', 'is not distinct from', 'concat']);

/** Functions that have a value where one of their arguments has none. */
const LENIENT: ReadonlySet<string> = new Set(
  [...DISTINCT].concat(['and', 'or', 'nullif', 'greatest', 'least', 'concat_ws', 'if']),
);

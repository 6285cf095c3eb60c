import { BOOLEAN, DOUBLE, familyOf, printType, type SqlType } from '../types.ts';
import { COMPARISONS, SCALARS, type ScalarFunction } from '../functions.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { partsOf, type Typed } from '../typed.ts';
import { arithmetic, negate, type Operator, type Over } from './arithmetic.ts';
import { fold, matchConstant } from './constant.ts';
import { buildTextCall } from './text-call.ts';
import { alignPair, apartAsFloats, agree, needs, argument } from './align.ts';
import { buildDateCall, operateOnDates } from './date-call.ts';

/** Builds a typed call of an operator or a scalar function, or refuses what the tables do not hold. */
export function buildCall(name: string, args: readonly Typed[], over: Over, at: Place): Typed {
  const built = build(name, args, over, at);
  return args.some(isBeyondTry) ? withoutTry(built, over, at) : built;
}

export const NO_CLOCK = 'current_date is the day of the job; an hour is written as a constant or passed as a parameter';
const ONE_BY_ONE = 'ask for each value in a column of its own';

/** What to write in place of functions that are often asked for and not offered. */
const INSTEAD_OF: Readonly<Record<string, string>> = {
  std: 'stddev(x), where the policy grants it',
  now: NO_CLOCK,
  get_current_timestamp: NO_CLOCK,
  list_value: ONE_BY_ONE,
  struct_pack: ONE_BY_ONE,
  row: ONE_BY_ONE,
  map: ONE_BY_ONE,
  age: "date_diff('day', a, b) counts the days between two dates, date_sub('year', born, DATE '2025-01-01') the whole years",
  random: 'leave it out: answers do not depend on chance',
  width_bucket: 'floor((x - low) / width)',
  bar: 'write the number: drawing it is for the program that reads the answer',
  // Other databases' names of what is offered.
  date_add: 'date + INTERVAL 1 DAY',
  date_bin: "time_bucket(INTERVAL '7 days', moment)",
  date_format: "strftime(date, '%Y-%m')",
  dateadd: 'date + INTERVAL 1 DAY',
  decode: "CASE x WHEN 'a' THEN 'b' ELSE 'c' END",
  iff: 'CASE WHEN condition THEN a ELSE b END',
  isnull: 'coalesce(x, y), or x IS NULL',
  makedate: 'make_date(2024, 1, 31)',
  nvl: 'coalesce(x, y)',
  nvl2: 'CASE WHEN x IS NOT NULL THEN a ELSE b END',
  safe_divide: 'a / nullif(b, 0)',
  timestampdiff: "date_diff('day', a, b)",
  timezone: 'times are as the provider stored them: add or take away a constant, moment + INTERVAL 1 HOUR',
  to_char: "strftime(date, '%Y-%m')",
  to_date: "CAST('2024-01-31' AS DATE)",
  zeroifnull: 'coalesce(x, 0)',
};

function isBeyondTry(expression: Typed): boolean {
  const isOne =
    expression.kind === 'call' && (expression.name === 'sub-query' || expression.name.startsWith('window '));
  return isOne || partsOf(expression).some(isBeyondTry);
}

/**
 * DuckDB's TRY takes neither a scalar sub-query nor a window. Over released values an overflow may then fail, because the
 * consumer could have computed it; over rows it may not, so the call is refused there.
 */
function withoutTry(built: Typed, over: Over, at: Place): Typed {
  if (built.kind !== 'call') return built;
  const start = ['TRY(', 'CAST(TRY('].find((one) => built.sql.startsWith(one));
  if (start === undefined) return built;
  if (over === 'rows')
    refuse(
      'function-not-allowed',
      'a sub-query cannot stand in this calculation over rows',
      at,
      'compare with it alone',
    );
  return { ...built, sql: `${start.slice(0, -'TRY('.length)}(${built.sql.slice(start.length)}` };
}

function build(name: string, args: readonly Typed[], over: Over, at: Place): Typed {
  const done = (type: SqlType, sql: string): Typed => ({ kind: 'call', name, args, type, digits: null, sql, at });
  if (name === 'and' || name === 'or') {
    for (const arg of args) needs(arg, 'boolean', name, at);
    // Sorted, so that the canonical text does not depend on the order in which conditions were written.
    const terms = [...new Set(args.map(printTyped))].toSorted();
    return done(BOOLEAN, terms.length === 1 ? `(${terms[0]})` : `(${terms.join(` ${name.toUpperCase()} `)})`);
  }
  if (name === 'not') {
    needs(args[0], 'boolean', name, at);
    return done(BOOLEAN, `(NOT ${printTyped(argument(args, 0))})`);
  }
  if (name === 'is null' || name === 'is not null') {
    return done(BOOLEAN, `(${printTyped(argument(args, 0))} ${name.toUpperCase()})`);
  }
  if (COMPARISONS.includes(name)) return compare(name, argument(args, 0), argument(args, 1), at);
  if (name === 'in' || name === 'not in') return membership(name, args, at);
  if (['+', '-', '*', '/', '//', '%'].includes(name)) return operate(name as Operator, args, over, at);
  if (name === 'add' || name === 'subtract' || name === 'multiply' || name === 'divide' || name === 'mod') {
    const operator = ({ add: '+', subtract: '-', multiply: '*', divide: '//', mod: '%' } as const)[name];
    return operate(operator, args, over, at);
  }
  if (name === 'date_add' && args[1]?.type?.kind === 'interval') return operate('+', args, over, at);
  const dated = buildDateCall(name, args, at);
  if (dated !== null) return dated;
  const texts = buildTextCall(name, args, over, at);
  if (texts !== null) return texts;
  const found = Object.hasOwn(SCALARS, name) ? SCALARS[name] : undefined;
  if (found === undefined)
    refuse('function-not-allowed', `the function \`${printable(name)}\` is not offered`, at, INSTEAD_OF[name] ?? null);
  if (over === 'rows' && !found.rows) {
    refuse('function-not-allowed', `\`${name}\` can be used on released values only, not over rows`, at);
  }
  return applyScalar(name, found, args, at);
}

function applyScalar(name: string, found: ScalarFunction, given: readonly Typed[], at: Place): Typed {
  const repeats = found.args.at(-1)?.endsWith('…') === true;
  const least = found.args.length - (found.optional ?? 0) - (repeats ? 1 : 0);
  if (given.length < least || (!repeats && given.length > found.args.length) || given.length > 20) {
    refuse('wrong-arguments', `\`${name}\` was given ${given.length} arguments`, at);
  }
  let args = given.map((arg, index) => {
    const wanted = (found.args[Math.min(index, found.args.length - 1)] ?? 'any').replace('…', '');
    if (wanted.endsWith('!') && arg.kind !== 'constant') {
      refuse('wrong-arguments', `argument ${index + 1} of \`${name}\` must be a constant`, arg.at ?? at);
    }
    const family = wanted.replace('!', '');
    if (family !== 'any') needs(arg, family, name, at);
    if (wanted === 'number!') smallWhole(arg, name, at);
    return arg;
  });
  let type: SqlType = DOUBLE;
  if (found.result === 'common') {
    const agreed = agree(args, at);
    [type, args] = [agreed.type, agreed.args];
  } else if (found.result === 'first') {
    const [first, second] = args;
    if (first?.type === undefined || first.type === null)
      refuse('wrong-arguments', `\`${name}\` needs a typed value`, at);
    type = first.type;
    if (second !== undefined && !found.args[1]?.endsWith('!')) args = [first, matchConstant(second, first.type, at)];
    const [left, right] = args;
    if (familyOf(type) === 'date' && left !== undefined && right !== undefined) {
      args = [...alignPair(left, right, at)];
      type = args[0]?.type ?? type;
    }
    // Rounding a DECIMAL changes its scale in DuckDB; the cast back is exact, and fails only for want of a 39th digit.
    if (type.kind === 'decimal') {
      const width = Math.min(38, type.width + 1);
      const cast = width > type.width ? 'CAST' : 'TRY_CAST';
      type = { kind: 'decimal', width, scale: type.scale };
      const sql = `${cast}(${found.sql(...args.map(printTyped))} AS ${printType(type)})`;
      return { kind: 'call', name, args, type, digits: null, sql, at };
    }
  } else {
    type = found.result;
  }
  return { kind: 'call', name, args, type, digits: null, sql: found.sql(...args.map(printTyped)), at };
}

/** The number in `left(name, 3)` or `round(x, 2)`: whole and small, so that results cannot grow. */
function smallWhole(arg: Typed, name: string, at: Place): void {
  const value = arg.kind === 'constant' && arg.literal.kind === 'integer' ? Number(arg.literal.value) : null;
  if (value === null || Math.abs(value) > 1000) {
    refuse('wrong-arguments', `\`${name}\` needs a whole number between -1000 and 1000`, at);
  }
}

function operate(operator: Operator, args: readonly Typed[], over: Over, at: Place): Typed {
  const [left, right] = args;
  if (left === undefined || args.length > 2) refuse('wrong-arguments', `\`${operator}\` takes two values`, at);
  if (right === undefined) {
    if (operator === '+') return left;
    if (operator !== '-') refuse('wrong-arguments', `\`${operator}\` takes two values`, at);
    return fold(negate(left, over, at));
  }
  const dated = operateOnDates(operator, left, right, at);
  return fold(dated ?? arithmetic(operator, left, right, over, at));
}

function compare(name: string, left: Typed, right: Typed, at: Place): Typed {
  const [a, b] = alignPair(left, right, at);
  const mirrored: Readonly<Record<string, string>> = { '>': '<', '>=': '<=' };
  const [sqlA, sqlB] = [printTyped(a), printTyped(b)];
  // One spelling for one comparison: `5 < x` and `x > 5` print alike, so do `a = b` and `b = a`.
  const flip = mirrored[name] !== undefined;
  const isSymmetric = !['<', '>', '<=', '>='].includes(name);
  const swap = flip || (isSymmetric && sqlA > sqlB);
  const operator = (flip ? (mirrored[name] ?? name) : name).toUpperCase();
  const plain = swap ? `${sqlB} ${operator} ${sqlA}` : `${sqlA} ${operator} ${sqlB}`;
  const sql = `(${[plain, ...(name === '=' ? apartAsFloats(a, b) : [])].join(' AND ')})`;
  return { kind: 'call', name, args: [a, b], type: BOOLEAN, digits: null, sql, at };
}

function membership(name: string, args: readonly Typed[], at: Place): Typed {
  const [input, ...options] = args;
  if (input === undefined || input.type === null) refuse('wrong-arguments', 'IN needs a value on its left', at);
  const type = input.type;
  const aligned = options.map((option) => {
    if (option.kind !== 'constant')
      refuse('wrong-arguments', 'IN takes constants', option.at ?? at, 'write OR between comparisons');
    return alignPair(input, option, at)[1];
  });
  const list = [...new Set(aligned.map(printTyped))].toSorted().join(', ');
  const beside = familyOf(type) === 'number' ? aligned[0] : aligned.find((option) => option.type?.kind === 'timestamp');
  const left = printTyped(beside === undefined ? input : alignPair(input, beside, at)[0]);
  return {
    kind: 'call',
    name,
    args: [input, ...aligned],
    type: BOOLEAN,
    digits: null,
    sql: `(${left} ${name.toUpperCase()} (${list}))`,
    at,
  };
}

import type { SqlType } from '../catalogue.ts';
import { COMPARISONS, DATE_PARTS, DIFFERENCES, SCALARS, type ScalarFunction, TRUNCATIONS } from '../functions.ts';
import { printable } from '../parse/literal.ts';
import { literalType, printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { partsOf, type Typed } from '../typed.ts';
import { BIGINT, BOOLEAN, commonType, DATE, digitsOf, DOUBLE, familyOf, printType, TEXT, TIMESTAMP } from '../types.ts';
import { arithmetic, constantValue, negate, type Operator, type Over } from './arithmetic.ts';
import { fold, matchConstant, readText } from './constant.ts';
import { buildTextCall } from './text-call.ts';

/** Builds a typed call of an operator or a scalar function, or refuses what the tables do not hold. */
export function buildCall(name: string, args: readonly Typed[], over: Over, at: Place): Typed {
  const built = build(name, args, over, at);
  return args.some(holdsSubquery) ? withoutTry(built, over, at) : built;
}

function holdsSubquery(expression: Typed): boolean {
  return (expression.kind === 'call' && expression.name === 'sub-query') || partsOf(expression).some(holdsSubquery);
}

/**
 * DuckDB's TRY takes no scalar sub-query. Over released values an overflow may then fail, because the consumer could
 * have computed it; over rows it may not, so the call is refused there.
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
  const dated = buildDateCall(name, args, at);
  if (dated !== null) return dated;
  const texts = buildTextCall(name, args, at);
  if (texts !== null) return texts;
  const found = Object.hasOwn(SCALARS, name) ? SCALARS[name] : undefined;
  if (found === undefined) refuse('function-not-allowed', `the function \`${printable(name)}\` is not offered`, at);
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
    // Rounding a DECIMAL changes its scale in DuckDB; the cast back is exact and cannot fail.
    if (type.kind === 'decimal') {
      const width = Math.min(38, type.width + 1);
      type = { kind: 'decimal', width, scale: type.scale };
      const sql = `CAST(${found.sql(...args.map(printTyped))} AS ${printType(type)})`;
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

function buildDateCall(name: string, args: readonly Typed[], at: Place): Typed | null {
  const done = (type: SqlType, sql: string): Typed => ({ kind: 'call', name, args, type, digits: null, sql, at });
  switch (name) {
    case 'date_part':
    case 'datepart': {
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
      const [from, to] = [asTimestamp(argument(args, 1), at), asTimestamp(argument(args, 2), at)];
      const real = name.includes('diff') ? 'date_diff' : 'date_sub';
      return done(BIGINT, `TRY(${real}('${unit}', ${from}, ${to}))`);
    }
    case 'make_date': {
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

/** date ± whole days, date ± interval, date - date (days). Far dates become NULL, not errors. */
function operateOnDates(operator: Operator, left: Typed, right: Typed, at: Place): Typed | null {
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
  return refuse('type-mismatch', `\`${operator}\` cannot combine these types`, at);
}

function smallDays(arg: Typed, at: Place): void {
  const value = arg.kind === 'constant' ? constantValue(arg.literal) : null;
  if (value === null || Math.abs(value) > 100_000) refuse('constant-too-large', 'add at most 100000 days', at);
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
  const sql = swap ? `(${sqlB} ${operator} ${sqlA})` : `(${sqlA} ${operator} ${sqlB})`;
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
  const left =
    familyOf(type) === 'number' ? printTyped(alignPair(input, aligned[0] ?? input, at)[0]) : printTyped(input);
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

/** Both sides in types that DuckDB compares without a cast that can fail. */
function alignPair(left: Typed, right: Typed, at: Place): readonly [Typed, Typed] {
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
  return tight ? [toDouble(a), toDouble(b)] : [a, b];
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

function needs(arg: Typed | undefined, family: string, name: string, at: Place): void {
  if (arg === undefined) refuse('wrong-arguments', `\`${name}\` needs more values`, at);
  if (arg.type !== null && familyOf(arg.type) !== family) {
    refuse('type-mismatch', `\`${name}\` needs ${family}, not ${printType(arg.type)}`, arg.at ?? at);
  }
}

function argument(args: readonly Typed[], index: number): Typed {
  return args[index] ?? refuse('wrong-arguments', 'a value is missing');
}

export function constant(literal: Parameters<typeof literalType>[0], at: Place): Typed {
  return { kind: 'constant', literal, type: literalType(literal), at };
}

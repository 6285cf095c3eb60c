import { digitsOf, familyOf, isFloating, printType, type SqlType } from '../types.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { MAX_PRINTED } from '../text.ts';
import type { Literal, Query, Syntax, WindowSyntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { constantValue, type Over } from './arithmetic.ts';
import { buildCall } from './call.ts';
import { agree, constant } from './align.ts';
import { intervalOf, matchConstant, readText } from './constant.ts';

/** What an expression can see. Each place where expressions stand (WHERE, GROUP BY, output …) makes its own. */
export interface Sight {
  readonly over: Over;
  readonly parameters: Readonly<Record<string, string | number | boolean | null>>;
  /** Sees an expression before it is taken apart, e.g. to find that it is a group key; null to go on. */
  readonly intercept: (syntax: Syntax) => Typed | null;
  readonly column: (path: readonly string[], at: Place) => Typed;
  /** Aggregates, GROUPING and everything else that is not a scalar call; null when it is none of these. */
  readonly special: (syntax: Syntax & { kind: 'call' }) => Typed | null;
  readonly window: (window: WindowSyntax, at: Place) => Typed;
  readonly subquery: (syntax: { test: string; arg: Typed | null; query: Query; at: Place }) => Typed;
}

/** Resolves the names of an expression and works out its type. Throws Refusal. */
export function resolve(syntax: Syntax, sight: Sight): Typed {
  const typed = resolveAny(syntax, sight);
  // `x + x AS y`, then `y + y AS z`: names stand for what they name, and thirty such steps are a billion parts.
  if (typed.kind !== 'constant' && typed.sql.length > MAX_PRINTED)
    refuse(
      'query-too-large',
      `an expression is longer than ${MAX_PRINTED} characters once its names are written out`,
      syntax.at,
    );
  return typed;
}

function resolveAny(syntax: Syntax, sight: Sight): Typed {
  const found = sight.intercept(syntax);
  if (found !== null) return found;
  const at = syntax.at;
  switch (syntax.kind) {
    case 'constant':
      return constant(syntax.literal, at);
    case 'parameter':
      return parameter(syntax.name, sight, at);
    case 'column':
      return sight.column(syntax.path, at);
    case 'star':
      return refuse('sql-not-allowed', '`*` cannot be used here', at, 'name the columns');
    case 'call':
      return resolveCall(syntax, sight);
    case 'case':
      return resolveCase(syntax, sight);
    case 'cast':
      return resolveCast(resolve(syntax.arg, sight), syntax.type, at);
    case 'window':
      return sight.window(syntax.window, at);
    case 'subquery': {
      const arg = syntax.arg === null ? null : resolve(syntax.arg, sight);
      return sight.subquery({ test: syntax.test, arg, query: syntax.query, at });
    }
    default:
      return syntax satisfies never;
  }
}

function resolveCall(syntax: Syntax & { kind: 'call' }, sight: Sight): Typed {
  const special = sight.special(syntax);
  if (special !== null) return special;
  if (syntax.distinct || syntax.filter !== null || syntax.orders !== undefined) {
    refuse('function-not-allowed', `\`${printable(syntax.name)}\` is not an aggregate that is offered here`, syntax.at);
  }
  const interval = desugarInterval(syntax);
  if (interval !== null) return constant(interval, syntax.at);
  const args = syntax.args.map((arg) => resolve(arg, sight));
  return buildCall(syntax.name, args, sight.over, syntax.at);
}

/** The parser writes `interval 3 month` as to_months(CAST(trunc(CAST(3 AS DOUBLE)) AS INTEGER)). */
function desugarInterval(syntax: Syntax & { kind: 'call' }): Literal | null {
  const match = /^to_(years|quarters|months|weeks|days|hours|minutes|seconds|decades)$/.exec(syntax.name);
  const [arg] = syntax.args;
  if (match === null || arg === undefined || syntax.args.length !== 1) return null;
  const amount = constantAmount(arg);
  const literal = amount === null ? null : intervalOf(amount, (match[1] ?? '').slice(0, -1));
  return literal ?? refuse('wrong-arguments', 'an interval needs a whole constant amount', syntax.at);
}

function constantAmount(syntax: Syntax): number | null {
  if (syntax.kind === 'cast') return constantAmount(syntax.arg);
  if (syntax.kind === 'call' && (syntax.name === 'trunc' || syntax.name === '-') && syntax.args.length === 1) {
    const inner = constantAmount(syntax.args[0] ?? syntax);
    return inner === null ? null : syntax.name === '-' ? -inner : Math.trunc(inner);
  }
  if (syntax.kind !== 'constant') return null;
  if (syntax.literal.kind === 'text')
    return /^-?\d{1,6}$/.test(syntax.literal.value) ? Number(syntax.literal.value) : null;
  return constantValue(syntax.literal);
}

function resolveCase(syntax: Syntax & { kind: 'case' }, sight: Sight): Typed {
  const whens = syntax.whens.map(({ when, value }) => ({ when: resolve(when, sight), value: resolve(value, sight) }));
  for (const { when } of whens) {
    if (when.type !== null && familyOf(when.type) !== 'boolean') {
      refuse('type-mismatch', 'WHEN needs a condition', when.at ?? syntax.at);
    }
  }
  const otherwise =
    syntax.otherwise === null ? constant({ kind: 'null' }, syntax.at) : resolve(syntax.otherwise, sight);
  return buildCase(whens, otherwise, syntax.at);
}

export function buildCase(
  whens: readonly { readonly when: Typed; readonly value: Typed }[],
  otherwise: Typed,
  at: Place,
): Typed {
  const agreed = agree([...whens.map(({ value }) => value), otherwise], at);
  const branches = whens.map(({ when }, index) => ({ when, value: agreed.args[index] ?? otherwise }));
  const last = agreed.args.at(-1) ?? otherwise;
  const text = branches.map(({ when, value }) => `WHEN ${printTyped(when)} THEN ${printTyped(value)}`).join(' ');
  const sql = `(CASE ${text} ELSE ${printTyped(last)} END)`;
  return { kind: 'case', whens: branches, otherwise: last, type: agreed.type, sql, at };
}

/** CAST and TRY_CAST are one here: what does not fit becomes NULL. `cast` names the casts that lose nothing. */
export function resolveCast(arg: Typed, type: SqlType, at: Place): Typed {
  if (arg.kind === 'constant') {
    if (arg.literal.kind === 'text') {
      const literal = readText(arg.literal.value, type);
      if (literal === null) refuse('type-mismatch', `the text is not a ${printType(type)}`, at);
      const read = constant(literal, at);
      return type.kind === 'decimal' || type.kind === 'integer' ? tryCast(read, type, at) : read;
    }
    if (arg.literal.kind === 'null' || familyOf(type) === 'text' || familyOf(arg.type ?? type) === 'number') {
      return tryCast(arg, type, at);
    }
    return matchConstant(arg, type, at);
  }
  return tryCast(arg, type, at);
}

function tryCast(arg: Typed, type: SqlType, at: Place): Typed {
  const from = arg.type;
  if (from !== null && !canCast(from, type)) {
    refuse('type-mismatch', `cannot cast ${printType(from)} to ${printType(type)}`, at);
  }
  const isLossless = from !== null && (losesNothing(from, type) || fitsByDigits(arg, type));
  const sql = `${isLossless ? 'CAST' : 'TRY_CAST'}(${printTyped(arg)} AS ${printType(type)})`;
  return { kind: 'call', name: isLossless ? 'cast' : 'try_cast', args: [arg], type, digits: null, sql, at };
}

/** A whole number whose bounds say that it fits; most digits of each width that always do. */
function fitsByDigits(arg: Typed, type: SqlType): boolean {
  if (arg.kind !== 'column' && arg.kind !== 'call') return false;
  if (type.kind !== 'integer' || !type.isSigned || arg.type?.kind !== 'integer' || arg.digits === null) return false;
  const most = { 8: 2, 16: 4, 32: 9, 64: 18, 128: 38 } as const;
  return arg.digits.scale === 0 && arg.digits.whole <= most[type.bits];
}

function canCast(from: SqlType, to: SqlType): boolean {
  const [a, b] = [familyOf(from), familyOf(to)];
  if (a === b || b === 'text' || a === 'text') return a !== 'interval' && b !== 'interval';
  return a === 'boolean' && b === 'number';
}

function losesNothing(from: SqlType, to: SqlType): boolean {
  if (printType(from) === printType(to)) return true;
  if (to.kind === 'text') return true;
  if (familyOf(from) === 'number' && to.kind === 'double') return true;
  if (from.kind === 'date' && to.kind === 'timestamp') return false;
  if (isFloating(from)) return false;
  const [a, b] = [digitsOf(from), digitsOf(to)];
  if (a === null || b === null) return false;
  if (from.kind === 'integer' && to.kind === 'integer') return to.bits > from.bits && to.isSigned;
  return to.kind === 'decimal' && b.whole >= a.whole && b.scale >= a.scale;
}

function parameter(name: string, sight: Sight, at: Place): Typed {
  const given = Object.hasOwn(sight.parameters, name) ? sight.parameters[name] : undefined;
  if (given === undefined) {
    const spelled = printable(name);
    refuse(
      'parameter-missing',
      `the parameter \`$${spelled}\` was not given`,
      at,
      `give it, \`--param ${spelled}=VALUE\``,
    );
  }
  if (given === null) return constant({ kind: 'null' }, at);
  if (typeof given === 'boolean') return constant({ kind: 'boolean', value: given }, at);
  if (typeof given === 'string') return constant({ kind: 'text', value: given }, at);
  if (!Number.isFinite(given)) refuse('parameter-missing', `the parameter \`$${printable(name)}\` is not finite`, at);
  if (Number.isSafeInteger(given)) return constant({ kind: 'integer', value: BigInt(given) }, at);
  return constant({ kind: 'double', text: String(given) }, at);
}

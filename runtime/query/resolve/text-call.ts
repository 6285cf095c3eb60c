import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { partsOf, type Typed } from '../typed.ts';
import type { Over } from './arithmetic.ts';
import { BIGINT, BOOLEAN, familyOf, printType, type SqlType, TEXT } from '../types.ts';

/** Longest constant that a text function takes, characters. */
const MAX_TEXT = 200;
/** Longest result of padding, characters. */
const MAX_PADDED = 1000;

interface TextFunction {
  /** `t`: text, `c`: a text constant, `n`: a whole constant. */
  readonly args: string;
  readonly optional?: number;
  readonly result: SqlType;
  readonly prints?: string;
  /** Over released values only; `a` in `args` then stands for any number of values of any type. */
  readonly isReleased?: boolean;
  readonly check?: (constants: readonly (string | number)[], args: readonly Typed[], at: Place) => void;
}

/**
 * Text functions whose constants have to be looked at. All are total: patterns run in linear time (RE2), and results
 * cannot grow without bound, because an answer that runs out of memory would tell that some row is long.
 */
const TEXTS: Readonly<Record<string, TextFunction>> = {
  replace: { args: 'tcc', result: TEXT, check: notGrowing },
  translate: { args: 'tcc', result: TEXT },
  split_part: { args: 'tcn', result: TEXT },
  reverse: { args: 't', result: TEXT },
  strip_accents: { args: 't', result: TEXT },
  ascii: { args: 't', result: BIGINT },
  strpos: { args: 'tc', result: BIGINT },
  instr: { args: 'tc', result: BIGINT, prints: 'strpos' },
  position: { args: 'tc', result: BIGINT, prints: 'strpos' },
  lpad: { args: 'tnc', result: TEXT, check: padded },
  rpad: { args: 'tnc', result: TEXT, check: padded },
  format: { args: 'ca', result: TEXT, check: template, isReleased: true },
  printf: { args: 'ca', result: TEXT, check: template, isReleased: true },
  regexp_matches: { args: 'tc', result: BOOLEAN, check: pattern },
  regexp_full_match: { args: 'tc', result: BOOLEAN, check: pattern },
  regexp_extract: { args: 'tcn', optional: 1, result: TEXT, check: extracted },
  regexp_replace: { args: 'tccc', optional: 1, result: TEXT, check: replaced },
};

/** A text function with constants; null when the name is none of them. */
export function buildTextCall(name: string, args: readonly Typed[], over: Over, at: Place): Typed | null {
  const found = Object.hasOwn(TEXTS, name) ? TEXTS[name] : undefined;
  if (found === undefined) return null;
  if (found.isReleased === true) return released(name, found, args, over, at);
  const most = found.args.length;
  if (args.length > most || args.length < most - (found.optional ?? 0))
    refuse('wrong-arguments', `\`${name}\` was given ${args.length} arguments`, at, `it takes ${most}`);
  const constants = args.flatMap((arg, index) => read(name, arg, found.args[index] ?? 't', at));
  found.check?.(constants, args, at);
  const call = `${found.prints ?? name}(${args.map(printTyped).join(', ')})`;
  const sql = found.result === BIGINT ? `CAST(${call} AS BIGINT)` : call;
  return { kind: 'call', name, args, type: found.result, digits: null, sql, at };
}

function read(name: string, arg: Typed, wanted: string, at: Place): (string | number)[] {
  if (wanted === 't') {
    if (arg.type !== null && familyOf(arg.type) !== 'text')
      refuse('type-mismatch', `\`${name}\` needs text, not ${printType(arg.type)}`, arg.at ?? at);
    return [];
  }
  const literal = arg.kind === 'constant' ? arg.literal : null;
  if (wanted === 'c' && literal?.kind === 'text' && literal.value.length <= MAX_TEXT) return [literal.value];
  if (wanted === 'n' && literal?.kind === 'integer' && literal.value >= -1000n && literal.value <= 1000n)
    return [Number(literal.value)];
  return refuse(
    'wrong-arguments',
    `\`${name}\` needs ${wanted === 'c' ? `a text constant of at most ${MAX_TEXT} characters` : 'a whole constant between -1000 and 1000'} there`,
    arg.at ?? at,
  );
}

function released(name: string, found: TextFunction, args: readonly Typed[], over: Over, at: Place): Typed {
  if (over === 'rows')
    refuse('function-not-allowed', `\`${name}\` can be used on released values only, not over rows`, at);
  const [first] = args;
  if (first === undefined || args.length > 20) refuse('wrong-arguments', `\`${name}\` needs a template`, at);
  found.check?.(read(name, first, 'c', at), args, at);
  const sql = `TRY(${name}(${args.map(printTyped).join(', ')}))`;
  return { kind: 'call', name, args, type: found.result, digits: null, sql, at };
}

/** A width in a template asks for as many characters: two digits of it are enough. */
function template([text = '']: readonly (string | number)[], _args: readonly Typed[], at: Place): void {
  if (/\d{3}|\*|\{[^}]*\{/.test(String(text)))
    refuse('wrong-arguments', 'a template takes widths of at most two digits', at);
}

function grows(arg: Typed): boolean {
  return (arg.kind === 'call' && GROWING.has(arg.name)) || partsOf(arg).some(grows);
}

const GROWING: ReadonlySet<string> = new Set(['replace', 'regexp_replace', 'concat', 'concat_ws', '||']);

/** Longer texts in place of shorter ones, once: nested, they would multiply. */
function notGrowing([from = '', to = '']: readonly (string | number)[], [arg]: readonly Typed[], at: Place): void {
  if (String(to).length > String(from).length && arg !== undefined && grows(arg)) tooLong(at);
}

/** Nothing to pad with fails on the first text that is too short, which would tell that there is one. */
function padded([length = 0, pad = '']: readonly (string | number)[], _args: readonly Typed[], at: Place): void {
  if (Number(length) < 0 || Number(length) > MAX_PADDED) refuse('wrong-arguments', 'padding goes from 0 to 1000', at);
  if (pad === '') refuse('wrong-arguments', 'padding needs at least one character', at, "lpad(x, 10, ' ')");
}

function extracted([text = '', group = 0]: readonly (string | number)[], _args: readonly Typed[], at: Place): void {
  pattern([text], [], at);
  if (Number(group) < 0 || Number(group) > 9)
    refuse('wrong-arguments', 'groups of a pattern are numbered from 0 to 9', at);
}

function tooLong(at: Place): never {
  return refuse(
    'function-not-allowed',
    'a replacement that makes a composed text longer is not offered',
    at,
    'replace by something that is not longer, in the column itself',
  );
}

/** What RE2 has in common with everybody: no look-around, no back-references, small repetitions. */
function pattern([text = '']: readonly (string | number)[], _args: readonly Typed[], at: Place): void {
  const source = String(text);
  const repeated = [...source.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].flatMap(([, a, b]) => [Number(a), Number(b ?? 0)]);
  const isOdd =
    /\(\?[^:]|\\[0-9pPkKQEACGXzZbBuc]|\[\^?\]/.test(source) || repeated.length > 2 || repeated.some((n) => n > 100);
  try {
    if (!isOdd) return void new RegExp(source, 'u');
  } catch {
    // Refused below with the same words: which engine stumbles where is nobody's concern.
  }
  refuse('wrong-arguments', 'the pattern is not a regular expression that is offered', at, 'use plain RE2 syntax');
}

function replaced(
  [text = '', to = '', options = '']: readonly (string | number)[],
  [arg]: readonly Typed[],
  at: Place,
): void {
  pattern([text], [], at);
  if (!/^[gi]{0,2}$/.test(String(options)) || String(to).includes('\\'))
    refuse('wrong-arguments', '`regexp_replace` takes a plain replacement and the options g and i', at);
  if (String(to).length > 1 && arg !== undefined && grows(arg)) tooLong(at);
}

/** Least and greatest values and quantiles of private rows: what the order of values tells, each held to the minimum of units. */
import { DOUBLE, familyOf, isFloating, printType, type SqlType } from '../types.ts';
import type { Cell } from '../enforce/block.ts';
import { printTyped } from '../print.ts';
import { refuse } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import type { Rights } from '../rights.ts';
import type { Typed } from '../typed.ts';
import { type Call, cell, real } from './cell.ts';
import { around, conditionsFor, countedIn, filledIn, isThere, presence, together } from './hidden-conditions.ts';
import type { Known } from './known.ts';
import { isInOrder, spanOf } from './quantile-outside.ts';

/** min and max tell one row; where the policy grants `extremum`, the value is the one that enough units reach. */
export function extremumCell(rights: Rights, name: string, arg: Typed, chosen: readonly Typed[]): Cell {
  if (arg.kind !== 'column' || arg.base === null) {
    refuse(
      'measure-not-allowed',
      `\`${name}\` takes a plain column`,
      arg.at,
      'bool_or(condition) says whether a group has such a row, count_if(condition) how many',
    );
  }
  rights.require(arg.base, 'extremum', arg.at, `in ${name}`);
  const present = presence(arg, around(chosen), false);
  const value = isFloating(arg.type) ? `(CASE WHEN ${isThere(arg)} THEN ${arg.sql} END)` : arg.sql;
  const sql = `CAST(NULL AS ${printType(arg.type)})`;
  const extremum = { value, filter: around(chosen), isMax: name === 'max' };
  return { ...cell(sql, arg.type, conditionsFor(chosen, present), null, null), extremum };
}

/**
 * A quantile is some row's own value; what is told instead is the mean of the block of rows around it, which holds at
 * least the minimum of units (see enforce/quantile.ts).
 */
export function quantileCell(
  rights: Rights,
  name: string,
  [arg, fraction]: readonly Typed[],
  chosen: readonly Typed[],
  { syntax: { at, distinct, args }, known }: { readonly syntax: Call; readonly known: Known },
): Cell {
  if (arg === undefined || args.length !== (name === 'median' ? 1 : 2) || distinct)
    refuse('wrong-arguments', `\`${name}\` takes ${name === 'median' ? 'one value' : 'a value and a fraction'}`, at);
  if (!isOrderable(arg) || familyOf(arg.type) !== 'number')
    refuse(
      'measure-not-allowed',
      `\`${name}\` takes one column of numbers, or the time between two moments`,
      arg.at ?? at,
      'calculate with constants, or with the quantiles of each column',
    );
  rights.measure(arg, 'quantile');
  const q = fraction === undefined ? 0.5 : fraction.kind === 'constant' ? constantValue(fraction.literal) : null;
  if (q === null || q < 0 || q > 1) refuse('wrong-arguments', `\`${name}\` needs a constant between 0 and 1`, at);
  const within = around(chosen);
  const quantile = { value: real(printTyped(arg)), filter: within, fraction: q };
  const conditions = [
    ...conditionsFor(chosen, presence(arg, within, false, known)),
    ...filledIn(arg, within, known),
    ...countedIn(arg, within),
    ...together(arg, within, known),
  ];
  return { ...cell('CAST(NULL AS DOUBLE)', DOUBLE, conditions, null, null), quantile };
}

/**
 * What rows are put in order by: one column, with a constant where it has no value, or the time between two moments. Of other
 * calculations with several columns one would choose the blocks, whose means another one makes.
 */
function isOrderable(arg: Typed): arg is Typed & { readonly type: SqlType } {
  if (arg.kind === 'column') return arg.base !== null;
  if (arg.kind !== 'call' || arg.type === null) return false;
  const [first, second, ...more] = arg.args.map(withoutCast);
  if (first === undefined || second === undefined || more.length > 0) return false;
  const span = spanOf(arg);
  if (span !== null) return isInOrder(span);
  return (arg.name === 'coalesce' || arg.name === 'ifnull') && first.kind === 'column' && second.kind === 'constant';
}

/** What was cast for the sake of its type alone. */
function withoutCast(arg: Typed): Typed {
  const [inner] = arg.kind === 'call' && arg.name === 'cast' ? arg.args : [];
  return inner ?? arg;
}

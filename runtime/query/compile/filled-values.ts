/**
 * `SELECT patient, sum(coalesce(paid, 0)) … GROUP BY patient`: a value per unit that is 0 for whoever has paid nothing that is
 * known of. Added up it rests on those alone of whom something is known, so it is made of a value that is missing for all
 * others, `coalesce(sum(paid), 0)`, and the query around it is held to the minimum of those who have one.
 */
import { constant } from '../resolve/align.ts';
import { buildCall } from '../resolve/call.ts';
import { distinctColumns, partsOf, type Typed } from '../typed.ts';
import { isBlank, isNull } from './hidden-conditions.ts';

/** Whether some value in it is 0, or another number, in place of a missing one. */
export function isFilled(arg: Typed): boolean {
  return fills(arg) || partsOf(arg).some(isFilled);
}

/** What has to be there for the calculation to add anything but 0; null: it adds another number where that is missing. */
export function filledWithZero(arg: Typed): Typed | null {
  if (arg.kind !== 'call') return null;
  const [first, second, ...more] = arg.args;
  if (first === undefined) return null;
  if (fills(arg)) return arg.args.slice(1).every(isBlank) && !isFilled(first) ? first : null;
  const isNumber = (one: Typed | undefined): boolean => one !== undefined && distinctColumns(one).length === 0;
  if (arg.name === 'cast') return filledWithZero(first);
  if (more.length > 0) return null;
  if (arg.name === '-' && isBlank(first) && second !== undefined) return filledWithZero(second);
  if ((arg.name === '*' || arg.name === '/') && isNumber(second)) return filledWithZero(first);
  return arg.name === '*' && isNumber(first) && second !== undefined ? filledWithZero(second) : null;
}

/** 0 where the value per unit is missing. */
export function orZero(value: Typed): Typed {
  return buildCall('coalesce', [value, constant({ kind: 'integer', value: 0n }, value.at)], 'rows', value.at);
}

/**
 * coalesce and ifnull with something to put in the place of what is missing. INVARIANT: whether anything is missing is not
 * looked at, because a query may be refused for it.
 */
function fills(arg: Typed): boolean {
  if (arg.kind !== 'call' || (arg.name !== 'coalesce' && arg.name !== 'ifnull')) return false;
  const [first, ...others] = arg.args;
  return first !== undefined && first.kind !== 'constant' && !others.every(isNull);
}

import { printTyped } from '../print.ts';
import { digitsFor } from '../resolve/arithmetic.ts';
import { baseColumnsOf, type Typed } from '../typed.ts';
import { digitsOf, isFloating } from '../types.ts';

/** Digits of which ten thousand million values can be added up within the 38 that an exact number has. */
const MOST_DIGITS = 28;

/**
 * What of an exact value counts as there, or null where all of it does. DECIMAL(38) holds values of which two do not fit into
 * their sum: the engine fails, and that tells of them. So beyond 28 digits they are what infinities are: no value.
 */
export function rangeOfWide(value: Typed): { readonly sql: string; readonly most: number } | null {
  if (value.kind === 'constant' || value.type === null || isFloating(value.type)) return null;
  const digits = digitsFor(value);
  if (digits === null || digits.whole + digits.scale <= MOST_DIGITS || value.type.kind !== 'decimal') return null;
  // What is calculated of shorter columns is bounded where it is built, and a query's own sums are bounded here.
  const isStored = baseColumnsOf(value).some(({ table, column }) => {
    const own = digitsOf(column.type);
    return own !== null && own.whole + own.scale > MOST_DIGITS && !table.physical.startsWith('(');
  });
  if (!isStored) return null;
  const { width, scale } = value.type;
  const whole = '9'.repeat(Math.max(1, MOST_DIGITS - scale));
  const most = `CAST('${whole}' AS DECIMAL(${width},${scale}))`;
  const sql = printTyped(value);
  return { sql: `(${sql} BETWEEN -${most} AND ${most})`, most: Number(whole) };
}

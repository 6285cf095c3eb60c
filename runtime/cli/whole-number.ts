import { UsageError } from './output.ts';

/** Range of an option, both ends included. */
export interface WholeRange {
  readonly from?: number;
  readonly to?: number;
}

/** What the wire's 32-bit fields hold. */
export const MAX_UINT32 = 0xffff_ffff;

/** The whole number that an option was given. Throws a UsageError that names option, range and what was typed. */
export function wholeNumber(option: string, text: string, range: WholeRange = {}): number {
  const { from = 0, to = MAX_UINT32 } = range;
  const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= from && value <= to) return value;
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  throw new UsageError(
    `${option} takes a whole number ${to === Number.MAX_SAFE_INTEGER ? `from ${from}` : `from ${from} to ${to}`}, not \`${shown}\``,
  );
}

/** Clipping and fixed point of bounded measures: integers sum exactly and in any order, which noise needs. */
import type { SqlType } from '../query/types.ts';
export { fixedPointStep } from '../query/fixed-point-step.ts';
import { DatasetError } from './dataset-error.ts';

export interface Bounds {
  readonly low: number;
  readonly high: number;
}

/** SQL of a column clipped to its bounds in its own type; NaN is no value. Throws for types without an order of numbers. */
export function clippedExpression(column: string, type: SqlType, bounds: Bounds): string {
  const { low, high } = bounds;
  if (!(Number.isFinite(low) && Number.isFinite(high) && low <= high)) {
    throw new DatasetError('invalid-layout', `bounds of ${column} are not an interval of finite numbers`);
  }
  // An allow-list on purpose: a type that is not named here is refused.
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check
  switch (type.kind) {
    case 'double':
    case 'float': {
      const name = type.kind === 'double' ? 'DOUBLE' : 'FLOAT';
      return `CASE WHEN ${column} IS NULL OR isnan(${column}) THEN NULL ELSE least(greatest(${column}, CAST(${low} AS ${name})), CAST(${high} AS ${name})) END`;
    }
    case 'integer':
      return clipInteger(column, type.bits, type.isSigned, BigInt(Math.ceil(low)), BigInt(Math.floor(high)));
    case 'decimal': {
      const limit = 10n ** BigInt(type.width) - 1n;
      const place = 10 ** type.scale;
      const text = (scaled: bigint): string =>
        `CAST('${decimalText(scaled, type.scale)}' AS DECIMAL(${type.width},${type.scale}))`;
      const from = BigInt(Math.ceil(low * place));
      const to = BigInt(Math.floor(high * place));
      return clip(column, from > -limit ? text(from) : null, to < limit ? text(to) : null);
    }
    default:
      throw new DatasetError('invalid-layout', `column ${column} has bounds and is not a number`);
  }
}

/** SQL of the fixed-point form of an already clipped column: a BIGINT, or NULL where there is no value. Total. */
export function fixedPointExpression(clipped: string, step: number): string {
  if (step === 1) return `CAST(${clipped} AS BIGINT)`;
  return `CAST(round(CAST(${clipped} AS DOUBLE) / ${step}) AS BIGINT)`;
}

function clipInteger(column: string, bits: number, isSigned: boolean, low: bigint, high: bigint): string {
  const min = isSigned ? -(2n ** BigInt(bits - 1)) : 0n;
  const max = 2n ** BigInt(isSigned ? bits - 1 : bits) - 1n;
  const name = `${isSigned ? '' : 'U'}${({ 8: 'TINYINT', 16: 'SMALLINT', 32: 'INTEGER', 64: 'BIGINT', 128: 'HUGEINT' } as Record<number, string>)[bits] ?? 'BIGINT'}`;
  const text = (value: bigint): string => `CAST('${value < min ? min : value > max ? max : value}' AS ${name})`;
  return clip(column, low > min ? text(low) : null, high < max ? text(high) : null);
}

function clip(column: string, low: string | null, high: string | null): string {
  // greatest and least pass over NULL in this engine, so a missing value has to be kept missing by hand.
  const raised = low === null ? column : `greatest(${column}, ${low})`;
  const clipped = high === null ? raised : `least(${raised}, ${high})`;
  return clipped === column ? column : `CASE WHEN ${column} IS NULL THEN NULL ELSE ${clipped} END`;
}

function decimalText(scaled: bigint, scale: number): string {
  const sign = scaled < 0n ? '-' : '';
  const digits = (scaled < 0n ? -scaled : scaled).toString().padStart(scale + 1, '0');
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** Types of values, as the engine has them and as far as queries may use them. */
export type SqlType =
  | { readonly kind: 'boolean' }
  | { readonly kind: 'integer'; readonly bits: 8 | 16 | 32 | 64 | 128; readonly isSigned: boolean }
  | { readonly kind: 'decimal'; readonly width: number; readonly scale: number }
  | { readonly kind: 'double' }
  | { readonly kind: 'float' }
  | { readonly kind: 'text' }
  | { readonly kind: 'date' }
  | { readonly kind: 'timestamp' }
  | { readonly kind: 'timestampWithZone' }
  | { readonly kind: 'interval' };

export type Family = 'number' | 'text' | 'boolean' | 'date' | 'interval';

export const BOOLEAN: SqlType = { kind: 'boolean' };
export const TEXT: SqlType = { kind: 'text' };
export const DOUBLE: SqlType = { kind: 'double' };
export const DATE: SqlType = { kind: 'date' };
export const TIMESTAMP: SqlType = { kind: 'timestamp' };
export const BIGINT: SqlType = { kind: 'integer', bits: 64, isSigned: true };
export const HUGEINT: SqlType = { kind: 'integer', bits: 128, isSigned: true };

/** `date` holds dates and timestamps. */
export function familyOf(type: SqlType): Family {
  switch (type.kind) {
    case 'integer':
    case 'decimal':
    case 'double':
    case 'float':
      return 'number';
    case 'date':
    case 'timestamp':
    case 'timestampWithZone':
      return 'date';
    case 'boolean':
    case 'text':
    case 'interval':
      return type.kind;
    default:
      return type satisfies never;
  }
}

export function isFloating(type: SqlType): boolean {
  return type.kind === 'double' || type.kind === 'float';
}

/** The type as DuckDB writes it. */
export function printType(type: SqlType): string {
  switch (type.kind) {
    case 'boolean':
      return 'BOOLEAN';
    case 'integer': {
      const name = { 8: 'TINYINT', 16: 'SMALLINT', 32: 'INTEGER', 64: 'BIGINT', 128: 'HUGEINT' }[type.bits];
      return type.isSigned ? name : `U${name}`;
    }
    case 'decimal':
      return `DECIMAL(${type.width},${type.scale})`;
    case 'double':
      return 'DOUBLE';
    case 'float':
      return 'FLOAT';
    case 'text':
      return 'VARCHAR';
    case 'date':
      return 'DATE';
    case 'timestamp':
      return 'TIMESTAMP';
    case 'timestampWithZone':
      return 'TIMESTAMP WITH TIME ZONE';
    case 'interval':
      return 'INTERVAL';
    default:
      return type satisfies never;
  }
}

/** Decimal digits that a value of the type can need before and after the point; null for what has no such bound. */
export interface Digits {
  readonly whole: number;
  readonly scale: number;
}

const INTEGER_DIGITS = { 8: 3, 16: 5, 32: 10, 64: 20, 128: 39 } as const;

export function digitsOf(type: SqlType): Digits | null {
  if (type.kind === 'integer') return { whole: INTEGER_DIGITS[type.bits], scale: 0 };
  if (type.kind === 'decimal') return { whole: type.width - type.scale, scale: type.scale };
  return null;
}

/** The type of a value that may come from either side, e.g. the branches of CASE; null when there is none. */
export function commonType(left: SqlType, right: SqlType): SqlType | null {
  if (printType(left) === printType(right)) return left;
  const family = familyOf(left);
  if (family !== familyOf(right)) return null;
  if (family === 'date') return TIMESTAMP;
  if (family !== 'number') return left;
  const [a, b] = [digitsOf(left), digitsOf(right)];
  if (a === null || b === null) return DOUBLE;
  const whole = Math.max(a.whole, b.whole);
  const scale = Math.max(a.scale, b.scale);
  if (left.kind === 'integer' && right.kind === 'integer') return whole <= 18 ? BIGINT : HUGEINT;
  return whole + scale > 38 ? DOUBLE : { kind: 'decimal', width: whole + scale, scale };
}

import { BIGINT, BOOLEAN, DATE, DOUBLE, HUGEINT, printType, type SqlType, TEXT, TIMESTAMP } from './types.ts';
import { refuse } from './refusal.ts';
import type { Literal } from './syntax.ts';
import type { Typed } from './typed.ts';

/** An identifier in double quotes. Only names from the policy's catalogue and our own are ever printed. */
export function quoteName(name: string): string {
  if (name.includes('\0')) refuse('name-not-allowed', 'a name contains a NUL character');
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteText(value: string): string {
  // A quoted NUL or a half of a surrogate pair would not arrive as written.
  if (value.includes('\0') || !value.isWellFormed()) refuse('text-not-allowed', 'a text constant is not well-formed');
  return `'${value.replaceAll("'", "''")}'`;
}

export function literalType(literal: Literal): SqlType | null {
  switch (literal.kind) {
    case 'null':
      return null;
    case 'boolean':
      return BOOLEAN;
    case 'integer': {
      const value = literal.value;
      if (BigInt.asIntN(32, value) === value) return { kind: 'integer', bits: 32, isSigned: true };
      return BigInt.asIntN(64, value) === value ? BIGINT : HUGEINT;
    }
    case 'decimal': {
      const digits = literal.unscaled.toString().replace('-', '').length;
      return { kind: 'decimal', width: Math.min(38, Math.max(digits, literal.scale, 1)), scale: literal.scale };
    }
    case 'double':
      return DOUBLE;
    case 'text':
      return TEXT;
    case 'date':
      return DATE;
    case 'timestamp':
      return TIMESTAMP;
    case 'interval':
      return { kind: 'interval' };
    default:
      return literal satisfies never;
  }
}

/** A constant with its type spelled out, so that no parser can read it as anything else. */
export function printLiteral(literal: Literal): string {
  switch (literal.kind) {
    case 'null':
      return 'NULL';
    case 'boolean':
      return literal.value ? 'TRUE' : 'FALSE';
    case 'integer':
      return `CAST(${quoteText(literal.value.toString())} AS ${printType(literalType(literal) ?? BIGINT)})`;
    case 'decimal':
      return `CAST(${quoteText(decimalText(literal.unscaled, literal.scale))} AS ${printType(literalType(literal) ?? DOUBLE)})`;
    case 'double':
      return `CAST(${quoteText(literal.text)} AS DOUBLE)`;
    case 'text':
      return `CAST(${quoteText(literal.value)} AS VARCHAR)`;
    case 'date':
      return `CAST(${quoteText(literal.text)} AS DATE)`;
    case 'timestamp':
      return `CAST(${quoteText(literal.text)} AS TIMESTAMP)`;
    case 'interval':
      return `CAST(${quoteText(`${literal.months} months ${literal.days} days ${literal.micros} microseconds`)} AS INTERVAL)`;
    default:
      return literal satisfies never;
  }
}

export function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : '';
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

export function printTyped(expression: Typed): string {
  return expression.kind === 'constant' ? printLiteral(expression.literal) : expression.sql;
}

import type { SqlType } from '../types.ts';
import { numberText } from '../lossless-json.ts';
import { type Place, refuse } from '../refusal.ts';
import type { Literal } from '../syntax.ts';
import { type Json, malformed, object } from './node.ts';

const INTEGERS: Readonly<Record<string, readonly [8 | 16 | 32 | 64 | 128, boolean]>> = {
  TINYINT: [8, true],
  SMALLINT: [16, true],
  INTEGER: [32, true],
  BIGINT: [64, true],
  HUGEINT: [128, true],
  UTINYINT: [8, false],
  USMALLINT: [16, false],
  UINTEGER: [32, false],
  UBIGINT: [64, false],
};

/** The type of a cast; types that are not in the catalogue's list do not exist here. */
export function readType(value: unknown, at: Place): SqlType {
  const node = object(value);
  const id = node['id'];
  if (typeof id !== 'string') malformed();
  const integer = Object.hasOwn(INTEGERS, id) ? INTEGERS[id] : undefined;
  if (integer !== undefined) return { kind: 'integer', bits: integer[0], isSigned: integer[1] };
  switch (id) {
    case 'BOOLEAN':
      return { kind: 'boolean' };
    case 'FLOAT':
      return { kind: 'float' };
    case 'DOUBLE':
      return { kind: 'double' };
    case 'VARCHAR':
      return { kind: 'text' };
    case 'DATE':
      return { kind: 'date' };
    case 'TIMESTAMP':
      return { kind: 'timestamp' };
    case 'INTERVAL':
      return { kind: 'interval' };
    case 'DECIMAL':
      return readDecimal(node['type_info']);
    default:
      return refuse('type-not-allowed', `the type ${printable(id)} is not offered`, at);
  }
}

function readDecimal(info: unknown): { kind: 'decimal'; width: number; scale: number } {
  if (info === null) return { kind: 'decimal', width: 18, scale: 3 };
  const { width, scale } = object(info);
  if (typeof width !== 'number' || typeof scale !== 'number') malformed();
  if (!(width >= 1 && width <= 38 && scale >= 0 && scale <= width)) malformed();
  return { kind: 'decimal', width, scale };
}

export function readLiteral(value: unknown, at: Place): Literal {
  const node = object(value);
  for (const key of Object.keys(node)) if (!['type', 'is_null', 'value'].includes(key)) malformed();
  if (node['is_null'] === true) return { kind: 'null' };
  const type = object(node['type']);
  const id = String(type['id']);
  const raw = node['value'];
  if (Object.hasOwn(INTEGERS, id)) return { kind: 'integer', value: wholeNumber(raw) };
  switch (id) {
    case 'BOOLEAN':
      return typeof raw === 'boolean' ? { kind: 'boolean', value: raw } : malformed();
    case 'VARCHAR':
      return typeof raw === 'string' ? { kind: 'text', value: raw } : malformed();
    case 'DECIMAL':
      return { kind: 'decimal', unscaled: wholeNumber(raw), scale: readDecimal(type['type_info']).scale };
    case 'FLOAT':
    case 'DOUBLE': {
      const text = numberText(raw);
      return text === null || !Number.isFinite(Number(text)) ? malformed() : { kind: 'double', text };
    }
    default:
      return refuse('type-not-allowed', `constants of type ${printable(id)} are not offered`, at);
  }
}

/** Integers beyond 64 bits are written as two halves. */
function wholeNumber(raw: unknown): bigint {
  const text = numberText(raw);
  if (text !== null) return /^-?\d+$/.test(text) ? BigInt(text) : malformed();
  const halves: Json = object(raw);
  const upper = numberText(halves['upper']);
  const lower = numberText(halves['lower']);
  if (upper === null || lower === null || !/^-?\d+$/.test(upper) || !/^\d+$/.test(lower)) malformed();
  const whole = (BigInt(upper) << 64n) + BigInt(lower);
  return BigInt.asIntN(128, whole) === whole ? whole : malformed();
}

/** Words of the consumer that go into a message: short, one line. */
export function printable(words: string): string {
  const line = words.replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?');
  return line.length > 60 ? `${line.slice(0, 60)}…` : line;
}

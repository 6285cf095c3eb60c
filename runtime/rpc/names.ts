import type { Enum, Field, OneOf } from 'protobufjs';

/** `rule_id` → `ruleId`, `SCREAMING_CASE` → `screamingCase`. */
export function camelCase(name: string): string {
  return name.toLowerCase().replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** `WhoAmI` → `whoAmI`. */
export function lowerFirst(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

/** `MODE_DIFFERENTIAL_PRIVACY` of `Mode` → `differentialPrivacy`. */
export function enumWord(type: Enum, valueName: string): string {
  const prefix = `${type.name.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()}_`;
  return camelCase(valueName.startsWith(prefix) ? valueName.slice(prefix.length) : valueName);
}

/** The oneof of a field, unless it is the synthetic one of a proto3 `optional`. */
export function realOneOf(field: Field): OneOf | null {
  return field.partOf === null || isSynthetic(field.partOf) ? null : field.partOf;
}

/** Whether a field distinguishes "not set" from its default: `optional` scalars and messages. */
export function hasPresence(field: Field): boolean {
  return field.partOf !== null && isSynthetic(field.partOf);
}

/** Protobufjs makes a oneof `_x` with one field for `optional x`. */
export function isSynthetic(oneOf: OneOf): boolean {
  return oneOf.fieldsArray.length === 1 && oneOf.name === `_${oneOf.fieldsArray[0]?.name ?? ''}`;
}

const LONG_TYPES: ReadonlySet<string> = new Set(['int64', 'uint64', 'sint64', 'fixed64', 'sfixed64']);

/** 64-bit integers are `bigint`, except times and durations (`…_ms`), which are safe numbers. */
export function scalarKind(field: Field): 'bigint' | 'milliseconds' | 'number' | 'string' | 'boolean' | 'bytes' {
  if (LONG_TYPES.has(field.type)) return field.name.endsWith('_ms') ? 'milliseconds' : 'bigint';
  if (field.type === 'string') return 'string';
  if (field.type === 'bool') return 'boolean';
  if (field.type === 'bytes') return 'bytes';
  return 'number';
}

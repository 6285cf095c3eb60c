import protobuf from 'protobufjs';
import { Fault } from './fault.ts';
import { camelCase, enumWord, hasPresence, isSynthetic, realOneOf, scalarKind } from './names.ts';
import { schema } from './schema.ts';

/**
 * The one place where wire messages become plain data and back: camelCase names, `bigint` for 64-bit integers, words
 * for enum values, `null` for what is not set, `{ kind, … }` for a oneof. The shapes are those of `runtime/gen`.
 */
export interface Codec {
  readonly name: string;
  /** Throws the fault `message-not-valid` for bytes that are not this message. */
  readonly decode: (bytes: Uint8Array) => unknown;
  /** The same for what somebody asks for: a value that an enum does not have is refused, because it would be ignored. */
  readonly decodeRequest: (bytes: Uint8Array) => unknown;
  /** Fields that are left out have their default; throws a TypeError for a value of the wrong type. */
  readonly encode: (plain: unknown) => Buffer;
  /** Name of the text that says which thing a request is about: the first field, where it is such a name; else null. */
  readonly subject: string | null;
  /** Whether the message has a field of this plain name. */
  readonly has: (field: string) => boolean;
}

type Plain = Record<string, unknown>;
type Wire = Record<string, unknown>;

interface FieldRule {
  readonly field: protobuf.Field;
  readonly wireName: string;
  readonly plainName: string;
  /** Plain name of the oneof that the field is a case of; null when none. */
  readonly oneOf: string | null;
  readonly fallback: () => unknown;
  readonly toPlain: (value: unknown) => unknown;
  readonly toWire: (value: unknown, path: string) => unknown;
}

interface MessageRule {
  readonly type: protobuf.Type;
  readonly fields: readonly FieldRule[];
  readonly oneOfs: readonly string[];
}

const rules = new Map<protobuf.Type, MessageRule>();
const codecs = new Map<string, Codec>();

/** The codec of a message of package glovebox.v1 (or of another one by its full name). */
export function codecOf(name: string): Codec {
  const known = codecs.get(name);
  if (known !== undefined) return known;
  const rule = ruleOf(schema().lookupType(name.includes('.') ? name : `glovebox.v1.${name}`));
  const codec: Codec = {
    name,
    decode: (bytes) => toPlain(rule, wireOf(rule, bytes)),
    decodeRequest(bytes) {
      const wire = wireOf(rule, bytes);
      requireKnownValues(rule, wire, '');
      return toPlain(rule, wire);
    },
    encode(plain) {
      const bytes = rule.type.encode(toWire(rule, plain, rule.type.name)).finish();
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    subject: subjectOf(rule),
    has: (field) => rule.fields.some((one) => one.plainName === field),
  };
  codecs.set(name, codec);
  return codec;
}

function subjectOf({ fields }: MessageRule): string | null {
  const first = fields.find(({ field }) => field.id === 1);
  return first?.field.type === 'string' && SUBJECTS.has(first.plainName) ? first.plainName : null;
}
const SUBJECTS: ReadonlySet<string> = new Set(['id', 'name', 'dataset', 'agreementId', 'authority', 'digest']);

function wireOf(rule: MessageRule, bytes: Uint8Array): Wire {
  try {
    return rule.type.decode(bytes) as unknown as Wire;
  } catch (cause) {
    throw new Fault('message-not-valid', `the request is not a valid ${rule.type.name} message`, { cause });
  }
}

function ruleOf(type: protobuf.Type): MessageRule {
  const known = rules.get(type);
  if (known !== undefined) return known;
  const oneOfs = type.oneofsArray.filter((oneOf) => !isSynthetic(oneOf)).map((oneOf) => camelCase(oneOf.name));
  const fields: FieldRule[] = [];
  const rule: MessageRule = { type, fields, oneOfs };
  rules.set(type, rule);
  for (const field of type.fieldsArray) fields.push(fieldRule(field));
  return rule;
}

function fieldRule(field: protobuf.Field): FieldRule {
  const single = singleRule(field);
  const names = {
    field,
    wireName: field.name,
    plainName: camelCase(field.name),
    oneOf: mapName(realOneOf(field)),
  };
  if (field instanceof protobuf.MapField) {
    return {
      ...names,
      fallback: () => ({}),
      // Object.fromEntries defines own properties, so a key like `__proto__` stays a key.
      toPlain: (value) =>
        Object.fromEntries(Object.entries(value as Wire).map(([key, item]) => [key, single.toPlain(item)])),
      toWire: (value, path) =>
        Object.fromEntries(
          Object.entries(objectOf(value, path)).map(([key, item]) => [key, single.toWire(item, `${path}.${key}`)]),
        ),
    };
  }
  if (field.repeated) {
    return {
      ...names,
      fallback: () => [],
      toPlain: (value) => (value as readonly unknown[]).map(single.toPlain),
      toWire: (value, path) => {
        if (!Array.isArray(value)) throw new TypeError(`${path} is not a list`);
        return value.map((item, index) => single.toWire(item, `${path}[${index}]`));
      },
    };
  }
  const isNullable = field.resolvedType instanceof protobuf.Type || hasPresence(field);
  return { ...names, ...single, fallback: isNullable ? () => null : single.fallback };
}

function mapName(oneOf: protobuf.OneOf | null): string | null {
  return oneOf === null ? null : camelCase(oneOf.name);
}

type SingleRule = Pick<FieldRule, 'fallback' | 'toPlain' | 'toWire'>;

function singleRule(field: protobuf.Field): SingleRule {
  const resolved = field.resolvedType;
  if (resolved instanceof protobuf.Type) {
    const inner = ruleOf(resolved);
    return {
      fallback: () => null,
      toPlain: (value) => toPlain(inner, value as Wire),
      toWire: (value, path) => toWire(inner, value, path),
    };
  }
  return resolved instanceof protobuf.Enum ? enumRule(resolved) : scalarRule(field);
}

function enumRule(type: protobuf.Enum): SingleRule {
  const words = new Map(Object.entries(type.values).map(([name, id]) => [id, enumWord(type, name)]));
  const ids = new Map([...words].map(([id, word]) => [word, id]));
  const zero = words.get(0) ?? 'unspecified';
  return {
    fallback: () => zero,
    // A value of a newer version is read as "not said", as proto3 readers do.
    toPlain: (value) => words.get(value as number) ?? zero,
    toWire: (value, path) => {
      const id = ids.get(value as string);
      if (id === undefined) throw new TypeError(`${path} is not a value of ${type.name}`);
      return id;
    },
  };
}

function scalarRule(field: protobuf.Field): SingleRule {
  const isUnsigned = field.type.startsWith('u') || field.type === 'fixed64';
  switch (scalarKind(field)) {
    case 'bigint':
      return {
        fallback: () => 0n,
        toPlain: (value) => bigintOf(value),
        toWire: (v, path) => longOf(v, path, isUnsigned),
      };
    case 'milliseconds':
      return {
        fallback: () => 0,
        toPlain: (value) => safeNumberOf(bigintOf(value), field.name),
        toWire: (value, path) => {
          if (!Number.isSafeInteger(value)) throw new TypeError(`${path} is not a whole number of milliseconds`);
          return longOf(BigInt(value as number), path, isUnsigned);
        },
      };
    case 'bytes':
      return {
        fallback: () => Buffer.alloc(0),
        toPlain: (value) => value,
        toWire: (value, path) => {
          if (!(value instanceof Uint8Array)) throw new TypeError(`${path} is not bytes`);
          return value;
        },
      };
    case 'string':
      return { fallback: () => '', toPlain: (value) => value, toWire: textOf };
    case 'boolean':
      return { fallback: () => false, toPlain: (value) => value, toWire: expectBoolean };
    case 'number':
    default:
      return { fallback: () => 0, toPlain: (value) => value, toWire: numberRule(field.type) };
  }
}

function numberRule(type: string): (value: unknown, path: string) => number {
  const [low, high] = type.startsWith('u') || type === 'fixed32' ? [0, 0xffff_ffff] : [-0x8000_0000, 0x7fff_ffff];
  const isReal = type === 'double' || type === 'float';
  return (value, path) => {
    if (typeof value !== 'number') throw new TypeError(`${path} is not a number`);
    if (!isReal && (!Number.isInteger(value) || value < low || value > high)) {
      throw new TypeError(`${path} does not fit ${type}`);
    }
    return value;
  };
}

/** Readers refuse a whole message for half a character, which remains where a text is cut. */
function textOf(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new TypeError(`${path} is not a string`);
  return value.toWellFormed();
}

function expectBoolean(value: unknown, path: string): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${path} is not a boolean`);
  return value;
}

function toPlain(rule: MessageRule, message: Wire): Plain {
  const plain: Plain = {};
  for (const name of rule.oneOfs) plain[name] = null;
  for (const { wireName, plainName, oneOf, fallback, toPlain: convert } of rule.fields) {
    // An absent field is on the prototype with its default (a truthy Long 0 for integers): only own ones were sent.
    const isSet = Object.hasOwn(message, wireName) && message[wireName] !== null && message[wireName] !== undefined;
    if (oneOf !== null) {
      if (isSet) plain[oneOf] = { kind: plainName, [plainName]: convert(message[wireName]) };
    } else {
      plain[plainName] = isSet ? convert(message[wireName]) : fallback();
    }
  }
  return plain;
}

function requireKnownValues(rule: MessageRule, message: Wire, path: string): void {
  for (const { field, wireName } of rule.fields) {
    const { resolvedType } = field;
    if (resolvedType === null || !Object.hasOwn(message, wireName)) continue;
    const given = message[wireName];
    const isMany = field.repeated || field instanceof protobuf.MapField;
    for (const one of isMany ? Object.values(given ?? {}) : [given]) {
      if (resolvedType instanceof protobuf.Type) {
        if (one !== null && one !== undefined)
          requireKnownValues(ruleOf(resolvedType), one as Wire, `${path}${wireName}.`);
      } else if (resolvedType.valuesById[one as number] === undefined) {
        const known = Object.keys(resolvedType.values).join(', ');
        throw new Fault(
          'message-not-valid',
          `\`${path}${wireName}\` has the unknown value ${String(one)}: known are ${known}`,
        );
      }
    }
  }
}

function toWire(rule: MessageRule, value: unknown, path: string): Wire {
  const plain = objectOf(value, path);
  const wire: Wire = {};
  for (const { wireName, plainName, oneOf, toWire: convert } of rule.fields) {
    if (oneOf !== null) {
      const chosen = plain[oneOf];
      if (chosen === null || chosen === undefined) continue;
      const one = objectOf(chosen, `${path}.${oneOf}`);
      if (one['kind'] === plainName) wire[wireName] = convert(one[plainName], `${path}.${plainName}`);
    } else {
      const given = plain[plainName];
      if (given !== null && given !== undefined) wire[wireName] = convert(given, `${path}.${plainName}`);
    }
  }
  return wire;
}

function objectOf(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError(`${path} is not an object`);
  return value as Readonly<Record<string, unknown>>;
}

function bigintOf(value: unknown): bigint {
  if (typeof value === 'number') return BigInt(value);
  const { low, high, unsigned } = value as { readonly low: number; readonly high: number; readonly unsigned: boolean };
  const bits = (BigInt(high) << 32n) | BigInt(low >>> 0);
  return unsigned ? BigInt.asUintN(64, bits) : BigInt.asIntN(64, bits);
}

function safeNumberOf(value: bigint, name: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw new Fault('message-not-valid', `\`${name}\` is beyond every date`);
  }
  return Number(value);
}

function longOf(value: unknown, path: string, unsigned: boolean): unknown {
  if (typeof value !== 'bigint') throw new TypeError(`${path} is not a bigint`);
  if (value !== (unsigned ? BigInt.asUintN(64, value) : BigInt.asIntN(64, value))) {
    throw new TypeError(`${path} does not fit 64 bits`);
  }
  const low = Number(BigInt.asIntN(32, value));
  return { low, high: Number(BigInt.asIntN(32, value >> 32n)), unsigned };
}

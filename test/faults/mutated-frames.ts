import protobuf from 'protobufjs';
import { schema } from '../../runtime/rpc/schema.ts';

/** Numbers in [0, 1) that a seed repeats. */
export type Random = () => number;

/** Mulberry32. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
const pick = <T>(random: Random, items: readonly T[]): T => {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
};

export interface MethodUnderTest {
  readonly path: string;
  readonly request: protobuf.Type;
  readonly isStream: boolean;
}

/** Every rpc of every service that a gateway serves. */
export function everyMethod(): readonly MethodUnderTest[] {
  return schema()
    .nestedArray.flatMap(servicesBelow)
    .filter(({ fullName }) => !fullName.startsWith('.glovebox.decryptor.'))
    .flatMap((service) =>
      service.methodsArray.map((method) => {
        method.resolve();
        const { resolvedRequestType: request } = method;
        if (request === null) throw new Error(`${method.fullName} has no request`);
        const isStream = method.requestStream === true || method.responseStream === true;
        return { path: `/${service.fullName.slice(1)}/${method.name}`, request, isStream };
      }),
    );
}
function servicesBelow(node: protobuf.ReflectionObject): readonly protobuf.Service[] {
  if (node instanceof protobuf.Service) return [node];
  return node instanceof protobuf.Namespace ? node.nestedArray.flatMap(servicesBelow) : [];
}

/** Values by the names of their fields, so that messages get past the first check. */
export type Known = Readonly<Record<string, readonly (string | Uint8Array)[]>>;

/** A message that is valid on the wire, with every kind of value. */
export function validMessage(random: Random, type: protobuf.Type, known: Known, depth = 0): Uint8Array {
  return type.encode(type.fromObject(objectOf(random, type, known, depth))).finish();
}

function objectOf(random: Random, type: protobuf.Type, known: Known, depth: number): Record<string, unknown> {
  const chosen = new Set(type.oneofsArray.map((oneOf) => pick(random, oneOf.oneof)));
  const wire: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    if (field.partOf !== null && !chosen.has(field.name)) continue;
    // Most fields are set: a message of defaults ends at the first check.
    if (random() < 0.2 || (depth > 4 && field.resolvedType instanceof protobuf.Type)) continue;
    const one = (): unknown => valueOf(random, field, known, depth);
    if (field instanceof protobuf.MapField) wire[field.name] = { [pick(random, ['a', '__proto__', ''])]: one() };
    else wire[field.name] = field.repeated ? Array.from({ length: Math.floor(random() * 3) }, one) : one();
  }
  return wire;
}

const INTEGERS = [0n, 1n, 2n, 7n, 1000n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 64n - 1n, -1n];
const longOf = (value: bigint, unsigned: boolean): object => {
  const half = (bits: bigint): number => Number(BigInt.asIntN(32, bits));
  return { low: half(value), high: half(value >> 32n), unsigned };
};
function valueOf(random: Random, field: protobuf.Field, known: Known, depth: number): unknown {
  const { resolvedType: resolved, type, name } = field;
  if (resolved instanceof protobuf.Type) return objectOf(random, resolved, known, depth + 1);
  if (resolved instanceof protobuf.Enum) return pick(random, [...Object.values(resolved.values), 2 ** 31 - 1, -1]);
  const words = known[name] ?? known[''] ?? [''];
  if (type === 'string') return String(pick(random, words));
  if (type === 'bytes') return Buffer.from(pick(random, words));
  if (type === 'bool') return random() < 0.5;
  if (type === 'double' || type === 'float') return pick(random, [0, -0, 1.5, NaN, Infinity, -Infinity, 1e308]);
  if (type.endsWith('64')) return longOf(pick(random, INTEGERS), type.startsWith('u'));
  return pick(random, [0, 1, 2, 10, 65_536, 2 ** 31 - 1, -1]);
}

const varint = (value: bigint): Buffer => {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, value);
  for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128);
  return Buffer.from([...bytes, Number(left)]);
};
/** Where a random byte of a message is. */
const placeIn = (random: Random, bytes: Uint8Array): number => Math.floor(random() * (bytes.length + 1));
const spliced = (bytes: Uint8Array, at: number, without: number, ...more: readonly Uint8Array[]): Buffer =>
  Buffer.concat([bytes.subarray(0, at), ...more, bytes.subarray(at + without)]);

type Mutation = (random: Random, bytes: Uint8Array, type: protobuf.Type) => Uint8Array;
const numberIn = (random: Random, type: protobuf.Type): number =>
  type.fieldsArray.length === 0 ? 1 : pick(random, type.fieldsArray).id;
const tag = (id: number, wireType: number): Buffer => varint((BigInt(id) << 3n) | BigInt(wireType));

/** What may be wrong with bytes on the wire; each alone, or one after the other. */
export const MUTATIONS: Readonly<Record<string, Mutation>> = {
  none: (_random, bytes) => bytes,
  truncated: (random, bytes) => bytes.subarray(0, placeIn(random, bytes)),
  'a byte changed': (random, bytes) => {
    const changed = Buffer.from(bytes);
    const at = Math.floor(random() * bytes.length);
    changed[at] = Math.floor(random() * 256);
    return changed;
  },
  'a byte inserted': (random, bytes) =>
    spliced(bytes, placeIn(random, bytes), 0, Buffer.of(Math.floor(random() * 256))),
  'sent twice': (_random, bytes) => Buffer.concat([bytes, bytes]),
  'sent many times': (_random, bytes) => Buffer.concat(Array<Uint8Array>(bytes.length > 2000 ? 4 : 300).fill(bytes)),
  'a huge length': (random, bytes, type) => {
    const lengths = [2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
    return Buffer.concat([bytes, tag(numberIn(random, type), 2), varint(pick(random, lengths)), Buffer.alloc(16)]);
  },
  'nested deeply': (random, bytes, type) => {
    let inner: Buffer = Buffer.from(bytes);
    const id = numberIn(random, type);
    for (let depth = 0; depth < 400; depth += 1)
      inner = Buffer.concat([tag(id, 2), varint(BigInt(inner.length)), inner]);
    return inner;
  },
  'groups in groups': (random, bytes, type) =>
    Buffer.concat([bytes, Buffer.alloc(pick(random, [50, 5000, 500_000]), tag(numberIn(random, type) % 16 || 1, 3))]),
  'another wire type': (random, bytes, type) =>
    Buffer.concat([
      bytes,
      tag(numberIn(random, type), Math.floor(random() * 8)),
      Buffer.alloc(pick(random, [0, 1, 4, 8, 20]), 0x81),
    ]),
  'not UTF-8': (random, bytes, type) => {
    const broken = pick(random, ['c328', 'a0a1', 'f0288cbc', 'edbfbf', 'f8a1a1a1a1', 'c080', 'fffe']);
    return Buffer.concat([
      bytes,
      tag(numberIn(random, type), 2),
      varint(BigInt(broken.length / 2)),
      Buffer.from(broken, 'hex'),
    ]);
  },
  'an extreme integer': (random, bytes, type) =>
    Buffer.concat([
      bytes,
      tag(numberIn(random, type), 0),
      pick(random, [
        varint(2n ** 63n - 1n),
        varint(-(2n ** 63n)),
        varint(2n ** 64n - 1n),
        Buffer.alloc(9, 0xff), // without an end
        Buffer.alloc(12, 0xff), // longer than any
        Buffer.from('8080808080808080808000', 'hex'),
      ]),
    ]),
  'both of a oneof': (random, bytes, type) =>
    Buffer.concat([bytes, ...type.oneofsArray.flatMap(({ oneof }) => oneof.map((name) => caseOf(random, type, name)))]),
  'unknown fields': (random, bytes) =>
    Buffer.concat([
      bytes,
      ...Array.from({ length: 2000 }, () => Buffer.concat([tag(100 + Math.floor(random() * 5e8), 0), varint(1n)])),
    ]),
  'field zero': (_random, bytes) => Buffer.concat([bytes, Buffer.of(0, 1)]),
};

function caseOf(random: Random, type: protobuf.Type, name: string): Uint8Array {
  const field = type.fields[name];
  if (field === undefined) return new Uint8Array(0);
  return type.encode(type.fromObject({ [name]: valueOf(random, field, {}, 3) })).finish();
}

export interface Mutant {
  readonly path: string;
  readonly how: string;
  readonly messages: readonly Buffer[];
  readonly isStream: boolean;
}

/** Mutants of one rpc without end: mostly one fault in a valid message, sometimes two; streams get several messages. */
export function* mutantsOf(random: Random, method: MethodUnderTest, known: Known): Generator<Mutant, never, void> {
  const names = Object.keys(MUTATIONS);
  for (let turn = Math.floor(random() * names.length); ; turn += 1) {
    const first = names[turn % names.length] ?? '';
    const hows = random() < 0.2 ? [first, pick(random, names)] : [first];
    const message = (isMutated: boolean): Buffer => {
      const valid = validMessage(random, method.request, known);
      const mutate = (bytes: Uint8Array, how: string): Uint8Array =>
        MUTATIONS[how]?.(random, bytes, method.request) ?? bytes;
      return Buffer.from(isMutated ? hows.reduce(mutate, valid) : valid);
    };
    const count = method.isStream ? 1 + Math.floor(random() * 3) : 1;
    const messages = Array.from({ length: count }, (_, at) => message(at === count - 1));
    yield { path: method.path, how: hows.join(' + '), messages, isStream: method.isStream };
  }
}

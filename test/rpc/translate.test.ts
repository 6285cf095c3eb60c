import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import protobuf from 'protobufjs';
import { camelCase, enumWord, hasPresence, isSynthetic, realOneOf, scalarKind } from '../../runtime/rpc/names.ts';
import { schema } from '../../runtime/rpc/schema.ts';
import { Fault } from '../../runtime/rpc/fault.ts';
import { codecOf } from '../../runtime/rpc/translate.ts';

/** An arbitrary plain message of a type, made from the schema. */
function plainOf(type: protobuf.Type): fc.Arbitrary<Record<string, unknown>> {
  const entries: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of type.fieldsArray) {
    if (realOneOf(field) === null) entries[camelCase(field.name)] = fieldOf(field);
  }
  for (const oneOf of type.oneofsArray.filter((one) => !isSynthetic(one))) {
    const cases = oneOf.fieldsArray.map((field) => {
      const name = camelCase(field.name);
      return single(field).map((value) => ({ kind: name, [name]: value }));
    });
    entries[camelCase(oneOf.name)] = fc.oneof(fc.constant(null), ...cases);
  }
  return fc.record(entries, { noNullPrototype: true });
}

function fieldOf(field: protobuf.Field): fc.Arbitrary<unknown> {
  if (field instanceof protobuf.MapField)
    return fc.dictionary(fc.string(), single(field), { noNullPrototype: true, maxKeys: 3 });
  if (field.repeated) return fc.array(single(field), { maxLength: 3 });
  const isNullable = field.resolvedType instanceof protobuf.Type || hasPresence(field);
  return isNullable ? fc.option(single(field)) : single(field);
}

function single(field: protobuf.Field): fc.Arbitrary<unknown> {
  const resolved = field.resolvedType;
  if (resolved instanceof protobuf.Type) return plainOf(resolved);
  if (resolved instanceof protobuf.Enum)
    return fc.constantFrom(...Object.keys(resolved.values).map((name) => enumWord(resolved, name)));
  const isUnsigned = field.type.startsWith('u');
  switch (scalarKind(field)) {
    case 'bigint':
      return isUnsigned ? fc.bigInt(0n, (1n << 64n) - 1n) : fc.bigInt(-(1n << 63n), (1n << 63n) - 1n);
    case 'milliseconds':
      return fc.maxSafeInteger();
    case 'string':
      return fc.string({ unit: 'grapheme' });
    case 'boolean':
      return fc.boolean();
    case 'bytes':
      return fc.uint8Array().map((bytes) => Buffer.from(bytes));
    case 'number':
    default:
      if (field.type === 'double') return fc.double({ noNaN: true });
      return isUnsigned ? fc.nat(0xffff_ffff) : fc.integer();
  }
}

const MESSAGES = [
  'Job',
  'SubmitJobRequest',
  'ExplainJobResponse',
  'RegisterDatasetRequest',
  'Agreement',
  'Budget',
  'ErrorDetail',
];

for (const name of MESSAGES) {
  test(`every ${name} crosses the wire and comes back the same`, () => {
    const codec = codecOf(name);
    const message = plainOf(schema().lookupType(`glovebox.v1.${name}`));
    fc.assert(
      fc.property(message, (plain) => assert.deepEqual(codec.decode(codec.encode(plain)), plain)),
      { numRuns: 40 },
    );
  });
}

test('what is left out has its default, and "not set" differs from zero', () => {
  const codec = codecOf('Budget');
  const empty = codec.decode(Buffer.alloc(0)) as Record<string, unknown>;
  assert.equal(empty['microEpsilonSpent'], 0n);
  assert.equal(empty['microEpsilonLimit'], null);
  const zero = codec.decode(codec.encode({ microEpsilonLimit: 0n })) as Record<string, unknown>;
  assert.equal(zero['microEpsilonLimit'], 0n);
});

test('a parameter named like an object’s inside stays a name', () => {
  const codec = codecOf('SqlQuery');
  const parameters = JSON.parse(
    '{"__proto__": {"value": {"kind": "text", "text": "x"}}, "constructor": {"value": null}}',
  );
  const back = codec.decode(codec.encode({ text: 'select 1', parameters })) as { parameters: object };
  assert.deepEqual(Object.keys(back.parameters).sort(), ['__proto__', 'constructor']);
  assert.equal(Object.getPrototypeOf(back.parameters), Object.prototype);
});

test('a value of the wrong type is named with its place', () => {
  const codec = codecOf('SubmitJobRequest');
  const wrong: [unknown, RegExp][] = [
    [{ wait: 'yes' }, /SubmitJobRequest\.wait is not a boolean/],
    [{ job: { agreementIds: 'a' } }, /job\.agreementIds is not a list/],
    [{ job: { agreementIds: [1] } }, /agreementIds\[0\] is not a string/],
    [{ job: { deadlineMs: Number.NaN } }, /deadlineMs is not a whole number/],
    [
      { job: { computation: { kind: 'javascript', javascript: { method: 'shell' } } } },
      /method is not a value of SandboxMethod/,
    ],
    [{ job: { computation: { kind: 'javascript', javascript: { blocks: -1 } } } }, /blocks does not fit uint32/],
    [null, /is not an object/],
  ];
  for (const [plain, message] of wrong) assert.throws(() => codec.encode(plain), message);
});

test('half a character, where a text was cut, costs nobody the whole message', () => {
  const codec = codecOf('GetJobRequest');
  assert.deepEqual(codec.decode(codec.encode({ id: '\u{1F600}'.slice(0, 1) })), { id: '\ufffd' });
});

test('a value that an enum does not have is refused in what is asked, wherever it stands, and is "not said" in an answer', () => {
  const unknown = [
    ['ListJobsRequest', [0x10, 99], 'states'],
    ['ListJobsRequest', [0x12, 2, 1, 99], 'states'],
    ['SubmitJobRequest', [0x0a, 4, 0x12, 2, 0x18, 99], 'job.javascript.method'],
    ['RegisterDatasetRequest', [0x0a, 2, 0x18, 99], 'header.grade'],
  ] as const;
  for (const [name, bytes, field] of unknown) {
    const { decode, decodeRequest } = codecOf(name);
    assert.throws(
      () => decodeRequest(Buffer.from(bytes)),
      (thrown) =>
        thrown instanceof Fault && thrown.code === 'message-not-valid' && thrown.message.startsWith(`\`${field}\``),
      name,
    );
    assert.doesNotThrow(() => decode(Buffer.from(bytes)), 'a client reads what a newer runtime says');
  }
  const known = codecOf('ListJobsRequest');
  const asked = { page: null, states: ['released', 'denied'], dataset: '', consumer: '' };
  assert.deepEqual(known.decodeRequest(known.encode(asked)), asked);
});

test('damaged bytes are one kind of fault', () => {
  const codec = codecOf('SubmitJobRequest');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        codec.decode(bytes);
      } catch (thrown) {
        assert.equal((thrown as { code?: string }).code, 'message-not-valid');
      }
    }),
    { numRuns: 2000 },
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import canonicalize from 'canonicalize';
import { fc } from '../property.ts';
import { canonicalJson, type Json } from '../../runtime/evidence/canonical-json.ts';
import { createPublicKey, verify } from 'node:crypto';
import {
  dsseEnvelope,
  encodeEntry,
  EVIDENCE_KINDS,
  pseudonymOf,
  readEntry,
  sha256Hex,
} from '../../runtime/evidence/entry.ts';
import { decodeBundle, encodeBundle, tilePath } from '../../runtime/evidence/tiles.ts';
import { eventOf, newSigner } from './world.ts';

const signer = newSigner();
const key = { id: signer.verifier.id, privateKey: signer.privateKey };

test('canonical JSON is what the reference implementation writes', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), (value) => {
      assert.equal(canonicalJson(value as Json), canonicalize(value));
    }),
  );
  assert.equal(
    canonicalJson({ '\u20ac': 1, '\r': 2, דּ: 3, '1': 4, '😀': 5, ö: -0 }),
    canonicalize({ '\u20ac': 1, '\r': 2, דּ: 3, '1': 4, '😀': 5, ö: -0 }),
  );
});

test('what has no canonical form is refused', () => {
  let deep: Json = 1;
  for (let depth = 0; depth < 100; depth += 1) deep = [deep];
  for (const bad of [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '\ud800',
    { a: undefined } as unknown as Json,
    1n as unknown as Json,
    deep,
  ]) {
    assert.throws(() => canonicalJson(bad), RangeError);
  }
});

test('an entry is an in-toto statement in canonical JSON, and opens to the same event', () => {
  const entry = encodeEntry(eventOf(7));
  const statement = JSON.parse(Buffer.from(entry).toString()) as Record<string, unknown>;
  assert.equal(canonicalize(statement), Buffer.from(entry).toString());
  assert.equal(statement['_type'], 'https://in-toto.io/Statement/v1');
  assert.equal(statement['predicateType'], 'urn:glovebox:evidence:v1:release');
  assert.deepEqual(readEntry(entry), { kind: 'entry', event: eventOf(7) });
});

const token = fc.stringMatching(/^[A-Za-z0-9._:/+=@#-]{0,20}$/);
const factName = fc.stringMatching(/^[A-Za-z][A-Za-z0-9]{0,8}$/);
test('every event is written in the one canonical form, and comes back as it was', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...EVIDENCE_KINDS),
      fc.integer({ min: 0, max: 4_102_444_800_000 }),
      fc.array(token, { minLength: 1, maxLength: 4 }),
      fc.dictionary(factName, fc.oneof(token, fc.maxSafeInteger(), fc.boolean(), fc.array(token, { maxLength: 3 })), {
        noNullPrototype: true,
      }),
      (kind, atMs, names, facts) => {
        const subjects = names.map((name) => ({ name, sha256: sha256Hex(name) }));
        const text = Buffer.from(encodeEntry({ kind, atMs, subjects, facts })).toString();
        assert.equal(text, canonicalize(JSON.parse(text)));
        assert.deepEqual(readEntry(Buffer.from(text)), { kind: 'entry', event: { kind, atMs, subjects, facts } });
      },
    ),
    { numRuns: 300 },
  );
});

test('a statement goes into a DSSE envelope whose signature is over its pre-authentication encoding', () => {
  const entry = encodeEntry(eventOf(7));
  const envelope = JSON.parse(Buffer.from(dsseEnvelope(entry, key)).toString()) as {
    payload: string;
    payloadType: string;
    signatures: readonly { keyid: string; sig: string }[];
  };
  assert.equal(envelope.payloadType, 'application/vnd.in-toto+json');
  assert.deepEqual(Buffer.from(envelope.payload, 'base64'), Buffer.from(entry));
  const signed = Buffer.concat([Buffer.from(`DSSEv1 28 application/vnd.in-toto+json ${entry.length} `), entry]);
  const [signature] = envelope.signatures;
  assert.equal(signature?.keyid, signer.verifier.id);
  assert.ok(verify(null, signed, createPublicKey(signer.privateKey), Buffer.from(signature.sig, 'base64')));
});

test('free text, values with spaces, fractions and foreign alphabets cannot enter the log', () => {
  for (const bad of [
    'John Smith',
    'ward 7, bed 2',
    'x\ny',
    '张三',
    'a'.repeat(257),
    0.5,
    Number.NaN,
    { nested: 1 },
    null,
  ]) {
    assert.throws(() => encodeEntry({ ...eventOf(1), facts: { reason: bad as string } }), RangeError);
  }
  assert.throws(() => encodeEntry({ ...eventOf(1), subjects: [{ name: 'job/1', sha256: 'no digest' }] }), RangeError);
  assert.throws(() => encodeEntry({ ...eventOf(1), subjects: [] }), RangeError);
  assert.throws(() => encodeEntry({ ...eventOf(1), kind: 'gossip' as 'alert' }), RangeError);
});

// What a changed byte turns into other evidence is refused by the root; here one event has to have one spelling.
test('an entry of which any byte was changed never opens to the same event, and never crashes', () => {
  const entry = Buffer.from(encodeEntry(eventOf(3)));
  for (let at = 0; at < entry.length; at += 1) {
    for (let flip = 1; flip < 256; flip += 1) {
      const damaged = Buffer.from(entry);
      damaged[at] = (damaged[at] ?? 0) ^ flip;
      const opened = readEntry(damaged);
      if (opened.kind === 'entry') assert.notDeepEqual(opened.event, eventOf(3));
    }
  }
  const spaced = Buffer.from(JSON.stringify(JSON.parse(entry.toString()), undefined, 1));
  assert.deepEqual(readEntry(spaced), { kind: 'invalid', reason: 'not what the log writes of any event' });
  // Short as it is written, above an entry's limit as the log would write it.
  const facts = Array.from({ length: 64 }, (_, at) => `"f${at}":1e15`).join(',');
  const swelling = entry.toString().replace(/"facts":\{[^}]*\}/, `"facts":{${facts}}`);
  assert.equal(readEntry(Buffer.from(swelling)).kind, 'invalid');
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => readEntry(bytes).kind === 'invalid'));
});

test('a pseudonym depends on its salt, and a short salt is refused', () => {
  const [one, two] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
  assert.equal(pseudonymOf(one, 'acme'), pseudonymOf(one, 'acme'));
  assert.notEqual(pseudonymOf(one, 'acme'), pseudonymOf(two, 'acme'));
  assert.throws(() => pseudonymOf(Buffer.alloc(8), 'acme'), RangeError);
});

test('bundles keep entries of every size apart, and a damaged bundle is none', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (entries) => {
      assert.deepEqual(
        decodeBundle(encodeBundle(entries))?.map((entry) => [...entry]),
        entries.map((entry) => [...entry]),
      );
    }),
  );
  assert.throws(() => encodeBundle([new Uint8Array(65_536)]), RangeError);
  assert.equal(decodeBundle(Buffer.from([0, 5, 1])), undefined);
  assert.equal(decodeBundle(Buffer.from([0])), undefined);
  assert.equal(decodeBundle(encodeBundle(Array.from({ length: 257 }, () => new Uint8Array()))), undefined);
});

test('tile paths are grouped by three digits', () => {
  assert.equal(tilePath(0, 1_234_067), 'tile/0/x001/x234/067');
  assert.equal(tilePath(2, 0, 17), 'tile/2/000.p/17');
});

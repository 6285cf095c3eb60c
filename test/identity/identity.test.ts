import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { admissionAfter, identify } from '../../runtime/identity/admission.ts';
import { parseCredential } from '../../runtime/identity/credential.ts';
import { compactJws, parseCompactJws, signJws, verifyJws } from '../../runtime/identity/jws.ts';
import { isPartyName, parseSpiffeId, spiffeIdOf } from '../../runtime/identity/names.ts';
import { hasRole, type PartyRecord } from '../../runtime/identity/party.ts';

const NOW = 1_800_000_000_000;
const ACME: PartyRecord = {
  name: 'acme',
  roles: ['consumer'],
  admission: 'admitted',
  spiffeId: 'spiffe://glovebox-1/party/acme',
  fingerprints: ['aa', 'bb'],
  signingPublicKey: 'key',
  jurisdiction: 'CN',
  note: null,
};
const PROOF = { fingerprint: 'bb', spiffeId: ACME.spiffeId, notAfterMs: NOW + 1 };

test('a party is what its certificate proves: fingerprint and URI name both match, and it has not expired', () => {
  const known = identify(ACME, PROOF, NOW);
  assert.equal(known.kind, 'known');
  if (known.kind === 'known') {
    assert.equal(known.caller.party, 'acme');
    assert.equal(known.caller.credentialFingerprint, 'bb');
    assert.ok(hasRole(known.caller, 'auditor', 'consumer'));
    assert.ok(!hasRole(known.caller, 'operator'));
  }
  const codes = [
    identify(null, PROOF, NOW),
    identify(ACME, { ...PROOF, fingerprint: 'cc' }, NOW),
    identify(ACME, { ...PROOF, spiffeId: 'spiffe://glovebox-1/party/eve' }, NOW),
    identify(ACME, { ...PROOF, notAfterMs: NOW }, NOW),
  ].map((answer) => (answer.kind === 'known' ? 'known' : answer.reason.code));
  assert.deepEqual(codes, ['credential-unknown', 'credential-unknown', 'credential-unknown', 'credential-expired']);
});

test('only an admitted party may act, whatever its certificate', () => {
  for (const admission of ['applied', 'suspended', 'exited'] as const) {
    const answer = identify({ ...ACME, admission }, PROOF, NOW);
    assert.equal(answer.kind, 'notAdmitted');
    if (answer.kind === 'notAdmitted') assert.match(answer.reason.message, new RegExp(`acme.*${admission}`));
  }
});

test('admission goes applied → admitted ⇄ suspended → exited, and exited is final', () => {
  const after = (admission: PartyRecord['admission'], event: Parameters<typeof admissionAfter>[1]): string => {
    const answer = admissionAfter({ name: 'acme', admission }, event);
    return answer.kind === 'ok' ? answer.admission : String(answer.reasons[0]?.code);
  };
  assert.equal(after('applied', 'admit'), 'admitted');
  assert.equal(after('admitted', 'suspend'), 'suspended');
  assert.equal(after('suspended', 'resume'), 'admitted');
  assert.equal(after('suspended', 'exit'), 'exited');
  assert.equal(after('suspended', 'suspend'), 'wrong-state');
  for (const event of ['admit', 'suspend', 'resume', 'exit'] as const)
    assert.equal(after('exited', event), 'wrong-state');
});

test('party names and URI names survive the round trip, and nothing else is taken for one', () => {
  const characters = fc.constantFrom('a', 'b', 'z', '0', '9', '-');
  const label = fc.string({ unit: characters, maxLength: 30 }).map((text) => `a${text}z`);
  fc.assert(
    fc.property(label, label, (authority, party) => {
      assert.ok(isPartyName(party));
      assert.deepEqual(parseSpiffeId(spiffeIdOf({ authority, party })), { authority, party });
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const parsed = parseSpiffeId(text);
      if (parsed !== null) assert.equal(spiffeIdOf(parsed), text);
    }),
  );
  for (const name of ['', 'Acme', '1a', 'a b', 'a/b', 'a-', 'a'.repeat(64), '../x', 'a\n', 'ácme']) {
    assert.ok(!isPartyName(name), name);
    assert.throws(() => spiffeIdOf({ authority: 'glovebox-1', party: name }));
  }
});

test('a signature holds for its text, party, kind and key, and for no other', () => {
  const keys = generateKeyPairSync('ed25519');
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const publicKey = keys.publicKey.export({ format: 'jwk' }).x ?? '';
  const other = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x ?? '';
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (text, noise) => {
      const parts = signJws(text, { kind: 'policy', party: 'acme', key });
      const by = { kind: 'policy', party: 'acme', publicKey } as const;
      assert.ok(verifyJws(text, parts, by));
      if (noise !== '') assert.ok(!verifyJws(text + noise, parts, by));
      assert.ok(!verifyJws(text, parts, { ...by, kind: 'job-request' }));
      assert.ok(!verifyJws(text, parts, { ...by, party: 'eve' }));
      assert.ok(!verifyJws(text, parts, { ...by, publicKey: other }));
      assert.ok(!verifyJws(text, parts, { ...by, publicKey: noise }));
      assert.ok(!verifyJws(text, { ...parts, signature: noise }, by));
      const compact = parseCompactJws(compactJws(text, parts));
      assert.deepEqual(compact, { payload: text, parts });
    }),
    { numRuns: 50 },
  );
});

test('no algorithm, key or extension is taken from the header of a signature', () => {
  const keys = generateKeyPairSync('ed25519');
  const publicKey = keys.publicKey.export({ format: 'jwk' }).x ?? '';
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const { signature } = signJws('text', { kind: 'policy', party: 'acme', key });
  for (const header of [
    { alg: 'none', kid: 'acme#1', typ: 'glovebox-agreement+jws' },
    { alg: 'HS256', kid: 'acme#1', typ: 'glovebox-agreement+jws' },
    { alg: 'EdDSA', kid: 'acme#1', typ: 'glovebox-agreement+jws', jwk: { kty: 'OKP' } },
    { alg: 'EdDSA', kid: 'acme#1' },
    [],
    null,
  ]) {
    const protectedHeader = Buffer.from(JSON.stringify(header)).toString('base64url');
    assert.ok(!verifyJws('text', { protectedHeader, signature }, { kind: 'policy', party: 'acme', publicKey }));
  }
});

test('a damaged credential is refused with the field that is wrong, and no value of it is quoted', () => {
  const good = {
    format: 'glovebox-credential/1',
    party: 'acme',
    roles: ['consumer'],
    server: 'localhost:1',
    serverName: 'runtime',
    ca: 'CA',
    certificate: 'C',
    key: 'PRIVATE',
    signingKey: 'SECRET',
    signingPublicKey: 'P',
  };
  assert.deepEqual(parseCredential(JSON.stringify(good)), good);
  const wrong: [string, RegExp][] = [
    ['{', /not JSON/],
    ['null', /not a JSON object/],
    [JSON.stringify({ ...good, format: 'x' }), /format/],
    [JSON.stringify({ ...good, party: '../x' }), /names no party/],
    [JSON.stringify({ ...good, roles: ['root'] }), /unknown role/],
    [JSON.stringify({ ...good, key: '' }), /no `key`/],
    ['x'.repeat(70_000), /64 KiB/],
  ];
  for (const [text, problem] of wrong) {
    assert.throws(
      () => parseCredential(text),
      (thrown) => thrown instanceof Error && problem.test(thrown.message) && !/PRIVATE|SECRET/.test(thrown.message),
    );
  }
});

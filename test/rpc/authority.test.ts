import assert from 'node:assert/strict';
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { parseCredential } from '../../runtime/identity/credential.ts';
import { signJws, verifyJws } from '../../runtime/identity/jws.ts';
import {
  createAuthority,
  fingerprintOf,
  issueCredential,
  issueServerCertificate,
  serverNameOf,
} from '../../runtime/rpc/authority.ts';

const NOW = Date.UTC(2026, 10, 22);
const DAY = 86_400_000;

test('the authority issues what its certificate verifies, and nothing that can issue further', async () => {
  const authority = await createAuthority(NOW);
  const ca = new X509Certificate(authority.certificate);
  assert.ok(ca.ca && ca.verify(ca.publicKey));
  const issued = await issueCredential(authority, {
    party: 'acme',
    roles: ['consumer'],
    server: 'h:1',
    nowMs: NOW,
    days: 30,
  });
  const server = await issueServerCertificate(authority, {
    hosts: ['data.example', '10.0.0.7', 'localhost'],
    nowMs: NOW,
  });
  for (const pem of [issued.bundle.certificate, server.certificate]) {
    const certificate = new X509Certificate(pem);
    assert.ok(certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
    assert.equal(certificate.ca, false);
  }
  const party = new X509Certificate(issued.bundle.certificate);
  assert.equal(party.subjectAltName, `URI:spiffe://${authority.name}/party/acme`);
  assert.deepEqual(party.keyUsage, ['1.3.6.1.5.5.7.3.2']);
  assert.equal(Date.parse(party.validTo), NOW + 30 * DAY);
  assert.equal(issued.notAfterMs, NOW + 30 * DAY);
  assert.equal(issued.fingerprint, createHash('sha256').update(party.raw).digest('hex'));
  assert.equal(fingerprintOf(issued.bundle.certificate), issued.fingerprint);
  const front = new X509Certificate(server.certificate);
  assert.deepEqual(front.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  for (const host of [serverNameOf(authority), 'data.example', 'localhost']) assert.ok(front.checkHost(host), host);
  for (const ip of ['127.0.0.1', '::1', '10.0.0.7']) assert.ok(front.checkIP(ip), ip);
  assert.equal(front.checkHost('acme'), undefined);
});

test('two credentials share no key and no serial number, and each bundle is complete', async () => {
  const authority = await createAuthority(NOW);
  const options = { party: 'acme', roles: ['consumer', 'reviewer'], server: 'h:1', nowMs: NOW } as const;
  const [a, b] = await Promise.all([issueCredential(authority, options), issueCredential(authority, options)]);
  assert.notEqual(a.fingerprint, b.fingerprint);
  assert.notEqual(a.bundle.signingPublicKey, b.bundle.signingPublicKey);
  assert.notEqual(
    new X509Certificate(a.bundle.certificate).serialNumber,
    new X509Certificate(b.bundle.certificate).serialNumber,
  );
  assert.deepEqual(parseCredential(JSON.stringify(a.bundle)), a.bundle);
  assert.ok(new X509Certificate(a.bundle.certificate).checkPrivateKey(createPrivateKey(a.bundle.key)));
  const parts = signJws('x', { kind: 'policy', party: 'acme', key: a.bundle.signingKey });
  assert.ok(verifyJws('x', parts, { kind: 'policy', party: 'acme', publicKey: a.bundle.signingPublicKey }));
});

test('a name that is not a party’s gets no credential', async () => {
  const authority = await createAuthority(NOW);
  for (const party of ['', 'a/b', 'A', 'x'.repeat(64), 'a,URI:spiffe://evil/party/root']) {
    await assert.rejects(issueCredential(authority, { party, roles: [], server: 'h:1', nowMs: NOW }), RangeError);
  }
});

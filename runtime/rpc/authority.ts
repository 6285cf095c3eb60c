// @peculiar/x509 needs it before it is loaded.
import 'reflect-metadata';
import { createHash, generateKeyPairSync, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { CredentialBundle } from '../identity/credential.ts';
import { spiffeIdOf } from '../identity/names.ts';
import type { PartyRole } from '../identity/party.ts';

/** The runtime's own certificate authority: it issues the server's certificate and those of the parties. */
export interface Authority {
  /** Trust domain of the URI names, e.g. `glovebox-5f3a9c`. */
  readonly name: string;
  /** PEM. */
  readonly certificate: string;
  /** PKCS #8 PEM; stays in the data directory with mode 0600. */
  readonly key: string;
}

export interface ServerCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly notAfterMs: number;
}

const DAY_MS = 86_400_000;
export const AUTHORITY_DAYS = 3650;
export const SERVER_CERTIFICATE_DAYS = 90;
export const PARTY_CERTIFICATE_DAYS = 365;
export const MAX_CERTIFICATE_DAYS = 3650;
/** Clocks of parties may be behind by this much. */
const BACKDATE_MS = 5 * 60_000;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Makes a new authority; `nowMs` is the start of its life. */
export async function createAuthority(nowMs: number): Promise<Authority> {
  const name = `glovebox-${randomBytes(6).toString('hex')}`;
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${name}`,
    ...lifeOf(nowMs, AUTHORITY_DAYS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { name, certificate: pem(certificate.toString('pem')), key: await exportKey(keys.privateKey) };
}

/** DNS name in every server certificate of an authority: clients check it whatever address they dial. */
export function serverNameOf(authority: { readonly name: string }): string {
  return `runtime.${authority.name}.internal`;
}

/** Issues a server certificate for the fixed server name, the loopback names and `hosts`. */
export async function issueServerCertificate(
  authority: Authority,
  options: { readonly hosts: readonly string[]; readonly nowMs: number; readonly days?: number },
): Promise<ServerCertificate> {
  const hosts = new Set([serverNameOf(authority), 'localhost', '127.0.0.1', '::1', ...options.hosts]);
  const names = [...hosts].map((host): x509.JsonGeneralName => ({ type: isIp(host) ? 'ip' : 'dns', value: host }));
  const days = options.days ?? SERVER_CERTIFICATE_DAYS;
  const { certificate, key } = await issue(authority, {
    commonName: serverNameOf(authority),
    names,
    usage: x509.ExtendedKeyUsage.serverAuth,
    days,
    nowMs: options.nowMs,
  });
  return { certificate, key, notAfterMs: options.nowMs + days * DAY_MS };
}

/** What the store keeps of an issued credential, and the bundle for its holder, which the runtime does not keep. */
export interface IssuedCredential {
  readonly bundle: CredentialBundle;
  /** SHA-256 of the DER certificate, lower-case hex. */
  readonly fingerprint: string;
  readonly spiffeId: string;
  readonly notAfterMs: number;
}

/** Issues the credential of a party: a client certificate with its URI name, and an Ed25519 key for signatures. */
export async function issueCredential(
  authority: Authority,
  options: {
    readonly party: string;
    readonly roles: readonly PartyRole[];
    readonly server: string;
    readonly nowMs: number;
    readonly days?: number;
  },
): Promise<IssuedCredential> {
  const days = Math.min(options.days ?? PARTY_CERTIFICATE_DAYS, MAX_CERTIFICATE_DAYS);
  const spiffeId = spiffeIdOf({ authority: authority.name, party: options.party });
  const { certificate, key } = await issue(authority, {
    commonName: options.party,
    names: [{ type: 'url', value: spiffeId }],
    // INVARIANT: clientAuth only. With serverAuth a party could pose as the runtime towards other parties.
    usage: x509.ExtendedKeyUsage.clientAuth,
    days,
    nowMs: options.nowMs,
  });
  const signing = generateKeyPairSync('ed25519');
  return {
    fingerprint: fingerprintOf(certificate),
    spiffeId,
    notAfterMs: options.nowMs + days * DAY_MS,
    bundle: {
      format: 'glovebox-credential/1',
      party: options.party,
      roles: options.roles,
      server: options.server,
      serverName: serverNameOf(authority),
      ca: authority.certificate,
      certificate,
      key,
      signingKey: signing.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      signingPublicKey: signing.publicKey.export({ format: 'jwk' }).x ?? '',
    },
  };
}

/** SHA-256 of the DER form of a PEM certificate, lower-case hex. */
export function fingerprintOf(certificate: string): string {
  return createHash('sha256').update(new X509Certificate(certificate).raw).digest('hex');
}

async function issue(
  authority: Authority,
  options: {
    readonly commonName: string;
    readonly names: readonly x509.JsonGeneralName[];
    readonly usage: x509.ExtendedKeyUsage;
    readonly days: number;
    readonly nowMs: number;
  },
): Promise<{ readonly certificate: string; readonly key: string }> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', derOf(authority.key), ALGORITHM, false, ['sign']);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${options.commonName}`,
    issuer: issuer.subject,
    ...lifeOf(options.nowMs, options.days),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([options.usage], true),
      new x509.SubjectAlternativeNameExtension([...options.names]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { certificate: pem(certificate.toString('pem')), key: await exportKey(keys.privateKey) };
}

function lifeOf(nowMs: number, days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(nowMs - BACKDATE_MS), notAfter: new Date(nowMs + days * DAY_MS) };
}

/** Positive and random, 16 bytes (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replaceAll(/.{64}/g, '$&\n').trimEnd()}\n-----END PRIVATE KEY-----\n`;
}

function derOf(pemText: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(pemText.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64'));
}

function pem(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}

function isIp(host: string): boolean {
  return /^[0-9.]+$/.test(host) || host.includes(':');
}

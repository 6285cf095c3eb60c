import { createPrivateKey, createPublicKey, sign, verify, type KeyObject, type X509Certificate } from 'node:crypto';
import { isPartyName, parseSpiffeId } from './names.ts';
import { certificateOf, objectOf } from './runtime-card.ts';

/**
 * How a party of one runtime makes itself known to another: the certificate that its own authority issued, the key that
 * it signs contracts with, and the name that it asks for; signed with both keys, so that nobody introduces keys that
 * it does not hold, and worth nothing to any runtime but the one that is named.
 */
export interface Introduction {
  /** What it wants to be called there. */
  readonly name: string;
  /** Authority of the runtime that it is for. */
  readonly audience: string;
  /** PEM. */
  readonly certificate: string;
  /** 32 raw bytes of its Ed25519 key, base64url. */
  readonly signingPublicKey: string;
  readonly atMs: number;
}

const FORMAT = 'glovebox-introduction/1';
const MAX_CHARACTERS = 16 * 1024;
/** An introduction is used soon, milliseconds: an old one may speak for a certificate that its authority took back. */
export const MAX_INTRODUCTION_AGE_MS: number = 7 * 24 * 3_600_000;
const CLOCKS_DIFFER_MS = 10 * 60_000;
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** The introduction as a file; `keys` are PKCS #8 PEM. */
export function introductionText(
  introduction: Introduction,
  keys: { readonly certificateKey: string; readonly signingKey: string },
): string {
  const content = contentOf(introduction);
  const bytes = signedBytes(content);
  const file = {
    format: FORMAT,
    content,
    byCertificate: sign('sha256', bytes, createPrivateKey(keys.certificateKey)).toString('base64url'),
    bySigningKey: sign(null, bytes, createPrivateKey(keys.signingKey)).toString('base64url'),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

export type IntroductionVerdict =
  | {
      readonly kind: 'valid';
      readonly introduction: Introduction;
      readonly spiffeId: string;
      /** The authority that issued the certificate. */
      readonly authority: string;
      /** SHA-256 of the DER certificate, lower-case hex. */
      readonly fingerprint: string;
      readonly notAfterMs: number;
    }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Whether the text introduces a party of a trusted runtime to this one, now. `authorityOf` answers with the certificate
 * that is trusted under an authority's name.
 */
export function verifyIntroduction(
  text: string,
  here: {
    readonly authority: string;
    readonly nowMs: number;
    readonly authorityOf: (name: string) => string | undefined;
  },
): IntroductionVerdict {
  let read: ReturnType<typeof parse>;
  try {
    read = parse(text);
  } catch (error) {
    return refused(error instanceof Error ? error.message : 'it cannot be read');
  }
  const { introduction, content, byCertificate, bySigningKey } = read;
  const { name, audience, signingPublicKey, atMs } = introduction;
  if (audience !== here.authority)
    return refused(`it is for the runtime \`${audience}\`, not for \`${here.authority}\``);
  if (!isPartyName(name)) return refused('the name it asks for is not the name of a party');
  if (atMs > here.nowMs + CLOCKS_DIFFER_MS || atMs < here.nowMs - MAX_INTRODUCTION_AGE_MS)
    return refused('it is older than 7 days, or of the future: ask for a new one');
  const certificate = certificateOf(introduction.certificate);
  if (certificate === undefined) return refused('it holds no certificate');
  const spiffeId = /^URI:(spiffe:\/\/[^,"\s]+)$/.exec(certificate.subjectAltName ?? '')?.[1] ?? '';
  const authority = parseSpiffeId(spiffeId)?.authority ?? '';
  // Our own parties are admitted by us; a certificate that names us is ours or a forgery.
  if (authority === '' || authority === here.authority) return refused('its certificate names no other runtime');
  const trusted = here.authorityOf(authority);
  const issuer = trusted === undefined ? undefined : certificateOf(trusted);
  if (issuer === undefined) return refused(`the runtime \`${authority}\` is not on the trust list`);
  const problem = certificateProblem(certificate, issuer, here.nowMs);
  if (problem !== null) return refused(problem);
  const bytes = signedBytes(content);
  const signingKey = signingKeyOf(signingPublicKey);
  if (signingKey === undefined || !isSigned(null, bytes, signingKey, bySigningKey))
    return refused('it is not signed with the key that it names for contracts');
  if (!isSigned('sha256', bytes, certificate.publicKey, byCertificate))
    return refused('it is not signed with the key of its certificate');
  return {
    kind: 'valid',
    introduction,
    spiffeId,
    authority,
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    notAfterMs: Date.parse(certificate.validTo),
  };
}

function certificateProblem(certificate: X509Certificate, issuer: X509Certificate, nowMs: number): string | null {
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey))
    return 'its certificate was not issued by the authority that it names';
  if (certificate.ca) return 'its certificate is that of an authority, not of a party';
  if (certificate.keyUsage?.join() !== CLIENT_AUTH) return 'its certificate is not for clients alone';
  if (nowMs < Date.parse(certificate.validFrom) || nowMs >= Date.parse(certificate.validTo))
    return 'its certificate has expired, or is not valid yet';
  return null;
}

function contentOf({ name, audience, certificate, signingPublicKey, atMs }: Introduction): string {
  return JSON.stringify({ type: FORMAT, name, audience, certificate, signingPublicKey, atMs });
}

const signedBytes = (content: string): Buffer => Buffer.from(`${FORMAT}\0${content}`);

function parse(text: string): {
  readonly introduction: Introduction;
  readonly content: string;
  readonly byCertificate: string;
  readonly bySigningKey: string;
} {
  if (text.length > MAX_CHARACTERS) throw new Error(`it is longer than ${MAX_CHARACTERS} characters`);
  const { format, content, byCertificate, bySigningKey } = objectOf(text);
  if (format !== FORMAT) throw new Error(`it does not have the format \`${FORMAT}\``);
  if (typeof content !== 'string' || typeof byCertificate !== 'string' || typeof bySigningKey !== 'string')
    throw new Error('it lacks its content or a signature');
  const { name, audience, certificate, signingPublicKey, atMs } = objectOf(content);
  const isWhole = [name, audience, certificate, signingPublicKey].every((one) => typeof one === 'string');
  if (!isWhole || !Number.isSafeInteger(atMs)) throw new Error('its content lacks something');
  const introduction = { name, audience, certificate, signingPublicKey, atMs } as Introduction;
  // One text for one content: what is read is what was signed.
  if (contentOf(introduction) !== content) throw new Error('its content is not in the form that is signed');
  return { introduction, content, byCertificate, bySigningKey };
}

function isSigned(algorithm: 'sha256' | null, bytes: Buffer, key: KeyObject, signature: string): boolean {
  try {
    return verify(algorithm, bytes, key, Buffer.from(signature, 'base64url'));
  } catch {
    return false;
  }
}

function signingKeyOf(raw: string): KeyObject | undefined {
  if (!/^[A-Za-z0-9_-]{43}$/.test(raw)) return undefined;
  try {
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

const refused = (reason: string): IntroductionVerdict => ({ kind: 'refused', reason });

import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';

/** One signature of a JWS General JSON serialisation (RFC 7515 §7.2.1) with EdDSA over Ed25519 (RFC 8037). */
export interface JwsSignatureParts {
  readonly protectedHeader: string;
  readonly signature: string;
}

/** What a party signs; part of the header, so that a signature for one use is worth nothing for another. */
export type SignedKind = 'agreement' | 'job-request' | 'code-approval' | 'code-objection' | 'policy' | 'mandate';

const MAX_HEADER_LENGTH = 1024;

/** Signs `payload` for `kind` with the Ed25519 key `key` (PKCS #8 PEM) of `party`. */
export function signJws(
  payload: string,
  as: { readonly kind: SignedKind; readonly party: string; readonly key: string },
): JwsSignatureParts {
  const header = { alg: 'EdDSA', kid: `${as.party}#1`, typ: typeOf(as.kind) };
  const protectedHeader = Buffer.from(JSON.stringify(header)).toString('base64url');
  const signature = sign(null, signingInput(protectedHeader, payload), privateKeys.of(as.key));
  return { protectedHeader, signature: signature.toString('base64url') };
}

/**
 * Whether `parts` is a signature of `party` over `payload` for `kind` with `publicKey` (32 raw bytes, base64url). The
 * header must be exactly as `signJws` makes it: no algorithm, key or critical extension is taken from the message.
 */
export function verifyJws(
  payload: string,
  parts: JwsSignatureParts,
  by: { readonly kind: SignedKind; readonly party: string; readonly publicKey: string },
): boolean {
  if (parts.protectedHeader.length > MAX_HEADER_LENGTH || parts.signature.length !== 86) return false;
  const header = parseObject(Buffer.from(parts.protectedHeader, 'base64url').toString('utf8'));
  if (header === null || Object.keys(header).length !== 3) return false;
  if (header['alg'] !== 'EdDSA' || header['typ'] !== typeOf(by.kind) || header['kid'] !== `${by.party}#1`) return false;
  const key = publicKeyOf(by.publicKey);
  if (key === null) return false;
  const signature = Buffer.from(parts.signature, 'base64url');
  return signature.length === 64 && verify(null, signingInput(parts.protectedHeader, payload), key, signature);
}

/** The compact serialisation, payload included. */
export function compactJws(payload: string, parts: JwsSignatureParts): string {
  return `${parts.protectedHeader}.${Buffer.from(payload).toString('base64url')}.${parts.signature}`;
}

/** The parts of a compact serialisation; null when it is not one. */
export function parseCompactJws(jws: string): { readonly payload: string; readonly parts: JwsSignatureParts } | null {
  const [protectedHeader, payload, signature, ...rest] = jws.split('.');
  if (protectedHeader === undefined || payload === undefined || signature === undefined || rest.length > 0) return null;
  return { payload: Buffer.from(payload, 'base64url').toString('utf8'), parts: { protectedHeader, signature } };
}

function typeOf(kind: SignedKind): string {
  return `glovebox-${kind}+jws`;
}

function signingInput(protectedHeader: string, payload: string): Buffer {
  return Buffer.from(`${protectedHeader}.${Buffer.from(payload).toString('base64url')}`);
}

function publicKeyOf(raw: string): KeyObject | null {
  try {
    return publicKeys.of(raw);
  } catch {
    return null;
  }
}

/** Keys that were read lately: reading one takes as long as half a signature. */
class ReadKeys {
  readonly #keys = new Map<string, KeyObject>();
  readonly #read: (text: string) => KeyObject;

  constructor(read: (text: string) => KeyObject) {
    this.#read = read;
  }

  /** Throws what reading throws. */
  of(text: string): KeyObject {
    const known = this.#keys.get(text);
    if (known !== undefined) return known;
    const key = this.#read(text);
    const [oldest] = this.#keys.keys();
    if (this.#keys.size >= MAX_READ_KEYS && oldest !== undefined) this.#keys.delete(oldest);
    this.#keys.set(text, key);
    return key;
  }
}

const MAX_READ_KEYS = 256;
const privateKeys = new ReadKeys((pem) => createPrivateKey(pem));
const publicKeys = new ReadKeys((raw) =>
  createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw }, format: 'jwk' }),
);

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : null;
  } catch {
    return null;
  }
}

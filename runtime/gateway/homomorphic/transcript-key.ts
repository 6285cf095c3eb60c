import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';

/** PKCS #8 head of an Ed25519 key (RFC 8410); the 32-byte seed follows. */
const HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** A signing key of the runtime (for transcripts, for images), from its 32-byte seed. */
export function keyOfSeed(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([HEAD, seed]), format: 'der', type: 'pkcs8' });
}

/** Its public key: 32 raw bytes, base64url. */
export function publicTranscriptKey(key: KeyObject): string {
  return createPublicKey(key).export({ format: 'jwk' }).x ?? '';
}

/** The public key from its 32 raw bytes in base64url; throws when it is none. */
export function readTranscriptKey(text: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: text }, format: 'jwk' });
}

import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';

/** Signature kinds of C2SP signed-note: a log's own signature and a witness's timestamped one. */
export const ED25519_LOG = 0x01;
export const ED25519_COSIGNATURE = 0x04;
export type SignatureKind = typeof ED25519_LOG | typeof ED25519_COSIGNATURE;

/** Who may sign notes: what a verifier is configured with. */
export interface VerifierKey {
  readonly name: string;
  readonly kind: SignatureKind;
  /** First 4 bytes of SHA-256(name ‖ \n ‖ kind ‖ public key), hex. */
  readonly id: string;
  /** Raw Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array;
}

export interface NoteSigner {
  readonly verifier: VerifierKey;
  readonly privateKey: KeyObject;
}

export interface NoteSignature {
  readonly name: string;
  readonly id: string;
  /** The signature without the 4-byte key id. */
  readonly bytes: Uint8Array;
}

/** A signed note (C2SP signed-note v1): a text that ends in a newline, and signatures over it. */
export interface Note {
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

export const MAX_NOTE_BYTES = 65_536;
const MAX_SIGNATURES = 100;

/** A signer for notes from an Ed25519 private key; throws when the name could not be written in a note. */
export function noteSigner(name: string, privateKey: KeyObject, kind: SignatureKind = ED25519_LOG): NoteSigner {
  return { privateKey, verifier: verifierKeyOf(name, rawPublicKey(createPublicKey(privateKey)), kind) };
}

/** The verifier key of a name and a raw Ed25519 public key. */
export function verifierKeyOf(name: string, publicKey: Uint8Array, kind: SignatureKind = ED25519_LOG): VerifierKey {
  if (!isKeyName(name)) throw new RangeError(`'${name}' cannot name a key: it must not be empty or hold spaces or '+'`);
  return { name, kind, publicKey, id: keyId(name, kind, publicKey) };
}

/** `name+hex(id)+base64(kind ‖ public key)`: the text that is handed to whoever wants to verify. */
export function formatVerifierKey(key: VerifierKey): string {
  return `${key.name}+${key.id}+${Buffer.concat([Buffer.from([key.kind]), key.publicKey]).toString('base64')}`;
}

/** Reads a verifier key's text; undefined when it is malformed or its id does not belong to its key. */
export function parseVerifierKey(text: string): VerifierKey | undefined {
  const match = /^([^\s+]{1,256})\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/.exec(text.trim());
  const [, name, id, encoded] = match ?? [];
  if (name === undefined || id === undefined || encoded === undefined) return undefined;
  const bytes = decodeBase64(encoded);
  if (bytes?.length !== 33) return undefined;
  const kind = bytes[0];
  if (kind !== ED25519_LOG && kind !== ED25519_COSIGNATURE) return undefined;
  const key = verifierKeyOf(name, bytes.subarray(1), kind);
  return key.id === id ? key : undefined;
}

/** The note's text with its signature lines, as it is stored and sent. */
export function formatNote(note: Note): string {
  return `${note.text}\n${note.signatures.map((one) => signatureLine(one)).join('')}`;
}

/** Reads a signed note; undefined when it is not one (wrong shape, too long, too many signatures). */
export function parseNote(note: string): Note | undefined {
  if (note.length > MAX_NOTE_BYTES || !note.isWellFormed()) return undefined;
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) return undefined;
  const lines = note.slice(split + 2).split('\n');
  lines.pop();
  if (lines.length === 0 || lines.length > MAX_SIGNATURES) return undefined;
  const signatures: NoteSignature[] = [];
  for (const line of lines) {
    const [, name, encoded] = /^\u2014 ([^\s+]{1,256}) ([A-Za-z0-9+/]+={0,2})$/.exec(line) ?? [];
    const bytes = encoded === undefined ? undefined : decodeBase64(encoded);
    if (name === undefined || bytes === undefined || bytes.length < 5) return undefined;
    signatures.push({ name, id: bytes.subarray(0, 4).toString('hex'), bytes: bytes.subarray(4) });
  }
  return { text: note.slice(0, split + 1), signatures };
}

/** A log's signature over a note's text. */
export function signNote(text: string, signer: NoteSigner): NoteSignature {
  const { name, id } = signer.verifier;
  return { name, id, bytes: sign(null, Buffer.from(text, 'utf8'), signer.privateKey) };
}

/** Whether the note carries a valid signature of this log key. Lines of other keys are ignored, as the format asks. */
export function isSignedBy(note: Note, key: VerifierKey): boolean {
  if (key.kind !== ED25519_LOG) return false;
  const mine = note.signatures.filter((one) => one.name === key.name && one.id === key.id);
  return (
    mine.length > 0 && mine.every((one) => verifyEd25519(Buffer.from(note.text, 'utf8'), one.bytes, key.publicKey))
  );
}

/** Whether `signature` (64 bytes) is the raw Ed25519 key's signature over `message`. */
export function verifyEd25519(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.length !== 64 || publicKey.length !== 32) return false;
  try {
    return verify(null, message, keyFromRaw(publicKey), signature);
  } catch {
    return false; // not a point on the curve: nothing can be signed by it
  }
}

/** The 32 raw bytes of an Ed25519 public key; throws for any other kind of key. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const { crv, x } = key.export({ format: 'jwk' });
  if (crv !== 'Ed25519' || x === undefined) throw new RangeError('not an Ed25519 key');
  return Buffer.from(x, 'base64url');
}

/** Strict base64: decodes only what encodes back to the same text, so that one value has one spelling. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** Building a key object costs more than using it, and whole-log verification uses one key for every entry. */
const keysByBytes = new WeakMap<Uint8Array, KeyObject>();

function keyFromRaw(publicKey: Uint8Array): KeyObject {
  const known = keysByBytes.get(publicKey);
  if (known !== undefined) return known;
  const x = Buffer.from(publicKey).toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  keysByBytes.set(publicKey, key);
  return key;
}

function keyId(name: string, kind: number, publicKey: Uint8Array): string {
  const hash = createHash('sha256')
    .update(`${name}\n`)
    .update(Buffer.from([kind]))
    .update(publicKey);
  return hash.digest().subarray(0, 4).toString('hex');
}

function signatureLine(one: NoteSignature): string {
  return `\u2014 ${one.name} ${Buffer.concat([Buffer.from(one.id, 'hex'), one.bytes]).toString('base64')}\n`;
}

function isKeyName(name: string): boolean {
  return /^[^\s+]{1,256}$/.test(name) && name.isWellFormed();
}

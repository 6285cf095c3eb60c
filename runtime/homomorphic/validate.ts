import { HomomorphicFault } from './fault.ts';
import { wordsBelow } from './kernels/words-below.ts';
import {
  CIPHERTEXT_BODY_OFFSET,
  PLAINTEXT_BODY_OFFSET,
  ciphertextBytes,
  ciphertextHeader,
  keyShape,
  relinearisationHead,
  secretKeyHead,
  seedRecordHeader,
  seedRecordOffset,
  type CiphertextShape,
} from './layout.ts';
import { dataPrimeCount, type Profile } from './profiles.ts';

/*
 * SEAL 4.1's own loader decompresses whatever it is given, trusts dimensions before it allocates, ignores trailing
 * bytes and takes transparent ciphertexts. So nothing from outside reaches it that is not, byte for byte, the one
 * header that this profile and shape can have, the one length, and residues below their primes. There is nothing to
 * parse: the expected header is written and compared.
 */

/** Accepts the bytes of a ciphertext of exactly this shape, or throws `bad-ciphertext`; a first look costs microseconds. */
export function checkCiphertext(shape: CiphertextShape, bytes: Uint8Array): void {
  const complaint = ciphertextComplaint(shape, bytes);
  if (complaint !== null) throw new HomomorphicFault('bad-ciphertext', `cannot use this ciphertext: ${complaint}`);
}

/** As `checkCiphertext` without looking at residues: for bytes that a kernel checks while it reads them anyway. */
export function checkCiphertextFrame(shape: CiphertextShape, bytes: Uint8Array): void {
  if (bytes.byteLength !== ciphertextBytes(shape) || !startsWith(bytes, 0, headerOf(shape))) {
    throw new HomomorphicFault(
      'bad-ciphertext',
      `cannot use this ciphertext: its frame is not the one of profile ${shape.profile.id}`,
    );
  }
}

const headers = new WeakMap<CiphertextShape, Uint8Array>();

function headerOf(shape: CiphertextShape): Uint8Array {
  let header = headers.get(shape);
  if (header === undefined) headers.set(shape, (header = ciphertextHeader(shape)));
  return header;
}

/** Accepts a public key of the profile, full or seeded, or throws `bad-key`. */
export function checkPublicKey(profile: Profile, bytes: Uint8Array): void {
  const seeded = keyShape(profile, 'seeded');
  const shape = bytes.byteLength === ciphertextBytes(seeded) ? seeded : keyShape(profile, 'full');
  const complaint = ciphertextComplaint(shape, bytes);
  if (complaint !== null) throw new HomomorphicFault('bad-key', `cannot use this public key: ${complaint}`);
}

/** Accepts a relinearisation key of the profile, full or seeded, or throws `bad-key`. */
export function checkRelinearisationKey(profile: Profile, bytes: Uint8Array): void {
  const parts = dataPrimeCount(profile);
  const form = bytes.byteLength === 64 + parts * ciphertextBytes(keyShape(profile, 'seeded')) ? 'seeded' : 'full';
  const shape = keyShape(profile, form);
  const size = ciphertextBytes(shape);
  const refuse = (complaint: string): never => {
    throw new HomomorphicFault('bad-key', `cannot use this relinearisation key: ${complaint}`);
  };
  if (profile.primes.length < 2) refuse(`profile ${profile.id} has no key switching`);
  if (bytes.byteLength !== 64 + parts * size) refuse(`it has ${bytes.byteLength} bytes`);
  if (!startsWith(bytes, 0, relinearisationHead(profile, form))) refuse('its header is not the one of the profile');
  const partOf = (part: number): Uint8Array => bytes.subarray(64 + part * size, 64 + (part + 1) * size);
  // all frames first, then all residues: what is cheap to refuse is refused before a megabyte is read
  for (const complaintOf of [frameComplaint, ciphertextComplaint]) {
    for (let part = 0; part < parts; part++) {
      const complaint = complaintOf(shape, partOf(part));
      if (complaint !== null) refuse(`part ${part}: ${complaint}`);
    }
  }
}

/** Accepts a secret key of the profile, or throws `bad-key`. */
export function checkSecretKey(profile: Profile, bytes: Uint8Array): void {
  const head = secretKeyHead(profile);
  const words = profile.primes.length * profile.degree;
  const isWhole = bytes.byteLength === PLAINTEXT_BODY_OFFSET + words * 8 && startsWith(bytes, 0, head);
  if (!isWhole || !residuesInRange(bytes, PLAINTEXT_BODY_OFFSET, profile, profile.primes.length, 1)) {
    throw new HomomorphicFault('bad-key', `cannot use this secret key: it is not a key of profile ${profile.id}`);
  }
}

function ciphertextComplaint(shape: CiphertextShape, bytes: Uint8Array): string | null {
  const complaint = frameComplaint(shape, bytes);
  if (complaint !== null) return complaint;
  const stored = shape.isSeeded ? 1 : shape.polynomials;
  if (!residuesInRange(bytes, CIPHERTEXT_BODY_OFFSET, shape.profile, shape.primeCount, stored)) {
    return 'a coefficient is not below its prime';
  }
  if (!shape.isSeeded && isTransparent(shape, bytes)) return 'it is transparent, so it hides nothing';
  return null;
}

/** Length, header and seed record. */
function frameComplaint(shape: CiphertextShape, bytes: Uint8Array): string | null {
  if (bytes.byteLength !== ciphertextBytes(shape)) {
    return `it has ${bytes.byteLength} bytes, a ciphertext of profile ${shape.profile.id} has ${ciphertextBytes(shape)}`;
  }
  if (!startsWith(bytes, 0, headerOf(shape))) return `its header is not the one of profile ${shape.profile.id}`;
  if (shape.isSeeded && !startsWith(bytes, seedRecordOffset(shape), seedRecordHeader()))
    return 'its seed record is damaged';
  return null;
}

function startsWith(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(at, at + expected.byteLength), expected) === 0;
}

/** All words of `polynomials` polynomials are below their primes. */
function residuesInRange(
  bytes: Uint8Array,
  offset: number,
  profile: Profile,
  primeCount: number,
  polynomials: number,
): boolean {
  let at = offset;
  for (let polynomial = 0; polynomial < polynomials; polynomial++) {
    for (const prime of profile.primes.slice(0, primeCount)) {
      if (!wordsBelow(bytes, at, profile.degree, prime)) return false;
      at += profile.degree * 8;
    }
  }
  return true;
}

/** A ciphertext whose polynomials after the first are all zero shows its plaintext to anyone. */
function isTransparent(shape: CiphertextShape, bytes: Uint8Array): boolean {
  const firstBytes = shape.primeCount * shape.profile.degree * 8;
  for (let i = CIPHERTEXT_BODY_OFFSET + firstBytes; i < bytes.byteLength; i++) if (bytes[i] !== 0) return false;
  return true;
}

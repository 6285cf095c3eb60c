import { dataPrimeCount, type Profile } from './profiles.ts';

/**
 * Byte layout of SEAL 4.1 objects saved without compression, measured and pinned by tests:
 * 16 header | 32 parameter digest | 1 NTT flag | 8 size | 8 degree | 8 primes | 8 scale | 8 correction factor |
 * 16 array header | 8 word count | words. A seeded object keeps its first polynomial and, instead of the second,
 * an 81-byte record with the 64-byte seed of its generator.
 */
export const HEADER_BYTES = 16;
const SEED_RECORD_BYTES = 81;
/** Where the residues of a ciphertext begin. */
export const CIPHERTEXT_BODY_OFFSET = 113;
/** Where the residues of a plaintext or secret key begin. */
export const PLAINTEXT_BODY_OFFSET = 88;
const WORD_BYTES = 8;
/** Blake2xb, the only generator that a seeded object may name. */
const SEED_GENERATOR = 1;

/** What one ciphertext of a profile looks like on the wire. */
export interface CiphertextShape {
  readonly profile: Profile;
  /** Polynomials: 2 fresh, 3 after one multiplication without relinearisation. */
  readonly polynomials: 2 | 3;
  readonly primeCount: number;
  readonly isNtt: boolean;
  readonly scale: number;
  /** BGV's factor after modulus switching; 1 otherwise. */
  readonly correctionFactor: bigint;
  /** Half-size form of symmetric encryption. */
  readonly isSeeded: boolean;
}

/** The shape of a freshly encrypted ciphertext, full or seeded. */
export function freshShape(profile: Profile, form: 'full' | 'seeded'): CiphertextShape {
  return {
    profile,
    polynomials: 2,
    primeCount: dataPrimeCount(profile),
    isNtt: profile.scheme !== 'bfv',
    scale: profile.scale,
    correctionFactor: 1n,
    isSeeded: form === 'seeded',
  };
}

/** The shape of a ciphertext after BGV modulus switching down to `primeCount` primes. */
export function switchedShape(profile: Profile, primeCount: number): CiphertextShape {
  let correctionFactor = 1n;
  const t = profile.plainModulus;
  for (let dropped = dataPrimeCount(profile); dropped > primeCount; dropped--) {
    const prime = (profile.primes[dropped - 1] ?? 1n) % t;
    correctionFactor = (correctionFactor * inverse(prime, t)) % t;
  }
  return { ...freshShape(profile, 'full'), primeCount, correctionFactor };
}

/** Bytes of the residues of a ciphertext in full form: what the kernels read. */
export function bodyBytes(shape: CiphertextShape): number {
  return shape.polynomials * shape.primeCount * shape.profile.degree * WORD_BYTES;
}

/** The one accepted length of a serialised ciphertext of this shape. */
export function ciphertextBytes(shape: CiphertextShape): number {
  if (!shape.isSeeded) return CIPHERTEXT_BODY_OFFSET + bodyBytes(shape);
  return CIPHERTEXT_BODY_OFFSET + shape.primeCount * shape.profile.degree * WORD_BYTES + SEED_RECORD_BYTES;
}

/** The 113 bytes before the residues: everything about a ciphertext that is not data, so it is rebuilt, never trusted. */
export function ciphertextHeader(shape: CiphertextShape): Uint8Array {
  const bytes = new Uint8Array(CIPHERTEXT_BODY_OFFSET);
  const view = new DataView(bytes.buffer);
  const words = (shape.isSeeded ? 1 : shape.polynomials) * shape.primeCount * shape.profile.degree;
  writeSealHeader(view, 0, ciphertextBytes(shape));
  bytes.set(parmsIdOf(shape.profile, shape.primeCount), 16);
  bytes[48] = shape.isNtt ? 1 : 0;
  view.setBigUint64(49, BigInt(shape.polynomials), true);
  view.setBigUint64(57, BigInt(shape.profile.degree), true);
  view.setBigUint64(65, BigInt(shape.primeCount), true);
  view.setFloat64(73, shape.scale, true);
  view.setBigUint64(81, shape.correctionFactor, true);
  writeSealHeader(view, 89, 24 + words * WORD_BYTES);
  view.setBigUint64(105, BigInt(words), true);
  return bytes;
}

/** Header of the seed record that ends a seeded object: 16 bytes and the generator's number. */
export function seedRecordHeader(): Uint8Array {
  const bytes = new Uint8Array(17);
  writeSealHeader(new DataView(bytes.buffer), 0, SEED_RECORD_BYTES);
  bytes[16] = SEED_GENERATOR;
  return bytes;
}

/** Where the seed record of a seeded object of this shape begins. */
export function seedRecordOffset(shape: CiphertextShape): number {
  return ciphertextBytes(shape) - SEED_RECORD_BYTES;
}

/** A complete serialised ciphertext from its residues. */
export function assembleCiphertext(shape: CiphertextShape, body: Uint8Array): Uint8Array {
  if (body.byteLength !== bodyBytes(shape)) throw new RangeError('residues do not fit the shape of the ciphertext');
  const bytes = new Uint8Array(CIPHERTEXT_BODY_OFFSET + body.byteLength);
  bytes.set(ciphertextHeader(shape), 0);
  bytes.set(body, CIPHERTEXT_BODY_OFFSET);
  return bytes;
}

/** Shape of a public key, and of each part of a relinearisation key: a ciphertext at the key level. */
export function keyShape(profile: Profile, form: 'full' | 'seeded'): CiphertextShape {
  return { ...freshShape(profile, form), primeCount: profile.primes.length, isNtt: true, scale: 1 };
}

/** Fixed head of a relinearisation key with one entry: header, digest, one key, number of parts. */
export function relinearisationHead(profile: Profile, form: 'full' | 'seeded'): Uint8Array {
  const parts = dataPrimeCount(profile);
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  writeSealHeader(view, 0, 64 + parts * ciphertextBytes(keyShape(profile, form)));
  bytes.set(parmsIdOf(profile, profile.primes.length), 16);
  view.setBigUint64(48, 1n, true);
  view.setBigUint64(56, BigInt(parts), true);
  return bytes;
}

/** The 88 bytes before the residues of a secret key. */
export function secretKeyHead(profile: Profile): Uint8Array {
  const words = profile.primes.length * profile.degree;
  const bytes = new Uint8Array(PLAINTEXT_BODY_OFFSET);
  const view = new DataView(bytes.buffer);
  writeSealHeader(view, 0, PLAINTEXT_BODY_OFFSET + words * WORD_BYTES);
  bytes.set(parmsIdOf(profile, profile.primes.length), 16);
  view.setBigUint64(48, BigInt(words), true);
  view.setFloat64(56, 1, true);
  writeSealHeader(view, 64, 24 + words * WORD_BYTES);
  view.setBigUint64(80, BigInt(words), true);
  return bytes;
}

/** A plaintext polynomial in coefficient form as SEAL saves it: no parameter digest, scale 1. */
export function plaintextBytes(coefficients: BigUint64Array): Uint8Array {
  const bytes = new Uint8Array(PLAINTEXT_BODY_OFFSET + coefficients.byteLength);
  const view = new DataView(bytes.buffer);
  writeSealHeader(view, 0, bytes.byteLength);
  view.setBigUint64(48, BigInt(coefficients.length), true);
  view.setFloat64(56, 1, true);
  writeSealHeader(view, 64, 24 + coefficients.byteLength);
  view.setBigUint64(80, BigInt(coefficients.length), true);
  bytes.set(
    new Uint8Array(coefficients.buffer, coefficients.byteOffset, coefficients.byteLength),
    PLAINTEXT_BODY_OFFSET,
  );
  return bytes;
}

function writeSealHeader(view: DataView, at: number, totalBytes: number): void {
  view.setUint16(at, 0xa15e, true);
  view.setUint8(at + 2, HEADER_BYTES);
  view.setUint8(at + 3, 4); // SEAL major version
  view.setUint8(at + 4, 1); // SEAL minor version
  view.setUint8(at + 5, 0); // no compression: compressed input is a decompression bomb waiting to happen
  view.setBigUint64(at + 8, BigInt(totalBytes), true);
}

function parmsIdOf(profile: Profile, primeCount: number): Uint8Array {
  const hex = profile.parmsIds[primeCount];
  if (hex === undefined) throw new RangeError(`profile ${profile.id} has no level with ${primeCount} primes`);
  return Buffer.from(hex, 'hex');
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [r0, r1, s0, s1] = [value % modulus, modulus, 1n, 0n];
  while (r1 !== 0n) {
    const quotient = r0 / r1;
    [r0, r1, s0, s1] = [r1, r0 - quotient * r1, s1, s0 - quotient * s1];
  }
  return ((s0 % modulus) + modulus) % modulus;
}

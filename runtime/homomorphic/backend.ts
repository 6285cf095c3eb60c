import type { CiphertextShape } from './layout.ts';
import type { Profile, ProfileId } from './profiles.ts';

/** A ciphertext inside a backend; belongs to whoever got it and must be disposed (`using`). */
export interface Ciphertext extends Disposable {
  readonly profile: ProfileId;
}

/** An encoded plaintext inside a backend, in NTT form when made by `encodeForProduct`. */
export interface Plaintext extends Disposable {
  readonly profile: ProfileId;
}

/** Serialised keys of one profile; the secret key is for the key holder's process only. */
export interface KeyMaterial {
  readonly profile: ProfileId;
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
  /** Present when the profile has a key-switching prime. */
  readonly relinearisationKey: Uint8Array | null;
}

/**
 * The narrow view of an encryption library that everything else uses: one context per profile, keys in and out as
 * validated bytes, values in and out as typed arrays. Bytes are SEAL's uncompressed format, so another backend
 * (a native one, say) can be compared with this one bit for bit.
 */
export interface Backend {
  /** The context of a profile, made once and kept. */
  open(profile: Profile): BackendContext;
  /** False once the backend must be thrown away with its process. */
  readonly isUsable: boolean;
}

/** Keys and operations of one profile. Integers are checked against the plaintext modulus before they are encoded. */
export interface BackendContext extends Disposable {
  readonly profile: Profile;
  generateKeys(): KeyMaterial;
  useSecretKey(bytes: Uint8Array): void;
  usePublicKey(bytes: Uint8Array): void;
  useRelinearisationKey(bytes: Uint8Array): void;
  /** Makes keys for rotating by these steps; needs a secret key, used by measurements only. */
  makeRotationKeys(steps: readonly number[]): void;

  encodeIntegers(values: BigInt64Array): Plaintext;
  /** `scale` when other than the profile's; `like` drops the plaintext to that ciphertext's level. */
  encodeReals(values: Float64Array, options?: { readonly like?: Ciphertext; readonly scale?: number }): Plaintext;
  /** Residues of an encoded plaintext in NTT form, one polynomial per prime: what the product kernel reads. */
  encodeForProduct(values: BigInt64Array): Uint8Array;
  /** Coefficients of an encoded plaintext, centred around zero. */
  encodeCoefficients(values: BigInt64Array): BigInt64Array;

  /** Half-size ciphertext under the secret key. */
  encryptSeeded(plain: Plaintext): Uint8Array;
  /** The same from integers at once: in BGV several times as fast as encoding and encrypting apart. */
  encryptIntegersSeeded(values: BigInt64Array): Uint8Array;
  encryptWithPublicKey(plain: Plaintext): Ciphertext;
  encryptZero(): Ciphertext;
  /** Validates bytes of exactly this shape, then loads them. */
  load(shape: CiphertextShape, bytes: Uint8Array): Ciphertext;
  /** The residues of a ciphertext, without its header. */
  body(ciphertext: Ciphertext): Uint8Array;
  save(ciphertext: Ciphertext): Uint8Array;

  decryptIntegers(ciphertext: Ciphertext): BigInt64Array;
  decryptReals(ciphertext: Ciphertext): Float64Array;
  /** Bits left before decryption goes wrong; a secret of the key holder that is never released. */
  noiseBudgetBits(ciphertext: Ciphertext): number;

  add(left: Ciphertext, right: Ciphertext): Ciphertext;
  addTo(target: Ciphertext, other: Ciphertext): void;
  addPlainTo(target: Ciphertext, plain: Plaintext): void;
  multiply(left: Ciphertext, right: Ciphertext): Ciphertext;
  multiplyPlain(left: Ciphertext, plain: Plaintext): Ciphertext;
  relinearise(target: Ciphertext): void;
  /** CKKS: divides by the last prime and drops it. */
  rescale(target: Ciphertext): void;
  /** CKKS: declares the scale after rescaling, when the prime was only nearly the scale. */
  setScale(target: Ciphertext, scale: number): void;
  /** Drops primes until `like`'s level, without dividing the message. */
  dropToLevelOf(target: Ciphertext, like: Ciphertext): void;
  /** BGV: one step of modulus switching. */
  switchDown(target: Ciphertext): void;
  rotate(target: Ciphertext, steps: number): void;
  copy(of: Ciphertext): Ciphertext;
}

import type {
  Ciphertext as SealCiphertext,
  EncryptionParameters,
  Plaintext as SealPlaintext,
  SEALContext,
} from 'node-seal';
import type { Ciphertext, Plaintext } from './backend.ts';
import { HomomorphicFault } from './fault.ts';
import type { Profile, ProfileId } from './profiles.ts';
import { SealInstance } from './seal-instance.ts';

/** An object of the encryption library, with the profile that it belongs to. */
export interface Handle<T extends Disposable> extends Disposable {
  readonly profile: ProfileId;
  readonly inner: T;
}

/** The library's context of a profile; throws `library-failed` when it does not agree on its parameters. */
export function makeContext(instance: SealInstance, profile: Profile): SEALContext {
  const { seal } = instance;
  using parameters: EncryptionParameters = new seal.EncryptionParameters(seal.SchemeType[profile.scheme]);
  parameters.setPolyModulusDegree(profile.degree);
  using primes = new seal.VectorModulus();
  for (const value of profile.primes) {
    using prime = new seal.Modulus(value);
    primes.push_back(prime);
  }
  parameters.setCoeffModulus(primes);
  if (profile.scheme !== 'ckks') {
    using modulus = new seal.Modulus(profile.plainModulus);
    parameters.setPlainModulus(modulus);
  }
  const context = new seal.SEALContext(parameters, true, seal.SecLevelType.tc128);
  using level = context.firstParmsId();
  const digest = Buffer.from(BigUint64Array.from(level.values() as Iterable<bigint>).buffer).toString('hex');
  const expected = profile.parmsIds[profile.primes.length === 1 ? 1 : profile.primes.length - 1];
  if (!context.parametersSet() || digest !== expected) {
    context.delete();
    throw new HomomorphicFault('library-failed', `the encryption library does not agree on profile ${profile.id}`);
  }
  return context;
}

/** Out-of-range values do not fail in SEAL 4.1, they silently garble neighbouring slots: so they are refused here. */
export function checkRange(values: BigInt64Array, plainModulus: bigint): void {
  const limit = plainModulus / 2n;
  // halves instead of BigInts: several times faster, and exact for anything near the bound (far below 2^53)
  const bound = Number(limit);
  const halves = new Int32Array(values.buffer, values.byteOffset, values.length * 2);
  for (let i = 0; i < values.length; i++) {
    const value = (halves[2 * i + 1] as number) * 4294967296 + ((halves[2 * i] as number) >>> 0);
    if (value > bound || value < -bound) {
      throw new HomomorphicFault(
        'out-of-range',
        `value ${i} does not fit the plaintext modulus: at most ${limit} either side of zero`,
      );
    }
  }
}

/** The library's ciphertext inside a handle. */
export function cipher(ciphertext: Ciphertext): SealCiphertext {
  return (ciphertext as Handle<SealCiphertext>).inner;
}

/** The library's plaintext inside a handle. */
export function plainOf(plain: Plaintext): SealPlaintext {
  return (plain as Handle<SealPlaintext>).inner;
}

/** node-seal takes a `Uint8Array` by the name of its constructor, so a `Buffer` must be viewed as one. */
export function plainArray(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes that the library saved. */
export function bytesOf(saved: unknown): Uint8Array {
  if (saved instanceof Uint8Array) return saved;
  throw new HomomorphicFault('library-failed', 'the encryption library saved something unexpected');
}

/** The value, or `library-failed` with what is missing. */
export function present<T>(value: T | null, missing: string): T {
  if (value === null) throw new HomomorphicFault('library-failed', missing);
  return value;
}

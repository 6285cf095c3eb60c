import { HomomorphicFault } from './fault.ts';
import {
  type EncryptionKernel,
  encryptionKernel,
  quotient,
  reserve,
  slotOrder,
  writeTable,
} from './kernels/encryption-kernel.ts';
import { powerOf, rootPowers } from './kernels/roots.ts';
import {
  ciphertextBytes,
  ciphertextHeader,
  CIPHERTEXT_BODY_OFFSET,
  freshShape,
  PLAINTEXT_BODY_OFFSET,
  seedRecordHeader,
  seedRecordOffset,
  type CiphertextShape,
} from './layout.ts';
import { dataPrimeCount, type Profile } from './profiles.ts';
import { checkSecretKey } from './validate.ts';

const WORD = 8;
const PAIR = 16;
const SEED_BYTES = 64;
/** Bytes that SEAL's generator makes at a time. */
const BUFFER_BYTES = 4096;
/** Random bytes of one error term. */
const ERROR_BYTES = 6;
const SCRATCH_BYTES = 384;
const MAX_WORD = (1n << 64n) - 1n;
/** Above t times the largest error and message, for every profile. */
const LIFT = 1n << 50n;

/**
 * SEAL's seeded symmetric BGV encryption of batches of integers, written anew over our own kernels: several times as
 * fast, and what it writes is what SEAL would read back. The seed expands by SEAL's own generator and sampler (BLAKE2xb,
 * rejection), the error is SEAL's centred binomial of 21 + 21 bits, and both come from fresh entropy for each ciphertext:
 * a seed that was used twice would show differences of plaintexts. Holds a secret key, so it lives in the key holder's
 * process alone.
 */
export class SeededEncryptor {
  readonly #kernel: EncryptionKernel;
  readonly #profile: Profile;
  readonly #shape: CiphertextShape;
  readonly #primes: readonly Prime[];
  readonly #header: Uint8Array;
  readonly #at: Places;
  readonly #unscale: readonly [factor: bigint, quotient: bigint];
  readonly #fillRandom: (target: Uint8Array) => void;

  /** `fillRandom` is the system's generator; tests hand in others. */
  constructor(profile: Profile, secretKey: Uint8Array, fillRandom: (target: Uint8Array) => void) {
    if (profile.scheme !== 'bgv') throw new RangeError('this encryptor is for BGV');
    checkSecretKey(profile, secretKey);
    this.#kernel = encryptionKernel();
    this.#profile = profile;
    this.#fillRandom = fillRandom;
    this.#shape = freshShape(profile, 'seeded');
    this.#header = ciphertextHeader(this.#shape);
    const n = profile.degree;
    const primes = profile.primes.slice(0, dataPrimeCount(profile));
    this.#at = placesOf(n, primes.length);
    reserve(this.#kernel, this.#at.end);
    const t = profile.plainModulus;
    const factor = powerOf(BigInt(n), t - 2n, t);
    this.#unscale = [factor, quotient(factor, t)];
    writeTable(
      this.#kernel,
      this.#at.decode,
      rootPowers(t, n).map((root) => powerOf(root, t - 2n, t)),
      t,
    );
    const key = new DataView(secretKey.buffer, secretKey.byteOffset + PLAINTEXT_BODY_OFFSET);
    this.#primes = primes.map((prime, k) => {
      const roots = this.#at.primes + 2 * PAIR * n * k;
      writeTable(this.#kernel, roots, rootPowers(prime, n), prime);
      const words = Array.from({ length: n }, (_, i) => key.getBigUint64(WORD * (n * k + i), true));
      writeTable(this.#kernel, roots + PAIR * n, words, prime);
      const limit = MAX_WORD - (MAX_WORD % prime) - 1n;
      return {
        prime,
        roots,
        key: roots + PAIR * n,
        limit,
        lift: prime * (LIFT / prime + 1n),
        one: quotient(1n, prime),
      };
    });
    new Uint32Array(this.#kernel.memory.buffer, this.#at.map, n).set(slotOrder(n).map((index) => WORD * index));
  }

  /**
   * A seeded ciphertext of up to N integers, the rest zero: bytes as SEAL saves them. Throws `out-of-range` when one does
   * not lie within half the plaintext modulus either side of zero.
   */
  encrypt(values: BigInt64Array): Uint8Array {
    const { degree: n, plainModulus: t } = this.#profile;
    if (values.length > n) throw new HomomorphicFault('out-of-range', 'more values than slots');
    const kernel = this.#kernel;
    const at = this.#at;
    const memory = new Uint8Array(kernel.memory.buffer);
    const slots = new BigInt64Array(kernel.memory.buffer, at.values, n);
    slots.set(values);
    slots.fill(0n, values.length);
    if (kernel.place(at.message, at.values, at.map, n, t) !== 0)
      throw new HomomorphicFault(
        'out-of-range',
        `a value does not fit the plaintext modulus: at most ${t / 2n} either side of zero`,
      );
    kernel.inverse(at.message, n, at.decode, t);
    kernel.scale(at.message, n, ...this.#unscale, t);
    // one draw: what is public (the seed) and what is secret (the error) are different parts of it
    this.#fillRandom(memory.subarray(at.seed, at.seed + SEED_BYTES + ERROR_BYTES * n));
    kernel.hide(at.values, at.message, at.seed + SEED_BYTES, n, t);
    const bodyBytes = WORD * n * this.#primes.length;
    let buffers = 0;
    const grow = (bytes: number): void => {
      for (; buffers * BUFFER_BYTES < bytes; buffers++)
        kernel.expand(at.uniform + buffers * BUFFER_BYTES, at.seed, BigInt(buffers), at.scratch);
    };
    // rejected words are drawn anew behind the body; one in a thousand is at most, a whole buffer never
    grow(bodyBytes + BUFFER_BYTES);
    let spare = at.uniform + bodyBytes;
    const bytes = new Uint8Array(ciphertextBytes(this.#shape));
    bytes.set(this.#header, 0);
    this.#primes.forEach(({ prime, roots, key, limit, lift, one }, k) => {
      const factor = at.uniform + WORD * n * k;
      spare = kernel.uniform(factor, spare, n, limit, prime);
      kernel.lift(at.message, at.values, n, lift);
      kernel.forward(at.message, n, roots, prime);
      kernel.mask(at.message, factor, key, n, prime, one);
      bytes.set(memory.subarray(at.message, at.message + WORD * n), CIPHERTEXT_BODY_OFFSET + WORD * n * k);
    });
    if (spare > at.uniform + bodyBytes + BUFFER_BYTES)
      throw new HomomorphicFault('library-failed', 'the generator rejected more words than can be');
    const record = seedRecordOffset(this.#shape);
    bytes.set(seedRecordHeader(), record);
    bytes.set(memory.subarray(at.seed, at.seed + SEED_BYTES), record + seedRecordHeader().byteLength);
    return bytes;
  }
}

interface Prime {
  readonly prime: bigint;
  readonly roots: number;
  readonly key: number;
  /** Words from here on would make small residues more likely: drawn anew, exactly as SEAL does. */
  readonly limit: bigint;
  readonly lift: bigint;
  readonly one: bigint;
}

interface Places {
  readonly values: number;
  readonly message: number;
  readonly map: number;
  readonly decode: number;
  readonly primes: number;
  readonly seed: number;
  readonly uniform: number;
  readonly scratch: number;
  readonly end: number;
}

function placesOf(n: number, primes: number): Places {
  const values = 64;
  const message = values + WORD * n;
  const map = message + WORD * n;
  const decode = map + 4 * n;
  const tables = decode + PAIR * n;
  const seed = tables + 2 * PAIR * n * primes;
  // a word is read where the last error has six bytes
  const uniform = seed + SEED_BYTES + ERROR_BYTES * n + 64;
  const scratch = uniform + WORD * n * primes + 2 * BUFFER_BYTES;
  return { values, message, map, decode, primes: tables, seed, uniform, scratch, end: scratch + SCRATCH_BYTES };
}

import { HomomorphicFault } from './fault.ts';
import { ENCRYPTION_BINARY_BASE64 } from './kernels/encrypt-binary.ts';
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

/** The functions of `kernels/encrypt-wat.ts`; addresses are byte offsets, counts are words. */
interface EncryptionKernel {
  readonly memory: WebAssembly.Memory;
  expand(out: number, seed: number, counter: bigint, scratch: number): void;
  place(to: number, values: number, map: number, words: number, modulus: bigint): number;
  forward(at: number, words: number, tables: number, prime: bigint): void;
  inverse(at: number, words: number, tables: number, prime: bigint): void;
  scale(at: number, words: number, factor: bigint, quotient: bigint, prime: bigint): void;
  hide(to: number, message: number, random: number, words: number, modulus: bigint): void;
  lift(to: number, from: number, words: number, offset: bigint): void;
  uniform(at: number, spare: number, words: number, limit: bigint, prime: bigint): number;
  mask(target: number, factor: number, key: number, words: number, prime: bigint, one: bigint): void;
}

const WORD = 8;
const PAIR = 16;
const SEED_BYTES = 64;
/** Bytes that SEAL's generator makes at a time. */
const BUFFER_BYTES = 4096;
/** Random bytes of one error term. */
const ERROR_BYTES = 6;
const SCRATCH_BYTES = 384;
const PAGE_BYTES = 65_536;
const MAX_WORD = (1n << 64n) - 1n;
/** Above t times the largest error and message, for every profile. */
const LIFT = 1n << 50n;

let compiled: WebAssembly.Module | undefined;

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
    compiled ??= new WebAssembly.Module(Buffer.from(ENCRYPTION_BINARY_BASE64, 'base64'));
    // The compiler cannot know what a WebAssembly module exports; the names are those of encrypt-wat.ts.
    this.#kernel = new WebAssembly.Instance(compiled).exports as unknown as EncryptionKernel;
    this.#profile = profile;
    this.#fillRandom = fillRandom;
    this.#shape = freshShape(profile, 'seeded');
    this.#header = ciphertextHeader(this.#shape);
    const n = profile.degree;
    const primes = profile.primes.slice(0, dataPrimeCount(profile));
    this.#at = placesOf(n, primes.length);
    const missing = this.#at.end - this.#kernel.memory.buffer.byteLength;
    if (missing > 0) this.#kernel.memory.grow(Math.ceil(missing / PAGE_BYTES));
    const t = profile.plainModulus;
    const factor = powerOf(BigInt(n), t - 2n, t);
    this.#unscale = [factor, quotient(factor, t)];
    this.#writeTable(
      this.#at.decode,
      rootPowers(t, n).map((root) => powerOf(root, t - 2n, t)),
      t,
    );
    const key = new DataView(secretKey.buffer, secretKey.byteOffset + PLAINTEXT_BODY_OFFSET);
    this.#primes = primes.map((prime, k) => {
      const roots = this.#at.primes + 2 * PAIR * n * k;
      this.#writeTable(roots, rootPowers(prime, n), prime);
      const words = Array.from({ length: n }, (_, i) => key.getBigUint64(WORD * (n * k + i), true));
      this.#writeTable(roots + PAIR * n, words, prime);
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

  #writeTable(at: number, words: readonly bigint[], modulus: bigint): void {
    const table = new BigUint64Array(this.#kernel.memory.buffer, at, 2 * words.length);
    words.forEach((word, i) => {
      table[2 * i] = word;
      table[2 * i + 1] = quotient(word, modulus);
    });
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

const quotient = (word: bigint, modulus: bigint): bigint => (word << 64n) / modulus;

/** Where the batch encoder puts each value: two rows of N/2 slots, each ordered by powers of three (SEAL, `BatchEncoder`). */
function slotOrder(n: number): readonly number[] {
  const bits = Math.log2(n);
  const reversed = (index: number): number => {
    let result = 0;
    for (let bit = 0; bit < bits; bit++) result |= ((index >> bit) & 1) << (bits - 1 - bit);
    return result;
  };
  const order = Array.from({ length: n }, () => 0);
  for (let i = 0, power = 1; i < n / 2; i++, power = (power * 3) % (2 * n)) {
    order[i] = reversed((power - 1) >> 1);
    order[i + n / 2] = reversed((2 * n - power - 1) >> 1);
  }
  return order;
}

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
import type { Profile } from './profiles.ts';

const WORD = 8;
const PAIR = 16;

/**
 * SEAL's batch encoding of integers, several times as fast: the polynomial whose values at the roots are the slots.
 * Coefficients come out nearest zero, ready to be transformed modulo the primes of a ciphertext.
 */
export class BatchEncoder {
  readonly #kernel: EncryptionKernel;
  readonly #degree: number;
  readonly #modulus: bigint;
  readonly #unscale: readonly [factor: bigint, quotient: bigint];
  readonly #at: { readonly values: number; readonly message: number; readonly map: number; readonly decode: number };
  /** Zeros where encryption has its randomness: no error is added. */
  readonly #zeros: number;

  constructor(profile: Profile) {
    const { degree: n, plainModulus: t } = profile;
    this.#kernel = encryptionKernel();
    this.#degree = n;
    this.#modulus = t;
    const message = 64 + WORD * n;
    const map = message + WORD * n;
    const decode = map + 4 * n;
    this.#at = { values: 64, message, map, decode };
    this.#zeros = decode + PAIR * n;
    reserve(this.#kernel, this.#zeros + WORD * n + 64);
    const factor = powerOf(BigInt(n), t - 2n, t);
    this.#unscale = [factor, quotient(factor, t)];
    const inverses = rootPowers(t, n).map((root) => powerOf(root, t - 2n, t));
    writeTable(this.#kernel, decode, inverses, t);
    new Uint32Array(this.#kernel.memory.buffer, map, n).set(slotOrder(n).map((index) => WORD * index));
  }

  /** Coefficients nearest zero; throws `out-of-range` when a value does not lie within half the plaintext modulus. */
  encode(values: BigInt64Array): BigInt64Array {
    const n = this.#degree;
    const t = this.#modulus;
    if (values.length > n) throw new HomomorphicFault('out-of-range', 'more values than slots');
    const at = this.#at;
    const slots = new BigInt64Array(this.#kernel.memory.buffer, at.values, n);
    slots.set(values);
    slots.fill(0n, values.length);
    if (this.#kernel.place(at.message, at.values, at.map, n, t) !== 0)
      throw new HomomorphicFault('out-of-range', 'a value does not fit the plaintext modulus');
    this.#kernel.inverse(at.message, n, at.decode, t);
    this.#kernel.scale(at.message, n, ...this.#unscale, t);
    this.#kernel.hide(at.values, at.message, this.#zeros, n, t);
    return slots.slice();
  }
}

import { ALIGNMENT, badBody, instantiate, reserve, type BodyShape, type KernelExports } from './linear-kernel.ts';
import { rootPowers } from './roots.ts';

/**
 * Number-theoretic transforms over primes below 2^28, in SEAL's order of words: a plaintext with coefficients as large as
 * a 36-bit modulus is lifted and transformed several times faster than by the library, which has no fast path for a
 * plaintext modulus above its primes. Roots are the least primitive 2N-th roots, as SEAL chooses them.
 */
export class NumberTransform {
  readonly #kernel: KernelExports;
  readonly #shape: Omit<BodyShape, 'polynomials'>;
  readonly #inputAt: number;
  readonly #packedAt: number;
  readonly #outputAt: number;
  readonly #tables: readonly { readonly roots: number; readonly quotients: number; readonly prime: bigint }[];

  constructor(shape: Omit<BodyShape, 'polynomials'>) {
    if (shape.primes.some((prime) => prime >= 1n << 28n)) throw new RangeError('this kernel needs primes below 2^28');
    const kernel = instantiate();
    const n = shape.degree;
    this.#kernel = kernel;
    this.#shape = shape;
    this.#inputAt = ALIGNMENT;
    this.#packedAt = this.#inputAt + 8 * n;
    this.#outputAt = this.#packedAt + 4 * n;
    const tablesAt = this.#outputAt + 8 * n * shape.primes.length;
    reserve(kernel, tablesAt + 8 * n * shape.primes.length);
    this.#tables = shape.primes.map((prime, k) => {
      const roots = tablesAt + 8 * n * k;
      const quotients = roots + 4 * n;
      const powers = rootPowers(prime, n);
      new Uint32Array(kernel.memory.buffer, roots, n).set(powers.map(Number));
      new Uint32Array(kernel.memory.buffer, quotients, n).set(powers.map((root) => Number((root << 32n) / prime)));
      return { roots, quotients, prime };
    });
  }

  /** Residues in transformed order, one polynomial per prime, of a polynomial with signed 64-bit coefficients. */
  transform(coefficients: BigInt64Array): Uint8Array {
    if (coefficients.length !== this.#shape.degree) throw badBody();
    new BigInt64Array(this.#kernel.memory.buffer, this.#inputAt, coefficients.length).set(coefficients);
    return this.#run((_k, prime) => this.#kernel.residues28(this.#packedAt, this.#inputAt, this.#shape.degree, prime));
  }

  /**
   * The same for `multiplier` times integers given as 32-bit digits, most significant first; the first digit is signed.
   * Numbers of any size: Horner's rule modulo each prime.
   */
  transformDigits(digits: readonly Int32Array[], multiplier: bigint): Uint8Array {
    const n = this.#shape.degree;
    return this.#run((_k, prime) => {
      const packed = new Uint32Array(this.#kernel.memory.buffer, this.#packedAt, n);
      const [q, base, factor] = [Number(prime), Number((1n << 32n) % prime), Number(multiplier % prime)];
      const baseHigh = Math.floor(base / 16384);
      const factorHigh = Math.floor(factor / 16384);
      for (let i = 0; i < n; i++) {
        let value = (((digits[0]?.[i] ?? 0) % q) + q) % q;
        for (let d = 1; d < digits.length; d++) {
          // two steps keep every product below 2^53
          const high = ((value * baseHigh) % q) * 16384;
          value = (high + value * (base % 16384) + ((digits[d]?.[i] ?? 0) >>> 0)) % q;
        }
        packed[i] = (((value * factorHigh) % q) * 16384 + value * (factor % 16384)) % q;
      }
    });
  }

  #run(fill: (k: number, prime: bigint) => void): Uint8Array {
    const n = this.#shape.degree;
    this.#tables.forEach(({ roots, quotients, prime }, k) => {
      fill(k, prime);
      this.#kernel.transform28(this.#packedAt, n, roots, quotients, Number(prime));
      this.#kernel.widen28(this.#outputAt + 8 * n * k, this.#packedAt, n);
    });
    return new Uint8Array(this.#kernel.memory.buffer).slice(
      this.#outputAt,
      this.#outputAt + 8 * n * this.#tables.length,
    );
  }
}

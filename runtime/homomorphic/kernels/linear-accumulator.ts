import { HomomorphicFault } from '../fault.ts';
import {
  ALIGNMENT,
  WORD_RANGE,
  align,
  badBody,
  instantiate,
  reserve,
  type BodyShape,
  type KernelExports,
} from './linear-kernel.ts';

/** Ciphertexts copied in before one pass over the accumulator. */
const STAGED = 4;
/** Kernels whose accumulator is done: their memory is paged in already, which costs more than a small sum. */
const spare: KernelExports[] = [];
const SPARE_LIMIT = 32;

/**
 * An accumulator of ciphertext bodies in its own WebAssembly memory: linear combinations modulo each prime, bit for bit
 * what SEAL computes, at memory bandwidth. Sums are lazy (words grow until the next would not fit) and every word that
 * comes in is checked against its prime; one bad word makes `take` throw.
 */
export class LinearAccumulator implements Disposable {
  readonly #kernel: KernelExports;
  readonly #shape: BodyShape;
  readonly #bodyBytes: number;
  readonly #stageAt: number;
  readonly #stageStride: number;
  #view: Uint8Array;
  #staged = 0;
  /** How many multiples of the largest prime the accumulator may hold now, and may hold at most. */
  #load = 0n;
  readonly #capacity: bigint;
  #isBad = 0;

  constructor(shape: BodyShape) {
    this.#kernel = spare.pop() ?? instantiate();
    this.#shape = shape;
    this.#bodyBytes = shape.polynomials * shape.primes.length * shape.degree * 8;
    const stride = align(this.#bodyBytes);
    this.#stageAt = align(ALIGNMENT + this.#bodyBytes);
    // one cache line more than the body: strides that are powers of two make the four sources fight for the same sets
    this.#stageStride = stride + ALIGNMENT;
    this.#view = reserve(this.#kernel, this.#stageAt + STAGED * this.#stageStride);
    const largest = shape.primes.reduce((a, b) => (a > b ? a : b), 1n);
    this.#capacity = WORD_RANGE / largest - 1n;
    this.clear();
  }

  /** Gives the kernel back for the next accumulator of this process; this one must not be used again. */
  [Symbol.dispose](): void {
    if (spare.length < SPARE_LIMIT && !spare.includes(this.#kernel)) spare.push(this.#kernel);
  }

  /** Bytes of one body. */
  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  /** Forgets everything accumulated. */
  clear(): void {
    this.#view.fill(0, ALIGNMENT, ALIGNMENT + this.#bodyBytes);
    this.#staged = 0;
    this.#load = 0n;
    this.#isBad = 0;
  }

  /** Adds one body; `bytes` are exactly the residues. */
  add(bytes: Uint8Array): void {
    if (bytes.byteLength !== this.#bodyBytes) throw badBody();
    this.#view.set(bytes, this.#stageAt + this.#staged * this.#stageStride);
    if (++this.#staged === STAGED) this.#flush();
  }

  /** Adds `weight` times one body; any integer weight, split so that no word overflows. */
  addWeighted(bytes: Uint8Array, weight: bigint): void {
    if (bytes.byteLength !== this.#bodyBytes) throw badBody();
    this.#flush();
    this.#view.set(bytes, this.#stageAt);
    const isNegative = weight < 0n ? 1 : 0;
    let left = weight < 0n ? -weight : weight;
    while (left > 0n) {
      const step = left < this.#capacity - 1n ? left : this.#capacity - 1n;
      this.#makeRoom(step);
      this.#eachPlane((at, prime) => {
        const from = this.#stageAt + at;
        this.#isBad |= this.#kernel.mac(ALIGNMENT + at, from, this.#shape.degree, step, isNegative, prime);
      });
      left -= step;
    }
  }

  /** The accumulated body, fully reduced, as a copy; throws `bad-ciphertext` when any word taken was not below its prime. */
  take(): Uint8Array {
    this.#flush();
    this.#reduce();
    const isBad = this.#isBad !== 0;
    const result = this.#view.slice(ALIGNMENT, ALIGNMENT + this.#bodyBytes);
    this.clear();
    if (isBad)
      throw new HomomorphicFault(
        'bad-ciphertext',
        'cannot add these ciphertexts: a coefficient is not below its prime',
      );
    return result;
  }

  #flush(): void {
    if (this.#staged === 0) return;
    const count = this.#staged;
    this.#staged = 0;
    this.#makeRoom(BigInt(count));
    const stride = this.#stageStride;
    this.#eachPlane((at, prime) => {
      const from = this.#stageAt + at;
      const words = this.#shape.degree;
      if (count === STAGED) {
        this.#isBad |= this.#kernel.add4(ALIGNMENT + at, from, stride, words, prime);
      } else {
        for (let i = 0; i < count; i++) {
          this.#isBad |= this.#kernel.add(ALIGNMENT + at, from + i * stride, words, prime);
        }
      }
    });
  }

  #makeRoom(weight: bigint): void {
    if (this.#load + weight > this.#capacity) this.#reduce();
    this.#load += weight;
  }

  #reduce(): void {
    this.#eachPlane((at, prime) => this.#kernel.reduce(ALIGNMENT + at, this.#shape.degree, prime));
    this.#load = 1n;
  }

  #eachPlane(visit: (offset: number, prime: bigint) => void): void {
    const { polynomials, primes, degree } = this.#shape;
    let at = 0;
    for (let polynomial = 0; polynomial < polynomials; polynomial++) {
      for (const prime of primes) {
        visit(at, prime);
        at += degree * 8;
      }
    }
  }
}

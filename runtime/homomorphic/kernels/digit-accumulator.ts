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

/** Bits of one digit of a large weight: small enough for a dozen additions to a 49-bit prime between reductions. */
const WEIGHT_DIGIT_BITS = 11n;

/**
 * Sums of ciphertext bodies times large public integers (a real weight times a 40-bit scale, say): one accumulator per
 * digit of the weights, joined by Horner's rule at the end. Bit for bit what multiplying by the encoded constant gives.
 */
export class DigitAccumulator {
  readonly #kernel: KernelExports;
  readonly #shape: BodyShape;
  readonly #bodyBytes: number;
  readonly #digits: number;
  readonly #stageAt: number;
  readonly #capacity: bigint;
  #load = 1n;
  #isBad = 0;

  constructor(shape: BodyShape, largestWeight: bigint) {
    this.#kernel = instantiate();
    this.#shape = shape;
    this.#bodyBytes = align(shape.polynomials * shape.primes.length * shape.degree * 8);
    this.#digits = Math.max(1, Math.ceil(largestWeight.toString(2).length / Number(WEIGHT_DIGIT_BITS)));
    this.#stageAt = ALIGNMENT + this.#digits * this.#bodyBytes;
    reserve(this.#kernel, this.#stageAt + this.#bodyBytes);
    this.#capacity = WORD_RANGE / shape.primes.reduce((a, b) => (a > b ? a : b), 1n) - 1n;
  }

  /** Adds `weight` times one body; every word is range-checked. */
  addWeighted(bytes: Uint8Array, weight: bigint): void {
    if (bytes.byteLength !== this.#bodyBytes) throw badBody();
    new Uint8Array(this.#kernel.memory.buffer).set(bytes, this.#stageAt);
    const step = 1n << WEIGHT_DIGIT_BITS;
    if (this.#load + step > this.#capacity) this.#reduce();
    this.#load += step;
    let left = weight < 0n ? -weight : weight;
    for (let digit = 0; digit < this.#digits; digit++) {
      this.#mac(digit, this.#stageAt, left % step, weight < 0n ? 1 : 0);
      left /= step;
    }
    if (left !== 0n) throw new RangeError('a weight is larger than announced');
  }

  /** The sum, fully reduced, as a copy; then starts again from zero. Throws when any word was not below its prime. */
  take(): Uint8Array {
    this.#reduce();
    for (let digit = this.#digits - 1; digit > 0; digit--) {
      this.#mac(digit - 1, ALIGNMENT + digit * this.#bodyBytes, 1n << WEIGHT_DIGIT_BITS, 0);
      this.#reduceDigit(digit - 1);
    }
    const view = new Uint8Array(this.#kernel.memory.buffer);
    const result = view.slice(ALIGNMENT, ALIGNMENT + this.#bodyBytes);
    const isBad = this.#isBad !== 0;
    view.fill(0, ALIGNMENT, this.#stageAt);
    this.#isBad = 0;
    if (isBad) throw badBody();
    return result;
  }

  #mac(digit: number, from: number, weight: bigint, isNegative: number): void {
    const to = ALIGNMENT + digit * this.#bodyBytes;
    this.#eachPlane((at, prime) => {
      this.#isBad |= this.#kernel.mac(to + at, from + at, this.#shape.degree, weight, isNegative, prime);
    });
  }

  #reduce(): void {
    for (let digit = 0; digit < this.#digits; digit++) this.#reduceDigit(digit);
    this.#load = 1n;
  }

  #reduceDigit(digit: number): void {
    const base = ALIGNMENT + digit * this.#bodyBytes;
    this.#eachPlane((at, prime) => this.#kernel.reduce(base + at, this.#shape.degree, prime));
  }

  #eachPlane(visit: (offset: number, prime: bigint) => void): void {
    let at = 0;
    for (let polynomial = 0; polynomial < this.#shape.polynomials; polynomial++) {
      for (const prime of this.#shape.primes) {
        visit(at, prime);
        at += this.#shape.degree * 8;
      }
    }
  }
}

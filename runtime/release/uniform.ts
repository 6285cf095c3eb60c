/** Exact uniform and Bernoulli draws from injected bytes; no floating point anywhere, so no probability is rounded. */
import type { Entropy } from './entropy.ts';

const POOL_BYTES = 4096;
const MAX_WORD = 4_294_967_296;
const SAFE = Number.MAX_SAFE_INTEGER;

/**
 * Draws from a pool of entropy. Each byte is used once and zeroed. Rejection makes the time of a draw depend on the drawn
 * noise (never on data), so answers still have to leave at rounded times: noise known from timing is no noise.
 */
export class Uniform {
  readonly #entropy: Entropy;
  #pool: Uint8Array = new Uint8Array(0);
  #next = 0;
  #bits = 0;
  #bitCount = 0;

  constructor(entropy: Entropy) {
    this.#entropy = entropy;
  }

  /** 0 or 1 with equal probability. */
  bit(): number {
    if (this.#bitCount === 0) {
      this.#bits = this.#byte();
      this.#bitCount = 8;
    }
    const bit = this.#bits & 1;
    this.#bits >>= 1;
    this.#bitCount--;
    return bit;
  }

  /** An integer in [0, bound), for a safe integer `bound` of at least 1. */
  below(bound: number): number {
    if (!(bound >= 1 && bound <= SAFE)) throw new RangeError('a bound of a uniform draw is a positive safe integer');
    const top = bound - 1;
    if (top < 256) {
      const mask = maskOf(top);
      for (;;) {
        const value = this.#byte() & mask;
        if (value <= top) return value;
      }
    }
    const mask = maskOf(top >= MAX_WORD ? Math.floor(top / MAX_WORD) : top);
    for (;;) {
      const value =
        top >= MAX_WORD ? ((this.#word() & mask) >>> 0) * MAX_WORD + this.#word() : (this.#word() & mask) >>> 0;
      if (value <= top) return value;
    }
  }

  /** An integer in [0, bound), for a positive integer `bound` of any size. */
  belowBig(bound: bigint): bigint {
    if (bound <= SAFE) return BigInt(this.below(Number(bound)));
    const bits = (bound - 1n).toString(2).length;
    const words = Math.ceil(bits / 32);
    for (;;) {
      let value = 0n;
      for (let i = 0; i < words; i++) value = (value << 32n) | BigInt(this.#word());
      value = BigInt.asUintN(bits, value);
      if (value < bound) return value;
    }
  }

  #word(): number {
    return this.#byte() * 16_777_216 + ((this.#byte() << 16) | (this.#byte() << 8) | this.#byte());
  }

  #byte(): number {
    if (this.#next >= this.#pool.length) {
      this.#pool = this.#entropy.bytes(POOL_BYTES);
      // A short read must not end in a loop over an empty pool or in draws from stale bytes.
      if (this.#pool.length !== POOL_BYTES) throw new Error('the entropy source gave fewer bytes than asked');
      this.#next = 0;
    }
    const byte = this.#pool[this.#next] ?? 0;
    this.#pool[this.#next++] = 0;
    return byte;
  }
}

/**
 * True with probability exp(−numerator/denominator), exactly (Canonne, Kamath, Steinke, *The Discrete Gaussian for
 * Differential Privacy*, 2020, algorithm 1). Both are non-negative, the denominator is positive.
 */
export function bernoulliExp(uniform: Uniform, numerator: bigint, denominator: bigint): boolean {
  let rest = numerator;
  while (rest > denominator) {
    if (!bernoulliExpSmall(uniform, 1, 1)) return false;
    rest -= denominator;
  }
  return denominator < SAFE / 64
    ? bernoulliExpSmall(uniform, Number(rest), Number(denominator))
    : bernoulliExpFrom(uniform, rest, denominator, 1n);
}

/** The same for safe integers with numerator ≤ denominator. */
export function bernoulliExpSmall(uniform: Uniform, numerator: number, denominator: number): boolean {
  for (let k = 1; ; k++) {
    if (denominator * k > SAFE) return bernoulliExpFrom(uniform, BigInt(numerator), BigInt(denominator), BigInt(k));
    if (uniform.below(denominator * k) >= numerator) return (k & 1) === 1;
  }
}

function bernoulliExpFrom(uniform: Uniform, numerator: bigint, denominator: bigint, from: bigint): boolean {
  for (let k = from; ; k++) {
    if (uniform.belowBig(denominator * k) >= numerator) return (k & 1n) === 1n;
  }
}

/** The smallest 2ⁿ − 1 that covers a 32-bit value. */
function maskOf(value: number): number {
  return value === 0 ? 0 : 0xffff_ffff >>> Math.clz32(value);
}

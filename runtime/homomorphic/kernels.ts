import { HomomorphicFault } from './fault.ts';
import { KERNEL_BINARY_BASE64 } from './kernels/binary.ts';
import { rootPowers } from './kernels/roots.ts';

/** The raw functions of `kernels/linear.wat`; addresses are byte offsets, counts are words. */
interface KernelExports {
  readonly memory: WebAssembly.Memory;
  add(to: number, from: number, words: number, prime: bigint): number;
  add4(to: number, from: number, strideBytes: number, words: number, prime: bigint): number;
  mac(to: number, from: number, words: number, weight: bigint, isNegative: number, prime: bigint): number;
  product28(to: number, left: number, right: number, words: number): void;
  residues28(to: number, from: number, words: number, prime: bigint): void;
  transform28(at: number, words: number, roots: number, quotients: number, prime: number): void;
  widen28(to: number, from: number, words: number): void;
  reduce(at: number, words: number, prime: bigint): void;
  outOfRange(at: number, words: number, prime: bigint): number;
  anyNonZero(at: number, words: number): number;
}

const WORD_RANGE = 1n << 64n;
/** Ciphertexts copied in before one pass over the accumulator. */
const STAGED = 4;
const ALIGNMENT = 64;
const PAGE_BYTES = 65536;
/** Most memory one accumulator may take: far above any profile, far below what a worker may use. */
const MEMORY_LIMIT_BYTES = 256 * 1024 * 1024;

let compiled: WebAssembly.Module | undefined;
/** Kernels whose accumulator is done: their memory is paged in already, which costs more than a small sum. */
const spare: KernelExports[] = [];
const SPARE_LIMIT = 32;

/** Residues of ciphertexts: `polynomials` polynomials, each `primes.length` times `degree` words. */
export interface BodyShape {
  readonly polynomials: number;
  readonly primes: readonly bigint[];
  readonly degree: number;
}

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

/** Products of 56 bits that fit one word before a reduction. */
const PRODUCTS_BEFORE_REDUCTION = 255;

/**
 * Sums of slot-wise products of an encrypted vector with plaintexts, both in NTT form over primes below 2^28:
 * the encrypted-weights product at several times the speed of the same work in SEAL, bit for bit equal.
 */
export class ProductAccumulator {
  readonly #kernel: KernelExports;
  readonly #shape: BodyShape;
  readonly #planeBytes: number;
  readonly #bodyBytes: number;
  readonly #plainBytes: number;
  readonly #ciphertexts = new Map<number, number>();
  #next: number;
  readonly #plainAt: number;
  #products = 0;

  constructor(shape: BodyShape) {
    if (shape.primes.some((prime) => prime >= 1n << 28n)) throw new RangeError('this kernel needs primes below 2^28');
    this.#kernel = instantiate();
    this.#shape = shape;
    this.#planeBytes = shape.degree * 8;
    this.#plainBytes = shape.primes.length * this.#planeBytes;
    this.#bodyBytes = shape.polynomials * this.#plainBytes;
    this.#plainAt = align(ALIGNMENT + this.#bodyBytes);
    this.#next = align(this.#plainAt + this.#plainBytes);
    reserve(this.#kernel, this.#next);
  }

  /** Keeps an encrypted factor resident under a number; its words are range-checked here, once. */
  hold(index: number, body: Uint8Array): void {
    if (body.byteLength !== this.#bodyBytes) throw badBody();
    const at = this.#ciphertexts.get(index) ?? this.#next;
    if (at === this.#next) {
      this.#next = align(at + this.#bodyBytes);
      this.#ciphertexts.set(index, at);
    }
    reserve(this.#kernel, this.#next).set(body, at);
    let offset = at;
    for (let polynomial = 0; polynomial < this.#shape.polynomials; polynomial++) {
      for (const prime of this.#shape.primes) {
        if (this.#kernel.outOfRange(offset, this.#shape.degree, prime) !== 0) throw badBody();
        offset += this.#planeBytes;
      }
    }
  }

  /** Adds factor `index` times a plaintext in NTT form; `plain` holds one polynomial per prime. */
  addProduct(index: number, plain: Uint8Array): void {
    const at = this.#ciphertexts.get(index);
    if (at === undefined || plain.byteLength !== this.#plainBytes) throw badBody();
    new Uint8Array(this.#kernel.memory.buffer).set(plain, this.#plainAt);
    if (++this.#products > PRODUCTS_BEFORE_REDUCTION) {
      this.#reduce();
      this.#products = 1;
    }
    const words = this.#shape.primes.length * this.#shape.degree;
    for (let polynomial = 0; polynomial < this.#shape.polynomials; polynomial++) {
      const offset = polynomial * this.#plainBytes;
      this.#kernel.product28(ALIGNMENT + offset, at + offset, this.#plainAt, words);
    }
  }

  /** The sum so far, fully reduced, as a copy; then starts again from zero. */
  take(): Uint8Array {
    this.#reduce();
    const view = new Uint8Array(this.#kernel.memory.buffer);
    const result = view.slice(ALIGNMENT, ALIGNMENT + this.#bodyBytes);
    view.fill(0, ALIGNMENT, ALIGNMENT + this.#bodyBytes);
    this.#products = 0;
    return result;
  }

  #reduce(): void {
    let at = ALIGNMENT;
    for (let polynomial = 0; polynomial < this.#shape.polynomials; polynomial++) {
      for (const prime of this.#shape.primes) {
        this.#kernel.reduce(at, this.#shape.degree, prime);
        at += this.#planeBytes;
      }
    }
  }
}

/**
 * Sums of products of two ciphertexts in NTT form over primes below 2^28: three polynomials, not relinearised, bit for
 * bit what SEAL's multiply and add give, without loading a ciphertext, without a context and without a key.
 */
export class PairAccumulator {
  readonly #kernel: KernelExports;
  readonly #shape: Omit<BodyShape, 'polynomials'>;
  readonly #planeBytes: number;
  readonly #leftAt: number;
  readonly #rightAt: number;
  #pairs = 0;

  constructor(shape: Omit<BodyShape, 'polynomials'>) {
    if (shape.primes.some((prime) => prime >= 1n << 28n)) throw new RangeError('this kernel needs primes below 2^28');
    this.#kernel = instantiate();
    this.#shape = shape;
    this.#planeBytes = shape.primes.length * shape.degree * 8;
    this.#leftAt = align(ALIGNMENT + 3 * this.#planeBytes);
    this.#rightAt = this.#leftAt + 2 * this.#planeBytes + ALIGNMENT;
    reserve(this.#kernel, this.#rightAt + 2 * this.#planeBytes);
  }

  /** Adds the product of two bodies of two polynomials each; every word is range-checked. */
  addProduct(left: Uint8Array, right: Uint8Array): void {
    const bytes = 2 * this.#planeBytes;
    if (left.byteLength !== bytes || right.byteLength !== bytes) throw badBody();
    const view = new Uint8Array(this.#kernel.memory.buffer);
    view.set(left, this.#leftAt);
    view.set(right, this.#rightAt);
    this.#check(this.#leftAt);
    this.#check(this.#rightAt);
    // the middle polynomial takes two products of a pair
    if (2 * ++this.#pairs > PRODUCTS_BEFORE_REDUCTION) {
      this.#reduce();
      this.#pairs = 1;
    }
    const plane = this.#planeBytes;
    const words = plane / 8;
    this.#kernel.product28(ALIGNMENT, this.#leftAt, this.#rightAt, words);
    this.#kernel.product28(ALIGNMENT + plane, this.#leftAt, this.#rightAt + plane, words);
    this.#kernel.product28(ALIGNMENT + plane, this.#leftAt + plane, this.#rightAt, words);
    this.#kernel.product28(ALIGNMENT + 2 * plane, this.#leftAt + plane, this.#rightAt + plane, words);
  }

  /** The sum so far, fully reduced, as a copy; then starts again from zero. */
  take(): Uint8Array {
    this.#reduce();
    const view = new Uint8Array(this.#kernel.memory.buffer);
    const result = view.slice(ALIGNMENT, ALIGNMENT + 3 * this.#planeBytes);
    view.fill(0, ALIGNMENT, ALIGNMENT + 3 * this.#planeBytes);
    this.#pairs = 0;
    return result;
  }

  #check(at: number): void {
    for (let plane = 0; plane < 2 * this.#shape.primes.length; plane++) {
      const prime = this.#shape.primes[plane % this.#shape.primes.length] ?? 0n;
      if (this.#kernel.outOfRange(at + plane * this.#shape.degree * 8, this.#shape.degree, prime) !== 0)
        throw badBody();
    }
  }

  #reduce(): void {
    for (let plane = 0; plane < 3 * this.#shape.primes.length; plane++) {
      const prime = this.#shape.primes[plane % this.#shape.primes.length] ?? 1n;
      this.#kernel.reduce(ALIGNMENT + plane * this.#shape.degree * 8, this.#shape.degree, prime);
    }
  }
}

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

let checker: KernelExports | undefined;
const CHECK_WORDS = 8192;

/**
 * Whether all little-endian words from `offset` on are below the prime; `words` is a multiple of 8. Copies through a small
 * reused memory and allocates nothing, so refusing hostile input costs no garbage collection.
 */
export function wordsBelow(bytes: Uint8Array, offset: number, words: number, prime: bigint): boolean {
  checker ??= instantiate();
  const view = new Uint8Array(checker.memory.buffer, ALIGNMENT, CHECK_WORDS * 8);
  let isBelow = true;
  for (let word = 0; word < words && isBelow; word += CHECK_WORDS) {
    const count = Math.min(CHECK_WORDS, words - word);
    view.set(bytes.subarray(offset + word * 8, offset + (word + count) * 8));
    isBelow = checker.outOfRange(ALIGNMENT, count, prime) === 0;
  }
  view.fill(0); // the words may be a secret key
  return isBelow;
}

function badBody(): HomomorphicFault {
  return new HomomorphicFault('bad-ciphertext', 'cannot use this ciphertext: its residues do not fit the profile');
}

function instantiate(): KernelExports {
  compiled ??= new WebAssembly.Module(Buffer.from(KERNEL_BINARY_BASE64, 'base64'));
  // The compiler cannot know what a WebAssembly module exports; the names are those of linear.wat.
  return new WebAssembly.Instance(compiled).exports as unknown as KernelExports;
}

function reserve(kernel: KernelExports, bytes: number): Uint8Array {
  if (bytes > MEMORY_LIMIT_BYTES)
    throw new HomomorphicFault('out-of-range', 'the job needs too many ciphertexts at once');
  const missing = bytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / PAGE_BYTES));
  return new Uint8Array(kernel.memory.buffer);
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

import { HomomorphicFault } from './fault.ts';
import { KERNEL_BINARY_BASE64 } from './kernels/binary.ts';

/** The raw functions of `kernels/linear.wat`; addresses are byte offsets, counts are words. */
interface KernelExports {
  readonly memory: WebAssembly.Memory;
  add(to: number, from: number, words: number, prime: bigint): number;
  add4(to: number, from: number, strideBytes: number, words: number, prime: bigint): number;
  mac(to: number, from: number, words: number, weight: bigint, isNegative: number, prime: bigint): number;
  product28(to: number, left: number, right: number, words: number): void;
  scaleAdd28(at: number, from: number, words: number, factor: bigint, prime: bigint): void;
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
export class LinearAccumulator {
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
    this.#kernel = instantiate();
    this.#shape = shape;
    this.#bodyBytes = shape.polynomials * shape.primes.length * shape.degree * 8;
    const stride = align(this.#bodyBytes);
    this.#stageAt = align(ALIGNMENT + this.#bodyBytes);
    // one cache line more than the body: strides that are powers of two make the four sources fight for the same sets
    this.#stageStride = stride + ALIGNMENT;
    this.#view = reserve(this.#kernel, this.#stageAt + STAGED * this.#stageStride);
    const largest = shape.primes.reduce((a, b) => (a > b ? a : b), 1n);
    this.#capacity = WORD_RANGE / largest - 1n;
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
 * Joins digits of large integers, given as one residue polynomial per prime and digit (most significant first), into
 * residues of `multiplier` times the integer with these digits in the given base. Primes below 2^28.
 */
export function joinDigits(
  shape: { readonly primes: readonly bigint[]; readonly degree: number },
  digits: readonly Uint8Array[],
  numbers: { readonly base: bigint; readonly multiplier: bigint },
): Uint8Array {
  const kernel = instantiate();
  const bytes = shape.primes.length * shape.degree * 8;
  const from = align(ALIGNMENT + bytes);
  const view = reserve(kernel, from + bytes);
  const each = (factorOf: (prime: bigint) => bigint): void =>
    shape.primes.forEach((prime, k) => {
      const at = k * shape.degree * 8;
      kernel.scaleAdd28(ALIGNMENT + at, from + at, shape.degree, factorOf(prime), prime);
    });
  for (const digit of digits) {
    if (digit.byteLength !== bytes) throw badBody();
    view.set(digit, from);
    each((prime) => numbers.base % prime);
  }
  view.fill(0, from, from + bytes);
  each((prime) => numbers.multiplier % prime);
  return view.slice(ALIGNMENT, ALIGNMENT + bytes);
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

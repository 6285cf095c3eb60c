import { HomomorphicFault } from '../fault.ts';
import { KERNEL_BINARY_BASE64 } from './binary.ts';

/** The raw functions of `kernels/linear.wat`; addresses are byte offsets, counts are words. */
export interface KernelExports {
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

/** Where the first words lie; everything is aligned to cache lines. */
export const ALIGNMENT = 64;
/** Number of values of a word. */
export const WORD_RANGE: bigint = 1n << 64n;
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

/** The fault of residues that do not fit. */
export function badBody(): HomomorphicFault {
  return new HomomorphicFault('bad-ciphertext', 'cannot use this ciphertext: its residues do not fit the profile');
}

/** A kernel with a memory of its own. */
export function instantiate(): KernelExports {
  compiled ??= new WebAssembly.Module(Buffer.from(KERNEL_BINARY_BASE64, 'base64'));
  // The compiler cannot know what a WebAssembly module exports; the names are those of linear.wat.
  return new WebAssembly.Instance(compiled).exports as unknown as KernelExports;
}

/** At least so many bytes of memory; earlier views of it are void afterwards. */
export function reserve(kernel: KernelExports, bytes: number): Uint8Array {
  if (bytes > MEMORY_LIMIT_BYTES)
    throw new HomomorphicFault('out-of-range', 'the job needs too many ciphertexts at once');
  const missing = bytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / PAGE_BYTES));
  return new Uint8Array(kernel.memory.buffer);
}

/** The next multiple of a cache line. */
export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

import { ENCRYPTION_BINARY_BASE64 } from './encrypt-binary.ts';

/** The functions of `kernels/encrypt-wat.ts`; addresses are byte offsets, counts are words. */
export interface EncryptionKernel {
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

const PAGE_BYTES = 65_536;
const PAIR_WORDS = 2;

let compiled: WebAssembly.Module | undefined;

/** A kernel with a memory of its own. */
export function encryptionKernel(): EncryptionKernel {
  compiled ??= new WebAssembly.Module(Buffer.from(ENCRYPTION_BINARY_BASE64, 'base64'));
  // The compiler cannot know what a WebAssembly module exports; the names are those of encrypt-wat.ts.
  return new WebAssembly.Instance(compiled).exports as unknown as EncryptionKernel;
}

/** Grows a kernel's memory to at least so many bytes; earlier views of it are void afterwards. */
export function reserve(kernel: EncryptionKernel, bytes: number): void {
  const missing = bytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / PAGE_BYTES));
}

/** Writes words with their Shoup quotients, in pairs. */
export function writeTable(kernel: EncryptionKernel, at: number, words: readonly bigint[], modulus: bigint): void {
  const table = new BigUint64Array(kernel.memory.buffer, at, PAIR_WORDS * words.length);
  words.forEach((word, i) => {
    table[PAIR_WORDS * i] = word;
    table[PAIR_WORDS * i + 1] = quotient(word, modulus);
  });
}

/** floor(word * 2^64 / modulus). */
export const quotient = (word: bigint, modulus: bigint): bigint => (word << 64n) / modulus;

/** Where the batch encoder puts each value: two rows of N/2 slots, each ordered by powers of three (SEAL, `BatchEncoder`). */
export function slotOrder(n: number): readonly number[] {
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

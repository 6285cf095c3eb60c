import { ALIGNMENT, instantiate, type KernelExports } from './linear-kernel.ts';

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

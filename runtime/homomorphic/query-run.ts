import type { Backend, BackendContext } from './backend.ts';
import { HomomorphicFault } from './fault.ts';
import { LinearAccumulator } from './kernels/linear-accumulator.ts';
import type { BodyShape } from './kernels/linear-kernel.ts';
import { NumberTransform } from './kernels/number-transform.ts';
import { ProductAccumulator } from './kernels/product-accumulator.ts';
import { assembleCiphertext, bodyBytes, freshShape } from './layout.ts';
import { floodBits } from './noise.ts';
import { dataPrimeCount } from './profiles.ts';
import {
  blocksOf,
  QUERY_BLOCK_ROWS,
  QUERY_PROFILE,
  queryResultCount,
  queryResultShape,
  RESULT_PRIMES,
  type EncryptedQuery,
} from './query.ts';

const BODY: BodyShape = {
  polynomials: 2,
  primes: QUERY_PROFILE.primes.slice(0, dataPrimeCount(QUERY_PROFILE)),
  degree: QUERY_PROFILE.degree,
};
const DIGIT_BITS = 32;

/**
 * Computes an encrypted query over the provider's plaintext columns, block by block, and hides everything but the
 * answer. Without that the consumer divides the result by its own query and reads the provider's block.
 *
 * Each result ciphertext gets (1) a fresh encryption of zero under the consumer's public key, (2) noise flooding that
 * fills the room left to the brim, (3) for totals and means, uniformly random slots that add up to zero, so that whatever the
 * query really holds, one linear functional of the rows comes out and nothing else, (4) modulus switching to two primes.
 *
 * Known limit: whether a public key and a query are well formed cannot be seen without the secret key. Only seeded keys
 * are taken, so the second polynomial of a key is pseudo-random, but hiding the second polynomial of a result rests on the
 * first one being honest too. Against a consumer that crafts its key the guarantee is computational and unproven; the
 * extraction guard (`query-guard.ts`) and the policy's query count are the bound that does not rest on the key.
 */
export class QueryRun implements Disposable {
  readonly #query: EncryptedQuery;
  readonly #context: BackendContext;
  readonly #products = new ProductAccumulator(BODY);
  readonly #transform = new NumberTransform(BODY);
  readonly #randomBytes: (length: number) => Uint8Array;
  readonly #rows: number;
  readonly #results: Uint8Array[] = [];
  #released = 0;
  #column = 0;
  #block = 0;

  /** `given` rows of each column follow: all, or fewer when the rest are zeros and one number comes out anyway. */
  constructor(
    backend: Backend,
    query: EncryptedQuery,
    randomBytes: (length: number) => Uint8Array,
    given = query.header.rows,
  ) {
    const { name, output, rows } = query.header;
    const isWhole = output === 'rows' || name === 'queryDot' || name === 'lookup';
    if (given > rows || (isWhole && given !== rows))
      throw new HomomorphicFault('worker-failed', 'the query wants another number of rows than are given');
    this.#query = query;
    this.#rows = given;
    this.#randomBytes = randomBytes;
    this.#context = backend.open(QUERY_PROFILE);
    this.#context.usePublicKey(query.publicKey);
    const shape = freshShape(QUERY_PROFILE, 'seeded');
    query.ciphertexts.forEach((bytes, i) => {
      using ciphertext = this.#context.load(shape, bytes);
      this.#products.hold(i, this.#context.body(ciphertext));
    });
  }

  /**
   * The next block of scaled values. For models: block by block, within it the columns in order; for vectors over rows:
   * column by column, within it the blocks in order. Short blocks are filled with zeros.
   */
  take(values: BigInt64Array): void {
    const isLast = this.#block === blocksOf(this.#rows) - 1;
    const expected = isLast ? this.#rows - this.#block * QUERY_BLOCK_ROWS : QUERY_BLOCK_ROWS;
    if (values.length !== expected || this.#isDone())
      throw new HomomorphicFault('worker-failed', 'a block of values has the wrong size');
    const slots = new BigInt64Array(QUERY_BLOCK_ROWS);
    slots.set(values);
    const factor = this.#isVector() ? this.#block : this.#column;
    this.#products.addProduct(factor, this.#transform.transform(this.#context.encodeCoefficients(slots)));
    this.#advance();
  }

  /** Result residues that are ready and were not taken yet: sent on block by block, they need no memory. */
  takeReady(): readonly Uint8Array[] {
    return this.#results.splice(0);
  }

  /** The remaining result residues, one ciphertext after the other; throws when blocks of values are missing. */
  finish(): Uint8Array {
    if (!this.#isDone()) throw new HomomorphicFault('worker-failed', 'blocks of values are missing');
    if (this.#released !== queryResultCount(this.#query.header)) {
      throw new HomomorphicFault('worker-failed', 'a result is missing');
    }
    return Buffer.concat(this.takeReady());
  }

  [Symbol.dispose](): void {
    this.#results.length = 0;
  }

  #isVector(): boolean {
    return this.#query.header.name === 'queryDot' || this.#query.header.name === 'lookup';
  }

  #isDone(): boolean {
    const { header } = this.#query;
    return this.#isVector() ? this.#column >= header.columns.length : this.#block >= blocksOf(this.#rows);
  }

  #advance(): void {
    const { header } = this.#query;
    if (this.#isVector()) {
      if (++this.#block < blocksOf(this.#rows)) return;
      this.#block = 0;
      this.#column++;
      this.#release();
      return;
    }
    if (++this.#column < header.columns.length) return;
    this.#column = 0;
    this.#block++;
    if (header.output === 'rows' || this.#isDone()) this.#release();
  }

  #release(): void {
    const he = this.#context;
    using hidden = new LinearAccumulator(BODY);
    hidden.add(this.#products.take());
    using zero = he.encryptZero();
    hidden.add(he.body(zero));
    hidden.add(floodBody(this.#transform, this.#randomBytes));
    const shape = freshShape(QUERY_PROFILE, 'full');
    using result = he.load(shape, assembleCiphertext(shape, hidden.take()));
    if (this.#query.header.output !== 'rows') {
      using shares = he.encodeIntegers(sharesOfZero(this.#randomBytes));
      he.addPlainTo(result, shares);
    }
    for (let primes = dataPrimeCount(QUERY_PROFILE); primes > RESULT_PRIMES; primes--) he.switchDown(result);
    const body = he.body(result).slice();
    if (body.byteLength !== bodyBytes(queryResultShape()))
      throw new HomomorphicFault('library-failed', 'a result has the wrong size');
    this.#results.push(body);
    this.#released++;
  }
}

/** t times a uniform integer of `floodBits` bits per coefficient, as a ciphertext body (0 in the second polynomial). */
export function floodBody(transform: NumberTransform, randomBytes: (length: number) => Uint8Array): Uint8Array {
  const n = QUERY_PROFILE.degree;
  const bits = floodBits(QUERY_PROFILE);
  const count = Math.ceil(bits / DIGIT_BITS);
  const topBits = bits - (count - 1) * DIGIT_BITS;
  const digits = Array.from({ length: count }, () => {
    const random = randomBytes(n * 4);
    return new Int32Array(random.buffer, random.byteOffset, n);
  });
  // the most significant digit is cut to its bits and centred: the flood lies as far below zero as above
  digits[0] = (digits[0] ?? new Int32Array(n)).map((word) => word >> (DIGIT_BITS - topBits));
  const first = transform.transformDigits(digits, QUERY_PROFILE.plainModulus);
  const body = new Uint8Array(2 * first.byteLength);
  body.set(first, 0);
  return body;
}

/** Uniform slots modulo t with sum zero. */
function sharesOfZero(randomBytes: (length: number) => Uint8Array): BigInt64Array {
  const t = Number(QUERY_PROFILE.plainModulus);
  const slots = new BigInt64Array(QUERY_BLOCK_ROWS);
  const half = Math.floor(t / 2);
  let sum = 0;
  let pool: DataView = new DataView(new ArrayBuffer(0));
  let at = 0;
  for (let i = 1; i < slots.length;) {
    if (at + 5 > pool.byteLength) {
      const bytes = randomBytes(5 * QUERY_BLOCK_ROWS);
      pool = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      at = 0;
    }
    const value = pool.getUint32(at, true) + (pool.getUint8(at + 4) % 16) * 2 ** 32;
    at += 5;
    if (value >= t) continue; // rejection keeps it uniform
    sum = (sum + value) % t;
    slots[i++] = BigInt(value > half ? value - t : value);
  }
  const last = (t - sum) % t;
  slots[0] = BigInt(last > half ? last - t : last);
  return slots;
}

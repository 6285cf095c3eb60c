import { type ColumnHeader, magnitudeOf } from './column.ts';
import { HomomorphicFault } from './fault.ts';
import { PROFILES } from './profiles.ts';

/** Consecutive rows of one group; null is a missing value. Typed arrays are the fast way. */
export interface ColumnRows {
  /** A public group key from the header; leave out when the column is not partitioned. */
  readonly group?: string;
  readonly values: Float64Array | BigInt64Array | readonly (number | bigint | null)[];
}

/** The rows of one full block, ready to be encrypted: slots behind the last row are zero and add nothing to any sum. */
export interface RowBlock {
  readonly count: number;
  /** Scaled values. */
  readonly integers: BigInt64Array;
  /** Values as they are, for CKKS. */
  readonly reals: Float64Array;
  /** 1 where there is a value. */
  readonly present: Uint8Array;
}

/** The rows of one full block as they were given: whoever encrypts them scales and checks them first. */
export interface GivenBlock {
  readonly count: number;
  readonly given: Float64Array;
}

/** Plain numbers waiting for their block to fill. */
export class OpenGivenBlock implements GivenBlock {
  readonly given: Float64Array;
  count = 0;

  constructor(capacity: number) {
    this.given = new Float64Array(capacity);
  }

  /** Takes values from `from` on until the block is full; returns where it stopped. */
  fill(values: Float64Array, from: number): number {
    const part = values.subarray(from, from + this.given.length - this.count);
    this.given.set(part, this.count);
    this.count += part.length;
    return from + part.length;
  }

  /** Makes room for the next block. */
  clear(): void {
    this.count = 0;
  }
}

/** Scales and checks given rows. Throws `out-of-range`. */
export function filledBlock(header: ColumnHeader, { count, given }: GivenBlock): OpenBlock {
  const block = new OpenBlock(header, given.length);
  block.fill(given.subarray(0, count), 0);
  return block;
}

/** Rows waiting for their block to fill: scaled integers (or reals for CKKS) and which of them are present. */
export class OpenBlock implements RowBlock {
  readonly integers: BigInt64Array;
  readonly reals: Float64Array;
  readonly present: Uint8Array;
  count = 0;
  readonly #halves: Int32Array;
  readonly #header: ColumnHeader;
  readonly #low: number;
  readonly #high: number;
  readonly #scale: number;
  readonly #isReal: boolean;
  readonly #hasValid: boolean;
  readonly #categories: ReadonlySet<number> | null;
  readonly #isSmall: boolean;

  constructor(header: ColumnHeader, capacity: number) {
    this.#header = header;
    this.integers = new BigInt64Array(capacity);
    this.#halves = new Int32Array(this.integers.buffer);
    this.reals = new Float64Array(capacity);
    this.present = new Uint8Array(capacity);
    this.#low = Number(header.low);
    this.#high = Number(header.high);
    this.#isSmall = magnitudeOf(header) <= BigInt(Number.MAX_SAFE_INTEGER);
    this.#scale = 10 ** header.decimals;
    this.#isReal = header.channels.some((channel) => PROFILES[channel.profile].scheme === 'ckks');
    this.#hasValid = header.channels.some((channel) => channel.role === 'valid');
    this.#categories = header.categories.length > 0 ? new Set(header.categories) : null;
  }

  /** Takes values from `from` on until the block is full; returns where it stopped. */
  fill(values: ColumnRows['values'], from: number): number {
    const until = Math.min(values.length, from + this.integers.length - this.count);
    for (let i = from; i < until; i++) this.#put(values[i] ?? null);
    return until;
  }

  /** The same rows as another block of this header has. */
  take({ count, integers, reals, present }: RowBlock): void {
    this.clear();
    this.integers.set(integers.subarray(0, count));
    this.reals.set(reals.subarray(0, count));
    this.present.set(present.subarray(0, count));
    this.count = count;
  }

  /** Makes room for the next block: every slot is zero again. */
  clear(): void {
    this.integers.fill(0n, 0, this.count);
    this.reals.fill(0, 0, this.count);
    this.present.fill(0, 0, this.count);
    this.count = 0;
  }

  #put(value: number | bigint | null): void {
    const at = this.count++;
    if (value === null) {
      if (!this.#hasValid && this.#categories === null) throw outOfRange(this.#header, 'a value is missing');
      this.present[at] = 0;
      this.reals[at] = 0;
      this.integers[at] = 0n;
      return;
    }
    this.present[at] = 1;
    if (typeof value === 'bigint' || !this.#isSmall) this.#putWide(at, value);
    else this.#putNumber(at, value);
  }

  #putNumber(at: number, value: number): void {
    if (this.#isReal) {
      if (!(value >= this.#low && value <= this.#high))
        throw outOfRange(this.#header, 'a value is outside the declared bounds');
      this.reals[at] = value;
      return;
    }
    const scaled = Math.round(value * this.#scale);
    // written so that NaN fails too
    if (!(scaled >= this.#low && scaled <= this.#high))
      throw outOfRange(this.#header, 'a value is outside the declared bounds');
    if (this.#categories !== null && !this.#categories.has(scaled))
      throw outOfRange(this.#header, 'a value is not a public category');
    this.#halves[2 * at] = scaled | 0;
    this.#halves[2 * at + 1] = Math.floor(scaled / 4294967296);
  }

  #putWide(at: number, value: number | bigint): void {
    if (this.#isReal) {
      this.#putNumber(at, Number(value));
      return;
    }
    const isExact = typeof value === 'bigint' || Number.isSafeInteger(Math.round(value * this.#scale));
    if (!isExact) throw outOfRange(this.#header, 'a number is too large to be exact: give it as a 64-bit integer');
    const scaled =
      typeof value === 'bigint'
        ? value * 10n ** BigInt(this.#header.decimals)
        : BigInt(Math.round(value * this.#scale));
    if (scaled < BigInt(this.#header.low) || scaled > BigInt(this.#header.high)) {
      throw outOfRange(this.#header, 'a value is outside the declared bounds');
    }
    if (this.#categories !== null && !this.#categories.has(Number(scaled)))
      throw outOfRange(this.#header, 'a value is not a public category');
    this.integers[at] = scaled;
  }
}

/** The value itself stays out of the message: progress and errors of an encryption may be logged. */
export function outOfRange(header: ColumnHeader, complaint: string): HomomorphicFault {
  return new HomomorphicFault('out-of-range', `cannot encrypt column ${header.column}: ${complaint}`);
}

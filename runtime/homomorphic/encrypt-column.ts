import type { Backend, BackendContext, Plaintext } from './backend.ts';
import { ColumnFileWriter, channelShapes } from './column-file.ts';
import { magnitudeOf, rowsPerBlock, type Channel, type ColumnHeader, type ColumnTotals } from './column.ts';
import { HomomorphicFault } from './fault.ts';
import { PROFILES } from './profiles.ts';

/** Consecutive rows of one group; null is a missing value. Typed arrays are the fast way. */
export interface ColumnRows {
  /** A public group key from the header; leave out when the column is not partitioned. */
  readonly group?: string;
  readonly values: Float64Array | BigInt64Array | readonly (number | bigint | null)[];
}

/** Where encryption stands; called once per block. */
export interface EncryptionProgress {
  readonly rows: number;
  readonly blocks: number;
  readonly bytes: number;
}

/**
 * Encrypts one column while it streams through: yields the bytes of a column file, returns its totals and digest.
 * Memory is bounded by one open block per group. A value outside the header's bounds, a category that is not public or a
 * missing value in a column without a `valid` channel throws `out-of-range` and ends the file.
 */
export async function* encryptColumn(
  needs: { readonly backend: Backend; readonly onProgress?: (progress: EncryptionProgress) => void },
  header: ColumnHeader,
  rows: AsyncIterable<ColumnRows> | Iterable<ColumnRows>,
): AsyncGenerator<Uint8Array, ColumnTotals> {
  const writer = new ColumnFileWriter(header);
  const encoders = header.channels.map((channel) => channelEncoder(needs.backend, header, channel));
  const capacity = rowsPerBlock(header);
  const open = new Map<number, OpenBlock>();
  const progress = { rows: 0, blocks: 0, bytes: 0 };
  const seal = (group: number, block: OpenBlock): Uint8Array => {
    const channels = encoders.map((encode) => encode(block));
    const bytes = writer.block({ group, rows: block.count, channels });
    block.count = 0;
    progress.rows += block.rowsSealed();
    progress.blocks += 1;
    progress.bytes += bytes.byteLength;
    needs.onProgress?.({ ...progress });
    return bytes;
  };
  const first = writer.start();
  progress.bytes += first.byteLength;
  yield first;
  for await (const batch of rows) {
    const group = groupIndex(header, batch.group);
    let block = open.get(group);
    if (block === undefined) open.set(group, (block = new OpenBlock(header, capacity)));
    for (let from = 0; from < batch.values.length;) {
      from = block.fill(batch.values, from);
      if (block.count === capacity) yield seal(group, block);
    }
  }
  for (const [group, block] of [...open].toSorted(([a], [b]) => a - b)) if (block.count > 0) yield seal(group, block);
  const { bytes, totals } = writer.end();
  yield bytes;
  return totals;
}

/** Rows waiting for their block to fill: scaled integers (or reals for CKKS) and which of them are present. */
class OpenBlock {
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
  #sealed = 0;

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

  /** Rows of the block sealed last; unused slots are zero from here on. */
  rowsSealed(): number {
    return this.#sealed;
  }

  /** Zeroes the slots behind the last row: they must add nothing to any sum. */
  finish(): void {
    this.integers.fill(0n, this.count);
    this.reals.fill(0, this.count);
    this.present.fill(0, this.count);
    this.#sealed = this.count;
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

function channelEncoder(backend: Backend, header: ColumnHeader, channel: Channel): (block: OpenBlock) => Uint8Array {
  const context = backend.open(PROFILES[channel.profile]);
  const shape = channelShapes({ channels: [channel], form: header.form })[0];
  if (shape === undefined) throw new HomomorphicFault('bad-column', 'a column needs a channel');
  return (block) => {
    block.finish();
    if (header.mode === 'publicKey') {
      using plain = encoded(context, block, header, channel);
      using ciphertext = context.encryptWithPublicKey(plain);
      return context.save(ciphertext);
    }
    const seeded = encryptSeeded(context, block, header, channel);
    if (header.form === 'seeded') return seeded;
    using ciphertext = context.load({ ...shape, isSeeded: true }, seeded);
    return context.save(ciphertext);
  };
}

function encryptSeeded(context: BackendContext, block: OpenBlock, header: ColumnHeader, channel: Channel): Uint8Array {
  if (context.profile.scheme !== 'ckks') return context.encryptIntegersSeeded(slotsOf(block, header, channel, context));
  using plain = encoded(context, block, header, channel);
  return context.encryptSeeded(plain);
}

function encoded(context: BackendContext, block: OpenBlock, header: ColumnHeader, channel: Channel): Plaintext {
  return context.profile.scheme === 'ckks'
    ? context.encodeReals(block.reals)
    : context.encodeIntegers(slotsOf(block, header, channel, context));
}

function slotsOf(block: OpenBlock, header: ColumnHeader, channel: Channel, context: BackendContext): BigInt64Array {
  switch (channel.role) {
    case 'value':
      return centred(block.integers, magnitudeOf(header), context.profile.plainModulus);
    case 'square': {
      const squares = new BigInt64Array(block.integers.length);
      const t = context.profile.plainModulus;
      // reduced before it is stored: a square of a 35-bit value does not fit 64 bits with a CRT pair of 72
      for (let i = 0; i < block.count; i++)
        squares[i] = centre(((block.integers[i] ?? 0n) * (block.integers[i] ?? 0n)) % t, t);
      return squares;
    }
    case 'valid':
      return flags(block, (i) => block.present[i] ?? 0);
    case 'category': {
      const wanted = header.categories[channel.category ?? 0] ?? 0;
      const halves = new Int32Array(block.integers.buffer);
      const [low, high] = [wanted | 0, Math.floor(wanted / 4294967296)];
      return flags(block, (i) => (halves[2 * i] === low && halves[2 * i + 1] === high ? (block.present[i] ?? 0) : 0));
    }
  }
}

/** Zeros and ones as 64-bit integers, by halves: BigInts are many times slower. */
function flags(block: OpenBlock, at: (index: number) => number): BigInt64Array {
  const slots = new BigInt64Array(block.integers.length);
  const halves = new Int32Array(slots.buffer);
  for (let i = 0; i < block.count; i++) halves[2 * i] = at(i);
  return slots;
}

/** Values as residues nearest zero; untouched when they fit anyway. */
function centred(values: BigInt64Array, magnitude: bigint, t: bigint): BigInt64Array {
  return magnitude <= t / 2n ? values : values.map((value) => centre(value % t, t));
}

function centre(residue: bigint, t: bigint): bigint {
  if (residue > t / 2n) return residue - t;
  return residue < -(t / 2n) ? residue + t : residue;
}

function groupIndex(header: ColumnHeader, group: string | undefined): number {
  if (header.groups.length === 0 && group === undefined) return 0;
  const index = group === undefined ? -1 : header.groups.indexOf(group);
  if (index < 0) throw outOfRange(header, 'a row belongs to no public group');
  return index;
}

/** The value itself stays out of the message: progress and errors of an encryption may be logged. */
function outOfRange(header: ColumnHeader, complaint: string): HomomorphicFault {
  return new HomomorphicFault('out-of-range', `cannot encrypt column ${header.column}: ${complaint}`);
}

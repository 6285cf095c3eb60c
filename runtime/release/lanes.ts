/**
 * Sketches of the contributors of cells of large tables: a few words that the engine makes by XOR beside the cell itself,
 * in the pass that makes the groups. Sharper sketches (sketch.ts) sort every row into a bucket, which costs several times
 * what the cell does.
 *
 * Each row has a keyed tag of 64 random bits, and its unit one of 48 lanes. A row adds two words, each of them the tag with
 * all bits taken out but one for its lane, which the lane says, and 16 that say which row it is: the highest 16 of the first
 * word, whose lanes are the lowest bits, and the lowest of the second, whose lanes are above them. A sketch holds the number
 * of rows and the XOR of both words over all rows.
 *
 * Soundness. Rows of one unit touch one lane, so a difference of d units changes at most d lanes: cells in which at least
 * `minUnits` lanes differ differ by that many units, and only those are let through. Whatever the tags fail to show makes
 * the verdict stricter, never laxer; that two cells that differ by one unit look the same needs 34 bits of keyed tags, 32
 * that say which rows and two of the lane, to cancel out.
 *
 * The price is sharpness: a lane shows a change three times of four, and units share lanes. With a minimum of 10, cells
 * that differ by 15 units are let through about half the time, from 25 on nearly always. In a large table that is little.
 *
 * XOR is linear: the sketch of disjoint cells together is the XOR of theirs. Where a row stands in several summed cells it
 * counts by parity; the number of rows, which is added up, tells such sums apart.
 */
import type { CellGuard, Closeness } from './cell-guard.ts';

export const LANES = 48;
/** 32-bit words: rows, and two of each word that rows add. */
export const LANE_WORDS = 5;
export type LaneSketch = Uint32Array;

/** Most units that so few lanes can watch: two bits each, unrelated cells differ in 36 of 48 lanes, give or take 3. */
export const MAX_LANE_UNITS = 20;

/** Bits of each word that say which row it is. */
const ROW_BITS = 64 - LANES;

/** A row of a cell: the lane of its unit, 0 to 47, and its tag. */
export interface LaneRow {
  readonly lane: number;
  readonly tag: bigint;
}

/** The sketch of rows, as the engine makes it. */
export function lanesOf(rows: Iterable<LaneRow>): LaneSketch {
  let [count, first, second] = [0, 0n, 0n];
  const which = (1n << BigInt(ROW_BITS)) - 1n;
  for (const { lane, tag } of rows) {
    const own = 1n << BigInt(lane);
    count++;
    first ^= tag & (own | (which << BigInt(LANES)));
    second ^= tag & ((own << BigInt(ROW_BITS)) | which);
  }
  const words = [first, second].flatMap((word) => [Number(word & 0xffff_ffffn), Number(word >> 32n)]);
  return Uint32Array.from([count, ...words]);
}

/** The cell of the rows of both (1), or what remains of `a` without `b` (-1). */
export function combinedLanes(a: LaneSketch, b: LaneSketch, sign: 1 | -1): LaneSketch {
  const result = a.map((word, i) => word ^ (b[i] ?? 0));
  result[0] = (a[0] ?? 0) + sign * (b[0] ?? 0);
  return result;
}

function changedLanes(a: Uint32Array, b: Uint32Array, offset: number): number {
  const [low, high] = [(a[1] ?? 0) ^ (b[offset + 1] ?? 0), (a[2] ?? 0) ^ (b[offset + 2] ?? 0)];
  const [below, above] = [(a[3] ?? 0) ^ (b[offset + 3] ?? 0), (a[4] ?? 0) ^ (b[offset + 4] ?? 0)];
  // Lanes 0 to 31, and those above.
  return bitCount(low | (below >>> ROW_BITS) | (above << ROW_BITS)) + bitCount((high & 0xffff) | (above >>> ROW_BITS));
}

/** Both bits of some lanes of a sketch, those of the second word above the others. */
function bitsOf(sketch: LaneSketch, from: number, count: number): number {
  const [, low = 0, high = 0, below = 0, above = 0] = sketch;
  let bits = 0;
  for (let lane = from; lane < from + count; lane++) {
    const at = lane + ROW_BITS;
    const first = (lane < 32 ? low >>> lane : high >>> (lane - 32)) & 1;
    const second = (at < 32 ? below >>> at : above >>> (at - 32)) & 1;
    bits |= (first | (second << count)) << (lane - from);
  }
  return bits;
}

function bitCount(word: number): number {
  let rest = word - ((word >>> 1) & 0x5555_5555);
  rest = (rest & 0x3333_3333) + ((rest >>> 2) & 0x3333_3333);
  return Math.imul((rest + (rest >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

const FIRST_CAPACITY = 64;
const MAX_GUARDED = 250_000;
/** Longer stretches would make more lists than cells. */
const MAX_STRETCH = 6;

/**
 * A history of released cells. The lanes are cut into as many stretches as units to watch: a difference of fewer units
 * leaves one stretch as it was, so cells that share a stretch are all that need a look.
 */
export class LaneGuard implements CellGuard {
  readonly #minUnits: number;
  /** Lanes of a stretch. */
  readonly #lanes: number;
  /** Cells by stretch and what it holds. */
  readonly #lists: (number[] | undefined)[] = [];
  #cells = new Uint32Array(FIRST_CAPACITY * LANE_WORDS);
  #seen = new Uint32Array(FIRST_CAPACITY);
  #comparison = 0;
  #count = 0;

  /** `minUnits`: what is compared by default; `most`: the largest minimum that lists are made for. */
  constructor(minUnits: number, most: number) {
    this.#minUnits = minUnits;
    this.#lanes = Math.max(1, Math.min(MAX_STRETCH, Math.floor(LANES / Math.max(minUnits, most, 1))));
  }

  get size(): number {
    return this.#count;
  }

  /**
   * Compares a cell with all remembered ones; throws `RangeError` for a sketch of another form. Of a minimum beyond
   * `MAX_LANE_UNITS` no more than that is promised here: such cells have a sketch of the other form as well.
   */
  compare(sketch: LaneSketch, least = this.#minUnits): Closeness {
    requireLanes(sketch);
    const minUnits = Math.min(least, MAX_LANE_UNITS);
    let isSame = false;
    for (const cell of this.#candidates(sketch, minUnits)) {
      const offset = cell * LANE_WORDS;
      if (changedLanes(sketch, this.#cells, offset) >= minUnits) continue;
      if (!sketch.every((word, i) => word === this.#cells[offset + i])) return 'tooClose';
      isSame = true;
    }
    return isSame ? 'same' : 'clear';
  }

  /** Adds a cell that is released; throws `RangeError` when there is no room, so that a full guard denies. */
  remember(sketch: LaneSketch): void {
    requireLanes(sketch);
    if (this.#count >= MAX_GUARDED) throw new RangeError('the differencing guard is full');
    if (this.#count >= this.#seen.length) {
      const cells = new Uint32Array(this.#cells.length * 2);
      cells.set(this.#cells);
      this.#cells = cells;
      this.#seen = new Uint32Array(this.#seen.length * 2);
      this.#comparison = 0;
    }
    this.#cells.set(sketch, this.#count * LANE_WORDS);
    for (const list of this.#stretches(sketch)) (this.#lists[list] ??= []).push(this.#count);
    this.#count++;
  }

  *cells(): Iterable<LaneSketch> {
    for (let cell = 0; cell < this.#count; cell++)
      yield this.#cells.subarray(cell * LANE_WORDS, (cell + 1) * LANE_WORDS);
  }

  *#candidates(sketch: LaneSketch, minUnits: number): Iterable<number> {
    const stretches = this.#stretches(sketch);
    const own = stretches.map((list) => this.#lists[list] ?? []);
    // With fewer stretches than units, each may have changed; and long lists are slower than looking at everything.
    if (stretches.length < minUnits || own.reduce((sum, list) => sum + list.length, 0) > this.#count) {
      for (let cell = 0; cell < this.#count; cell++) yield cell;
      return;
    }
    this.#comparison++;
    for (const list of own) {
      for (const cell of list) {
        if (this.#seen[cell] === this.#comparison) continue;
        this.#seen[cell] = this.#comparison;
        yield cell;
      }
    }
  }

  /** The number of the list of each stretch. */
  #stretches(sketch: LaneSketch): number[] {
    return Array.from(
      { length: Math.floor(LANES / this.#lanes) },
      (_, i) => (i << (2 * this.#lanes)) | bitsOf(sketch, i * this.#lanes, this.#lanes),
    );
  }
}

function requireLanes(sketch: Uint32Array): void {
  if (sketch.length !== LANE_WORDS) throw new RangeError('the sketch has another form than the guard');
}

/**
 * The differencing guard: withholds a cell that differs by fewer than the minimum of units from a cell released before.
 * Two such cells, each large enough on its own, subtract to a statement about a few people.
 *
 * One guard watches one history: a dataset version, a privacy unit, and a consumer or a group of consumers who could share
 * answers. It is pairwise: differences of three or more cells are not covered.
 *
 * Completeness. A difference of d < minUnits units and of rows of nobody changes at most d + 1 buckets of a partition; where
 * more are filled, one bucket of the first partition is the same in both cells: looking up the buckets of the first partition
 * finds every such pair, without a scan. At most 3(d + 1) buckets change in all, which sorts out chance finds. What is left is
 * decoded; a difference that stays small by its buckets and does not decode counts as too close.
 */
import {
  BUCKET_WORDS,
  changedBuckets,
  differenceOf,
  isLanes,
  isOfFew,
  PARTITIONS,
  shapeFor,
  type SketchShape,
  watchedUnits,
} from './sketch.ts';
import type { CellGuard, Closeness, Sketch } from './cell-guard.ts';
import { LaneGuard } from './lanes.ts';

/** An empty history for cells like this one. */
export function guardFor(sketch: Sketch, minUnits: number, shape: SketchShape): CellGuard {
  return isLanes(sketch) ? new LaneGuard(minUnits, watchedUnits(shape)) : new DifferencingGuard(minUnits, shape);
}

export const MAX_GUARDED_CELLS = 250_000;
const FIRST_CAPACITY = 64;
const HEADS_PER_CELL = 16;

/** A history of released cells that grows in place; not shared between threads. */
export class DifferencingGuard implements CellGuard {
  readonly #minUnits: number;
  readonly #shape: SketchShape;
  readonly #words: number;
  /** Sketches back to back. */
  #cells: Uint32Array;
  #count = 0;
  /** Chained hash table: slot of a bucket's digest → 1 + the last entry; entry = cell · buckets + bucket. 0 ends a chain. */
  #heads: Uint32Array;
  #next: Uint32Array;
  /** One byte per bucket, so that scanning all cells stays in the processor's caches. */
  #digests: Uint8Array;
  /** The comparison that last looked at a cell, so that none is looked at twice. */
  #seen: Uint32Array;
  #comparison = 0;

  /** `shape`: of a larger minimum, so that cells of several rules can be compared. Throws `RangeError` for a minimum too large. */
  constructor(minUnits: number, shape: SketchShape = shapeFor(minUnits)) {
    this.#minUnits = minUnits;
    this.#shape = shape;
    if (this.#shape.buckets < minUnits) throw new RangeError('the differencing guard cannot watch so large a minimum');
    this.#words = PARTITIONS * this.#shape.buckets * BUCKET_WORDS;
    this.#cells = new Uint32Array(FIRST_CAPACITY * this.#words);
    this.#heads = new Uint32Array(FIRST_CAPACITY * HEADS_PER_CELL);
    this.#next = new Uint32Array(FIRST_CAPACITY * this.#shape.buckets);
    this.#seen = new Uint32Array(FIRST_CAPACITY);
    this.#digests = new Uint8Array(FIRST_CAPACITY * PARTITIONS * this.#shape.buckets);
  }

  /** The shape that sketches must have. */
  get shape(): SketchShape {
    return this.#shape;
  }

  /** Number of remembered cells. */
  get size(): number {
    return this.#count;
  }

  /** Compares a cell with all remembered ones; throws `RangeError` for a sketch of another shape. */
  compare(sketch: Sketch, minUnits = this.#minUnits): Closeness {
    this.#requireShape(sketch);
    if (minUnits > this.#shape.buckets) throw new RangeError('the differencing guard cannot watch so large a minimum');
    let isSame = false;
    for (const cell of this.#candidates(sketch, minUnits)) {
      const closeness = this.#closeness(sketch, cell, minUnits);
      if (closeness === 'tooClose') return closeness;
      isSame ||= closeness === 'same';
    }
    return isSame ? 'same' : 'clear';
  }

  /** Adds a cell that is released; throws `RangeError` beyond `MAX_GUARDED_CELLS`, so that a full guard denies. */
  remember(sketch: Sketch): void {
    this.#requireShape(sketch);
    if (this.#count >= MAX_GUARDED_CELLS) throw new RangeError('the differencing guard is full');
    if (this.#count >= this.#seen.length) this.#grow();
    this.#cells.set(sketch, this.#count * this.#words);
    this.#link(this.#count);
    this.#count++;
  }

  *cells(): Iterable<Sketch> {
    for (let cell = 0; cell < this.#count; cell++) yield this.#sketchAt(cell);
  }

  /**
   * Cells that may be near. With more filled buckets than can change, one *filled* bucket must be unchanged, and few cells share
   * it. Cells smaller than that share empty buckets with everybody, so all cells are scanned.
   */
  *#candidates(sketch: Sketch, minUnits: number): Iterable<number> {
    const filled = Array.from({ length: this.#shape.buckets }, (_, bucket) => bucket).filter((bucket) =>
      isFilled(sketch, bucket),
    );
    if (filled.length <= minUnits) {
      yield* this.#scan(sketch, minUnits);
      return;
    }
    this.#comparison++;
    for (const bucket of filled) {
      for (let entry = this.#heads[this.#slot(sketch, bucket)] ?? 0; entry !== 0; entry = this.#next[entry - 1] ?? 0) {
        const cell = Math.floor((entry - 1) / this.#shape.buckets);
        if (this.#seen[cell] === this.#comparison) continue;
        this.#seen[cell] = this.#comparison;
        yield cell;
      }
    }
  }

  /** Cells whose digests differ in few enough buckets: unequal digests mean unequal buckets, so none is missed. */
  *#scan(sketch: Sketch, minUnits: number): Iterable<number> {
    const most = PARTITIONS * minUnits;
    const width = PARTITIONS * this.#shape.buckets;
    const own = digestsOf(sketch);
    const digests = this.#digests;
    for (let cell = 0; cell < this.#count; cell++) {
      const start = cell * width;
      let changed = 0;
      for (let i = 0; i < width && changed <= most; i++) if (own[i] !== digests[start + i]) changed++;
      if (changed <= most) yield cell;
    }
  }

  #link(cell: number): void {
    const sketch = this.#sketchAt(cell);
    this.#digests.set(digestsOf(sketch), cell * PARTITIONS * this.#shape.buckets);
    for (let bucket = 0; bucket < this.#shape.buckets; bucket++) {
      if (!isFilled(sketch, bucket)) continue;
      const slot = this.#slot(sketch, bucket);
      const entry = cell * this.#shape.buckets + bucket;
      this.#next[entry] = this.#heads[slot] ?? 0;
      this.#heads[slot] = entry + 1;
    }
  }

  #grow(): void {
    const capacity = this.#seen.length * 2;
    const cells = new Uint32Array(capacity * this.#words);
    cells.set(this.#cells);
    this.#cells = cells;
    this.#heads = new Uint32Array(capacity * HEADS_PER_CELL);
    this.#next = new Uint32Array(capacity * this.#shape.buckets);
    this.#seen = new Uint32Array(capacity);
    this.#digests = new Uint8Array(capacity * PARTITIONS * this.#shape.buckets);
    for (let cell = 0; cell < this.#count; cell++) this.#link(cell);
  }

  #slot(sketch: Sketch, bucket: number): number {
    return bucketDigest(sketch, bucket) % this.#heads.length;
  }

  #closeness(sketch: Sketch, cell: number, minUnits: number): Closeness {
    const most = PARTITIONS * minUnits;
    const changed = changedBuckets(sketch, this.#cells, cell * this.#words, most);
    if (changed === 0) return 'same';
    if (changed > most) return 'clear';
    return isOfFew(this.#shape, differenceOf(sketch, this.#sketchAt(cell)), minUnits) ? 'tooClose' : 'clear';
  }

  #sketchAt(cell: number): Sketch {
    return this.#cells.subarray(cell * this.#words, (cell + 1) * this.#words);
  }

  #requireShape(sketch: Sketch): void {
    if (sketch.length !== this.#words) throw new RangeError('the sketch has another shape than the guard');
  }
}

/** A digest of a bucket and its place. Equal buckets collide by design, others by chance, which costs only time. */
function bucketDigest(sketch: Sketch, bucket: number): number {
  let digest = bucket + 1;
  for (let i = 0; i < BUCKET_WORDS; i++) {
    digest = Math.imul(digest ^ (sketch[bucket * BUCKET_WORDS + i] ?? 0), 0x9e37_79b1);
    digest ^= digest >>> 15;
  }
  return digest >>> 0;
}

/** One byte of each bucket's digest. */
function digestsOf(sketch: Sketch): Uint8Array {
  const digests = new Uint8Array(sketch.length / BUCKET_WORDS);
  for (let bucket = 0; bucket < digests.length; bucket++) digests[bucket] = bucketDigest(sketch, bucket);
  return digests;
}

function isFilled(sketch: Sketch, bucket: number): boolean {
  for (let i = 0; i < BUCKET_WORDS; i++) if (sketch[bucket * BUCKET_WORDS + i] !== 0) return true;
  return false;
}

/**
 * Invertible sketches of the contributors of a released cell (after Goodrich and Mitzenmacher, *Invertible Bloom Lookup
 * Tables*, 2011, with sums in place of XOR).
 *
 * A cell is a multiset: each of its rows adds its unit's keyed 64-bit hash. Each hash falls into one bucket of each of three
 * partitions, and a bucket keeps four sums: rows, hashes, checks, tags. Sums are linear, so the sketch of a difference is
 * the difference of sketches, and a difference over few units can be decoded although neither cell could be. A unit with
 * five rows has multiplicity five, and a unit whose rows differ shows up even when it is in both cells.
 *
 * The tag of a row stands for *which* row of its unit it is (0: it does not matter). So January and February of the same
 * people are far apart, and a person who stands in two cells with as many but other rows is not overlooked.
 *
 * All sums are modular (rows and checks mod 2³², tags mod 2⁶⁴, hashes mod 2⁹⁶): small differences come out right however
 * large the cells.
 */

import type { Sketch } from './cell-guard.ts';
import { combinedLanes, LANE_WORDS } from './lanes.ts';

/** Buckets per partition: more than the largest difference to find. */
export interface SketchShape {
  readonly buckets: number;
}

export const PARTITIONS = 3;
/** 32-bit words of a bucket: rows, three of hashes, checks, two of tags. */
export const BUCKET_WORDS = 7;
const MIN_BUCKETS = 8;
const MAX_BUCKETS = 256;

/**
 * A shape for differences of fewer than `minUnits` units; 1344 bytes a cell for a minimum of 10. The slack (1.6 buckets a
 * unit) makes decoding succeed well above the minimum, so that two small cells that share nobody are not taken for near.
 * Always a power of two, so that of two shapes the larger folds into the smaller: what one minimum let out is compared
 * with what another one would.
 */
export function shapeFor(minUnits: number): SketchShape {
  if (!Number.isSafeInteger(minUnits) || minUnits < 1) throw new RangeError('a minimum of units is at least 1');
  let buckets = MIN_BUCKETS;
  while (buckets < MAX_BUCKETS && watchedUnits({ buckets }) < minUnits) buckets *= 2;
  return { buckets };
}

/**
 * The same rows in fewer buckets, of which the number must divide the present one; sketches by lanes have no buckets and
 * stay. Throws `RangeError` for shapes that do not divide.
 */
export function folded(sketch: Sketch, from: SketchShape, to: SketchShape): Sketch {
  if (isLanes(sketch) || from.buckets === to.buckets) return sketch;
  if (from.buckets % to.buckets !== 0) throw new RangeError('a sketch folds into a part of its buckets only');
  const result = emptySketch(to);
  for (let index = 0; index < PARTITIONS * from.buckets; index++) {
    const [partition, bucket] = [Math.floor(index / from.buckets), index % from.buckets];
    const at = index * BUCKET_WORDS;
    addToBucket(result, (partition * to.buckets + (bucket % to.buckets)) * BUCKET_WORDS, {
      rows: BigInt(sketch[at] ?? 0),
      hashes: hashesAt(sketch, at),
      checks: BigInt(sketch[at + 4] ?? 0),
      tags: tagsAt(sketch, at),
    });
  }
  return result;
}

/** The largest minimum that a shape was made for, at least. */
export function watchedUnits({ buckets }: SketchShape): number {
  return Math.ceil(buckets / 1.6);
}

/** Whether a sketch is one of lanes (lanes.ts): cells of large tables have those. Nothing else is so short. */
export function isLanes(sketch: Sketch): boolean {
  return sketch.length === LANE_WORDS;
}

/** The bucket of a hash in a partition; in SQL `(hash >> (21 * partition)) % buckets`. */
export function bucketOf(hash: bigint, partition: number, { buckets }: SketchShape): number {
  return Number((hash >> BigInt(21 * partition)) % BigInt(buckets));
}

/** What a hash adds to the check sum; in SQL `xor(hash, hash >> 32) & 4294967295`. Not linear, so mixtures betray themselves. */
export function checkOf(hash: bigint): number {
  return Number((hash ^ (hash >> 32n)) & 0xffff_ffffn);
}

/** Sums of one bucket as the engine computes them: `count(*)`, `sum(hash)`, `sum(check)`, `sum(tag)` grouped by the bucket. */
export interface BucketSums {
  readonly partition: number;
  readonly bucket: number;
  readonly rows: bigint;
  readonly hashes: bigint;
  readonly checks: bigint;
  /** Absent: 0. */
  readonly tags?: bigint;
}

/** A row of a cell: the hash of its unit, and which row it is. */
export interface TaggedRow {
  readonly hash: bigint;
  readonly tag: bigint;
}

export function emptySketch({ buckets }: SketchShape): Sketch {
  return new Uint32Array(PARTITIONS * buckets * BUCKET_WORDS);
}

/** Throws `RangeError` for a bucket that is not there. */
export function sketchFromSums(shape: SketchShape, sums: Iterable<BucketSums>): Sketch {
  const sketch = emptySketch(shape);
  for (const { partition, bucket, rows, hashes, checks, tags = 0n } of sums) {
    const isThere = partition >= 0 && partition < PARTITIONS && bucket >= 0 && bucket < shape.buckets;
    if (!isThere || !Number.isInteger(partition) || !Number.isInteger(bucket)) throw new RangeError('no such bucket');
    addToBucket(sketch, (partition * shape.buckets + bucket) * BUCKET_WORDS, { rows, hashes, checks, tags });
  }
  return sketch;
}

/** The sketch of rows given by the hash of their unit, tagged or not. */
export function sketchOf(shape: SketchShape, rows: Iterable<bigint | TaggedRow>): Sketch {
  const sketch = emptySketch(shape);
  for (const row of rows) {
    const { hash, tag } = typeof row === 'bigint' ? { hash: row, tag: 0n } : row;
    addRows(sketch, shape, { hash, rows: 1n, tags: tag });
  }
  return sketch;
}

/** Number of rows of a cell, modulo 2³². */
export function rowsIn(sketch: Sketch, { buckets }: SketchShape): number {
  if (isLanes(sketch)) return sketch[0] ?? 0;
  let rows = 0;
  for (let bucket = 0; bucket < buckets; bucket++) rows = (rows + (sketch[bucket * BUCKET_WORDS] ?? 0)) >>> 0;
  return rows;
}

/** The cell of the rows of both. */
export function sumOf(a: Sketch, b: Sketch): Sketch {
  return combined(a, b, 1);
}

/** What remains of `a` without `b`; units only in `b` have negative multiplicity. */
export function differenceOf(a: Sketch, b: Sketch): Sketch {
  return combined(a, b, -1);
}

function combined(a: Sketch, b: Sketch, sign: 1 | -1): Sketch {
  if (a.length !== b.length) throw new RangeError('sketches of different shapes cannot be compared');
  if (isLanes(a)) return combinedLanes(a, b, sign);
  const result = new Uint32Array(a.length);
  // Words from `first` to `last` are one number, the lowest word first.
  const number = (at: number, first: number, last: number): void => {
    let carry = 0;
    for (let i = at + first; i <= at + last; i++) {
      const word = (a[i] ?? 0) + sign * (b[i] ?? 0) + carry;
      carry = word < 0 ? -1 : word >= WORD ? 1 : 0;
      result[i] = word;
    }
  };
  for (let at = 0; at < a.length; at += BUCKET_WORDS) {
    number(at, 0, 0);
    number(at, 1, 3);
    number(at, 4, 4);
    number(at, 5, 6);
  }
  return result;
}

const WORD = 2 ** 32;

/** Units of a difference with how many rows more (or fewer) they have, or that it could not be decoded. */
export type Decoded =
  | { readonly kind: 'units'; readonly rows: ReadonlyMap<bigint, bigint> }
  | { readonly kind: 'stuck' };

/** Peels a difference: a bucket that holds one unit tells it, and taking it out may leave others with one. */
export function decode(shape: SketchShape, difference: Sketch): Decoded {
  const rest = difference.slice();
  const rows = new Map<bigint, bigint>();
  // Each turn takes out a unit; a wrong one (chance about 2⁻³²) could cycle, so turns are bounded.
  for (let turn = 0; turn < PARTITIONS * shape.buckets; turn++) {
    const found = pureUnit(shape, rest);
    if (found === null) break;
    rows.set(found.hash, (rows.get(found.hash) ?? 0n) + found.rows);
    addRows(rest, shape, { hash: found.hash, rows: -found.rows, tags: -found.tags });
  }
  if (rest.some((word) => word !== 0)) return { kind: 'stuck' };
  return { kind: 'units', rows: new Map([...rows].filter(([, count]) => count !== 0n)) };
}

/**
 * Whether a difference is of fewer than `minUnits` units, though of some. Rows of nobody (hash 0) help it no more than a group
 * to reach its minimum. One that stays small by its buckets and cannot be decoded counts as few.
 */
export function isOfFew(shape: SketchShape, difference: Sketch, minUnits: number): boolean {
  if (difference.every((word) => word === 0)) return false;
  if (fewestUnits(shape, difference) >= minUnits) return false;
  const decoded = decode(shape, difference);
  if (decoded.kind !== 'units') return true;
  return decoded.rows.size - (decoded.rows.has(NOBODY) ? 1 : 0) < minUnits;
}

const NOBODY = 0n;

/** A number of units that a difference surely has at least: each changes one bucket of a partition, as nobody's rows do. */
function fewestUnits({ buckets }: SketchShape, difference: Sketch): number {
  const isChanged = (partition: number, bucket: number): boolean => {
    const at = (partition * buckets + bucket) * BUCKET_WORDS;
    return difference.subarray(at, at + BUCKET_WORDS).some((word) => word !== 0);
  };
  let [fewest, ofNobody] = [0, 1];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    let changed = 0;
    for (let bucket = 0; bucket < buckets; bucket++) if (isChanged(partition, bucket)) changed++;
    fewest = Math.max(fewest, changed);
    // Hash 0 falls into the first bucket of each partition.
    if (!isChanged(partition, 0)) ofNobody = 0;
  }
  return fewest - ofNobody;
}

/**
 * Buckets in which a sketch and the one at word `offset` of `cells` differ, counted up to one more than `limit`. Without a
 * view per cell: this is what a scan over a long history spends its time in.
 */
export function changedBuckets(sketch: Sketch, cells: Uint32Array, offset: number, limit: number): number {
  let changed = 0;
  for (let at = 0; at < sketch.length && changed <= limit; at += BUCKET_WORDS) {
    const other = offset + at;
    const isSame =
      sketch[at] === cells[other] &&
      sketch[at + 1] === cells[other + 1] &&
      sketch[at + 2] === cells[other + 2] &&
      sketch[at + 3] === cells[other + 3] &&
      sketch[at + 4] === cells[other + 4] &&
      sketch[at + 5] === cells[other + 5] &&
      sketch[at + 6] === cells[other + 6];
    if (!isSame) changed++;
  }
  return changed;
}

function pureUnit(shape: SketchShape, sketch: Sketch): { hash: bigint; rows: bigint; tags: bigint } | null {
  for (let at = 0; at < sketch.length; at += BUCKET_WORDS) {
    const rows = (sketch[at] ?? 0) | 0;
    if (rows === 0) continue;
    const sum = hashesAt(sketch, at);
    const count = BigInt(rows);
    if (sum % count !== 0n) continue;
    const hash = sum / count;
    if (hash < 0n || hash >= 1n << 64n) continue;
    const index = at / BUCKET_WORDS;
    const partition = Math.floor(index / shape.buckets);
    if (bucketOf(hash, partition, shape) !== index % shape.buckets) continue;
    if (BigInt.asUintN(32, BigInt(checkOf(hash)) * count) === BigInt(sketch[at + 4] ?? 0))
      return { hash, rows: count, tags: tagsAt(sketch, at) };
  }
  return null;
}

function hashesAt(sketch: Sketch, at: number): bigint {
  const [low, middle, high] = [sketch[at + 1] ?? 0, sketch[at + 2] ?? 0, sketch[at + 3] ?? 0];
  return BigInt.asIntN(96, (BigInt(high) << 64n) | (BigInt(middle) << 32n) | BigInt(low));
}

function tagsAt(sketch: Sketch, at: number): bigint {
  return (BigInt(sketch[at + 6] ?? 0) << 32n) | BigInt(sketch[at + 5] ?? 0);
}

interface Rows {
  readonly hash: bigint;
  readonly rows: bigint;
  /** Sum of the tags of these rows. */
  readonly tags: bigint;
}

function addRows(sketch: Sketch, shape: SketchShape, { hash, rows, tags }: Rows): void {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const at = (partition * shape.buckets + bucketOf(hash, partition, shape)) * BUCKET_WORDS;
    addToBucket(sketch, at, { rows, hashes: hash * rows, checks: BigInt(checkOf(hash)) * rows, tags });
  }
}

function addToBucket(
  sketch: Sketch,
  at: number,
  more: { readonly rows: bigint; readonly hashes: bigint; readonly checks: bigint; readonly tags: bigint },
): void {
  const sum = BigInt.asUintN(96, hashesAt(sketch, at) + more.hashes);
  const tags = BigInt.asUintN(64, tagsAt(sketch, at) + more.tags);
  sketch[at] = Number(BigInt.asUintN(32, BigInt(sketch[at] ?? 0) + more.rows));
  sketch[at + 1] = Number(sum & 0xffff_ffffn);
  sketch[at + 2] = Number((sum >> 32n) & 0xffff_ffffn);
  sketch[at + 3] = Number(sum >> 64n);
  sketch[at + 4] = Number(BigInt.asUintN(32, BigInt(sketch[at + 4] ?? 0) + more.checks));
  sketch[at + 5] = Number(tags & 0xffff_ffffn);
  sketch[at + 6] = Number(tags >> 32n);
}

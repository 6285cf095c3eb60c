/**
 * The cells of one answer, and what sums and differences of several of them tell.
 *
 * A total less one part less another part is a statement about the rest, although no two of the three are near each other.
 * So a cell is compared with the cells before it, with sums and differences of two and of three of them, and with what is
 * left of a larger one when all the smaller ones inside it are taken out. Sketches are linear, so each of these costs an
 * addition and a look.
 *
 * What is covered: every combination of up to three cells with coefficients -1 and 1 while there are up to `MAX_TRIPLES` cells,
 * of four among the first `MAX_QUADRUPLES`, and a cell less disjoint parts of it, however many, among the first `MAX_PARTS`.
 * Beyond these numbers only pairs are compared. Cells of large tables are sketched by parity (lanes.ts): there parts of a
 * cell cannot be told from others, so it is combinations of up to four.
 */
import { guardFor } from './differencing.ts';
import type { CellGuard, Closeness, Sketch } from './cell-guard.ts';
import { BUCKET_WORDS, differenceOf, isLanes, isOfFew, rowsIn, type SketchShape, sumOf } from './sketch.ts';

/** Cells of which three are combined; the work grows with their number for each cell. */
export const MAX_TRIPLES = 64;
/** Cells of which four are combined; the work grows with the square of their number. */
export const MAX_QUADRUPLES = 24;
/** Cells that are taken out of larger ones; the work grows with the square of their number. */
export const MAX_PARTS = 64;

/** Cells of one label and one answer, remembered in the order in which they are settled. */
export class CombinedCells {
  readonly #minUnits: number;
  readonly #shape: SketchShape;
  readonly #cells: Sketch[] = [];
  readonly #known = new Set<string>();
  #single: CellGuard | null = null;
  #pairs: CellGuard | null = null;

  constructor(minUnits: number, shape: SketchShape) {
    this.#minUnits = minUnits;
    this.#shape = shape;
  }

  /** Whether there are so many that only pairs are compared. */
  get isCrowded(): boolean {
    return this.#cells.length > MAX_TRIPLES;
  }

  copy(): CombinedCells {
    const copy = new CombinedCells(this.#minUnits, this.#shape);
    for (const cell of this.#cells) copy.remember(cell);
    return copy;
  }

  /** Whether a cell, alone or with up to two or three of those before it, tells about 1 to minUnits - 1 units. */
  compare(sketch: Sketch): Closeness {
    const single = this.#single;
    if (single === null) return 'clear';
    const own = single.compare(sketch, this.#minUnits);
    // The very same cell was looked at when it was remembered.
    if (own !== 'clear') return own;
    const { isSame, isClose } = this.#combined(sketch, single);
    return isClose || this.#leavesFew(sketch) ? 'tooClose' : isSame ? 'same' : 'clear';
  }

  remember(sketch: Sketch): void {
    const key = sketch.join();
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.#single ??= guardFor(sketch, this.#minUnits, this.#shape);
    this.#single.remember(sketch);
    if (this.#cells.length < MAX_QUADRUPLES) {
      this.#pairs ??= guardFor(sketch, this.#minUnits, this.#shape);
      for (const other of this.#cells)
        for (const pair of [sumOf(sketch, other), differenceOf(sketch, other), differenceOf(other, sketch)])
          this.#pairs.remember(pair);
    }
    this.#cells.push(sketch);
  }

  #combined(sketch: Sketch, single: CellGuard): { readonly isSame: boolean; readonly isClose: boolean } {
    const found = new Set<Closeness>();
    // Beyond that each cell would be combined with so many that one answer could hold up everybody's.
    if (this.isCrowded) return { isSame: false, isClose: false };
    for (const other of this.#cells) {
      const two = [sumOf(sketch, other), differenceOf(sketch, other)];
      for (const pair of two) found.add(single.compare(pair, this.#minUnits));
      if (this.#pairs === null || this.#cells.length > MAX_QUADRUPLES || isLanes(sketch)) continue;
      for (const pair of two) found.add(this.#pairs.compare(pair, this.#minUnits));
    }
    return { isSame: found.has('same'), isClose: found.has('tooClose') };
  }

  /** Whether what a cell around others has besides them is little; each of them may be the one that came last. */
  #leavesFew(sketch: Sketch): boolean {
    if (isLanes(sketch) || this.#cells.length > MAX_PARTS) return false;
    const sorted = this.#cells.toSorted((a, b) => rowsIn(b, this.#shape) - rowsIn(a, this.#shape));
    const around = sorted.filter((cell) => isWithin(sketch, cell)).map((cell) => differenceOf(cell, sketch));
    return [sketch, ...around].some((whole) => {
      let rest = whole;
      for (const part of sorted) if (isWithin(part, rest)) rest = differenceOf(rest, part);
      return rest !== sketch && this.#isFew(rest);
    });
  }

  #isFew(rest: Sketch): boolean {
    return isOfFew(this.#shape, rest, this.#minUnits);
  }
}

/** Whether a cell can be a part of another: no bucket has more rows. */
function isWithin(part: Sketch, whole: Sketch): boolean {
  for (let at = 0; at < part.length; at += BUCKET_WORDS) if ((part[at] ?? 0) > (whole[at] ?? 0)) return false;
  return true;
}

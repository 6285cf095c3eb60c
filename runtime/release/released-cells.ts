/**
 * Cells that were released, under whatever minimum: what one rule, version or agreement let out is compared with what
 * another one would let out.
 *
 * A minimum decides how many buckets a sketch has (sketch.ts), and only sketches with as many can be subtracted. So each cell
 * is kept in its own shape and, folded, in every smaller one that is in use and divides it; and a new cell is compared in
 * each of them. Of a pair with different shapes, differences are found that the smaller shape was made for: those of the
 * smaller minimum, which is what one of the two was released under.
 */
import { guardFor } from './differencing.ts';
import type { CellGuard, Closeness, Sketch } from './cell-guard.ts';
import type { History, LabelledSketch } from './judge-cells.ts';
import { folded, isLanes, type SketchShape, watchedUnits } from './sketch.ts';

export class ReleasedCells {
  /** By number of buckets, which are closed under greatest common divisors; then by label. */
  readonly #shapes = new Map<number, Map<string, CellGuard>>();

  /** The largest number of cells that any label holds. */
  get most(): number {
    const guards = [...this.#shapes.values()].flatMap((labels) => [...labels.values()]);
    return guards.reduce((most, { size }) => Math.max(most, size), 0);
  }

  /** A cell that is there already is not kept twice: it would be found twice, and tell nothing new. */
  add({ label, sketch }: LabelledSketch, shape: SketchShape): void {
    this.#use(shape.buckets);
    for (const [buckets, labels] of this.#shapes) {
      if (!reaches(sketch, shape.buckets, buckets)) continue;
      const own = folded(sketch, shape, { buckets });
      const guard = labels.get(label) ?? guardFor(own, 1, { buckets });
      labels.set(label, guard);
      if (guard.compare(own) !== 'same') guard.remember(own);
    }
  }

  /** What was released, as cells of a shape are compared with it. */
  seenBy(shape: SketchShape): History {
    this.#use(shape.buckets);
    const own = this.#shapes.get(shape.buckets) ?? new Map<string, CellGuard>();
    const smaller = [...this.#shapes].filter(([buckets]) => buckets < shape.buckets && shape.buckets % buckets === 0);
    if (smaller.every(([, labels]) => labels.size === 0)) return own;
    const labels = new Set([...own.keys(), ...smaller.flatMap(([, guards]) => [...guards.keys()])]);
    return new Map(
      [...labels].map((label): [string, CellGuard] => {
        const also = smaller.flatMap(([buckets, guards]) => {
          const guard = guards.get(label);
          return guard === undefined ? [] : [{ buckets, guard }];
        });
        return [label, new FoldingGuard(own.get(label), also, shape)];
      }),
    );
  }

  /** From now on cells are kept in this shape, too, and those that are there already. */
  #use(buckets: number): void {
    if (this.#shapes.has(buckets)) return;
    const known = [...this.#shapes.keys()];
    this.#shapes.set(buckets, new Map());
    for (const other of known) {
      const common = greatestCommonDivisor(buckets, other);
      if (common > 1) this.#use(common);
    }
    for (const other of known) {
      for (const [label, guard] of this.#shapes.get(other) ?? [])
        for (const sketch of guard.cells())
          if (reaches(sketch, other, buckets)) this.add({ label, sketch }, { buckets: other });
    }
  }
}

/** Whether cells of a shape are kept in another one. Sketches by lanes are the same in all. */
const reaches = (sketch: Sketch, from: number, to: number): boolean => isLanes(sketch) || from % to === 0;

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b));

/** Guards of several shapes as one: a cell is compared in its own shape, and folded in each of the smaller ones. */
class FoldingGuard implements CellGuard {
  readonly #own: CellGuard | undefined;
  readonly #smaller: readonly { readonly buckets: number; readonly guard: CellGuard }[];
  readonly #shape: SketchShape;

  constructor(
    own: CellGuard | undefined,
    smaller: readonly { readonly buckets: number; readonly guard: CellGuard }[],
    shape: SketchShape,
  ) {
    this.#own = own;
    this.#smaller = smaller;
    this.#shape = shape;
  }

  get size(): number {
    return this.#own?.size ?? 0;
  }

  compare(sketch: Sketch, minUnits = 1): Closeness {
    // Sketches by lanes stand in the own shape already.
    if (isLanes(sketch)) return this.#own?.compare(sketch, minUnits) ?? 'clear';
    const found = this.#smaller.map(({ buckets, guard }) =>
      guard.compare(folded(sketch, this.#shape, { buckets }), Math.min(minUnits, watchedUnits({ buckets }))),
    );
    found.push(this.#own?.compare(sketch, minUnits) ?? 'clear');
    return found.includes('tooClose') ? 'tooClose' : found.includes('same') ? 'same' : 'clear';
  }

  remember(): void {
    throw new Error('cells are added to all shapes at once');
  }

  cells(): Iterable<Sketch> {
    return this.#own?.cells() ?? [];
  }
}

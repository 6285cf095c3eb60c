/**
 * Which cells of an answer may not leave because they, or sums of them, differ from other cells by too few units.
 *
 * A consumer subtracts what it sees: one cell from another, and the visible groups of a grouping from a total. So each
 * cell is compared with the cells before it, and so is each *visible sum*: all groups, and all groups that share the values
 * of some of the keys (the margins). Sketches are linear, so a sum costs an addition and no look at rows.
 *
 * Where a cell is too close, it is withheld. Where a sum is, the smallest of its groups is withheld as well, which adds
 * that group's units to the difference (complementary suppression).
 *
 * INVARIANT: in what is left, no cell or sum differs from a remembered one by 1 to minUnits - 1 units, nor from sums and
 * differences of others of the same answer, as far as combined-cells.ts looks. Of earlier answers only pairs are compared.
 */
import { CombinedCells } from './combined-cells.ts';
import type { CellGuard, Closeness, Sketch } from './cell-guard.ts';
import { differenceOf, rowsIn, type SketchShape, sumOf } from './sketch.ts';

/** Cells of one column kind in one grouping: they rest on disjoint rows, unless it says so, and their sum is a cell too. */
export interface CellSeries {
  /** Cells are compared with cells of the same label only: the same kind of unit, counted in the same way. */
  readonly label: string;
  /** The groups share rows after all: each is compared with those before it. */
  readonly isOverlapping?: boolean;
  readonly groups: readonly SketchedGroup[];
}

export interface SketchedGroup {
  readonly id: number;
  /** Which value it has in each key, as a number; empty when it is no plain group (small groups merged into one). */
  readonly places: readonly number[];
  readonly sketch: Sketch;
}

export interface GuardTerms {
  readonly minUnits: number;
  readonly shape: SketchShape;
}

/** What was released before, by label; absent labels are empty. */
export type History = ReadonlyMap<string, CellGuard>;

export interface Judgement {
  /** Groups to withhold, block by block. A group goes as a whole: what is left of a row could add up to what is not. */
  readonly hidden: readonly ReadonlySet<number>[];
  /** What the answer adds to the history. */
  readonly shown: readonly LabelledSketch[];
}

export interface LabelledSketch {
  readonly label: string;
  readonly sketch: Sketch;
}

/** Whether nothing like a cell is known, or the very same, or one that is too close. */
type Look = (label: string, sketch: Sketch) => Closeness;

/** Groups of a block, over all its series, that are looked at beside each other; of more than these each is alone. */
const MAX_TOGETHER = 64;

/** With more keys than this only single keys and the grand total are summed over. */
const MAX_KEYS_FOR_MARGINS = 4;

/**
 * Judges the cells of one answer against each other and against several histories. `blocks`: the series of each
 * aggregation of the query. Series of one block do not meet each other here: its own rules have compared them.
 */
export function judgeCells(
  terms: GuardTerms,
  blocks: readonly (readonly CellSeries[])[],
  histories: readonly History[],
): Judgement {
  const inside = new Map<string, CombinedCells>();
  const hidden = new Map<number, ReadonlySet<number>>();
  const shown: LabelledSketch[] = [];
  const look: Look = (label, sketch) => {
    const own = inside.get(label)?.compare(sketch);
    const found = [own, ...histories.map((one) => one.get(label)?.compare(sketch, terms.minUnits))];
    return found.includes('tooClose') ? 'tooClose' : found.includes('same') ? 'same' : 'clear';
  };
  // Totals first: of a total and its parts it is the parts that can give way.
  const sizeOf = (block: readonly CellSeries[]): number => Math.max(0, ...block.map(({ groups }) => groups.length));
  const order = blocks.map((block, index) => ({ block, index })).toSorted((a, b) => sizeOf(a.block) - sizeOf(b.block));
  for (const { block, index } of order) {
    const { gone, fresh } = settleTogether(block, terms, { look, inside });
    hidden.set(index, gone);
    rememberIn(inside, fresh, terms);
    shown.push(...fresh.map(({ label, sketch }) => ({ label, sketch })));
  }
  return { hidden: blocks.map((_, index) => hidden.get(index) ?? new Set()), shown };
}

interface Fresh extends LabelledSketch {
  /** null: a sum of groups. */
  readonly id: number | null;
}

function rememberIn(
  inside: Map<string, CombinedCells>,
  cells: readonly LabelledSketch[],
  { minUnits, shape }: GuardTerms,
): void {
  for (const { label, sketch } of cells) {
    const known = inside.get(label) ?? new CombinedCells(minUnits, shape);
    inside.set(label, known);
    known.remember(sketch);
  }
}

/** Settles a block, and then its groups beside each other: some of them and a total before them may tell the rest of it. */
function settleTogether(
  block: readonly CellSeries[],
  terms: GuardTerms,
  { look, inside }: { readonly look: Look; readonly inside: ReadonlyMap<string, CombinedCells> },
): { readonly gone: ReadonlySet<number>; readonly fresh: readonly Fresh[] } {
  const beside = new Set<number>();
  const overlapping = new Set(block.flatMap(({ label, isOverlapping }) => (isOverlapping === true ? [label] : [])));
  for (;;) {
    const settled = settle(block, terms, look, beside);
    const cells = settled.fresh.filter(({ id }) => id !== null);
    // One cell alone was compared with all before it already.
    const isTold =
      cells.length > 1 && cells.length <= MAX_TOGETHER && [...inside.values()].some(({ isCrowded }) => !isCrowded);
    // Groups that share rows meet each other whatever stands before them.
    const together = isTold ? cells : cells.filter(({ label }) => overlapping.has(label));
    const close = together.length > 1 ? tooCloseOf(together, inside, terms) : [];
    if (close.length === 0) return settled;
    for (const id of close) beside.add(id);
  }
}

/** Groups, from the largest down, that cells before them and the larger ones left of their own block tell too much about. */
function tooCloseOf(
  cells: readonly Fresh[],
  inside: ReadonlyMap<string, CombinedCells>,
  terms: GuardTerms,
): readonly number[] {
  const beside = new Map([...inside].map(([label, known]) => [label, known.copy()]));
  const close = new Set<number>();
  const sorted = cells.toSorted((a, b) => rowsIn(b.sketch, terms.shape) - rowsIn(a.sketch, terms.shape));
  for (const cell of sorted) {
    if (cell.id === null || close.has(cell.id)) continue;
    if (beside.get(cell.label)?.compare(cell.sketch) === 'tooClose') close.add(cell.id);
    else rememberIn(beside, [cell], terms);
  }
  return [...close];
}

/** Hides every group that is too close, and the smallest group of every sum that is, until none is. `before`: gone already. */
function settle(
  block: readonly CellSeries[],
  terms: GuardTerms,
  look: Look,
  before: ReadonlySet<number>,
): { readonly gone: ReadonlySet<number>; readonly fresh: readonly Fresh[] } {
  const gone = new Set<number>(before);
  for (const { label, groups } of block)
    for (const { id, sketch } of groups) if (!gone.has(id) && look(label, sketch) === 'tooClose') gone.add(id);
  const tooClose: ReadonlySet<number> = new Set(gone);
  const margins = block.flatMap(({ label, groups }) => marginsOf(groups).map((margin) => ({ label, margin })));
  for (;;) {
    const count = gone.size;
    const sums = margins.flatMap(({ label, margin }) => {
      const sketch = settleSum(label, margin, { gone, tooClose, terms, look });
      return sketch === null ? [] : [{ label, id: null, sketch }];
    });
    if (gone.size > count) continue;
    const cells = block.flatMap(({ label, groups }) =>
      groups.filter(({ id }) => !gone.has(id)).map(({ id, sketch }) => ({ label, id, sketch })),
    );
    return { gone, fresh: [...cells, ...sums] };
  }
}

/** The sum of the groups that are left; null when fewer than two are, which then stand for themselves. */
function settleSum(
  label: string,
  margin: readonly SketchedGroup[],
  {
    gone,
    tooClose,
    terms,
    look,
  }: {
    readonly gone: Set<number>;
    readonly tooClose: ReadonlySet<number>;
    readonly terms: GuardTerms;
    readonly look: Look;
  },
): Sketch | null {
  const sorted = margin
    .map((group) => ({ ...group, rows: rowsIn(group.sketch, terms.shape) }))
    .toSorted((a, b) => a.rows - b.rows || a.id - b.id);
  // Where all of them together are known, one that is withheld for itself is the rest of the others: two have to be.
  const withheld = sorted.filter(({ id }) => gone.has(id));
  if (
    withheld.length === 1 &&
    withheld.every(({ id }) => tooClose.has(id)) &&
    look(label, sumOfAll(sorted)) !== 'clear'
  ) {
    const other = sorted.find(({ id }) => !gone.has(id));
    if (other !== undefined) gone.add(other.id);
  }
  const left = sorted.filter(({ id }) => !gone.has(id));
  if (left.length < 2) return null;
  let sum = sumOfAll(left);
  for (const group of left.slice(0, -1)) {
    if (look(label, sum) !== 'tooClose') return sum;
    gone.add(group.id);
    sum = differenceOf(sum, group.sketch);
  }
  return null;
}

function sumOfAll(groups: readonly SketchedGroup[]): Sketch {
  const [first, ...others] = groups;
  if (first === undefined) throw new RangeError('a sum of nothing');
  return others.reduce((total, { sketch }) => sumOf(total, sketch), first.sketch);
}

/** Groups whose sum is visible: all, all but the merged one, and those that agree in some of the keys. */
function marginsOf(groups: readonly SketchedGroup[]): readonly (readonly SketchedGroup[])[] {
  const plain = groups.filter(({ places }) => places.length > 0);
  const keys = plain[0]?.places.length ?? 0;
  const all = (1 << Math.min(keys, 30)) - 1;
  const masks = Array.from({ length: keys <= MAX_KEYS_FOR_MARGINS ? Math.max(0, all - 1) : 0 }, (_, i) => i + 1);
  const singles = keys > MAX_KEYS_FOR_MARGINS ? Array.from({ length: keys }, (_, i) => 1 << i) : [];
  const within = [...masks, ...singles].flatMap((mask) => {
    const found = new Map<string, SketchedGroup[]>();
    for (const group of plain) {
      const key = group.places.filter((_, i) => (mask & (1 << i)) !== 0).join(' ');
      const same = found.get(key);
      if (same === undefined) found.set(key, [group]);
      else same.push(group);
    }
    return [...found.values()];
  });
  const grand = plain.length === groups.length ? [groups] : [groups, plain];
  return [...grand, ...within].filter((margin) => margin.length > 1);
}

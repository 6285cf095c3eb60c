import { javascriptLimits } from '../limits.ts';

/** A declared output: each row's value is clamped to `range`, then rounded to a multiple of `step` (default: chosen here). */
export interface OutputSpec {
  readonly name: string;
  readonly range: readonly [number, number];
  readonly step?: number | undefined;
}

/**
 * What trusted code does with the rows' values.
 * - `sum`, `mean`, `variance` of every output; `covariance` of every pair of outputs;
 * - `histogram`: rows per bin, `edges` per output in the order of the outputs;
 * - `gradient`: outputs are the target and then the features; the summed gradient of the loss at `weights` (bias first),
 *   each row's gradient clipped to the length `clip`;
 * - `clusterSums`: per nearest centre, the sum of each output and the number of rows (one step of k-means).
 */
export type Reducer =
  | { readonly kind: 'sum' }
  | { readonly kind: 'mean' }
  | { readonly kind: 'variance' }
  | { readonly kind: 'covariance' }
  | { readonly kind: 'histogram'; readonly edges: readonly (readonly number[])[] }
  | {
      readonly kind: 'gradient';
      readonly model: 'linear' | 'logistic';
      readonly weights: readonly number[];
      readonly clip: number;
    }
  | { readonly kind: 'clusterSums'; readonly centres: readonly (readonly number[])[] };

/** One integer that the kernel sums per group: `value = integer · step`, and one row adds at most `largest` in size. */
export interface Cell {
  readonly name: string;
  readonly step: number;
  readonly largest: number;
}

/** An output on its integer grid: `q = round((clamp(v) − origin) / step)`, between `low` and `high`. */
export interface Grid {
  readonly lo: number;
  readonly hi: number;
  readonly origin: number;
  readonly step: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Cells that get the same noise. Cells of very different size (a sum, a count) are different queries, each with a share of
 * the budget: else the noise of the largest would drown the smallest.
 */
export interface CellQuery {
  readonly cells: readonly number[];
  /** largest Σ|q| that one row can add over these cells */
  readonly l1: bigint;
  /** largest Σq² that one row can add over these cells */
  readonly l2Squared: bigint;
}

export interface ReducerPlan {
  readonly grids: readonly Grid[];
  readonly cells: readonly Cell[];
  /** every cell is in exactly one query */
  readonly queries: readonly CellQuery[];
  /** largest Σ|q| that one row can add over the cells of its group */
  readonly rowL1: bigint;
  /** largest Σq² that one row can add */
  readonly rowL2Squared: bigint;
}

/**
 * How far the integer cells of all groups can move when one privacy unit with all its rows joins or leaves.
 *
 * Argument. The row function is a function of one row only (closed language: no state, no loop, no failure), so a unit
 * adds or takes away exactly the contributions of its own rows. The kernel counts rows per unit and takes at most R of
 * them; which ones depends on that unit's rows alone. A row adds to one group an integer vector w with Σ|w| ≤ rowL1 and
 * Σw² ≤ rowL2Squared: clamping happens before rounding, and rounding maps [lo, hi] into [low, high]. A row without a value
 * or of an undeclared group adds 0. By the triangle inequality R rows move all cells together by at most R·rowL1 in the
 * L1 norm and R·sqrt(rowL2Squared) in the L2 norm, whichever groups they fall into. All of it is integer arithmetic
 * below 2^53 per batch, summed exactly across batches, so the real and the ideal result are the same number.
 */
export interface Sensitivity {
  readonly neighbours: 'addOrRemoveOneUnit';
  readonly perCell: readonly bigint[];
  /** of all cells together */
  readonly l1: bigint;
  readonly l2Squared: bigint;
  /** of the cells that share a noise, over all groups */
  readonly queries: readonly CellQuery[];
}

/** Returns the sensitivity of a plan when each unit contributes at most `rowsPerUnit` rows. */
export function sensitivityOf(plan: ReducerPlan, rowsPerUnit: number): Sensitivity {
  const rows = BigInt(rowsPerUnit);
  return {
    neighbours: 'addOrRemoveOneUnit',
    perCell: plan.cells.map((cell) => rows * BigInt(cell.largest)),
    l1: rows * plan.rowL1,
    l2Squared: rows * rows * plan.rowL2Squared,
    queries: plan.queries.map(({ cells, l1, l2Squared }) => ({
      cells,
      l1: rows * l1,
      l2Squared: rows * rows * l2Squared,
    })),
  };
}

/** Plans grid and cells of a reducer, or says what is wrong with its declaration. */
export function planReducer(
  outputs: readonly OutputSpec[],
  reducer: Reducer,
):
  | { readonly kind: 'ok'; readonly plan: ReducerPlan }
  | { readonly kind: 'refused'; readonly reasons: readonly string[] } {
  const reasons = [...outputs.flatMap(complaintsAboutOutput), ...complaintsAboutReducer(outputs, reducer)];
  if (reasons.length > 0) return { kind: 'refused', reasons };
  const plan = planOf(outputs, reducer);
  for (const [index, grid] of plan.grids.entries()) {
    const levels = isSquared(reducer) ? 2 ** 16 : javascriptLimits.gridLevels;
    if (Math.max(Math.abs(grid.low), Math.abs(grid.high)) > levels) {
      reasons.push(
        `output \`${outputs[index]?.name}\`: step ${grid.step} is too fine for the range; use at least ${(grid.step * Math.max(Math.abs(grid.low), Math.abs(grid.high))) / levels}`,
      );
    }
  }
  if (plan.cells.length > javascriptLimits.cells)
    reasons.push(`${plan.cells.length} cells, limit is ${javascriptLimits.cells}`);
  return reasons.length > 0 ? { kind: 'refused', reasons } : { kind: 'ok', plan };
}

/** Products of two grid values must stay as small as one: squared reducers use a grid of 2^16 levels. */
function isSquared(reducer: Reducer): boolean {
  return reducer.kind === 'variance' || reducer.kind === 'covariance';
}

/** Says what is wrong with the declared range and step of an output. */
export function complaintsAboutOutput(output: OutputSpec): string[] {
  const [lo, hi] = output.range;
  const isRange = Number.isFinite(lo) && Number.isFinite(hi) && lo < hi;
  if (!isRange) return [`output \`${output.name}\`: the range [${lo}, ${hi}] is not low < high`];
  if (Math.max(Math.abs(lo), Math.abs(hi)) > javascriptLimits.bound) {
    return [`output \`${output.name}\`: bounds reach at most ${javascriptLimits.bound}`];
  }
  const { step } = output;
  if (step !== undefined && !(Number.isFinite(step) && step > 0 && step <= hi - lo)) {
    return [`output \`${output.name}\`: the step ${step} is not between 0 and the width of the range`];
  }
  return [];
}

function complaintsAboutReducer(outputs: readonly OutputSpec[], reducer: Reducer): string[] {
  const isFine = (value: number): boolean => Number.isFinite(value) && Math.abs(value) <= javascriptLimits.bound;
  switch (reducer.kind) {
    case 'sum':
    case 'mean':
    case 'variance':
    case 'covariance':
      return [];
    case 'histogram': {
      if (reducer.edges.length !== outputs.length) return ['a histogram needs edges for every output'];
      const isRising = reducer.edges.every(
        (edges) =>
          edges.length >= 2 &&
          edges.length <= javascriptLimits.bins + 1 &&
          edges.every((edge, i) => isFine(edge) && (i === 0 || edge > (edges[i - 1] ?? edge))),
      );
      return isRising ? [] : [`histogram edges must rise and make 1 to ${javascriptLimits.bins} bins`];
    }
    case 'gradient': {
      if (outputs.length < 2) return ['a gradient needs the target and at least one feature as outputs'];
      if (reducer.weights.length !== outputs.length)
        return [`a gradient needs ${outputs.length} weights: bias, then one per feature`];
      if (!reducer.weights.every(isFine)) return ['weights must be finite'];
      return Number.isFinite(reducer.clip) && reducer.clip > 0 && reducer.clip <= javascriptLimits.bound
        ? []
        : ['`clip` must be above 0'];
    }
    case 'clusterSums': {
      if (reducer.centres.length === 0 || reducer.centres.length > javascriptLimits.bins)
        return ['at least one centre is needed'];
      const isShaped = reducer.centres.every((centre) => centre.length === outputs.length && centre.every(isFine));
      return isShaped ? [] : [`every centre needs ${outputs.length} finite numbers`];
    }
  }
}

function planOf(outputs: readonly OutputSpec[], reducer: Reducer): ReducerPlan {
  switch (reducer.kind) {
    case 'sum': {
      const grids = outputs.map((output) => gridOf(output, 0, 20));
      const cells = outputs.map((output, i) => cellOf(`sum(${output.name})`, grids[i], 1));
      return joint(grids, cells);
    }
    case 'mean': {
      const grids = outputs.map((output) => gridOf(output, middleOf(output), 20));
      return joint(grids, [...outputs.map((output, i) => cellOf(`sum(${output.name})`, grids[i], 1)), countCell]);
    }
    case 'variance': {
      const grids = outputs.map((output) => gridOf(output, middleOf(output), 15));
      const sums = outputs.map((output, i) => cellOf(`sum(${output.name})`, grids[i], 1));
      const squares = outputs.map((output, i) => cellOf(`sum(${output.name}²)`, grids[i], 2));
      return joint(grids, [...sums, ...squares, countCell]);
    }
    case 'covariance': {
      const grids = outputs.map((output) => gridOf(output, middleOf(output), 15));
      const sums = outputs.map((output, i) => cellOf(`sum(${output.name})`, grids[i], 1));
      const products = pairsOf(outputs.length).map(([i, j]): Cell => {
        const [one, other] = [sums[i], sums[j]];
        if (one === undefined || other === undefined) throw new RangeError('no such output');
        const name = `sum(${outputs[i]?.name}·${outputs[j]?.name})`;
        return { name, step: one.step * other.step, largest: one.largest * other.largest };
      });
      return joint(grids, [...sums, ...products, countCell]);
    }
    case 'histogram': {
      const grids = outputs.map((output) => gridOf(output, 0, 20));
      const cells = reducer.edges.flatMap((edges, i) =>
        edges
          .slice(1)
          .map((edge, bin): Cell => ({ name: `${outputs[i]?.name} in [${edges[bin]}, ${edge})`, step: 1, largest: 1 })),
      );
      // One row falls into at most one bin per output.
      const queries = reducer.edges.map((edges, i): CellQuery => {
        const first = reducer.edges.slice(0, i).reduce((sum, before) => sum + before.length - 1, 0);
        return { cells: edges.slice(1).map((_, bin) => first + bin), l1: 1n, l2Squared: 1n };
      });
      return { grids, cells, queries, rowL1: BigInt(outputs.length), rowL2Squared: BigInt(outputs.length) };
    }
    case 'gradient': {
      const grids = outputs.map((output) => gridOf(output, 0, 20));
      const step = defaultStep(reducer.clip, 20);
      // The clipped gradient has length ≤ clip·(1 + 2^-44) in doubles, and truncation only shortens it.
      const largest = Math.ceil(reducer.clip / step) + 1;
      const cells = outputs.map((output, i): Cell => ({
        name: `gradient(${i === 0 ? 'bias' : output.name})`,
        step,
        largest,
      }));
      const length = BigInt(largest);
      const root = BigInt(Math.ceil(Math.sqrt(cells.length)));
      const gradient = { cells: cells.map((_, i) => i), l1: length * root, l2Squared: length * length };
      return {
        grids,
        cells: [...cells, countCell],
        queries: [gradient, { cells: [cells.length], l1: 1n, l2Squared: 1n }],
        rowL1: length * root + 1n,
        rowL2Squared: length * length + 1n,
      };
    }
    case 'clusterSums': {
      const grids = outputs.map((output) => gridOf(output, middleOf(output), 20));
      const one = [...outputs.map((output, i) => cellOf(`sum(${output.name})`, grids[i], 1)), countCell];
      const cells = reducer.centres.flatMap((_, c) =>
        one.map((cell): Cell => ({ ...cell, name: `cluster ${c}: ${cell.name}` })),
      );
      // A row falls into one cluster: the same cell of all clusters moves by one row's worth.
      const queries = one.map(({ largest }, i): CellQuery => {
        const size = BigInt(largest);
        return { cells: reducer.centres.map((_, c) => c * one.length + i), l1: size, l2Squared: size * size };
      });
      return { ...joint(grids, one), cells, queries };
    }
  }
}

export const countCell: Cell = { name: 'count', step: 1, largest: 1 };

/** A row may add to every cell at once. */
function joint(grids: readonly Grid[], cells: readonly Cell[]): ReducerPlan {
  let rowL1 = 0n;
  let rowL2Squared = 0n;
  for (const cell of cells) {
    rowL1 += BigInt(cell.largest);
    rowL2Squared += BigInt(cell.largest) ** 2n;
  }
  const queries = cells.map(({ largest }, i): CellQuery => ({
    cells: [i],
    l1: BigInt(largest),
    l2Squared: BigInt(largest) ** 2n,
  }));
  return { grids, cells, queries, rowL1, rowL2Squared };
}

function cellOf(name: string, grid: Grid | undefined, power: 1 | 2): Cell {
  if (grid === undefined) throw new RangeError('no such output');
  const largest = Math.max(Math.abs(grid.low), Math.abs(grid.high));
  return { name, step: grid.step ** power, largest: largest ** power };
}

/** Returns the integer grid of an output: its own step, or one that gives about 2^bits steps on the longer side of `origin`. */
export function gridOf(output: OutputSpec, origin: number, bits: number): Grid {
  const [lo, hi] = output.range;
  const step = output.step ?? defaultStep(Math.max(hi - origin, origin - lo), bits);
  return { lo, hi, origin, step, low: Math.round((lo - origin) / step), high: Math.round((hi - origin) / step) };
}

/** A power of two, so that a multiple of it is exact: the largest value has between 2^(bits−1) and 2^bits steps. */
function defaultStep(largest: number, bits: number): number {
  return 2 ** (Math.ceil(Math.log2(largest)) - bits);
}

function middleOf(output: OutputSpec): number {
  return output.range[0] / 2 + output.range[1] / 2;
}

/** Pairs (i, j) with i ≤ j in the order of the covariance cells. */
export function pairsOf(count: number): readonly (readonly [number, number])[] {
  return Array.from({ length: count }, (_, i) => i).flatMap((i) =>
    Array.from({ length: count - i }, (_, d) => [i, i + d] as const),
  );
}

import { wireKind } from '../../columns.ts';
import { Elementary } from './elementary.ts';
import { Graph, GraphTooLarge } from './graph.ts';
import type { NodeId } from './graph.ts';
import type { LoadKind } from './instructions.ts';
import { NotVectorised, lowerProgram } from './lower.ts';
import { encodeModule } from './module.ts';
import type { GroupTerms, KernelTerms } from '../kernel.ts';
import type { RowProgram } from '../program.ts';
import { pairsOf } from '../reducer.ts';
import type { Grid, Reducer, ReducerPlan } from '../reducer.ts';

/** Cells of a module: each adds two rows in every turn of the loop, whatever group they are of. */
const MAX_CELLS = 64;

/**
 * Compiles a checked row function with its reducer to WebAssembly, two rows at a time; its cells are those of the printed kernel,
 * bit for bit. Returns undefined for whatever only that kernel can do: some functions of `Math`, rows that must be
 * counted by unit, more than a few cells.
 */
export function vectorKernel(program: RowProgram, terms: KernelTerms): Uint8Array | undefined {
  const { columns, plan, reducer, groupBy, units } = terms;
  const groups = groupBy === undefined ? 1 : groupBy.keys.length;
  if (units !== undefined || groups * plan.cells.length > MAX_CELLS) return undefined;
  const graph = new Graph();
  try {
    const outputs = lowerProgram(graph, program, { ...terms, outputs: plan.grids.length });
    const added = new Reduction(graph).cells(reducer, plan, outputs);
    const masks = groupBy === undefined ? [graph.live()] : groupMasks(graph, groupBy, columns);
    const cells = masks.flatMap((mask) => added.map((each) => graph.make('and', [mask, each])));
    return encodeModule(graph, { cells, columns: columns.map((column) => ({ as: loadOf[wireKind(column)] })) });
  } catch (error) {
    if (error instanceof NotVectorised || error instanceof GraphTooLarge) return undefined;
    throw error;
  }
}

const loadOf: Readonly<Record<ReturnType<typeof wireKind>, LoadKind>> = {
  float64: 'float64',
  int32: 'int32',
  dictionary: 'int32',
  boolean: 'int8',
};

/** The rows of each group. A key that is declared twice has its rows in the last place, as a table of keys has. */
function groupMasks(graph: Graph, groupBy: GroupTerms, columns: KernelTerms['columns']): readonly NodeId[] {
  const index = columns.findIndex((column) => column.name === groupBy.column);
  const column = columns[index];
  if (column === undefined) throw new RangeError(`group column ${JSON.stringify(groupBy.column)} is not declared`);
  const as = loadOf[wireKind(column)];
  const stored = graph.load(index, as);
  return groupBy.keys.map((key, group) => {
    if (key === undefined || groupBy.keys.lastIndexOf(key) !== group) return graph.zero;
    return graph.make('and', [graph.live(), hasKey(graph, as, stored, key)]);
  });
}

function hasKey(graph: Graph, as: LoadKind, stored: NodeId, key: number): NodeId {
  switch (as) {
    case 'float64':
      return graph.make('equal', [stored, graph.number(key)]);
    case 'int32': {
      // A key that is no such integer is in no row.
      if (key !== Math.trunc(key) || Math.abs(key) > 2 ** 31) return graph.zero;
      return graph.make('equal', [graph.make('fromInt32', [stored]), graph.number(key)]);
    }
    case 'int8': {
      const wide = ['widen8', 'widen16', 'widen32'] as const;
      const value = wide.reduce((each, operation) => graph.make(operation, [each]), stored);
      return graph.make('int64Equal', [value, graph.bits(BigInt(key))]);
    }
  }
}

/** What a row adds to each cell of its group, 0 where it adds nothing: the reducers of the printed kernel. */
class Reduction {
  readonly #graph: Graph;
  readonly #elementary: Elementary;

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#elementary = new Elementary(graph);
  }

  cells(reducer: Reducer, plan: ReducerPlan, outputs: readonly NodeId[]): readonly NodeId[] {
    const graph = this.#graph;
    const isNumber = outputs.map((y) => graph.make('equal', [y, y]));
    const all = isNumber.reduce((one, other) => graph.make('and', [one, other]), graph.ones);
    const of = (mask: NodeId, value: NodeId): NodeId => graph.make('and', [mask, value]);
    const quantised = (): readonly NodeId[] =>
      plan.grids.map((grid, k) => this.#onGrid(grid, outputs[k] ?? graph.zero));
    const product = (one: NodeId | undefined, other: NodeId | undefined): NodeId =>
      graph.make('multiply', [one ?? graph.zero, other ?? graph.zero]);
    const count = of(all, graph.one);
    switch (reducer.kind) {
      case 'sum':
        return quantised().map((q, k) => of(isNumber[k] ?? graph.zero, q));
      case 'mean':
        return [...quantised().map((q) => of(all, q)), count];
      case 'variance': {
        const values = quantised();
        return [...values.map((q) => of(all, q)), ...values.map((q) => of(all, product(q, q))), count];
      }
      case 'covariance': {
        const values = quantised();
        const products = pairsOf(values.length).map(([i, j]) => of(all, product(values[i], values[j])));
        return [...values.map((q) => of(all, q)), ...products, count];
      }
      case 'histogram':
        return reducer.edges.flatMap((edges, k) => this.#bins(edges, outputs[k] ?? graph.zero));
      case 'gradient':
        return [...this.#gradient(reducer, plan, outputs).map((each) => of(all, each)), count];
      case 'clusterSums':
        return this.#nearest(reducer.centres, plan, outputs).flatMap((mask) => [
          ...quantised().map((q) => of(all, of(mask, q))),
          of(count, mask),
        ]);
    }
  }

  #clamped({ lo, hi }: Grid, value: NodeId): NodeId {
    const graph = this.#graph;
    return graph.make('lesser', [graph.make('larger', [value, graph.number(lo)]), graph.number(hi)]);
  }

  #onGrid(grid: Grid, value: NodeId): NodeId {
    const graph = this.#graph;
    const { origin, step } = grid;
    const clamped = this.#clamped(grid, value);
    const moved = origin === 0 ? clamped : graph.make('subtract', [clamped, graph.number(origin)]);
    const isPower = Number.isInteger(Math.log2(step));
    const scaled = isPower
      ? graph.make('multiply', [moved, graph.number(1 / step)])
      : graph.make('divide', [moved, graph.number(step)]);
    return this.#elementary.round(scaled);
  }

  /** The last bin holds its upper edge. */
  #bins(edges: readonly number[], value: NodeId): readonly NodeId[] {
    const graph = this.#graph;
    const reached = edges.map((edge) => graph.make('atLeast', [value, graph.number(edge)]));
    const isInside = graph.make('atMost', [value, graph.number(edges.at(-1) ?? 0)]);
    return edges.slice(1).map((_, bin) => {
      const from = graph.make('and', [isInside, reached[bin] ?? graph.zero]);
      const isLast = bin === edges.length - 2;
      return graph.make('and', [
        graph.one,
        isLast ? from : graph.make('andNot', [from, reached[bin + 1] ?? graph.zero]),
      ]);
    });
  }

  #gradient(
    { model, weights, clip }: Extract<Reducer, { kind: 'gradient' }>,
    plan: ReducerPlan,
    outputs: readonly NodeId[],
  ): readonly NodeId[] {
    const graph = this.#graph;
    const first = plan.cells[0];
    if (first === undefined) throw new RangeError('a gradient has no cells');
    const [target = graph.zero, ...features] = plan.grids.map((grid, k) =>
      this.#clamped(grid, outputs[k] ?? graph.zero),
    );
    const [bias = 0, ...slopes] = weights;
    const score = slopes.reduce(
      (sum, weight, k) =>
        graph.make('add', [sum, graph.make('multiply', [graph.number(weight), features[k] ?? graph.zero])]),
      graph.number(bias),
    );
    const predicted =
      model === 'logistic'
        ? graph.make('divide', [
            graph.one,
            graph.make('add', [graph.one, this.#elementary.exp(graph.make('negate', [score]))]),
          ])
        : score;
    const residual = graph.make('subtract', [predicted, target]);
    const x = [residual, ...features.map((feature) => graph.make('multiply', [residual, feature]))];
    const squares = x.reduce((sum, each) => graph.make('add', [sum, graph.make('multiply', [each, each])]), graph.zero);
    const length = graph.make('sqrt', [squares]);
    const bound = graph.number(clip);
    const isLong = graph.make('greater', [length, bound]);
    const shorter = graph.select(isLong, graph.make('divide', [bound, length]), graph.one);
    return x.map((each) => {
      const scaled = graph.make('multiply', [graph.make('multiply', [each, shorter]), graph.number(1 / first.step)]);
      const whole = graph.make('trunc', [scaled]);
      const isSmall = graph.make('atMost', [graph.make('abs', [whole]), graph.number(first.largest)]);
      return graph.make('and', [isSmall, whole]);
    });
  }

  /** The rows that are nearest to each centre; of two that are equally near, the first. */
  #nearest(centres: readonly (readonly number[])[], plan: ReducerPlan, outputs: readonly NodeId[]): readonly NodeId[] {
    const graph = this.#graph;
    const y = plan.grids.map((grid, k) => this.#clamped(grid, outputs[k] ?? graph.zero));
    let best = graph.number(Infinity);
    let masks: NodeId[] = centres.map((_, c) => (c === 0 ? graph.ones : graph.zero));
    centres.forEach((centre, c) => {
      const terms = centre.map((value, k) => {
        const apart = graph.make('subtract', [y[k] ?? graph.zero, graph.number(value)]);
        return graph.make('multiply', [apart, apart]);
      });
      const distance = terms.reduce((sum, term) => graph.make('add', [sum, term]));
      const isNearer = graph.make('less', [distance, best]);
      best = graph.select(isNearer, distance, best);
      masks = masks.map((mask, other) =>
        other === c ? graph.make('or', [mask, isNearer]) : graph.make('andNot', [mask, isNearer]),
      );
    });
    return masks;
  }
}

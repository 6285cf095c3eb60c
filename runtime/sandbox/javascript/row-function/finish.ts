import { pairsOf } from './reducer.ts';
import type { Grid, OutputSpec, Reducer, ReducerPlan } from './reducer.ts';

export interface NamedValue {
  readonly name: string;
  readonly value: number;
}

/**
 * Turns the (noisy) integer cells of one group into the statistics that the consumer asked for, clamped to where they can
 * lie. Post-processing: it reads nothing but the cells, so it costs no budget. Counts below 1 are taken as 1.
 */
export function finishReducer(
  outputs: readonly OutputSpec[],
  reducer: Reducer,
  plan: ReducerPlan,
  cells: readonly bigint[],
): { readonly values: readonly NamedValue[] } {
  if (cells.length !== plan.cells.length)
    throw new RangeError(`${cells.length} cells, planned are ${plan.cells.length}`);
  const at = (i: number): number => Number(cells[i] ?? 0n) * (plan.cells[i]?.step ?? 1);
  const nameOf = (i: number): string => outputs[i]?.name ?? '';
  const k = outputs.length;
  switch (reducer.kind) {
    case 'sum':
      return { values: outputs.map((output, i) => ({ name: `sum(${output.name})`, value: at(i) })) };
    case 'histogram':
      return { values: plan.cells.map((cell, i) => ({ name: cell.name, value: at(i) })) };
    case 'mean': {
      const count = Math.max(1, at(k));
      const values = plan.grids.map((grid, i) => ({ name: `mean(${nameOf(i)})`, value: meanOf(grid, at(i), count) }));
      return { values: [...values, { name: 'count', value: at(k) }] };
    }
    case 'variance': {
      const count = Math.max(1, at(2 * k));
      const values = plan.grids.flatMap((grid, i) => {
        const centred = at(i) / count;
        const most = ((grid.hi - grid.lo) / 2) ** 2;
        return [
          { name: `mean(${nameOf(i)})`, value: meanOf(grid, at(i), count) },
          { name: `variance(${nameOf(i)})`, value: Math.min(most, Math.max(0, at(k + i) / count - centred * centred)) },
        ];
      });
      return { values: [...values, { name: 'count', value: at(2 * k) }] };
    }
    case 'covariance': {
      const pairs = pairsOf(k);
      const count = Math.max(1, at(k + pairs.length));
      const means = plan.grids.map((grid, i) => ({ name: `mean(${nameOf(i)})`, value: meanOf(grid, at(i), count) }));
      const products = pairs.map(([i, j], p) => {
        const value = at(k + p) / count - (at(i) / count) * (at(j) / count);
        return { name: `covariance(${nameOf(i)}, ${nameOf(j)})`, value: i === j ? Math.max(0, value) : value };
      });
      return { values: [...means, ...products, { name: 'count', value: at(k + pairs.length) }] };
    }
    case 'gradient': {
      const count = Math.max(1, at(k));
      const values = outputs.map((output, i) => ({
        name: `gradient(${i === 0 ? 'bias' : output.name})`,
        value: at(i) / count,
      }));
      return { values: [...values, { name: 'count', value: at(k) }] };
    }
    case 'clusterSums':
      return {
        values: reducer.centres.flatMap((_, c) => {
          const first = c * (k + 1);
          const count = Math.max(1, at(first + k));
          const coordinates = plan.grids.map((grid, i) => ({
            name: `cluster ${c}: mean(${nameOf(i)})`,
            value: meanOf(grid, at(first + i), count),
          }));
          return [...coordinates, { name: `cluster ${c}: count`, value: at(first + k) }];
        }),
      };
  }
}

function meanOf(grid: Grid, sum: number, count: number): number {
  return Math.min(grid.hi, Math.max(grid.lo, grid.origin + sum / count));
}

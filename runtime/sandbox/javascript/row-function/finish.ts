import { atLeastOne, difference, product, quotient, square } from '../../../release/mechanisms/interval.ts';
import type { Interval } from '../../../release/mechanisms/interval.ts';
import { pairsOf } from './reducer.ts';
import type { Grid, OutputSpec, Reducer, ReducerPlan } from './reducer.ts';

/** A statistic and the interval that holds it when every cell is within its half-width of the exact one. */
export interface NamedValue {
  readonly name: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** A number and where the exact one lies. */
interface Known extends Interval {
  readonly value: number;
}

/**
 * Turns the (noisy) integer cells of one group into the statistics that the consumer asked for, clamped to where they can
 * lie. Post-processing: it reads nothing but the cells and the noise's half-widths (in cell units, default 0), so it costs no
 * budget. Counts below 1 are taken as 1. Rounding to the grid is not in the interval: at most half a step per row.
 */
export function finishReducer(
  outputs: readonly OutputSpec[],
  reducer: Reducer,
  plan: ReducerPlan,
  cells: readonly bigint[],
  halfWidths: readonly number[] = [],
): { readonly values: readonly NamedValue[] } {
  if (cells.length !== plan.cells.length)
    throw new RangeError(`${cells.length} cells, planned are ${plan.cells.length}`);
  const known = (i: number): Known => {
    const step = plan.cells[i]?.step ?? 1;
    const value = Number(cells[i] ?? 0n);
    const width = halfWidths[i] ?? 0;
    return { value: value * step, low: (value - width) * step, high: (value + width) * step };
  };
  const nameOf = (i: number): string => outputs[i]?.name ?? '';
  const k = outputs.length;
  const mean = (grid: Grid, name: string, sum: number, count: number): NamedValue => ({
    name,
    ...clamped(shifted(ratio(known(sum), known(count)), grid.origin), grid.lo, grid.hi),
  });
  const count = (i: number, name = 'count'): NamedValue => ({ name, ...known(i) });
  switch (reducer.kind) {
    case 'sum':
      return { values: outputs.map((output, i) => ({ name: `sum(${output.name})`, ...known(i) })) };
    case 'histogram':
      return { values: plan.cells.map((cell, i) => ({ name: cell.name, ...known(i) })) };
    case 'mean':
      return { values: [...plan.grids.map((grid, i) => mean(grid, `mean(${nameOf(i)})`, i, k)), count(k)] };
    case 'variance': {
      const values = plan.grids.flatMap((grid, i) => {
        const centred = ratio(known(i), known(2 * k));
        const squares = ratio(known(k + i), known(2 * k));
        const variance = { value: squares.value - centred.value ** 2, ...difference(squares, square(centred)) };
        return [
          mean(grid, `mean(${nameOf(i)})`, i, 2 * k),
          { name: `variance(${nameOf(i)})`, ...clamped(variance, 0, ((grid.hi - grid.lo) / 2) ** 2) },
        ];
      });
      return { values: [...values, count(2 * k)] };
    }
    case 'covariance': {
      const pairs = pairsOf(k);
      const n = k + pairs.length;
      const means = plan.grids.map((grid, i) => mean(grid, `mean(${nameOf(i)})`, i, n));
      const products = pairs.map(([i, j], p): NamedValue => {
        const [one, other, both] = [
          ratio(known(i), known(n)),
          ratio(known(j), known(n)),
          ratio(known(k + p), known(n)),
        ];
        const value = {
          value: both.value - one.value * other.value,
          ...difference(both, i === j ? square(one) : product(one, other)),
        };
        return { name: `covariance(${nameOf(i)}, ${nameOf(j)})`, ...clamped(value, i === j ? 0 : -Infinity, Infinity) };
      });
      return { values: [...means, ...products, count(n)] };
    }
    case 'gradient': {
      const values = outputs.map((output, i) => ({
        name: `gradient(${i === 0 ? 'bias' : output.name})`,
        ...ratio(known(i), known(k)),
      }));
      return { values: [...values, count(k)] };
    }
    case 'clusterSums':
      return {
        values: reducer.centres.flatMap((_, c) => {
          const first = c * (k + 1);
          const means = plan.grids.map((grid, i) =>
            mean(grid, `cluster ${c}: mean(${nameOf(i)})`, first + i, first + k),
          );
          return [...means, count(first + k, `cluster ${c}: count`)];
        }),
      };
  }
}

function ratio(a: Known, b: Known): Known {
  return { value: a.value / Math.max(1, b.value), ...quotient(a, atLeastOne(b)) };
}

function shifted({ value, low, high }: Known, by: number): Known {
  return { value: value + by, low: low + by, high: high + by };
}

function clamped({ value, low, high }: Known, least: number, most: number): Known {
  const into = (each: number): number => Math.min(most, Math.max(least, each));
  return { value: into(value), low: into(low), high: into(high) };
}

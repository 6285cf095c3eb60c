import type { ExactColumn } from '../../release/mechanisms/mechanism.ts';
import type { RowValue } from './measures.ts';

/** How the exact part of a differentially private question is computed; every value is a whole number, NULL never. */
export function printExact(column: ExactColumn, unitHash: string, of: (measure: string) => RowValue): string {
  const fixed = (name: string): string => of(name).fixed ?? fail();
  // Squares of narrow measures fit 64 bits and are much cheaper there.
  const product = (x: string, y: string): string =>
    of(x).isWide || of(y).isWide
      ? `(CAST(${fixed(x)} AS HUGEINT) * CAST(${fixed(y)} AS HUGEINT))`
      : `(${fixed(x)} * ${fixed(y)})`;
  const both = (x: string, y: string): string => `FILTER (WHERE ${fixed(x)} IS NOT NULL AND ${fixed(y)} IS NOT NULL)`;
  switch (column.kind) {
    case 'rows':
      return 'count(*)';
    case 'present':
      return `count(${of(column.measure).value})`;
    case 'sum':
      return `coalesce(sum(${fixed(column.measure)}), 0)`;
    case 'squares':
      return `coalesce(sum(${product(column.measure, column.measure)}), 0)`;
    case 'pairs':
      return `count(*) ${both(column.x, column.y)}`;
    case 'pairSumX':
      return `coalesce(sum(${fixed(column.x)}) ${both(column.x, column.y)}, 0)`;
    case 'pairSumY':
      return `coalesce(sum(${fixed(column.y)}) ${both(column.x, column.y)}, 0)`;
    case 'pairSquaresX':
      return `coalesce(sum(${product(column.x, column.x)}) ${both(column.x, column.y)}, 0)`;
    case 'pairSquaresY':
      return `coalesce(sum(${product(column.y, column.y)}) ${both(column.x, column.y)}, 0)`;
    case 'pairProducts':
      return `coalesce(sum(${product(column.x, column.y)}) ${both(column.x, column.y)}, 0)`;
    case 'distinctUnits':
      return `count(DISTINCT ${unitHash})`;
    case 'distinctValues':
      return `count(DISTINCT ${of(column.column).value})`;
    case 'bin': {
      // Bins are told by the clipped column itself, which is what the declared edges speak of.
      const { value, edges } = of(column.column);
      const [low, high] = [edges[column.bin - 1], edges[column.bin]];
      const within = [
        low === undefined ? null : `${value} >= ${low}`,
        high === undefined ? null : `${value} < ${high}`,
      ].filter((part) => part !== null);
      return `count(*) FILTER (WHERE ${[`${value} IS NOT NULL`, ...within].join(' AND ')})`;
    }
  }
}

function fail(): never {
  throw new Error('a measure that is only counted is summed');
}

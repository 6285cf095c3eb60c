import type { ExactColumn } from '../../release/mechanisms/mechanism.ts';
import { FIXED_POINT } from '../layout.ts';
import { quoteName } from '../print.ts';

/** How the exact part of a differentially private question is computed; every value is a whole number, NULL never. */
export function printExact(
  column: ExactColumn,
  relation: string,
  edgesOf: (column: string) => readonly string[],
): string {
  const fixed = (name: string): string => `${relation}.${quoteName(FIXED_POINT(name))}`;
  const wide = (name: string): string => `CAST(${fixed(name)} AS HUGEINT)`;
  const both = (x: string, y: string): string => `FILTER (WHERE ${fixed(x)} IS NOT NULL AND ${fixed(y)} IS NOT NULL)`;
  switch (column.kind) {
    case 'rows':
      return 'count(*)';
    case 'present':
      return `count(${relation}.${quoteName(column.measure)})`;
    case 'sum':
      return `coalesce(sum(${fixed(column.measure)}), 0)`;
    case 'squares':
      return `coalesce(sum(${wide(column.measure)} * ${wide(column.measure)}), 0)`;
    case 'pairs':
      return `count(*) ${both(column.x, column.y)}`;
    case 'pairSumX':
      return `coalesce(sum(${fixed(column.x)}) ${both(column.x, column.y)}, 0)`;
    case 'pairSumY':
      return `coalesce(sum(${fixed(column.y)}) ${both(column.x, column.y)}, 0)`;
    case 'pairSquaresX':
      return `coalesce(sum(${wide(column.x)} * ${wide(column.x)}) ${both(column.x, column.y)}, 0)`;
    case 'pairSquaresY':
      return `coalesce(sum(${wide(column.y)} * ${wide(column.y)}) ${both(column.x, column.y)}, 0)`;
    case 'pairProducts':
      return `coalesce(sum(${wide(column.x)} * ${wide(column.y)}) ${both(column.x, column.y)}, 0)`;
    case 'distinctUnits':
      return `count(DISTINCT ${relation}.${quoteName('__gb_u0')})`;
    case 'distinctValues':
      return `count(DISTINCT ${relation}.${quoteName(column.column)})`;
    case 'bin': {
      // Bins are told by the clipped column itself, which is what the declared edges speak of.
      const value = `${relation}.${quoteName(column.column)}`;
      const edges = edgesOf(column.column);
      const [low, high] = [edges[column.bin - 1], edges[column.bin]];
      const within = [
        low === undefined ? null : `${value} >= ${low}`,
        high === undefined ? null : `${value} < ${high}`,
      ].filter((part) => part !== null);
      return `count(*) FILTER (WHERE ${[`${value} IS NOT NULL`, ...within].join(' AND ')})`;
    }
  }
}

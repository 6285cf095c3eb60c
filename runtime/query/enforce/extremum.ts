import { printTyped } from '../print.ts';
import { printScope } from '../rows.ts';
import { type Block, isRanked, keyName } from './block.ts';
import { quantileStatement } from './quantile.ts';
import { create, isSomebody, keysAs, matchGroups, predicates } from './parts.ts';

/**
 * Smoothed extremes: max is the `minUnits`-th largest of the units' own maxima, min likewise from below. At least
 * `minUnits` units have a value as far out as the one that is told, so it points at nobody; a cell with fewer units has
 * none. With several privacy units per row the first one ranks, and the thresholds hold for all.
 */
export function extremumStatements(block: Block): string[] {
  const [unit] = block.units;
  return block.cells.flatMap(({ extremum, quantile }, index) => {
    if (quantile !== undefined) return [create(block, `x${index}`, quantileStatement(block, quantile))];
    if (extremum === undefined || unit === undefined) return [];
    const { value, filter, isMax } = extremum;
    const where = [
      ...predicates(block),
      isSomebody(unit.hash),
      `(${value}) IS NOT NULL`,
      ...(filter === null ? [] : [filter]),
    ];
    const groups = [...block.keys.map((key) => printTyped(key.expression)), unit.hash];
    const perUnit = `SELECT ${[...keysAs(block), `${isMax ? 'max' : 'min'}(${value}) AS v`].join(', ')} ${printScope(block.scope, where)} GROUP BY ${groups.join(', ')}`;
    const names = block.keys.map((_, i) => keyName(i));
    const partition = names.length === 0 ? '' : `PARTITION BY ${names.join(', ')} `;
    const ranked = `SELECT *, row_number() OVER (${partition}ORDER BY v ${isMax ? 'DESC' : 'ASC'}) AS place FROM (${perUnit})`;
    const rank = `SELECT ${[...names, 'v'].join(', ')} FROM (${ranked}) WHERE place = ${block.terms.minUnits}`;
    return [create(block, `x${index}`, rank)];
  });
}

export function extremumJoins(block: Block): string[] {
  return block.cells.flatMap((cell, index) => (isRanked(cell) ? [matchGroups(block, `x${index}`, `x${index}`)] : []));
}

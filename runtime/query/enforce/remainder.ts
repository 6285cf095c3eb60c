import { printTyped } from '../print.ts';
import { printScope } from '../rows.ts';
import { restsOnLess } from './contributions.ts';
import { type Block, cellName, type Condition, isRanked, keyName, splitPredicates } from './block.ts';
import { bitsOf, siblingsOf } from './siblings.ts';
import { table, create, keyNames, predicates, all, joinGroups, noneOrEnough, unitsIn } from './parts.ts';
import { wholeTests } from './exact.ts';
import { exactColumns } from './verdict.ts';

/** All groups that may not be shown, as one row, under the same rules. */
export function remainder(block: Block, conditions: readonly Condition[]): string {
  const k = block.terms.minUnits;
  const dropped = `SELECT ${[...keyNames(block), '1 AS open'].join(', ')} FROM ${table(block, 't')} WHERE NOT ok`;
  const counted = [
    ...block.cells.map((cell, i) => `${cell.sql} AS ${cellName(i)}`),
    'count(*) AS n',
    ...conditions.flatMap(({ sql, kind }, c) => (kind === 'chosen' ? [`count(*) FILTER (WHERE ${sql}) AS n${c}`] : [])),
    ...exactColumns(block, conditions),
  ];
  const inside = `SELECT ${counted.join(', ')} ${printScope(block.scope, predicates(block), joinGroups(block, dropped))}`;
  const { others } = splitPredicates(block);
  const missed = others.length > 0;
  const distinct = block.units.map((unit, u) => `${unitsIn(unit.hash)} AS x${u}`);
  const outside = missed
    ? ` CROSS JOIN (SELECT ${distinct.join(', ')} ${printScope(block.scope, [`(${all(others.map(printTyped))}) IS NOT TRUE`], joinGroups(block, dropped))}) AS q`
    : '';
  const hasFilter = block.scope.predicates.length > 0;
  const tests = block.units.flatMap((_, u) => [
    `g.u${u} >= ${k}`,
    ...(missed ? [noneOrEnough(`q.x${u}`, k)] : []),
    ...(hasFilter ? [noneOrEnough(`(SELECT x${u} FROM ${table(block, 'w')})`, k)] : []),
  ]);
  tests.push(...(block.scope.guards ?? []));
  const cells = block.cells.map((cell, i) => {
    const isJudged = cell.weight !== null || (cell.centred ?? []).length > 0;
    const isWeighed = (isJudged && block.terms.dominance !== null) || (cell.factors ?? []).length > 0;
    if (restsOnLess(block, cell) || isWeighed || isRanked(cell) || bitsOf(cell, siblingsOf(conditions)) > 0n)
      return `NULL AS ${cellName(i)}`;
    const enough = wholeTests(block, conditions, cell);
    return `CASE WHEN ${all(enough)} THEN g.${cellName(i)} END AS ${cellName(i)}`;
  });
  const columns = [
    ...block.keys.map((_, i) => `NULL AS ${keyName(i)}`),
    ...cells,
    ...block.units.map((_, u) => `CAST(least(g.u${u}, ${k}) AS BIGINT) AS c${u}`),
  ];
  return create(
    block,
    'r',
    `SELECT ${columns.join(', ')} FROM (${inside}) AS g${outside} WHERE ${tests.join(' AND ')}`,
  );
}

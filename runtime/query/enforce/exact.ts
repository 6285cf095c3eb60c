import { printScope, privateBases } from '../rows.ts';
import { type Block, type Cell, cellName, type Condition, isRanked, splitPredicates } from './block.ts';
import { factorsOf } from './factors.ts';
import {
  all,
  create,
  groupBy,
  inKeyOrder,
  joinGroups,
  keyNames,
  keysAs,
  noneOrEnough,
  isSomebody,
  predicates,
  sameKeys,
} from './parts.ts';
import { printTyped } from '../print.ts';
import { cellTest, countUnits, type CountUnits, exactColumns } from './verdict.ts';

/**
 * Up to so many rows units are counted at once: planning a statement costs more than counting them, and groups of a small
 * table are so small that bits often leave some of them open.
 */
const MOST_ROWS = 16_384n;

/** Whether the verdict can be made in one statement that counts units, of tables that are known to be small. */
export function isCountedAtOnce(block: Block, siblings: readonly Condition[]): boolean {
  // No rows at all: not to be told how many there are.
  const isSmall = block.scope.bases.every(({ table: { rowCount } }) => rowCount <= MOST_ROWS);
  const isKnown = privateBases(block.scope).every(({ table: { rowCount } }) => rowCount > 0n);
  return (
    isSmall &&
    isKnown &&
    block.terms.dominance === null &&
    siblings.length === 0 &&
    factorsOf(block).length === 0 &&
    !block.cells.some(isRanked)
  );
}

/**
 * The table t in one statement: every group with the exact number of units behind it, behind both sides of each condition,
 * and among what WHERE left out, over all groups and within each. The rules are those of the verdict that counts only what
 * bits leave open; here nothing is left open.
 */
export function exactVerdict(block: Block, conditions: readonly Condition[]): string {
  const k = block.terms.minUnits;
  const { others } = splitPredicates(block);
  const hasFilter = block.scope.predicates.length > 0;
  const inGroups = block.keys.length > 0 && others.length > 0;
  // Of a join the list could be as long as the product of its tables.
  const isListed = block.scope.bases.length === 1;
  const count = isListed ? countInList : countUnits;
  const distinct = block.units.map(({ hash }, u) => `${count(hash)} AS x${u}`);
  const missed = (terms: readonly string[]): string => printScope(block.scope, [`(${all(terms)}) IS NOT TRUE`]);
  const groups = [
    ...keysAs(block),
    ...block.cells.map((cell, i) => `${cell.sql} AS ${cellName(i)}`),
    'count(*) AS n',
    ...conditions.flatMap(({ kind, sql }, c) => (kind === 'chosen' ? [`count(*) FILTER (WHERE ${sql}) AS n${c}`] : [])),
    ...exactColumns(block, conditions, count),
    ...(isListed ? block.units.map(({ hash }, u) => `list(${hash}) FILTER (WHERE ${isSomebody(hash)}) AS h${u}`) : []),
  ];
  const by = groupBy(block.keys.map(({ expression }) => printTyped(expression)));
  const parts = [
    `g AS MATERIALIZED (SELECT ${groups.join(', ')} ${printScope(block.scope, predicates(block))}${by})`,
    ...(hasFilter ? [`w AS MATERIALIZED (SELECT ${distinct.join(', ')} ${missed(predicates(block))})`] : []),
    ...(inGroups
      ? [
          `l AS MATERIALIZED (SELECT ${[...keysAs(block), ...distinct].join(', ')} ${missed(others.map(printTyped))}${by})`,
        ]
      : []),
  ];
  const from = `g${hasFilter ? ' CROSS JOIN w' : ''}${inGroups ? ` LEFT JOIN l ON (${sameKeys(block, 'g', 'l')})` : ''}`;
  const tests = [
    ...block.units.flatMap((_, u) => [
      `g.u${u} >= ${k}`,
      ...(hasFilter ? [noneOrEnough(`w.x${u}`, k)] : []),
      ...(inGroups ? [noneOrEnough(`coalesce(l.x${u}, 0)`, k)] : []),
    ]),
    ...(block.scope.guards ?? []),
  ];
  const cells = block.cells.map((cell, i) => {
    const enough = wholeTests(block, conditions, cell);
    const value = `g.${cellName(i)}`;
    return `${enough.length === 0 ? value : `CASE WHEN ${enough.join(' AND ')} THEN ${value} END`} AS ${cellName(i)}`;
  });
  const certificates = block.units.map((_, u) => `CAST(least(g.u${u}, ${k}) AS BIGINT) AS c${u}`);
  const lists = isListed ? block.units.map((_, u) => `g.h${u} AS h${u}`) : [];
  const judged = [...keyNames(block, 'g.'), ...cells, ...certificates, `coalesce(${all(tests)}, FALSE) AS ok`];
  const dropped = `SELECT ${[...keyNames(block), '1 AS open'].join(', ')} FROM v WHERE NOT ok`;
  const counts = block.units.map(({ hash }, u) =>
    isListed ? `len(list_distinct(flatten(list(h${u}))))` : countUnits(hash),
  );
  const least = counts.length === 1 ? (counts[0] ?? '0') : `least(${counts.join(', ')})`;
  const units = `SELECT ${least} ${isListed ? 'FROM v WHERE NOT ok' : printScope(block.scope, predicates(block), joinGroups(block, dropped))}`;
  const enough = `coalesce((${units}) >= ${k}, FALSE) AS enough`;
  const shown = [
    ...keyNames(block),
    ...block.cells.map((_, i) => cellName(i)),
    ...block.units.map((_, u) => `c${u}`),
    'ok',
    enough,
  ];
  const whole = [...parts, `v AS MATERIALIZED (SELECT ${[...judged, ...lists].join(', ')} FROM ${from})`];
  return create(block, 't', `WITH ${whole.join(', ')} SELECT ${shown.join(', ')} FROM v${inKeyOrder(block, '')}`);
}

/**
 * Units counted in a list of all rows': of few rows that takes half as long as a table of their units, which the engine makes
 * as large as those that it usually needs.
 */
const countInList: CountUnits = (hash, test) => {
  const [own, filter] = test === undefined ? ['', ''] : [` AND (${test})`, ` FILTER (WHERE ${test})`];
  const listed = `list(${hash}) FILTER (WHERE ${isSomebody(hash)}${own})`;
  return `greatest(coalesce(list_unique(${listed}), 0), least(count(${hash})${filter}, 1))`;
};

/** What a cell has to meet where one row `g` has every count. */
export function wholeTests(block: Block, conditions: readonly Condition[], cell: Cell): string[] {
  const indexOf = (of: string | null): number => conditions.findIndex(({ sql }) => sql === of);
  const rows = (of: string | null): string => (indexOf(of) === -1 ? 'g.n' : `g.n${indexOf(of)}`);
  return cell.conditions.flatMap((own) => {
    const c = indexOf(own.sql);
    return cellTest(block, own, { units: (side, u) => `g.${side}${c}_${u}`, rows });
  });
}

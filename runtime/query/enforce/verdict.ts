import { extremumJoins } from './extremum.ts';
import { printScope } from '../rows.ts';
import { type Block, type Cell, cellName, type Condition, isRanked, outsideOf, splitPredicates } from './block.ts';
import { factorTests } from './factors.ts';
import { dominanceTest } from './dominance.ts';
import { shownBits, siblingsOf } from './siblings.ts';
import {
  table,
  create,
  keyNames,
  groupBy,
  predicates,
  all,
  joinGroups,
  matchGroups,
  noneOrEnough,
  unitsIn,
  inKeyOrder,
  recreate,
  sameKeys,
} from './parts.ts';

/** Groups whose bits left something open. Fewer rows than `minUnits` cannot hold `minUnits` units: decided. */
function openGroups(block: Block, conditions: readonly Condition[]): string {
  const k = block.terms.minUnits;
  const open = [...block.units.map((_, u) => `u${u} < ${k}`), ...openConditions(block, conditions, '')];
  return `SELECT ${[...keyNames(block), '1 AS open'].join(', ')} FROM ${table(block, 'g')} WHERE n >= ${k} AND (${open.join(' OR ')})`;
}

/** Conditions whose two sides the bits did not prove. */
export function openConditions(block: Block, conditions: readonly Condition[], from: string): string[] {
  const k = block.terms.minUnits;
  return conditions.map((condition, c) => {
    const open = `NOT (${proven(block, condition, c, from)})`;
    return condition.kind === 'present'
      ? `(${from}na < ${from}n AND ${open})`
      : `(${from}n${c} >= ${k} AND ${from}n${c} < ${from}n AND ${open})`;
  });
}

/** Whether the bits of the units outside are made: of a value that is missing only who has it counts, as a rule. */
export const isOutsideLookedAt = ({ kind, checksOutside }: Condition): boolean => kind === 'chosen' || checksOutside;

/** Whether bits show enough units on each side of a condition that is looked at. */
function proven(block: Block, condition: Condition, c: number, from: string): string {
  const sides = isOutsideLookedAt(condition) ? ['i', 'o'] : ['i'];
  return all(block.units.flatMap((_, u) => sides.map((side) => `${from}${side}${c}_${u} >= ${block.terms.minUnits}`)));
}

/** How distinct units are counted: of all rows, or of those that meet a test. */
export type CountUnits = (hash: string, test?: string) => string;

/** The engine keeps each unit once; for each count it makes a table of its own. */
export const countUnits: CountUnits = (hash, test) =>
  unitsIn(hash, test === undefined ? '' : ` FILTER (WHERE ${test})`);

export function exactColumns(block: Block, conditions: readonly Condition[], count: CountUnits = countUnits): string[] {
  return [
    ...conditions.flatMap(({ kind, sql }, c) =>
      kind === 'present' ? [`count(*) FILTER (WHERE ${sql}) AS n${c}`] : [],
    ),
    ...block.units.flatMap((unit, u) => [
      `${count(unit.hash)} AS u${u}`,
      ...conditions.flatMap((condition, c) => [
        `${count(unit.hash, condition.sql)} AS i${c}_${u}`,
        ...(condition.checksOutside ? [`${count(unit.hash, outsideOf(condition))} AS o${c}_${u}`] : []),
      ]),
    ]),
  ];
}

function exact(block: Block, conditions: readonly Condition[]): string {
  const columns = [...keyNames(block, 'f.'), ...exactColumns(block, conditions)];
  const from = printScope(block.scope, predicates(block), joinGroups(block, openGroups(block, conditions)));
  return `SELECT ${columns.join(', ')} ${from}${groupBy(keyNames(block, 'f.'))}`;
}

/** Units behind a group: whatever proved more of them. */
const unitsBehind = (u: number): string => `greatest(g.u${u}, coalesce(e.u${u}, 0))`;

/** The table y (or v, before siblings are judged): what the bits left open is counted exactly. */
export function verdict(block: Block, conditions: readonly Condition[], hasCuts: boolean): string {
  const k = block.terms.minUnits;
  const hasFilter = block.scope.predicates.length > 0;
  const inGroups = hasFilter && block.keys.length > 0 && splitPredicates(block).others.length > 0;
  const tests = block.units.flatMap((_, u) => [
    `${unitsBehind(u)} >= ${k}`,
    ...(hasFilter ? [noneOrEnough(`(SELECT x${u} FROM ${table(block, 'w')})`, k)] : []),
    ...(inGroups ? [noneOrEnough(`l.x${u}`, k)] : []),
  ]);
  tests.push(...(block.scope.guards ?? []));
  const cells = block.cells.map(
    (cell, i) => `${guarded(block, conditions, { cell, index: i, hasCuts })} AS ${cellName(i)}`,
  );
  const certificates = block.units.map((_, u) => `CAST(least(${unitsBehind(u)}, ${k}) AS BIGINT) AS c${u}`);
  const joins = [
    ` LEFT JOIN e ON (${sameKeys(block, 'g', 'e')})`,
    ...(inGroups ? [matchGroups(block, 'l', 'l')] : []),
    ...dominanceTest(block).joins,
    ...factorTests(block, hasCuts).joins,
    ...extremumJoins(block),
  ];
  const siblings = siblingsOf(conditions);
  const own = siblings.map((condition) => all(conditionTests(block, conditions, condition, 'exact')));
  const columns = [
    ...keyNames(block, 'g.'),
    ...cells,
    ...certificates,
    `(${tests.join(' AND ')}) AS ok`,
    ...(siblings.length === 0 ? [] : [`${shownBits(own)} AS shown`]),
  ];
  return create(
    block,
    siblings.length === 0 ? 'y' : 'v',
    `WITH e AS MATERIALIZED (${exact(block, conditions)}) SELECT ${columns.join(', ')} FROM ${table(block, 'g')} AS g${joins.join('')}`,
  );
}

/** The exact verdict, and whether the dropped groups rest on enough units together to be counted. */
export function withEnough(block: Block, isAgain: boolean): string {
  const k = block.terms.minUnits;
  const dropped = `SELECT ${[...keyNames(block), '1 AS open'].join(', ')} FROM ${table(block, 'y')} WHERE NOT ok`;
  const distinct = block.units.map((unit) => unitsIn(unit.hash));
  const least = distinct.length === 1 ? (distinct[0] ?? '0') : `least(${distinct.join(', ')})`;
  const units = `SELECT ${least} ${printScope(block.scope, predicates(block), joinGroups(block, dropped))}`;
  const select = `SELECT *, coalesce((${units}) >= ${k}, FALSE) AS enough FROM ${table(block, 'y')}${inKeyOrder(block, '')}`;
  return isAgain ? recreate(block, 't', select) : create(block, 't', select);
}

/** The value of a cell where it rests on enough units and what it leaves of its group does too; else NULL. */
function guarded(
  block: Block,
  conditions: readonly Condition[],
  { cell, index, hasCuts }: { readonly cell: Cell; readonly index: number; readonly hasCuts: boolean },
): string {
  const tests = [
    ...cellTests(block, conditions, cell, 'exact'),
    ...dominanceTest(block).testsFor(index),
    ...factorTests(block, hasCuts).testsFor(index),
  ];
  const value = isRanked(cell) ? `x${index}.v` : `g.${cellName(index)}`;
  return tests.length === 0 ? value : `CASE WHEN ${tests.join(' AND ')} THEN ${value} END`;
}

/** What a cell has to meet; `quick`: by bits alone, for groups that those leave nothing open of. */
export function cellTests(
  block: Block,
  conditions: readonly Condition[],
  cell: Cell,
  how: 'quick' | 'exact',
): string[] {
  return cell.conditions.flatMap((own) => conditionTests(block, conditions, own, how));
}

function conditionTests(
  block: Block,
  conditions: readonly Condition[],
  own: Condition,
  how: 'quick' | 'exact',
): string[] {
  const c = conditions.findIndex(({ sql }) => sql === own.sql);
  const chosen = conditions[c]?.kind === 'chosen';
  // Where a value is missing and bits do not show enough units that have it, the group is open.
  const shown = conditions[c] === undefined ? 'FALSE' : proven(block, conditions[c], c, 'g.');
  if (how === 'quick' && !chosen) return [`(g.na = g.n OR (${shown}))`];
  const exactUnits = (side: 'i' | 'o', u: number): string =>
    chosen ? `greatest(g.${side}${c}_${u}, coalesce(e.${side}${c}_${u}, 0))` : `coalesce(e.${side}${c}_${u}, 0)`;
  const units = (side: 'i' | 'o', u: number): string => (how === 'quick' ? `g.${side}${c}_${u}` : exactUnits(side, u));
  const rows = (of: string | null): string => {
    const index = conditions.findIndex(({ sql }) => sql === of);
    if (index === -1) return 'g.n';
    if (how === 'quick' && conditions[index]?.kind === 'present') return rows(conditions[index].of);
    return conditions[index]?.kind === 'chosen' ? `g.n${index}` : `coalesce(e.n${index}, 0)`;
  };
  const test = cellTest(block, own, { units, rows });
  return chosen ? test : [`(g.na = g.n OR (${shown}) OR (${test.join(' AND ')}))`];
}

interface Counts {
  readonly units: (side: 'i' | 'o', unit: number) => string;
  readonly rows: (condition: string | null) => string;
}

/** A condition that all rows meet takes nothing away; any other needs enough units on each side of it. */
export function cellTest(block: Block, condition: Condition, { units, rows }: Counts): string[] {
  const k = block.terms.minUnits;
  const [own, around] = [rows(condition.sql), rows(condition.of)];
  return block.units.map((_, u) => {
    const rest = condition.checksOutside ? ` AND ${noneOrEnough(units('o', u), k)}` : '';
    return `(${own} = g.n OR ${own} = ${around} OR (${own} >= ${k} AND ${units('i', u)} >= ${k}${rest}))`;
  });
}

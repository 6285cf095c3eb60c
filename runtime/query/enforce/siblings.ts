import { printScope } from '../rows.ts';
import { refuse } from '../refusal.ts';
import { type Block, type Cell, cellName, type Condition, isChosenByName } from './block.ts';
import { big, bit, combinationsTable, MAX_SIBLINGS } from './combinations.ts';
import { create, groupBy, joinGroups, keyNames, keysAs, predicates, sameKeys, table, unitsIn } from './parts.ts';

/**
 * Cells of one row that differ in their conditions subtract to statements about whoever they do not share: all minus
 * north minus south is the one small ward, although each of the three cells is large. So sums and differences of the
 * group and the conditions that would be shown are looked at, and where one of them is carried by somebody but by fewer
 * than `minUnits` units, the condition in it with the fewest rows is withheld as well (complementary suppression).
 *
 * Which combinations are tried: see combinations.ts.
 */
export function siblingsOf(conditions: readonly Condition[]): readonly Condition[] {
  const found = conditions.filter((one) => isChosenByName(one) || (one.kind === 'chosen' && one.isCounted === true));
  if (found.length > MAX_SIBLINGS)
    refuse('query-too-large', `more than ${MAX_SIBLINGS} different conditions in aggregates`, null, 'group by them');
  return found.length < 2 ? [] : found;
}

/** The conditions that pass their own tests, as bits. */
export function shownBits(tests: readonly string[]): string {
  const bits = tests.map((test, i) => `(CASE WHEN ${test} THEN ${big(bit(i))} ELSE ${big(0)} END)`);
  return `(${bits.join(' + ')})`;
}

/** Most siblings whose regions are told apart while the groups are made, by every row or in a sample. */
const MAX_REGIONED = { all: 3, sample: 5 };

/** How many regions are looked at beforehand; 0 when there are too many or none. */
export function regionCount(siblings: readonly Condition[], isSampled: boolean): number {
  const isTooMany = siblings.length > MAX_REGIONED[isSampled ? 'sample' : 'all'];
  return siblings.length === 0 || isTooMany ? 0 : 2 ** siblings.length;
}

/**
 * The regions that siblings cut a group into: who meets the first and not the second, and so on, as conditions. Whatever
 * is added and subtracted, each region counts as a whole or not at all; so where every region that has rows is carried by
 * enough units, every combination is.
 */
export function regionsOf(siblings: readonly string[]): readonly string[] {
  return Array.from({ length: 2 ** siblings.length }, (_, region) =>
    siblings.map((sql, i) => ((region >> i) % 2 === 1 ? `(${sql})` : `(${sql}) IS NOT TRUE`)).join(' AND '),
  );
}

/** The regions that have rows, one bit for each: of all rows, because a sample cannot tell that a region has none. */
export function occupied(siblings: readonly Condition[], regions: number): string[] {
  if (regions === 0) return [];
  const leaf = (region: number, rest: readonly Condition[]): string => {
    const [next, ...more] = rest;
    if (next === undefined) return big(bit(region));
    const own = region + 2 ** (siblings.length - rest.length);
    return `(CASE WHEN ${next.sql} THEN ${leaf(own, more)} ELSE ${leaf(region, more)} END)`;
  };
  return [`bit_or(${leaf(0, siblings)}) AS occ`];
}

/** Regions that somebody is in, of whom the bits do not prove enough units. */
export function openRegions(block: Block, regions: number, from: string): string[] {
  return Array.from({ length: regions }, (_, r) => {
    const few = block.units.map((__, u) => `${from}x${r}_${u} < ${block.terms.minUnits}`).join(' OR ');
    return `((${from}occ & ${big(bit(r))}) <> ${big(0)} AND (${few}))`;
  });
}

/**
 * From the verdict `v` (with `shown`) to the table `y`: `m` has the rows of each group by the conditions they meet, `s`
 * the combinations that are too small, by bits and then exactly, and `h` the conditions that are withheld for it.
 */
export function siblingStatements(block: Block, siblings: readonly Condition[]): string[] {
  const k = block.terms.minUnits;
  const names = keyNames(block);
  const mask = shownBits(siblings.map(({ sql }) => sql));
  const met = byMask(
    block,
    printScope(block.scope, predicates(block)),
    siblings.map(({ sql }) => sql),
  );
  const on = (left: string, right: string): string => sameKeys(block, left, right);
  const value = (of: string, from: string): string =>
    `(${from}.whole + bit_count(${of} & ${from}.plus) - bit_count(${of} & ${from}.minus))`;
  // Where every set of rows that the conditions tell apart is carried by enough units, every combination is.
  const small = `SELECT DISTINCT ${[...names, '1 AS small'].join(', ')} FROM ${table(block, 'm')} WHERE ${block.units.map((_, u) => `bit_count(b${u}) < ${k}`).join(' OR ')}`;
  const possible = `SELECT ${[...keyNames(block, 'v.'), 'p.plus', 'coalesce(p.minus, v.shown) AS minus', 'p.whole'].join(', ')} FROM ${table(block, 'v')} AS v JOIN (${small}) AS f ON (${on('v', 'f')}) CROSS JOIN ${combinationsTable(siblings.length)} WHERE v.ok AND (p.plus & v.shown) = p.plus AND (coalesce(p.minus, v.shown) & v.shown) = coalesce(p.minus, v.shown)`;
  const few = (counts: readonly string[]): string => counts.map((count) => `${count} < ${k}`).join(' OR ');
  const grouping = [...keyNames(block, 'p.'), 'p.plus', 'p.minus', 'p.whole'];
  const byBits = `SELECT ${grouping.join(', ')} FROM (${possible}) AS p JOIN ${table(block, 'm')} AS m ON (${on('p', 'm')}) WHERE ${value('m.mask', 'p')} <> 0 GROUP BY ${grouping.join(', ')} HAVING ${few(block.units.map((_, u) => `bit_count(bit_or(m.b${u}))`))}`;
  // Only rows that carry some undecided combination; with none the join is empty and nothing is read.
  const open = `SELECT DISTINCT ${[...names, 'mask', '1 AS open'].join(', ')} FROM (SELECT ${[...keyNames(block, 'm.'), 'm.mask'].join(', ')} FROM ${table(block, 'm')} AS m JOIN q ON (${on('m', 'q')}) WHERE ${value('m.mask', 'q')} <> 0)`;
  const join = joinGroups(block, `SELECT DISTINCT ${[...names, '1 AS open'].join(', ')} FROM (${open})`);
  const hashes = block.units.map((unit, u) => `${unit.hash} AS h${u}`);
  const rows = `SELECT DISTINCT ${[...keysAs(block), `${mask} AS mask`, ...hashes].join(', ')} ${printScope(block.scope, predicates(block), join)}`;
  const q = keyNames(block, 'q.').concat('q.plus', 'q.minus', 'q.whole');
  const exactly = `SELECT ${q.join(', ')} FROM q JOIN (${rows}) AS d ON (${on('q', 'd')}) WHERE ${value('d.mask', 'q')} <> 0 GROUP BY ${q.join(', ')} HAVING ${few(block.units.map((_, u) => unitsIn(`d.h${u}`)))}`;
  const ids = siblings.map((_, i) => `(${i}, ${big(bit(i))})`);
  const sizes = `SELECT ${[...keyNames(block, 'm.'), 'i.id', 'i.one', 'sum(CASE WHEN (m.mask & i.one) = i.one THEN m.n ELSE 0 END) AS n'].join(', ')} FROM ${table(block, 'm')} AS m CROSS JOIN (VALUES ${ids.join(', ')}) AS i(id, one) GROUP BY ${[...keyNames(block, 'm.'), 'i.id', 'i.one'].join(', ')}`;
  // The condition with the fewest rows goes, of several the first.
  const least = `SELECT ${[...keyNames(block, 's.'), `min(z.n * ${MAX_SIBLINGS + 1} + z.id) % ${MAX_SIBLINGS + 1} AS id`].join(', ')} FROM ${table(block, 's')} AS s JOIN (${sizes}) AS z ON (${on('s', 'z')}) WHERE ((s.plus & z.one) = z.one OR (s.minus & z.one) = z.one) GROUP BY ${[...keyNames(block, 's.'), 's.plus', 's.minus', 's.whole'].join(', ')}`;
  const hidden = `SELECT ${[...names, 'bit_or(i.one) AS hidden'].join(', ')} FROM (${least}) AS y JOIN (VALUES ${ids.join(', ')}) AS i(id, one) ON (y.id = i.id)${groupBy(names)}`;
  return [
    create(block, 'm', met),
    create(block, 's', `WITH q AS MATERIALIZED (${byBits}) ${exactly}`),
    create(block, 'h', hidden),
    create(block, 'y', shownCells(block, siblings, on('v', 'h'))),
  ];
}

function shownCells(block: Block, siblings: readonly Condition[], on: string): string {
  const cells = block.cells.map((cell, i) => {
    const own = bitsOf(cell, siblings);
    const value = `v.${cellName(i)}`;
    if (own === 0n) return `${value} AS ${cellName(i)}`;
    return `CASE WHEN (coalesce(h.hidden, ${big(0)}) & ${big(own)}) = ${big(0)} THEN ${value} END AS ${cellName(i)}`;
  });
  const columns = [...keyNames(block, 'v.'), ...cells, ...block.units.map((_, u) => `v.c${u} AS c${u}`), 'v.ok AS ok'];
  const order = block.keys.length === 0 ? '' : ` ORDER BY ${keyNames(block, 'v.').join(', ')}`;
  return `SELECT ${columns.join(', ')} FROM ${table(block, 'v')} AS v LEFT JOIN ${table(block, 'h')} AS h ON (${on})${order}`;
}

/**
 * Rows by group and by which conditions they meet, as bits of `mask`: how many, and the bits of their units. Grouped outside
 * of the rows, where a name can only be one of ours: a table may well have a column `mask`.
 */
export function byMask(block: Block, rows: string, conditions: readonly string[]): string {
  const hot = block.units.map((unit, u) => `${unit.oneHot} AS o${u}`);
  const bits = block.units.map((_, u) => `bit_or(o${u}) AS b${u}`);
  const names = [...keyNames(block), 'mask'];
  // The engine numbers groups by small whole numbers, which takes half the time, but never by an UBIGINT.
  const isFew = conditions.length <= MOST_FLAGS;
  const mask = isFew ? flags(conditions) : shownBits(conditions);
  const wide = isFew ? 'CAST(mask AS UBIGINT) AS mask' : 'mask';
  return `SELECT ${[...keyNames(block), wide, 'count(*) AS n', ...bits].join(', ')} FROM (SELECT ${[...keysAs(block), `${mask} AS mask`, ...hot].join(', ')} ${rows})${groupBy(names)}`;
}

const MOST_FLAGS = 16;

/** The conditions that a row meets, as bits of a small whole number. */
export function flags(conditions: readonly string[]): string {
  return `(${conditions.map((sql, i) => `(CASE WHEN ${sql} THEN ${bit(i)} ELSE 0 END)`).join(' + ')})`;
}

export function bitsOf(cell: Cell, siblings: readonly Condition[]): bigint {
  return siblings.reduce(
    (bits, { sql }, i) => (cell.conditions.some((own) => own.sql === sql) ? bits | bit(i) : bits),
    0n,
  );
}

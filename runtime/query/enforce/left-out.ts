import { printTyped, quoteName } from '../print.ts';
import { alias, type Base, isOnly, printScope, privateBases } from '../rows.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import { type Block, keyName, splitPredicates } from './block.ts';
import { repeatsRows } from '../differential/fan-out.ts';
import { rowsPerGroup } from './sample.ts';
import { groupsOf, hasManyGroups, isByJoined, isSmall, UNEVEN } from './sizes.ts';
import { folded, preparedSides, wholeFromSides } from './factors.ts';
import type { Halves } from './halves.ts';
import type { Held } from './held.ts';
import {
  all,
  create,
  gate,
  groupBy,
  joinGroups,
  keyNames,
  keysAs,
  predicates,
  sameKeys,
  table,
  unitsIn,
} from './parts.ts';

/** Rows of a base table that are looked at first among those that a filter left out: so many per group, within limits. */
const PREFIX = { perGroup: 128, least: 2_048, most: 16_384 };
/** How many times as many a join may make of them. */
const JOINED = 4;

/**
 * What WHERE leaves out must be nobody or enough: otherwise the answer and the answer without WHERE subtract to a
 * statement about a few people. Finding enough is easy in a few rows, and finding them in any part of the rows proves
 * it, so a prefix decides nearly always. Only where it finds too few is everything looked at, by bits and then exactly.
 */
export function leftOutStatements(
  block: Block,
  { halves, held }: { readonly halves: Halves | null; readonly held: Held | null },
): string[] {
  if (block.scope.predicates.length === 0) return [];
  const isSplit = block.keys.length > 0 && splitPredicates(block).others.length > 0;
  const looked = held === null ? (halves === null ? prefix(block) : otherHalf(block, halves)) : held.left;
  return [create(block, 'p', looked), overall(block), ...(isSplit ? [withinGroups(block)] : [])];
}

const missed = (terms: readonly string[]): string => `(${all(terms)}) IS NOT TRUE`;
const few = (block: Block, from = ''): string =>
  block.units.map((_, u) => `coalesce(${from}x${u}, 0) < ${block.terms.minUnits}`).join(' OR ');
const exactly = (block: Block): string[] => block.units.map((unit, u) => `${unitsIn(unit.hash)} AS x${u}`);
const byBits = (block: Block): string[] =>
  block.units.map((unit, u) => `coalesce(bit_count(bit_or(${unit.oneHot})), 0) AS x${u}`);
const best = (block: Block, from: readonly string[]): string[] =>
  block.units.map((_, u) => `greatest(${from.map((one) => `coalesce(${one}.x${u}, 0)`).join(', ')}) AS x${u}`);

const manyRows = (block: Block): number =>
  Math.ceil(groupsOf(block) * rowsPerGroup(block, 'whole') * (isByJoined(block) ? UNEVEN : 1));

/** True for a group of which nothing is among what was left out; only where all of that was looked at can that be told. */
export function nothingLeftOut(block: Block, w: string): string | null {
  return hasManyGroups(block) ? `(a.m0 IS NULL AND ${w}.looked < ${manyRows(block)})` : null;
}

/**
 * The rows that the groups hold when nothing was left out: those of the one private table there is, if no join repeats them.
 * null: that cannot be told.
 */
export function rowsOfAll({ scope }: Block): bigint | null {
  const [base, ...more] = privateBases(scope);
  // Of rows that a sub-query made it is not known how many there are.
  if (base === undefined || more.length > 0 || base.table.rowCount === 0n || base.table.physical.startsWith('('))
    return null;
  return repeatsRows(scope, base, 'bounded') ? null : base.table.rowCount;
}

/** Fewer rows in all groups than there are: where every row is in a group there is nothing to look for. */
export function somethingMissing(block: Block): string[] {
  const rows = rowsOfAll(block);
  return rows === null ? [] : [`${rowsInGroups(block)} <> ${rows}`];
}

const rowsInGroups = (block: Block): string => `(SELECT coalesce(sum(n), 0) FROM ${table(block, 'g')})`;

/** True for a group of which so few rows are left out that they are too few units; only where all of them were looked at. */
export function tooFewLeftOut(block: Block, w: string): string | null {
  return hasManyGroups(block) ? `(${fewRowsOf(block)} AND ${w}.looked < ${manyRows(block)})` : null;
}

/** The same of the other half of the rows, of which all are looked at. */
export const fewRowsOf = (block: Block): string =>
  `coalesce(a.looked BETWEEN 1 AND ${block.terms.minUnits - 1}, FALSE)`;

/** Where all that was left out was looked at: a group that is not among it left nothing out. */
export function allMissed(block: Block): { readonly nothing: string; readonly few: string } {
  return { nothing: 'a.looked IS NULL', few: fewRowsOf(block) };
}

/** How many rows were looked at, as a column `looked`; null: not told. */
export function rowsLookedAt(block: Block): string | null {
  return hasManyGroups(block) ? 'coalesce(sum(looked), 0) AS looked' : null;
}

/** Units found in the prefix, by the bits that they set. */
export const foundIn = (block: Block): string[] =>
  block.units.map((_, u) => `coalesce(bit_count(bit_or(m${u})), 0) AS x${u}`);

/** Yields the bits of some of the units that WHERE leaves out, by group. */
export function prefix(block: Block): string {
  const { ofKeys, others } = splitPredicates(block);
  // Rows for each of very many groups: often all that was left out, in one pass.
  if (block.keys.length > 0 && others.length > 0 && hasManyGroups(block)) return manyMissed(block, ofKeys, others);
  const groups = groupsOf(block);
  const limit = Math.min(PREFIX.most, Math.max(PREFIX.least, groups * PREFIX.perGroup));
  const wanted = others.length > 0 ? others : ofKeys;
  const within = others.length > 0 ? ofKeys : [];
  const [base, own] = drivingBase(block, wanted);
  const ownWithin = within.filter((term) => isOnly(term, base));
  const start =
    own.length > 0 ? [missed(own.map(printTyped)), ...ownWithin.map(printTyped)] : ownWithin.map(printTyped);
  const where = start.length === 0 ? '' : ` WHERE ${start.join(' AND ')}`;
  const rows = `(SELECT ${columnsOf(block, base).join(', ')} FROM ${base.table.physical} AS ${alias(base.relation)}${where} LIMIT ${limit})`;
  const later = [
    ...within.filter((term) => !ownWithin.includes(term)).map(printTyped),
    ...(own.length > 0 ? [] : [missed(wanted.map(printTyped))]),
  ];
  const from = printScope(block.scope, later, '', { relation: base.relation, sql: rows });
  const columns = [...keysAs(block), ...block.units.map((unit, u) => `${unit.oneHot} AS b${u}`)];
  const masks = block.units.map((_, u) => `bit_or(b${u}) AS m${u}`);
  const sampled = `SELECT ${columns.join(', ')} ${from} LIMIT ${JOINED * limit}`;
  return `SELECT ${[...keyNames(block), ...masks].join(', ')} FROM (${sampled})${groupBy(keyNames(block))}`;
}

/**
 * Bits of very many groups. Rows whose partner in another table was found are looked at first: finding partners is cheap
 * where rows without one may be dropped. The others only if those are too few, because then nothing may be left out of a group.
 */
function manyMissed(block: Block, ofKeys: readonly Typed[], others: readonly Typed[]): string {
  const some = isSmall(block) ? [] : somethingMissing(block);
  const seen = (
    terms: readonly string[],
    joined = some.length === 0 ? '' : gate(block, `SELECT 1 AS open WHERE ${all(some)}`),
  ): string => lookedAt(block, [...ofKeys.map(printTyped), ...terms], joined);
  const terms = others.map(printTyped);
  const found = block.scope.bases.flatMap((base) => (base.found === undefined ? [] : [printTyped(base.found)]));
  const demanded = terms.filter((term) => found.includes(term));
  const chosen = terms.filter((term) => !found.includes(term));
  if (demanded.length === 0 || chosen.length === 0) return seen([missed(terms)]);
  const rows = isSmall(block) ? null : rowsOfAll(block);
  const more = rows === null ? [] : [`looked + ${rowsInGroups(block)} <> ${rows}`];
  const few = `SELECT 1 AS open FROM (SELECT coalesce(sum(looked), 0) AS looked FROM a) WHERE ${all([`looked < ${manyRows(block)}`, ...more])}`;
  const parts = [
    `a AS MATERIALIZED (${seen([...demanded, missed(chosen)])})`,
    `b AS MATERIALIZED (${seen([missed(demanded)], gate(block, few))})`,
  ];
  return `WITH ${parts.join(', ')} ${together(block)}`;
}

/** Bits of the first rows that meet all terms, by group, and how many rows there were. */
function lookedAt(
  block: Block,
  where: readonly string[],
  joined: string,
  bits: readonly string[] = block.units.map(({ oneHot }) => oneHot),
): string {
  const names = keyNames(block);
  const columns = [...keysAs(block), ...bits.map((one, u) => `${one} AS b${u}`)];
  const rows = `SELECT ${columns.join(', ')} ${printScope(block.scope, where, joined)} LIMIT ${manyRows(block)}`;
  const masks = [...block.units.map((_, u) => `bit_or(b${u}) AS m${u}`), 'count(*) AS looked'];
  return `SELECT ${[...names, ...masks].join(', ')} FROM (${rows})${groupBy(names)}`;
}

/** Both of the looks `a` and `b`. */
function together(block: Block): string {
  const names = keyNames(block);
  const masks = [...block.units.map((_, u) => `bit_or(m${u}) AS m${u}`), 'sum(looked) AS looked'];
  const both = `SELECT * FROM a UNION ALL SELECT * FROM b`;
  return `SELECT ${[...names, ...masks].join(', ')} FROM (${both})${groupBy(names)}`;
}

/** Bits of what WHERE leaves out of very many groups, from the other half of the rows: all that is in it, by place. */
export const leftHalf = (block: Block, { left }: Halves): string => left(bitsOfHalf(block));

function bitsOfHalf(block: Block): string[] {
  const isDerived = preparedSides(block) !== null;
  const bits = block.units.map((_, u) => `${isDerived ? wholeFromSides(u) : `m${u}`} AS m${u}`);
  return [...bits, 'n AS looked'];
}

/**
 * The same by keys, with rows that the remaining conditions leave out. They are looked at only if the half of some group has
 * too few units, because then nothing may be left out of it.
 */
function otherHalf(block: Block, { half, rest }: Halves): string {
  const names = keyNames(block);
  const masks = block.units.map((_, u) => `m${u}`);
  const all = `SELECT ${[...names, ...masks, 'looked'].join(', ')} FROM (${half('left', bitsOfHalf(block))})`;
  if (rest.length === 0) return all;
  const counts = block.units.map((_, u) => `coalesce(bit_count(a.m${u}), 0) < ${block.terms.minUnits}`);
  const open = `SELECT 1 AS open FROM ${table(block, 'g')} AS g LEFT JOIN a ON (${sameKeys(block, 'g', 'a')}) WHERE g.n >= ${block.terms.minUnits} AND (${counts.join(' OR ')}) LIMIT 1`;
  const { ofKeys } = splitPredicates(block);
  // INVARIANT: a unit sets the same bit in both looks; of two bits it would be taken for two units.
  const words = preparedSides(block)?.[0]?.map(folded);
  const others = lookedAt(block, [...ofKeys.map(printTyped), missed(rest.map(printTyped))], gate(block, open), words);
  const parts = [`a AS MATERIALIZED (${all})`, `b AS MATERIALIZED (${others})`];
  return `WITH ${parts.join(', ')} ${together(block)}`;
}

/** The largest private table that a filter speaks of, with the filters that speak of nothing else. */
function drivingBase(block: Block, wanted: readonly Typed[]): readonly [Base, readonly Typed[]] {
  const bases = privateBases(block.scope).toSorted((a, b) => Number(b.table.rowCount - a.table.rowCount));
  for (const base of bases) {
    const own = wanted.filter((term) => isOnly(term, base));
    if (own.length > 0) return [base, own];
  }
  const [largest] = bases;
  if (largest === undefined) throw new Error('a block without a private table');
  return [largest, []];
}

/** Columns of a base table that the block needs. */
function columnsOf(block: Block, base: Base): string[] {
  const expressions = [
    ...block.keys.map((key) => key.expression),
    ...block.scope.predicates,
    ...block.scope.equalities.map((one) => one.expression),
    ...block.scope.bases.flatMap((one) => one.leftOn ?? []),
  ];
  const used = expressions.flatMap(distinctColumns).filter((column) => column.relation === base.relation);
  const units = block.units.filter((unit) => unit.relation === base.relation).flatMap((unit) => unit.columns);
  const names = new Set([...used.map((column) => column.column.name), ...units]);
  return [...names].toSorted().map((name) => `${alias(base.relation)}.${quoteName(name)}`);
}

/** Over all groups: also people whose groups the filters leave out altogether. */
function overall(block: Block): string {
  const counts = foundIn(block);
  const outside = missed(predicates(block));
  const gated = (columns: readonly string[], from: string): string =>
    `SELECT ${columns.join(', ')} ${printScope(block.scope, [outside], gate(block, `SELECT 1 AS open FROM ${from} WHERE ${all([`(${few(block)})`, ...somethingMissing(block)])}`))}`;
  const parts = [
    `a AS MATERIALIZED (SELECT ${counts.join(', ')} FROM ${table(block, 'p')})`,
    `m AS MATERIALIZED (${gated(['count(*) AS n', ...byBits(block)], 'a')})`,
    `q AS MATERIALIZED (${gated(exactly(block), `(SELECT * FROM m WHERE n > 0)`)})`,
  ];
  return create(
    block,
    'w',
    `WITH ${parts.join(', ')} SELECT ${best(block, ['a', 'm', 'q']).join(', ')} FROM a CROSS JOIN m CROSS JOIN q`,
  );
}

/** Within each group, what the filters that are not about group keys leave out. */
function withinGroups(block: Block): string {
  const { others } = splitPredicates(block);
  const outside = missed(others.map(printTyped));
  const names = keyNames(block);
  const on = (as: string): string =>
    block.keys.map((_, i) => `g.${keyName(i)} IS NOT DISTINCT FROM ${as}.${keyName(i)}`).join(' AND ');
  const groups = table(block, 'g');
  const counts = foundIn(block);
  const uncertain = `SELECT ${[...keyNames(block, 'g.'), '1 AS open'].join(', ')} FROM ${groups} AS g LEFT JOIN a ON (${on('a')}) WHERE ${all([`g.n >= ${block.terms.minUnits} AND (${few(block, 'a.')})`, ...somethingMissing(block)])}`;
  const stillOpen = `SELECT ${[...names, '1 AS open'].join(', ')} FROM m WHERE ${few(block)}`;
  // Groups that a LEFT JOIN finds are joined after it, so that of none all rows would be read: a gate stands ahead of it.
  const some = (select: string): string[] =>
    block.scope.bases.length === 1 ? [] : [gate(block, `SELECT 1 AS open FROM (${select}) LIMIT 1`, 'o')];
  const counted = (columns: readonly string[], select: string): string =>
    `SELECT ${[...keyNames(block, 'f.'), ...columns].join(', ')} ${printScope(block.scope, [outside], [...some(select), joinGroups(block, select)])}${groupBy(keyNames(block, 'f.'))}`;
  const parts = [
    `a AS MATERIALIZED (SELECT ${[...names, ...counts].join(', ')} FROM ${table(block, 'p')}${groupBy(names)})`,
    `m AS MATERIALIZED (${counted(byBits(block), uncertain)})`,
    `q AS MATERIALIZED (${counted(exactly(block), stillOpen)})`,
  ];
  const joins = ['a', 'm', 'q'].map((as) => ` LEFT JOIN ${as} ON (${on(as)})`).join('');
  return create(
    block,
    'l',
    `WITH ${parts.join(', ')} SELECT ${[...keyNames(block, 'g.'), ...best(block, ['a', 'm', 'q'])].join(', ')} FROM ${groups} AS g${joins}`,
  );
}

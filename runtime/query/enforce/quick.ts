import type { CatalogueColumn } from '../catalogue.ts';
import { alias, isOnly, printScope, privateBases, reference } from '../rows.ts';
import { printTyped } from '../print.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import { type Block, cellName, type Condition, conditionsOf, outsideOf, splitPredicates } from './block.ts';
import { factorsOf, isPacked, openFactors } from './factors.ts';
import { foundIn, nothingLeftOut, rowsLookedAt, rowsOfAll, tooFewLeftOut } from './left-out.ts';
import { openRegions, regionsOf, siblingsOf } from './siblings.ts';
import { create, inKeyOrder, keyNames, keysAs, predicates } from './parts.ts';
import { cellTests, isOutsideLookedAt, openConditions } from './verdict.ts';

/** Rows looked at per expected group, between a least and a most. */
const ROWS_PER_GROUP = 128;
const SAMPLE = { least: 2_048, most: 65_536 };
/** With so many groups that the most would be exceeded, rows enough for each of them, if they are at most a share of all rows. */
const MANY_SHARE = 1 / 4;
/** More rows for each of many groups are not looked at. */
const MOST_PER_GROUP = 160;
/** How often a row out of its place falls into a bit that is set already, and how far counts stray: generous, because groups are uneven. */
const STRAYING = { factor: 1.5, rows: 12, deviations: 4.5 };
/** The number of distinct values is an estimate, sometimes too low by that much. */
const ESTIMATE_MARGIN = 1.2;
/** Groups by what a joined table says of the rows, as cities by their shops, are much more uneven than others. */
export const UNEVEN = 2;
/** Of the rows of FILTER and CASE there are fewer, of those that meet several fewer still, and few lack a value. */
const CHOSEN = 4;
/** Fewer rows than this are all looked at: a second look would cost more. */
const MIN_ROWS_TO_SAMPLE = 262_144;
/** Smaller tables cost nothing to join to a sample. */
const MAX_ROWS_BESIDE = 65_536;
/** All larger ones together may hold this share of the sampled table's rows: the sample is looked up in each of their rows. */
const MAX_SHARE_BESIDE = 1 / 3;

/**
 * FROM, WHERE and LIMIT of a sample of the block's rows, when that is likely to prove every group; else
 * null. Units found in any part of a group's rows are units of the group, so a sample can prove a threshold and never
 * fakes one; groups that it leaves open are counted exactly later. Only this choice, never an answer, follows from what
 * is known of the columns.
 */
export function sampleOf(block: Block): { readonly from: string; readonly isSmall: boolean } | null {
  const [base] = privateBases(block.scope).toSorted((a, b) => Number(b.table.rowCount - a.table.rowCount));
  if (base === undefined || base.leftOn !== null) return null;
  if (base.table.rowCount < MIN_ROWS_TO_SAMPLE || base.table.physical.startsWith('(')) return null;
  const limit = rowsToLookAt(block, Number(base.table.rowCount));
  if (limit === null) return null;
  const isSmall = limit <= SAMPLE.most;
  const heavy = block.scope.bases.filter(
    ({ relation, table }) => relation !== base.relation && (!table.isPublic || table.rowCount > MAX_ROWS_BESIDE),
  );
  if (heavy.length === 0) {
    const rows = [...predicates(block), ...apart(block, base.relation)];
    return { from: `${printScope(block.scope, rows)} LIMIT ${limit}`, isSmall };
  }
  // The other tables are read whole, so the sample is taken ahead of the joins; conditions on other tables, and joins
  // beyond those that link the tables, could leave next to nothing of it. That a partner is found nearly always holds.
  const own = block.scope.predicates.filter((term) => isOnly(term, base));
  const others = block.scope.predicates.filter((term) => !own.includes(term));
  const isThinned = others.some((term) => block.scope.bases.every(({ found }) => found !== term));
  if (isThinned || block.scope.equalities.length >= block.scope.bases.length) return null;
  const beside = heavy.reduce((sum, { table }) => sum + Number(table.rowCount), 0);
  if (!isSmall || beside > Number(base.table.rowCount) * MAX_SHARE_BESIDE) return null;
  const columns = [
    ...base.table.columns.map(({ name }) => name),
    ...block.units.filter(({ relation }) => relation === base.relation).flatMap((unit) => unit.columns),
  ];
  const where = own.length === 0 ? '' : ` WHERE ${own.map(printTyped).join(' AND ')}`;
  const names = columns.map((name) => reference(base.relation, name));
  const sql = `(SELECT ${names.join(', ')} FROM ${base.table.physical} AS ${alias(base.relation)}${where} LIMIT ${limit})`;
  return { from: printScope(block.scope, others.map(printTyped), '', { relation: base.relation, sql }), isSmall };
}

/**
 * What every row meets, so that the sample is no part of the plan that reads all rows: an engine that finds the same join
 * twice makes it once and keeps all of its rows, which costs more than either.
 */
function apart(block: Block, relation: number): string[] {
  const unit = block.units.find((one) => one.relation === relation);
  return unit === undefined || block.scope.bases.length === 1
    ? []
    : [`((${unit.oneHot} & CAST(0 AS UBIGINT)) = CAST(0 AS UBIGINT))`];
}

/** Rows that nearly always prove every group; null when that is unknown, or too many. */
function rowsToLookAt(block: Block, rowCount: number): number | null {
  const groups = groupsOf(block);
  const conditions = conditionsOf(block);
  const few = Math.max(SAMPLE.least, groups * ROWS_PER_GROUP * (conditions.length > 0 ? CHOSEN : 1));
  if (few <= SAMPLE.most) return few;
  const times = Math.max(conditions.some(({ kind }) => kind === 'chosen') ? CHOSEN : 1, isByJoined(block) ? UNEVEN : 1);
  const many = Math.ceil(groups * rowsPerGroup(block, 'sides') * times);
  return many <= rowCount * MANY_SHARE ? many : null;
}

export function isByJoined({ keys, scope }: Block): boolean {
  const isJoined = (relation: number): boolean =>
    scope.bases.some(({ relation: own, table }) => own === relation && table.isPublic);
  return keys.some(({ expression }) => distinctColumns(expression).some(({ relation }) => isJoined(relation)));
}

/**
 * Rows to look at for each of many groups, so that nearly every one of them shows units enough: of the whole group, or on
 * both sides of the cuts of its factors. Groups get more or fewer rows than the mean, as chance has it.
 */
export function rowsPerGroup(block: Block, of: 'whole' | 'sides'): number {
  const { minUnits } = block.terms;
  const sides = of === 'sides' && factorsOf(block).length > 0 ? 2 : 1;
  const bits = sides === 2 && isPacked(block) ? 32 : 64;
  if (minUnits >= bits) return MOST_PER_GROUP;
  const set = -bits * Math.log(1 - minUnits / bits);
  const rows = STRAYING.factor * set + STRAYING.rows;
  const mean = ((STRAYING.deviations + Math.sqrt(STRAYING.deviations ** 2 + 4 * rows)) / 2) ** 2;
  return Math.min(MOST_PER_GROUP, Math.ceil(sides * mean));
}

/** Whether so few rows are looked at that looking at them again costs less than keeping what was seen of them. */
export function isSmall(block: Block): boolean {
  return block.scope.bases.every(({ table: { rowCount } }) => rowCount < MIN_ROWS_TO_SAMPLE);
}

/** How many groups there can be, as far as is known; Infinity: not known. */
export function groupsOf(block: Block): number {
  return Math.ceil(block.keys.reduce((product, { expression }) => product * valuesOf(expression), 1));
}

/** Whether there are so many groups that a few rows tell too little; false when their number is not known. */
export function hasManyGroups(block: Block): boolean {
  const groups = groupsOf(block);
  return Number.isFinite(groups) && groups * ROWS_PER_GROUP > SAMPLE.most;
}

/** How many values a key can take, as far as is known. */
function valuesOf(key: Typed): number {
  return distinctColumns(key).reduce((product, { column }) => product * valuesIn(column), 1);
}

/** How many values a column can have, as far as is known. */
export function valuesIn({ distinctValues, facts, type }: CatalogueColumn): number {
  const within = (facts?.high ?? Infinity) - (facts?.low ?? -Infinity) + 1;
  const most = type.kind === 'integer' ? within : Infinity;
  return Math.min((distinctValues ?? Infinity) * ESTIMATE_MARGIN, most);
}

/** How the parts of a block that bits are made of are called where they are looked at. */
export interface Look {
  readonly oneHot: readonly string[];
  readonly inside: readonly string[];
  readonly outside: readonly string[];
  readonly siblings: readonly string[];
  readonly factors: readonly { readonly sql: string; readonly within: string | null }[];
}

/** Over the block's own rows: the expressions themselves. */
export function lookAtRows(block: Block, conditions: readonly Condition[]): Look {
  return {
    oneHot: block.units.map(({ oneHot }) => oneHot),
    inside: conditions.map(({ sql }) => sql),
    outside: conditions.map(outsideOf),
    siblings: siblingsOf(conditions).map(({ sql }) => sql),
    factors: factorsOf(block),
  };
}

/** Over a sample: columns that hold what the expressions came to, with the columns that make them. */
export function lookAtSample(
  block: Block,
  conditions: readonly Condition[],
): { readonly look: Look; readonly columns: readonly string[] } {
  const name = (part: string, index: number): string => `${part}${index}`;
  const siblings = new Set(siblingsOf(conditions).map(({ sql }) => sql));
  const factors = factorsOf(block);
  const looked = conditions.flatMap((condition, c) => [
    `(${condition.sql}) AS ${name('i', c)}`,
    ...(condition.outside === undefined ? [] : [`(${condition.outside}) AS ${name('o', c)}`]),
  ]);
  return {
    look: {
      oneHot: block.units.map((_, u) => name('b', u)),
      inside: conditions.map((_, c) => name('i', c)),
      outside: conditions.map(({ outside }, c) =>
        outside === undefined ? `${name('i', c)} IS NOT TRUE` : name('o', c),
      ),
      siblings: conditions.flatMap(({ sql }, c) => (siblings.has(sql) ? [name('i', c)] : [])),
      factors: factors.map((_, f) => ({ sql: name('v', f), within: null })),
    },
    columns: [
      ...keysAs(block),
      ...block.units.map(({ oneHot }, u) => `${oneHot} AS ${name('b', u)}`),
      ...looked,
      ...factors.map(
        ({ sql, within }, f) => `${within === null ? sql : `CASE WHEN ${within} THEN ${sql} END`} AS v${f}`,
      ),
    ],
  };
}

/**
 * Bits of the units of each group (`hasWhole`), of each condition's two sides, and of each region of siblings, over some
 * rows.
 */
export function bitColumns(
  block: Block,
  conditions: readonly Condition[],
  look: Look,
  { hasRegions, hasWhole }: { readonly hasRegions: boolean; readonly hasWhole: boolean },
): string[] {
  const bits = (u: number, filter: string): string =>
    `coalesce(bit_count(bit_or(${look.oneHot[u] ?? ''}) FILTER (WHERE ${filter})), 0)`;
  const regions = hasRegions ? regionsOf(look.siblings) : [];
  return [
    ...(hasWhole ? block.units.map((_, u) => `bit_or(${look.oneHot[u] ?? ''}) AS m${u}`) : []),
    ...conditions.flatMap((condition, c) =>
      block.units.flatMap((_, u) => [
        `${bits(u, look.inside[c] ?? '')} AS i${c}_${u}`,
        ...(isOutsideLookedAt(condition) ? [`${bits(u, look.outside[c] ?? '')} AS o${c}_${u}`] : []),
      ]),
    ),
    ...regions.flatMap((region, r) => block.units.map((_, u) => `${bits(u, region)} AS x${r}_${u}`)),
  ];
}

/** What the verdict is made of: parts of a WITH, and the names of the groups and of what was left out. */
export interface QuickParts {
  readonly ahead: readonly string[];
  readonly g: string;
  readonly p: string;
  /** A column of g and p that numbers the groups in the order of their keys; absent: there is none. */
  readonly place?: string;
  /** Whether nothing was left out of a group; null: that cannot be told. Absent: it follows from how many rows were looked at. */
  readonly nothing?: string | null;
  /** Whether too few rows were left out of it, likewise. */
  readonly few?: string | null;
}

/**
 * The verdict as far as bits and samples give it, with a column `open`: whether anything is left that only an exact count
 * decides. With no open row it equals the exact verdict; otherwise that one is made and takes its place.
 */
export function quickVerdict(
  block: Block,
  conditions: readonly Condition[],
  regions: number,
  { ahead, g, p, place, nothing = nothingLeftOut(block, 'w'), few = tooFewLeftOut(block, 'w') }: QuickParts,
): string {
  const k = block.terms.minUnits;
  const hasFilter = block.scope.predicates.length > 0;
  const inGroups = hasFilter && block.keys.length > 0 && splitPredicates(block).others.length > 0;
  const found = foundIn(block);
  const from = [`${g} AS g`];
  const leftOut: string[] = [];
  if (hasFilter) {
    const looked = rowsLookedAt(block);
    const all = looked === null || !inGroups ? found : [...found, looked];
    from.push(` CROSS JOIN (SELECT ${all.join(', ')} FROM ${p}) AS w`);
    leftOut.push(...block.units.map((_, u) => `w.x${u} >= ${k}`));
  }
  if (inGroups) {
    const on = block.keys.map((_, i) => `g.k${i} IS NOT DISTINCT FROM a.k${i}`).join(' AND ');
    from.push(` LEFT JOIN ${p} AS a ON (${place === undefined ? on : `g.${place} = a.${place}`})`);
    const none = nothing === null ? '' : `${nothing} OR `;
    leftOut.push(...block.units.map((_, u) => `(${none}coalesce(bit_count(a.m${u}), 0) >= ${k})`));
  }
  const whole = leftOut.length === 0 ? null : rowsOfAll(block);
  if (whole !== null) from.push(` CROSS JOIN (SELECT sum(n) AS rows FROM ${g}) AS y`);
  const outside =
    leftOut.length === 0 ? 'TRUE' : `(${whole === null ? '' : `y.rows = ${whole} OR `}(${leftOut.join(' AND ')}))`;
  const proven = [...block.units.map((_, u) => `g.u${u} >= ${k}`), outside].join(' AND ');
  const ok = [`g.n >= ${k}`, proven, ...(block.scope.guards ?? [])].join(' AND ');
  // Whoever has no row is no unit, and of few rows there are few units: whether there are any more need not be counted.
  const undecided = [
    `NOT (${proven})`,
    ...openConditions(block, conditions, 'g.'),
    ...openFactors(block, 'g.'),
    ...openRegions(block, regions, 'g.'),
  ].join(' OR ');
  const cells = block.cells.map((cell, i) => {
    const tests = cellTests(block, conditions, cell, 'quick');
    const value = `g.${cellName(i)}`;
    return `${tests.length === 0 ? value : `CASE WHEN ${tests.join(' AND ')} THEN ${value} END`} AS ${cellName(i)}`;
  });
  const certificates = block.units.map((_, u) => `CAST(least(g.u${u}, ${k}) AS BIGINT) AS c${u}`);
  const kept = [...cells, ...certificates, `coalesce(${ok}, FALSE) AS ok`];
  const masks = block.units.map((_, u) => `g.m${u} AS m${u}`);
  const decided = !inGroups || few === null ? '' : ` AND NOT ${few}`;
  const open = `(g.n >= ${k}${decided} AND (${undecided})) AS undecided`;
  const order = place === undefined ? inKeyOrder(block, 'v.') : ` ORDER BY v.${place}`;
  const v = `SELECT ${[...keyNames(block, 'g.'), ...(place === undefined ? [] : [`g.${place}`]), ...kept, 'g.n AS n', ...masks, open].join(', ')} FROM ${from.join('')}`;
  const dropped = block.units.map((_, u) => `coalesce(bit_count(bit_or(m${u}) FILTER (WHERE NOT ok)), 0)`);
  const least = dropped.length === 1 ? (dropped[0] ?? '0') : `least(${dropped.join(', ')})`;
  const z = `SELECT coalesce(sum(n) FILTER (WHERE NOT ok), 0) AS zn, ${least} AS zb FROM v`;
  const names = [
    ...keyNames(block, 'v.'),
    ...block.cells.map((_, i) => `v.${cellName(i)}`),
    ...block.units.map((_, u) => `v.c${u}`),
  ];
  const last = [
    ...names,
    'v.ok AS ok',
    `z.zb >= ${k} AS enough`,
    `(v.undecided OR (z.zn >= ${k} AND z.zb < ${k})) AS open`,
  ];
  const parts = [...ahead, `v AS MATERIALIZED (${v})`, `z AS MATERIALIZED (${z})`];
  return create(block, 't', `WITH ${parts.join(', ')} SELECT ${last.join(', ')} FROM v CROSS JOIN z${order}`);
}

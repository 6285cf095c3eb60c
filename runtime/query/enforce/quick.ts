import { type Block, cellName, type Condition, outsideOf, splitPredicates } from './block.ts';
import { factorsOf, openFactors } from './factors.ts';
import type { Halves } from './halves.ts';
import { fewRowsOf, foundIn, nothingLeftOut, rowsLookedAt, rowsOfAll, tooFewLeftOut } from './left-out.ts';
import { create, inKeyOrder, keyNames, keysAs, type Look } from './parts.ts';
import { openRegions, regionsOf, siblingsOf } from './siblings.ts';
import { cellTests, isOutsideLookedAt, openConditions } from './verdict.ts';

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
 * How a group finds its other half. Where that is not there, nothing was left out, unless the remaining conditions left
 * something out as well.
 */
export function byPlace(block: Block, { rest }: Halves): Pick<QuickParts, 'place' | 'nothing' | 'few'> {
  const isAll = rest.length === 0;
  return { place: 'place', nothing: isAll ? 'a.place IS NULL' : null, few: isAll ? fewRowsOf(block) : null };
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

import { alias, isOnly, printScope, privateBases } from '../rows.ts';
import { printTyped, quoteName } from '../print.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import { type Block, cellName, type Condition, outsideOf, splitPredicates } from './block.ts';
import { openFactors } from './factors.ts';
import { foundIn } from './left-out.ts';
import { openRegions } from './siblings.ts';
import { cellTests, create, inKeyOrder, keyNames, noneToProve, openConditions, table } from './statements.ts';

/** Most groups of which a sample of rows is likely to prove every one; with more, every row sets its bit. */
const MAX_SAMPLED_GROUPS = 512;
/** Rows looked at per expected group, between a least and a most. */
const ROWS_PER_GROUP = 128;
const SAMPLE = { least: 2_048, most: 65_536 };
/** Fewer rows than this are all looked at: a second look would cost more. */
const MIN_ROWS_TO_SAMPLE = 262_144;
/** A public table as large as this would cost a join of its own. */
const MAX_ROWS_BESIDE = 65_536;

/** Some of a block's rows: `rows` of one table, to be named `sq`, and FROM and WHERE that make the block's rows of them. */
export interface Sample {
  readonly rows: string;
  readonly from: (joined: string) => string;
}

/**
 * A sample of the block's rows, when that is likely to prove every group; else null. Units found in any part of a
 * group's rows are units of the group, so a sample can prove a threshold and never fakes one; groups that it leaves open
 * are counted exactly later. Only this choice, never an answer, follows from what is known of the columns.
 */
export function sampleOf(block: Block): Sample | null {
  const [base, ...more] = privateBases(block.scope);
  if (base === undefined || more.length > 0 || base.leftOn !== null) return null;
  const isHeavy = block.scope.bases.some((one) => one !== base && one.table.rowCount > MAX_ROWS_BESIDE);
  if (isHeavy || base.table.rowCount < MIN_ROWS_TO_SAMPLE || base.table.physical.startsWith('(')) return null;
  const groups = groupsOf(block);
  if (groups > MAX_SAMPLED_GROUPS) return null;
  const limit = Math.min(SAMPLE.most, Math.max(SAMPLE.least, groups * ROWS_PER_GROUP));
  const own = block.scope.predicates.filter((term) => isOnly(term, base));
  const later = block.scope.predicates.filter((term) => !own.includes(term));
  const columns = [
    ...base.table.columns.map(({ name }) => name),
    ...block.units.filter(({ relation }) => relation === base.relation).flatMap((unit) => unit.columns),
  ];
  const where = own.length === 0 ? '' : ` WHERE ${own.map(printTyped).join(' AND ')}`;
  const names = columns.map((name) => `${alias(base.relation)}.${quoteName(name)}`);
  return {
    rows: `SELECT ${names.join(', ')} FROM ${base.table.physical} AS ${alias(base.relation)}${where} LIMIT ${limit}`,
    from: (joined) =>
      printScope(block.scope, later.map(printTyped), joined, { relation: base.relation, sql: 'sq' }),
  };
}

/** How many groups there can be, as far as is known; Infinity: not known. */
function groupsOf(block: Block): number {
  return block.keys.reduce((product, { expression }) => product * valuesOf(expression), 1);
}

/** Whether there are so many groups that no sample proves them all. */
export function hasManyGroups(block: Block): boolean {
  const groups = groupsOf(block);
  return Number.isFinite(groups) && groups > MAX_SAMPLED_GROUPS;
}

/** How many values a key can take, as far as is known. */
function valuesOf(key: Typed): number {
  return distinctColumns(key).reduce((product, { column }) => product * (column.distinctValues ?? Infinity), 1);
}

/** Bits of the units of each group, of each condition's two sides, and of each region of siblings, over some rows. */
export function bitColumns(block: Block, conditions: readonly Condition[], regions: readonly string[]): string[] {
  const bits = (oneHot: string, filter: string): string =>
    `coalesce(bit_count(bit_or(${oneHot}) FILTER (WHERE ${filter})), 0)`;
  return [
    ...block.units.map((unit, u) => `bit_or(${unit.oneHot}) AS m${u}`),
    ...conditions.flatMap((condition, c) =>
      condition.kind === 'present'
        ? []
        : block.units.flatMap((unit, u) => [
            `${bits(unit.oneHot, condition.sql)} AS i${c}_${u}`,
            `${bits(unit.oneHot, outsideOf(condition))} AS o${c}_${u}`,
          ]),
    ),
    ...regions.flatMap((region, r) => block.units.map((unit, u) => `${bits(unit.oneHot, region)} AS x${r}_${u}`)),
  ];
}

/**
 * The verdict as far as bits and samples give it, with a column `open`: whether anything is left that only an exact count
 * decides. With no open row it equals the exact verdict; otherwise that one is made and takes its place.
 */
export function quickVerdict(block: Block, conditions: readonly Condition[], regions: readonly string[]): string {
  const k = block.terms.minUnits;
  const hasFilter = block.scope.predicates.length > 0;
  const inGroups = hasFilter && block.keys.length > 0 && splitPredicates(block).others.length > 0;
  const found = foundIn(block);
  const from = [`${table(block, 'g')} AS g`];
  const leftOut: string[] = [];
  if (hasFilter) {
    from.push(` CROSS JOIN (SELECT ${found.join(', ')} FROM ${table(block, 'p')}) AS w`);
    leftOut.push(...block.units.map((_, u) => `w.x${u} >= ${k}`));
  }
  if (inGroups) {
    const on = block.keys.map((_, i) => `g.k${i} IS NOT DISTINCT FROM a.k${i}`).join(' AND ');
    from.push(` LEFT JOIN ${table(block, 'p')} AS a ON (${on})`);
    // Where everything left out was looked at, a group that is not there has nothing left out.
    const none = hasManyGroups(block) ? 'a.m0 IS NULL OR ' : '';
    leftOut.push(...block.units.map((_, u) => `(${none}coalesce(bit_count(a.m${u}), 0) >= ${k})`));
  }
  const whole = noneToProve(block);
  const outside = leftOut.length === 0 ? 'TRUE' : `(${whole === null ? '' : `${whole} OR `}(${leftOut.join(' AND ')}))`;
  const proven = [...block.units.map((_, u) => `g.u${u} >= ${k}`), outside].join(' AND ');
  const ok = [`g.n >= ${k}`, proven, ...(block.scope.guards ?? [])].join(' AND ');
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
  const open = `(g.n >= ${k} AND (${undecided})) AS undecided`;
  const v = `SELECT ${[...keyNames(block, 'g.'), ...kept, 'g.n AS n', ...masks, open].join(', ')} FROM ${from.join('')}`;
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
  return create(
    block,
    't',
    `WITH v AS MATERIALIZED (${v}), z AS MATERIALIZED (${z}) SELECT ${last.join(', ')} FROM v CROSS JOIN z${inKeyOrder(block, 'v.')}`,
  );
}

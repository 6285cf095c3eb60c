import { repeatsRows } from '../differential/fan-out.ts';
import { MAX_LANE_UNITS } from '../../release/lanes.ts';
import { watchedUnits } from '../../release/sketch.ts';
import type { CatalogueTable, TableCuboid } from '../catalogue.ts';
import { CUBOID_ROWS, LARGE_ROWS, sketchWords } from '../layout.ts';
import { printTyped } from '../print.ts';
import { alias, type Base, printScope, reference, type RowScope, type ScopeUnit } from '../rows.ts';
import type { Block } from './block.ts';
import { cuboidFor, termsOf } from './held.ts';
import { halvesOf } from './halves.ts';
import { groupBy, keyNames, keysAs, predicates, table } from './parts.ts';
import { printWanted, type Wanted } from './wanted.ts';

/**
 * Sketches of the contributors to cells of large tables: see release/lanes.ts for what they are. Where no join can repeat
 * a row they are those of a cuboid of the layout (cuboids.ts), or made beside the cells, in the pass that makes the groups
 * (columns `gn`, `gv` and `gw` of table `g`); otherwise in a pass of their own that counts each row once.
 */

/** How many rows of the table a row of a per-unit relation stands for, and what tells it from the unit's other rows. */
export const UNIT_ROWS = '__gb_gn';
export const UNIT_ROW = '__gb_gr';

/** How such a column is called that speaks only of the rows that have a value; see measures.ts. */
export function atPlace(column: string, place: number | undefined): string {
  return place === undefined ? column : `${column}_m${place}`;
}

/**
 * In which forms rows of this table are sketched. Only sketches of one form can be compared, so whether there are lanes
 * follows from the table alone, never from the query or the rule; a minimum that lanes cannot watch has buckets as well.
 */
export function formsOf(of: CatalogueTable, buckets: number): readonly ('lanes' | undefined)[] {
  const hasWords = of.units.length > 0 && of.units.every(({ words }) => words !== undefined);
  if (!hasWords || of.rowCount < LARGE_ROWS) return [undefined];
  return watchedUnits({ buckets }) <= MAX_LANE_UNITS ? ['lanes'] : ['lanes', undefined];
}

/** One series of cells: rows of `base` that meet `condition`. */
export interface LaneSeries {
  readonly s: number;
  readonly unit: ScopeUnit;
  readonly base: Base;
  readonly condition: string;
  readonly place?: number | undefined;
  /** A row counts as often as joins repeat it. */
  readonly isRepeated?: boolean;
}

const big = (value: string): string => `CAST('${value}' AS UBIGINT)`;
/** Rows that a sub-query made of those of each unit. */
export const isPerUnit = ({ table: { physical } }: Base): boolean => physical.startsWith('(');

/** Whether the sketches can be made in the pass that makes the groups. */
function areBeside(scope: RowScope, base: Base): boolean {
  return !repeatsRows(scope, base);
}

/**
 * What the unit's rows are tagged by in the base table. INVARIANT: not by where a row lies. Another policy, version or order
 * of the same rows must give the same sketches, or nothing that was released before would be known again.
 */
export function tagIn({
  unit,
  base,
  place,
}: {
  readonly unit: Pick<ScopeUnit, 'domain' | 'hash'>;
  readonly base: Base;
  readonly place?: number | undefined;
}): string {
  const own = base.table.units.find((one) => one.domain === unit.domain) ?? base.table.units[0];
  // Tables that no layout made have no tags.
  return own?.tag === undefined
    ? `hash(${alias(base.relation)}.rowid, ${unit.hash})`
    : reference(base.relation, atPlace(own.tag, place));
}

type Contributors = Omit<LaneSeries, 's' | 'condition'>;

/**
 * Columns of the base table with what its rows add to a sketch; null: none. INVARIANT: the lane is that of `unit`. The layout
 * knows those of the table's own units, of which one that is the same in every row stands in for it.
 */
export function ownWords({ units }: Block, { unit, base }: Contributors): readonly string[] | null {
  const isOf = ({ domain }: { readonly domain: string }): boolean => domain === unit.domain;
  const [own, ...others] = base.table.units.filter(isOf);
  const isSame = others.length === 0 && units.filter(isOf).length === 1;
  return isSame && !isPerUnit(base) ? (own?.words ?? null) : null;
}

/**
 * The cuboid that holds what the cells rest on, the smallest if there are several: the layout has added its rows up by all
 * columns of theirs of which the block speaks. null: there is none.
 */
function cuboidOf(block: Block, one: LaneSeries): TableCuboid | null {
  const { base, condition } = one;
  if ((base.table.cuboids ?? []).length === 0 || base.leftOn !== null) return null;
  if (ownWords(block, one) === null || repeatsRows(block.scope, base)) return null;
  return cuboidFor(base, [...termsOf(block), condition]);
}

/** What a row of the base table adds to a sketch: as the layout has it, or made of the row's tag. */
function wordsIn(block: Block, one: Contributors): readonly string[] {
  const { unit, base } = one;
  const own = ownWords(block, one)?.map((word) => reference(base.relation, word));
  return own ?? sketchWords(tagIn(one), unit.hash);
}

interface Parts {
  readonly condition: string;
  /** What is added up by XOR, see `sketchWords`. */
  readonly words: readonly string[];
  /** How many rows of the table this one stands for; null: one. */
  readonly rows: string | null;
}

function columns(s: number, { condition, words, rows }: Parts): Wanted[] {
  const picked = condition === 'TRUE' ? null : condition;
  const xors = WORDS.map((name, i): Wanted => ({
    name: `${name}${s}`,
    call: 'bit_xor',
    value: words[i] ?? '',
    rows: picked,
  }));
  return [{ name: `gn${s}`, call: 'count', value: rows, rows: picked }, ...xors];
}
const WORDS = ['gv', 'gw'];

/** What the pass that makes the groups adds to them. */
export function lanesBeside(block: Block, series: readonly LaneSeries[]): Wanted[] {
  const beside = series.filter((one) => areBeside(block.scope, one.base) && cuboidOf(block, one) === null);
  return beside.flatMap((one) => {
    const rows = isPerUnit(one.base) ? reference(one.base.relation, atPlace(UNIT_ROWS, one.place)) : null;
    return columns(one.s, { condition: one.condition, words: wordsIn(block, one), rows });
  });
}

/** The same from a pass of its own in which joins repeat rows; `series`: of one unit and table. */
function lanesOnce(block: Block, series: readonly LaneSeries[]): string {
  const [first] = series;
  if (first === undefined) throw new Error('a sketch of nothing');
  if (first.isRepeated === true) return lanesOften(block, series, first);
  const { base, unit } = first;
  const row = isPerUnit(base) ? reference(base.relation, UNIT_ROW) : `${alias(base.relation)}.rowid`;
  const places = isPerUnit(base) ? [...new Set(series.map(({ place }) => place))] : [];
  const rows = places.map(
    (place) => `min(${reference(base.relation, atPlace(UNIT_ROWS, place))}) AS ${atPlace('gn', place)}`,
  );
  const words = (places.length === 0 ? [undefined] : places).flatMap((place) =>
    wordsIn(block, { unit, base, place }).map((word, i) => `min(${word}) AS ${atPlace(`g${i}`, place)}`),
  );
  const flags = series.map(({ condition, s }) => `count(*) FILTER (WHERE ${condition}) > 0 AS f${s}`);
  const parts = [...words, ...rows, ...flags];
  const by = [...block.keys.map((_, i) => `k${i}`), row, unit.hash];
  const once = `SELECT ${[...keysAs(block), ...parts].join(', ')} ${printScope(block.scope, predicates(block))}${groupBy(by)}`;
  const sums = series.flatMap(({ s, place }) => {
    const counted = rows.length === 0 ? null : atPlace('gn', place);
    return columns(s, { condition: `f${s}`, words: [0, 1].map((i) => atPlace(`g${i}`, place)), rows: counted }).map(
      printWanted,
    );
  });
  return `(SELECT ${[...keyNames(block), ...sums].join(', ')} FROM (${once})${groupBy(keyNames(block))})`;
}

/** The same, where a row that is added up several times is another one than if it were added up once. */
function lanesOften(block: Block, series: readonly LaneSeries[], { base, unit }: LaneSeries): string {
  const isMade = isPerUnit(base);
  const row = isMade ? reference(base.relation, UNIT_ROW) : `${alias(base.relation)}.rowid`;
  const own = [...new Set(series.map(({ place }) => place))].flatMap((place) => [
    ...wordsIn(block, { unit, base, place }).map((word, i) => `min(${word}) AS ${atPlace(`g${i}`, place)}`),
    `min(${tagIn({ unit, base, place })}) AS ${atPlace('gt', place)}`,
    ...(isMade ? [`min(${reference(base.relation, atPlace(UNIT_ROWS, place))}) AS ${atPlace('gn', place)}`] : []),
  ]);
  const times = series.map(({ condition, s }) => `count(*) FILTER (WHERE ${condition}) AS m${s}`);
  const parts = [`${unit.hash} AS uh`, ...own, ...times];
  const by = [...block.keys.map((_, i) => `k${i}`), row, unit.hash];
  const once = `SELECT ${[...keysAs(block), ...parts].join(', ')} ${printScope(block.scope, predicates(block))}${groupBy(by)}`;
  const sums = series.flatMap(({ s, place }) => {
    const other = sketchWords(timesOf(atPlace('gt', place), `m${s}`), 'uh');
    const often = other.map((word, i) => `CASE WHEN m${s} = 1 THEN ${atPlace(`g${i}`, place)} ELSE ${word} END`);
    const rows = isMade ? `m${s} * ${atPlace('gn', place)}` : `m${s}`;
    return columns(s, { condition: `m${s} > 0`, words: often, rows }).map(printWanted);
  });
  return `(SELECT ${[...keyNames(block), ...sums].join(', ')} FROM (${once})${groupBy(keyNames(block))})`;
}

/**
 * The tag of what is made in some way of several values, so that it is told from their sum and from what is made in another way.
 * INVARIANT: how it changes depends on the tag. What changes all tags alike is gone where two units that share a lane change.
 */
export function markedBy(tag: string, by: string): string {
  return `hash(${tag}, '${by.replaceAll("'", "''")}')`;
}

/** Another tag for each number of times, likewise. */
export const timesOf = (tag: string, times: string): string => `hash(${tag}, ${times})`;

/** The same from a cuboid in the table's place. */
function lanesOfCuboid(block: Block, series: readonly LaneSeries[], { physical }: TableCuboid): string {
  const sums = series.flatMap((one) => {
    const rows = reference(one.base.relation, CUBOID_ROWS);
    return columns(one.s, { condition: one.condition, words: wordsIn(block, one), rows }).map(printWanted);
  });
  const instead = series.map(({ base: { relation } }) => ({ relation, sql: physical }))[0] ?? null;
  const by = groupBy(block.keys.map(({ expression }) => printTyped(expression)));
  return `(SELECT ${[...keysAs(block), ...sums].join(', ')} ${printScope(block.scope, predicates(block), '', instead)}${by})`;
}

/** What the pass that makes the groups added to them; see `lanesBeside`. */
function groupsWith(block: Block, series: readonly LaneSeries[]): string {
  const names = series.flatMap(({ s }) => ['gn', ...WORDS].map((name) => `${name}${s}`));
  const half = halvesOf(block)?.half('taken', names);
  return half === undefined ? table(block, 'g') : `(${half})`;
}

/** Where the sketches of series of one unit and table are found. */
function sourcesOf(
  block: Block,
  series: readonly LaneSeries[],
): readonly { readonly from: string; readonly series: readonly LaneSeries[] }[] {
  const cuboids = new Map(series.map((one) => [one, cuboidOf(block, one)]));
  const held = [...new Set(cuboids.values())].flatMap((cuboid) => {
    if (cuboid === null) return [];
    const own = series.filter((one) => cuboids.get(one) === cuboid);
    return [{ from: lanesOfCuboid(block, own, cuboid), series: own }];
  });
  const others = series.filter((one) => cuboids.get(one) === null);
  const [first] = others;
  if (first === undefined) return held;
  const from = areBeside(block.scope, first.base) ? groupsWith(block, others) : lanesOnce(block, others);
  return [...held, { from, series: others }];
}

/** So many keys of a group fit into the row of its sketch. */
export const PLACES_BESIDE = 4;

interface Reading {
  /** Several groups can have one number. */
  readonly isMerged: boolean;
  /** Columns of `i` that tell the group's value in each key apart, to be told beside the sketch. */
  readonly places: readonly string[];
}

/** Reads the sketches of series of one unit and table: twelve columns, see `GuardPlan.sketches`. */
export function laneSketches(
  block: Block,
  index: number,
  series: readonly LaneSeries[],
  reading: Reading,
): readonly string[] {
  return sourcesOf(block, series).map((source) => laneSketch(block, index, source, reading));
}

function laneSketch(
  block: Block,
  index: number,
  { from, series }: { readonly from: string; readonly series: readonly LaneSeries[] },
  { isMerged, places }: Reading,
): string {
  const on =
    keyNames(block)
      .map((name) => `a.${name} IS NOT DISTINCT FROM i.${name}`)
      .join(' AND ') || 'TRUE';
  const low = `CAST('4294967295' AS UBIGINT)`;
  const told = (call: string, column: string): string => (isMerged ? `${call}(${column})` : column);
  const ranks = Array.from({ length: PLACES_BESIDE }, (_, i) =>
    places[i] === undefined ? 'CAST(0 AS BIGINT)' : `CAST(${told('min', `i.${places[i]}`)} AS BIGINT)`,
  );
  const selects = series.map(({ s }) => {
    const halves = (name: string): string[] => [
      `CAST(${told('bit_xor', `a.${name}${s}`)} & ${low} AS BIGINT)`,
      `CAST(${told('bit_xor', `a.${name}${s}`)} >> ${big('32')} AS BIGINT)`,
    ];
    const rows = told('sum', `a.gn${s}`);
    const head = [`CAST(${index} AS BIGINT)`, `CAST(${s} AS BIGINT)`, 'i.id', ...ranks.slice(0, 2)];
    const counted = `CAST(CAST(${rows} AS HUGEINT) & CAST(4294967295 AS HUGEINT) AS BIGINT)`;
    const words = [counted, ...WORDS.flatMap(halves), ...ranks.slice(2)];
    // Whoever a LEFT JOIN fills up stands for no row: of nobody's rows there is nothing to tell, as where buckets are.
    const some = isMerged ? `WHERE i.s${s} GROUP BY i.id HAVING ${rows} > 0` : `WHERE i.s${s} AND ${rows} > 0`;
    return `SELECT ${[...head, ...words].join(', ')} FROM a JOIN ${table(block, 'i')} AS i ON (${on}) ${some}`;
  });
  return `WITH a AS (SELECT * FROM ${from}) ${selects.join(' UNION ALL ')}`;
}

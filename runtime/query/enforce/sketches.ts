import type { ValuesOf } from '../catalogue.ts';
import { type Base, privateBases, reference, type ScopeUnit } from '../rows.ts';
import type { GuardedBlock, GuardedSeries } from '../enforced.ts';
import { type Block, type Cell, cellName, keyName } from './block.ts';
import { repeatsRows } from '../differential/fan-out.ts';
import { printTyped, quoteName } from '../print.ts';
import { distinctColumns } from '../typed.ts';
import { bucketSketches } from './buckets.ts';
import { PLACES_BESIDE, formsOf, lanesBeside, laneSketches, type LaneSeries } from './lanes.ts';
import { and, madeOf, measuresOf, namesOf, rowsOf } from './measures.ts';
import { create, keyNames, recreate, sameKeys, table } from './parts.ts';
import type { Wanted } from './wanted.ts';

/**
 * Statements that sketch the contributors of a block's shown cells, for the differencing guard, and that take out what the
 * guard withholds. See release/sketch.ts for what a sketch is.
 *
 *   i  the shown groups, each with a number (0: the small groups merged into one) and which cells it shows
 *   gb_hide  filled by the worker with what the guard withholds: block and number of the group
 *
 * A cell rests on rows of each private table that it reads. Each such table gives a series of its own, in which a row
 * counts once however often a join repeats it: a join must not make another question of the same one.
 *
 * A value that belongs to fewer rows than are joined (the income of a patient, summed over visits) stands in several groups
 * and as often as its row is repeated there. Groups of such cells overlap, so they subtract to whoever they do not share:
 * they get a series of their own in which a row counts as often as it is added, and their groups are compared with each other.
 */
export interface BlockSketches {
  readonly guarded: GuardedBlock;
  readonly setup: readonly string[];
  readonly sketches: readonly string[];
  readonly apply: readonly string[];
}

/** How the columns are called that tell a row's place among those of its unit, and what stands before and after it. */
export const PLACE_COLUMN = '__gb_w';
export const HIDE_TABLE = 'gb_hide';
export const CREATE_HIDE = `CREATE TEMP TABLE "${HIDE_TABLE}" AS SELECT * FROM (VALUES (CAST(0 AS BIGINT), CAST(0 AS BIGINT))) AS h(block, id) WHERE id < 0`;

type Verdict = 't' | 'sc';

interface Series extends GuardedSeries {
  /** Positions of the cells that rest on it. */
  readonly cells: readonly number[];
  readonly unit: ScopeUnit;
  /** null: units are counted, not rows. */
  readonly base: Base | null;
  readonly condition: string;
  /** A row counts as often as joins repeat it. */
  readonly isRepeated?: boolean;
  /** Of values per unit: where the number and the tags of the rows stand that one is made of; absent: those of all rows. */
  readonly place?: number;
}

/** `verdict`: the table that says which groups are shown: `t`, or `sc` for one of several grouping sets. */
export function sketchesOf(block: Block, index: number, buckets: number, verdict: Verdict = 't'): BlockSketches {
  const series = seriesOf(block, buckets);
  const wanted = [...new Map(series.map((one) => [sourceOf(one), one])).values()];
  const numbered = series.map((one, s) => ({ ...one, s }));
  const hasPlaces = block.keys.length > 1 && !arePlacesBeside(block, series);
  return {
    guarded: {
      cells: block.cells.length,
      series: series.map(({ label, also, form, base, isOverlapping }) => ({
        label,
        ...(also === undefined || also.length === 0 ? {} : { also }),
        ...(form === undefined ? {} : { form }),
        ...(isOverlapping === true || (base === null && isByPlace(block)) ? { isOverlapping: true } : {}),
      })),
    },
    setup: [create(block, 'i', shownGroups(block, series, verdict))],
    sketches: inFew([
      ...(hasPlaces ? [places(block, index)] : []),
      ...wanted.flatMap((one) => {
        const own = numbered.filter((other) => sourceOf(other) === sourceOf(one));
        return one.form === 'lanes'
          ? laneSketches(block, index, own.flatMap(withBase), {
              isMerged: isMerged(block),
              places: arePlacesBeside(block, series) ? block.keys.map((_, i) => `d${i}`) : [],
            })
          : bucketSketches(block, index, own, buckets);
      }),
    ]),
    apply: applied(block, index, verdict),
  };
}

/** Each statement costs about a millisecond, which is more than reading what was found already takes. */
function inFew(statements: readonly string[]): string[] {
  const isLong = (sql: string): boolean => sql.includes('MATERIALIZED');
  const brief = statements.filter((sql) => !isLong(sql));
  const together = brief.length < 2 ? brief : [brief.map((sql) => `SELECT * FROM (${sql})`).join(' UNION ALL ')];
  return [...together, ...statements.filter(isLong)];
}

/** What the pass that makes the groups adds to them, so that sketches need no pass of their own. */
export function sketchedBeside(block: Block, buckets: number): Wanted[] {
  const series = seriesOf(block, buckets).map((one, s) => ({ ...one, s }));
  return lanesBeside(
    block,
    series.flatMap(withBase).filter(({ form }) => form === 'lanes'),
  );
}

const withBase = <One extends Series & { readonly s: number }>(one: One): (One & LaneSeries)[] =>
  one.base === null ? [] : [{ ...one, base: one.base }];

const sourceOf = ({ unit, base, isRepeated, form }: Series): string =>
  `${unit.domain} ${unit.relation} ${base?.relation ?? 'units'}${isRepeated === true ? ' repeated' : ''} ${form ?? ''}`;

/** Whether the block has cells whose groups overlap, although they are groups of joined rows. */
export function hasOverlaps(block: Block): boolean {
  return (
    mixedIn(block).size > 0 || isByPlace(block) || block.cells.some((cell) => repeatedBases(block, cell).length > 0)
  );
}

/**
 * Whether rows are told apart by their place among those of their unit. Who has a fourth row has a third: `count(*)` of the
 * third rows less that of the fourth ones is how many units have exactly three, which as a group of its own would be held
 * to the minimum. So the units of such groups and conditions are compared, although they share no row.
 */
function isByPlace(block: Block): boolean {
  const isPlace = (sql: string): boolean => sql.includes(`.${quoteName(PLACE_COLUMN).slice(0, -1)}`);
  return (
    isOfUnits(block) &&
    (block.keys.some(({ expression }) => isPlace(printTyped(expression))) ||
      block.cells.some(({ conditions }) => conditions.some(({ sql }) => isPlace(sql))))
  );
}

/** The tables whose rows a cell adds up, if joins repeat each of them; else none. */
function repeatedBases(block: Block, cell: Cell): readonly Base[] {
  const bases = privateBases(block.scope).filter(({ relation }) => (cell.addends ?? []).includes(relation));
  // A row of the table is in one group only, and in no cell twice.
  const isApart = ({ relation }: Base): boolean =>
    block.keys.length > 0 &&
    block.keys.every(({ expression }) => distinctColumns(expression).every((column) => column.relation === relation)) &&
    block.cells.every(({ conditions }) => conditions.every(({ kind }) => kind === 'present'));
  const isRepeated = (base: Base): boolean => !base.table.physical.startsWith('(') && repeatsRows(block.scope, base);
  return bases.every((base) => isRepeated(base) && !isApart(base)) ? bases : [];
}

/**
 * A table that a join repeats for the rows of another one, which it repeats nowhere, beside a cell that counts those rows or
 * adds up their columns alone: `sum(f.cost)` of faults joined with their machines. The cell follows from the rows of the other
 * table, which have a series. Who has some of them is no part of it: otherwise the costs by line were held against the
 * hours of all machines by line, of which one may have no fault.
 */
function isBystander({ scope, units }: Block, cell: Cell, base: Base): boolean {
  const isCounted = cell.addends === undefined && cell.sql.startsWith('count(*)');
  const isApart = isCounted || cell.addends?.includes(base.relation) === false;
  if (!isApart || units.length > 1 || base.table.physical.startsWith('(')) return false;
  const isRepeated = (one: Base): boolean => repeatsRows(scope, one, 'bounded');
  const isOther = (one: Base): boolean => one !== base && !one.table.physical.startsWith('(') && !isRepeated(one);
  return isRepeated(base) && privateBases(scope).some(isOther);
}

function seriesOf(block: Block, buckets: number): Series[] {
  const found = new Map<string, Series & { cells: number[]; also: string[] }>();
  const add = (one: Omit<Series, 'cells'>, cell: number): void => {
    const key = JSON.stringify([one.label, sourceOf({ ...one, cells: [] }), one.condition, one.place]);
    const known = found.get(key);
    if (known === undefined) found.set(key, { ...one, cells: [cell], also: [] });
    else if (!known.cells.includes(cell)) known.cells.push(cell);
  };
  // Values are compared column by column, where the same rows have a series already under one more label of it.
  const addValues = (one: Omit<Series, 'cells'>, cell: number): void => {
    const source = sourceOf({ ...one, cells: [] });
    const same = [...found.values()].find(
      (other) => sourceOf(other) === source && other.condition === one.condition && other.place === one.place,
    );
    if (same === undefined || one.isRepeated === true || one.isOverlapping === true) return add(one, cell);
    if (!same.cells.includes(cell)) same.cells.push(cell);
    if (same.label !== one.label && !same.also.includes(one.label)) same.also.push(one.label);
  };
  const mixed = mixedIn(block);
  for (const [index, cell] of block.cells.entries()) {
    const { branches } = cell;
    const { chosen, present, there } = rowsOf(cell);
    const measures = measuresOf(cell);
    for (const unit of block.units) {
      for (const base of privateBases(block.scope).filter((one) => !isBystander(block, cell, one))) {
        // What moves from one branch to another changes the cell, too.
        const apart = branches === undefined || branches.length < 2 ? [] : branches.map((one) => `(${one.rows})`);
        for (const form of formsOf(base.table, buckets)) {
          const rows = { unit, base, ...(form === undefined ? {} : { form }) };
          // Sketches of different forms cannot be compared.
          const what = form === undefined ? [unit.domain, 'rows'] : [unit.domain, 'rows', form];
          for (const condition of [and(chosen), ...apart])
            add({ ...rows, label: JSON.stringify(what), condition }, index);
          // Rows that a count counts are told apart by WHERE as well: count(x) and count(*) WHERE x IS NOT NULL.
          if (present.length > 0 && cell.sql.startsWith('count('))
            add({ ...rows, label: JSON.stringify(what), condition: and(there) }, index);
          // Values that are missing here and there make cells of one measure differ, not cells of different ones.
          for (const measure of measures) {
            const condition = measure.rows;
            const made = cell.addends?.includes(base.relation) === true ? madeOf(measure, base) : [];
            // Of a value per unit that is added up: by the rows that it is made of.
            for (const { of, place } of made)
              add({ ...rows, label: JSON.stringify([...what, ...of]), condition, place }, index);
            if (made.length === 0)
              add(
                { ...rows, label: JSON.stringify([...what, ...namesOf(measure, block.scope.bases)]), condition },
                index,
              );
          }
        }
      }
      const repeated = repeatedBases(block, cell);
      const often = repeatsValues(block, cell) ? { isRepeated: true } : {};
      for (const base of privateBases(block.scope)) {
        if (isCount(cell) && !isCounted(block, cell, base)) continue;
        for (const { of, place, condition, forms = formsOf(base.table, buckets) } of valuesIn(cell, base))
          for (const form of forms) {
            const label = JSON.stringify([unit.domain, 'values', of, ...(form === undefined ? [] : [form])]);
            const where = { ...(form === undefined ? {} : { form }), ...(place === undefined ? {} : { place }) };
            const together = mixed.has(of) ? { isOverlapping: true } : {};
            addValues({ unit, base, label, condition, ...often, ...together, ...where }, index);
          }
      }
      for (const base of repeated) {
        const label = JSON.stringify([unit.domain, 'values']);
        add({ unit, base, label, condition: and(there), isRepeated: true, isOverlapping: true }, index);
      }
      if (countsUnits(block, cell) || isOfUnits(block) || isOneOfEachUnit(block)) {
        const apart = branches === undefined || branches.length < 2 ? [] : branches.map((one) => `(${one.rows})`);
        const label = JSON.stringify([unit.domain, 'units']);
        for (const condition of [and(chosen), ...apart]) add({ unit, base: null, label, condition }, index);
      }
    }
  }
  return [...found.values()];
}

/** Whether joins repeat the rows of every table of which it adds up values: then it adds up some of them more often. */
function repeatsValues({ scope }: Block, { addends = [] }: Cell): boolean {
  const privates = privateBases(scope);
  const added = privates.filter(({ relation }) => addends.includes(relation));
  return (added.length === 0 ? privates : added).every((base) => repeatsRows(scope, base));
}

/** How many rows there are, or as many of a condition: each adds one. */
function isCount({ sql, adds = [], quantile, extremum }: Cell): boolean {
  return adds.length === 0 && quantile === undefined && extremum === undefined && !sql.startsWith('count(DISTINCT');
}

/** Whether it counts rows of the table, and not those of another one that repeat them. */
function isCounted(block: Block, cell: Cell, base: Base): boolean {
  if (base.table.physical.startsWith('(') || isBystander(block, cell, base)) return false;
  return repeatsValues(block, cell) || !repeatsRows(block.scope, base);
}

/** Columns of whose values cells add up what is made in several ways for each unit: their sum, their mean, the least. */
function mixedIn({ cells }: Block): ReadonlySet<string> {
  const made = new Map<string, Set<string>>();
  for (const { valuesOf } of cells.flatMap(({ adds = [] }) => adds.map(({ column }) => column)))
    for (const of of valuesOf?.columns ?? []) made.set(of, (made.get(of) ?? new Set()).add(valuesOf?.by ?? ''));
  return new Set([...made].flatMap(([of, ways]) => (ways.size > 1 ? [of] : [])));
}

/**
 * Whose values of a table a cell adds up, column by column, and in which rows. Incomes of people less the same added up over
 * their visits are those of whoever came twice; costs of visits less their mean for each person likewise.
 */
function valuesIn(
  cell: Cell,
  base: Base,
): readonly (Omit<ValuesOf, 'columns' | 'by'> & { readonly of: string; readonly condition: string })[] {
  if (isCount(cell)) return [{ of: '*', condition: and(rowsOf(cell).there) }];
  const isPerUnit = base.table.physical.startsWith('(');
  return (cell.adds ?? []).flatMap(({ relation, column }) => {
    if (relation !== base.relation || (isPerUnit && column.valuesOf === undefined)) return [];
    const measured = (cell.measured ?? []).find(({ there }) => there.includes(reference(relation, column.name)));
    const condition = measured === undefined ? and(rowsOf(cell).there) : `(${measured.rows})`;
    const { columns, by: _, ...where } = column.valuesOf ?? { columns: [column.name], by: 'sum' };
    return columns.map((of) => ({ of, condition, ...where }));
  });
}

/**
 * Rows that a sub-query made of those of each unit: which units they are is compared as well. Their rows alone can differ in
 * many who stay where they are, and in one who moves to another group by a value per unit.
 */
function isOfUnits(block: Block): boolean {
  return privateBases(block.scope).some(({ table: { physical } }) => physical.startsWith('('));
}

/**
 * Rows of a table of which other tables know that it has one of each unit, each once: to count them is to count units, as
 * elsewhere by count(DISTINCT …) or with a sub-query per unit. That it is so follows from the policy, not from the rows.
 */
function isOneOfEachUnit({ scope }: Block): boolean {
  return privateBases(scope).some((base) => base.table.isOneOfEachUnit === true && !repeatsRows(scope, base));
}

/** count(DISTINCT …) of a unit's own key: who is in it matters, how often does not. */
function countsUnits(block: Block, cell: Cell): boolean {
  if (!cell.sql.startsWith('count(DISTINCT')) return false;
  const keys = block.scope.bases.flatMap(({ relation, table: of }) =>
    of.units.flatMap(({ keyColumns }) => keyColumns.map((name) => reference(relation, name))),
  );
  return keys.some((key) => cell.sql.includes(key));
}

const isMerged = (block: Block): boolean => block.terms.smallGroups === 'remainder' && block.keys.length > 0;

/** Tells the values of a key apart, from 1: whole numbers tell themselves apart. */
function rankOf({ keys }: Block, index: number, key: string): string {
  const type = keys[index]?.type;
  if (type?.kind !== 'integer' || type.bits > 32) return `dense_rank() OVER (ORDER BY ${key})`;
  return `coalesce(CAST(${key} AS BIGINT) + CAST(2147483650 AS BIGINT), CAST(1 AS BIGINT))`;
}

function shownGroups(block: Block, series: readonly Series[], verdict: Verdict): string {
  const by = keyNames(block, 't.');
  const over = by.length === 0 ? '' : `ORDER BY ${by.join(', ')}`;
  const number = `row_number() OVER (${over})`;
  const ranks = block.keys.length > 1 ? by.map((key, i) => `${rankOf(block, i, key)} AS d${i}`) : [];
  const flags = series.map(({ cells }, s) => {
    const own = cells.map((cell) => `t.${cellName(cell)} IS NOT NULL`).join(' OR ');
    const merged = cells.map((cell) => `(SELECT count(${cellName(cell)}) FROM ${table(block, 'r')}) > 0`).join(' OR ');
    return `${isMerged(block) ? `CASE WHEN t.ok THEN ${own} ELSE ${merged} END` : `(${own})`} AS s${s}`;
  });
  const id = isMerged(block) ? `CASE WHEN t.ok THEN ${number} ELSE 0 END` : number;
  const where = isMerged(block) ? `t.ok OR (SELECT count(*) FROM ${table(block, 'r')}) > 0` : 't.ok';
  return `SELECT ${[...by.map((key, i) => `${key} AS ${keyName(i)}`), `CAST(${id} AS BIGINT) AS id`, ...ranks, ...flags].join(', ')} FROM ${table(block, verdict)} AS t WHERE ${where}`;
}

/** Of the only sketch of each group, which has room for so many. */
function arePlacesBeside({ keys }: Block, [only, ...others]: readonly Series[]): boolean {
  return only?.form === 'lanes' && others.length === 0 && keys.length > 1 && keys.length <= PLACES_BESIDE;
}

/** Which value each group has in each key, as ranks: series -1, then group, the first of eight keys, and the ranks in these. */
function places(block: Block, index: number): string {
  const firsts = block.keys.flatMap((_, i) => (i % PLACES_IN_ROW === 0 ? [i] : []));
  return firsts
    .map((first) => {
      const ranks = Array.from({ length: PLACES_IN_ROW }, (_, i) =>
        first + i < block.keys.length ? `CAST(d${first + i} AS BIGINT)` : 'CAST(0 AS BIGINT)',
      );
      return `SELECT CAST(${index} AS BIGINT), CAST(-1 AS BIGINT), id, CAST(${first} AS BIGINT), ${ranks.join(', ')} FROM ${table(block, 'i')} WHERE id > 0`;
    })
    .join(' UNION ALL ');
}
const PLACES_IN_ROW = 8;

/** Takes out of the verdict the groups that `gb_hide` names. */
function applied(block: Block, index: number, verdict: Verdict): string[] {
  const hide = `SELECT id FROM temp."${HIDE_TABLE}" WHERE block = ${index} GROUP BY id`;
  const cells = block.cells.map((_, cell) => `t.${cellName(cell)} AS ${cellName(cell)}`);
  const units = block.units.map((_, u) => `t.c${u} AS c${u}`);
  const keys = keyNames(block, 't.').map((key, i) => `${key} AS ${keyName(i)}`);
  const order = keys.length === 0 ? '' : ` ORDER BY ${keyNames(block, 't.').join(', ')}`;
  const kept = [...keys, ...cells, ...units];
  const shown = `SELECT ${[...kept, 't.ok AS ok', 't.enough AS enough'].join(', ')} FROM ${table(block, verdict)} AS t LEFT JOIN ${table(block, 'i')} AS i ON (${sameKeys(block, 't', 'i')}) LEFT JOIN (${hide}) AS w ON (i.id = w.id) WHERE NOT (t.ok AND w.id IS NOT NULL)${order}`;
  if (!isMerged(block)) return [recreate(block, verdict, shown)];
  const merged = `SELECT ${kept.join(', ')} FROM ${table(block, 'r')} AS t LEFT JOIN (${hide}) AS w ON (w.id = 0) WHERE w.id IS NULL`;
  return [recreate(block, verdict, shown), recreate(block, 'r', merged)];
}

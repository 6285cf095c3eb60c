import type { UnitColumns } from '../catalogue.ts';
import { UNIT_TAGS } from '../enforce/buckets.ts';
import { atPlace, formsOf, markedBy, tagIn, timesOf, UNIT_ROWS } from '../enforce/lanes.ts';
import { printTyped, quoteName } from '../print.ts';
import { type Base, reference } from '../rows.ts';
import type { BaseColumn, Typed } from '../typed.ts';

/**
 * What the guard compares values per unit by: how many rows each unit has, and their tags, of all and of those that have a
 * value. Tags add up to one tag, by XOR where lanes are, as in release/lanes.ts.
 *
 * A value is known by the rows that hold it. Where a join repeats those (the income of a patient in the rows of each visit),
 * they count as often as they are added up, as they do where nobody makes values per unit of them; a mean, or the least of
 * several, of one row is what that row holds, however often the join repeats it.
 */

/** Rows of a unit that are counted and tagged. */
export interface ValuedRows {
  /** Those that have a value; absent: all. */
  readonly rows?: string;
  /** Of values per unit of their own: the place at which what they are made of stands; absent: all of it. */
  readonly of?: number;
  /** What is made of several of them, where that is not their sum: it is another value than any row of the unit adds. */
  readonly by?: string;
  /** The table that they are rows of, where a join may repeat them for the rows of another one; absent: the one whose rows are counted. */
  readonly source?: Base;
}

/** A query made the table, and counts and tags the rows that each of its rows is made of. */
export const isMade = ({ table: { physical } }: Base): boolean => physical.startsWith('(');

/** The table that has all the values, where it is another one than that whose rows are counted. */
export function sourceAmong(privates: readonly Base[], of: readonly BaseColumn[], base: Base): Base | null {
  const [source, ...others] = privates.filter(({ relation }) => of.some((one) => one.relation === relation));
  return source === undefined || others.length > 0 || source === base ? null : source;
}

/** How one value is made of several of a unit; null: not so that it is the value where there is one. */
export function wayOf(name: string, args: readonly Typed[]): string | null {
  if (name === 'sum') return 'sum';
  if (name === 'avg' || name === 'mean') return 'mean';
  if (!ONE_OF_SEVERAL.has(name)) return null;
  return [name, ...args.filter(({ kind }) => kind === 'constant').map(printTyped)].join(' ');
}
const ONE_OF_SEVERAL: ReadonlySet<string> = new Set([
  'any_value',
  'approx_quantile',
  'arbitrary',
  'first',
  'last',
  'median',
  'mode',
  'quantile',
  'quantile_cont',
  'quantile_disc',
]);

/** The columns with the number of rows of each unit and their tags: of all, and at their places of those that have a value. */
export function rowsIn(
  { base, unit, hash }: { readonly base: Base; readonly unit: UnitColumns; readonly hash: string },
  [all = {}, ...valued]: readonly ValuedRows[],
  buckets: number,
): string[] {
  const columns = ({ rows, of, by, source = base }: ValuedRows, place?: number): string[] => {
    const forms = formsOf(source.table, buckets);
    const inside = (column: string): string => reference(source.relation, atPlace(column, of));
    const lane = source.table.units[0]?.tag;
    const parts: Parts = {
      count: isMade(source) ? inside(UNIT_ROWS) : null,
      tag: isMade(source) ? inside(UNIT_TAGS) : tagIn({ unit: { domain: unit.domain, hash }, base: source }),
      lane: lane === undefined || !forms.includes('lanes') ? null : inside(lane),
      rows,
      by,
    };
    const found = source === base ? addedUp(parts) : isOneOfUnit(source) ? ofOne(parts) : ofSeveral(parts);
    const named = (column: string): string => quoteName(atPlace(column, place));
    return [
      `CAST(coalesce(${found.count}, 0) AS BIGINT) AS ${named(UNIT_ROWS)}`,
      ...(found.lane === null ? [] : [`${found.lane} AS ${named(unit.tag ?? '')}`]),
      ...(forms.includes(undefined) ? [`coalesce(${found.tag}, CAST(0 AS HUGEINT)) AS ${named(UNIT_TAGS)}`] : []),
    ];
  };
  return [...columns(all), ...valued.flatMap((one, place) => columns(one, place))];
}

/** What a joined row has of a row that holds a value. */
interface Parts {
  /** Of how many rows it is made; null: it is one. */
  readonly count: string | null;
  readonly tag: string;
  /** The tag in lanes; null: there are none. */
  readonly lane: string | null;
  readonly rows: string | undefined;
  readonly by: string | undefined;
}

/** Aggregates over the rows of a unit. */
interface Found {
  readonly count: string;
  readonly tag: string;
  readonly lane: string | null;
}

const NONE = "CAST('0' AS UBIGINT)";
const filterOf = ({ rows }: Parts): string => (rows === undefined ? '' : ` FILTER (WHERE ${rows})`);
const countOf = (parts: Parts): string =>
  `${parts.count === null ? 'count(*)' : `sum(${parts.count})`}${filterOf(parts)}`;
const sumOf = (parts: Parts, distinct = ''): string =>
  `sum(${distinct}CAST(${parts.tag} AS HUGEINT))${filterOf(parts)}`;
/** Not FILTER: selecting rows for each aggregate costs more than adding nothing. */
const wordOf = ({ lane, rows }: Parts): string =>
  rows === undefined ? `${lane}` : `CASE WHEN ${rows} THEN ${lane} ELSE ${NONE} END`;

/** The tag in buckets of what is made of several rows. */
const marked = (tags: string, by: string): string => `CAST(${markedBy(tags, by)} AS HUGEINT)`;

/** Rows that the join repeats nowhere. */
function addedUp(parts: Parts): Found {
  const count = countOf(parts);
  const tags = `coalesce(${sumOf(parts)}, CAST(0 AS HUGEINT))`;
  const lanes = parts.lane === null ? null : `bit_xor(${wordOf(parts)})`;
  const { by } = parts;
  if (by === undefined) return { count, tag: tags, lane: lanes };
  const either = (several: string, one: string): string =>
    `CASE WHEN coalesce(${count}, 0) > 1 THEN ${several} ELSE ${one} END`;
  return {
    count,
    tag: either(marked(tags, by), tags),
    lane: lanes === null ? null : either(markedBy(lanes, by), lanes),
  };
}

/** The one row of the unit, as often as the join repeats it. */
function ofOne(parts: Parts): Found {
  const { lane, tag, count, by } = parts;
  const filter = filterOf(parts);
  const first = `min(${lane})${filter}`;
  const times = `count(*)${filter}`;
  if (by !== undefined) {
    const one = count === null ? `least(${times}, 1)` : `min(${count})${filter}`;
    return {
      count: one,
      tag: `CAST(min(${tag})${filter} AS HUGEINT)`,
      lane: lane === null ? null : `coalesce(${first}, ${NONE})`,
    };
  }
  const often = `CASE WHEN ${times} > 1 THEN ${timesOf(first, times)} ELSE coalesce(${first}, ${NONE}) END`;
  return { count: countOf(parts), tag: sumOf(parts), lane: lane === null ? null : often };
}

/** Rows of which a unit may have several, each as often as the join repeats it. */
function ofSeveral(parts: Parts): Found {
  const { lane, tag, by } = parts;
  const filter = filterOf(parts);
  if (by === undefined) {
    const often = `CASE WHEN e.value > 1 THEN ${timesOf('e.key', 'CAST(e.value AS BIGINT)')} ELSE e.key END`;
    const each = `list_transform(map_entries(histogram(${lane})${filter}), lambda e: ${often})`;
    const word = lane === null ? null : `coalesce(list_aggregate(${each}, 'bit_xor'), ${NONE})`;
    return { count: countOf(parts), tag: sumOf(parts), lane: word };
  }
  const which = parts.count === null ? tag : `hash(${tag})`;
  const isOne = `min(${which})${filter} = max(${which})${filter}`;
  const different = `count(DISTINCT ${which})${filter}`;
  // How often each of them is repeated makes no difference where all are alike, and none to the least of them.
  const isEven =
    by === 'least' || by === 'greatest'
      ? 'TRUE'
      : `CAST(count(*)${filter} AS HUGEINT) * ${sumOf(parts, 'DISTINCT ')} = CAST(${different} AS HUGEINT) * ${sumOf(parts)}`;
  const of = (one: string, even: string, other: string): string =>
    `CASE WHEN ${isOne} THEN ${one} WHEN ${isEven} THEN ${even} ELSE ${other} END`;
  const once = sumOf(parts, 'DISTINCT ');
  const words = `bit_xor(DISTINCT ${wordOf(parts)})`;
  return {
    count: of(parts.count === null ? '1' : `min(${parts.count})${filter}`, different, countOf(parts)),
    tag: of(`CAST(min(${tag})${filter} AS HUGEINT)`, marked(once, by), marked(sumOf(parts), by)),
    lane:
      lane === null
        ? null
        : `coalesce(${of(`min(${lane})${filter}`, markedBy(words, by), markedBy(`hash(${words}, ${sumOf(parts)})`, by))}, ${NONE})`,
  };
}

/** Whether there is one row of each unit at most, as the policy, a query or the rows themselves say. */
function isOneOfUnit({ table }: Base): boolean {
  const [unit] = table.units;
  const [key, ...others] = unit?.keyColumns ?? [];
  const isUnique =
    others.length === 0 && table.columns.some(({ name, facts }) => name === key && facts?.isUnique === true);
  return (
    table.isOneOfEachUnit === true ||
    table.isOnePerUnit === true ||
    table.rowsPerUnit === 1 ||
    unit?.isRow === true ||
    isUnique
  );
}

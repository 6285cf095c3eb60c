/**
 * What an aggregate hides in FILTER, CASE, missing values and zero products: each of them picks rows like WHERE, so each
 * is a condition of the cell.
 */
import type { CellBranch, Condition, Factor, MeasuredColumn, Rest, Summed } from '../enforce/block.ts';
import { printTyped } from '../print.ts';
import { reference } from '../rows.ts';
import { type Place, refuse } from '../refusal.ts';
import type { Rights } from '../rights.ts';
import { distinctColumns, partsOf, type Typed } from '../typed.ts';
import { isFloating } from '../types.ts';
import { rangeOfWide } from './wide-values.ts';
import { type Known, knownOf, NOTHING_KNOWN } from './known.ts';

export interface Branch {
  readonly sql: string;
  readonly value: Typed;
}

export function cellBranch({ sql, value }: Branch, known: Known): CellBranch {
  return { rows: sql, there: presence(value, sql, true, known)?.sql ?? sql };
}

/** Each branch of a CASE picks rows like a FILTER of its own; `adds` tells the branches that add nothing. */
export function branchesOf(
  rights: Rights,
  arg: Typed & { kind: 'case' },
  within: string | null,
  addsNothing: (value: Typed) => boolean,
): Branch[] {
  const before = within === null ? [] : [within];
  const found: Branch[] = [];
  for (const { when, value } of arg.whens) {
    rights.condition(when);
    const sql = `(${[...before, printTyped(when)].join(' AND ')})`;
    before.push(`(${printTyped(when)}) IS NOT TRUE`);
    if (!addsNothing(value)) found.push({ sql, value });
  }
  if (!addsNothing(arg.otherwise)) found.push({ sql: `(${before.join(' AND ')})`, value: arg.otherwise });
  return found;
}

export function isNull(value: Typed): boolean {
  if (value.kind === 'call' && value.name === 'cast') return isNull(value.args[0] ?? value);
  return value.kind === 'constant' && value.literal.kind === 'null';
}

/** 0 or NULL: a branch that adds nothing. */
export function isBlank(value: Typed): boolean {
  if (value.kind === 'call' && value.name === 'cast') return isBlank(value.args[0] ?? value);
  if (value.kind !== 'constant') return false;
  const { literal } = value;
  return (
    literal.kind === 'null' ||
    (literal.kind === 'integer' && literal.value === 0n) ||
    (literal.kind === 'decimal' && literal.unscaled === 0n) ||
    (literal.kind === 'double' && Number(literal.text) === 0)
  );
}

export function chosenRows(sql: string, of: string | null): Condition {
  return { sql, kind: 'chosen', of, checksOutside: true };
}

/** The conditions of FILTER as one text; null when there is none. */
export function around(chosen: readonly Typed[]): string | null {
  return chosen.length === 0 ? null : chosen.map(printTyped).join(' AND ');
}

export function conditionsFor(chosen: readonly Typed[], present: Condition | null): Condition[] {
  const own = chosen.map((one) => chosenRows(printTyped(one), null));
  return present === null ? own : [...own, present];
}

/** The rows of a condition are what a cell counts. */
export function countedRows(condition: Condition | null): Condition | null {
  return condition === null ? null : { ...condition, isCounted: true };
}

/** The rows in which the value is there; null when it always is. */
export function presence(
  arg: Typed,
  within: string | null,
  checksOutside: boolean,
  known: Known = NOTHING_KNOWN,
): Condition | null {
  if (arg.kind === 'constant' || distinctColumns(arg).length === 0 || known.isComplete(arg)) return null;
  const inside = within === null ? '' : `${within} AND `;
  return {
    sql: `${inside}${isThere(arg)}`,
    kind: 'present',
    of: within,
    checksOutside,
    outside: `${inside}(${isThere(arg)}) IS NOT TRUE`,
  };
}

/**
 * `sum(x)` minus `sum(x + 0 * y)` is the sum over those who have no `y`. So where a calculation takes several columns, the
 * rows that lack one of them must be none or enough, among all rows and among those that have each column. A column of a
 * joined public table is missing by a key of the private one: that is a condition on the key.
 */
export function together(arg: Typed, within: string | null, known: Known): Condition[] {
  const columns = new Map(columnsIn(arg).map((column) => [column.sql, column]));
  const open = [...columns.values()].filter((column) => !known.isComplete(column)).map(isThere);
  const isJoined = distinctColumns(arg).some(({ table }) => table.isPublic);
  if (open.length === 0 || (columns.size === 1 && !isJoined)) return [];
  const inside = within === null ? [] : [within];
  const among = (first: readonly string[]): Condition => {
    const of = [...inside, ...first];
    const all = open.filter((one) => !first.includes(one)).join(' AND ');
    return {
      sql: [...of, `(${all})`].join(' AND '),
      kind: 'present',
      of: of.length === 0 ? null : of.join(' AND '),
      checksOutside: true,
      outside: [...of, `(${all}) IS NOT TRUE`].join(' AND '),
    };
  };
  return [among([]), ...(open.length === 1 ? [] : open.map((one) => among([one])))];
}

/**
 * `sum(x)`, `sum(coalesce(x, 0))` and `sum(x + 0 * y)` are one number: values of different columns that share one are
 * compared by the rows that have it. Empty for a column as it is: its rows are compared as those of its own condition.
 */
export function measuredIn(
  parts: readonly { readonly value: Typed; readonly within: string | null }[],
  known: Known,
): MeasuredColumn[] {
  const [first, ...more] = parts;
  // Where WHERE asks for a value nothing is a condition any more, and the rows that have it are the same ones.
  const isAsItIs = more.length === 0 && first?.value.kind === 'column' && !known.isComplete(first.value);
  if (isAsItIs) return [];
  const found = new Map<string, string[]>();
  for (const { value, within } of parts) {
    const around = [...(within === null ? [] : [within]), ...(known.isComplete(value) ? [] : [isThere(value)])];
    const columns = new Map(columnsIn(value).map((column) => [column.sql, column]));
    for (const column of columns.values()) {
      if (ALWAYS.isComplete(column) || column.base === null || column.base.table.isPublic) continue;
      const there = isThere(column);
      found.set(there, [...(found.get(there) ?? []), [...around, there].join(' AND ')]);
    }
  }
  return [...found].map(([there, rows]) => ({ there, rows: rows.map((one) => `(${one})`).join(' OR ') }));
}

/**
 * What a sum adds up of which rows, for the dominance rule: by its column, whatever is calculated with it, and branches of a
 * CASE that add the same column together.
 */
export function summedIn(
  parts: readonly { readonly value: Typed; readonly within: string | null }[],
): readonly Summed[] {
  const found = new Map<string, (string | null)[]>();
  for (const { value, within } of parts) {
    const columns = new Map(columnsIn(value).map((column) => [column.sql, column]));
    if (columns.size === 0) continue;
    const [only, ...more] = columns.values();
    const measure = only === undefined || more.length > 0 ? value : only;
    const weight = `abs(CAST(CASE WHEN ${isThere(measure)} THEN ${printTyped(measure)} ELSE 0 END AS DOUBLE))`;
    found.set(weight, [...(found.get(weight) ?? []), within]);
  }
  return [...found].map(([weight, rows]) => {
    const kept = [...new Set(rows.filter((one) => one !== null))].toSorted();
    return { weight, within: rows.includes(null) ? null : kept.map((one) => `(${one})`).join(' OR ') };
  });
}

function columnsIn(arg: Typed): readonly (Typed & { readonly kind: 'column' })[] {
  return arg.kind === 'column' ? [arg] : partsOf(arg).flatMap(columnsIn);
}

/** Infinities and NaN count as no value, and what is too wide to be added up: one of them would decide a whole sum. */
export function isThere(arg: Typed): string {
  const wide = rangeOfWide(arg);
  if (wide !== null) return wide.sql;
  return arg.type !== null && isFloating(arg.type) ? `isfinite(${printTyped(arg)})` : `${printTyped(arg)} IS NOT NULL`;
}

/** A product with a 0/1 column is a filter on that column: rows that it zeroes must be none or enough. */
export function nonZero(arg: Typed, within: string | null, known: Known): Condition[] {
  if (!hasProduct(arg) || known.isNeverZero(arg)) return [];
  const inside = within === null ? '' : `${within} AND `;
  const value = printTyped(arg);
  const there = `${inside}${value} IS NOT NULL`;
  return [
    { sql: there, kind: 'present', of: within, checksOutside: false },
    {
      sql: `${inside}${value} <> 0`,
      // A product of plain columns is often zero somewhere, one with `1 - x` seldom: bits in the main pass, or later.
      kind: isPlainProduct(arg) ? 'chosen' : 'present',
      of: there,
      // Whom a factor leaves out is looked at in factors.ts: a plain zero here and there adds nothing and hides nobody.
      checksOutside: false,
      outside: `${inside}${value} = 0`,
    },
  ];
}

/** The factors of every product in an expression, and the products of some of them: each could be nearly constant. */
export function factorsOf(arg: Typed): Omit<Factor, 'within'>[] {
  if (arg.kind !== 'call') return [];
  if (arg.name !== '*') return arg.args.flatMap(factorsOf);
  const factors = flattened(arg).filter((part) => distinctColumns(part).length > 0);
  const inner = factors.flatMap(factorsOf);
  if (factors.length < 2) return inner;
  if (factors.length > MAX_FACTORS)
    refuse(
      'measure-not-allowed',
      `a product of more than ${MAX_FACTORS} factors`,
      arg.at,
      'aggregate simpler products',
    );
  const subsets = Array.from({ length: 2 ** factors.length - 2 }, (_, i) =>
    factors.filter((__, f) => ((i + 1) >> f) % 2 === 1),
  );
  const product = (parts: readonly Typed[]): string =>
    `(${parts.map((part) => `CAST(${printTyped(part)} AS DOUBLE)`).join(' * ')})`;
  return [
    ...inner,
    ...subsets.map((parts) => ({ sql: product(parts), relation: relationOf(parts), ...plainOf(parts) })),
  ];
}

/** The column that the parts are, if they are nothing else. */
function plainOf([part, ...more]: readonly Typed[]): Pick<Factor, 'column'> {
  if (part?.kind !== 'column' || part.base === null || more.length > 0) return {};
  const { relation, column } = part.base;
  return part.sql === reference(relation, column.name) ? { column: column.name } : {};
}

/** The one relation whose columns the parts take; null for several. */
export function relationOf(parts: readonly Typed[]): number | null {
  const [first, ...more] = new Set(parts.flatMap(distinctColumns).map(({ relation }) => relation));
  return first === undefined || more.length > 0 ? null : first;
}

const MAX_FACTORS = 5;

function flattened(arg: Typed): readonly Typed[] {
  if (arg.kind === 'call' && arg.name === '*') return arg.args.flatMap(flattened);
  return arg.kind === 'call' && arg.name === 'cast' ? flattened(arg.args[0] ?? arg) : [arg];
}

/** Functions with a value where some of their arguments have none. */
const FILLING: ReadonlySet<string> = new Set(['coalesce', 'ifnull', 'greatest', 'least', 'concat', 'concat_ws']);

/**
 * `coalesce(x, 1000000)` counts the rows without a value: they must be none or enough. With 0 in place of it they add
 * nothing, and what the sum rests on are those with a value.
 */
export function filledIn(arg: Typed, within: string | null, known: Known): Condition[] {
  if (arg.kind !== 'call') return [];
  const below = arg.args.flatMap((part) => filledIn(part, within, known));
  if (!FILLING.has(arg.name)) return below;
  const [, ...others] = arg.args;
  const isBlankFilled = (arg.name === 'coalesce' || arg.name === 'ifnull') && others.every(isBlank);
  return [...below, ...arg.args.flatMap((part) => optional(presence(part, within, !isBlankFilled, known)))];
}

/**
 * `count(DISTINCT x)` of each unit is 0, and not missing, for whom has no x. What is made of such numbers rests on those who
 * have one, as a sum of values does that are missing for all others.
 */
export function countedIn(arg: Typed, within: string | null): Condition[] {
  const inside = within === null ? '' : `${within} AND `;
  return countsIn(arg).map((counts) => ({
    sql: `${inside}${counts} <> 0`,
    kind: 'present',
    of: within,
    checksOutside: false,
  }));
}

export function countedRests(arg: Typed, within: string | null): Rest[] {
  return countsIn(arg).map((counts) => ({ there: `${counts} <> 0`, within, value: null }));
}

function countsIn(arg: Typed): string[] {
  const counts = columnsIn(arg).filter(({ base }) => base?.column.countsValues === true);
  return [...new Set(counts.map(({ sql }) => sql))];
}

/**
 * The rows in which a value is there, and each value that a function fills in where it is missing. What WHERE demands is
 * not taken as known: it is what may leave rows out.
 */
export function restsOf(arg: Typed, within: string | null): Rest[] {
  const filled = (part: Typed): Typed[] =>
    part.kind === 'call' ? [...(FILLING.has(part.name) ? part.args : []), ...part.args.flatMap(filled)] : [];
  const parts = [arg, ...filled(arg)].filter((part) => distinctColumns(part).length > 0 && !ALWAYS.isComplete(part));
  return [...parts.map((part) => ({ there: isThere(part), within, value: null })), ...countedRests(arg, within)];
}

/** A value that two branches of a CASE keep is counted once: it is held where any of them keeps it, not once in each. */
export function heldInAny(rests: readonly Rest[], at: Place): Rest {
  const [first, ...more] = rests;
  if (first === undefined || more.some(({ value }) => value !== first.value))
    return refuse(
      'measure-not-allowed',
      'count(DISTINCT CASE …) counts values of one column',
      at,
      'put the same column behind every THEN, or count in two columns',
    );
  const kept = [...new Set(rests.map(({ within }) => within))];
  return { ...first, within: kept.length === 1 ? (kept[0] ?? null) : kept.map((one) => `(${one})`).join(' OR ') };
}

/** What the layout knows of every row. */
const ALWAYS = knownOf([]);

function isPlainProduct(arg: Typed): boolean {
  return (
    arg.kind === 'call' && arg.name === '*' && arg.args.every((part) => part.kind === 'column' || isPlainProduct(part))
  );
}

function hasProduct(arg: Typed): boolean {
  if (arg.kind !== 'call') return false;
  const factors = arg.args.filter((part) => distinctColumns(part).length > 0);
  return (arg.name === '*' && factors.length > 1) || arg.args.some(hasProduct);
}

export function optional<T>(value: T | null): T[] {
  return value === null ? [] : [value];
}

/**
 * What a sub-query that groups by the privacy unit may say of each unit, and what the query around it may do with that.
 *
 * A value per unit is grouped by, put into conditions and compared under the rights of the columns that it is made of: to
 * group patients by their total cost tells of costs what a group key `cost` would, so it needs `group` on `cost`. A value
 * of several columns has the rights that all of them have. `count(*)` is made of no column: how many rows a unit has may be
 * grouped by and put into conditions wherever the unit's key may be named at all, because every group, and whatever a
 * condition leaves out, is held to the minimum of units like any other; `count(x)` tells where `x` is missing, and needs
 * what `x` needs.
 *
 * A minimum, a maximum or the value of the latest row is one row's own value. As a group key or in a condition it is what
 * the column is there (`min(day) < d` asks whether some day is before `d`); to be added up it needs `extremum` as well.
 *
 * Quantiles of values per unit are those of a column of their own: means of blocks of at least the minimum of units.
 * Correlations are those of two such columns.
 *
 * FILTER and CASE per unit are conditions as everywhere, under `filter`. What they make is a group key or a condition, and
 * never added up: the rows that they leave out would have to be held to the minimum in each group of the outer query. A
 * flag of a unit (`bool_or(…)`, `max(CASE WHEN … THEN 1 ELSE 0 END)`) is a condition of the outer query, so to add up flags
 * is to count with FILTER, which is held to just that.
 */
import type { AggregateFunction, ColumnGrant, ColumnRight } from '../../policy/model.ts';
import type { ValuesOf } from '../catalogue.ts';
import type { Rest } from '../enforce/block.ts';
import { type Measure, measuresOf } from '../enforce/measures.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { refuse } from '../refusal.ts';
import { constant } from '../resolve/align.ts';
import { buildCall } from '../resolve/call.ts';
import { buildCase, resolve, type Sight } from '../resolve/expression.ts';
import { alias } from '../rows.ts';
import type { SelectItem, Syntax } from '../syntax.ts';
import { type BaseColumn, distinctColumns, type Typed } from '../typed.ts';
import { BOOLEAN, familyOf } from '../types.ts';
import { buildCell } from './cell.ts';
import { wayOf } from './unit-tags.ts';
import { filledWithZero, isFilled, orZero } from './filled-values.ts';
import { isThere, restsOf } from './hidden-conditions.ts';
import { knownOf } from './known.ts';
import { condition } from './select.ts';
import type { State } from './state.ts';
import { hasAggregate, isAggregateCall } from './aggregate-calls.ts';
import { resolvedOrNull } from './resolved-or-null.ts';

/** A column of the inner query: what is computed of the rows of a unit, and what may be done with it. */
export interface UnitColumn {
  readonly sql: string;
  readonly type: Typed['type'];
  readonly grants: readonly ColumnGrant[];
  /** The dataset's column that it shows as it is. */
  readonly of?: string;
  readonly label: string;
  /** What it adds up of which rows; absent: it counts rows, or is a key. */
  readonly measures?: readonly Measure[];
  /** Whose values it is made of, and how where that is not by adding them up. */
  readonly values?: {
    readonly columns: readonly BaseColumn[];
    readonly by: ValuesOf['by'];
    /** It takes the rows without a value for others with one. */
    readonly isOverAll?: true;
  };
  /** 0, and never missing, for a unit that has none of the values. */
  readonly countsValues?: true;
}

type Call = Syntax & { kind: 'call' };

/** What the outer query may compute of a value per unit, e.g. the mean number of visits of a patient. */
const OUTER: readonly AggregateFunction[] = ['sum', 'avg', 'count', 'variance', 'stddev'];

const FURTHER: readonly AggregateFunction[] = ['quantile', 'correlation', 'regressionSlope'];

/** What else may be done with a value of columns that all grant it. */
const PASSED: readonly ColumnRight[] = ['group', 'filter', 'order', 'compare'];

const NO_GRANT: ColumnGrant = { consumers: null, rights: [], functions: [], bounds: null, values: null, bins: null };

/** A public column stands under no right of its own. */
const OF_PUBLIC: ColumnGrant = { ...NO_GRANT, rights: ['group', 'filter', 'order'] };

export interface UnitNeeds {
  readonly items: readonly SelectItem[];
  readonly keys: readonly Typed[];
  readonly resolveRow: (syntax: Syntax) => Typed;
  /** Which rows the values rest on, for the check of what WHERE leaves out. */
  readonly rests: Rest[];
  /** Puts a column into the inner query, and says how the outer one refers to it. */
  readonly add: (column: UnitColumn) => Typed;
  /** Makes values of another kind, which are looked for first; null for what it leaves to the rules of this file. */
  readonly measured?: (call: Call, label: string) => Typed | null;
}

/** Expressions over keys and aggregates of the inner query, as the outer query sees them. */
export interface UnitSight {
  readonly named: (syntax: Syntax, label: string) => Typed;
  readonly key: (key: Typed) => Typed;
  readonly condition: (syntax: Syntax) => Typed;
}

export function unitSight(state: State, needs: UnitNeeds): UnitSight {
  const { items, keys, resolveRow, rests, add } = needs;
  const printed = new Set(keys.map(printTyped));
  const keyed = (key: Typed): Typed =>
    key.kind === 'column' && key.base !== null
      ? add({
          sql: key.sql,
          type: key.type,
          grants: key.base.table.isPublic ? [OF_PUBLIC] : key.base.column.grants,
          ...(key.base.table.isPublic || key.base.column.label !== undefined ? {} : { of: key.base.column.name }),
          label: key.base.column.label ?? key.base.column.name,
          measures: measureOf(key),
          values: { columns: [key.base], by: 'least' },
        })
      : add({ sql: printTyped(key), type: key.type, grants: [passed(distinctColumns(key))], label: 'a key' });
  const pending = new Set<string>();
  let label: string | null = null;
  const sight: Sight = {
    over: 'rows',
    parameters: state.context.parameters,
    intercept: (syntax) => {
      if (['subquery', 'window', 'constant', 'parameter'].includes(syntax.kind) || hasAggregate(syntax)) return null;
      const key = resolvedOrNull(syntax, resolveRow);
      return key !== null && printed.has(printTyped(key)) ? keyed(key) : null;
    },
    column: (path, at) => {
      const [name = ''] = path;
      const item = path.length === 1 ? items.find((one) => one.alias.toLowerCase() === name.toLowerCase()) : undefined;
      if (item === undefined || pending.has(name.toLowerCase()))
        return refuse(
          'column-not-grouped',
          `\`${printable(path.join('.'))}\` is neither a group key nor aggregated`,
          at,
          'add it to GROUP BY, or aggregate it',
        );
      pending.add(name.toLowerCase());
      const found = resolve(item.expression, sight);
      pending.delete(name.toLowerCase());
      return found;
    },
    special: (syntax) => {
      if (syntax.name === 'grouping')
        return refuse('aggregate-misplaced', 'GROUPING cannot stand in a sub-query per unit', syntax.at);
      if (!isAggregateCall(syntax)) return null;
      const name = label ?? `${syntax.name}(…)`;
      const value = needs.measured?.(syntax, name) ?? unitValue(state, syntax, { resolveRow, rests, add }, name);
      return { ...value, at: syntax.at };
    },
    window: (_window, at) =>
      refuse(
        'window-over-rows',
        'a window cannot look at values per unit',
        at,
        'aggregate in a sub-query, then use the window on its result',
      ),
    subquery: ({ at }) =>
      refuse(
        'sql-not-allowed',
        'a sub-query cannot stand in HAVING or the output of a query per unit',
        at,
        'ask in two queries: put the first answer into the second one as a constant',
      ),
  };
  return {
    named: (syntax, name) => {
      label = syntax.kind === 'call' ? name : null;
      const found = resolve(syntax, sight);
      label = null;
      return found;
    },
    key: keyed,
    condition: (syntax) => condition(resolve(syntax, sight)),
  };
}

function unitValue(
  state: State,
  call: Call,
  { resolveRow, rests, add }: Pick<UnitNeeds, 'resolveRow' | 'rests' | 'add'>,
  label: string,
): Typed {
  const { rights } = state;
  const { name } = call;
  const flag = flagOf(call, resolveRow);
  if (flag !== null) {
    rights.note(name);
    const filter = filterOf(call, resolveRow);
    for (const part of [flag.asked, ...filter]) rights.condition(part);
    const columns = [flag.when, ...filter].flatMap(distinctColumns);
    const rows = [printTyped(flag.when), ...filter.map(printTyped)].join(' AND ');
    rests.push({ there: `(${rows})`, within: null, value: null });
    const suffix = filter.length === 0 ? '' : ` FILTER (WHERE ${filter.map(printTyped).join(' AND ')})`;
    const sql = `${flag.isAny ? 'bool_or' : 'bool_and'}(${printTyped(flag.when)})${suffix}`;
    const held = add({ sql, type: BOOLEAN, grants: [passed(columns)], label });
    if (!flag.isNumber) return held;
    const number = (value: bigint): Typed => constant({ kind: 'integer', value }, call.at);
    const no = { when: buildCall('not', [held], 'rows', call.at), value: number(0n) };
    return buildCase([{ when: held, value: number(1n) }, no], constant({ kind: 'null' }, call.at), call.at);
  }
  if (
    name === 'min' ||
    name === 'max' ||
    name === 'arg_min' ||
    name === 'arg_max' ||
    name === 'min_by' ||
    name === 'max_by'
  )
    return ownValue(state, call, { resolveRow, rests, add }, label);
  const cell = buildCell(rights, call, resolveRow);
  if (cell.quantile !== undefined || cell.extremum !== undefined)
    refuse(
      'aggregate-not-allowed',
      `\`${printable(name)}\` per unit is not offered`,
      call.at,
      'use count, sum, avg, min or max',
    );
  const filter = filterOf(call, resolveRow);
  rests.push(...(cell.rests ?? []).map((rest) => ({ ...rest, within: null })));
  if (filter.length > 0) rests.push({ there: filter.map(printTyped).join(' AND '), within: null, value: null });
  const args = call.args.map(resolveRow);
  const chosen = cell.conditions.some(({ kind, checksOutside }) => kind === 'chosen' || checksOutside);
  // Under noise each unit is bounded, whatever its values are made of.
  const [filled] = chosen || state.noise !== undefined ? [] : args.filter(isFilled);
  const wanted = filled === undefined ? null : filledWithZero(filled);
  const sums = name === 'sum' || name === 'avg' || name === 'mean';
  const ofCounts = state.noise === undefined && args.some(isOfCounts);
  const picks =
    chosen || (filled !== undefined && wanted === null) || (ofCounts && !(sums && args.every(isZeroOfNone)));
  const counted = countsValues(call) || (ofCounts && !picks) ? { countsValues: true as const } : {};
  const given = passed([...args, ...filter].flatMap(distinctColumns));
  const functions = [...OUTER, ...further(name, args.flatMap(distinctColumns))];
  const grants = picks ? [given] : [{ ...given, rights: ['aggregate' as const, ...given.rights], functions }];
  const measures = picks || args.every(isComplete) ? [] : measuresOf(cell);
  const by = wayOf(name, args);
  // A mean of rows of which some count with 0 is not that of those which have a value.
  const isOverAll = by !== 'sum' && filled !== undefined ? { isOverAll: true as const } : {};
  const values = by === null ? {} : { values: { columns: args.flatMap(distinctColumns), by, ...isOverAll } };
  if (wanted === null) return add({ sql: cell.sql, type: cell.type, grants, label, measures, ...counted, ...values });
  const sql = `CASE WHEN count(${printTyped(wanted)}) > 0 THEN ${cell.sql} END`;
  return orZero(add({ sql, type: cell.type, grants, label, measures, ...counted, ...values }));
}

/** 0 for a unit without any value; of one value there is no variance, either. */
function countsValues({ name, distinct }: Call): boolean {
  return ZERO_OF_FEW.has(name) || (name === 'count' && distinct);
}
const ZERO_OF_FEW: ReadonlySet<string> = new Set(['approx_count_distinct', 'regr_count', 'var_pop', 'stddev_pop']);

/** Whether it is made of numbers that are 0 for a unit without any value. */
function isOfCounts(arg: Typed): boolean {
  return distinctColumns(arg).some(({ column }) => column.countsValues === true);
}

/** Whether it is 0 where such a number is. */
function isZeroOfNone(arg: Typed): boolean {
  if (arg.kind === 'column') return arg.base?.column.countsValues === true;
  if (arg.kind !== 'call') return false;
  const [first, second] = arg.args;
  if (arg.name === '*') return arg.args.some(isZeroOfNone);
  if (arg.name === '-' && second !== undefined) return false;
  return ['cast', 'coalesce', 'ifnull', '-', '/'].includes(arg.name) && first !== undefined && isZeroOfNone(first);
}

/** One row's own value: the least or greatest of a unit, or what stands in the row that has it. */
function ownValue(
  state: State,
  call: Call,
  { resolveRow, rests, add }: Pick<UnitNeeds, 'resolveRow' | 'rests' | 'add'>,
  label: string,
): Typed {
  const isLeast = call.name === 'min' || call.name === 'arg_min' || call.name === 'min_by';
  const args = call.args.map(resolveRow);
  const wanted = call.name === 'min' || call.name === 'max' ? 1 : 2;
  const [value, by] = args;
  if (value === undefined || args.length !== wanted || value.type === null || by?.type === null)
    return refuse(
      'wrong-arguments',
      `\`${call.name}\` takes ${wanted === 1 ? 'one value' : 'two values'} here`,
      call.at,
    );
  const filter = filterOf(call, resolveRow);
  for (const part of filter) state.rights.condition(part);
  state.rights.note(call.name);
  const columns = [...args, ...filter].flatMap(distinctColumns);
  for (const column of columns) state.rights.touch(column, 'per unit');
  rests.push(...args.flatMap((arg) => restsOf(arg, null)));
  if (filter.length > 0) rests.push({ there: filter.map(printTyped).join(' AND '), within: null, value: null });
  const kept = [...filter.map(printTyped), ...(by === undefined ? [] : [`${printTyped(by)} IS NOT NULL`])];
  const suffix = kept.length === 0 ? '' : ` FILTER (WHERE ${kept.join(' AND ')})`;
  // Which of several rows with the same value is taken must not depend on the order in which they are met.
  const [row] = columns.filter(({ table }) => !table.isPublic);
  const tie = row === undefined || row.table.physical.startsWith('(') ? '' : `, ${alias(row.relation)}.rowid`;
  const sql =
    by === undefined
      ? `${isLeast ? 'min' : 'max'}(${printTyped(value)})${suffix}`
      : `${isLeast ? 'arg_min' : 'arg_max'}(${printTyped(value)}, row(${printTyped(by)}${tie}))${suffix}`;
  const given = passed(columns);
  const isPlain = by === undefined && filter.length === 0;
  const measures = isPlain ? measureOf(value) : [];
  const values = { columns: distinctColumns(value), by: isLeast ? 'least' : 'greatest' } as const;
  return add({ sql, type: value.type, grants: [added(given, value, isPlain)], label, measures, values });
}

/** The rows that have a value, where not every row has one. */
function measureOf(value: Typed): readonly Measure[] {
  const there = `(${isThere(value)})`;
  return isComplete(value) ? [] : [{ asked: [there], rows: there }];
}

const isComplete = (value: Typed): boolean => knownOf([]).isComplete(value);

/**
 * Further functions of values per unit: those that all columns grant of which they are made; of counts all, for they say of
 * no value how large it is.
 */
function further(name: string, columns: readonly BaseColumn[]): AggregateFunction[] {
  const isCount = name.startsWith('count') || name === 'approx_count_distinct';
  return FURTHER.filter(
    (one) =>
      isCount ||
      columns.every(
        ({ table, column }) =>
          table.isPublic ||
          column.grants.some(({ rights, functions }) => rights.includes('aggregate') && functions.includes(one)),
      ),
  );
}

/** With `extremum` and `aggregate` a least or greatest value may be added up like the column itself. */
function added(given: ColumnGrant, value: Typed, isPlain: boolean): ColumnGrant {
  if (!isPlain || value.kind !== 'column' || value.base === null) return given;
  const { grants } = value.base.column;
  if (!grants.some(({ rights }) => rights.includes('extremum'))) return given;
  const functions = [...OUTER, ...FURTHER].filter((one) =>
    grants.some((grant) => grant.rights.includes('aggregate') && grant.functions.includes(one)),
  );
  return functions.length === 0 ? given : { ...given, rights: ['aggregate', ...given.rights], functions };
}

/** The rights that all of the columns pass on; of none, all. */
export function passed(columns: readonly BaseColumn[]): ColumnGrant {
  const rights = PASSED.filter((right) =>
    columns.every(({ table, column }) => table.isPublic || column.grants.some((grant) => grant.rights.includes(right))),
  );
  return { ...NO_GRANT, rights };
}

function filterOf(call: Call, resolveRow: (syntax: Syntax) => Typed): readonly Typed[] {
  return call.filter === null ? [] : [condition(resolveRow(call.filter))];
}

interface Flag {
  readonly when: Typed;
  /** The condition as it was written. */
  readonly asked: Typed;
  readonly isAny: boolean;
  /** Written as 1 and 0. */
  readonly isNumber: boolean;
}

/** bool_or(c), bool_and(c), max(CASE WHEN c THEN 1 ELSE 0 END), max((c)::INT) and min of these; else null. */
function flagOf(call: Call, resolveRow: (syntax: Syntax) => Typed): Flag | null {
  const [written] = call.args;
  if (written === undefined || call.args.length !== 1 || call.distinct) return null;
  if (call.name === 'bool_or' || call.name === 'bool_and') {
    const when = condition(resolveRow(written));
    return when.type === null ? null : { when, asked: when, isAny: call.name === 'bool_or', isNumber: false };
  }
  if (call.name !== 'max' && call.name !== 'min') return null;
  const isAny = call.name === 'max';
  const arg = resolveRow(written);
  if (arg.type?.kind === 'boolean') return { when: arg, asked: arg, isAny, isNumber: false };
  if (arg.kind === 'call' && (arg.name === 'cast' || arg.name === 'try_cast')) {
    const [inner] = arg.args;
    return inner?.type != null && familyOf(inner.type) === 'boolean'
      ? { when: inner, asked: inner, isAny, isNumber: true }
      : null;
  }
  if (arg.kind !== 'case' || arg.whens.length !== 1) return null;
  const [branch] = arg.whens;
  if (branch === undefined || numberOf(branch.value) !== 1n || numberOf(arg.otherwise) !== 0n) return null;
  // CASE takes an unknown condition for one that fails.
  const known = buildCall(
    'coalesce',
    [branch.when, constant({ kind: 'boolean', value: false }, call.at)],
    'rows',
    call.at,
  );
  return { when: known, asked: branch.when, isAny, isNumber: true };
}

function numberOf(value: Typed): bigint | null {
  if (value.kind === 'call' && value.name === 'cast' && value.args[0] !== undefined) return numberOf(value.args[0]);
  return value.kind === 'constant' && value.literal.kind === 'integer' ? value.literal.value : null;
}

/**
 * `SELECT patient, count(*) … GROUP BY patient` in FROM: one row for each privacy unit, to be aggregated once more.
 *
 * Argument. The inner rows are those that the layout keeps (at most M of a unit) and that WHERE leaves; they are grouped by
 * the unit's hash, so each unit makes one row at most, whatever its rows hold, and no row rests on two units. With further
 * columns in GROUP BY a unit makes at most as many rows as it keeps. Each value is made of whole numbers in known intervals:
 * a count lies in [0, M], a sum of at most M values of [low, high] in [M·min(low, 0), M·max(high, 0)], a mean, minimum or
 * maximum in [low, high]. So the outer aggregates work on bounded measures over a bounded number of rows, as they do on a
 * table of the layout.
 */
import type { AggregateFunction, ColumnGrant, DifferentialPrivacyRelease } from '../../policy/model.ts';
import { type CatalogueColumn, type CatalogueTable, keyColumnsOf } from '../catalogue.ts';
import { BIGINT, DOUBLE, type SqlType, TEXT } from '../types.ts';
import { isPlain } from '../compile/per-unit.ts';
import { groupKeys } from '../compile/released.ts';
import { condition, itemName } from '../compile/select.ts';
import { conjuncts } from '../compile/sources.ts';
import { refuse } from '../refusal.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import { passed, unitSight } from '../compile/unit-values.ts';
import type { Column, NoisePart, Relation, State } from '../compile/state.ts';
import { FIXED_POINT, ROW_RANK } from '../layout.ts';
import { printTyped, quoteName } from '../print.ts';
import { type Base, baseColumn, printScope, privateBases, reference } from '../rows.ts';
import { has } from '../rights.ts';
import { printable } from '../parse/literal.ts';
import { type Call, checkMeasure } from './aggregates.ts';
import { fixedPointOf, MAX_BITS, narrowed } from './fixed-point.ts';
import { hasAggregate } from '../compile/aggregate-calls.ts';
import { keptRowsOf } from './fan-out.ts';
import { boundRows } from './noisy-block.ts';

/** A value of each unit's row. */
interface UnitValue {
  readonly sql: string;
  readonly grid: NonNullable<CatalogueColumn['grid']>;
  readonly type: SqlType;
  readonly grant: ColumnGrant;
}

/** null when the query is anything else. Throws Refusal. */
export function perUnitRows(state: State, release: DifferentialPrivacyRelease, part: NoisePart): Relation | null {
  const { select, from, resolveRow } = part;
  const { scope } = from;
  if (!isPlain({ ...select, having: null, distinct: false })) return null;
  const isDistinct = select.distinct && select.groups.length === 0 && !select.groupAll;
  if (select.distinct && (!isDistinct || select.items.some((item) => hasAggregate(item.expression)))) return null;
  const privates = privateBases(scope);
  if (privates.some(({ table }) => !state.context.tables.includes(table) || table.units.length !== 1)) return null;
  const written = isDistinct ? select.items.map((item) => item.expression) : groupKeys(select, select.items);
  const keys = written.map(resolveRow);
  const holder = privates
    .map((base) => ({ base, names: unitKeysOf(state, base) }))
    .find(({ base, names }) => names.length > 0 && names.every((name) => keys.some((key) => isOf(key, base, name))));
  const [unit] = holder?.base.table.units ?? [];
  if (holder === undefined || unit === undefined) return null;
  const { base, names: unitKeys } = holder;
  const isUnitKey = (key: Typed): boolean => unitKeys.some((name) => isOf(key, base, name));
  const { rowsPerUnit } = boundRows(state, scope, release);
  // Of the table whose keys they are: what else is joined to these rows knows the unit by it.
  const unitHash = reference(base.relation, unit.hash);
  for (const key of keys) if (!isUnitKey(key)) state.rights.key(key);

  const isOne = keys.every(isUnitKey);
  const relation = state.nextRelation++;
  const columns: CatalogueColumn[] = [];
  const inner: string[] = [];
  const table: { -readonly [Key in keyof CatalogueTable]: CatalogueTable[Key] } = {
    ...base.table,
    columns,
    ...(privates.length > 1 ? { joins: 'forbidden' as const } : {}),
    ...(isOne ? { rowsPerUnit: 1, isOnePerUnit: true as const } : { rowsPerUnit }),
  };
  const made = new Map<string, CatalogueColumn>();
  const add = (
    sql: string,
    column: Omit<CatalogueColumn, 'name'>,
    printed: (name: string) => readonly string[],
  ): Typed => {
    const name = `__gb_v${made.size}`;
    const found = made.get(sql) ?? { ...column, name };
    if (!made.has(sql)) {
      made.set(sql, found);
      columns.push(found);
      inner.push(...printed(name));
    }
    return baseColumn({ relation, table, column: found }, base.at);
  };
  // Any of the unit's rows tells its key; the least one, so that it is always the same.
  const unitKeySql = new Set(keys.filter(isUnitKey).map(printTyped));
  const once = (sql: string): string => (isOne && unitKeySql.has(sql) ? `min(${sql})` : sql);
  const sight = unitSight(state, {
    items: select.items,
    keys,
    resolveRow,
    // Whom a condition leaves out is hidden by the noise, not by a minimum.
    rests: [],
    add: ({ sql, type, grants, of, label }) =>
      add(sql, { label, type: type ?? TEXT, grants, ...(of === undefined ? {} : { of }) }, (name) => [
        `${once(sql)} AS ${quoteName(name)}`,
      ]),
    measured: (call, label) => {
      const value = valueOf(state, call, resolveRow, rowsPerUnit);
      if (value === null) return null;
      const { grid, type, grant, sql } = value;
      return add(sql, { label, type, grants: [grant], grid }, (name) => [
        `${sql} AS ${quoteName(FIXED_POINT(name))}`,
        `${shownOf(value)} AS ${quoteName(name)}`,
      ]);
    },
  });
  const visible = select.items.map((item): Column => ({
    name: itemName(item, from),
    role: 'derived',
    expression: sight.named(item.expression, itemName(item, from)),
  }));
  for (const key of keys) sight.key(key);
  // A condition on the row of a unit: whoever comes or goes changes that row and no other.
  const predicates = select.having === null ? [] : conjuncts(select.having).map((one) => sight.condition(one));
  const oneHot = reference(base.relation, unit.oneHot);
  const rows = printScope(scope, [
    ...privates.map((one) => `${reference(one.relation, ROW_RANK)} < ${keptRowsOf(one.table, release.maxRowsPerUnit)}`),
    ...scope.predicates.map(printTyped).toSorted(),
  ]);
  inner.push(
    `min(${unitHash}) AS ${quoteName(unit.hash)}`,
    `min(${oneHot}) AS ${quoteName(unit.oneHot)}`,
    `CAST(0 AS UINTEGER) AS ${quoteName(ROW_RANK)}`,
  );
  const groups = isOne ? [unitHash] : [unitHash, ...new Set(keys.map(printTyped))];
  table.physical = `(SELECT ${inner.join(', ')} ${rows} GROUP BY ${groups.join(', ')})`;
  const nameOf = (name: string): string => made.get(reference(base.relation, name))?.name ?? '';
  table.units = [{ ...unit, keyColumns: unitKeys.map(nameOf), path: [] }];
  const outer: Base = { relation, table, leftOn: null, at: base.at };
  return { kind: 'rows', scope: { bases: [outer], equalities: [], predicates }, columns: visible };
}

function unitKeysOf(state: State, { table }: Base): readonly string[] {
  const [unit] = table.units;
  return unit === undefined ? [] : keyColumnsOf(state.context.tables, table, unit);
}

function isOf(key: Typed, base: Base, name: string): boolean {
  return key.kind === 'column' && key.base?.relation === base.relation && key.base.column.name === name;
}

const OUTER: readonly AggregateFunction[] = [
  'sum',
  'avg',
  'count',
  'variance',
  'stddev',
  'correlation',
  'regressionSlope',
];

/** Most values of a count that are listed as public keys. */
const MAX_LISTED = 100;

function valueOf(state: State, call: Call, resolveRow: NoisePart['resolveRow'], kept: number): UnitValue | null {
  const { rights } = state;
  const name = call.name === 'mean' ? 'avg' : call.name;
  if (OWN.has(name)) {
    const [own] = call.args.map(resolveRow);
    const column = own?.kind === 'column' && call.args.length === 1 ? own.base : null;
    const isAdded = column !== null && has(column, 'extremum') && boundsIn(column.column) && call.filter === null;
    // As a group key or in a condition it is one row's own value, as it stands there; see compile/unit-values.ts.
    if (!isAdded) return null;
  } else if (!MADE.has(name))
    return refuse(
      'aggregate-not-allowed',
      `\`${printable(call.name)}\` per unit is not offered with noise`,
      call.at,
      'use count, sum, avg, min, max or bool_or',
    );
  rights.note(name === 'count_star' ? 'count' : name);
  const [arg, ...more] = call.args.map(resolveRow);
  if (more.length > 0 || (call.distinct && name !== 'count'))
    return refuse('wrong-arguments', `\`${printable(call.name)}\` per unit takes one value`, call.at);
  const asked = call.filter === null ? null : condition(resolveRow(call.filter));
  if (asked !== null) rights.condition(asked);
  const filter = asked === null ? '' : ` FILTER (WHERE ${printTyped(asked)})`;
  const among = asked === null ? [] : distinctColumns(asked);
  const most = BigInt(kept);
  const counted = (sql: string, given: ColumnGrant['rights']): UnitValue => ({
    sql,
    grid: { low: 0n, high: most, step: ONE },
    type: BIGINT,
    grant: {
      ...grantOf(0, kept, ['quantile', 'histogram'], given),
      values: kept <= MAX_LISTED ? listed(sql === 'count(*)' ? 1 : 0, kept) : null,
    },
  });
  if (
    name === 'count_star' ||
    (name === 'count' && !call.distinct && arg?.kind === 'constant' && arg.literal.kind !== 'null')
  ) {
    // How many rows a unit has is not the value of any column: it may be told apart, behind noise. 0 is not among them.
    const isAll = asked === null;
    return counted(`count(*)${filter}`, isAll ? ['group', 'filter', 'order'] : passed(among).rights);
  }
  if (arg === undefined) return null;
  if (call.distinct) {
    if (arg.kind !== 'column' || arg.base === null)
      return refuse('measure-not-allowed', 'DISTINCT per unit works on a column', arg.at);
    rights.require(arg.base, 'countDistinct', call.at, 'to count distinct values');
    return counted(`count(DISTINCT ${arg.sql})${filter}`, passed([arg.base, ...among]).rights);
  }
  if (name === 'sum' || name === 'avg' || name === 'count') checkMeasure(arg, name, rights);
  const value = narrowed(fixedPointOf(arg), MAX_BITS - most.toString(2).length);
  const isSum = name === 'sum';
  const grid =
    name === 'count'
      ? { low: 0n, high: most, step: ONE }
      : {
          low: isSum ? most * (value.low < 0n ? value.low : 0n) : value.low,
          high: isSum ? most * (value.high > 0n ? value.high : 0n) : value.high,
          step: value.step,
        };
  const sql = {
    count: `count(${value.sql})${filter}`,
    sum: `CAST(sum(${value.sql})${filter} AS BIGINT)`,
    // Towards zero, and between the least and the greatest of its values like the mean itself.
    avg: `CAST(sum(${value.sql})${filter} // CAST(count(${value.sql})${filter} AS HUGEINT) AS BIGINT)`,
    min: `min(${value.sql})`,
    max: `max(${value.sql})`,
  }[name as 'count' | 'sum' | 'avg' | 'min' | 'max'];
  const own = arg.kind === 'column' ? (arg.base?.column.grants ?? []) : [];
  const further = (['quantile', 'histogram'] as const).filter((one) =>
    own.some((grant) => grant.functions.includes(one)),
  );
  const [low, high] = [grid.low, grid.high].map(
    (end) => (Number(end) * Number(grid.step.numerator)) / Number(grid.step.denominator),
  );
  return {
    sql,
    grid,
    type: name === 'count' ? BIGINT : DOUBLE,
    // As a key and in conditions what its columns are there; see compile/unit-values.ts.
    grant: grantOf(low ?? 0, high ?? 0, further, passed([...distinctColumns(arg), ...among]).rights),
  };
}

const ONE = { numerator: 1n, denominator: 1n };

const grantOf = (
  low: number,
  high: number,
  further: readonly AggregateFunction[],
  more: ColumnGrant['rights'] = [],
): ColumnGrant => ({
  consumers: null,
  rights: ['aggregate', ...more],
  functions: [...OUTER, ...further],
  bounds: { low, high },
  values: null,
  bins: null,
});

/** Values of one row: of the least, the greatest, or whether there is one. */
const OWN: ReadonlySet<string> = new Set([
  'min',
  'max',
  'arg_min',
  'arg_max',
  'min_by',
  'max_by',
  'bool_or',
  'bool_and',
]);
/** Made of all rows, in whole numbers. */
const MADE: ReadonlySet<string> = new Set(['count_star', 'count', 'sum', 'avg']);

const boundsIn = ({ grants }: CatalogueColumn): boolean => grants.some(({ bounds }) => bounds !== null);

function listed(from: number, to: number): { readonly kind: 'number'; readonly text: string }[] {
  return Array.from({ length: to - from + 1 }, (_, i) => ({ kind: 'number', text: String(from + i) }));
}

/** The value itself, for bins and conditions. */
function shownOf({ sql, grid, type }: UnitValue): string {
  if (type.kind === 'integer') return sql;
  const { numerator, denominator } = grid.step;
  return `(CAST(${sql} AS DOUBLE) * CAST('${numerator}' AS DOUBLE) / CAST('${denominator}' AS DOUBLE))`;
}

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
import { type CatalogueColumn, type CatalogueTable, keyColumnsOf, type SqlType } from '../catalogue.ts';
import { checkBrought } from '../compile/brought-tables.ts';
import { isPlain } from '../compile/per-unit.ts';
import { groupKeys } from '../compile/released.ts';
import { condition, itemName } from '../compile/select.ts';
import { conjuncts } from '../compile/sources.ts';
import { refuse } from '../refusal.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import { passed } from '../compile/unit-values.ts';
import type { Column, NoisePart, Relation, State } from '../compile/state.ts';
import { FIXED_POINT, ROW_RANK } from '../layout.ts';
import { printTyped, quoteName } from '../print.ts';
import { type Base, baseColumn, printScope, reference } from '../rows.ts';
import { type Select, type Syntax, wordsOf } from '../syntax.ts';
import { BIGINT, DOUBLE } from '../types.ts';
import type { Call } from './aggregates.ts';
import { checkMeasure } from './aggregates.ts';
import { fixedPointOf, MAX_BITS, narrowed } from './fixed-point.ts';
import { isAggregateCall } from '../compile/aggregate-calls.ts';

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
  const [base, ...others] = from.scope.bases;
  const [unit, ...moreUnits] = base?.table.units ?? [];
  if (base === undefined || unit === undefined || others.length + moreUnits.length > 0) return null;
  if (!isPlain({ ...select, having: null })) return null;
  if (!state.context.tables.includes(base.table)) return null;
  const keys = groupKeys(select, select.items).map(resolveRow);
  const names = keys.map((key) => (key.kind === 'column' ? (key.base?.column.name ?? null) : null));
  const unitKeys = keyColumnsOf(state.context.tables, base.table, unit);
  if (unitKeys.length === 0 || names.includes(null) || !unitKeys.every((name) => names.includes(name))) return null;
  const isOne = names.every((name) => unitKeys.includes(name ?? ''));
  checkBrought(state, from.scope);
  for (const predicate of from.scope.predicates) state.rights.condition(predicate);
  for (const [index, key] of keys.entries()) if (!unitKeys.includes(names[index] ?? '')) state.rights.key(key);

  const columns: CatalogueColumn[] = [];
  const inner: string[] = [];
  /** By how they are computed. */
  const made = new Map<string, CatalogueColumn>();
  const values = new Map<string, UnitValue | null>();
  for (const [index, item] of select.items.entries()) {
    const { expression } = item;
    const name = `__gb_v${index}`;
    const label = itemName(item, from);
    if (expression.kind === 'call' && isAggregateCall(expression)) {
      const value = valueIn(expression);
      if (value === null) return null;
      add(value, name, label);
      continue;
    }
    const key = resolveRow(expression);
    if (key.kind !== 'column' || key.base === null || !keys.some((one) => printTyped(one) === key.sql)) return null;
    const isUnit = unitKeys.includes(key.base.column.name);
    // Any of the unit's rows tells its key; the least one, so that it is always the same.
    inner.push(`${isUnit && isOne ? `min(${key.sql})` : key.sql} AS ${quoteName(name)}`);
    columns.push({ name, label, of: key.base.column.name, type: key.type, grants: key.base.column.grants });
  }
  const asked = select.having === null ? [] : conjuncts(select.having);
  for (const [index, call] of asked.flatMap(aggregatesIn).entries()) {
    const value = valueIn(call);
    if (value === null) return null;
    if (!made.has(value.sql)) add(value, `__gb_h${index}`, `${call.name}(…)`);
  }
  const hash = reference(base.relation, unit.hash);
  const rows = printScope(from.scope, [
    `${reference(base.relation, ROW_RANK)} < ${release.maxRowsPerUnit}`,
    ...from.scope.predicates.map(printTyped).toSorted(),
  ]);
  const groups = isOne ? [hash] : [hash, ...new Set(keys.map(printTyped))];
  inner.push(
    `min(${hash}) AS ${quoteName(unit.hash)}`,
    `min(${reference(base.relation, unit.oneHot)}) AS ${quoteName(unit.oneHot)}`,
    `CAST(0 AS UINTEGER) AS ${quoteName(ROW_RANK)}`,
  );
  const table: CatalogueTable = {
    ...base.table,
    physical: `(SELECT ${inner.join(', ')} ${rows} GROUP BY ${groups.join(', ')})`,
    columns,
    units: [
      {
        ...unit,
        keyColumns: unitKeys.map(
          (name) => columns[select.items.findIndex((one) => isKey(one.expression, name))]?.name ?? '',
        ),
        path: [],
      },
    ],
    rowsPerUnit: isOne ? 1 : release.maxRowsPerUnit,
  };
  const relation = state.nextRelation++;
  const outer: Base = { relation, table, leftOn: null, at: base.at };
  const typedOf = (column: CatalogueColumn): Typed => baseColumn({ relation, table, column }, base.at);
  const visible = columns.slice(0, select.items.length).map((column): Column => ({
    name: column.label ?? column.name,
    role: 'derived',
    expression: typedOf(column),
  }));
  const sight: Sight = {
    over: 'rows',
    parameters: state.context.parameters,
    intercept: () => null,
    column: (path, at) =>
      visible.find((one) => path.length === 1 && one.name.toLowerCase() === path[0]?.toLowerCase())?.expression ??
      refuse('column-not-grouped', 'HAVING of values per unit takes aggregates and names of the select list', at),
    special: (call) => {
      const column = isAggregateCall(call) ? made.get(valueIn(call)?.sql ?? '') : undefined;
      return column === undefined ? null : typedOf(column);
    },
    window: (_window, at) => refuse('window-over-rows', 'a window cannot look at values per unit', at),
    subquery: ({ at }) => refuse('sql-not-allowed', 'a sub-query cannot stand in HAVING of values per unit', at),
  };
  // A condition on the row of a unit: whoever comes or goes changes that row and no other.
  const predicates = asked.map((one) => condition(resolve(one, sight)));
  return { kind: 'rows', scope: { bases: [outer], equalities: [], predicates }, columns: visible };

  function add(value: UnitValue, name: string, label: string): void {
    const column = { name, label, type: value.type, grants: [value.grant], grid: value.grid };
    columns.push(column);
    if (!made.has(value.sql)) made.set(value.sql, column);
    inner.push(`${value.sql} AS ${quoteName(FIXED_POINT(name))}`, `${shownOf(value)} AS ${quoteName(name)}`);
  }

  function valueIn(call: Call): UnitValue | null {
    const words = wordsOf(call);
    const known = values.get(words);
    if (known !== undefined) return known;
    const value = valueOf(state, call, resolveRow, release.maxRowsPerUnit);
    values.set(words, value);
    return value;
  }

  function isKey(expression: Select['items'][number]['expression'], name: string): boolean {
    if (expression.kind !== 'column') return false;
    const key = resolveRow(expression);
    return key.kind === 'column' && key.base?.column.name === name;
  }
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
  if (call.filter !== null || call.distinct) return null;
  rights.note(call.name === 'count_star' ? 'count' : call.name);
  const [arg, ...more] = call.args.map(resolveRow);
  if (more.length > 0) return null;
  const most = BigInt(kept);
  if (
    call.name === 'count_star' ||
    (call.name === 'count' && arg?.kind === 'constant' && arg.literal.kind !== 'null')
  ) {
    // How many rows a unit has is not the value of any column: it may be told apart, behind noise. 0 is not among them.
    const values = Array.from({ length: kept }, (_, i) => ({ kind: 'number' as const, text: String(i + 1) }));
    return {
      sql: 'count(*)',
      grid: { low: 0n, high: most, step: ONE },
      type: BIGINT,
      grant: {
        ...grantOf(0, kept, ['quantile', 'histogram']),
        rights: ['aggregate', 'group', 'filter', 'order'],
        values: kept <= MAX_LISTED ? values : null,
      },
    };
  }
  if (arg === undefined) return null;
  const name = call.name === 'mean' ? 'avg' : call.name;
  if (name === 'min' || name === 'max') {
    if (arg.kind !== 'column' || arg.base === null) return null;
    rights.require(arg.base, 'extremum', call.at, `in ${name}`);
  } else if (name === 'sum' || name === 'avg' || name === 'count') checkMeasure(arg, name, rights);
  else return null;
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
    count: `count(${value.sql})`,
    sum: `CAST(sum(${value.sql}) AS BIGINT)`,
    // Towards zero, and between the least and the greatest of its values like the mean itself.
    avg: `CAST(sum(${value.sql}) // CAST(count(${value.sql}) AS HUGEINT) AS BIGINT)`,
    min: `min(${value.sql})`,
    max: `max(${value.sql})`,
  }[name];
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
    grant: grantOf(low ?? 0, high ?? 0, further, passed(distinctColumns(arg)).rights),
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

/** The aggregates of an expression. */
function aggregatesIn(syntax: Syntax): readonly Call[] {
  if (syntax.kind === 'cast') return aggregatesIn(syntax.arg);
  if (syntax.kind !== 'call') return [];
  return isAggregateCall(syntax) ? [syntax] : syntax.args.flatMap(aggregatesIn);
}

/** The value itself, for bins and conditions. */
function shownOf({ sql, grid, type }: UnitValue): string {
  if (type.kind === 'integer') return sql;
  const { numerator, denominator } = grid.step;
  return `(CAST(${sql} AS DOUBLE) * CAST('${numerator}' AS DOUBLE) / CAST('${denominator}' AS DOUBLE))`;
}

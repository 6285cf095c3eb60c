import type { AggregateFunction, ColumnGrant } from '../../policy/model.ts';
import type { CatalogueTable, UnitColumns } from '../catalogue.ts';
import { repeatsRows } from '../differential/fan-out.ts';
import type { Block, Rest } from '../enforce/block.ts';
import { innerGuards } from '../enforce/contributions.ts';
import { formsOf, tagIn, UNIT_ROW, UNIT_ROWS } from '../enforce/lanes.ts';
import { UNIT_TAGS } from '../enforce/sketches.ts';
import { printTyped, quoteName } from '../print.ts';
import { alias, type Base, checkJoins, printScope, privateBases, reference, type RowScope, unitsOf } from '../rows.ts';
import type { Select, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { digitsOf, TEXT } from '../types.ts';
import { buildCell } from './cell.ts';
import { groupKeys } from './released.ts';
import { checkLeftJoin } from './aggregate.ts';
import { countingUnmatched } from './public-joins.ts';
import { hasAggregate, isAggregateCall, itemName } from './select.ts';
import type { From } from './sources.ts';
import type { Column, Relation, State } from './state.ts';

/** What the outer query may compute of a value per unit, e.g. the mean number of visits of a patient. */
const OUTER: readonly AggregateFunction[] = ['sum', 'avg', 'count', 'variance', 'stddev'];

/**
 * SELECT patient, count(*) … GROUP BY patient inside FROM: one row per privacy unit; with more columns in GROUP BY, one
 * per unit and what they hold, under the rights of those columns. It stays private rows, each of one unit, so the outer
 * aggregate is held to the same thresholds. null when the inner query is anything else.
 *
 * The rows may come of a join, as long as every joined row belongs to the one unit, and some private table is repeated by
 * none of the links: its rows are what the guard compares.
 *
 * What its WHERE leaves out is checked here, over all units, and the outer block shows nothing where that fails.
 */
export function compilePerUnit(
  state: State,
  select: Select,
  from: From,
  resolveRow: (syntax: Syntax) => Typed,
): Relation | null {
  const { scope } = from;
  if (!isPlain(select) || scope.bases.some(({ table }) => table.brought === true)) return null;
  const keys = groupKeys(select, select.items).map(resolveRow);
  const found = unitAmong(scope, keys);
  if (found === null) return null;
  const { base, holder, unit } = found;
  const isJoined = scope.bases.length > 1;
  const keyed = new Set(keys.map(printTyped));
  const columns: UnitColumn[] = [];
  const rests: Rest[] = [];
  for (const item of select.items) {
    const { expression } = item;
    if (expression.kind === 'call' && isAggregateCall(expression)) {
      const cell = buildCell(state.rights, expression, resolveRow);
      // FILTER and CASE per unit would need a check of their own; WHERE says the same.
      if (cell.conditions.some(({ kind, checksOutside }) => kind === 'chosen' || checksOutside)) return null;
      rests.push(...(cell.rests ?? []));
      columns.push({ name: itemName(item, from), sql: cell.sql, type: cell.type, grants: [AGGREGATED] });
      continue;
    }
    if (hasAggregate(expression)) return null;
    const key = resolveRow(expression);
    if (key.kind !== 'column' || key.base === null || !keyed.has(printTyped(key))) return null;
    const { table, column } = key.base;
    columns.push({
      name: itemName(item, from),
      sql: key.sql,
      type: key.type,
      grants: table.isPublic ? [OF_PUBLIC] : column.grants,
      of: column.name,
    });
  }
  for (const predicate of scope.predicates) state.rights.condition(predicate);
  if (isJoined) checkJoined(state, scope);
  const counted = isJoined ? countingUnmatched(scope) : scope;
  const guards = guardsOf(state, counted, keys, rests);
  const [{ hash, oneHot } = { hash: '', oneHot: '' }] = unitsOf(scope);
  const inner = columns.map((column, index) => `${column.sql} AS ${quoteName(valueName(index))}`);
  const hashes = [`min(${hash}) AS ${quoteName(unit.hash)}`, `min(${oneHot}) AS ${quoteName(unit.oneHot)}`];
  if (state.sketches !== null) {
    hashes.push(`count(*) AS ${quoteName(UNIT_ROWS)}`, `min(${alias(base.relation)}.rowid) AS ${quoteName(UNIT_ROW)}`);
    // The tags of a unit's rows add up to one tag: by XOR where lanes are, as in release/lanes.ts.
    const forms = formsOf(base.table, state.sketches.buckets);
    if (forms.includes('lanes') && unit.tag !== undefined)
      hashes.push(`bit_xor(${reference(base.relation, unit.tag)}) AS ${quoteName(unit.tag)}`);
    if (forms.includes(undefined))
      hashes.push(
        `sum(CAST(${tagIn({ unit: { domain: unit.domain, hash }, base })} AS HUGEINT)) AS ${quoteName(UNIT_TAGS)}`,
      );
  }
  const where = printScope(counted, counted.predicates.map(printTyped).toSorted());
  const physical = `(SELECT ${[...inner, ...hashes].join(', ')} ${where} GROUP BY ${keys.map(printTyped).join(', ')})`;
  const privates = privateBases(scope);
  const perUnit: CatalogueTable = {
    ...base.table,
    physical,
    columns: columns.map(({ name, type, grants, of }, index) => ({
      name: valueName(index),
      label: name,
      ...(of === undefined ? {} : { of }),
      type: type ?? { kind: 'text' },
      grants,
    })),
    units: [{ ...unit, keyColumns: holder.keyColumns.map((name) => positionOf(columns, holder.base, name)), path: [] }],
    // The modes of the tables in it were checked; what a further join would mean for them nobody said.
    ...(privates.length > 1 ? { joins: 'forbidden' as const } : {}),
  };
  const relation = state.nextRelation++;
  const outer: Base = { relation, table: perUnit, leftOn: null, at: base.at };
  const visible = columns.map(({ name }, index): Column => {
    const column = perUnit.columns[index] ?? { name: '', type: { kind: 'text' as const }, grants: [] };
    return {
      name,
      role: 'derived',
      expression: {
        kind: 'column',
        sql: reference(relation, column.name),
        base: { relation, table: perUnit, column },
        type: column.type,
        digits: digitsOf(column.type),
        at: base.at,
      },
    };
  });
  return { kind: 'rows', scope: { bases: [outer], equalities: [], predicates: [], guards }, columns: visible };
}

interface UnitColumn {
  readonly name: string;
  readonly sql: string;
  readonly type: Typed['type'];
  readonly grants: readonly ColumnGrant[];
  readonly of?: string;
}

/**
 * The unit that every row of the scope belongs to, where the keys hold the columns that make it; with the private table
 * whose rows the scope repeats nowhere, and the columns that make the unit in the table whose columns the keys are.
 */
function unitAmong(
  scope: RowScope,
  keys: readonly Typed[],
): {
  readonly base: Base;
  readonly unit: UnitColumns;
  readonly holder: { readonly base: Base; readonly keyColumns: readonly string[] };
} | null {
  const privates = privateBases(scope);
  if (privates.some(({ table }) => table.units.length !== 1) || unitsOf(scope).length !== 1) return null;
  if (keys.some((key) => key.kind !== 'column' || key.base === null)) return null;
  const names = (base: Base): string[] =>
    keys.flatMap((key) =>
      key.kind === 'column' && key.base?.relation === base.relation ? [key.base.column.name] : [],
    );
  const base = privates.find((one) => !repeatsRows(scope, one, 'bounded'));
  const [unit] = base?.table.units ?? [];
  const holder = [...(base === undefined ? [] : [base]), ...privates]
    .map((one) => ({ base: one, keyColumns: one.table.units[0]?.keyColumns ?? [] }))
    .find(({ base: of, keyColumns }) => keyColumns.length > 0 && keyColumns.every((name) => names(of).includes(name)));
  return base === undefined || unit === undefined || holder === undefined ? null : { base, unit, holder };
}

/** What every aggregation of joined rows is held to. */
function checkJoined(state: State, scope: RowScope): void {
  checkJoins(scope);
  for (const { left, right, expression } of scope.equalities) state.rights.join(left, right, expression.at);
  for (const { leftOn } of scope.bases) for (const on of leftOn ?? []) checkLeftJoin(state, on);
}

/** A name that no dataset's column can have: a key of the table that is aggregated here is no key of what comes of it. */
const valueName = (index: number): string => `__gb_v${index}`;

const AGGREGATED: ColumnGrant = {
  consumers: null,
  rights: ['aggregate'],
  functions: OUTER,
  bounds: null,
  values: null,
  bins: null,
};

/** A public column stands under no right of its own. */
const OF_PUBLIC: ColumnGrant = { ...AGGREGATED, rights: ['group', 'filter', 'order'], functions: [] };

/** A SELECT that groups and aggregates, and does nothing else. */
export function isPlain(select: Select): boolean {
  const absent = [select.having, select.qualify, select.limit, select.offset, select.orderAll];
  return (
    absent.every((part) => part === null) &&
    !select.distinct &&
    select.distinctOn === undefined &&
    select.orders.length === 0 &&
    select.groupSets.length <= 1
  );
}

function positionOf(columns: readonly { readonly sql: string }[], base: Base, name: string): string {
  const index = columns.findIndex(({ sql }) => sql === reference(base.relation, name));
  // A key that is not put out cannot be joined on: a name that no column has.
  return index === -1 ? '' : valueName(index);
}

function guardsOf(state: State, scope: RowScope, keys: readonly Typed[], rests: readonly Rest[]): string[] {
  if (scope.predicates.length === 0) return [];
  const name = `gb${state.nextBlock++}`;
  const inner = keys.map((expression) => ({ expression, type: expression.type ?? TEXT }));
  const block: Block = { name, scope, keys: inner, cells: [], units: unitsOf(scope), terms: state.terms };
  const { setup, guards } = innerGuards(block, rests);
  state.setup.push(...setup);
  return guards;
}

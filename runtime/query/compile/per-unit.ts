import {
  type CatalogueColumn,
  type CatalogueTable,
  GROUPED_BY,
  type Made,
  type UnitColumns,
  type ValuesOf,
} from '../catalogue.ts';
import { repeatsRows } from '../differential/fan-out.ts';
import type { Block, Rest } from '../enforce/block.ts';
import { innerGuards } from '../enforce/contributions.ts';
import { formsOf, UNIT_ROW } from '../enforce/lanes.ts';
import { madeOf, type Measure, namesOf } from '../enforce/measures.ts';
import { printTyped, quoteName } from '../print.ts';
import {
  alias,
  type Base,
  baseColumn,
  checkJoins,
  printScope,
  privateBases,
  reference,
  type RowScope,
  unitsOf,
} from '../rows.ts';
import type { Select, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { TEXT } from '../types.ts';
import { groupKeys } from './released.ts';
import { checkLeftJoin } from './aggregate.ts';
import { countingUnmatched } from './public-joins.ts';
import { itemName } from './select.ts';
import { conjuncts, type From } from './sources.ts';
import { type UnitColumn, unitSight } from './unit-values.ts';
import type { Column, Relation, State } from './state.ts';
import { hasAggregate } from './aggregate-calls.ts';
import { bitOfGroup } from './unit-bits.ts';
import { isMade, rowsIn, sourceAmong, type ValuedRows } from './unit-tags.ts';

/**
 * SELECT patient, count(*) … GROUP BY patient inside FROM: one row per privacy unit; with more columns in GROUP BY, one
 * per unit and what they hold, under the rights of those columns. It stays private rows, each of one unit, so the outer
 * aggregate is held to the same thresholds. null when the inner query is anything else.
 *
 * The rows may come of a join, as long as every joined row belongs to the one unit, and some private table is repeated by
 * none of the links: its rows are what the guard compares.
 *
 * What its WHERE leaves out is checked here, over all units, and the outer block shows nothing where that fails. Its HAVING
 * is a condition on the rows that come of it, and goes where WHERE of the outer query goes.
 */
export function compilePerUnit(
  state: State,
  select: Select,
  from: From,
  resolveRow: (syntax: Syntax) => Typed,
): Relation | null {
  const { scope } = from;
  if (!isPlain({ ...select, having: null, distinct: false })) return null;
  if (scope.bases.some(({ table }) => table.brought === true)) return null;
  const isDistinct = select.distinct && select.groups.length === 0 && !select.groupAll;
  if (select.distinct && (!isDistinct || select.items.some((item) => hasAggregate(item.expression)))) return null;
  const written = isDistinct ? select.items.map((item) => item.expression) : groupKeys(select, select.items);
  const keys = written.map(resolveRow);
  const found = unitAmong(scope, keys);
  if (found === null) return null;
  const { base, holder, unit } = found;
  const isJoined = scope.bases.length > 1;
  const privates = privateBases(scope);
  const relation = state.nextRelation++;
  const columns: CatalogueColumn[] = [];
  const inner: string[] = [];
  const rests: Rest[] = [];
  const perUnit: { -readonly [Key in keyof CatalogueTable]: CatalogueTable[Key] } = {
    ...base.table,
    columns,
    // The modes of the tables in it were checked; what a further join would mean for them nobody said.
    ...(privates.length > 1 ? { joins: 'forbidden' as const } : {}),
  };
  const valued: ValuedRows[] = [];
  const placeOf = (wanted: ValuedRows): number => {
    const known = valued.findIndex(
      (one) => one.rows === wanted.rows && one.of === wanted.of && one.by === wanted.by && one.source === wanted.source,
    );
    return known === -1 ? valued.push(wanted) - 1 : known;
  };
  const madeHere = (measure: Measure): Made[] => {
    const inside = madeOf(measure, base);
    if (inside.length === 0) return [{ of: namesOf(measure, scope.bases), place: placeOf({ rows: measure.rows }) }];
    return inside.map(({ of, place }) => ({ of, place: placeOf({ rows: measure.rows, of: place }) }));
  };
  const valuesHere = (
    { columns: of, by, isOverAll }: NonNullable<UnitColumn['values']>,
    [measure]: readonly Measure[],
  ): ValuesOf => {
    const inside = of.map(({ column }) => column.valuesOf ?? { columns: [column.name] });
    const names = [...new Set(inside.flatMap((one) => one.columns))];
    const made = inside.find((one): one is ValuesOf => 'by' in one && (one.by !== 'sum' || one.place !== undefined));
    const isSum = by === 'sum' && (made?.by ?? 'sum') === 'sum';
    if (state.sketches === null) return { columns: names, by: isSum ? 'sum' : (made?.by ?? by) };
    const source = sourceAmong(privates, of, base);
    const wanted: ValuedRows = {
      ...(measure === undefined || isOverAll === true ? {} : { rows: measure.rows }),
      ...(made?.place === undefined ? {} : { of: made.place }),
      ...(by === 'sum' ? {} : { by }),
      ...(source === null ? {} : { source }),
    };
    const place = Object.keys(wanted).length === 0 ? {} : { place: placeOf(wanted) };
    const forms = source === null ? {} : { forms: formsOf(source.table, state.sketches.buckets) };
    return { columns: names, by: isSum ? 'sum' : by === 'sum' ? (made?.by ?? by) : by, ...place, ...forms };
  };
  const add = ({ sql, type, grants, of, label, measures = [], values, countsValues }: UnitColumn): Typed => {
    const at = inner.indexOf(sql);
    const index = at === -1 ? inner.push(sql) - 1 : at;
    const name = valueName(index);
    // What nobody adds up is compared by nothing of its own.
    const isAdded = state.sketches !== null && grants.some(({ rights }) => rights.includes('aggregate'));
    const made = isAdded ? measures.flatMap(madeHere) : [];
    const valuesOf =
      values !== undefined && grants.some(({ rights }) => rights.includes('aggregate'))
        ? { valuesOf: valuesHere(values, measures) }
        : {};
    const counts = countsValues === undefined ? {} : { countsValues };
    columns[index] ??= {
      name,
      label,
      ...(of === undefined ? {} : { of }),
      type: type ?? TEXT,
      grants,
      made,
      ...counts,
      ...valuesOf,
    };
    return baseColumn({ relation, table: perUnit, column: columns[index] }, base.at);
  };
  const sight = unitSight(state, { items: select.items, keys, resolveRow, rests, add });
  const visible = select.items.map((item): Column => ({
    name: itemName(item, from),
    role: 'derived',
    expression: sight.named(item.expression, itemName(item, from)),
  }));
  for (const key of keys) sight.key(key);
  const having = select.having === null ? [] : conjuncts(select.having).map((one) => sight.condition(one));
  for (const predicate of scope.predicates) state.rights.condition(predicate);
  if (isJoined) checkJoined(state, scope);
  const counted = isJoined ? countingUnmatched(scope) : scope;
  const guards = guardsOf(state, counted, keys, rests);
  const [{ hash, oneHot } = { hash: '', oneHot: '' }] = unitsOf(scope);
  const bit = bitOfGroup(holder.base, reference(holder.base.relation, holder.keyColumns[0] ?? ''), oneHot);
  const hashes = [`min(${hash}) AS ${quoteName(unit.hash)}`, `${bit} AS ${quoteName(unit.oneHot)}`];
  if (state.sketches !== null) {
    const row = isMade(base) ? reference(base.relation, UNIT_ROW) : `${alias(base.relation)}.rowid`;
    hashes.push(`min(${row}) AS ${quoteName(UNIT_ROW)}`);
    hashes.push(...rowsIn({ base, unit, hash }, [{}, ...valued], state.sketches.buckets));
  }
  const where = printScope(counted, counted.predicates.map(printTyped).toSorted());
  const values = inner.map((sql, index) => `${sql} AS ${quoteName(valueName(index))}`);
  perUnit.physical = `(SELECT ${[...values, ...hashes].join(', ')} ${where} GROUP BY ${keys.map(printTyped).join(', ')})`;
  const positionOf = (name: string): string => {
    const index = inner.indexOf(reference(holder.base.relation, name));
    return index === -1 ? '' : valueName(index);
  };
  const isUnitKey = (key: Typed): boolean =>
    key.kind === 'column' &&
    key.base?.relation === holder.base.relation &&
    holder.keyColumns.includes(key.base.column.name);
  if (keys.every(isUnitKey)) perUnit.isOnePerUnit = true;
  perUnit.units = [{ ...unit, keyColumns: holder.keyColumns.map(positionOf), path: [] }];
  const grouped = keys.length === 1 ? columns.findIndex(({ name }) => name === perUnit.units[0]?.keyColumns[0]) : -1;
  if (columns[grouped] !== undefined) columns[grouped] = { ...columns[grouped], facts: GROUPED_BY };
  const outer: Base = { relation, table: perUnit, leftOn: null, at: base.at };
  return {
    kind: 'rows',
    scope: { bases: [outer], equalities: [], predicates: having, guards },
    columns: visible,
  };
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

/** Checks what WHERE ahead of values per unit leaves out, over all units: conditions for anything to be shown. */
export function guardsOf(state: State, scope: RowScope, keys: readonly Typed[], rests: readonly Rest[]): string[] {
  if (scope.predicates.length === 0) return [];
  const name = `gb${state.nextBlock++}`;
  const inner = keys.map((expression) => ({ expression, type: expression.type ?? TEXT }));
  const block: Block = { name, scope, keys: inner, cells: [], units: unitsOf(scope), terms: state.terms };
  const { setup, gates, guards } = innerGuards(block, rests);
  const before = state.setup.length;
  state.gates.push(...gates.map((gate) => ({ ...gate, from: before + gate.from, to: before + gate.to })));
  state.setup.push(...setup);
  return guards;
}

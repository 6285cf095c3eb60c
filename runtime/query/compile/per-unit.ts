import type { AggregateFunction, ColumnGrant } from '../../policy/model.ts';
import type { CatalogueTable } from '../catalogue.ts';
import type { Block, Rest } from '../enforce/block.ts';
import { innerGuards } from '../enforce/contributions.ts';
import { hasLanes, UNIT_ROW, UNIT_ROWS } from '../enforce/lanes.ts';
import { tagOf, UNIT_TAGS } from '../enforce/sketches.ts';
import { printTyped, quoteName } from '../print.ts';
import { alias, type Base, printScope, reference, type RowScope, unitsOf } from '../rows.ts';
import type { Select, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { digitsOf, TEXT } from '../types.ts';
import { buildCell } from './cell.ts';
import { groupKeys } from './released.ts';
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
 * What its WHERE leaves out is checked here, over all units, and the outer block shows nothing where that fails.
 */
export function compilePerUnit(
  state: State,
  select: Select,
  from: From,
  resolveRow: (syntax: Syntax) => Typed,
): Relation | null {
  const { scope } = from;
  const [base, ...others] = scope.bases;
  const [unit, ...moreUnits] = base?.table.units ?? [];
  if (base === undefined || unit === undefined || others.length + moreUnits.length > 0 || !isPlain(select)) return null;
  const keys = groupKeys(select, select.items).map(resolveRow);
  if (!holdUnit(keys, base, unit.keyColumns)) return null;
  const keyed = new Set(keys.map(printTyped));
  const columns: {
    readonly name: string;
    readonly sql: string;
    readonly type: Typed['type'];
    readonly grants: readonly ColumnGrant[];
    readonly of?: string;
  }[] = [];
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
    columns.push({
      name: itemName(item, from),
      sql: key.sql,
      type: key.type,
      grants: key.base.column.grants,
      of: key.base.column.name,
    });
  }
  for (const predicate of scope.predicates) state.rights.condition(predicate);
  const guards = guardsOf(state, scope, keys, rests);
  const [{ hash, oneHot } = { hash: '', oneHot: '' }] = unitsOf(scope);
  const inner = columns.map((column, index) => `${column.sql} AS ${quoteName(valueName(index))}`);
  const hashes = [`min(${hash}) AS ${quoteName(unit.hash)}`, `min(${oneHot}) AS ${quoteName(unit.oneHot)}`];
  if (state.sketches !== null) {
    hashes.push(`count(*) AS ${quoteName(UNIT_ROWS)}`, `min(${alias(base.relation)}.rowid) AS ${quoteName(UNIT_ROW)}`);
    // The tags of a unit's rows add up to one tag: by XOR where lanes are, as in release/lanes.ts.
    if (hasLanes(base.table, state.sketches.buckets) && unit.tag !== undefined)
      hashes.push(`bit_xor(${reference(base.relation, unit.tag)}) AS ${quoteName(unit.tag)}`);
    else hashes.push(`sum(CAST(${tagOf(base.relation, hash)} AS HUGEINT)) AS ${quoteName(UNIT_TAGS)}`);
  }
  const where = printScope(scope, scope.predicates.map(printTyped).toSorted());
  const physical = `(SELECT ${[...inner, ...hashes].join(', ')} ${where} GROUP BY ${keys.map(printTyped).join(', ')})`;
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
    units: [{ ...unit, keyColumns: unit.keyColumns.map((name) => positionOf(columns, base, name)), path: [] }],
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

/** Whether the keys are columns, and those that make the unit among them: then no group holds rows of two units. */
function holdUnit(keys: readonly Typed[], base: Base, columns: readonly string[]): boolean {
  const names = keys.map((key) =>
    key.kind === 'column' && key.base?.relation === base.relation ? key.base.column.name : null,
  );
  return columns.length > 0 && !names.includes(null) && columns.every((column) => names.includes(column));
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

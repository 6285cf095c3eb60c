/**
 * `patients LEFT JOIN (SELECT patient, count(*) … GROUP BY patient) USING (patient)`: values per unit beside the rows of all
 * units, NULL for those that have none.
 *
 * Argument. The values are filled up before they are joined: one row for each unit of the left table, with the values of its
 * own rows or with NULL. That is a table of values per unit like any other, joined on the unit, so no row on the left is
 * lost or repeated, and all rules for such joins hold: a condition on a value (`n IS NULL` too), a sum over those who have
 * one and a count of those who have none are held to the minimum, or covered by the noise of one unit's rows. The row that
 * fills up a unit is the unit's own: whoever comes or goes changes that row and no other.
 */
import { type CatalogueColumn, type CatalogueTable, GROUPED_BY } from '../catalogue.ts';
import { ROW_RANK } from '../layout.ts';
import { quoteName } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { type Base, baseColumn, type Equality, reference, type RowScope, unitsOf } from '../rows.ts';
import type { Typed } from '../typed.ts';
import type { From } from './sources.ts';
import type { State } from './state.ts';
import { bitOfGroup } from './unit-bits.ts';
import { emptyWithout, makesValues, telling } from './without-partner.ts';

/** The join as an inner one to values that are filled up; null when the right side is anything else. Throws Refusal. */
export function joinUnitValues(
  state: State,
  { left, right, both }: { readonly left: From; readonly right: From; readonly both: From },
  conditions: readonly Typed[],
  at: Place,
): From | null {
  const [values, ...others] = right.scope.bases;
  const [unit] = values?.table.units ?? [];
  if (values === undefined || unit === undefined || values.table.isOnePerUnit !== true) return null;
  if (others.length + right.released.length + right.scope.equalities.length > 0 || left.released.length > 0)
    return null;
  if (right.scope.predicates.length > 0)
    refuse(
      'outer-join-private',
      'values per unit that HAVING picks cannot be LEFT JOINed',
      at,
      'leave HAVING out, and ask for the value in CASE, FILTER or WHERE of the outer query',
    );
  const links = conditions.map((one) => linkOf(one, values));
  const keys = unit.keyColumns.map((name) => links.find((one) => one?.own === name)?.other ?? null);
  const [key] = keys;
  const base = left.scope.bases.find(({ relation }) => relation === key?.relation);
  const [held] = base?.table.units ?? [];
  const isOnUnit = keys.every((one) => one !== null && one.relation === base?.relation) && links.length === keys.length;
  if (base === undefined || held === undefined || !isOnUnit || base.leftOn !== null || base.table.isPublic)
    return refuse(
      'outer-join-private',
      'values per unit can be LEFT JOINed on the unit, and on nothing else',
      at,
      'ON the columns of the unit, of one table; other conditions go into CASE, FILTER or WHERE',
    );
  const isNoisy = state.noise !== undefined || values.table.rowsPerUnit !== undefined;
  // A unit has one row of rank 0 in a table of the layout, and of what a query made only where it makes one row of each.
  if (isNoisy && !state.context.tables.includes(base.table) && base.table.rowsPerUnit !== 1) return null;

  const named = keys.flatMap((one) => (one === null ? [] : [quoteName(one.column.name)]));
  const links_ = named.map((_, index) => `__gb_k${index}`);
  // The key of another type may equal several of the values' own keys, which are then several rows of one unit.
  const ownKey = values.table.columns.find(({ name }) => name === unit.keyColumns[0]);
  const isUnique =
    links_.length === 1 && key !== null && key !== undefined && ownKey?.type.kind === key.column.type.kind;
  const hidden: CatalogueColumn[] = links_.map((name, index) => ({
    name,
    label: keys[index]?.column.label ?? keys[index]?.column.name ?? name,
    type: keys[index]?.column.type ?? { kind: 'text' },
    grants: keys[index]?.column.grants ?? [],
    ...(isUnique ? { facts: GROUPED_BY } : {}),
  }));
  const [hash, oneHot] = [quoteName(held.hash), quoteName(held.oneHot)];
  const all = isNoisy
    ? `SELECT ${[...named.map((name, i) => `${name} AS l${i}`), `${hash} AS lu`, `${oneHot} AS lb`].join(', ')} FROM ${base.table.physical} AS q0 WHERE ${quoteName(ROW_RANK)} = 0`
    : `SELECT ${[...named.map((name, i) => `${name} AS l${i}`), `min(${hash}) AS lu`, `${bitOfGroup(base, named[0], oneHot)} AS lb`].join(', ')} FROM ${base.table.physical} AS q0 GROUP BY ${named.join(', ')}`;
  const isCalculated = makesValues(right.visible, values.relation);
  const each = isCalculated ? telling(values.table) : values.table;
  const own = unit.keyColumns.map((name, i) => `q.l${i} = p.${quoteName(name)}`);
  const on = isNoisy ? `q.lu = p.${quoteName(unit.hash)}` : own.join(' AND ');
  const shown = [
    `p.* EXCLUDE (${quoteName(unit.hash)}, ${quoteName(unit.oneHot)}${isNoisy ? `, ${quoteName(ROW_RANK)}` : ''})`,
    ...links_.map((name, i) => `q.l${i} AS ${quoteName(name)}`),
    `q.lu AS ${quoteName(unit.hash)}`,
    `q.lb AS ${quoteName(unit.oneHot)}`,
    ...(isNoisy ? [`CAST(0 AS UINTEGER) AS ${quoteName(ROW_RANK)}`] : []),
  ];
  const table: CatalogueTable = {
    ...values.table,
    physical: `(SELECT ${shown.join(', ')} FROM (${all}) AS q LEFT JOIN ${each.physical} AS p ON (${on}))`,
    columns: [...each.columns, ...hidden],
    units: [{ ...unit, keyColumns: links_ }],
  };
  const filled: Base = { ...values, table };
  const visible = isCalculated ? emptyWithout(filled, right.visible, at) : right.visible;
  const equalities = hidden.map((column, index): Equality => {
    const there = keys[index] ?? refuse('outer-join-private', 'a key of the unit is missing', at);
    const here = { relation: values.relation, table, column };
    const [a, b] = isNoisy
      ? [reference(base.relation, held.hash), reference(values.relation, unit.hash)]
      : [reference(base.relation, there.column.name), reference(values.relation, column.name)];
    const args = [baseColumn(there, at), baseColumn(here, at)];
    // Whose key is missing keeps its row as well.
    const sql = `(${a} IS NOT DISTINCT FROM ${b})`;
    return {
      left: there,
      right: here,
      expression: { kind: 'call', name: '=', args, type: { kind: 'boolean' }, digits: null, sql, at },
    };
  });
  const scope: RowScope = {
    ...both.scope,
    bases: [...left.scope.bases, filled],
    equalities: [...both.scope.equalities, ...equalities],
  };
  const linked = unitsOf({ bases: [base, filled], equalities, predicates: [] });
  if (linked.length !== base.table.units.length)
    refuse(
      'outer-join-private',
      'values per unit can be LEFT JOINed where their unit is that of the left table',
      at,
      'use an inner join: of another dataset it is another unit, and who is missing there is not told',
    );
  return { ...both, visible: [...left.visible, ...visible], scope };
}

/** `a = b` where one side is a column of the values. */
function linkOf(condition: Typed, values: Base): { readonly own: string; readonly other: Equality['left'] } | null {
  if (condition.kind !== 'call' || condition.name !== '=') return null;
  const [a, b] = condition.args.map((arg) => (arg.kind === 'column' ? arg.base : null));
  if (a == null || b == null || (a.relation === values.relation) === (b.relation === values.relation)) return null;
  const [own, other] = a.relation === values.relation ? [a, b] : [b, a];
  return { own: own.column.name, other };
}

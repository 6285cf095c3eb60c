import type { Relation, ReleasedRelation, Scope, State } from './state.ts';
import { commonType, printType } from '../types.ts';
import { placeOfItem, type Select, type Union } from '../syntax.ts';
import { compileAny, releasedOnly } from './select.ts';
import { refuse } from '../refusal.ts';
import type { From } from './sources.ts';
import { releasedColumn } from '../typed.ts';
import { compileReleased } from './released.ts';

type ReleasedColumn = ReleasedRelation['columns'][number];

/** A column of NULL alone takes the type of the other side. */
function unionType(left: ReleasedColumn, right: ReleasedColumn): ReleasedColumn['type'] | null {
  if (left.isUntyped === true) return right.type;
  return right.isUntyped === true ? left.type : commonType(left.type, right.type);
}

/**
 * The rows of both sides, or of the first that the second has not (EXCEPT) or has (INTERSECT): each once, equal as GROUP BY
 * has it, and certified by the weakest of its rows.
 */
function combined(
  operation: Union['operation'],
  [left, right]: readonly [string, string],
  outputs: number,
  certificates: number,
): string {
  if (operation === 'union') return `${left} UNION ALL ${right}`;
  const columns = Array.from({ length: outputs }, (_, i) => `o${i}`).join(', ');
  const weakest = Array.from({ length: certificates }, (_, i) => `, min(c${i}) AS c${i}`).join('');
  const sides = `SELECT *, 0 AS side FROM (${left}) UNION ALL SELECT *, 1 AS side FROM (${right})`;
  const kept = operation === 'except' ? 'max(side) = 0' : 'min(side) = 0 AND max(side) = 1';
  return `SELECT ${columns}${weakest} FROM (${sides}) GROUP BY ${columns} HAVING ${kept}`;
}

/** UNION, EXCEPT and INTERSECT of results that are each released already. */
export function compileUnion(state: State, union: Union, scope: Scope): Relation {
  // People of whom two lists are made are counted by a condition.
  const instead =
    union.operation === 'union'
      ? undefined
      : `count whom you mean: \`SELECT count(DISTINCT unit) FROM … WHERE unit ${union.operation === 'except' ? 'NOT IN' : 'IN'} (SELECT unit FROM …)\``;
  const left = releasedOnly(compileAny(state, union.left, scope), placeOfItem(union.left, 0), instead);
  const right = releasedOnly(compileAny(state, union.right, scope), placeOfItem(union.right, 0), instead);
  if (left.columns.length !== right.columns.length)
    refuse(
      'type-mismatch',
      `the two sides of ${union.operation.toUpperCase()} have different numbers of columns`,
      placeOfItem(union.right, 0) ?? { words: [union.operation] },
    );
  const columns = left.columns.map((column, index) => {
    const other = right.columns[index];
    const type = other === undefined ? null : unionType(column, other);
    if (type === null)
      refuse(
        'type-mismatch',
        `column ${index + 1} of ${union.operation.toUpperCase()} has two types`,
        placeOfItem(union.right, index),
      );
    const role = column.role === other?.role ? column.role : ('derived' as const);
    const isUntyped = column.isUntyped === true && other?.isUntyped === true;
    const noisy = { ...column.noisy, ...other?.noisy };
    return {
      name: column.name,
      type,
      role,
      ...(isUntyped ? { isUntyped } : {}),
      ...(Object.keys(noisy).length > 0 ? { noisy } : {}),
    };
  });
  const domains = [...new Set([...left.domains, ...right.domains])];
  const side = (relation: ReleasedRelation): string => {
    const outputs = columns.map((column, index) => `CAST(o${index} AS ${printType(column.type)}) AS o${index}`);
    const certificates = domains.map((domain, index) => {
      const own = relation.domains.indexOf(domain);
      return `${own === -1 ? `CAST(${state.terms.minUnits} AS BIGINT)` : `c${own}`} AS c${index}`;
    });
    return `SELECT ${[...outputs, ...certificates].join(', ')} FROM (${relation.select})`;
  };
  const both = combined(union.operation, [side(left), side(right)], columns.length, domains.length);
  const named = columns.map((column, index) => ({ ...column, sql: `u.o${index}` }));
  const from: From = {
    visible: [
      {
        names: ['union'],
        columns: named.map((column) => ({
          name: column.name,
          role: column.role,
          expression: releasedColumn(column.sql, column.type, null),
        })),
      },
    ],
    scope: { bases: [], equalities: [], predicates: [] },
    released: [
      {
        from: `(${both}) AS u`,
        leftOn: null,
        certificates: domains.map((domain, index) => ({ domain, sql: `u.c${index}` })),
      },
    ],
    merged: [],
  };
  const outer: Select = {
    kind: 'select',
    commonTables: [],
    items: columns.map((column) => ({
      expression: { kind: 'column', path: [column.name], at: null },
      alias: column.name,
      defaultName: column.name,
    })),
    from: { kind: 'none' },
    where: null,
    groups: [],
    groupSets: [],
    groupAll: false,
    having: null,
    qualify: null,
    orders: union.orders,
    orderAll: union.orderAll,
    limit: union.limit,
    offset: union.offset,
    distinct: !union.isAll || union.distinct,
    ...(union.distinctOn === undefined ? {} : { distinctOn: union.distinctOn }),
  };
  return compileReleased(state, outer, scope, from, named);
}

/**
 * `SELECT b.branch, any_value(b.name), count(*) … GROUP BY b.branch`: a column of which each group has one value, because a
 * key of the group says which row of its table it is.
 *
 * Such a column is made a group key as well, which splits no group, and is read as the key that it is: under the right
 * `group`, in every check that looks at keys. Nothing rests on it being determined: were it not, there would be more groups,
 * each held to the minimum. It is looked at so that the answer is the one that was asked for.
 */
import { isUniqueIn } from '../differential/fan-out.ts';
import { printTyped } from '../print.ts';
import type { Base, RowScope } from '../rows.ts';
import type { Select, Syntax } from '../syntax.ts';
import type { BaseColumn, Typed } from '../typed.ts';
import { isFloating } from '../types.ts';
import { mapSelect, mapSyntax } from './map-syntax.ts';
import { groupKeys } from './released.ts';
import { resolvedOrNull } from './resolved-or-null.ts';

/** Aggregates that show the one value which all rows of a group have. */
const SHOWN: ReadonlySet<string> = new Set(['any_value', 'arbitrary', 'first', 'last', 'mode']);

/** The SELECT with such calls as the keys that they are; the same object where there are none. */
export function withDeterminedKeys(select: Select, scope: RowScope, resolveRow: (syntax: Syntax) => Typed): Select {
  if (select.groupSets.length > 1 || (select.groups.length === 0 && !select.groupAll)) return select;
  const parts = [...select.items.map(({ expression }) => expression), ...select.orders.map((one) => one.expression)];
  if (![...parts, select.having, select.qualify].some((part) => part !== null && holdsShown(part))) return select;
  const groups = groupKeys(select, select.items);
  const keys = groups.map(resolveRow);
  const known = determinedBy(keys, scope);
  const added = new Map<string, Syntax>();
  const found = (call: Syntax): Syntax | null => {
    if (call.kind !== 'call' || !SHOWN.has(call.name)) return null;
    const [arg] = call.args;
    if (arg === undefined || call.args.length !== 1 || call.filter !== null || call.distinct) return null;
    const typed = resolvedOrNull(arg, resolveRow);
    if (typed?.kind !== 'column' || typed.base === null || !known(typed.base)) return null;
    if (!keys.some((key) => printTyped(key) === printTyped(typed))) added.set(printTyped(typed), arg);
    return arg;
  };
  const made = mapSelect(select, found);
  return { ...made, groups: [...groups, ...added.values()], groupAll: false, groupSets: [] };
}

/** Columns that have one value wherever the keys have one each. */
function determinedBy(keys: readonly Typed[], scope: RowScope): (column: BaseColumn) => boolean {
  const name = ({ relation, column }: Pick<BaseColumn, 'relation' | 'column'>): string => `${relation}.${column.name}`;
  const known = new Set<string>();
  const whole = new Set<number>();
  const isKnown = (column: BaseColumn): boolean => whole.has(column.relation) || known.has(name(column));
  for (const key of keys) if (key.kind === 'column' && key.base !== null) known.add(name(key.base));
  for (const one of scope.predicates) {
    const [column, value] = one.kind === 'call' && one.name === '=' ? one.args : [];
    if (column?.kind === 'column' && column.base !== null && value?.kind === 'constant') known.add(name(column.base));
  }
  const links = scope.equalities.filter(({ left, right }) => areAlike(left, right));
  const isWhole = ({ relation, table, leftOn }: Base): boolean => {
    const isUnique = (column: string): boolean => isUniqueIn(scope, { relation, table, leftOn, at: null }, column);
    if (leftOn === null)
      return table.columns.some((column) => known.has(name({ relation, column })) && isUnique(column.name));
    // Whether a partner is found says the one column that is looked up; its own is NULL where none is.
    const [on, ...more] = leftOn;
    if (on?.kind !== 'call' || on.name !== '=' || more.length > 0) return false;
    const [a, b] = on.args.map((arg) => (arg.kind === 'column' ? arg.base : null));
    if (a == null || b == null || !areAlike(a, b)) return false;
    const [own, other] = a.relation === relation ? [a, b] : [b, a];
    return own.relation === relation && (isKnown(other) || isKnown(own)) && isUnique(own.column.name);
  };
  for (let grew = true; grew;) {
    grew = false;
    for (const { left, right } of links) {
      if (isKnown(left) === isKnown(right)) continue;
      known.add(name(left)).add(name(right));
      grew = true;
    }
    for (const base of scope.bases) {
      if (whole.has(base.relation) || !isWhole(base)) continue;
      whole.add(base.relation);
      for (const column of base.table.columns) known.add(name({ relation: base.relation, column }));
      grew = true;
    }
  }
  return isKnown;
}

/** Equal values of such columns are the same value: `'01'` and 1 are equal as numbers only. */
function areAlike(left: BaseColumn, right: BaseColumn): boolean {
  return left.column.type.kind === right.column.type.kind && !isFloating(left.column.type);
}

function holdsShown(syntax: Syntax): boolean {
  let holds = false;
  mapSyntax(syntax, (one) => {
    if (one.kind === 'call' && SHOWN.has(one.name)) holds = true;
    return null;
  });
  return holds;
}

/**
 * `trips JOIN (VALUES ('bus', 'public'), …) AS m(mode, label) ON trips.mode = m.mode`: a consumer's own list beside private
 * rows, as what it says: `label` is `CASE mode WHEN 'bus' THEN 'public' … END`, and the join `mode IN ('bus', …)`.
 *
 * Argument. Nothing is joined: what is left is a CASE and a condition over one column against constants, under the rights
 * and minima of those. A list that holds a value twice would repeat rows, which no CASE does; it is refused as before.
 */
import { buildCall } from '../resolve/call.ts';
import { buildCase } from '../resolve/expression.ts';
import { constant } from '../resolve/align.ts';
import { printTyped } from '../print.ts';
import type { Place } from '../refusal.ts';
import type { Typed } from '../typed.ts';
import { addConditions, type From } from './sources.ts';
import type { Column } from './state.ts';

/** Kinds of constants of which each value is written in one way only. */
const MAPPED: ReadonlySet<string> = new Set(['text', 'integer', 'boolean']);

/** The join without the list; null when it is anything else. Throws Refusal. */
export function joinList(
  { left, right, both }: { readonly left: From; readonly right: From; readonly both: From },
  conditions: readonly Typed[],
  { isLeft, at }: { readonly isLeft: boolean; readonly at: Place },
): From | null {
  const [base, ...others] = right.scope.bases;
  const listed = base?.table.listed;
  const [visible, ...more] = right.visible;
  const [link, ...moreLinks] = conditions;
  if (base === undefined || listed === undefined || visible === undefined || link === undefined) return null;
  if (others.length + more.length + moreLinks.length + right.released.length > 0) return null;
  if (right.scope.predicates.length + right.scope.equalities.length > 0 || link.kind !== 'call' || link.name !== '=')
    return null;
  const isOwn = (one: Typed): boolean => one.kind === 'column' && one.base?.relation === base.relation;
  const [own, asked] = [link.args.find(isOwn), link.args.find((one) => !isOwn(one))];
  if (own?.kind !== 'column' || asked?.kind !== 'column' || asked.base === null) return null;
  const columns = base.table.columns.map(({ name }) => name);
  if (!visible.columns.every(({ expression }) => isOwn(expression))) return null;
  const keys = listed[columns.indexOf(own.base?.column.name ?? '')] ?? [];
  const isMap =
    keys.length > 0 &&
    // 1 and 1.0 are one value: of one kind, values are equal where they are written alike.
    keys.every((key) => key.kind === 'constant' && MAPPED.has(key.literal.kind)) &&
    new Set(keys.map((key) => (key.kind === 'constant' ? key.literal.kind : ''))).size === 1 &&
    new Set(keys.map(printTyped)).size === keys.length;
  if (!isMap) return null;
  const isKey = keys.map((key) => buildCall('=', [asked, key], 'rows', at));
  const valueOf = (index: number): Typed => {
    const values = listed[index] ?? [];
    const whens = isKey.flatMap((when, row) => values.slice(row, row + 1).map((value) => ({ when, value })));
    // Of an inner join no row is left for which none holds.
    const last = isLeft ? undefined : whens.at(-1)?.value;
    const branches = last === undefined || whens.length === 1 ? whens : whens.slice(0, -1);
    return buildCase(branches, last ?? constant({ kind: 'null' }, at), at);
  };
  const named = visible.columns.map((column): Column => {
    const name = column.expression.kind === 'column' ? column.expression.base?.column.name : undefined;
    const index = columns.indexOf(name ?? '');
    const isTheKey = index === columns.indexOf(own.base?.column.name ?? '');
    return { ...column, role: 'derived', expression: isTheKey && !isLeft ? asked : valueOf(index) };
  });
  const scope = isLeft ? left.scope : addConditions(left.scope, [buildCall('in', [asked, ...keys], 'rows', at)]);
  return { ...both, visible: [...left.visible, { ...visible, columns: named }], scope, released: left.released };
}

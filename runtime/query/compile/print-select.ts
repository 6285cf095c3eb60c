import type { SqlType } from '../types.ts';
import { printTyped } from '../print.ts';
import { refuse } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import type { OrderItem, Select, SelectItem, Syntax } from '../syntax.ts';
import { condition } from './select.ts';
import type { Certificate, NoisyOrigin, ReleasedRelation, Role } from './state.ts';

/** One output column: what it is called, and the SQL that makes it. */
export interface Named {
  readonly name: string;
  readonly sql: string;
  readonly type: SqlType;
  readonly role: Role;
  /** Holds NULL and nothing else, as written. */
  readonly isUntyped?: boolean;
  readonly noisy?: NoisyOrigin;
}

/** The clauses of a SELECT over released values, printed but for those that speak of its outputs. */
interface Parts {
  readonly select: Select;
  readonly items: readonly SelectItem[];
  readonly outputs: readonly Named[];
  readonly certificates: readonly Certificate[];
  readonly sight: Sight;
  readonly from: string;
  readonly where: readonly string[];
  readonly groups: readonly string[];
  readonly having: readonly string[];
}

/** Prints the SELECT: outputs as o0, o1, …, certificates as c0, …, then DISTINCT, QUALIFY, ORDER BY, LIMIT. */
export function finish(parts: Parts): ReleasedRelation {
  const { select, outputs, certificates, sight } = parts;
  const columns = [
    ...outputs.map((one, i) => `${one.sql} AS o${i}`),
    ...certificates.map((one, i) => `${one.sql} AS c${i}`),
  ];
  const clauses = [
    parts.where.length === 0 ? '' : ` WHERE ${parts.where.join(' AND ')}`,
    parts.groups.length === 0 ? '' : ` GROUP BY ${parts.groups.join(', ')}`,
    parts.having.length === 0 ? '' : ` HAVING ${parts.having.join(' AND ')}`,
    select.qualify === null ? '' : ` QUALIFY ${printTyped(condition(resolve(select.qualify, sight)))}`,
  ].join('');
  const orders =
    select.orderAll === null
      ? select.orders.map((one) => orderBy(one, parts))
      : outputs.map((_, i) => `${i + 1}${direction(select.orderAll)}`);
  const positions = outputs.map((_, i) => `o${i}`);
  // INVARIANT: rows that the consumer's ORDER BY leaves equal are put in the order of what they show. The engine's own
  // order tells in which order groups were met first, and LIMIT and windows would pass that on.
  const picks = select.limit !== null || select.offset !== null || select.distinctOn !== undefined;
  const ties = orders.length > 0 || picks ? outputs.map((_, i) => `${i + 1}`) : [];
  const tail = orderClause([...orders, ...ties]) + limit(select, sight);
  // Of rows that are equal in these the first in that order; what they leave equal shows the same.
  const ons = (select.distinctOn ?? []).map((one) => {
    const position = outputPosition(one, parts);
    return position === null ? printTyped(resolve(one, sight)) : (outputs[position]?.sql ?? '');
  });
  const first = ons.length === 0 ? '' : `DISTINCT ON (${ons.join(', ')}) `;
  const inner = `SELECT ${first}${columns.join(', ')}${parts.from}${clauses}`;
  const domains = certificates.map((one) => one.domain);
  const named = outputs.map(({ name, type, role, isUntyped = false, noisy }) => ({
    name,
    type,
    role,
    ...(isUntyped ? { isUntyped } : {}),
    ...(noisy === undefined ? {} : { noisy }),
  }));
  if (select.distinct && ons.length > 0) refuse('sql-not-allowed', 'DISTINCT and DISTINCT ON stand together');
  if (!select.distinct) return { kind: 'released', select: `${inner}${tail}`, columns: named, domains };
  // DISTINCT over the outputs alone; equal rows are certified by the weakest of them.
  const merged = certificates.map((_, i) => `min(c${i}) AS c${i}`);
  const sorted = select.orderAll === null ? select.orders.map((one) => orderByOutput(one, parts)) : orders;
  const order = orderClause(sorted.length > 0 || picks ? [...sorted, ...positions] : []);
  return {
    kind: 'released',
    select: `SELECT ${[...positions, ...merged].join(', ')} FROM (${inner}) GROUP BY ${positions.join(', ')}${order}${limit(select, sight)}`,
    columns: named,
    domains,
  };
}

function orderClause(terms: readonly string[]): string {
  return terms.length === 0 ? '' : ` ORDER BY ${[...new Set(terms)].join(', ')}`;
}

function orderBy(item: OrderItem, parts: Parts): string {
  const position = outputPosition(item.expression, parts);
  return `${position === null ? printTyped(resolve(item.expression, parts.sight)) : `${position + 1}`}${direction(item)}`;
}

function orderByOutput(item: OrderItem, parts: Parts): string {
  const position = outputPosition(item.expression, parts);
  if (position === null)
    refuse('wrong-arguments', 'ORDER BY after DISTINCT must name an output column', item.expression.at);
  return `o${position}${direction(item)}`;
}

/** ORDER BY 2, ORDER BY alias, or the same expression as an output. */
function outputPosition(syntax: Syntax, { items, outputs, sight }: Parts): number | null {
  if (syntax.kind === 'constant') {
    const number = constantValue(syntax.literal);
    if (number === null || !Number.isInteger(number) || number < 1 || number > items.length) {
      refuse('wrong-arguments', 'ORDER BY names a column that is not there', syntax.at);
    }
    return number - 1;
  }
  if (syntax.kind === 'column' && syntax.path.length === 1) {
    const name = syntax.path[0]?.toLowerCase();
    const index = outputs.findIndex((one) => one.name.toLowerCase() === name);
    if (index >= 0) return index;
  }
  const printed = printTyped(resolve(syntax, sight));
  const index = outputs.findIndex((one) => one.sql === printed);
  return index >= 0 ? index : null;
}

/** ` DESC NULLS LAST` and the like, with a leading space; empty for no item. */
export function direction(item: OrderItem | null): string {
  if (item === null) return '';
  return `${item.descending ? ' DESC' : ' ASC'}${item.nulls === null ? '' : item.nulls === 'first' ? ' NULLS FIRST' : ' NULLS LAST'}`;
}

function limit(select: Select, sight: Sight): string {
  const count = (syntax: Syntax | null, word: string): string => {
    if (syntax === null) return '';
    const typed = resolve(syntax, sight);
    const value = typed.kind === 'constant' && typed.literal.kind === 'integer' ? typed.literal.value : null;
    if (value === null || value < 0n || value > 1_000_000_000n)
      refuse('wrong-arguments', `${word} must be a whole constant`, syntax.at);
    return ` ${word} ${value}`;
  };
  return count(select.limit, 'LIMIT') + count(select.offset, 'OFFSET');
}

import type { TableCuboid } from '../catalogue.ts';
import { CUBOID_ROWS, CUBOID_SUM } from '../layout.ts';
import { printTyped, quoteName } from '../print.ts';
import { alias, type Base, printScope, privateBases, reference } from '../rows.ts';
import { addedUp, MASK } from './added-up.ts';
import { type Block, type Condition, splitPredicates } from './block.ts';
import { factorsOf } from './factors.ts';
import { all, groupBy, keyNames, keysAs, predicates } from './parts.ts';

/**
 * Groups whose cells a cuboid of the layout holds: it has added up the rows by all columns of which keys, conditions and
 * filters speak, so its rows, of which there are few, stand for those of the table. Sums of sums, the bits of all units and
 * the numbers of rows are the same, and so are those of what a filter leaves out. What other tables join to a row they join
 * to the one that stands for it.
 */
export interface Held {
  /** The groups with their keys, cells, numbers of rows and bits. */
  readonly groups: string;
  /** All that WHERE leaves out, by group: bits, and how many rows. */
  readonly left: string;
}

/**
 * null: no cuboid holds them. `siblings`: the conditions of which regions are told apart.
 */
export function heldGroups(
  block: Block,
  conditions: readonly Condition[],
  siblings: readonly Condition[],
): Held | null {
  const [base, ...others] = privateBases(block.scope);
  if (base === undefined || others.length > 0 || base.leftOn !== null) return null;
  if ((base.table.cuboids ?? []).length === 0 || factorsOf(block).length > 0) return null;
  const added = addedUp(block, conditions, { siblings, hasBits: true });
  if (added === null) return null;
  const cuboid = cuboidFor(base, [...termsOf(block), added.mask ?? '']);
  if (cuboid === null) return null;
  const rows = reference(base.relation, CUBOID_ROWS);
  const sums = added.held(rows, (value) => {
    const column = cuboid.sums.find((name) => reference(base.relation, name) === value);
    return column === undefined ? null : reference(base.relation, CUBOID_SUM(column));
  });
  if (sums === null) return null;
  const instead = { relation: base.relation, sql: cuboid.physical };
  const keys = block.keys.map(({ expression }) => printTyped(expression));
  const mask = added.mask === null ? [] : [`${added.mask} AS ${MASK}`];
  const few = `SELECT ${[...keysAs(block), ...mask, ...sums].join(', ')} ${printScope(block.scope, predicates(block), '', instead)}`;
  const { ofKeys, others: chosen } = splitPredicates(block);
  const missed = (chosen.length > 0 ? chosen : ofKeys).map(printTyped);
  const where = [...(chosen.length > 0 ? ofKeys.map(printTyped) : []), `(${all(missed)}) IS NOT TRUE`];
  const bits = block.units.map(({ oneHot }, u) => `bit_or(${oneHot}) AS m${u}`);
  const looked = [...keysAs(block), ...bits, `sum(${rows}) AS looked`].join(', ');
  return {
    groups: `SELECT ${[...keyNames(block), ...added.groups('')].join(', ')} FROM (${few})${groupBy(keyNames(block))}`,
    left: `SELECT ${looked} ${printScope(block.scope, where, '', instead)}${groupBy(keys)}`,
  };
}

/** The printed expressions that pick, join and group the rows of a block. */
export function termsOf({ keys, scope }: Block): readonly string[] {
  return [
    ...keys.map(({ expression }) => expression),
    ...scope.predicates,
    ...scope.equalities.map(({ expression }) => expression),
    ...scope.bases.flatMap(({ leftOn }) => leftOn ?? []),
  ].map(printTyped);
}

/** The smallest cuboid of a table that tells its rows apart by all of its columns of which the terms speak; null: there is none. */
export function cuboidFor({ relation, table }: Base, terms: readonly string[]): TableCuboid | null {
  const { cuboids = [], physical } = table;
  // INVARIANT: rows that a query made of a table are not those that its cuboids stand for.
  if (physical.startsWith('(')) return null;
  const own = new RegExp(`\\b${alias(relation)}\\.("(?:[^"]|"")+")?`, 'g');
  const names = [...terms.join(' ').matchAll(own)].map(([, name]) => name);
  const holds = ({ columns: held }: TableCuboid): boolean =>
    names.every((name) => held.some((column) => quoteName(column) === name));
  return cuboids.filter(holds).toSorted((a, b) => a.rowCount - b.rowCount)[0] ?? null;
}

import type { CatalogueColumn } from '../catalogue.ts';
import { printTyped } from '../print.ts';
import { alias, type Base, isOnly, printScope, privateBases, reference } from '../rows.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import { type AddedUp, MASK, OURS } from './added-up.ts';
import type { Block } from './block.ts';
import { groupBy, keyNames, keysAs, predicates } from './parts.ts';
import { groupsOf, valuesIn } from './sizes.ts';
import { printTogether, printWanted, type Wanted } from './wanted.ts';

/**
 * Sums of one large table by what joined tables say of its rows (`GROUP BY shops.city`): its rows are added up by the
 * columns that join them, and the few sums are joined, not the rows. Whatever number of rows of the other tables a row
 * meets, its sum meets as many, so sums of sums are the same whole numbers.
 */

/** Of fewer rows the join costs next to nothing. */
const LEAST_ROWS = 262_144n;
/** There are to be many more rows than sums. */
const ROWS_PER_SUM = 64;
/** More sums are made quickly only where their keys number them (see dataset/group-bits.ts), in so many bits at most. */
const FEW_SUMS = 16_384;
const MOST_BITS = 18;

export interface Sums {
  readonly added: AddedUp;
  /** What else is wanted of every group: numbers of rows, XORs and ORs. */
  readonly wanted: readonly Wanted[];
}

/** The groups with their keys, cells and numbers of rows; null where it does not apply, or is likely to spare nothing. */
export function addedFirst(block: Block, sums: Sums): string | null {
  return addedAhead(block, sums) ?? addedByMask(block, sums);
}

function addedAhead(block: Block, { added, wanted }: Sums): string | null {
  const { scope } = block;
  const [base, ...others] = privateBases(scope);
  if (base === undefined || others.length > 0 || scope.bases.length < 2 || base.leftOn !== null) return null;
  if (base.table.rowCount < LEAST_ROWS || base.table.physical.startsWith('(')) return null;
  const prefix = `${alias(base.relation)}.`;
  const more = inTwoSteps(wanted, added, prefix);
  const sums = [...added.sums, ...(added.mask === null ? [] : [`${added.mask} AS ${MASK}`]), ...more.parts];
  if (!sums.every((sql) => isOfRows(sql, base))) return null;
  const own = scope.predicates.filter((term) => isOnly(term, base));
  const rest = scope.predicates.filter((term) => !own.includes(term));
  const links = linksOf(block, base, rest, added.masks);
  if (links === null) return null;
  const names = links.map(({ name }) => reference(base.relation, name));
  const where = own.length === 0 ? '' : ` WHERE ${own.map(printTyped).toSorted().join(' AND ')}`;
  const by = groupBy([...names, ...(added.mask === null ? [] : [added.mask])]);
  const few = `(SELECT ${[...names, ...sums].join(', ')} FROM ${base.table.physical} AS ${alias(base.relation)}${where}${by})`;
  const columns = [...keysAs(block), ...added.groups(prefix), ...more.together];
  const from = printScope(scope, rest.map(printTyped).toSorted(), '', { relation: base.relation, sql: few });
  return `SELECT ${columns.join(', ')} ${from}${groupBy(block.keys.map((key) => printTyped(key.expression)))}`;
}

/**
 * The same where no table is joined, or none that spares anything: rows are added up by the keys and by which conditions they
 * meet. null: there are no conditions, or too many sums.
 */
function addedByMask(block: Block, { added, wanted }: Sums): string | null {
  const [base] = privateBases(block.scope);
  if (base === undefined || added.mask === null) return null;
  const { rowCount } = base.table;
  if (rowCount < LEAST_ROWS || groupsOf(block) * added.masks * ROWS_PER_SUM > Number(rowCount)) return null;
  const by = groupBy([...block.keys.map((key) => printTyped(key.expression)), added.mask]);
  const more = inTwoSteps(wanted, added, '');
  const columns = [...keysAs(block), `${added.mask} AS ${MASK}`, ...added.sums, ...more.parts];
  const few = `SELECT ${columns.join(', ')} ${printScope(block.scope, predicates(block))}${by}`;
  return `SELECT ${[...keyNames(block), ...added.groups(''), ...more.together].join(', ')} FROM (${few})${groupBy(keyNames(block))}`;
}

/** What is wanted of the sums, each word once, and of the groups out of these: of rows that the sums do not tell apart by itself. */
function inTwoSteps(
  wanted: readonly Wanted[],
  added: AddedUp,
  prefix: string,
): { readonly parts: readonly string[]; readonly together: readonly string[] } {
  const parts = new Map<string, string>();
  const together = wanted.map((one) => {
    const test = one.rows === null ? null : added.test(prefix, one.rows);
    const rows = one.rows === null || test !== null ? null : one.rows;
    if (one.call === 'count' && one.value === null && rows === null)
      return printTogether(one, `${prefix}${OURS}n`, test);
    const key = JSON.stringify([one.call, one.value, rows]);
    const name = `${OURS}w${[...parts.keys(), key].indexOf(key)}`;
    parts.set(key, printWanted({ ...one, name, rows }));
    return printTogether(one, `${prefix}${name}`, test);
  });
  return { parts: [...parts.values()], together };
}

/** Whether printed SQL speaks of no other table. */
function isOfRows(sql: string, base: Base): boolean {
  return [...sql.matchAll(/\br(\d+)\./g)].every(([, relation]) => Number(relation) === base.relation);
}

/** Columns by which its rows are told apart further on; null: they are likely to tell too many apart. */
function linksOf(
  block: Block,
  base: Base,
  rest: readonly Typed[],
  masks: number,
): readonly { readonly name: string }[] | null {
  const expressions = [
    ...block.keys.map(({ expression }) => expression),
    ...block.scope.equalities.map(({ expression }) => expression),
    ...block.scope.bases.flatMap(({ leftOn }) => leftOn ?? []),
    ...rest,
  ];
  const columns = expressions.flatMap(distinctColumns).filter(({ relation }) => relation === base.relation);
  const links = new Map(columns.map(({ column }) => [column.name, column]));
  const sums = [...links.values()].reduce((product, column) => product * valuesIn(column), masks);
  const bits = [...links.values()].reduce((total, column) => total + bitsOf(column), bitsFor(masks));
  const isQuick = sums <= FEW_SUMS || bits <= MOST_BITS;
  const isFew = links.size > 0 && isQuick && sums * ROWS_PER_SUM <= Number(base.table.rowCount);
  return isFew ? [...links.values()] : null;
}

/** Bits of a whole number between known ends, and of its absence. */
function bitsOf({ facts, type }: CatalogueColumn): number {
  const { low, high } = facts ?? { low: null, high: null };
  return type.kind !== 'integer' || low === null || high === null ? Infinity : bitsFor(high - low + 1);
}

const bitsFor = (values: number): number => (values === 1 ? 0 : Math.ceil(Math.log2(values + 1)));

import { printTyped } from '../print.ts';
import { alias, type Base, isOnly, printScope, privateBases, reference } from '../rows.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import { type Block, type Cell, cellName, conditionsOf } from './block.ts';
import { keysAs, groupBy } from './parts.ts';

/**
 * Sums of one large table by what joined tables say of its rows (`GROUP BY shops.city`): its rows are added up by the
 * columns that join them, and the few sums are joined, not the rows. Whatever number of rows of the other tables a row
 * meets, its sum meets as many, so sums of sums are the same whole numbers.
 */

/** Of fewer rows the join costs next to nothing. */
const LEAST_ROWS = 262_144n;
/** There are to be many more rows than sums, and few sums. */
const ROWS_PER_SUM = 64;
const MOST_SUMS = 65_536;
/** The number of distinct values is an estimate, sometimes too low by that much. */
const ESTIMATE_MARGIN = 1.2;

/**
 * The groups with their keys, cells, numbers of rows and whatever else is `wanted` of each; null where it does not apply, or
 * is likely to spare nothing.
 */
export function addedAhead(block: Block, wanted: readonly string[] = []): string | null {
  const { scope } = block;
  const [base, ...others] = privateBases(scope);
  if (base === undefined || others.length > 0 || scope.bases.length < 2 || base.leftOn !== null) return null;
  if (base.table.rowCount < LEAST_ROWS || base.table.physical.startsWith('(')) return null;
  if (conditionsOf(block).length > 0 || !block.cells.every((cell) => isSumOf(cell, base))) return null;
  const more = wanted.map((column) => partOf(column, base));
  if (more.includes(null)) return null;
  const own = scope.predicates.filter((term) => isOnly(term, base));
  const rest = scope.predicates.filter((term) => !own.includes(term));
  const links = linksOf(block, base, rest);
  if (links === null) return null;
  const names = links.map(({ name }) => reference(base.relation, name));
  const cells = block.cells.map((cell, i) => `${cell.sql} AS ${cellName(i)}`);
  const where = own.length === 0 ? '' : ` WHERE ${own.map(printTyped).toSorted().join(' AND ')}`;
  const sums = `(SELECT ${[...names, ...cells, 'count(*) AS n', ...wanted].join(', ')} FROM ${base.table.physical} AS ${alias(base.relation)}${where}${groupBy(names)})`;
  const sum = (name: string): string => `sum(${reference(base.relation, name)})`;
  const columns = [
    ...keysAs(block),
    ...block.cells.map((cell, i) => {
      const name = cellName(i);
      return `${isCount(cell) ? `CAST(${sum(name)} AS BIGINT)` : sum(name)} AS ${name}`;
    }),
    `CAST(${sum('n')} AS BIGINT) AS n`,
    ...more,
  ];
  const from = printScope(scope, rest.map(printTyped).toSorted(), '', { relation: base.relation, sql: sums });
  return `SELECT ${columns.join(', ')} ${from}${groupBy(block.keys.map((key) => printTyped(key.expression)))}`;
}

const isCount = ({ sql }: Cell): boolean => sql === 'count(*)';

/** A count or a XOR of this table's rows (see lanes.ts) out of those by the joining columns; null for anything else. */
function partOf(column: string, base: Base): string | null {
  const [, call = '', name = ''] = /^(count\(\*\)|bit_xor\(.*\)) AS (\w+)$/s.exec(column) ?? [];
  if (name === '' || !isOfRows(call, base)) return null;
  const part = reference(base.relation, name);
  return call === 'count(*)' ? `CAST(sum(${part}) AS BIGINT) AS ${name}` : `bit_xor(${part}) AS ${name}`;
}

/** Whether printed SQL speaks of no other table. */
function isOfRows(sql: string, base: Base): boolean {
  return [...sql.matchAll(/\br(\d+)\./g)].every(([, relation]) => Number(relation) === base.relation);
}

/** Whether a cell counts rows, or adds up exact numbers of this table's rows. */
function isSumOf(cell: Cell, base: Base): boolean {
  if (isCount(cell)) return true;
  const { sql, type, weighed, factors = [] } = cell;
  const isExact = type.kind === 'integer' || type.kind === 'decimal';
  return isExact && /^sum\(.*\)$/s.test(sql) && weighed === null && factors.length === 0 && isOfRows(sql, base);
}

/** Columns by which its rows are told apart further on; null: they are likely to tell too many apart. */
function linksOf(block: Block, base: Base, rest: readonly Typed[]): readonly { readonly name: string }[] | null {
  const expressions = [
    ...block.keys.map(({ expression }) => expression),
    ...block.scope.equalities.map(({ expression }) => expression),
    ...block.scope.bases.flatMap(({ leftOn }) => leftOn ?? []),
    ...rest,
  ];
  const columns = expressions.flatMap(distinctColumns).filter(({ relation }) => relation === base.relation);
  const links = new Map(columns.map(({ column }) => [column.name, column]));
  const values = [...links.values()].map(({ distinctValues = Infinity }) => distinctValues * ESTIMATE_MARGIN);
  const sums = values.reduce((product, one) => product * one, 1);
  const isFew = links.size > 0 && sums <= MOST_SUMS && sums * ROWS_PER_SUM <= Number(base.table.rowCount);
  return isFew ? [...links.values()] : null;
}

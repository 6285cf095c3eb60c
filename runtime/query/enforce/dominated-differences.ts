import { printScope } from '../rows.ts';
import { refuse } from '../refusal.ts';
import { type Block, type Cell, cellName, type Summed } from './block.ts';
import { big, bit, combinationsTable, MAX_SIBLINGS } from './combinations.ts';
import { all, create, groupBy, inKeyOrder, keyNames, keysAs, predicates, recreate, sameKeys, table } from './parts.ts';

/**
 * The dominance rule for what cells of one row subtract to: `sum(x)` less `sum(x) FILTER (WHERE product <> 'gold')` is the sum
 * of gold, which the rule withholds where one firm makes most of it. So of each column the sums that would be shown are added
 * and subtracted, as siblings.ts does with conditions; where somebody makes too much of a difference, the last sum in it is
 * withheld.
 */
export function dominatedDifferences(block: Block): string[] {
  const rule = block.terms.dominance;
  const families = familiesOf(block);
  if (rule === null || families.length === 0) return [];
  const names = keyNames(block);
  const found = families.map((family, index) => dominatedIn(block, family, index, rule));
  const hidden = families.map((_, index) => `bit_or(last) FILTER (WHERE family = ${index}) AS h${index}`);
  const byGroup = `SELECT ${[...names, ...hidden].join(', ')} FROM (${found.join(' UNION ALL ')})${groupBy(names)}`;
  const cells = block.cells.flatMap((cell, i) => {
    const tests = families.flatMap((family, index) => {
      const own = bitsOf(family, cell);
      return own === 0n ? [] : [`(coalesce(j.h${index}, ${big(0)}) & ${big(own)}) = ${big(0)}`];
    });
    return tests.length === 0 ? [] : [`CASE WHEN ${all(tests)} THEN t.${cellName(i)} END AS ${cellName(i)}`];
  });
  const select = `SELECT t.* REPLACE (${cells.join(', ')}) FROM ${table(block, 't')} AS t LEFT JOIN ${table(block, 'j')} AS j ON (${sameKeys(block, 't', 'j')})${inKeyOrder(block, 't.')}`;
  return [create(block, 'j', byGroup), recreate(block, 't', select)];
}

/** Sums of one column, by the rows that each takes; those of all rows first, to be withheld last. */
interface Family {
  readonly weight: string;
  readonly sets: readonly string[];
}

function familiesOf(block: Block): readonly Family[] {
  const found = new Map<string, Set<string>>();
  const sums = block.cells.flatMap((cell) => cell.summed ?? []);
  for (const one of sums.toSorted((a, b) => Number(a.within !== null) - Number(b.within !== null)))
    found.set(one.weight, (found.get(one.weight) ?? new Set()).add(setOf(one)));
  return [...found].flatMap(([weight, sets]) => {
    if (sets.size > MAX_SIBLINGS)
      refuse('query-too-large', `more than ${MAX_SIBLINGS} different conditions in aggregates`, null, 'group by them');
    return sets.size < 2 ? [] : [{ weight, sets: [...sets] }];
  });
}

const setOf = ({ within }: Summed): string => within ?? 'TRUE';

function bitsOf({ weight, sets }: Family, cell: Cell): bigint {
  const own = (cell.summed ?? []).filter((one) => one.weight === weight).map(setOf);
  return sets.reduce((bits, set, i) => (own.includes(set) ? bits | bit(i) : bits), 0n);
}

/** The sums to withhold by group, as `last`: of each unit what it adds to a combination, and of those the largest. */
function dominatedIn(
  block: Block,
  family: Family,
  index: number,
  { n, share }: { readonly n: number; readonly share: number },
): string {
  const names = keyNames(block);
  const mask = family.sets.map((sql, i) => `(CASE WHEN ${sql} THEN ${big(bit(i))} ELSE ${big(0)} END)`).join(' + ');
  const shown = family.sets.map((_, i) => {
    const own = block.cells.flatMap((cell, c) =>
      (bitsOf(family, cell) & bit(i)) === 0n ? [] : [`t.${cellName(c)} IS NOT NULL`],
    );
    return `(CASE WHEN ${own.join(' OR ')} THEN ${big(bit(i))} ELSE ${big(0)} END)`;
  });
  const groups = `SELECT ${[...keyNames(block, 't.'), `${shown.join(' + ')} AS shown`].join(', ')} FROM ${table(block, 't')} AS t WHERE t.ok`;
  const listed = `SELECT plus, minus, last FROM ${combinationsTable(family.sets.length)} WHERE whole = 0 AND minus <> ${big(0)}`;
  const coefficient = `(bit_count(m.mask & p.plus) - bit_count(m.mask & p.minus))`;
  const by = [...keyNames(block, 'm.'), 'p.plus', 'p.minus', 'p.last'];
  const again = [...names, 'plus', 'minus', 'last'];
  const found = block.units.map((unit) => {
    const rows = `SELECT ${[...keysAs(block), `${mask} AS mask`, `${unit.hash} AS h`, `${family.weight} AS w`].join(', ')} ${printScope(block.scope, predicates(block))}`;
    const sizes = `SELECT ${[...names, 'mask', 'h', 'sum(w) AS size'].join(', ')} FROM (${rows})${groupBy([...names, 'mask', 'h'])}`;
    const added = `SELECT ${[...by, 'm.h', `sum(abs(${coefficient}) * m.size) AS size`].join(', ')} FROM (${sizes}) AS m JOIN (${groups}) AS g ON (${sameKeys(block, 'm', 'g')}) CROSS JOIN (${listed}) AS p WHERE ((p.plus + p.minus) & g.shown) = p.plus + p.minus AND ${coefficient} <> 0${groupBy([...by, 'm.h'])}`;
    const placed = `SELECT *, row_number() OVER (PARTITION BY ${again.join(', ')} ORDER BY size DESC) AS place FROM (${added})`;
    const judged = `SELECT ${[...again, `sum(size) FILTER (WHERE place <= ${n}) AS top`, 'sum(size) AS total'].join(', ')} FROM (${placed})${groupBy(again)}`;
    return `SELECT ${[...names, `${index} AS family`, 'last'].join(', ')} FROM (${judged}) WHERE total > 0 AND NOT coalesce(top <= ${share} * total, FALSE)`;
  });
  return found.join(' UNION ALL ');
}

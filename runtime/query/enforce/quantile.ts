import { printScope } from '../rows.ts';
import { all, groupBy, keyNames, keysAs, predicates, sameKeys, unitsIn } from './parts.ts';
import type { Block, Cell } from './block.ts';

/**
 * Quantiles by microaggregation (Domingo-Ferrer & Mateo-Sanz, IEEE TKDE 14(1), 2002): the rows of a group, in the order
 * of their values, are cut into blocks of equal size, and a quantile is the mean of the block that it falls in. A block
 * that holds fewer than `minUnits` units has none.
 *
 * Why nothing more is told: the blocks of a group are the same for every fraction that is asked for, so all quantiles of
 * a group together are means of disjoint blocks of at least `minUnits` units each. Overlapping windows around each
 * quantile would not do: two neighbouring ones subtract to two single values. The size of the blocks is `minUnits` times
 * the mean number of rows of a unit, which no single unit decides.
 *
 * A mean is rounded to an eighth or a quarter of how far the values of its block lie apart. Under another condition the same
 * rows are cut otherwise, and blocks that differ by one row would subtract to its value: with n times the rounding as error
 * what is left of a block of n rows is no nearer to a value than that it lies in the block, which is told anyhow.
 */
export function quantileStatement(block: Block, quantile: NonNullable<Cell['quantile']>): string {
  const { value, filter, fraction } = quantile;
  const { minUnits: k, dominance } = block.terms;
  const names = keyNames(block);
  const where = [...predicates(block), `${value} IS NOT NULL`, ...(filter === null ? [] : [filter])];
  const hashes = block.units.map((_, u) => `h${u}`);
  const columns = [...keysAs(block), `${value} AS v`, ...block.units.map(({ hash }, u) => `${hash} AS h${u}`)];
  const partition = names.length === 0 ? '' : `PARTITION BY ${names.join(', ')} `;
  const ranked = `SELECT *, row_number() OVER (${partition}ORDER BY ${['v', ...hashes].join(', ')}) - 1 AS i FROM r`;
  const fewest = `least(${hashes.map((hash) => unitsIn(hash)).join(', ')})`;
  const sized = `SELECT ${[...names, 'count(*) AS n', `greatest(count(*) // (${k} * (((count(*) - 1) // ${fewest}) + 1)), 1) AS blocks`].join(', ')} FROM r${groupBy(names)}`;
  const same = (left: string, right: string): string => sameKeys(block, left, right);
  const place = `CAST(floor(CAST(${fraction} AS DOUBLE) * (s.n - 1)) AS BIGINT)`;
  const chosen = `SELECT q.* FROM q JOIN s ON (${same('q', 's')}) WHERE (q.i * s.blocks) // s.n = (${place} * s.blocks) // s.n`;
  const enough = hashes.map((hash) => `${unitsIn(hash)} >= ${k}`);
  const mean = `SELECT ${[...names, `${ROUNDED} AS v`].join(', ')} FROM b${groupBy(names)} HAVING ${all(enough)}`;
  const shares =
    dominance === null
      ? []
      : hashes.map((hash, u) => {
          const perUnit = `SELECT ${[...names, 'sum(abs(v)) AS size'].join(', ')} FROM b${groupBy([...names, hash])}`;
          const places = `SELECT *, row_number() OVER (${partition}ORDER BY size DESC) AS place FROM (${perUnit})`;
          const fine = `coalesce(sum(size) FILTER (WHERE place <= ${dominance.n}), 0) <= ${dominance.share} * sum(size)`;
          return ` JOIN (SELECT ${[...names, '1 AS open'].join(', ')} FROM (${places})${groupBy(names)} HAVING ${fine}) AS d${u} ON (${same('m', `d${u}`)})`;
        });
  const parts = [
    `r AS MATERIALIZED (SELECT ${columns.join(', ')} ${printScope(block.scope, where)})`,
    `q AS (${ranked})`,
    `s AS (${sized})`,
    `b AS MATERIALIZED (${chosen})`,
    `m AS (${mean})`,
  ];
  return `WITH ${parts.join(', ')} SELECT ${[...keyNames(block, 'm.'), 'm.v AS v'].join(', ')} FROM m${shares.join('')}`;
}

/** The mean of a block, to a power of two between an eighth and a quarter of its spread; equal values are told as they are. */
const MEAN = 'fsum(v) / count(v)';
const STEP = 'pow(2, floor(log2(nullif(max(v) - min(v), 0))) - 2)';
const ON_GRID = `round(${MEAN} / nullif(${STEP}, 0)) * ${STEP}`;
const ROUNDED = `CASE WHEN isfinite(${ON_GRID}) THEN ${ON_GRID} ELSE ${MEAN} END`;

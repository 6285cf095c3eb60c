import { printScope } from '../rows.ts';
import { type Block, type Factor } from './block.ts';
import { create, groupBy, joinGroups, keyNames, keysAs, matchGroups, predicates, table } from './statements.ts';

/**
 * A factor that has one value for nearly everybody makes a product a filter: `sum(cost * (1 + 1000 * smoker))` and
 * `sum(cost)` tell the cost of the one smoker, whatever the numbers are. So a sum of products is withheld where fewer
 * than `minUnits` units differ from the most frequent value of a factor (nobody at all may differ, or enough).
 *
 * With N units, of which M at most share a value, at least N - M differ from any value. Any part of the rows can prove
 * that, so a prefix decides nearly always; only groups that it leaves open are looked at in full.
 */
export function factorStatements(block: Block): string[] {
  return factorsOf(block).map((factor, f) => {
    const prefix = differing(block, factor, printScope(block.scope, where(block, factor)) + ` LIMIT ${PREFIX}`, false);
    const on = block.keys.map((_, i) => `g.${keyNames(block)[i]} IS NOT DISTINCT FROM p.${keyNames(block)[i]}`);
    const open = `SELECT ${[...keyNames(block, 'g.'), '1 AS open'].join(', ')} FROM ${table(block, 'g')} AS g LEFT JOIN p ON (${on.join(' AND ') || 'TRUE'}) WHERE g.n >= ${block.terms.minUnits} AND coalesce(p.fine, FALSE) = FALSE`;
    const full = differing(block, factor, printScope(block.scope, where(block, factor), joinGroups(block, open)), true);
    const columns = [...keyNames(block), 'fine'].join(', ');
    return create(
      block,
      `f${f}`,
      `WITH p AS MATERIALIZED (${prefix}) SELECT ${columns} FROM p WHERE fine UNION ALL SELECT ${columns} FROM (${full}) WHERE fine`,
    );
  });
}

/** Rows that are looked at first. */
const PREFIX = 16_384;

function where(block: Block, { within }: Factor): string[] {
  return [...predicates(block), ...(within === null ? [] : [within])];
}

function differing(block: Block, factor: Factor, from: string, mayBeConstant: boolean): string {
  const k = block.terms.minUnits;
  const names = keyNames(block);
  const hashes = block.units.map((unit, u) => `${unit.hash} AS h${u}`);
  const rows = `SELECT ${[...keysAs(block), `${factor.sql} AS v`, ...hashes].join(', ')} ${from}`;
  const counts = (as: string): string[] => block.units.map((_, u) => `count(DISTINCT h${u}) AS ${as}${u}`);
  const shared = `SELECT ${[...names, 'v', ...counts('m')].join(', ')} FROM r${groupBy([...names, 'v'])}`;
  const whole = `SELECT ${[...names, ...counts('t')].join(', ')} FROM r${groupBy(names)}`;
  const on = names.map((name) => `a.${name} IS NOT DISTINCT FROM b.${name}`).join(' AND ') || 'TRUE';
  const enough = block.units.map((_, u) => `min(b.t${u}) - max(a.m${u}) >= ${k}`).join(' AND ');
  const fine = mayBeConstant ? `(count(*) = 1 OR (${enough}))` : `(${enough})`;
  const grouped = names.length === 0 ? '' : ` GROUP BY ${keyNames(block, 'b.').join(', ')}`;
  return `WITH r AS MATERIALIZED (${rows}) SELECT ${[...keyNames(block, 'b.'), `${fine} AS fine`].join(', ')} FROM (${shared}) AS a JOIN (${whole}) AS b ON (${on})${grouped}`;
}

export function factorTests(block: Block): {
  readonly joins: readonly string[];
  readonly testsFor: (cell: number) => string[];
} {
  const factors = factorsOf(block);
  return {
    joins: factors.map((_, f) => matchGroups(block, `f${f}`, `f${f}`)),
    testsFor: (index) =>
      (block.cells[index]?.factors ?? []).map((own) => {
        const f = factors.findIndex(({ sql, within }) => sql === own.sql && within === own.within);
        return `coalesce(f${f}.fine, FALSE)`;
      }),
  };
}

function factorsOf(block: Block): Factor[] {
  const all = block.cells.flatMap(({ factors }) => factors ?? []);
  return [...new Map(all.map((one) => [`${one.sql} | ${one.within ?? ''}`, one])).values()];
}

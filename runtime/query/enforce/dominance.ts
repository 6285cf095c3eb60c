import { printTyped } from '../print.ts';
import { printScope } from '../rows.ts';
import { type Block, keyName } from './block.ts';
import { matchGroups } from './statements.ts';

/**
 * The (n, k) dominance rule of statistical disclosure control: a cell is withheld when its n largest units hold more
 * than the given share of it (Hundepool et al., Statistical Disclosure Control, 2012, §4.2). Contributions are compared
 * by size, so that negative values cannot hide a large one.
 */
export function dominanceStatements(block: Block): string[] {
  const rule = block.terms.dominance;
  if (rule === null) return [];
  return weightsOf(block).flatMap(({ weight, condition }, d) =>
    block.units.map((unit, u) => {
      const keys = block.keys.map((key, i) => `${printTyped(key.expression)} AS ${keyName(i)}`);
      const names = block.keys.map((_, i) => keyName(i));
      const where = [...block.scope.predicates.map(printTyped).toSorted(), ...(condition === null ? [] : [condition])];
      const perUnit = `SELECT ${[...keys, `sum(${weight}) AS size`].join(', ')} ${printScope(block.scope, where)} GROUP BY ${[...block.keys.map((key) => printTyped(key.expression)), unit.hash].join(', ')}`;
      const partition = names.length === 0 ? '' : `PARTITION BY ${names.join(', ')} `;
      const ranked = `SELECT *, row_number() OVER (${partition}ORDER BY size DESC) AS place FROM (${perUnit})`;
      const sums = `sum(size) FILTER (WHERE place <= ${rule.n}) AS top, sum(size) AS total`;
      const grouped = names.length === 0 ? '' : ` GROUP BY ${names.join(', ')}`;
      return `CREATE TEMP TABLE "${block.name}_d${d}_${u}" AS SELECT ${[...names, sums].join(', ')} FROM (${ranked})${grouped}`;
    }),
  );
}

export function dominanceTest(block: Block): {
  readonly joins: readonly string[];
  readonly testsFor: (cell: number) => string[];
} {
  const rule = block.terms.dominance;
  if (rule === null) return { joins: [], testsFor: () => [] };
  const weights = weightsOf(block);
  const joins = weights.flatMap((_, d) => block.units.map((__, u) => matchGroups(block, `d${d}_${u}`, `d${d}_${u}`)));
  return {
    joins,
    testsFor: (index) => {
      const cell = block.cells[index];
      if (cell === undefined || cell.weight === null) return [];
      const condition = cell.weighed;
      const d = weights.findIndex((one) => one.weight === cell.weight && one.condition === condition);
      return block.units.map((_, u) => `coalesce(d${d}_${u}.top <= ${rule.share} * d${d}_${u}.total, FALSE)`);
    },
  };
}

function weightsOf(block: Block): { readonly weight: string; readonly condition: string | null }[] {
  const found = new Map<string, { weight: string; condition: string | null }>();
  for (const { weight, weighed } of block.cells) {
    if (weight !== null) found.set(`${weight} | ${weighed ?? ''}`, { weight, condition: weighed });
  }
  return [...found.values()];
}

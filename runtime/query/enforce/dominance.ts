import { printTyped } from '../print.ts';
import { printScope } from '../rows.ts';
import { type Block, type Cell, keyName } from './block.ts';
import { matchGroups } from './parts.ts';

/**
 * The (n, k) dominance rule of statistical disclosure control: a cell is withheld when its n largest units hold more
 * than the given share of it (Hundepool et al., Statistical Disclosure Control, 2012, §4.2). Contributions are compared
 * by size, so that negative values cannot hide a large one.
 */
export function dominanceStatements(block: Block): string[] {
  const rule = block.terms.dominance;
  if (rule === null) return [];
  return weightsOf(block).flatMap(({ weight, condition, isCentred }, d) =>
    block.units.map((unit, u) => {
      const keys = block.keys.map((key, i) => `${printTyped(key.expression)} AS ${keyName(i)}`);
      const names = block.keys.map((_, i) => keyName(i));
      const where = [...block.scope.predicates.map(printTyped).toSorted(), ...(condition === null ? [] : [condition])];
      const partition = names.length === 0 ? '' : `PARTITION BY ${names.join(', ')} `;
      const byUnit = `GROUP BY ${[...block.keys.map((key) => printTyped(key.expression)), unit.hash].join(', ')}`;
      const sizes = (columns: readonly string[]): string =>
        `SELECT ${[...keys, ...columns].join(', ')} ${printScope(block.scope, where)} ${byUnit}`;
      const perUnit = isCentred ? centred(weight, names, partition, sizes) : sizes([`sum(${weight}) AS size`]);
      const ranked = `SELECT *, row_number() OVER (${partition}ORDER BY size DESC) AS place FROM (${perUnit})`;
      const sums = `sum(size) FILTER (WHERE place <= ${rule.n}) AS top, sum(size) AS total`;
      const grouped = names.length === 0 ? '' : ` GROUP BY ${names.join(', ')}`;
      return `CREATE TEMP TABLE "${block.name}_d${d}_${u}" AS SELECT ${[...names, sums].join(', ')} FROM (${ranked})${grouped}`;
    }),
  );
}

/** What a unit adds to the squared distances from the mean: the sum of (x - mean)², from its count, sum and squares. */
function centred(
  value: string,
  names: readonly string[],
  partition: string,
  sizes: (columns: readonly string[]) => string,
): string {
  const sums = sizes([`count(${value}) AS s0`, `sum(${value}) AS s1`, `sum(${value} * ${value}) AS s2`]);
  const mean = `sum(s1) OVER (${partition}) / nullif(sum(s0) OVER (${partition}), 0) AS mean`;
  const size = 'greatest(s2 - 2 * mean * s1 + s0 * mean * mean, 0) AS size';
  return `SELECT ${[...names, size].join(', ')} FROM (SELECT *, ${mean} FROM (${sums}))`;
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
      if (cell === undefined) return [];
      const own = weightsOfCell(cell).map(nameOf);
      return weights.flatMap((one, d) =>
        own.includes(nameOf(one))
          ? block.units.map((_, u) => `coalesce(d${d}_${u}.top <= ${rule.share} * d${d}_${u}.total, FALSE)`)
          : [],
      );
    },
  };
}

interface Weight {
  readonly weight: string;
  readonly condition: string | null;
  /** The weight is a value whose distance from the mean counts: a moment is dominated by what lies far off. */
  readonly isCentred: boolean;
}

const nameOf = ({ weight, condition, isCentred }: Weight): string => `${weight} | ${condition ?? ''} | ${isCentred}`;

function weightsOfCell({ weight, weighed, centred: values, summed = [] }: Cell): Weight[] {
  const sized = weight === null ? [] : [{ weight, condition: weighed, isCentred: false }];
  // A mean of pairs is a sum by their number.
  const paired = summed.map((one) => ({ weight: one.weight, condition: one.within, isCentred: false }));
  return [
    ...(weight === null ? paired : sized),
    ...(values ?? []).map((value) => ({ weight: value, condition: weighed, isCentred: true })),
  ];
}

function weightsOf(block: Block): readonly Weight[] {
  return [...new Map(block.cells.flatMap(weightsOfCell).map((one) => [nameOf(one), one])).values()];
}

/** Turns a noised release into a candidate for the gate. */
import type { OutputColumn, TableCandidate } from './candidate.ts';
import { batchFromRows, type Cell } from './column-values.ts';
import type { Column } from './columns.ts';
import type { DpAggregate } from './mechanisms/aggregate.ts';
import type { Estimate } from './mechanisms/mechanism.ts';
import type { NoisedRelease } from './release-noised.ts';

/** Names for a noised table: key columns with their types, and one name per aggregate. */
export interface NoisedNames {
  readonly keys: readonly Column[];
  readonly aggregates: readonly { readonly name: string; readonly aggregate: DpAggregate }[];
}

/** How good one released cell is; goes out beside the table. `low` and `high` enclose the exact value 19 times in 20. */
export interface CellAccuracy {
  readonly row: number;
  readonly column: string;
  readonly low: number;
  readonly high: number;
  readonly noiseScale: number;
}

/** Output columns of a noised table: keys first, then one per aggregate, one per bin for histograms (`name_0`, …). */
export function noisedOutputs({ keys, aggregates }: NoisedNames): readonly OutputColumn[] {
  return [
    ...keys.map((key): OutputColumn => ({ ...key, nullable: true, role: 'key' })),
    ...aggregates.flatMap(({ name, aggregate }) =>
      columnNames(name, aggregate).map((column): OutputColumn => {
        const isWhole = WHOLE.has(aggregate.kind);
        return { name: column, type: { kind: isWhole ? 'int64' : 'float64' }, nullable: true, role: 'cell' };
      }),
    ),
  ];
}

/** The table for the gate and the accuracy of each of its cells. `loss` is what was reserved for this release. */
export function noisedCandidate(
  release: NoisedRelease,
  names: NoisedNames,
  charged: { readonly microEpsilon: number; readonly delta: number },
): { readonly candidate: TableCandidate; readonly accuracy: readonly CellAccuracy[] } {
  const schema = noisedOutputs(names).map(({ name, type, nullable }) => ({ name, type, nullable }));
  const accuracy: CellAccuracy[] = [];
  const rows = release.rows.map((row, index): readonly Cell[] => [
    ...row.key,
    ...names.aggregates.flatMap(({ name, aggregate }, i) => {
      const estimates = row.aggregates[i] ?? null;
      return columnNames(name, aggregate).map((column, j): Cell => {
        const estimate = estimates?.[j];
        if (estimate === undefined) return null;
        const { low, high, noiseScale } = estimate;
        accuracy.push({ row: index, column, low, high, noiseScale });
        return cellOf(estimate, WHOLE.has(aggregate.kind));
      });
    }),
  ]);
  const candidate: TableCandidate = {
    kind: 'table',
    basis: { kind: 'noised', ...charged },
    schema,
    certificates: [],
    batches: [batchFromRows(schema, rows)],
    isOrdered: true,
  };
  return { candidate, accuracy };
}

const WHOLE: ReadonlySet<DpAggregate['kind']> = new Set(['count', 'countDistinct', 'histogram']);
const MAX_INT64 = 2n ** 63n - 1n;

function cellOf(estimate: Estimate, isWhole: boolean): Cell {
  if (!isWhole) return estimate.value;
  const integer = estimate.integer ?? 0n;
  return integer > MAX_INT64 ? MAX_INT64 : integer;
}

/** Output columns of one aggregate: one, or one per bin. */
export function columnNames(name: string, aggregate: DpAggregate): readonly string[] {
  if (aggregate.kind !== 'histogram') return [name];
  return Array.from({ length: aggregate.bins.edges.length + 1 }, (_, bin) => `${name}_${bin}`);
}

/**
 * A reference for the exact part of differential privacy, in a loop: bounds rows per unit, clips measures to their grid and
 * answers the exact columns per group. The SQL worker does the same; the release part cannot tell them apart.
 */
import type { Cell } from '../../runtime/release/column-values.ts';
import { unreachable } from '../../runtime/release/columns.ts';
import { exactId, type ExactColumn, type Measure } from '../../runtime/release/mechanisms/mechanism.ts';
import type { ExactGroup } from '../../runtime/release/release-noised.ts';

export interface Visit {
  readonly unit: number;
  readonly key: readonly Cell[];
  readonly values: Readonly<Record<string, number | null>>;
}

export interface Evaluation {
  readonly maxRowsPerUnit: number;
  readonly measures: readonly Measure[];
  readonly edges: readonly number[];
  readonly isClipped: boolean;
}

/** The first `maxRowsPerUnit` rows of each unit; which ones does not depend on other units. */
export function bounded(visits: readonly Visit[], maxRowsPerUnit: number): readonly Visit[] {
  const seen = new Map<number, number>();
  return visits.filter(({ unit }) => {
    const rank = seen.get(unit) ?? 0;
    seen.set(unit, rank + 1);
    return rank < maxRowsPerUnit;
  });
}

export function evaluate(
  visits: readonly Visit[],
  reads: readonly ExactColumn[],
  how: Evaluation,
): readonly ExactGroup[] {
  const groups = new Map<string, Visit[]>();
  for (const visit of bounded(visits, how.maxRowsPerUnit)) {
    const id = JSON.stringify(visit.key.map(String));
    const group = groups.get(id);
    if (group === undefined) groups.set(id, [visit]);
    else group.push(visit);
  }
  return [...groups.values()].map((group) => ({
    key: group[0]?.key ?? [],
    values: new Map(reads.map((column) => [exactId(column), answer(group, column, how)])),
  }));
}

function answer(group: readonly Visit[], column: ExactColumn, how: Evaluation): bigint {
  const present = (name: string): bigint[] =>
    group.flatMap((visit) => {
      const value = fixed(visit, name, how);
      return value === null ? [] : [value];
    });
  const total = (values: readonly bigint[]): bigint => values.reduce((sum, value) => sum + value, 0n);
  switch (column.kind) {
    case 'rows':
      return BigInt(group.length);
    case 'present':
      return BigInt(present(column.measure).length);
    case 'sum':
      return total(present(column.measure));
    case 'squares':
      return total(present(column.measure).map((value) => value * value));
    case 'distinctUnits':
      return BigInt(new Set(group.map(({ unit }) => unit)).size);
    case 'distinctValues':
      return BigInt(new Set(group.flatMap(({ values }) => values[column.column] ?? [])).size);
    case 'bin': {
      const inBin = (value: number): boolean => how.edges.filter((edge) => value >= edge).length === column.bin;
      return BigInt(
        group.filter(({ values }) => typeof values[column.column] === 'number' && inBin(values[column.column] ?? 0))
          .length,
      );
    }
    case 'pairs':
    case 'pairSumX':
    case 'pairSumY':
    case 'pairSquaresX':
    case 'pairSquaresY':
    case 'pairProducts': {
      const pairs = group.flatMap((visit) => {
        const [x, y] = [fixed(visit, column.x, how), fixed(visit, column.y, how)];
        return x === null || y === null ? [] : [{ x, y }];
      });
      const term = {
        pairs: () => 1n,
        pairSumX: ({ x }: { x: bigint }) => x,
        pairSumY: ({ y }: { y: bigint }) => y,
        pairSquaresX: ({ x }: { x: bigint }) => x * x,
        pairSquaresY: ({ y }: { y: bigint }) => y * y,
        pairProducts: ({ x, y }: { x: bigint; y: bigint }) => x * y,
      }[column.kind];
      return total(pairs.map(term));
    }
    default:
      return unreachable(column);
  }
}

function fixed(visit: Visit, name: string, how: Evaluation): bigint | null {
  const measure = how.measures.find((one) => one.name === name);
  const value = visit.values[name] ?? null;
  if (measure === undefined) throw new Error(`no measure ${name}`);
  if (value === null || Number.isNaN(value)) return null;
  const step = Number(measure.step.numerator) / Number(measure.step.denominator);
  const grid = BigInt(Math.round(value / step));
  if (!how.isClipped) return grid;
  return grid < measure.low ? measure.low : grid > measure.high ? measure.high : grid;
}

import type { ColumnAccuracy } from '../../job/prepare.ts';
import type { OutputColumn } from '../../release/candidate.ts';
import { batchFromRows, type Cell } from '../../release/column-values.ts';
import type { ColumnType, Schema } from '../../release/columns.ts';
import type { GroupKey } from '../../sandbox/javascript/source.ts';
import { CONFIDENCE, type Made } from './run.ts';

export interface Statistic {
  readonly name: string;
  readonly value: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** One row per statistic and key: its name, the noisy value, and between what the exact one lies (95 %). */
export function statisticsTable(
  groupColumn: string | undefined,
  keys: readonly (GroupKey | undefined)[],
): {
  readonly outputs: readonly OutputColumn[];
  readonly batchOf: (groups: readonly (readonly Statistic[])[]) => Made;
} {
  const own = ['statistic', 'value', 'low', 'high'];
  const keyType = groupColumn === undefined ? undefined : typeOfKeys(keys.filter((key) => key !== undefined));
  const float64: ColumnType = { kind: 'float64' };
  const outputs: readonly OutputColumn[] = [
    ...(groupColumn === undefined || keyType === undefined
      ? []
      : [
          {
            name: own.includes(groupColumn) ? `key ${groupColumn}` : groupColumn,
            type: keyType,
            nullable: true,
            role: 'key' as const,
          },
        ]),
    { name: 'statistic', type: { kind: 'utf8' }, nullable: true, role: 'key' },
    { name: 'value', type: float64, nullable: true, role: 'cell' },
    { name: 'low', type: float64, nullable: true, role: 'cell' },
    { name: 'high', type: float64, nullable: true, role: 'cell' },
  ];
  const schema: Schema = outputs.map(({ name, type, nullable }) => ({ name, type, nullable }));
  return {
    outputs,
    batchOf: (groups) => ({
      batch: batchFromRows(
        schema,
        groups.flatMap((statistics, g) =>
          statistics.map(({ name, value, low, high }): readonly Cell[] => [
            ...(keyType === undefined ? [] : [keyCell(keys[g], keyType)]),
            name,
            value,
            low,
            high,
          ]),
        ),
      ),
      errors: widestOf(groups.flat()),
    }),
  };
}

/** The widest interval of each statistic, half of it. */
function widestOf(statistics: readonly Statistic[]): readonly ColumnAccuracy[] {
  const widest = new Map<string, number>();
  for (const { name, low, high } of statistics) {
    if (low !== null && high !== null) widest.set(name, Math.max(widest.get(name) ?? 0, (high - low) / 2));
  }
  return [...widest].slice(0, MAX_ERRORS).map(([column, halfWidth]) => ({ column, halfWidth, confidence: CONFIDENCE }));
}

/** Errors told beside a result; every row of it has its own interval anyway. */
const MAX_ERRORS = 64;

/** Keys of one type keep it; mixed ones become texts. */
export function typeOfKeys(keys: readonly GroupKey[]): ColumnType {
  if (keys.every((key) => typeof key === 'number')) return { kind: 'float64' };
  return keys.every((key) => typeof key === 'boolean') ? { kind: 'bool' } : { kind: 'utf8' };
}

export function keyCell(key: GroupKey | undefined, type: ColumnType | undefined): Cell {
  if (key === undefined) return null;
  return type?.kind === 'utf8' ? String(key) : key;
}

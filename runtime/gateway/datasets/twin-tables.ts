import type { DatasetManifest } from '../../dataset/metadata.ts';
import { DEFAULT_TWIN_OPTIONS, twinOf, type TwinOptions, type TwinTable } from '../../dataset/twin.ts';
import type { ColumnPolicy, UsagePolicy } from '../../policy/model.ts';

/** Most rows of one table of a twin. */
const MAX_ROWS = 100_000;

/** Synthetic tables of a policy with the columns that may be read; 0 rows means the default. Reads no row of the dataset. */
export function twinTables(
  manifest: DatasetManifest,
  policy: UsagePolicy,
  options: {
    readonly rows: number;
    readonly seed: number;
    readonly mayRead: (column: ColumnPolicy) => boolean;
    readonly marginals?: TwinOptions['marginals'];
  },
): readonly TwinTable[] {
  const rows = options.rows === 0 ? DEFAULT_TWIN_OPTIONS.rows : Math.min(options.rows, MAX_ROWS);
  const tables = policy.tables
    .map((table) => ({ ...table, columns: table.columns.filter(options.mayRead) }))
    .filter(({ columns }) => columns.length > 0);
  const { seed, marginals = new Map() } = options;
  return twinOf(manifest, tables, { rows, seed, units: Math.max(1, Math.floor(rows / 5)), marginals });
}

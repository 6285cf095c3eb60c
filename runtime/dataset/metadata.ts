/** What the runtime knows about a registered dataset version; kept as `manifest.json` beside its files of record. */
import type { SqlType } from '../query/types.ts';

export interface StoredColumn {
  readonly name: string;
  readonly type: SqlType;
}

export interface StoredTable {
  readonly name: string;
  /** File of record, relative to the version's folder. */
  readonly file: string;
  readonly columns: readonly StoredColumn[];
  readonly rowCount: number;
  readonly bytes: number;
  /** `sha256:<hex>` of the file's bytes. */
  readonly digest: string;
}

export interface DatasetManifest {
  readonly dataset: string;
  readonly version: number;
  readonly tables: readonly StoredTable[];
  /** Files for the provider (statistics, findings) that lie beside the tables. */
  readonly notes: readonly { readonly file: string; readonly bytes: number; readonly digest: string }[];
  /** `sha256:<hex>` over everything above: the identity of the version. */
  readonly digest: string;
}

/** Statistics of one column, for the provider only: they are exact facts about rows. */
export interface ColumnStatistics {
  readonly column: string;
  readonly nulls: number;
  /** estimate, about 2 % off */
  readonly distinct: number;
  readonly min: string | null;
  readonly max: string | null;
}

export interface TableStatistics {
  readonly table: string;
  readonly columns: readonly ColumnStatistics[];
}

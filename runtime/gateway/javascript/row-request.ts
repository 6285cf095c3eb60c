import type { OpenDataset } from '../../job/sql-engine.ts';
import type { CatalogueTable } from '../../query/catalogue.ts';
import type { SqlType } from '../../query/types.ts';
import type { ColumnSpec } from '../../sandbox/javascript/columns.ts';
import type { WorkerPool } from '../../sandbox/pool.ts';

/** Values (rows × columns, and the unit) that one part of a table should have, so that a job holds no more at one time. */
const PART_VALUES = 4_000_000;
/** Parts of the largest table. */
const MAX_PARTS = 256;

/** A column as code reads it, and the texts that it may tell apart. */
export interface ReadColumn extends ColumnSpec {
  readonly type: SqlType;
  /** Codes are positions in this list; any other text is `other`. */
  readonly texts: readonly string[];
  /** What a text outside of the list becomes: missing, or the code after the last one. */
  readonly other: 'missing' | 'unlisted';
}

/** What is asked of the catalogue's table: its name in the engine, its size, and the hash of its first privacy unit. */
export type RowsTable = Pick<CatalogueTable, 'physical' | 'rowCount'> & {
  readonly units: readonly Pick<CatalogueTable['units'][number], 'hash'>[];
};

export interface RowsRequest {
  readonly pool: WorkerPool;
  readonly party: string;
  readonly dataset: Pick<OpenDataset, 'file' | 'database'>;
  readonly table: RowsTable;
  readonly columns: readonly ReadColumn[];
  /** Rows of a unit that are read at most, chosen by the layout's rank; null reads all. */
  readonly rowsPerUnit: number | null;
  /** Whether rows come unit by unit in an order that depends on each unit's own rows alone. */
  readonly isSorted: boolean;
  /** Whether each row says whose it is; without, the bound on the rows of a unit is all that is known of units. */
  readonly isNumbered: boolean;
  /** Whether the job reads the rows once, so that nothing is won by keeping them. */
  readonly isReadOnce?: boolean;
  readonly signal: AbortSignal;
}

/** The size of a table to the next lower power of two: what block numbers and predicted errors may rest on. */
export function roughly(rows: number): number {
  return rows < 1 ? 1 : 2 ** Math.floor(Math.log2(rows));
}

/**
 * In how many parts a table is read by a job that holds rows or wants them sorted. INVARIANT: it rests on the magnitude of the
 * table alone, because the parts decide which units can share a block.
 */
export function partsFor(rows: number, columns: number): number {
  return partsOfValues(1.5 * roughly(rows) * (columns + 1));
}

/** In how many parts that many values are read. */
export function partsOfValues(values: number): number {
  return Math.max(1, Math.min(MAX_PARTS, Math.ceil(values / PART_VALUES)));
}

import type { BatchPart, ColumnBatch, ColumnKind, ColumnSpec } from './columns.ts';
import type { Tier } from './worker-link.ts';

/** A value of a declared public key. */
export type GroupKey = string | number | boolean;

/** The rows of a job as the query layer delivers them: only the granted columns, units numbered from 0. */
export interface ColumnSource {
  readonly columns: readonly ColumnSpec[];
  /** the texts of each dictionary column, by code; the same for all batches */
  readonly dictionaries: ReadonlyMap<string, readonly string[]>;
  /** how many units there are; every `unit` of a batch is below it */
  readonly units: number;
  /**
   * Set when no unit has more rows than this in the source, which then may leave `unit` out of its batches: for a row function
   * that takes as many rows of a unit or more, nothing is left to count.
   */
  readonly boundedRowsPerUnit?: number | undefined;
  /** All rows, or those of one part of the units; every part is as good a sample as any other. */
  batches(part?: UnitPart): AsyncIterable<ColumnBatch> | Iterable<ColumnBatch>;
  /**
   * Runs a kernel over all rows where they are read, instead of handing them on: for a source that is far away from whoever
   * computes. Absent: `batches` is the only way.
   */
  readonly fold?: (kernel: SourceKernel) => Promise<FoldedRows>;
  /** Rows by group, for a source that can count and pick out groups itself. Absent: they are found in `batches`. */
  readonly grouped?: (groupBy: GroupBy | undefined) => GroupedRows;
  /** In how many parts rows should be read so that one at a time may be held in memory; default 1. */
  readonly parts?: number;
}

/** Declared public keys of a column, each a group. */
export interface GroupBy {
  readonly column: string;
  readonly keys: readonly GroupKey[];
}

/** The rows of a table by group; without `groupBy` all rows are one. A row of any other key is in none. */
export interface GroupedRows {
  /** Rows and different units of each group, in the order of the keys. */
  readonly counts: () => Promise<{ readonly rows: Float64Array; readonly units: Float64Array }>;
  /** The rows of groups `first` to `end - 1`: those of one group in their final order, groups in any. */
  readonly rows: (first: number, end: number) => AsyncIterable<{ readonly group: number; readonly part: BatchPart }>;
}

/** A printed kernel over a checked row function: trusted text, whose only product is that many integer cells. */
export interface SourceKernel {
  readonly kernel: string;
  /** the same kernel as WebAssembly, base64, where it could be compiled */
  readonly module?: string | undefined;
  readonly kinds: readonly ColumnKind[];
  readonly cells: number;
}

/** The cells as `i64`, little-endian, and the number of rows behind them, never more than there are. */
export interface FoldedRows {
  readonly totals: Uint8Array;
  readonly rows: number;
}

/**
 * The units whose keyed hash lies in `[first / of, end / of)` of its range: which part a unit is in depends on that unit alone.
 */
export interface UnitPart {
  readonly first: number;
  readonly end: number;
  readonly of: number;
}

/** How a job with consumer code is run. */
export interface RunTerms {
  readonly tier: Tier;
  readonly timeoutMs: number;
  readonly nowMs: number;
  readonly seed: number;
  readonly libraries?: readonly string[];
  readonly signal?: AbortSignal;
  /** what code and columns of one run may take together, where that is less than the limits of every job */
  readonly memoryMiB?: number;
  readonly onProgress?: (done: number, of: number) => void;
}

/** No result: for the operator, with a reason; a consumer sees one and the same failure for all of them. */
export interface JobFailed {
  readonly kind: 'failed';
  /** the worker used more processor time than it was leased for */
  readonly isOutOfTime?: boolean;
  readonly detail: string;
}

/** The code of a text in a dictionary column; undefined when no row can hold it. */
export function codeOf(source: ColumnSource, column: string, text: string): number | undefined {
  const code = source.dictionaries.get(column)?.indexOf(text) ?? -1;
  return code < 0 ? undefined : code;
}

/** The declared keys as the column stores them; undefined for a key that no row can hold. */
export function storedKeys(
  source: Pick<ColumnSource, 'columns' | 'dictionaries'>,
  name: string,
  keys: readonly GroupKey[],
): readonly (number | undefined)[] {
  const column = source.columns.find((each) => each.name === name);
  if (column === undefined) throw new RangeError(`group column ${JSON.stringify(name)} is not in the data`);
  const codes = new Map((source.dictionaries.get(name) ?? []).map((text, code) => [text, code]));
  return keys.map((key) => {
    if (typeof key === 'string') return column.kind === 'dictionary' ? codes.get(key) : undefined;
    if (typeof key === 'boolean') return column.kind === 'boolean' ? Number(key) : undefined;
    return column.kind === 'float64' || column.kind === 'int32' ? key : undefined;
  });
}

import type duckdb from '@duckdb/node-bindings';
import type { ColumnData } from '../release/columns.ts';

export type Vector = ReturnType<typeof duckdb.data_chunk_get_vector>;

/** Collects one column chunk by chunk. Views given out are valid until `reset`. */
export interface ColumnBuilder {
  append(vector: Vector, rows: number): void;
  view(): ColumnData;
  readonly byteLength: number;
  reset(): void;
}

/** Bytes that grow by doubling and begin small: most results have few rows. */
export function grown(bytes: Uint8Array<ArrayBuffer>, needed: number): Uint8Array<ArrayBuffer> {
  if (needed <= bytes.byteLength) return bytes;
  let capacity = Math.max(bytes.byteLength, 1024);
  while (capacity < needed) capacity *= 2;
  const larger = new Uint8Array(capacity);
  larger.set(bytes);
  return larger;
}

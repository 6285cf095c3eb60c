/** From checked column batches into the engine's vectors: the bridge the other way, without one object per value. */
import duckdb from '@duckdb/node-bindings';
import { bitAt, type ColumnData, type ColumnType } from '../release/columns.ts';
import type { Vector } from './bridge-buffer.ts';

/** Rows of one engine vector. */
export const VECTOR_ROWS = 2048;
const STRING_BYTES = 16;
const INLINE_BYTES = 12;

const strings = new Uint8Array(VECTOR_ROWS * STRING_BYTES);
const words = new Uint32Array(strings.buffer);
const flags = new Uint8Array(VECTOR_ROWS);

/**
 * Fills a fresh vector with rows [from, from + rows) of a column. INVARIANT: the batch passed `checkBatch`; the offsets
 * are written into the engine's memory as they are. `from` is a multiple of 8. Decimals go into DECIMAL(38, s) vectors.
 */
export function fillVector(vector: Vector, type: ColumnType, data: ColumnData, from: number, rows: number): void {
  if (data.validity !== null) {
    duckdb.vector_ensure_validity_writable(vector);
    const bits = data.validity;
    duckdb.copy_data_to_vector_validity(
      vector,
      0,
      bits.buffer as ArrayBuffer,
      bits.byteOffset + (from >> 3),
      (rows + 7) >> 3,
    );
  }
  const copy = (width: number): void => {
    const { buffer, byteOffset } = data.values;
    duckdb.copy_data_to_vector(vector, 0, buffer as ArrayBuffer, byteOffset + from * width, rows * width);
  };
  switch (type.kind) {
    case 'bool':
      for (let i = 0; i < rows; i++) flags[i] = bitAt(data.values, from + i) ? 1 : 0;
      duckdb.copy_data_to_vector(vector, 0, flags.buffer, 0, rows);
      return;
    case 'int32':
    case 'date32':
      copy(4);
      return;
    case 'int64':
    case 'float64':
    case 'timestampMicros':
      copy(8);
      return;
    case 'decimal128':
      copy(16);
      return;
    case 'utf8':
      fillText(vector, data, from, rows);
  }
}

/** One call places all text of the chunk in the vector's heap; the 16-byte entries that point into it are written here. */
function fillText(vector: Vector, data: ColumnData, from: number, rows: number): void {
  const { offsets, values } = data;
  const first = offsets?.[from] ?? 0;
  const text = values.subarray(first, offsets?.[from + rows] ?? 0);
  let low = 0;
  let high = 0;
  if (text.byteLength > INLINE_BYTES) {
    duckdb.vector_assign_string_element_len(vector, 0, text);
    const entry = duckdb.vector_get_data(vector, STRING_BYTES);
    const address = new Uint32Array(entry.buffer, entry.byteOffset, 4);
    low = address[2] ?? 0;
    high = address[3] ?? 0;
  }
  for (let i = 0; i < rows; i++) {
    const start = (offsets?.[from + i] ?? 0) - first;
    const length = (offsets?.[from + i + 1] ?? 0) - first - start;
    const word = i * 4;
    words[word] = length;
    if (length <= INLINE_BYTES) {
      words[word + 1] = words[word + 2] = words[word + 3] = 0;
      for (let at = 0; at < length; at++) strings[i * STRING_BYTES + 4 + at] = text[start + at] ?? 0;
    } else {
      for (let at = 0; at < 4; at++) strings[i * STRING_BYTES + 4 + at] = text[start + at] ?? 0;
      const address = low + start;
      words[word + 2] = address >>> 0;
      words[word + 3] = high + (address >= 2 ** 32 ? 1 : 0);
    }
  }
  duckdb.copy_data_to_vector(vector, 0, strings.buffer, 0, rows * STRING_BYTES);
}

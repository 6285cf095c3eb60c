import duckdb from '@duckdb/node-bindings';
import type { ColumnData } from '../release/columns.ts';
import { BitmapBuilder } from './bridge-bitmap.ts';
import { grown, type ColumnBuilder, type Vector } from './bridge-buffer.ts';

const STRING_BYTES = 16;
const INLINE_BYTES = 12;
const PAGE_BYTES = 4096;
/** Below this a loop beats a call of `set`. */
const SHORT_COPY_BYTES = 32;

/**
 * Text columns. The engine's vector holds 16 bytes per value: the length, then either the text itself (up to 12 bytes)
 * or a prefix and a pointer. One call per pointer costs more than a microsecond, but long texts of a chunk lie in row
 * order on few heap blocks, so a whole window of them is read with one call.
 *
 * INVARIANT: a window only bridges gaps below one page. Every gap byte is then on the page of the text before it or of
 * the text after it, so no unmapped page is touched. Gap bytes belong to other rows: only exact ranges are copied.
 */
export class TextBuilder implements ColumnBuilder {
  readonly #validity = new BitmapBuilder();
  #data: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #offsets = new Int32Array(256);
  #rows = 0;
  #length = 0;

  get byteLength(): number {
    return this.#length + (this.#rows + 1) * 4 + this.#validity.byteLength;
  }

  append(vector: Vector, rows: number): void {
    const first = this.#rows;
    this.#validity.append(vector, rows);
    const raw = duckdb.vector_get_data(vector, rows * STRING_BYTES);
    const words = new Uint32Array(raw.buffer, raw.byteOffset, rows * 4);
    const validity = this.#validity.hasNulls ? this.#validity : null;
    const isNull = (row: number): boolean => validity !== null && !validity.isSet(first + row);
    const lengthOf = (row: number): number => words[row * 4] ?? 0;
    const addressOf = (row: number): number => (words[row * 4 + 2] ?? 0) + (words[row * 4 + 3] ?? 0) * 2 ** 32;

    let total = 0;
    for (let row = 0; row < rows; row++) if (!isNull(row)) total += lengthOf(row);
    if (this.#length + total > MAX_TEXT_BYTES) throw new RangeError('a text batch is too large');
    this.#data = grown(this.#data, this.#length + total);
    this.#reserveOffsets(first + rows + 1);
    const data = this.#data;
    const offsets = this.#offsets;

    let window: Uint8Array = raw;
    let windowStart = 0;
    let windowEnd = -1;
    let at = this.#length;
    for (let row = 0; row < rows; row++) {
      const length = isNull(row) ? 0 : lengthOf(row);
      if (length <= INLINE_BYTES) {
        const from = row * STRING_BYTES + 4;
        for (let i = 0; i < length; i++) data[at + i] = raw[from + i] ?? 0;
      } else {
        const address = addressOf(row);
        if (address < windowStart || address + length > windowEnd) {
          windowStart = address;
          windowEnd = address + length;
          for (let next = row + 1; next < rows; next++) {
            if (isNull(next) || lengthOf(next) <= INLINE_BYTES) continue;
            const start = addressOf(next);
            if (start < windowEnd || start - windowEnd >= PAGE_BYTES) break;
            windowEnd = start + lengthOf(next);
          }
          const pointerAt = raw.byteOffset + row * STRING_BYTES + 8;
          window = duckdb.get_data_from_pointer(raw.buffer as ArrayBuffer, pointerAt, windowEnd - windowStart);
        }
        const from = address - windowStart;
        if (length <= SHORT_COPY_BYTES) for (let i = 0; i < length; i++) data[at + i] = window[from + i] ?? 0;
        else data.set(window.subarray(from, from + length), at);
      }
      at += length;
      offsets[first + row + 1] = at;
    }
    this.#rows += rows;
    this.#length = at;
  }

  view(): ColumnData {
    return {
      validity: this.#validity.view(),
      values: this.#data.subarray(0, this.#length),
      offsets: this.#offsets.subarray(0, this.#rows + 1),
    };
  }

  reset(): void {
    this.#rows = 0;
    this.#length = 0;
    this.#validity.reset();
  }

  #reserveOffsets(count: number): void {
    if (count <= this.#offsets.length) return;
    let capacity = this.#offsets.length;
    while (capacity < count) capacity *= 2;
    const larger = new Int32Array(capacity);
    larger.set(this.#offsets);
    this.#offsets = larger;
  }
}

/** 32-bit offsets, and a bound on what one chunk may take. */
const MAX_TEXT_BYTES = 2 ** 30;

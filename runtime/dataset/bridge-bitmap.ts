import duckdb from '@duckdb/node-bindings';
import { bitmapBytes } from '../release/columns.ts';
import { grown, type Vector } from './bridge-buffer.ts';

const BITS_SET = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);

/**
 * Validity of a growing column. The engine keeps 64-bit words, least significant bit first, 1 = valid: the same bits as
 * ours, so chunks are merged with a shift. Nothing is kept while no value is null.
 */
export class BitmapBuilder {
  #bits: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #rows = 0;
  #nulls = 0;

  get hasNulls(): boolean {
    return this.#nulls > 0;
  }

  get byteLength(): number {
    return this.#nulls === 0 ? 0 : bitmapBytes(this.#rows);
  }

  append(vector: Vector, rows: number): void {
    // The binding answers null (its type does not say so) when every value is valid.
    const source = duckdb.vector_get_validity(vector, ((rows + 63) >> 6) * 8) as Uint8Array | null;
    const nulls = source === null || source === undefined ? 0 : rows - countSet(source, rows);
    if (nulls === 0 && this.#nulls === 0) {
      this.#rows += rows;
      return;
    }
    if (this.#nulls === 0) {
      this.#bits = grown(this.#bits, bitmapBytes(this.#rows) + 1);
      this.#setRange(0, this.#rows);
    }
    // One byte more than needed: the shift writes the carry of the last byte.
    this.#bits = grown(this.#bits, bitmapBytes(this.#rows + rows) + 1);
    if (nulls === 0 || source === null) this.#setRange(this.#rows, rows);
    else this.#copy(source, rows);
    this.#rows += rows;
    this.#nulls += nulls;
  }

  view(): Uint8Array | null {
    return this.#nulls === 0 ? null : this.#bits.subarray(0, bitmapBytes(this.#rows));
  }

  /** Whether row `row` has a value; only while `hasNulls`. */
  isSet(row: number): boolean {
    return (((this.#bits[row >> 3] ?? 0) >> (row & 7)) & 1) === 1;
  }

  reset(): void {
    this.#rows = 0;
    this.#nulls = 0;
  }

  #copy(source: Uint8Array, rows: number): void {
    const bits = this.#bits;
    const shift = this.#rows & 7;
    const bytes = bitmapBytes(rows);
    let at = this.#rows >> 3;
    if (shift === 0) bits.set(source.subarray(0, bytes), at);
    else {
      for (let i = 0; i < bytes; i++, at++) {
        const byte = source[i] ?? 0;
        bits[at] = ((bits[at] ?? 0) & ((1 << shift) - 1)) | ((byte << shift) & 0xff);
        bits[at + 1] = byte >> (8 - shift);
      }
    }
    clearAfter(bits, this.#rows + rows);
  }

  #setRange(from: number, count: number): void {
    const bits = this.#bits;
    const end = from + count;
    let at = from;
    if ((at & 7) !== 0) {
      const below = (1 << (at & 7)) - 1;
      bits[at >> 3] = ((bits[at >> 3] ?? 0) & below) | (~below & 0xff);
      at = (at | 7) + 1;
    }
    if (at < end) bits.fill(0xff, at >> 3, bitmapBytes(end));
    clearAfter(bits, end);
  }
}

function clearAfter(bits: Uint8Array, end: number): void {
  if ((end & 7) !== 0) bits[end >> 3] = (bits[end >> 3] ?? 0) & ((1 << (end & 7)) - 1);
}

function countSet(source: Uint8Array, rows: number): number {
  const whole = rows >> 3;
  let set = 0;
  for (let i = 0; i < whole; i++) set += BITS_SET[source[i] ?? 0] ?? 0;
  const rest = rows & 7;
  return rest === 0 ? set : set + (BITS_SET[(source[whole] ?? 0) & ((1 << rest) - 1)] ?? 0);
}

/**
 * Reads FlatBuffers of a stranger. Their offsets point anywhere, and their vectors can say any length: each is looked at
 * before it is followed, and no more is read than there are bytes, so that tables which share their parts do not grow.
 *
 * Source: FlatBuffers internals (tables, vtables, vectors).
 */

export interface NumberPlace {
  readonly at: number;
  readonly bytes: 4 | 8;
}

/** What a field of a table holds. */
export type Kind =
  | { readonly kind: 'number'; readonly bytes: 1 | 2 | 4 | 8; readonly otherwise: number }
  | { readonly kind: 'text' }
  /** A text that nobody asks for: it lies in the buffer, and that is all. */
  | { readonly kind: 'note' }
  | { readonly kind: 'table'; readonly of: () => Shape }
  | { readonly kind: 'tables'; readonly of: () => Shape }
  /** A vector of structs of so many bytes, with numbers at these places in each. */
  | { readonly kind: 'structs'; readonly bytes: number; readonly numbers: readonly NumberPlace[] }
  /** A table of the form that the field before it names by its number. */
  | { readonly kind: 'choice'; readonly of: (tag: number) => Shape | undefined };

/** The fields of a table in the order of their positions; null for those that nobody asks for. */
export type Shape = readonly (Kind | null)[];

/** A field as read: null where a table, text or vector is not there. */
export type Value = number | string | null | readonly Value[];

const MAX_DEPTH = 64;
const decoder = new TextDecoder('utf-8', { fatal: true });

/** The root table of a buffer, field by field. Throws `RangeError` when anything lies outside of the buffer. */
export function readTable(bytes: Uint8Array, shape: Shape): readonly Value[] {
  const reader = new Reader(bytes);
  return reader.table(reader.offset(0), shape, 0);
}

class Reader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  /** A table takes four bytes at least: whoever reads more of them reads some again and again. */
  #tablesLeft: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#tablesLeft = bytes.length;
  }

  /** The place that the offset at a place points to. */
  offset(at: number): number {
    return at + this.#view.getUint32(at, true);
  }

  table(at: number, shape: Shape, depth: number): readonly Value[] {
    this.#tablesLeft -= 1;
    if (depth > MAX_DEPTH || this.#tablesLeft < 0) throw new RangeError('tables within tables without end');
    const fields = at - this.#view.getInt32(at, true);
    const size = this.#view.getUint16(fields, true);
    const values: Value[] = [];
    for (const [i, kind] of shape.entries()) {
      const slot = 4 + 2 * i;
      const relative = slot + 2 <= size ? this.#view.getUint16(fields + slot, true) : 0;
      if (kind === null) values.push(null);
      else if (relative === 0) values.push(kind.kind === 'number' ? kind.otherwise : null);
      else values.push(this.#value(at + relative, kind, values.at(-1) ?? null, depth));
    }
    return values;
  }

  #value(at: number, kind: Kind, before: Value, depth: number): Value {
    switch (kind.kind) {
      case 'number':
        return this.#number(at, kind.bytes);
      case 'text':
        return decoder.decode(this.#span(at));
      case 'note':
        this.#span(at);
        return null;
      case 'table':
        return this.table(this.offset(at), kind.of(), depth + 1);
      case 'tables':
        return Array.from(this.#elements(at, 4), (place) => this.table(this.offset(place), kind.of(), depth + 1));
      case 'structs':
        return Array.from(this.#elements(at, kind.bytes), (place) =>
          kind.numbers.map((one) => this.#number(place + one.at, one.bytes)),
        );
      case 'choice': {
        const shape = kind.of(Number(before));
        return shape === undefined ? null : this.table(this.offset(at), shape, depth + 1);
      }
    }
  }

  #span(at: number): Uint8Array {
    const start = this.offset(at);
    const length = this.#view.getUint32(start, true);
    this.#within(start + 4, length);
    return this.#bytes.subarray(start + 4, start + 4 + length);
  }

  #number(at: number, bytes: 1 | 2 | 4 | 8): number {
    if (bytes === 1) return this.#view.getInt8(at);
    if (bytes === 2) return this.#view.getInt16(at, true);
    if (bytes === 4) return this.#view.getInt32(at, true);
    const value = Number(this.#view.getBigInt64(at, true));
    if (!Number.isSafeInteger(value)) throw new RangeError('a number beyond what any file holds');
    return value;
  }

  /** Where the elements of a vector lie. */
  #elements(at: number, width: number): readonly number[] {
    const start = this.offset(at);
    const length = this.#view.getUint32(start, true);
    this.#within(start + 4, length * width);
    return Array.from({ length }, (_, i) => start + 4 + i * width);
  }

  #within(start: number, length: number): void {
    if (start + length > this.#bytes.length) throw new RangeError('a vector longer than what holds it');
  }
}

/** One column of a Parquet file: texts, whole numbers, or fractional numbers; no value is missing. */
export type ParquetColumn =
  | { readonly name: string; readonly kind: 'text'; readonly values: readonly string[] }
  | { readonly name: string; readonly kind: 'integer'; readonly values: readonly (number | bigint)[] }
  | { readonly name: string; readonly kind: 'decimal'; readonly values: readonly number[] };

/** Most rows: a statement has one per agreement. */
export const MAX_PARQUET_ROWS = 1_000_000;

/**
 * A table as an Apache Parquet file (format 1.0): one row group, one plain, uncompressed page per column, required columns.
 * The least that the format allows, and what every reader understands. Throws a RangeError when columns differ in length.
 */
export function parquetFile(columns: readonly ParquetColumn[]): Uint8Array {
  const rows = columns[0]?.values.length ?? 0;
  if (rows > MAX_PARQUET_ROWS) throw new RangeError(`${rows} rows are above ${MAX_PARQUET_ROWS}`);
  const uneven = columns.find(({ values }) => values.length !== rows);
  if (uneven !== undefined) throw new RangeError(`column '${uneven.name}' has ${uneven.values.length} of ${rows} rows`);
  const parts: Uint8Array[] = [MAGIC];
  let at = MAGIC.length;
  const chunks = columns.map((column) => {
    const values = plainValues(column);
    const header = pageHeader(rows, values.length);
    const chunk = { column, offset: at, bytes: header.length + values.length };
    parts.push(header, values);
    at += chunk.bytes;
    return chunk;
  });
  const footer = fileMetadata(rows, chunks);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, footer.length, true);
  return concat([...parts, footer, length, MAGIC]);
}

interface Chunk {
  readonly column: ParquetColumn;
  readonly offset: number;
  readonly bytes: number;
}

const MAGIC = new TextEncoder().encode('PAR1');
/** Numbers of the format's Thrift definition. */
const TYPE = { integer: 2, decimal: 5, text: 6 } as const;
const CONVERTED_UTF8 = 0;
const REQUIRED = 0;
const PLAIN = 0;
const RLE = 3;
const DATA_PAGE = 0;
const UNCOMPRESSED = 0;

function plainValues(column: ParquetColumn): Uint8Array {
  if (column.kind === 'text') {
    const encoder = new TextEncoder();
    return concat(
      column.values.flatMap((text) => {
        const bytes = encoder.encode(text);
        const length = new Uint8Array(4);
        new DataView(length.buffer).setUint32(0, bytes.length, true);
        return [length, bytes];
      }),
    );
  }
  const bytes = new Uint8Array(column.values.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [row, value] of column.values.entries()) {
    if (column.kind === 'integer') view.setBigInt64(row * 8, BigInt(value), true);
    else view.setFloat64(row * 8, Number(value), true);
  }
  return bytes;
}

function pageHeader(rows: number, bytes: number): Uint8Array {
  const page = new Compact();
  page.i32(1, DATA_PAGE).i32(2, bytes).i32(3, bytes);
  page.struct(5, (data) => data.i32(1, rows).i32(2, PLAIN).i32(3, RLE).i32(4, RLE));
  return page.end();
}

function fileMetadata(rows: number, chunks: readonly Chunk[]): Uint8Array {
  const file = new Compact();
  file.i32(1, 1);
  file.structs(2, [
    (root) => root.text(4, 'schema').i32(5, chunks.length),
    ...chunks.map(({ column }) => (leaf: Compact) => {
      leaf.i32(1, TYPE[column.kind]).i32(3, REQUIRED).text(4, column.name);
      if (column.kind === 'text') leaf.i32(6, CONVERTED_UTF8);
    }),
  ]);
  file.i64(3, rows);
  file.structs(4, [
    (group) => {
      group.structs(
        1,
        chunks.map(({ column, offset, bytes }) => (chunk: Compact) => {
          chunk.i64(2, offset);
          chunk.struct(3, (meta) =>
            meta
              .i32(1, TYPE[column.kind])
              .i32s(2, [PLAIN, RLE])
              .texts(3, [column.name])
              .i32(4, UNCOMPRESSED)
              .i64(5, rows)
              .i64(6, bytes)
              .i64(7, bytes)
              .i64(9, offset),
          );
        }),
      );
      group
        .i64(
          2,
          chunks.reduce((sum, { bytes }) => sum + bytes, 0),
        )
        .i64(3, rows);
    },
  ]);
  file.text(6, 'glovebox');
  return file.end();
}

/** Thrift's compact protocol, as far as Parquet's metadata needs it. */
class Compact {
  readonly #bytes: number[] = [];
  #last = 0;

  i32(id: number, value: number): this {
    this.#field(id, 5);
    this.#zigzag(BigInt(value));
    return this;
  }

  i64(id: number, value: number): this {
    this.#field(id, 6);
    this.#zigzag(BigInt(value));
    return this;
  }

  text(id: number, value: string): this {
    this.#field(id, 8);
    this.#text(value);
    return this;
  }

  i32s(id: number, values: readonly number[]): this {
    this.#list(id, 5, values.length);
    for (const value of values) this.#zigzag(BigInt(value));
    return this;
  }

  texts(id: number, values: readonly string[]): this {
    this.#list(id, 8, values.length);
    for (const value of values) this.#text(value);
    return this;
  }

  struct(id: number, write: (inner: Compact) => void): this {
    this.#field(id, 12);
    this.#inner(write);
    return this;
  }

  structs(id: number, writes: readonly ((inner: Compact) => void)[]): this {
    this.#list(id, 12, writes.length);
    for (const write of writes) this.#inner(write);
    return this;
  }

  end(): Uint8Array {
    return Uint8Array.from([...this.#bytes, 0]);
  }

  #inner(write: (inner: Compact) => void): void {
    const inner = new Compact();
    write(inner);
    for (const byte of inner.end()) this.#bytes.push(byte);
  }

  #list(id: number, type: number, length: number): void {
    this.#field(id, 9);
    if (length < 15) this.#bytes.push((length << 4) | type);
    else {
      this.#bytes.push(0xf0 | type);
      this.#varint(BigInt(length));
    }
  }

  #field(id: number, type: number): void {
    this.#bytes.push(((id - this.#last) << 4) | type);
    this.#last = id;
  }

  #text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.#varint(BigInt(bytes.length));
    for (const byte of bytes) this.#bytes.push(byte);
  }

  #zigzag(value: bigint): void {
    this.#varint(value >= 0n ? value * 2n : -value * 2n - 1n);
  }

  #varint(value: bigint): void {
    let rest = value;
    while (rest > 127n) {
      this.#bytes.push(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    this.#bytes.push(Number(rest));
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, one) => sum + one.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

import { type RecordBatch, Table } from 'apache-arrow';
import { type Cell, cellReader } from '../release/column-values.ts';
import type { Schema } from '../release/columns.ts';
import { FlightReader } from './flight-framing.ts';

/** One value of a row as plain data; decimals are unscaled texts. */
export type PlainValue = string | number | bigint | boolean | null;

/** Rows of a stream of `FlightData` messages; undefined when there are more than `maxRows`. */
export async function rowsOfFrames(
  frames: AsyncIterable<Uint8Array>,
  maxRows: number,
): Promise<readonly Readonly<Record<string, PlainValue>>[] | undefined> {
  const reader = new FlightReader();
  const batches: RecordBatch[] = [];
  let rows = 0;
  for await (const frame of frames) {
    const batch = reader.read(frame);
    if (batch === null) continue;
    rows += batch.numRows;
    if (rows > maxRows) return undefined;
    batches.push(batch);
  }
  if (batches.length === 0) return [];
  return new Table(batches)
    .toArray()
    .map((row: { toJSON: () => Record<string, unknown> } | null) =>
      Object.fromEntries(Object.entries(row?.toJSON() ?? {}).map(([name, value]) => [name, plainOf(value)])),
    );
}

/**
 * The same as cells in the types in which they were released, row by row. A frame is not looked at again once the next is
 * asked for. Undefined when there are more than `maxRows`; throws `RangeError` when the columns are not those of the schema.
 */
export async function cellsOfFrames(
  schema: Schema,
  frames: AsyncIterable<Uint8Array>,
  maxRows: number,
): Promise<readonly (readonly Cell[])[] | undefined> {
  const reader = new FlightReader();
  const rows: Cell[][] = [];
  for await (const frame of frames) {
    const batch = reader.read(frame);
    if (batch === null) continue;
    if (rows.length + batch.numRows > maxRows) return undefined;
    const { children } = batch.data;
    if (children.length !== schema.length) throw new RangeError('a result has other columns than were recorded');
    const cells = schema.map(({ type }, i) => {
      const { values, valueOffsets, nullBitmap } = children[i] as Buffers;
      return cellReader(type, {
        validity: nullBitmap === undefined || nullBitmap.byteLength === 0 ? null : nullBitmap,
        values: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
        offsets: valueOffsets ?? null,
      });
    });
    for (let row = 0; row < batch.numRows; row++) rows.push(cells.map((read) => read(row)));
  }
  return rows;
}

interface Buffers {
  readonly values: ArrayBufferView<ArrayBuffer>;
  readonly valueOffsets?: Int32Array;
  readonly nullBitmap?: Uint8Array;
}

function plainOf(value: unknown): PlainValue {
  if (typeof value === 'boolean' || typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string')
    return value;
  // Decimals come as 32-bit words.
  return value instanceof Uint32Array ? wide(value) : null;
}

/** A 128-bit little-endian integer of four words, unscaled, as text. */
function wide(words: Uint32Array): string {
  const value = words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n);
  return BigInt.asIntN(128, value).toString();
}

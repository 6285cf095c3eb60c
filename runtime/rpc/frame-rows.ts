import { type RecordBatch, Table } from 'apache-arrow';
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

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordBatchReader, Table, type RecordBatch } from 'apache-arrow';
import { fc } from '../property.ts';
import { batchFromRows, rowsOf, type Cell } from '../../runtime/release/column-values.ts';
import type { Schema } from '../../runtime/release/columns.ts';
import {
  arrowSchema,
  batchFrames,
  encapsulatedSchema,
  FlightReader,
  parseFrame,
  schemaFrame,
} from '../../runtime/rpc/flight-framing.ts';
import { resultColumns, schemaOf } from '../../runtime/rpc/result-columns.ts';

const ALL_TYPES: Schema = [
  { name: 'flag', nullable: true, type: { kind: 'bool' } },
  { name: 'small', nullable: true, type: { kind: 'int32' } },
  { name: 'big', nullable: false, type: { kind: 'int64' } },
  { name: 'real', nullable: true, type: { kind: 'float64' } },
  { name: 'money', nullable: true, type: { kind: 'decimal128', precision: 20, scale: 2 } },
  { name: 'text', nullable: true, type: { kind: 'utf8' } },
  { name: 'day', nullable: true, type: { kind: 'date32' } },
  { name: 'moment', nullable: true, type: { kind: 'timestampMicros' } },
];

const row: fc.Arbitrary<Cell[]> = fc.tuple(
  fc.option(fc.boolean()),
  fc.option(fc.integer()),
  fc.bigInt(-(1n << 63n), (1n << 63n) - 1n),
  fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
  fc.option(fc.bigInt(-(10n ** 20n) + 1n, 10n ** 20n - 1n)),
  fc.option(fc.string({ unit: 'grapheme' })),
  fc.option(fc.integer({ min: -100_000, max: 100_000 })),
  fc.option(fc.bigInt(-(10n ** 15n), 10n ** 15n)),
);

function read(frames: Iterable<Buffer>): { readonly rows: Cell[][]; readonly batches: RecordBatch[] } {
  const reader = new FlightReader();
  const batches: RecordBatch[] = [];
  for (const frame of frames) {
    // As grpc-js hands a message over: a view behind the 5-byte prefix.
    const received = Buffer.concat([Buffer.alloc(5), frame]).subarray(5);
    const batch = reader.read(received);
    if (batch !== null) batches.push(batch);
  }
  assert.ok(reader.schema !== null);
  const rows = batches.flatMap((batch) =>
    Array.from({ length: batch.numRows }, (_, at) =>
      ALL_TYPES.map((column, index) => cellOf(column.type.kind, batch, index, at)),
    ),
  );
  return { rows, batches };
}

function cellOf(kind: string, batch: RecordBatch, index: number, at: number): Cell {
  const vector = batch.getChildAt(index);
  if (vector === null || !vector.isValid(at)) return null;
  const values = vector.data[0]?.values as Int32Array | BigInt64Array;
  if (kind === 'date32') return values[at] ?? null;
  if (kind === 'timestampMicros') return values[at] ?? null;
  if (kind === 'decimal128') {
    const view = new DataView(values.buffer, values.byteOffset + at * 16, 16);
    return (view.getBigInt64(8, true) << 64n) | view.getBigUint64(0, true);
  }
  return vector.get(at) as Cell;
}

test('every value of every type crosses Flight and is read back the same, however the rows are split', () => {
  fc.assert(
    fc.property(fc.array(row, { maxLength: 60 }), fc.integer({ min: 64, max: 4000 }), (rows, maxBytes) => {
      const batch = batchFromRows(ALL_TYPES, rows);
      const back = read([schemaFrame(ALL_TYPES), ...batchFrames(ALL_TYPES, batch, maxBytes)]);
      assert.deepEqual(back.rows, rowsOf(ALL_TYPES, batch));
    }),
    { numRuns: 60 },
  );
});

test('every body starts at a multiple of 8 behind grpc’s prefix, so that columns are read in place', () => {
  for (let rows = 1; rows < 40; rows++) {
    const batch = batchFromRows(
      ALL_TYPES,
      Array.from({ length: rows }, (_, i) => [true, i, BigInt(i), 1, 1n, 'x'.repeat(i), i, 1n]),
    );
    for (const frame of batchFrames(ALL_TYPES, batch)) {
      const received = new Uint8Array(5 + frame.length);
      received.set(frame, 5);
      assert.equal(parseFrame(received.subarray(5)).body.byteOffset % 8, 0);
    }
  }
});

test('no byte of a frame is left over from earlier use of its memory', () => {
  const rows = Array.from({ length: 13 }, (_, i) => [true, i, BigInt(i), 1.5, 7n, 'abc', i, 1n]);
  const batch = batchFromRows(ALL_TYPES, rows);
  const seen = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const dirty = Buffer.allocUnsafe(8000).fill(i);
    assert.equal(dirty[0], i);
    for (const frame of batchFrames(ALL_TYPES, batch)) seen.add(frame.toString('hex'));
  }
  assert.equal(seen.size, 1);
});

test('an independent reader of Arrow streams reads the same table', () => {
  const rows = [
    [true, 1, 1n, 0.5, 12345n, 'surgery', 0, 0n],
    [null, null, 2n, null, null, null, null, null],
  ];
  const frames = [schemaFrame(ALL_TYPES), ...batchFrames(ALL_TYPES, batchFromRows(ALL_TYPES, rows))];
  const parts: Uint8Array[] = [];
  for (const frame of frames) {
    const { header, body } = parseFrame(frame);
    const padded = (header.length + 7) & ~7;
    const prefix = Buffer.alloc(8);
    prefix.writeInt32LE(-1, 0);
    prefix.writeInt32LE(padded, 4);
    parts.push(prefix, header, Buffer.alloc(padded - header.length), body);
  }
  parts.push(Buffer.from('ffffffff00000000', 'hex'));
  const reader = RecordBatchReader.from(Buffer.concat(parts));
  const table = new Table([...reader]);
  assert.equal(table.numRows, 2);
  assert.equal(table.getChild('text')?.get(0), 'surgery');
  assert.equal(table.getChild('big')?.get(1), 2n);
  assert.equal(table.schema.toString(), arrowSchema(ALL_TYPES).toString());
});

test('the schema of FlightInfo is an encapsulated message of the same schema, and survives the API', () => {
  const bytes = encapsulatedSchema(ALL_TYPES);
  assert.equal(bytes.length % 8, 0);
  const reader = RecordBatchReader.from(Buffer.concat([bytes, Buffer.from('ffffffff00000000', 'hex')])).open();
  assert.equal(reader.schema.toString(), arrowSchema(ALL_TYPES).toString());
  assert.deepEqual(schemaOf(resultColumns(ALL_TYPES)), ALL_TYPES);
});

test('a damaged frame is a RangeError or an error of the reader, never a hang', () => {
  const batch = batchFromRows(ALL_TYPES, [[true, 1, 1n, 0.5, 1n, 'x', 0, 0n]]);
  const [good] = [...batchFrames(ALL_TYPES, batch)];
  assert.ok(good !== undefined);
  for (let at = 0; at < Math.min(good.length, 64); at++) {
    for (const bytes of [
      good.subarray(0, at),
      Buffer.concat([good.subarray(0, at), Buffer.of(0xff), good.subarray(at + 1)]),
    ]) {
      const reader = new FlightReader();
      reader.read(schemaFrame(ALL_TYPES));
      try {
        reader.read(bytes);
      } catch (thrown) {
        assert.ok(thrown instanceof Error);
      }
    }
  }
});

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fc } from '../property.ts';
import {
  assignBlocks,
  blockGrid,
  decodeBlock,
  lostBlock,
  meansOfBlocks,
  partition,
  recommendBlocks,
  summariseBlocks,
} from '../../runtime/sandbox/javascript/blocks.ts';
import type { BlockOutput } from '../../runtime/sandbox/javascript/blocks.ts';
import {
  batchPieces,
  encodeBatch,
  encodeParts,
  layoutOf,
  wireKinds,
} from '../../runtime/sandbox/javascript/columns.ts';
import type { ColumnBatch, ColumnSpec } from '../../runtime/sandbox/javascript/columns.ts';
import { blockAnswerMs, quantisedAnswerMs } from '../../runtime/sandbox/javascript/prepared.ts';
import { decodeGroupTable } from '../../runtime/sandbox/javascript/table.ts';
import { decodePrepared } from '../../runtime/sandbox/javascript/worker-link.ts';

const outputs: readonly BlockOutput[] = [
  { name: 'a', range: [-1, 1], step: 0.25, default: 0.5 },
  { name: 'b', range: [0, 10], default: 10 },
];

function answer(status: number, ...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(1 + 8 * values.length);
  bytes[0] = status;
  bytes.set(new Uint8Array(Float64Array.from(values).buffer), 1);
  return bytes;
}

suite('block values', () => {
  test('are integers of the declared grid, whatever bytes a worker sends', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 40 }), (bytes) => {
        const block = decodeBlock(bytes, outputs);
        if (bytes.length !== 17) assert.equal(block, undefined);
        block?.integers.forEach((each, i) =>
          assert.ok(Number.isInteger(each) && each >= 0 && each <= blockGrid(outputs[i]!).high && !Object.is(each, -0)),
        );
      }),
    );
  });

  test('NaN payloads, signs of zero and low bits are gone', () => {
    assert.deepEqual(decodeBlock(answer(1, -0, 3), outputs)?.integers[0], 4);
    assert.deepEqual(
      decodeBlock(answer(1, 0.25 + 1e-12, 3), outputs),
      decodeBlock(answer(1, 0.25 - 1e-12, 3), outputs),
    );
    const payload = answer(1, 0, 0);
    payload.set([1, 2, 3, 4, 5, 6, 0xf8, 0x7f], 1);
    assert.deepEqual(decodeBlock(payload, outputs), { status: 'wrongType', integers: [6, 0] });
    for (const status of [0, 2, 3, 4, 5, 6, 7])
      assert.deepEqual(decodeBlock(answer(status, 1, 1), outputs)?.integers, lostBlock(outputs).integers);
    for (const status of [8, 9, 255]) assert.equal(decodeBlock(answer(status, 1, 1), outputs), undefined);
  });

  test('one block moves the sums by no more than the stated sensitivity', () => {
    const value = fc.double({ noDefaultInfinity: false });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(value, value), { minLength: 1, maxLength: 8 }),
        fc.tuple(value, value),
        (all, other) => {
          const decode = (pair: readonly number[]) => decodeBlock(answer(1, ...pair), outputs)!;
          const one = summariseBlocks(outputs, all.map(decode));
          const two = summariseBlocks(outputs, [decode(other), ...all.slice(1).map(decode)]);
          const moved = one.sums.map((sum, i) => (sum > two.sums[i]! ? sum - two.sums[i]! : two.sums[i]! - sum));
          moved.forEach((each, i) => assert.ok(each <= one.sensitivity.perCell[i]!));
          assert.ok(moved.reduce((sum, each) => sum + each, 0n) <= one.sensitivity.l1);
          assert.ok(moved.reduce((sum, each) => sum + each * each, 0n) <= one.sensitivity.l2Squared);
        },
      ),
    );
    assert.deepEqual(meansOfBlocks(outputs, [8n, 0n], 2), [0, 0]);
  });
});

suite('blocks of units', () => {
  test('assignment is even, keyed and stable, and all rows of a unit share a block', () => {
    const key = new Uint8Array(32).fill(1);
    const assigned = assignBlocks(key, 100_000, 10);
    const counts = Array.from({ length: 10 }, (_, b) => assigned.filter((each) => each === b).length);
    counts.forEach((count) => assert.ok(Math.abs(count - 10_000) < 500, `${count}`));
    assert.deepEqual(assignBlocks(key, 100, 10), assigned.subarray(0, 100));
    assert.notDeepEqual(assignBlocks(new Uint8Array(32).fill(2), 100, 10), assigned.subarray(0, 100));
    assert.throws(() => assignBlocks(new Uint8Array(8), 1, 1), /16 bytes/);
  });

  test('partition keeps every row once, in order within its block', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 50 }),
        fc.integer({ min: 1, max: 5 }),
        (units, blocks) => {
          const batch: ColumnBatch = {
            rows: units.length,
            columns: [{ values: Float64Array.from(units, (_, i) => i) }],
            unit: Int32Array.from(units),
          };
          const assigned = assignBlocks(new Uint8Array(16), 10, blocks);
          const parts = partition([batch], assigned, blocks);
          const rows = parts.map((part) => [...(part[0]?.pick ?? [])]);
          assert.deepEqual(
            rows.flat().toSorted((a, b) => a - b),
            units.map((_, i) => i),
          );
          rows.forEach((picked, b) => {
            assert.deepEqual(
              picked,
              picked.toSorted((p, q) => p - q),
            );
            picked.forEach((i) => assert.equal(assigned[units[i]!], b));
          });
        },
      ),
    );
  });

  test('advice and answer times come from declared numbers', () => {
    const advice = recommendBlocks({ units: 100_000, epsilon: 1, outputs });
    assert.ok(advice.blocks > 300 && advice.blocks < 1000 && advice.unitsPerBlock >= 30);
    assert.equal(recommendBlocks({ units: 10, epsilon: 1, outputs }).blocks, 1);
    assert.equal(blockAnswerMs({ blocks: 9, timeoutMs: 700, lanes: 2 }), 5000);
    assert.deepEqual(
      [1, 250, 251, 600].map((ms) => quantisedAnswerMs(ms)),
      [250, 250, 500, 1000],
    );
  });
});

suite('columns', () => {
  test('travel with missing values in band, at places both sides compute', () => {
    const specs: readonly ColumnSpec[] = [
      { name: 'f', kind: 'float64', isNullable: true },
      { name: 'i', kind: 'int32', isNullable: true },
      { name: 'd', kind: 'dictionary', isNullable: true },
      { name: 'b', kind: 'boolean', isNullable: true },
      { name: 'n', kind: 'int32', isNullable: false },
      { name: 'l', kind: 'float64', isNullable: false },
    ];
    const validity = Uint8Array.of(1, 0, 1);
    const batch: ColumnBatch = {
      rows: 3,
      columns: [
        { values: Float64Array.of(1.5, 9, 2), validity },
        { values: Int32Array.of(1, 9, 2), validity },
        { values: Int32Array.of(0, 9, 1), validity },
        { values: Uint8Array.of(1, 1, 0), validity },
        { values: Int32Array.of(7, 8, 9) },
        { values: BigInt64Array.of(1n, -2n, 3n) },
      ],
      unit: Int32Array.of(5, 6, 7),
    };
    const read = (bytes: Uint8Array<ArrayBuffer>, rows: number): unknown[][] => {
      const arrays = { float64: Float64Array, int32: Int32Array, dictionary: Int32Array, boolean: Int8Array };
      return layoutOf(wireKinds(specs, true), rows).places.map(({ kind, offset }) => [
        ...new arrays[kind](bytes.buffer, offset, rows),
      ]);
    };
    assert.deepEqual(read(encodeBatch(specs, batch, true), 3), [
      [1.5, Number.NaN, 2],
      [1, Number.NaN, 2],
      [0, -1, 1],
      [1, -1, 0],
      [7, 8, 9],
      [1, -2, 3],
      [5, 6, 7],
    ]);
    const parts = [
      { batch, pick: Int32Array.of(2) },
      { batch, pick: Int32Array.of() },
      { batch, pick: Int32Array.of(1, 0) },
    ];
    assert.deepEqual(read(encodeParts(specs, parts, true), 3), [
      [2, Number.NaN, 1.5],
      [2, Number.NaN, 1],
      [1, -1, 0],
      [0, -1, 1],
      [9, 8, 7],
      [3, -2, 1],
      [7, 6, 5],
    ]);
    const inPieces = batchPieces(specs, true);
    for (let again = 0; again < 2; again++) {
      const bytes = new Uint8Array(Buffer.concat([...inPieces([batch])]));
      assert.deepEqual(bytes, encodeBatch(specs, batch, true));
    }
    const stored = { ...batch, columns: batch.columns.map(({ values }) => ({ values })) };
    assert.deepEqual(new Uint8Array(Buffer.concat([...inPieces([stored])])), encodeBatch(specs, stored, true));
    const parted = new Uint8Array(Buffer.concat([...inPieces([batch, stored, batch])]));
    assert.deepEqual(parted, encodeParts(specs, [{ batch }, { batch: stored }, { batch }], true));
    const views = batchPieces([{ name: 'x', kind: 'float64', isNullable: true }], false);
    const values = new Float64Array([1, 2, 3, 4]).subarray(1, 3);
    const [piece] = views([{ rows: 2, columns: [{ values }] }]);
    assert.ok(
      piece?.buffer === values.buffer && piece.byteOffset === 8,
      'a column that lies as it travels is not copied',
    );
    assert.throws(() => views([{ rows: 3, columns: [{ values }] }]), RangeError);
    assert.throws(() => inPieces([{ ...batch, columns: [] }]), RangeError);
    assert.throws(() => inPieces([{ rows: 3, columns: batch.columns }]), RangeError);
    assert.throws(() => encodeBatch(specs, { ...batch, columns: [] }), RangeError);
    assert.throws(() => encodeBatch(specs, { ...batch, rows: 4 }), RangeError);
  });
});

suite('tables of approved code', () => {
  const columns = [
    { name: 'n', kind: 'int32', maxBytes: 0 },
    { name: 't', kind: 'text', maxBytes: 4 },
    { name: 'f', kind: 'float64', maxBytes: 0 },
    { name: 'b', kind: 'boolean', maxBytes: 0 },
  ] as const;
  const good = Uint8Array.of(
    1,
    1,
    0,
    0,
    0,
    1,
    7,
    0,
    0,
    0,
    1,
    2,
    0,
    0,
    0,
    0xc3,
    0xa9,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0x80,
    0,
    0,
  );

  test('are read strictly: any other byte sequence is no table', () => {
    assert.deepEqual(decodeGroupTable(good, columns), { status: 'ok', rows: [[7, 'é', 0, null]] });
    for (let size = 1; size < good.length; size++)
      assert.equal(decodeGroupTable(good.subarray(0, size), columns), undefined);
    assert.equal(decodeGroupTable(Uint8Array.of(...good, 0), columns), undefined);
    const changed = (at: number, ...bytes: number[]): Uint8Array => {
      const copy = good.slice();
      copy.set(bytes, at);
      return copy;
    };
    for (const bad of [
      changed(0, 8),
      changed(1, 2),
      changed(1, 0),
      changed(5, 2),
      changed(11, 5),
      changed(11, 255, 255, 255, 255),
      changed(15, 0xff),
      changed(good.length - 1, 2),
      Uint8Array.of(2, 0),
      Uint8Array.of(),
    ]) {
      assert.equal(decodeGroupTable(bad, columns), undefined);
    }
    assert.deepEqual(decodeGroupTable(Uint8Array.of(4), columns), { status: 'threw', rows: [] });
    assert.equal(decodeGroupTable(good, columns, 0), undefined);
  });

  test('survive any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const table = decodeGroupTable(Uint8Array.of(1, ...bytes), columns);
        table?.rows.forEach((row) => assert.equal(row.length, columns.length));
      }),
    );
  });
});

test('an answer about a source is read strictly', () => {
  const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const face = { columns: [], parameters: [], outputs: 1 };
  assert.deepEqual(decodePrepared(bytes({ kind: 'program', factory: '(function(){})' }), undefined), {
    kind: 'program',
    factory: '(function(){})',
  });
  for (const bad of [
    {},
    [],
    'x',
    { kind: 'program' },
    { kind: 'program', factory: 1 },
    { kind: 'program', factory: 'x'.repeat(300_000) },
    { kind: 'rowFunction', program: {} },
  ]) {
    assert.equal(decodePrepared(bytes(bad), undefined), undefined);
    assert.equal(decodePrepared(bytes(bad), face), undefined);
  }
  assert.equal(decodePrepared(Uint8Array.of(0xff), face), undefined);
  assert.deepEqual(decodePrepared(bytes({ kind: 'refused', reasons: [{ line: 'x', message: 'm' }, null] }), face), {
    kind: 'refused',
    reasons: [
      { line: 1, column: 1, message: 'm' },
      { line: 1, column: 1, message: 'the source was refused' },
    ],
  });
});

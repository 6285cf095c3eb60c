import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { canonicalBatch } from '../../runtime/release/canonical-columns.ts';
import { batchFromRows, rowsOf, type Cell } from '../../runtime/release/column-values.ts';
import {
  checkBatch,
  checkSchema,
  DEFAULT_COLUMN_LIMITS,
  type ColumnBatch,
  type ColumnData,
  type ColumnType,
  type Schema,
} from '../../runtime/release/columns.ts';

const column = (name: string, type: ColumnType, nullable = true) => ({ name, type, nullable });

const EVERY_TYPE: Schema = [
  column('b', { kind: 'bool' }),
  column('i', { kind: 'int32' }),
  column('l', { kind: 'int64' }),
  column('f', { kind: 'float64' }),
  column('m', { kind: 'decimal128', precision: 38, scale: 2 }),
  column('t', { kind: 'utf8' }),
  column('d', { kind: 'date32' }),
  column('s', { kind: 'timestampMicros' }),
];

const DECIMAL_LIMIT = 10n ** 38n - 1n;
const MAX_MICROS = 250_000_000_000_000_000n;
const row: fc.Arbitrary<Cell[]> = fc.tuple(
  fc.option(fc.boolean()),
  fc.option(fc.integer()),
  fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0)),
  fc.option(fc.bigInt({ min: -DECIMAL_LIMIT, max: DECIMAL_LIMIT })),
  fc.option(fc.string({ unit: 'grapheme' })),
  fc.option(fc.integer({ min: -700_000, max: 2_900_000 })),
  fc.option(fc.bigInt({ min: -60_000_000_000_000_000n, max: MAX_MICROS })),
);

const TEXT: Schema = [column('t', { kind: 'utf8' })];
const DOUBLES: Schema = [column('f', { kind: 'float64' })];
const text = (values: Uint8Array, offsets: number[], validity: Uint8Array | null = null): ColumnBatch => ({
  rowCount: offsets.length - 1,
  columns: [{ validity, values, offsets: Int32Array.from(offsets) }],
});
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

function problem(schema: Schema, batch: ColumnBatch): string {
  const check = checkBatch(schema, batch);
  return check.kind === 'bad' ? check.problem : 'ok';
}

describe('column batches', () => {
  it('rows of every type come back as they went in, and the batch passes the check', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 20 }), (rows) => {
        const batch = batchFromRows(EVERY_TYPE, rows);
        assert.deepEqual(checkBatch(EVERY_TYPE, batch), { kind: 'ok' });
        assert.deepEqual(rowsOf(EVERY_TYPE, batch), rows);
        assert.deepEqual(canonicalBatch(EVERY_TYPE, batch), batch);
      }),
    );
  });

  it('a damaged buffer is refused or becomes canonical, and never throws', () => {
    const any = fc.tuple(
      fc.array(row, { minLength: 1, maxLength: 9 }),
      fc.nat({ max: EVERY_TYPE.length - 1 }),
      fc.constantFrom('values', 'validity', 'offsets', 'shorter', 'longer'),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
    );
    fc.assert(
      fc.property(any, ([rows, index, where, at, flip]) => {
        const batch = batchFromRows(EVERY_TYPE, rows);
        const columns = batch.columns.map((data, i) => (i === index ? damaged(data, where, at, flip) : data));
        const hurt = { ...batch, columns };
        if (checkBatch(EVERY_TYPE, hurt).kind === 'bad') return;
        const canonical = canonicalBatch(EVERY_TYPE, hurt);
        assert.deepEqual(checkBatch(EVERY_TYPE, canonical), { kind: 'ok' });
        assert.deepEqual(canonicalBatch(EVERY_TYPE, canonical), canonical);
      }),
      { numRuns: 500 },
    );
  });

  it('bytes under nulls, padding bits, NaN payloads and the sign of zero do not survive', () => {
    const hidden: ColumnBatch = {
      rowCount: 3,
      columns: [
        { validity: Uint8Array.of(0b1111_1100), values: new Uint8Array(24).fill(0xff), offsets: null }, // the third is NaN
      ],
    };
    assert.deepEqual(canonicalBatch(DOUBLES, hidden), batchFromRows(DOUBLES, [[null], [null], [null]]));
    const flags: Schema = [column('b', { kind: 'bool' }, false)];
    const padded: ColumnBatch = {
      rowCount: 2,
      columns: [{ validity: null, values: Uint8Array.of(0b1010_1001), offsets: null }],
    };
    assert.deepEqual([...(canonicalBatch(flags, padded).columns[0]?.values ?? [])], [0b01]);
    const zero = batchFromRows(DOUBLES, [[0]]);
    zero.columns[0]?.values.set([0x80], 7);
    assert.deepEqual(canonicalBatch(DOUBLES, zero), batchFromRows(DOUBLES, [[0]]));
    const smuggled = text(bytes('secretok'), [0, 6, 8], Uint8Array.of(0b10));
    assert.deepEqual(canonicalBatch(TEXT, smuggled), batchFromRows(TEXT, [[null], ['ok']]));
  });

  it('infinite numbers, dates and timestamps become null', () => {
    const rows: Cell[][] = [[null, null, null, Infinity, null, null, 2_147_483_647, 2n ** 63n - 1n]];
    assert.deepEqual(rowsOf(EVERY_TYPE, canonicalBatch(EVERY_TYPE, batchFromRows(EVERY_TYPE, rows))), [
      Array.from({ length: 8 }, () => null),
    ]);
  });

  it('text offsets that decrease, leave bytes over, run past the end or cut a character are refused', () => {
    assert.equal(problem(TEXT, text(bytes('abc'), [0, 2, 1])), 'column 0: the last offset is not the number of bytes');
    assert.equal(problem(TEXT, text(bytes('abc'), [0, 3, 2, 3])), 'column 0: the offsets decrease');
    assert.equal(problem(TEXT, text(bytes('abc'), [1, 3])), 'column 0: the first offset is not zero');
    assert.equal(problem(TEXT, text(bytes('abc'), [0, 99])), 'column 0: the last offset is not the number of bytes');
    assert.equal(problem(TEXT, text(bytes('é'), [0, 1, 2])), 'column 0: an offset cuts a character');
    assert.equal(problem(TEXT, text(Uint8Array.of(0xff), [0, 1])), 'column 0: the text is not valid UTF-8');
    assert.equal(problem(TEXT, text(Uint8Array.of(0xed, 0xa0, 0x80), [0, 3])), 'column 0: the text is not valid UTF-8');
  });

  it('a row count that is negative, fractional, huge or disagrees with the buffers is refused', () => {
    const batch = batchFromRows(DOUBLES, [[1], [2]]);
    for (const rowCount of [-1, 0.5, Number.NaN, DEFAULT_COLUMN_LIMITS.maxRowsPerBatch + 1, 1, 3]) {
      assert.equal(checkBatch(DOUBLES, { ...batch, rowCount }).kind, 'bad', `row count ${rowCount}`);
    }
  });

  it('a null in a column that is not nullable is refused', () => {
    const strict: Schema = [column('f', { kind: 'float64' }, false)];
    assert.equal(
      problem(strict, batchFromRows(strict, [[null]])),
      'column 0: a column that is not nullable has a null',
    );
  });

  it('a decimal beyond its precision is refused', () => {
    const wide: Schema = [column('m', { kind: 'decimal128', precision: 38, scale: 0 })];
    const narrow: Schema = [column('m', { kind: 'decimal128', precision: 4, scale: 0 })];
    assert.equal(problem(narrow, batchFromRows(wide, [[10_000n]])), 'column 0: a decimal exceeds its precision');
    assert.equal(problem(narrow, batchFromRows(wide, [[-9_999n]])), 'ok');
  });

  it('schemas with unknown types, repeated or unprintable names are refused', () => {
    const refused: unknown[] = [
      [],
      [column('a', { kind: 'int32' }), column('a', { kind: 'int32' })],
      [column('', { kind: 'int32' })],
      [column('line\nbreak', { kind: 'int32' })],
      [column('right\u202eleft', { kind: 'int32' })],
      [{ name: 'a', type: { kind: 'blob' }, nullable: true }],
      [{ name: 'a', type: null, nullable: true }],
      [column('a', { kind: 'decimal128', precision: 39, scale: 0 })],
      [null],
      'a',
    ];
    for (const schema of refused) assert.equal(checkSchema(schema as Schema).kind, 'bad', JSON.stringify(schema));
    assert.equal(checkSchema(EVERY_TYPE).kind, 'ok');
  });
});

function damaged(data: ColumnData, where: string, at: number, flip: number): ColumnData {
  const flipped = (buffer: Uint8Array): Uint8Array =>
    buffer.map((byte, i) => (i === at % buffer.length ? byte ^ flip : byte));
  switch (where) {
    case 'values':
      return { ...data, values: flipped(data.values) };
    case 'validity':
      return { ...data, validity: flipped(data.validity ?? Uint8Array.of(0xff, 0xff)) };
    case 'offsets':
      return { ...data, offsets: data.offsets?.map((value, i) => (i === at % 3 ? value + flip : value)) ?? null };
    case 'shorter':
      return { ...data, values: data.values.slice(1) };
    default:
      return { ...data, values: Uint8Array.of(...data.values, 0) };
  }
}

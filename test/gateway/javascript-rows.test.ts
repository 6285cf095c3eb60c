import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { WorkerFault } from '../../runtime/dataset/worker-link.ts';
import { decodeRows } from '../../runtime/gateway/javascript/row-batches.ts';
import { statementsOf } from '../../runtime/gateway/javascript/row-statements.ts';
import type { ReadColumn } from '../../runtime/gateway/javascript/row-request.ts';

const column = (name: string, kind: ReadColumn['kind'], isNullable = true): ReadColumn => ({
  name,
  kind,
  isNullable,
  type: { kind: 'double' },
  texts: [],
  other: 'missing',
});
const table = { physical: '"d0"."t"', rowCount: 100n, units: [{ hash: '__gb_u0' }] };
const whole = { first: 0, end: 1, of: 1 };

test('rows without numbers of units are bounded by their rank, and nothing is joined, sorted or kept', () => {
  const request = { table, columns: [column('x', 'float64')], rowsPerUnit: 3, isSorted: false, isNumbered: false };
  const { setup, result, outputs } = statementsOf(request, whole);
  assert.deepEqual(setup, []);
  assert.match(result, /WHERE t\."?__gb_rank"? < 3$/);
  assert.doesNotMatch(result, /JOIN|ORDER|__gb_u0/);
  assert.equal(outputs.length, 1);
});

test('rows that say whose they are get a number of the unit, never its hash', () => {
  const request = { table, columns: [column('x', 'float64')], rowsPerUnit: 3, isSorted: true, isNumbered: true };
  const { setup, result, outputs } = statementsOf(request, whole);
  assert.equal(setup.length, 1);
  assert.match(result, /^SELECT CAST\(t\."?x"? AS DOUBLE\) AS c0, units\.n AS u FROM/);
  assert.equal(outputs.length, 2);
});

test('a batch is read as it was sent, wherever its bytes lie, with missing values in band', () => {
  const kinds = ['float64', 'int32', 'dictionary', 'boolean'] as const;
  const columns = kinds.map((kind, i) => column(`c${i}`, kind));
  const value = fc.record({ number: fc.integer({ min: -1000, max: 1000 }), isThere: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(value, { maxLength: 40 }),
      fc.integer({ min: 0, max: 9 }),
      fc.boolean(),
      fc.boolean(),
      (cells, shift, isNumbered, isAllThere) => {
        const rows = cells.length;
        const there = cells.map(({ isThere }) => isThere || isAllThere);
        const moved = (bytes: Uint8Array): Uint8Array => {
          const room = new Uint8Array(bytes.byteLength + shift);
          room.set(bytes, shift);
          return room.subarray(shift);
        };
        const bits = (flags: readonly boolean[]): Uint8Array => {
          const bytes = new Uint8Array(Math.ceil(flags.length / 8));
          flags.forEach((flag, i) => (bytes[i >> 3] = (bytes[i >> 3] ?? 0) | (Number(flag) << (i & 7))));
          return bytes;
        };
        const numbers = cells.map(({ number }) => number);
        const stored = [
          new Uint8Array(Float64Array.from(numbers).buffer),
          new Uint8Array(Int32Array.from(numbers).buffer),
          new Uint8Array(Int32Array.from(numbers, Math.abs).buffer),
          bits(numbers.map((number) => number > 0)),
        ];
        const batch = {
          rowCount: rows,
          columns: stored.map((values) => ({
            validity: there.every(Boolean) ? null : bits(there),
            offsets: null,
            values: moved(values),
          })),
        };
        const read = decodeRows(batch, { columns, isNumbered }, 5);
        const expected = [
          numbers.map((number, i) => (there[i] === true ? number : Number.NaN)),
          numbers.map((number, i) => (there[i] === true ? number : Number.NaN)),
          numbers.map((number, i) => (there[i] === true ? Math.abs(number) : -1)),
          numbers.map((number, i) => (there[i] === true ? Number(number > 0) : -1)),
        ];
        assert.deepEqual(
          read.columns.map(({ values }) => [...values].map(Number)),
          expected,
        );
        assert.deepEqual(read.unit && [...read.unit], isNumbered ? numbers.map((_, i) => 5 + i) : undefined);
      },
    ),
    { numRuns: 60 },
  );
});

test('a batch that is not what was asked for is a fault of the worker', () => {
  const columns = [column('x', 'float64')];
  const short = { rowCount: 2, columns: [{ validity: null, offsets: null, values: new Uint8Array(8) }] };
  assert.throws(() => decodeRows(short, { columns, isNumbered: false }, 0), WorkerFault);
  assert.throws(() => decodeRows({ ...short, columns: [] }, { columns, isNumbered: false }, 0), WorkerFault);
  assert.throws(() => decodeRows({ ...short, rowCount: 2 ** 21 }, { columns, isNumbered: false }, 0), WorkerFault);
});

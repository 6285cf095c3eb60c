import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { publicRows, ROW_STEP } from '../../runtime/metering/public-figures.ts';

test('a figure of rows is never below the count, and within a tenth of it or a step', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 ** 12 }), fc.integer({ min: 0, max: 90 }), (rows, minUnits) => {
      const told = publicRows(rows, minUnits);
      assert.ok(told >= rows);
      assert.ok(told - rows < Math.max(ROW_STEP, rows / 10));
    }),
  );
});

test('one person more or less changes the figure of a small table only at its thousands', () => {
  const figures = new Set(Array.from({ length: 1000 }, (_, rows) => publicRows(rows + 1, 10)));
  assert.deepEqual([...figures], [1000]);
  assert.equal(publicRows(0, 10), 0);
});

test('steps are never finer than ten times the smallest group', () => {
  assert.equal(publicRows(1, 150), 10_000);
  assert.equal(publicRows(12_345, 10), 13_000);
  assert.equal(publicRows(1_234_567, 10), 1_300_000);
});

test('a figure tells the same when it is made twice', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (rows) => {
      const told = publicRows(rows, null);
      assert.equal(publicRows(told, null), told);
    }),
  );
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { Histories, unpacked } from '../../runtime/job/histories.ts';
import { judgeCells } from '../../runtime/release/judge-cells.ts';
import { LaneGuard, type LaneRow, LANES, lanesOf, LANE_WORDS, MAX_LANE_UNITS } from '../../runtime/release/lanes.ts';
import { differenceOf, rowsIn, shapeFor, sumOf } from '../../runtime/release/sketch.ts';

const digests = new Map<string, bigint>();
function digest(text: string): bigint {
  const known = digests.get(text) ?? createHash('sha256').update(text).digest().readBigUInt64LE(0);
  digests.set(text, known);
  return known;
}
/** A row of a unit, told from its other rows. */
const row = (unit: number, of = 0): LaneRow => ({
  lane: Number(digest(`u${unit}`) % BigInt(LANES)),
  tag: digest(`r${unit}.${of}`),
});
const rows = (units: readonly number[], perUnit = 1): LaneRow[] =>
  units.flatMap((unit) => Array.from({ length: 1 + (unit % perUnit) }, (_, of) => row(unit, of)));
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('sketches by lanes', () => {
  it('never let a cell through that differs by fewer units than the minimum, however many others there are', () => {
    const cases = fc.record({
      minUnits: fc.integer({ min: 2, max: MAX_LANE_UNITS }),
      size: fc.integer({ min: 1, max: 150 }),
      gone: fc.nat({ max: MAX_LANE_UNITS }),
      come: fc.nat({ max: MAX_LANE_UNITS }),
      perUnit: fc.integer({ min: 1, max: 4 }),
      seed: fc.nat({ max: 1000 }),
      others: fc.integer({ min: 0, max: 12 }),
    });
    fc.assert(
      fc.property(cases, ({ minUnits, size, gone, come, perUnit, seed, others }) => {
        const out = Math.min(gone, minUnits - 1, size);
        const into = Math.min(come, minUnits - 1 - out);
        const guard = new LaneGuard(1, minUnits);
        for (let i = 1; i <= others; i++) guard.remember(lanesOf(rows(range(i * 10_000, i * 10_000 + 80))));
        guard.remember(lanesOf(rows(range(seed, seed + size), perUnit)));
        const near = lanesOf(rows(range(seed + out, seed + size + into), perUnit));
        const verdict = guard.compare(near, minUnits);
        if (out + into > 0) assert.equal(verdict, 'tooClose');
        // A minimum near the most that lanes can watch may find a stranger too close, never overlook a friend.
        else assert.notEqual(verdict, 'clear');
      }),
      { numRuns: 100 },
    );
  });

  it('look at few of many earlier cells and miss none of them', () => {
    const guard = new LaneGuard(10, 10);
    for (let i = 0; i < 600; i++) guard.remember(lanesOf(rows(range(i * 10, i * 10 + 10))));
    for (const i of [0, 1, 300, 599]) {
      assert.equal(guard.compare(lanesOf(rows(range(i * 10, i * 10 + 10)))), 'tooClose', 'small cells are alike');
      assert.equal(guard.compare(lanesOf(rows(range(i * 10 + 1, i * 10 + 10)))), 'tooClose');
    }
    assert.equal(guard.compare(lanesOf(rows(range(50_000, 51_000)))), 'clear');
  });

  it('let cells through that differ by some more units than the minimum', () => {
    const guard = new LaneGuard(10, 10);
    guard.remember(lanesOf(rows(range(0, 5000))));
    const clear = (more: number): number =>
      range(1, 101).filter(
        (i) =>
          guard.compare(lanesOf([...rows(range(0, 5000)), ...rows(range(i * 10_000, i * 10_000 + more))])) === 'clear',
      ).length;
    assert.ok(clear(16) > 20 && clear(32) > 95, `${clear(16)} and ${clear(32)} of 100`);
  });

  it('tell rows of the same people apart, and the same rows from the same', () => {
    const guard = new LaneGuard(10, 10);
    const january = rows(range(0, 300));
    guard.remember(lanesOf(january));
    assert.equal(guard.compare(lanesOf(january.toReversed())), 'same');
    assert.equal(guard.compare(lanesOf(range(0, 300).map((unit) => row(unit, 1)))), 'clear');
    assert.equal(guard.compare(lanesOf([row(0, 1), ...january.slice(1)])), 'tooClose', 'one row of one person');
  });

  it('add up and subtract', () => {
    const [a, b] = [rows(range(0, 40), 3), rows(range(40, 90), 2)];
    assert.deepEqual(sumOf(lanesOf(a), lanesOf(b)), lanesOf([...a, ...b]));
    assert.deepEqual(differenceOf(lanesOf([...a, ...b]), lanesOf(b)), lanesOf(a));
    assert.equal(rowsIn(lanesOf(a), shapeFor(10)), a.length);
  });

  it('do not take a row that stands in three summed cells for one that stands in one', () => {
    const base = rows(range(0, 40));
    const guard = new LaneGuard(10, 10);
    guard.remember(lanesOf(base));
    assert.equal(guard.compare(lanesOf([...base, row(7), row(7)])), 'tooClose');
  });

  it('hide the smallest part when a small part was left out of a total', () => {
    const cell = (units: readonly number[]) => lanesOf(rows(units));
    const series = (groups: readonly (readonly number[])[]) => [
      { label: 'l', groups: groups.map((units, i) => ({ id: i + 1, places: [i + 1], sketch: cell(units) })) },
    ];
    const { hidden, shown } = judgeCells(
      { minUnits: 4, shape: shapeFor(4) },
      [series([range(0, 303)]), series([range(0, 150), range(150, 220), range(220, 300)])],
      [],
    );
    assert.deepEqual(
      hidden.map((one) => [...one]),
      [[], [2]],
    );
    assert.ok(shown.every(({ sketch }) => sketch.length === LANE_WORDS));
  });

  it('are stored beside sketches of other forms and read again; damaged ones are refused', async () => {
    const cells = [
      { label: 'a', sketch: lanesOf(rows([1, 2])) },
      { label: 'b', sketch: new Uint32Array(3 * 16 * 7).fill(7) },
      { label: 'c', sketch: lanesOf(rows([3])) },
    ];
    const { records } = await new Histories(() => Promise.resolve([])).judge(['o'], 16, () => ({ shown: cells }));
    const [record] = records;
    assert.ok(record !== undefined);
    assert.deepEqual(unpacked(record), cells);
    assert.throws(() => unpacked({ ...record, bytes: record.bytes.subarray(4) }), RangeError);
    // Sketches of seven words are of former versions: they are forgotten, and no damage.
    const former = { label: 'd', cells: 2, words: 7 };
    const longer = {
      ...record,
      body: { ...record.body, labels: [...record.body.labels, former] },
      bytes: Uint8Array.from([...record.bytes, ...new Uint8Array(2 * 7 * 4).fill(9)]),
    };
    assert.deepEqual(unpacked(longer), cells);
    const labels = record.body.labels.map((one) => ({ ...one, words: 8 }));
    assert.throws(() => unpacked({ ...record, body: { ...record.body, labels } }), RangeError);
  });

  it('promise of a larger minimum what they can watch, and refuse what is no such sketch', () => {
    const guard = new LaneGuard(10, 10);
    guard.remember(lanesOf(rows(range(0, 500))));
    assert.equal(guard.compare(lanesOf(rows(range(0, 501))), MAX_LANE_UNITS + 1), 'tooClose');
    assert.equal(guard.compare(lanesOf(rows(range(0, 900))), 64), 'clear');
    assert.throws(() => guard.compare(new Uint32Array(8)), RangeError);
    assert.throws(() => guard.remember(new Uint32Array(6)), RangeError);
  });
});

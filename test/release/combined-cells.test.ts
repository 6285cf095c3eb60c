import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { CombinedCells, MAX_QUADRUPLES } from '../../runtime/release/combined-cells.ts';
import { judgeCells } from '../../runtime/release/judge-cells.ts';
import { LANES, lanesOf } from '../../runtime/release/lanes.ts';
import { shapeFor, sketchOf } from '../../runtime/release/sketch.ts';
import type { Sketch } from '../../runtime/release/cell-guard.ts';
import { fc } from '../property.ts';

const MIN_UNITS = 5;
const SHAPE = shapeFor(MIN_UNITS);

const numberOf = (text: string): bigint => createHash('sha256').update(text).digest().readBigUInt64BE();
/** Row 0, 1, 2 … of units, one row each. */
const cell = (units: readonly number[]): Sketch =>
  sketchOf(
    SHAPE,
    units.map((unit) => ({ hash: numberOf(`unit ${unit}`), tag: numberOf(`row ${unit}`) })),
  );
const lanes = (units: readonly number[]): Sketch =>
  lanesOf(
    units.map((unit) => ({ lane: Number(numberOf(`unit ${unit}`) % BigInt(LANES)), tag: numberOf(`row ${unit}`) })),
  );
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

function remembering(cells: readonly Sketch[]): CombinedCells {
  const known = new CombinedCells(MIN_UNITS, SHAPE);
  for (const one of cells) known.remember(one);
  return known;
}

describe('cells of one answer together', () => {
  it('are too close when the last part of a total leaves few of it, in whatever order they come', () => {
    const parts = fc.record({
      sizes: fc.array(fc.integer({ min: 6, max: 30 }), { minLength: 2, maxLength: 6 }),
      few: fc.integer({ min: 1, max: MIN_UNITS - 1 }),
      turn: fc.nat(),
    });
    fc.assert(
      fc.property(parts, ({ sizes, few, turn }) => {
        const ends = sizes.map((_, i) => sizes.slice(0, i + 1).reduce((sum, size) => sum + size, 0));
        const all = ends.at(-1) ?? 0;
        const cells = [cell(range(0, all + few)), ...ends.map((end, i) => cell(range(end - (sizes[i] ?? 0), end)))];
        const from = turn % cells.length;
        const turned = [...cells.slice(from), ...cells.slice(0, from)];
        assert.equal(remembering(turned.slice(0, -1)).compare(turned.at(-1) ?? cell([])), 'tooClose');
      }),
      { numRuns: 60 },
    );
  });

  it('are not where nothing is left, or many are', () => {
    for (const rest of [0, 20]) {
      const cells = [cell(range(0, 60 + rest)), cell(range(0, 20)), cell(range(20, 40))];
      assert.notEqual(remembering(cells).compare(cell(range(40, 60))), 'tooClose');
    }
  });

  it('are too close when two overlap the other two but for few', () => {
    // a and b against c and d: (0..40, 40..80) and (0..30, 30..83) with nothing else between them.
    const known = remembering([cell(range(0, 40)), cell(range(40, 80)), cell(range(0, 30))]);
    assert.equal(known.compare(cell(range(30, 83))), 'tooClose');
    const inLanes = new CombinedCells(MIN_UNITS, SHAPE);
    for (const one of [range(0, 400), range(0, 200)]) inLanes.remember(lanes(one));
    assert.equal(inLanes.compare(lanes(range(200, 398))), 'tooClose');
    assert.notEqual(inLanes.compare(lanes(range(200, 340))), 'tooClose');
  });

  it('of a total and two thirds of it, the part of one answer that comes last gives way', () => {
    const series = (groups: readonly (readonly number[])[]) => [
      { label: 'rows', groups: groups.map((units, i) => ({ id: i + 1, places: [i + 1], sketch: cell(units) })) },
    ];
    const total = series([range(0, 63)]);
    // Two groups of one grouping, which stand beside a group that is no part of the total.
    const { hidden } = judgeCells(
      { minUnits: MIN_UNITS, shape: SHAPE },
      [total, series([range(0, 30), range(30, 60), range(100, 140)])],
      [],
    );
    assert.deepEqual(
      hidden.map((groups) => groups.size),
      [0, 1],
    );
  });

  it('are compared in a time that does not run away with their number', () => {
    const known = remembering(range(0, MAX_QUADRUPLES * 4).map((i) => cell(range(i * 40, i * 40 + 40))));
    const { user } = process.cpuUsage();
    for (let i = 0; i < 20; i++) assert.equal(known.compare(cell(range(10_000 + i * 40, 10_040 + i * 40))), 'clear');
    assert.ok(process.cpuUsage().user - user < 2_000_000);
  });
});

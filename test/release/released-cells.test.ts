import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { LANES, lanesOf } from '../../runtime/release/lanes.ts';
import { ReleasedCells } from '../../runtime/release/released-cells.ts';
import { folded, shapeFor, type SketchShape, sketchOf } from '../../runtime/release/sketch.ts';
import type { Sketch } from '../../runtime/release/cell-guard.ts';

const hashOf = (unit: number): bigint => createHash('sha256').update(`u${unit}`).digest().readBigUInt64LE(0);
const cell = (shape: SketchShape, units: number, from = 0): Sketch =>
  sketchOf(
    shape,
    Array.from({ length: units }, (_, i) => ({ hash: hashOf(from + i), tag: hashOf(1e6 + from + i) })),
  );

describe('cells that were released under several minima', () => {
  it('fold into fewer buckets as if they had been sketched there', () => {
    const minimum = fc.integer({ min: 1, max: 160 });
    const cases = fc.property(minimum, minimum, fc.integer({ min: 0, max: 80 }), (a, b, units) => {
      const [large, small] = [shapeFor(Math.max(a, b)), shapeFor(Math.min(a, b))];
      assert.deepEqual(folded(cell(large, units), large, small), cell(small, units));
    });
    fc.assert(cases, { numRuns: 60 });
  });

  it('are compared with each other, whichever came first, by the smaller minimum', () => {
    for (const [first, second] of [
      [10, 60],
      [60, 10],
      [3, 160],
      [160, 3],
    ] as const) {
      const known = new ReleasedCells();
      const [was, is] = [shapeFor(first), shapeFor(second)];
      known.add({ label: 'l', sketch: cell(was, 300) }, was);
      const compare = (sketch: Sketch): string => known.seenBy(is).get('l')?.compare(sketch, second) ?? 'nothing';
      const which = `${first} then ${second}`;
      assert.equal(compare(cell(is, 300)), 'same', which);
      for (let more = 1; more < Math.min(first, second); more++) {
        assert.equal(compare(cell(is, 300 + more)), 'tooClose', which);
        assert.equal(compare(cell(is, 300 - more)), 'tooClose', which);
      }
      assert.equal(compare(cell(is, 600)), 'clear', which);
      assert.equal(known.most, 1);
    }
  });

  it('of shapes that do not divide are compared in what they have in common', () => {
    const known = new ReleasedCells();
    known.add({ label: 'l', sketch: cell({ buckets: 24 }, 300) }, { buckets: 24 });
    const is = shapeFor(10);
    assert.equal(known.seenBy(is).get('l')?.compare(cell(is, 301), 10), 'tooClose');
    assert.throws(() => folded(cell({ buckets: 24 }, 3), { buckets: 24 }, is), RangeError);
  });

  it('by lanes are the same under every minimum', () => {
    const lanes = (units: number): Sketch =>
      lanesOf(
        Array.from({ length: units }, (_, i) => ({ lane: Number(hashOf(i) % BigInt(LANES)), tag: hashOf(i + 5000) })),
      );
    const known = new ReleasedCells();
    known.add({ label: 'l', sketch: lanes(300) }, shapeFor(10));
    assert.equal(known.seenBy(shapeFor(60)).get('l')?.compare(lanes(301), 60), 'tooClose');
    assert.equal(known.seenBy(shapeFor(5)).get('l')?.compare(lanes(300), 5), 'same');
  });
});

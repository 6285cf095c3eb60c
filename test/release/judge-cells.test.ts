import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { DifferencingGuard } from '../../runtime/release/differencing.ts';
import { judgeCells } from '../../runtime/release/judge-cells.ts';
import { shapeFor, sketchOf, sumOf, type TaggedRow } from '../../runtime/release/sketch.ts';

const K = 4;
const SHAPE = shapeFor(K);
const TERMS = { minUnits: K, shape: SHAPE };
const digests = new Map<string, bigint>();
function digest(text: string): bigint {
  const known = digests.get(text) ?? createHash('sha256').update(text).digest().readBigUInt64LE(0);
  digests.set(text, known);
  return known;
}
/** A row of a unit, told from its other rows. */
const row = (unit: number, of = 0): TaggedRow => ({ hash: digest(`u${unit}`), tag: digest(`r${unit}.${of}`) });
const rows = (units: readonly number[], of = 0): TaggedRow[] => units.map((unit) => row(unit, of));
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const series = (groups: readonly (readonly number[])[]) => [
  {
    label: 'rows',
    groups: groups.map((units, i) => ({ id: i + 1, places: [i + 1], sketch: sketchOf(SHAPE, rows(units)) })),
  },
];

describe('the cells of an answer', () => {
  it('never leave a total and visible parts that differ by few units, whatever was left out', () => {
    const world = fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
      isTotalFirst: fc.boolean(),
    });
    fc.assert(
      fc.property(world, ({ sizes, isTotalFirst }) => {
        let next = 0;
        const parts = sizes.map((size) => range(next, (next += size)));
        const shownParts = parts.filter((part) => part.length >= K);
        if (next < K) return;
        const blocks = [series([range(0, next)]), series(shownParts)];
        const { hidden } = judgeCells(TERMS, isTotalFirst ? blocks : blocks.toReversed(), []);
        const [ofTotal, ofParts] = isTotalFirst ? hidden : [...hidden].toReversed();
        const visible = shownParts.filter((_, i) => ofParts?.has(i + 1) !== true);
        if (ofTotal?.has(1) === true || visible.length === 0) return;
        const difference = next - visible.flat().length;
        assert.ok(difference === 0 || difference >= K, `${difference} units are told of`);
      }),
      { numRuns: 100 },
    );
  });

  it('hides the smallest part, and only it, when a small part was left out', () => {
    const { hidden } = judgeCells(
      TERMS,
      [series([range(0, 32)]), series([range(0, 10), range(10, 15), range(15, 30)])],
      [],
    );
    assert.deepEqual(
      hidden.map((one) => [...one]),
      [[], [2]],
    );
  });

  it('is compared with what was released before, sums included', () => {
    const history = new DifferencingGuard(K, SHAPE);
    const first = judgeCells(TERMS, [series([range(0, 10), range(10, 20)])], []);
    assert.equal(first.shown.length, 3, 'two cells and their sum');
    for (const { sketch } of first.shown) history.remember(sketch);
    const ask = (units: readonly number[]): boolean =>
      judgeCells(TERMS, [series([units])], [new Map([['rows', history]])]).hidden[0]?.has(1) === true;
    assert.deepEqual(
      [ask(range(0, 22)), ask(range(0, 20)), ask(range(0, 30)), ask(range(0, 9))],
      [true, false, false, true],
    );
  });

  it('sums over one of two keys count as well', () => {
    const cell = (id: number, places: readonly number[], units: readonly number[]) => ({
      id,
      places,
      sketch: sketchOf(SHAPE, rows(units)),
    });
    // The second key splits 0..16 into 0..6 and 6..14; 14 and 15 were too few to be shown.
    const fine = [
      {
        label: 'rows',
        groups: [cell(1, [1, 1], range(0, 6)), cell(2, [1, 2], range(6, 14)), cell(3, [2, 1], range(20, 40))],
      },
    ];
    const { hidden } = judgeCells(TERMS, [series([range(0, 16), range(20, 40)]), fine], []);
    assert.deepEqual(
      hidden.map((one) => [...one]),
      [[], [1]],
    );
  });

  it('two months of the same people are two answers, and a swapped row is still seen', () => {
    const guard = new DifferencingGuard(K, SHAPE);
    guard.remember(sketchOf(SHAPE, rows(range(0, 50), 1)));
    assert.equal(guard.compare(sketchOf(SHAPE, rows(range(0, 50), 2))), 'clear');
    assert.equal(guard.compare(sketchOf(SHAPE, [...rows(range(0, 49), 1), row(49, 2)])), 'tooClose');
  });

  it('sketches add like the cells they stand for', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40)), fc.array(fc.nat(40)), (a, b) => {
        const sum = sumOf(sketchOf(SHAPE, rows(a)), sketchOf(SHAPE, rows(b, 1)));
        assert.deepEqual(sum, sketchOf(SHAPE, [...rows(a), ...rows(b, 1)]));
      }),
    );
  });
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { DifferencingGuard } from '../../runtime/release/differencing.ts';
import {
  bucketOf,
  checkOf,
  decode,
  differenceOf,
  PARTITIONS,
  shapeFor,
  sketchFromSums,
  sketchOf,
  type BucketSums,
} from '../../runtime/release/sketch.ts';

/** A 64-bit hash as the layout makes it; the key does not matter here. */
const HASHES = new Map<number, bigint>();
function hashOf(unit: number): bigint {
  const hash = HASHES.get(unit) ?? createHash('sha256').update(`unit ${unit}`).digest().readBigUInt64LE(0);
  HASHES.set(unit, hash);
  return hash;
}

const SHAPE = shapeFor(10);
const rowsOf = (units: readonly number[], rowsPerUnit = 1): bigint[] =>
  units.flatMap((unit) => Array.from({ length: 1 + (unit % rowsPerUnit) }, () => hashOf(unit)));
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

const sorted = (rows: ReadonlyMap<bigint, bigint>): [bigint, bigint][] =>
  [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1));

describe('contributor sketches', () => {
  it('a difference over few units is decoded exactly, with how many rows each has more or fewer', () => {
    const base = range(0, 300);
    for (const d of [1, 2, 3, 4, 6]) {
      const more = sketchOf(SHAPE, [
        ...rowsOf(base, 3),
        ...range(1000, 1000 + d).flatMap((unit) => [hashOf(unit), hashOf(unit)]),
      ]);
      const decoded = decode(SHAPE, differenceOf(sketchOf(SHAPE, rowsOf(base, 3)), more));
      if (decoded.kind === 'stuck') {
        assert.ok(d > 3, `a difference of ${d} units was not decoded`);
        continue;
      }
      const expected = new Map(range(1000, 1000 + d).map((unit) => [hashOf(unit), -2n]));
      assert.deepEqual(sorted(decoded.rows), sorted(expected));
    }
  });

  it('units that come and units that go do not cancel', () => {
    const a = sketchOf(SHAPE, rowsOf(range(0, 50)));
    const b = sketchOf(SHAPE, rowsOf(range(2, 52)));
    const decoded = decode(SHAPE, differenceOf(a, b));
    assert.equal(decoded.kind === 'units' ? decoded.rows.size : 0, 4);
  });

  it('a unit with other rows in both cells shows up, although it is in both', () => {
    const base = rowsOf(range(0, 40));
    const decoded = decode(SHAPE, differenceOf(sketchOf(SHAPE, [...base, hashOf(7)]), sketchOf(SHAPE, base)));
    assert.deepEqual(decoded, { kind: 'units', rows: new Map([[hashOf(7), 1n]]) });
  });

  it('sums per bucket, as the engine computes them, give the same sketch', () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), { maxLength: 60 }), (hashes) => {
        const sums: BucketSums[] = [];
        for (let partition = 0; partition < PARTITIONS; partition++) {
          for (let bucket = 0; bucket < SHAPE.buckets; bucket++) {
            const inside = hashes.filter((hash) => bucketOf(hash, partition, SHAPE) === bucket);
            const total = (values: bigint[]): bigint => values.reduce((sum, value) => sum + value, 0n);
            const checks = total(inside.map((hash) => BigInt(checkOf(hash))));
            sums.push({ partition, bucket, rows: BigInt(inside.length), hashes: total(inside), checks });
          }
        }
        assert.deepEqual(sketchFromSums(SHAPE, sums), sketchOf(SHAPE, hashes));
      }),
    );
  });

  it('the check of a mixture is not the mixture of checks, or two units could pass for a third', () => {
    let passed = 0;
    for (let i = 0; i < 1000; i++) {
      const [a, b, c] = [hashOf(3 * i), hashOf(3 * i + 1), hashOf(3 * i + 2)];
      const mixture = BigInt.asUintN(64, a + b - c);
      if (BigInt.asUintN(32, BigInt(checkOf(a) + checkOf(b) - checkOf(c))) === BigInt(checkOf(mixture))) passed++;
    }
    assert.equal(passed, 0);
  });

  it('sums far beyond 32 and 64 bits still subtract to small differences', () => {
    const many = [{ partition: 0, bucket: 0, rows: 1n << 40n, hashes: 1n << 110n, checks: 1n << 70n }];
    const base = rowsOf(range(0, 20));
    const withUnit = [...base, hashOf(99)];
    const add = (hashes: bigint[]): Uint32Array => {
      const sketch = sketchOf(SHAPE, hashes);
      return differenceOf(sketch, differenceOf(sketchFromSums(SHAPE, []), sketchFromSums(SHAPE, many)));
    };
    const decoded = decode(SHAPE, differenceOf(add(withUnit), add(base)));
    assert.deepEqual(decoded, { kind: 'units', rows: new Map([[hashOf(99), 1n]]) });
  });

  it('a bucket that does not exist and sketches of other shapes are refused', () => {
    const bad = (more: Partial<BucketSums>): void => {
      const sums = [{ partition: 0, bucket: 0, rows: 1n, hashes: 1n, checks: 1n, ...more }];
      assert.throws(() => sketchFromSums(SHAPE, sums), RangeError);
    };
    for (const more of [{ partition: 3 }, { partition: -1 }, { bucket: SHAPE.buckets }, { bucket: 0.5 }]) bad(more);
    assert.throws(() => differenceOf(sketchOf(SHAPE, []), sketchOf(shapeFor(20), [])), RangeError);
    assert.throws(() => shapeFor(0), RangeError);
  });
});

describe('the differencing guard', () => {
  it('a cell that differs by fewer units than the minimum from an earlier one is too close, always', () => {
    const cases = fc.record({
      minUnits: fc.integer({ min: 2, max: 15 }),
      size: fc.integer({ min: 1, max: 80 }),
      gone: fc.nat({ max: 14 }),
      come: fc.nat({ max: 14 }),
      rowsPerUnit: fc.integer({ min: 1, max: 4 }),
      /** Rows of nobody in the one and in the other: they help no difference to be large. */
      nobody: fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 })),
      seed: fc.nat({ max: 1000 }),
    });
    fc.assert(
      fc.property(cases, ({ minUnits, size, gone, come, rowsPerUnit, nobody: [before, after], seed }) => {
        const nobody = (count: number): bigint[] => Array.from({ length: count }, () => 0n);
        const out = Math.min(gone, minUnits - 1, size);
        const into = Math.min(come, minUnits - 1 - out);
        const guard = new DifferencingGuard(minUnits);
        for (let other = 0; other < 3; other++) {
          guard.remember(
            sketchOf(guard.shape, rowsOf(range(seed + 10_000 * (other + 1), seed + 10_000 * (other + 1) + 40))),
          );
        }
        guard.remember(sketchOf(guard.shape, [...rowsOf(range(seed, seed + size), rowsPerUnit), ...nobody(before)]));
        const near = [...rowsOf(range(seed + out, seed + size + into), rowsPerUnit), ...nobody(after)];
        const isSame = out + into === 0 && before === after;
        assert.equal(guard.compare(sketchOf(guard.shape, near)), isSame ? 'same' : 'tooClose');
      }),
      { numRuns: 150 },
    );
  });

  it('cells that differ by far more units than the minimum are clear', () => {
    const guard = new DifferencingGuard(10);
    guard.remember(sketchOf(guard.shape, rowsOf(range(0, 200))));
    for (let i = 0; i < 40; i++) {
      assert.equal(guard.compare(sketchOf(guard.shape, rowsOf(range(60 + i, 200 + i)))), 'clear');
      assert.equal(guard.compare(sketchOf(guard.shape, rowsOf(range(2000 + i, 2050 + i)))), 'clear');
    }
  });

  it('of differences a little above the minimum, most are clear and none is an error', () => {
    const guard = new DifferencingGuard(10);
    guard.remember(sketchOf(guard.shape, rowsOf(range(0, 60))));
    let clear = 0;
    for (let i = 0; i < 60; i++) {
      const near = sketchOf(guard.shape, rowsOf([...range(0, 60), ...range(10_000 * (i + 1), 10_000 * (i + 1) + 14)]));
      if (guard.compare(near) === 'clear') clear++;
    }
    assert.ok(clear >= 40, `${clear} of 60 differences of 14 units were clear`);
  });

  it('the tracker: everybody, then everybody but one', () => {
    const guard = new DifferencingGuard(10);
    const everybody = rowsOf(range(0, 1000), 2);
    assert.equal(guard.compare(sketchOf(guard.shape, everybody)), 'clear');
    guard.remember(sketchOf(guard.shape, everybody));
    const victim = hashOf(711);
    assert.equal(
      guard.compare(
        sketchOf(
          guard.shape,
          everybody.filter((hash) => hash !== victim),
        ),
      ),
      'tooClose',
    );
  });

  it('a small cell, whose buckets are mostly empty, is compared too', () => {
    const guard = new DifferencingGuard(10);
    for (let i = 0; i < 50; i++) guard.remember(sketchOf(guard.shape, rowsOf(range(i * 100, i * 100 + 10))));
    assert.equal(guard.compare(sketchOf(guard.shape, rowsOf(range(4000, 4009)))), 'tooClose');
    assert.equal(guard.compare(sketchOf(guard.shape, rowsOf(range(4000, 4010)))), 'same');
    assert.equal(guard.compare(sketchOf(guard.shape, rowsOf(range(9000, 9010)))), 'clear');
  });

  it('a minimum that the guard cannot watch is refused, not half watched', () => {
    assert.throws(() => new DifferencingGuard(1000), RangeError);
  });
});

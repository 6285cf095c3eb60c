import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { unpackLz4 } from '../../runtime/dataset/worker/lz4-frame.ts';
import { fc } from '../property.ts';
import { BenchFolder, query } from './bench-folder.ts';

/** A frame of blocks; a plain one has the highest bit of its size set. */
function frame(blocks: readonly { readonly bytes: readonly number[]; readonly isPlain?: boolean }[]): Uint8Array {
  const sizes = blocks.flatMap(({ bytes, isPlain }) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE((bytes.length | (isPlain === true ? 0x8000_0000 : 0)) >>> 0);
    return [size, Buffer.from(bytes)];
  });
  return Buffer.concat([Buffer.from('04224d18604082', 'hex'), ...sizes, Buffer.alloc(4)]);
}
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const letters = (word: string): readonly number[] => [...Buffer.from(word, 'latin1')];

/** `abcabcabc`: three letters, then six from three before; and `abc` before it in a plain block. */
const REPEATED = [{ bytes: letters('abc'), isPlain: true }, { bytes: [0x02, 3, 0, 0x10, 0x64] }];

test('plain blocks, matches that reach into themselves and into blocks before, and lengths of many bytes', () => {
  assert.equal(text(unpackLz4(frame(REPEATED), 100)), 'abcabcabcd');
  // 15 + 255 + 10 letters are 280; a match of 15 + 20 + 4 at distance one repeats the last.
  const long = frame([{ bytes: [0xff, 255, 10, ...letters('x'.repeat(280)), 1, 0, 20, 0x00] }]);
  assert.equal(text(unpackLz4(long, 1000)), 'x'.repeat(280 + 39));
  assert.equal(unpackLz4(frame([]), 10).length, 0);
});

test('what would be longer than announced, points before the beginning or breaks off is refused', () => {
  for (const [bytes, max] of [
    [frame(REPEATED), 9],
    [frame([{ bytes: letters('abc'), isPlain: true }]), 2],
    [frame([{ bytes: [0x10, 0x61, 2, 0, 0x00] }]), 100],
    [frame([{ bytes: [0x10, 0x61, 0, 0, 0x00] }]), 100],
    [frame([{ bytes: [0xf0, 255, 255] }]), 1000],
    [frame(REPEATED).subarray(0, -4), 100],
    [Buffer.from('nothing'), 100],
  ] as const)
    assert.throws(() => unpackLz4(bytes, max), RangeError);
});

test('any bytes of a frame changed: a RangeError, or no more than was announced', () => {
  const good = frame([...REPEATED, ...REPEATED]);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), (changes) => {
      const bad = Uint8Array.from(good);
      for (const [at, value] of changes) bad[at] = value;
      try {
        assert.ok(unpackLz4(bad, 20).length <= 20);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test('a file as pyarrow packs it keeps every value', async () => {
  await using bench = await BenchFolder.create();
  const bytes = await readFile(join(import.meta.dirname, '../fixtures/packed-lz4.arrow'));
  const { folder } = await bench.register('a/b', [await bench.source('t.arrow', bytes)]);
  const expected = `SELECT (i % 3)::INTEGER AS n, CASE WHEN i % 5 <> 0 THEN 'ward ' || (i % 2) END AS s FROM range(300) r(i)`;
  assert.deepEqual(
    await query(`SELECT count(*)::INT FROM ((${expected}) EXCEPT ALL SELECT * FROM '${folder}/t0.parquet')`),
    [[0]],
  );
  assert.deepEqual(await query(`SELECT count(*)::INT FROM '${folder}/t0.parquet'`), [[300]]);
});

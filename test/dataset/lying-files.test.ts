import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import * as arrow from 'apache-arrow';
import { batchByteLength, isValid } from '../../runtime/release/columns.ts';
import { DatasetError } from '../../runtime/dataset/dataset-error.ts';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { readArrow } from '../../runtime/dataset/worker/read-arrow.ts';
import { BenchFolder } from './bench-folder.ts';

/** Three record batches of one column with missing values, and of one with a dictionary; the library can pack them. */
const MANY = [0, 1, 2]
  .map(() => new arrow.Table({ n: arrow.vectorFromArray([1n, null, 3n], new arrow.Int64()) }))
  .reduce((all, one) => all.concat(one));
const coded = (values: readonly (string | null)[]): arrow.Table =>
  new arrow.Table({ s: arrow.vectorFromArray(values, new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32())) });
const MANY_CODED = [0, 1, 2].map(() => coded(['a', null, 'c'])).reduce((all, one) => all.concat(one));
arrow.compressionRegistry.set(arrow.CompressionType.ZSTD, {
  encode: (bytes) => new Uint8Array(zstdCompressSync(bytes)),
  decode: (bytes) => new Uint8Array(zstdDecompressSync(bytes)),
});
function packed(table: arrow.Table): Uint8Array {
  const writer = arrow.RecordBatchStreamWriter.writeAll(table, { compressionType: arrow.CompressionType.ZSTD });
  return writer.toUint8Array(true);
}

const VALUES = Array.from({ length: 50 }, (_, i) => `k${i % 3}`);
const PLAIN = new arrow.Table({ s: arrow.vectorFromArray(VALUES, new arrow.Utf8()) });
const CODED = new arrow.Table({
  s: arrow.vectorFromArray(VALUES, new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32())),
});

/** The bytes with a 32-bit number at a place; from the end when negative. */
function lie(bytes: Uint8Array, place: number, value: number): Uint8Array {
  const lying = Buffer.from(bytes);
  lying.writeInt32LE(value, place < 0 ? lying.length + place : place);
  return lying;
}

/** Asserts that the file is refused in words that begin with its name, and leaves not even a folder. */
async function refused(bench: BenchFolder, label: string, bytes: Uint8Array, pattern: RegExp): Promise<void> {
  await assert.rejects(bench.register('x/y', [await bench.source(label, bytes)]), (error: Error) => {
    assert.ok(error instanceof DatasetError, error.stack);
    assert.match(error.message, new RegExp(`^${label}: `));
    assert.match(error.message, pattern);
    return true;
  });
  assert.deepEqual(
    await readdir(join(bench.root, 'datasets')),
    [],
    'nothing stays of a name that was never registered',
  );
}

describe('files that lie about themselves', () => {
  it('an Arrow stream whose messages do not follow each other is refused at its byte, never read as fewer rows', async () => {
    await using bench = await BenchFolder.create();
    for (const table of [PLAIN, CODED]) {
      const good = arrow.tableToIPC(table, 'stream');
      for (const length of [-1, -(2 ** 31), 3, 2 ** 31 - 1])
        await refused(bench, 'a.arrow', lie(good, 4, length), /byte 0: /);
      await refused(bench, 'a.arrow', Buffer.concat([good, good]), /byte \d+: bytes after the end mark/);
    }
  });

  it('an Arrow file whose footer names what is not there is refused at its byte, and not read in circles', async () => {
    await using bench = await BenchFolder.create();
    for (const table of [PLAIN, CODED]) {
      const good = arrow.tableToIPC(table, 'file');
      for (const length of [-1, 3, 2 ** 31 - 1]) await refused(bench, 'a.arrow', lie(good, 12, length), /byte 8: /);
      for (const length of [-1, 0, 2 ** 31 - 1, good.length])
        await refused(bench, 'a.arrow', lie(good, -10, length), /byte \d+: a footer of -?\d+ bytes, and \d+ are there/);
      await refused(bench, 'a.arrow', good.slice(0, -5), /no end mark; it was cut/);
    }
  });

  it('any number of an Arrow file changed: it is refused, or every row is there with the values that it misses', async () => {
    await using bench = await BenchFolder.create();
    const files = [
      packed(MANY),
      arrow.tableToIPC(MANY, 'file'),
      arrow.tableToIPC(coded(['a', 'b', null, 'a', null, 'b', 'a', null, 'b']), 'file'),
      arrow.tableToIPC(MANY_CODED, 'stream'),
    ];
    let refusals = 0;
    let taken = 0;
    for (const good of files) {
      const source = await bench.source('a.arrow', good);
      const count = async (bytes: Uint8Array): Promise<readonly [rows: number, missing: number]> => {
        writeFileSync(source.path, bytes);
        let [rows, missing] = [0, 0];
        for await (const event of readArrow(source, 'a'))
          if (event.kind === 'batch') {
            rows += event.batch.rowCount;
            const [column] = event.batch.columns;
            for (let row = 0; row < event.batch.rowCount; row++) if (column && !isValid(column, row)) missing += 1;
          }
        return [rows, missing];
      };
      const whole = await count(good);
      assert.deepEqual(whole, [9, 3]);
      // Not the mark of the file, by which it is known for one.
      for (let place = 8; place + 4 <= good.length; place += 4)
        for (const value of [0, 1, -1])
          try {
            assert.deepEqual(await count(lie(good, place, value)), whole, `${value} at byte ${place}`);
            taken += 1;
          } catch (error) {
            assert.ok(error instanceof DatasetError, `${value} at byte ${place}: ${(error as Error).stack}`);
            assert.doesNotMatch(error.message, /Offset is outside|undefined|not a function/);
            refusals += 1;
          }
    }
    assert.ok(refusals > 1000 && taken > 1000, `${refusals} refused, ${taken} taken: the changes reach the file`);
  });

  it('few bytes of an Arrow file that stand for long texts are read in batches that are no larger than others', async () => {
    await using bench = await BenchFolder.create();
    const word = 'w'.repeat(8192);
    const places = arrow.vectorFromArray(
      Array<string>(10_000).fill(word),
      new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()),
    );
    const good = arrow.tableToIPC(new arrow.Table({ s: places }), 'file');
    assert.ok(good.length < 100_000);
    let rows = 0;
    for await (const event of readArrow(await bench.source('a.arrow', good), 'a'))
      if (event.kind === 'batch') {
        assert.ok(batchByteLength(event.batch) < 20 << 20, `${batchByteLength(event.batch)} bytes in one batch`);
        rows += event.batch.rowCount;
      }
    assert.equal(rows, 10_000);
  });

  it('registrations of one name at once: a failing one takes no folder from under another', async () => {
    await using bench = await BenchFolder.create();
    const good = await bench.source('t.csv', 'id\n1\n');
    const bad = await bench.source('t.csv', 'id,id\n1,2\n');
    const ends = await Promise.allSettled(
      Array.from({ length: 12 }, (_, i) => bench.register('x/y', [i % 3 === 0 ? good : bad])),
    );
    const done = ends.filter((end) => end.status === 'fulfilled').length;
    assert.ok(done >= 1);
    for (const end of ends) if (end.status === 'rejected') assert.ok(end.reason instanceof DatasetError, end.reason);
  });
});

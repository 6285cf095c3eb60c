import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import * as arrow from 'apache-arrow';
import { fc } from '../property.ts';
import { DatasetError } from '../../runtime/dataset/dataset-error.ts';
import type { SourceReader } from '../../runtime/dataset/ingest-events.ts';
import { readThrough } from '../../runtime/dataset/read-in-worker.ts';
import { startBareWorker } from './bare-worker.ts';
import { BenchFolder, query } from './bench-folder.ts';

const vega = fileURLToPath(new URL('../../node_modules/vega-datasets/data', import.meta.url));

const ALL_TYPES = `SELECT * FROM (VALUES
  (true, 1::TINYINT, -2::SMALLINT, 3::INTEGER, 9007199254740993::BIGINT, 4::UTINYINT, 5::USMALLINT, 4294967295::UINTEGER,
   18446744073709551615::UBIGINT, 1.5::FLOAT, 2.25::DOUBLE, 12.34::DECIMAL(4,2), -1234567.891::DECIMAL(18,3),
   12345678901234567890.12345::DECIMAL(38,5), 'naïve text that is long enough', DATE '1969-12-31', TIMESTAMP '2020-01-01 10:00:00.123456',
   TIMESTAMPTZ '2020-01-01 10:00:00+02'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (false, (-128)::TINYINT, 0, -3, -1, 0, 0, 0, 0, 'nan'::FLOAT, '-inf'::DOUBLE, -99.99, 0, -1, '', DATE '9999-12-31', TIMESTAMP '1900-01-01', TIMESTAMPTZ '1900-01-01 00:00:00+00')
) t(b, i8, i16, i32, i64, u8, u16, u32, u64, f, d, d4, d18, d38, s, day, ts, tz)`;

/** Runs statements in an engine that may write files. */
async function engine(...statements: string[]): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  for (const sql of statements) await connection.run(sql);
  connection.closeSync();
  instance.closeSync();
}

const rejects = async (bench: BenchFolder, label: string, bytes: Uint8Array, pattern: RegExp): Promise<void> => {
  await assert.rejects(bench.register('x/y', [await bench.source(label, bytes)]), (error: Error) => {
    assert.ok(error instanceof DatasetError, String(error));
    assert.match(error.message, pattern);
    assert.ok(!error.message.includes(bench.path), 'names no path of ours');
    return true;
  });
  assert.deepEqual(await bench.left(), []);
};

describe('registration from parquet', () => {
  it('keeps every value of every type', async () => {
    await using bench = await BenchFolder.create();
    const file = join(bench.path, 'all.parquet');
    await engine(`COPY (${ALL_TYPES}) TO '${file}' (FORMAT parquet)`);
    const { folder, manifest } = await bench.register('x/y', [await bench.source('all.parquet', await readFile(file))]);
    const both = `SELECT * REPLACE (CAST(f AS VARCHAR) AS f, CAST(d AS VARCHAR) AS d) FROM`;
    const [[lost], [added]] = [
      await query(`SELECT count(*)::INT FROM (${both} '${file}' EXCEPT ALL ${both} '${folder}/t0.parquet')`),
      await query(`SELECT count(*)::INT FROM (${both} '${folder}/t0.parquet' EXCEPT ALL ${both} '${file}')`),
    ] as [unknown[][], unknown[][]];
    assert.deepEqual([lost, added], [[0], [0]]);
    assert.equal(manifest.tables[0]?.columns.length, 18);
    const types = (path: string) => query(`SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '${path}')`);
    assert.deepEqual(await types(`${folder}/t0.parquet`), await types(file));
  });

  it('refuses nested types with advice, and damaged files with a reason', async () => {
    await using bench = await BenchFolder.create();
    const nested = join(bench.path, 'nested.parquet');
    await engine(`COPY (SELECT [1, 2] AS l) TO '${nested}' (FORMAT parquet)`);
    await rejects(
      bench,
      'nested.parquet',
      await readFile(nested),
      /column `l` has the type INTEGER\[\]; flatten nested columns/,
    );
    const file = join(bench.path, 'good.parquet');
    await engine(`COPY (SELECT i, 'text number ' || i AS t FROM range(5000) r(i)) TO '${file}' (FORMAT parquet)`);
    const good = await readFile(file);
    await rejects(
      bench,
      'cut.parquet',
      good.subarray(0, good.length >> 1),
      /cut\.parquet: not a readable parquet file/,
    );
    const footer = Buffer.from(good);
    footer.fill(0xff, good.length - 200, good.length - 100);
    await rejects(bench, 'footer.parquet', footer, /footer\.parquet/);
    const locked = Buffer.from(good);
    for (const at of [0, good.length - 4]) locked.write('PARE', at, 'latin1');
    await rejects(bench, 'locked.parquet', locked, /locked\.parquet: .*it is encrypted; decrypt it first/);
    await rejects(bench, 'magic.parquet', Buffer.from('PAR1 and nothing else PAR1'), /magic\.parquet/);
  });

  it('survives random damage: either the same rows or a DatasetError', async () => {
    await using bench = await BenchFolder.create();
    const file = join(bench.path, 'good.parquet');
    await engine(
      `COPY (SELECT i, 'text number ' || i AS t FROM range(500) r(i)) TO '${file}' (FORMAT parquet, COMPRESSION uncompressed)`,
    );
    const good = await readFile(file);
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ flip;
        try {
          await bench.register('x/y', [await bench.source('bad.parquet', bad)]);
        } catch (error) {
          assert.ok(error instanceof DatasetError, String(error));
        }
      }),
      { numRuns: 12 },
    );
  });
});

describe('registration from duckdb files', () => {
  it('takes every base table, or the one asked for, and never a view', async () => {
    await using bench = await BenchFolder.create();
    const file = join(bench.path, 'db.duckdb');
    await engine(
      `ATTACH '${file}' AS x`,
      `CREATE TABLE x.one AS ${ALL_TYPES}`,
      `CREATE TABLE x.two AS SELECT 1 AS a, 'x'::VARCHAR AS b UNION ALL SELECT 2, NULL`,
      `CREATE VIEW x.v AS SELECT * FROM read_csv('/etc/passwd')`,
      'DETACH x',
    );
    const source = await bench.source('db.duckdb', await readFile(file));
    assert.equal(source.format, 'duckdb');
    const { manifest } = await bench.register('x/all', [source]);
    assert.deepEqual(
      manifest.tables.map(({ name, rowCount }) => [name, rowCount]),
      [
        ['one', 3],
        ['two', 2],
      ],
    );
    const one = await bench.register('x/one', [{ ...source, sourceTable: 'two', table: 'renamed' }]);
    assert.deepEqual(
      one.manifest.tables.map(({ name }) => name),
      ['renamed'],
    );
    await assert.rejects(
      bench.register('x/none', [{ ...source, sourceTable: 'v' }]),
      /no table `v` in this duckdb file; it has `one`, `two`/,
    );
  });

  it('refuses a damaged file', async () => {
    await using bench = await BenchFolder.create();
    const file = join(bench.path, 'db.duckdb');
    await engine(`ATTACH '${file}' AS x`, `CREATE TABLE x.t AS SELECT * FROM range(100000)`, 'DETACH x');
    const good = await readFile(file);
    await rejects(bench, 'cut.duckdb', good.subarray(0, 9000), /cut\.duckdb/);
    const header = Buffer.from(good);
    header.fill(0xee, 4096, 12288);
    await rejects(bench, 'header.duckdb', header, /header\.duckdb: not a readable duckdb file/);
  });
});

function arrowTable(): arrow.Table {
  const n = 40_000;
  const words = ['alpha', 'beta and a longer word', 'γάμμα'];
  return new arrow.Table({
    id: arrow.vectorFromArray(
      Array.from({ length: n }, (_, i) => (i % 10 === 0 ? null : i)),
      new arrow.Int32(),
    ),
    big: arrow.vectorFromArray(
      Array.from({ length: n }, (_, i) => BigInt(i) * 1_000_000_007n),
      new arrow.Uint64(),
    ),
    small: arrow.vectorFromArray(
      Array.from({ length: n }, (_, i) => (i % 100) - 50),
      new arrow.Int8(),
    ),
    text: arrow.vectorFromArray(
      Array.from({ length: n }, (_, i) => (i % 7 === 0 ? null : `${words[i % 3]} ${i}`)),
      new arrow.Utf8(),
    ),
    kind: arrow.vectorFromArray(
      Array.from({ length: n }, (_, i) => (i % 5 === 0 ? null : (words[i % 3] ?? ''))),
      new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()),
    ),
    flag: arrow.vectorFromArray(
      Array.from({ length: n }, (_, i) => i % 3 === 0),
      new arrow.Bool(),
    ),
    x: arrow.vectorFromArray(
      Array.from({ length: n }, (_, i) => i / 7),
      new arrow.Float64(),
    ),
    at: arrow.vectorFromArray(
      Array.from({ length: n }, (_, i) => 1_600_000_000_000 + i),
      new arrow.TimestampMillisecond(),
    ),
    day: arrow.vectorFromArray(
      Array.from({ length: n }, (_, i) => new Date(86_400_000 * (i % 1000))),
      new arrow.DateDay(),
    ),
  });
}

const EXPECTED = `SELECT CASE WHEN i % 10 <> 0 THEN i END::INTEGER AS id, (i * 1000000007)::UBIGINT AS big, (i % 100 - 50)::TINYINT AS small,
  CASE WHEN i % 7 <> 0 THEN w || ' ' || i END AS text, CASE WHEN i % 5 <> 0 THEN w END AS kind, i % 3 = 0 AS flag, i / 7.0::DOUBLE AS x,
  make_timestamp((1600000000000 + i) * 1000) AS "at", DATE '1970-01-01' + (i % 1000)::INTEGER AS day
  FROM (SELECT i, ['alpha', 'beta and a longer word', 'γάμμα'][i % 3 + 1] AS w FROM range(40000) r(i))`;

describe('registration from arrow', () => {
  it('keeps every value of files and streams', async () => {
    await using bench = await BenchFolder.create();
    const table = arrowTable();
    for (const [i, bytes] of [arrow.tableToIPC(table, 'file'), arrow.tableToIPC(table, 'stream')].entries()) {
      const { folder } = await bench.register(`a/${i}`, [await bench.source('t.arrow', bytes)]);
      const rows = await query(
        `SELECT count(*)::INT FROM ((${EXPECTED}) EXCEPT ALL SELECT * FROM '${folder}/t0.parquet')`,
      );
      assert.deepEqual(rows, [[0]]);
      assert.deepEqual(await query(`SELECT count(*)::INT FROM '${folder}/t0.parquet'`), [[40_000]]);
    }
  });

  it('reads the flights of vega-datasets, with their dictionary columns', async () => {
    await using bench = await BenchFolder.create();
    const { manifest } = await bench.register('v/flights', [
      await bench.source('flights.arrow', await readFile(join(vega, 'flights-200k.arrow'))),
    ]);
    assert.equal(manifest.tables[0]?.rowCount, 200_000);
  });

  it('survives random damage: either rows or a DatasetError, and nothing is left half done', async (t) => {
    await using bench = await BenchFolder.create();
    const small = new arrow.Table({
      text: arrow.vectorFromArray(
        Array.from({ length: 50 }, (_, i) => `word ${i}`),
        new arrow.Utf8(),
      ),
      kind: arrow.vectorFromArray(
        Array.from({ length: 50 }, (_, i) => `k${i % 3}`),
        new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()),
      ),
      n: arrow.vectorFromArray(
        Array.from({ length: 50 }, (_, i) => BigInt(i)),
        new arrow.Int64(),
      ),
    });
    const streams = [arrow.tableToIPC(small, 'file'), arrow.tableToIPC(small, 'stream')];
    let worker = await startBareWorker('ingest');
    t.after(() => worker[Symbol.asyncDispose]());
    const reader: SourceReader = { read: (request) => readThrough(worker, request, 600) };
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1),
        fc.nat(10_000),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (which, at, flip, isCut) => {
          const good = streams[which] ?? new Uint8Array();
          const position = at % good.length;
          const bad = isCut ? good.slice(0, position) : Uint8Array.from(good);
          if (!isCut) bad[position] = (bad[position] ?? 0) ^ flip;
          try {
            await bench.register(
              'x/y',
              [await bench.source('bad.arrow', bad, { format: which === 0 ? 'arrow-file' : 'arrow-stream' })],
              reader,
            );
            assert.ok(!isCut, 'a file that was cut is never taken');
          } catch (error) {
            assert.ok(error instanceof DatasetError, (error as Error).stack);
            if (!error.message.includes('no progress')) return;
            await worker[Symbol.asyncDispose]();
            worker = await startBareWorker('ingest');
          }
        },
      ),
      { numRuns: 40, endOnFailure: true },
    );
    assert.ok(!(await bench.left()).some((name) => name.includes('incoming')));
  });

  it('refuses nested types', async () => {
    await using bench = await BenchFolder.create();
    const list = new arrow.Table({
      l: arrow.vectorFromArray([[1], [2, 3]], new arrow.List(new arrow.Field('item', new arrow.Int32()))),
    });
    await rejects(bench, 'list.arrow', arrow.tableToIPC(list, 'file'), /column `l` has the type List<Int32>; flatten/);
  });
});

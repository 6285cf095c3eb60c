import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { BenchFolder, query } from './bench-folder.ts';

const rejects = async (text: string | Uint8Array, pattern: RegExp): Promise<void> => {
  await using bench = await BenchFolder.create();
  const source = await bench.source('visits.csv', text);
  await assert.rejects(bench.register('a/b', [source]), (error: Error) => {
    assert.match(error.message, pattern);
    assert.ok(!error.message.includes(bench.path), 'names no path of ours');
    return true;
  });
  assert.deepEqual(await bench.left(), [], 'nothing is half registered');
};

describe('csv registration', () => {
  it('keeps every row and gives each column the type that all its values fit', async () => {
    await using bench = await BenchFolder.create();
    const text = [
      'n,code,big,x,day,moment,flag,word,none',
      '1,007,9007199254740993,1.5,2020-02-29,2020-01-01 10:00:00,true,"a ""b"", c",',
      '-2,012,123456789012345678901,NaN,2021-01-01,2020-01-01T10:00:00.5,false,"line\none",',
      ',x,3,2e3,,,,,',
      '',
    ].join('\r\n');
    const source = await bench.source('visits.csv', text.replaceAll('line\none', 'line two'));
    const { manifest, folder, statistics } = await bench.register('hospital/visits', [source]);
    const [table] = manifest.tables;
    assert.equal(table?.name, 'visits');
    assert.equal(table?.rowCount, 3);
    assert.deepEqual(
      table?.columns.map(({ name, type }) => `${name} ${type.kind}`),
      [
        'n integer',
        'code text',
        'big text',
        'x double',
        'day date',
        'moment timestamp',
        'flag boolean',
        'word text',
        'none text',
      ],
    );
    const rows = await query(`SELECT n, code, big, day, word FROM read_parquet('${join(folder, 't0.parquet')}')`);
    assert.deepEqual(rows, [
      ['1', '007', '9007199254740993', '2020-02-29', 'a "b", c'],
      ['-2', '012', '123456789012345678901', '2021-01-01', 'line two'],
      [null, 'x', '3', null, null],
    ]);
    assert.equal(statistics[0]?.columns[0]?.nulls, 1);
  });

  it('refuses more columns than a table may have by their number, before the engine sees them', () =>
    rejects(
      `${Array.from({ length: 20_000 }, (_, i) => `c${i}`).join(',')}\n`,
      /visits\.csv: 20000 columns, at most 1024/,
    ));

  it('reads other delimiters, one column, a byte order mark, quoted line ends and a last line without an end', async () => {
    await using bench = await BenchFolder.create();
    const shapes = [
      ['a;b\n1,5;2\n', 1, ['a', 'b']],
      ['a\tb\n1\t2', 1, ['a', 'b']],
      ['a\n1\n\n2\n', 3, ['a']],
      ['\ufeffa,b\n1,2\n', 1, ['a', 'b']],
      ['a,b\n"x\ny",1\nz,2\n', 2, ['a', 'b']],
      ['a,b\r1,2\r', 1, ['a', 'b']],
      ['a,b\n1,2\n\n\n', 1, ['a', 'b']],
    ] as const;
    for (const [i, [text, rows, columns]] of shapes.entries()) {
      const { manifest } = await bench.register(`shape/${i}`, [await bench.source('t.csv', text)]);
      assert.equal(manifest.tables[0]?.rowCount, rows, JSON.stringify(text));
      assert.deepEqual(
        manifest.tables[0]?.columns.map(({ name }) => name),
        columns,
      );
    }
  });

  it('refuses a record with another number of fields, naming the line', async () => {
    await rejects('a,b\n1,2\n3\n4,5\n', /visits\.csv:3: 1 fields, and the first line has 2/);
    await rejects('a,b\n1,2\n3,4,5\n', /visits\.csv:3: 3 fields/);
    await rejects('a,b\n"x\ny",1\n3\n', /visits\.csv:4: 1 fields/);
    await rejects('a,b\n1,2\n\n3,4\n', /visits\.csv:3: an empty line/);
  });

  it('refuses broken quotes, bytes that are no text, and mixed line ends', async () => {
    await rejects('a,b\n1,"2\n3,4\n', /visits\.csv:2: a quote is opened here and never closed/);
    await rejects('a,b\n1,5" pipe\n', /visits\.csv:2: a quote inside an unquoted field/);
    await rejects('a,b\n1,"x"y\n', /visits\.csv:2: text after a closing quote/);
    await rejects('a,b\n1,2\r\n3,4\n', /visits\.csv:2: this line ends in another way/);
    await rejects(Buffer.from([0x61, 0x0a, 0x31, 0x0a, 0xff, 0xfe, 0x0a]), /visits\.csv:3: not valid UTF-8/);
    await rejects('a,b\n1,\0\n', /visits\.csv:2: a NUL byte/);
    await rejects('', /the file is empty/);
    await rejects(`a,b\n1,${'x'.repeat(1_100_000)}\n`, /visits\.csv:2: a record of more than/);
  });

  it('names what is no CSV at all, and says what to do with it', async () => {
    await rejects(gzipSync('a,b\n1,2\n'), /visits\.csv: this is no CSV file: it is packed with gzip; unpack it/);
    await rejects(Buffer.from('\ufeffa,b\n1,2\n', 'utf16le'), /it is text in UTF-16; save it as UTF-8/);
    await rejects(Buffer.from('PK\x03\x04\x14\0', 'latin1'), /a spreadsheet \(xlsx, ods\).* save the sheet as CSV/);
    await rejects(Buffer.from('SQLite format 3\0', 'latin1'), /an SQLite database/);
  });

  it('refuses names that could be taken for others', async () => {
    await rejects('a,a\n1,2\n', /column `a` appears twice/);
    await rejects('a,A\n1,2\n', /column `A` differs from `a` only in case/);
    await rejects('a,\n1,2\n', /column 2 ``: the name is empty/);
    await rejects('__gb_u0,b\n1,2\n', /belong to the runtime/);
    await rejects(`${'x'.repeat(129)},b\n1,2\n`, /longer than 128/);
    await rejects('a\u202e,b\n1,2\n', /control or invisible/);
  });

  it('gives a version a digest by which nobody can tell whether a guess at its rows is right', async () => {
    const digests = await Promise.all(
      [1, 2].map(async () => {
        await using bench = await BenchFolder.create();
        return (await bench.register('x', [await bench.source('t.csv', 'id,ill\n1,0\n2,1\n')])).manifest.digest;
      }),
    );
    assert.equal(new Set(digests).size, 2);
  });

  it('registers the clinical demo files with all their rows', async () => {
    await using bench = await BenchFolder.create();
    const folder = new URL('../../examples/data/clinical/', import.meta.url);
    const sources = await Promise.all(
      ['colon', 'flchain', 'pbcseq'].map(async (name) =>
        bench.source(`${name}.csv`, await readFile(new URL(`${name}.csv`, folder))),
      ),
    );
    const { manifest } = await bench.register('demo/clinical', sources);
    assert.deepEqual(
      manifest.tables.map(({ name, rowCount }) => [name, rowCount]),
      [
        ['colon', 1858],
        ['flchain', 7874],
        ['pbcseq', 1945],
      ],
    );
    const again = await bench.register('demo/clinical', sources);
    assert.equal(again.manifest.version, 2);
    assert.deepEqual(
      again.manifest.tables.map(({ digest }) => digest),
      manifest.tables.map(({ digest }) => digest),
      'same input, same bytes',
    );
  });
});

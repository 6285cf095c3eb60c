import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DatasetError } from '../../runtime/dataset/dataset-error.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../runtime/dataset/engine.ts';
import type { SourceReader } from '../../runtime/dataset/ingest-events.ts';
import { DEFAULT_CSV_OPTIONS, formatOf } from '../../runtime/dataset/source.ts';
import { FileGuard } from '../../runtime/dataset/verify.ts';
import { inProcessReader } from '../../runtime/dataset/worker/read-sources.ts';
import { ConsumerTables, TABLE_LIMITS, tableFolder } from '../../runtime/gateway/datasets/consumer-tables.ts';
import { Fault } from '../../runtime/rpc/fault.ts';
import { openStore, type Store } from '../../runtime/store/store.ts';

/** What is kept of consumers' tables, over a real store and real files; the files are read in this process. */
describe('what a consumer brought, on the disk', () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-tables-'));
  const root = join(folder, 'tables');
  let now = Date.UTC(2026, 5, 1);
  let store: Store;
  let tables: ConsumerTables;
  const open = (reader: SourceReader = inProcessReader): Promise<ConsumerTables> =>
    ConsumerTables.open({
      store,
      nowMs: () => now,
      randomBytes: (count) => new Uint8Array(count),
      pseudonymOf: () => 'p:0123',
      log: () => undefined,
      layout: {
        root,
        parse: () => Promise.reject(new Error('nothing to parse')),
        limits: DEFAULT_ENGINE_LIMITS,
        guard: new FileGuard(),
        hashKey: new Uint8Array(32),
      },
      reader: () => reader,
    });
  before(async () => {
    store = await openStore({ path: folder, clock: () => now });
    tables = await open();
  });
  after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function upload(name: string, content: string | Uint8Array, days = 0, from: ConsumerTables = tables) {
    const path = join(folder, 'upload');
    writeFileSync(path, content);
    const bytes = Buffer.from(content);
    const source = {
      path,
      label: 'upload',
      bytes: bytes.length,
      format: formatOf(bytes.subarray(0, 16)),
      table: null,
      sourceTable: null,
      csv: DEFAULT_CSV_OPTIONS,
    };
    return from.upload('acme', { name, days, source });
  }
  const files = (): readonly string[] =>
    readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(parquet|duckdb)$/.test(name));
  const complaint = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
      return 'ok';
    } catch (error) {
      if (error instanceof Fault || error instanceof DatasetError) return `${error.code}: ${error.message}`;
      throw error;
    }
  };

  it('refuses whole what is damaged, too wide, too long or too large once it is read; nothing stays behind', async () => {
    const wide = Array.from({ length: TABLE_LIMITS.maxColumns + 1 }, (_, column) => `c${column}`).join();
    const cases: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
      ['bad', 'a,b\n1\n"', /^invalid-file/],
      ['bad', '', /^invalid-file/],
      ['bad', Buffer.from('PAR1garbagePAR1'), /^invalid-file/],
      ['bad', Buffer.from('ARROW1\0\0garbage'), /^invalid-file/],
      ['bad', Buffer.from('\xff\xff\xff\xffgarbage', 'latin1'), /^invalid-file/],
      ['bad', Buffer.from('........DUCK....'), /CSV, Parquet or Arrow/],
      ['bad', `${wide}\n${wide}\n`, /at most 32 columns/],
      ['bad', `n\n${'1\n'.repeat(TABLE_LIMITS.maxRows + 1)}`, /at most 1000000 rows/],
      ['bad', '__gb_u0\n1\n', /belong to the runtime/],
      ['bad', 'A,a\n1,2\n', /only in case/],
      ...['Bad', '', '1a', '../bad', 'bad"; drop', 'a'.repeat(64), 'ä'].map(
        (name) => [name, 'a\n1\n', /table name/] as const,
      ),
    ];
    for (const [name, content, expected] of cases)
      assert.match(await complaint(upload(name, content)), expected, JSON.stringify(name));
    assert.match(await complaint(upload('x', 'a\n1\n', TABLE_LIMITS.maxDays + 1)), /365 days/);
    const swollen: SourceReader = {
      async *read() {
        yield { kind: 'table', name: 'rows', label: 'upload', columns: [{ name: 'a', type: { kind: 'text' } }] };
        const data = new Uint8Array(1 << 20).fill(97);
        const offsets = Int32Array.of(0, data.length);
        for (;;)
          yield {
            kind: 'batch',
            batch: { rowCount: 1, columns: [{ kind: 'utf8', offsets, data, validity: null } as never] },
          };
      },
    };
    assert.match(await complaint(upload('x', 'a\n1\n', 0, await open(swollen))), /bytes when it is read|invalid-file/);
    assert.deepEqual(tables.list('acme'), []);
    assert.deepEqual(files(), []);
  });

  it('keeps so many tables of a party, and one upload at a time', async () => {
    for (let i = 0; i < TABLE_LIMITS.maxTables; i++) await upload(`t${i}`, `a\n${i}\n`);
    assert.match(await complaint(upload('more', 'a\n1\n')), /at most 16 are kept/);
    assert.equal(await complaint(upload('t3', 'a\n1\n')), 'ok', 'in place of one');
    const release = tables.occupy('acme');
    assert.throws(() => tables.occupy('acme'), /being uploaded/);
    assert.match(await complaint(tables.remove('acme', 't3')), /being uploaded/);
    tables.occupy('other')();
    release();
    for (const { body } of tables.list('acme')) assert.equal(await tables.remove('acme', body.name), true);
    assert.equal(await tables.remove('acme', 't3'), false);
    assert.deepEqual(files(), []);
  });

  it('has one identity for one content, and another one for any other', async () => {
    const [first, second, third] = [
      await upload('one', 'a,b\n1,x\n'),
      await upload('two', 'a,b\n1,x\n'),
      await upload('one', 'a,b\n1,y\n'),
    ];
    assert.equal(first.body.digest, second.body.digest);
    assert.notEqual(first.body.digest, third.body.digest);
    assert.equal(files().length, 4, 'a file of record and a layout each: what was replaced is gone');
    assert.equal((await tables.find('acme', 'one'))?.record.body.digest, third.body.digest);
    assert.equal(await tables.find('other', 'one'), null);
  });

  it('forgets at its start what no record names, and records whose files are gone', async () => {
    mkdirSync(join(root, 'datasets', 't-left', 'v1'), { recursive: true });
    writeFileSync(join(root, 'datasets', 't-left', 'v1', 'rows.parquet'), 'left');
    mkdirSync(join(root, 'layouts', 'left'));
    rmSync(tableFolder(root, 'acme', 'two'), { recursive: true });
    tables = await open();
    assert.deepEqual(
      tables.list('acme').map(({ body }) => body.name),
      ['one'],
    );
    assert.equal(files().length, 2);
    assert.notEqual(await tables.find('acme', 'one'), null);
  });

  it('deletes what has expired, once, and what was uploaded anew meanwhile stays', async () => {
    await upload('old', 'a\n1\n', 1);
    now += 86_400_000;
    assert.equal(await tables.find('acme', 'old'), null, 'not a moment longer');
    await Promise.all([tables.sweep(), tables.sweep()]);
    assert.deepEqual(
      tables.list('acme').map(({ body }) => body.name),
      ['one'],
    );
    await upload('old', 'a\n2\n', 1);
    await tables.sweep();
    assert.notEqual(await tables.find('acme', 'old'), null);
  });
});

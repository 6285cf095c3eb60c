import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as arrow from 'apache-arrow';
import { DatasetError } from '../../runtime/dataset/dataset-error.ts';
import { buildLayout } from '../../runtime/dataset/layout.ts';
import { parseInWorker, planInWorker } from '../../runtime/dataset/parse-in-worker.ts';
import { jailedReader, readThrough } from '../../runtime/dataset/read-in-worker.ts';
import { runEnforced } from '../../runtime/dataset/run-enforced.ts';
import { FileGuard } from '../../runtime/dataset/verify.ts';
import { linkOf, type WorkerLink } from '../../runtime/dataset/worker-link.ts';
import { rowsOf, type Cell } from '../../runtime/release/column-values.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { WorkerFault as WorkerEnded } from '../../runtime/sandbox/worker-end.ts';
import { BenchFolder, LIMITS } from './bench-folder.ts';
import { parseHere } from './scope-parser.ts';

const told =
  (words: RegExp) =>
  (error: unknown): boolean =>
    error instanceof DatasetError && words.test(error.message);

let pool: WorkerPool;
before(async () => {
  pool = await WorkerPool.start({ root: fileURLToPath(new URL('../..', import.meta.url)) });
});
after(() => pool.close());

describe('in the jail', () => {
  it('a layout is queried and the worker serves again', async () => {
    await using bench = await BenchFolder.create();
    const { manifest } = await bench.register(
      'h/v',
      [await bench.source('t.csv', 'id,cost\n1,10\n2,20\n2,30\n')],
      jailedReader(pool, 'hospital'),
    );
    const table = {
      name: 't',
      columns: ['cost'],
      units: [{ columns: ['id'], via: [] }],
      rows: null,
      bounds: {},
      maxRowsPerUnit: null,
      isTagged: true,
    };
    const needs = {
      root: bench.root,
      parse: parseHere,
      limits: LIMITS,
      guard: new FileGuard(),
      hashKey: new Uint8Array(32),
    };
    const layout = await buildLayout(needs, manifest, { tables: [table] });
    for (let i = 0; i < 2; i++) {
      const lease = await pool.lease({
        kind: 'sql',
        party: 'acme',
        mounts: [{ hostPath: layout.path, guestPath: '/data/0.duckdb' }],
      });
      const run = runEnforced(linkOf(lease), [{ alias: 'd0', path: '/data/0.duckdb' }], {
        setup: [`CREATE TEMP TABLE g AS SELECT sum(cost) AS s, count(DISTINCT "__gb_u0") AS u FROM "d0"."t"`],
        result: 'SELECT s, u FROM g',
        outputs: [{ name: 's', type: { kind: 'integer', bits: 128, isSigned: true }, role: 'cell' }],
        certificates: [{ name: 'u', meaning: 'units', unit: 'id' }],
        summary: 'SELECT 0::BIGINT',
        inWords: [],
        canonical: '',
      });
      const rows: Cell[][] = [];
      for await (const batch of run.batches()) rows.push(...rowsOf(run.schema, batch));
      assert.deepEqual(rows, [[60n, 2n]]);
      assert.equal(run.outcome.kind, 'done');
      lease.release();
    }
  });

  it('a damaged file is told to the provider and leaves nothing', async () => {
    await using bench = await BenchFolder.create();
    const source = await bench.source('t.csv', 'id,cost\n1,10\n2\n');
    await assert.rejects(
      bench.register('h/v', [source], jailedReader(pool, 'hospital')),
      /t\.csv:3: 1 fields, and the first line has 2/,
    );
    const arrow = await bench.source('t.arrow', 'ARROW1\0\0 this is none');
    await assert.rejects(bench.register('h/v', [arrow], jailedReader(pool, 'hospital')), /t\.arrow/);
    assert.deepEqual(await bench.left(), []);
  });

  it('a file that sends its reader round in circles is told as damaged, not as the kill that ends it', async () => {
    const ended = Promise.withResolvers<never>();
    const silent: WorkerLink = {
      send: () => Promise.resolve(),
      next: () => ended.promise,
      kill: () => ended.reject(new WorkerEnded({ reason: 'STOPPED', detail: '' })),
    };
    await assert.rejects(
      async () => {
        for await (const event of readThrough(silent, { sources: [], limits: LIMITS }, 20)) assert.ok(event);
      },
      told(/its reader made no progress/),
    );
  });

  it('a file of which its reader dies is told as damaged, and a row that is too long as such', async () => {
    const dying: WorkerLink = {
      send: () => Promise.resolve(),
      next: () => Promise.reject(new WorkerEnded({ reason: 'CRASHED', detail: 'exit code 139' })),
      kill: () => {},
    };
    await assert.rejects(
      async () => {
        for await (const event of readThrough(dying, { sources: [], limits: LIMITS })) assert.ok(event);
      },
      told(/its reader broke down; it is probably damaged/),
    );
    await using bench = await BenchFolder.create();
    const long = new arrow.Table({ text: arrow.vectorFromArray(['x'.repeat(5_000_000)], new arrow.Utf8()) });
    const source = await bench.source('long.arrow', arrow.tableToIPC(long, 'file'), { format: 'arrow-file' });
    await assert.rejects(
      bench.register('h/v', [source], jailedReader(pool, 'hospital')),
      told(/long\.arrow: table `long`: a row of more than 4194304 bytes/),
    );
    assert.deepEqual(await bench.left(), []);
  });

  it('a query is parsed and a plan is bound', async () => {
    const lease = await pool.lease({ kind: 'parser', party: 'acme' });
    const tree = await parseInWorker(linkOf(lease), 'SELECT 1');
    assert.equal(tree.kind, 'text');
    const plan = await planInWorker(
      linkOf(lease),
      [`ATTACH ':memory:' AS d0`, 'CREATE TABLE d0.t (a INTEGER)'],
      [{ sql: 'SELECT sum(a) FROM d0.t', isRun: false }],
    );
    assert.equal(plan.kind, 'text');
    lease.release();
  });
});

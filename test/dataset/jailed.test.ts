import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildLayout } from '../../runtime/dataset/layout.ts';
import { parseInWorker, planInWorker } from '../../runtime/dataset/parse-in-worker.ts';
import { jailedReader } from '../../runtime/dataset/read-in-worker.ts';
import { runEnforced } from '../../runtime/dataset/run-enforced.ts';
import { FileGuard } from '../../runtime/dataset/verify.ts';
import { linkOf } from '../../runtime/dataset/worker-link.ts';
import { rowsOf, type Cell } from '../../runtime/release/column-values.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { BenchFolder, LIMITS } from './bench-folder.ts';
import { parseHere } from './scope-parser.ts';

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

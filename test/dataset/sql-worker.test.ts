import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { runEnforced } from '../../runtime/dataset/run-enforced.ts';
import type { EnforcedQuery, OutputColumn } from '../../runtime/query/enforced.ts';
import { rowsOf, type Cell } from '../../runtime/release/column-values.ts';
import { startBareWorker, type BareWorker } from './bare-worker.ts';

let folder: string;
let file: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'glovebox-sql-'));
  file = join(folder, 'layout.duckdb');
  const instance = await DuckDBInstance.create(file);
  const connection = await instance.connect();
  await connection.run(`create table visits as select i::integer id, (i % 3)::integer AS kind, (i * 0.5)::double AS cost,
    'ward ' || (i % 7) AS ward from range(10000) t(i)`);
  connection.closeSync();
  instance.closeSync();
});
after(() => rm(folder, { recursive: true }));

const enforced = (
  result: string,
  outputs: readonly OutputColumn[],
  more: Partial<EnforcedQuery> = {},
): EnforcedQuery => ({
  setup: [],
  result,
  outputs,
  certificates: [],
  summary: 'SELECT 0::BIGINT',
  inWords: [],
  canonical: '',
  ...more,
});

const run = async (worker: BareWorker, query: EnforcedQuery, signal?: AbortSignal) => {
  const job = runEnforced(worker, [{ alias: 'd0', path: file }], query, signal === undefined ? {} : { signal });
  const rows: Cell[][] = [];
  for await (const batch of job.batches()) rows.push(...rowsOf(job.schema, batch));
  return { rows, outcome: job.outcome };
};

const integer = (bits: 32 | 64 | 128) => ({ kind: 'integer', bits, isSigned: true }) as const;

describe('the sql worker', () => {
  it('answers an enforced query with batches, certificates and the withheld count', async () => {
    await using worker = await startBareWorker('sql');
    const query = enforced(
      `SELECT kind, total, units FROM g ORDER BY kind`,
      [
        { name: 'kind', type: integer(32), role: 'key' },
        { name: 'total', type: integer(128), role: 'cell' },
      ],
      {
        setup: [
          `CREATE TEMP TABLE g AS SELECT kind, sum(id) AS total, count(*) AS units FROM "d0"."visits" GROUP BY kind`,
        ],
        certificates: [{ name: '__gb_units', meaning: 'units', unit: 'id' }],
        summary: 'SELECT 3::BIGINT',
      },
    );
    const { rows, outcome } = await run(worker, query);
    assert.deepEqual(rows, [
      [0, 16668333n, 3334n],
      [1, 16661667n, 3333n],
      [2, 16665000n, 3333n],
    ]);
    assert.equal(outcome.kind, 'done');
    assert.equal(outcome.kind === 'done' && outcome.summary.withheldCells, 3n);
    // the temporary table died with the job
    const again = await run(worker, enforced('SELECT kind FROM g', [{ name: 'kind', type: integer(32), role: 'key' }]));
    assert.deepEqual(again.outcome, { kind: 'failed', code: 'failed' });
  });

  it('gives one code for every failure among rows and serves the next job', async () => {
    await using worker = await startBareWorker('sql');
    const key: OutputColumn[] = [{ name: 'k', type: integer(32), role: 'key' }];
    for (const sql of [
      `SELECT CAST(ward AS INTEGER) FROM "d0"."visits"`,
      `SELECT (id * 1000000)::INTEGER FROM "d0"."visits"`,
      `SELECT ward FROM "d0"."visits"`,
      `SELECT error('secret') FROM "d0"."visits"`,
      `SELECT 1 FROM read_csv('/etc/passwd')`,
      `CREATE TABLE "d0".x AS SELECT 1`,
    ]) {
      assert.deepEqual((await run(worker, enforced(sql, key))).outcome, { kind: 'failed', code: 'failed' }, sql);
    }
    const { rows } = await run(worker, enforced(`SELECT id FROM "d0"."visits" WHERE id < 2 ORDER BY 1`, key));
    assert.deepEqual(rows, [[0], [1]]);
  });

  it('takes statements that are longer than one frame ahead of the job', async () => {
    await using worker = await startBareWorker('sql');
    const rows = Array.from(
      { length: 20_000 },
      (_, i) => `(${i}, 'a value of some length that is long enough, numbered ${i}')`,
    );
    const setup = Array.from(
      { length: 20 },
      (_, part) =>
        `${part === 0 ? 'CREATE TEMP TABLE n AS' : 'INSERT INTO n'} SELECT * FROM (VALUES ${rows.slice(part * 1000, (part + 1) * 1000).join(', ')}) v(i, t)`,
    );
    assert.ok(setup.join('').length > 2 ** 20);
    const query = enforced(
      'SELECT count(*), min(t) FROM n',
      [
        { name: 'n', type: integer(64), role: 'cell' },
        { name: 't', type: { kind: 'text' }, role: 'cell' },
      ],
      { setup },
    );
    const { rows: seen, outcome } = await run(worker, query);
    assert.deepEqual(seen, [[20_000n, 'a value of some length that is long enough, numbered 0']]);
    assert.equal(outcome.kind, 'done');
    // What came ahead belonged to that job alone.
    const next = await run(worker, enforced('SELECT 1 AS one', [{ name: 'one', type: integer(32), role: 'key' }]));
    assert.deepEqual(next.rows, [[1]]);
  });

  it('stops a running query when it is cancelled', async () => {
    await using worker = await startBareWorker('sql');
    const slow = enforced(
      `SELECT count(*) FROM "d0"."visits" a, "d0"."visits" b, "d0"."visits" c WHERE a.id + b.id = c.id * 3`,
      [{ name: 'n', type: integer(64), role: 'cell' }],
    );
    const abort = new AbortController();
    const answer = run(worker, slow, abort.signal);
    setTimeout(() => abort.abort(), 100);
    assert.deepEqual((await answer).outcome, { kind: 'failed', code: 'cancelled' });
  });

  it('splits texts that are too long for one frame', async () => {
    await using worker = await startBareWorker('sql');
    const query = enforced(`SELECT repeat(ward, 3000) AS t FROM "d0"."visits" WHERE id < 900 ORDER BY id`, [
      { name: 't', type: { kind: 'text' }, role: 'cell' },
    ]);
    const { rows } = await run(worker, query);
    assert.equal(rows.length, 900);
    assert.equal(rows[8]?.[0], 'ward 1'.repeat(3000));
  });
});

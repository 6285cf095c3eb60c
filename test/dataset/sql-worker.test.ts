import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { runEnforced } from '../../runtime/dataset/run-enforced.ts';
import type { EnforcedQuery, Gate, OutputColumn } from '../../runtime/query/enforced.ts';
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

const run = async (
  worker: BareWorker,
  query: EnforcedQuery,
  options: { readonly signal?: AbortSignal; readonly isFewCells?: boolean } = {},
) => {
  const job = runEnforced(worker, [{ alias: 'd0', path: file }], query, options);
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
    const answer = run(worker, slow, { signal: abort.signal });
    setTimeout(() => abort.abort(), 100);
    assert.deepEqual((await answer).outcome, { kind: 'failed', code: 'cancelled' });
  });

  it('answers over few cells, where a job is run in one go, what it answers over many', async () => {
    await using worker = await startBareWorker('sql');
    const kinds: OutputColumn[] = [
      { name: 'kind', type: integer(32), role: 'key' },
      { name: 'n', type: integer(64), role: 'cell' },
    ];
    const made = (table: string): string =>
      `CREATE TEMP TABLE ${table} AS SELECT kind, count(*) AS n, kind = 9 AS open FROM "d0"."visits" AS r0 GROUP BY kind`;
    const result = 'SELECT kind, n FROM g ORDER BY kind';
    const summary = 'SELECT count(*)::BIGINT FROM g';
    const queries = [
      enforced(result, kinds, { setup: [made('g')], summary }),
      enforced(`${result} -- a remark`, kinds, { setup: [`${made('g')} -- another`], summary }),
      // Nothing is open: what would fail is spared.
      enforced(result, kinds, {
        setup: [made('g'), `SELECT error('not spared')`],
        gates: [{ table: 'g', from: 1, to: 2 }],
        summary,
      }),
      enforced('SELECT id, id::BIGINT * 2 AS n FROM "d0"."visits" AS r0 ORDER BY id', kinds),
      enforced(
        'SELECT r0.id, r1.id::BIGINT AS n FROM "d0"."visits" AS r0 JOIN "d0"."visits" AS r1 ON (r0.id = r1.id) ORDER BY 1',
        kinds,
      ),
    ];
    for (const query of queries) {
      const wanted = await run(worker, query);
      for (let time = 0; time < 2; time += 1) {
        const { rows, outcome } = await run(worker, query, { isFewCells: true });
        assert.deepEqual(rows, wanted.rows, query.result);
        assert.deepEqual(
          { ...outcome, summary: null, cells: outcome.kind === 'done' && outcome.summary.withheldCells },
          {
            ...wanted.outcome,
            summary: null,
            cells: wanted.outcome.kind === 'done' && wanted.outcome.summary.withheldCells,
          },
        );
      }
    }
  });

  it('spares what stands behind a closed gate, and asks each of several gates in turn', async () => {
    await using worker = await startBareWorker('sql');
    const marks: OutputColumn[] = [{ name: 'n', type: integer(64), role: 'cell' }];
    const gate = (table: string, isOpen: boolean): string => `CREATE TEMP TABLE ${table} AS SELECT ${isOpen} AS open`;
    const mark = (n: number): string => `INSERT INTO g VALUES (${n})`;
    const setup = [
      'CREATE TEMP TABLE g (n BIGINT)',
      gate('first', false),
      `${gate('second', true)} -- a remark`,
      mark(1),
      mark(2),
      mark(3),
      mark(4),
    ];
    const told = async (...gates: readonly Gate[]): Promise<unknown> => {
      const { rows } = await run(worker, enforced('SELECT n FROM g ORDER BY n', marks, { setup, gates }));
      return rows.flat();
    };
    const [closed, open] = ['first', 'second'];
    assert.deepEqual(await told(), [1n, 2n, 3n, 4n]);
    assert.deepEqual(await told({ table: closed, from: 3, to: 5 }), [3n, 4n]);
    assert.deepEqual(await told({ table: open, from: 3, to: 5 }), [1n, 2n, 3n, 4n]);
    assert.deepEqual(await told({ table: closed, from: 3, to: 5 }, { table: closed, from: 5, to: 6 }), [4n]);
    assert.deepEqual(await told({ table: closed, from: 3, to: 5 }, { table: open, from: 5, to: 6 }), [3n, 4n]);
    assert.deepEqual(await told({ table: open, from: 3, to: 4 }, { table: closed, from: 5, to: 7 }), [1n, 2n]);
    assert.deepEqual(await told({ table: closed, from: 3, to: 7 }), []);
  });

  it('over few cells keeps no table for the next job, tells one code for every failure and serves on', async () => {
    await using worker = await startBareWorker('sql');
    const key: OutputColumn[] = [{ name: 'k', type: integer(32), role: 'key' }];
    const few = (query: EnforcedQuery) => run(worker, query, { isFewCells: true });
    const good = enforced('SELECT k FROM g', key, { setup: ['CREATE TEMP TABLE g AS SELECT 1 AS k'] });
    assert.deepEqual((await few(good)).rows, [[1]]);
    for (const bad of [
      enforced('SELECT k FROM g', key),
      enforced(`SELECT CAST(ward AS INTEGER) AS k FROM "d0"."visits" AS r0`, key),
      enforced('SELECT 1 AS k', key, { setup: [`SELECT error('secret')`] }),
      enforced('SELECT 1 AS k', key, { setup: ['SET threads = 4'] }),
      enforced('SELECT 1 AS k, 2 AS l', key),
      enforced('SELECT 1 AS k', key, { summary: 'SELECT 1::BIGINT WHERE false' }),
    ]) {
      assert.deepEqual((await few(bad)).outcome, { kind: 'failed', code: 'failed' }, bad.result);
      assert.deepEqual((await few(good)).rows, [[1]]);
    }
  });

  it('stops a job over few cells when it is cancelled, between two statements too', async () => {
    await using worker = await startBareWorker('sql');
    const abort = new AbortController();
    const slow = enforced('SELECT 1 AS k', [{ name: 'k', type: integer(32), role: 'key' }], {
      setup: Array.from(
        { length: 200 },
        (_, i) => `CREATE TEMP TABLE s${i} AS SELECT sum(a * b) AS s FROM range(3000) x(a), range(3000) y(b)`,
      ),
    });
    const answer = run(worker, slow, { signal: abort.signal, isFewCells: true });
    setTimeout(() => abort.abort(), 50);
    // In the gap between two statements the engine does not hear of it: then the worker is killed.
    const outcome = await answer.then(
      (done) => done.outcome,
      (fault: unknown) => String(fault),
    );
    if (typeof outcome === 'string') assert.match(outcome, /died/);
    else assert.deepEqual(outcome, { kind: 'failed', code: 'cancelled' });
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

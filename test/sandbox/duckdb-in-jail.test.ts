import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { parseJsonPayload } from '../../runtime/sandbox/channel.ts';
import type { Mount } from '../../runtime/sandbox/stage.ts';
import { runJob, startTestPool, type TestPool } from './test-pool.ts';

let pool: TestPool;
let folder: string;
let mounts: readonly Mount[];

before(async () => {
  pool = await startTestPool({ maxWorkers: 3 });
  folder = await mkdtemp(join(tmpdir(), 'glovebox-test-')); // 0700, as an operator's data directory may be
  const [database, parquet] = [join(folder, 'v.duckdb'), join(folder, 'v.parquet')];
  const instance = await DuckDBInstance.create(database);
  const connection = await instance.connect();
  await connection.run('CREATE TABLE t AS SELECT range AS i, range % 7 AS g FROM range(300000)');
  await connection.run(`COPY t TO '${parquet}' (FORMAT parquet)`);
  connection.closeSync();
  instance.closeSync();
  await chmod(database, 0o600);
  await chmod(parquet, 0o600);
  mounts = [
    { hostPath: database, guestPath: '/data/v.duckdb' },
    { hostPath: parquet, guestPath: '/data/v.parquet' },
  ];
});
after(async () => {
  await pool?.close();
  await rm(folder, { recursive: true, force: true });
});

async function sql(...texts: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const frame = await runJob(pool, { kind: 'duckdb', mounts }, { sql: texts });
  return parseJsonPayload(frame.payload);
}

test('DuckDB reads an attached database and a Parquet file of a 0700 folder inside the jail', async (t) => {
  if (pool.skipReason !== undefined) return t.skip(pool.skipReason);
  const attach = `ATTACH '/data/v.duckdb' AS d (READ_ONLY)`;
  const grouped = await sql(attach, 'SELECT g, count(*), sum(i)::DOUBLE FROM d.t GROUP BY g ORDER BY g LIMIT 1');
  assert.deepEqual(grouped['rows'], [['0', '42858', (7 * 42857 * 42858) / 2]]);
  const parquet = await sql(`SELECT count(*), max(i) FROM '/data/v.parquet'`);
  assert.deepEqual(parquet['rows'], [['300000', '299999']]);
});

test('a wide parallel query with many threads works under the filter', async (t) => {
  if (pool.skipReason !== undefined) return t.skip(pool.skipReason);
  const answer = await sql(
    'CREATE TABLE a AS SELECT range AS i, hash(range) AS h FROM range(1000000)',
    'SELECT count(*) FROM (SELECT a.i FROM a JOIN a AS b ON a.h = b.h ORDER BY a.h DESC, b.i)',
  );
  assert.deepEqual(answer['rows'], [['1000000']]);
});

test('an engine that runs out of memory says so, because there is no disk to spill to', async (t) => {
  if (pool.skipReason !== undefined) return t.skip(pool.skipReason);
  const answer = await sql(
    'SELECT count(*) FROM (SELECT range, repeat(range::VARCHAR, 50) AS s FROM range(20000000) ORDER BY s)',
  );
  assert.match(String(answer['text']), /Out of Memory/i);
});

test('SQL that reaches for files, writes, extensions or the network gets nothing', async (t) => {
  if (pool.skipReason !== undefined) return t.skip(pool.skipReason);
  for (const text of [
    `SELECT * FROM read_text('/etc/passwd')`,
    `SELECT * FROM glob('/etc/*')`,
    `SELECT * FROM read_text('/proc/self/environ')`,
    `COPY (SELECT 1) TO '/data/x.csv'`,
    `COPY (SELECT 1) TO '/x.csv'`,
    `ATTACH '/data/v.duckdb' AS w`,
    `LOAD httpfs`,
  ]) {
    const outcome = await sql(text).then(
      (answer) => answer['rows'] ?? 'refused',
      (error: Error) => error.message,
    );
    const isNothing =
      outcome === 'refused' || /VIOLATION/.test(JSON.stringify(outcome)) || JSON.stringify(outcome) === '[]';
    assert.ok(isNothing, `${text} answered ${JSON.stringify(outcome)}`);
  }
});

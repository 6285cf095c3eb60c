import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSealedEngine } from '../../runtime/dataset/engine.ts';

test('a look at the first rows of a table is a scan and no join, and sees the first rows', async () => {
  const engine = await openSealedEngine([], { threads: 1, memoryMiB: 256 });
  const connection = await engine.connect();
  await connection.run(
    'CREATE TEMP TABLE t AS SELECT i AS a, i + 1 AS b, i + 2 AS c, i + 3 AS d FROM range(300000) r(i)',
  );
  const look = 'SELECT a, b, d FROM t LIMIT 7000';
  const plan = JSON.stringify((await connection.runAndReadAll(`EXPLAIN ${look}`)).getRowsJson());
  assert.match(plan, /LIMIT/);
  assert.doesNotMatch(plan, /JOIN/);
  const [row] = (await connection.runAndReadAll(`SELECT count(*), max(a), min(d) FROM (${look})`)).getRowsJson();
  assert.deepEqual(row, ['7000', '6999', '3']);
  connection.closeSync();
  engine.closeSync();
});

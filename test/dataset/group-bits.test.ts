import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSealedEngine } from '../../runtime/dataset/engine.ts';
import { groupBitsFor } from '../../runtime/dataset/group-bits.ts';

const SHORT = ['CREATE TEMP TABLE g AS SELECT k, sum(x), count(*) FROM t GROUP BY k'];

test('there is no more room for groups than rows to fill it, and never less than the engine takes by itself', () => {
  assert.equal(groupBitsFor(0, SHORT), 12);
  assert.equal(groupBitsFor(10_000, []), 12);
  assert.equal(groupBitsFor(300_000, SHORT), 12);
  assert.equal(groupBitsFor(2_000_000, SHORT), 16);
  assert.equal(groupBitsFor(10_000_000, SHORT), 18);
  assert.equal(groupBitsFor(Number.MAX_SAFE_INTEGER, SHORT), 18);
});

test('a statement of very many aggregates gets room for fewer groups', () => {
  const wide = [...SHORT, `SELECT ${Array.from({ length: 1_000 }, (_, i) => `sum(x + ${i})`).join(', ')} FROM t`];
  assert.equal(groupBitsFor(10_000_000, wide), 12);
});

test('keys of many groups are numbers of places in an engine that is told so, and the answer is the same', async () => {
  const answers: string[] = [];
  for (const groupBits of [undefined, 17]) {
    const limits = { threads: 1, memoryMiB: 256, ...(groupBits === undefined ? {} : { groupBits }) };
    const engine = await openSealedEngine([], limits);
    const connection = await engine.connect();
    await connection.run(
      'CREATE TEMP TABLE t AS SELECT (i % 91)::INTEGER AS a, (i % 101)::INTEGER AS b, i AS x FROM range(40000) r(i)',
    );
    const sql = 'SELECT a, b, sum(x), count(*) FROM t GROUP BY a, b';
    const plan = JSON.stringify((await connection.runAndReadAll(`EXPLAIN ${sql}`)).getRowsJson());
    assert.equal(plan.includes('PERFECT_HASH_GROUP_BY'), groupBits !== undefined);
    answers.push(JSON.stringify((await connection.runAndReadAll(`${sql} ORDER BY a, b`)).getRowsJson()));
    connection.closeSync();
    engine.closeSync();
  }
  assert.equal(answers[0], answers[1]);
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseInWorker, planInWorker } from '../../runtime/dataset/parse-in-worker.ts';
import { startBareWorker } from './bare-worker.ts';

const SCHEMA = [`ATTACH ':memory:' AS "d0"`, `CREATE TABLE "d0"."visits" ("id" INTEGER, "cost" DOUBLE)`];

describe('the parser worker', () => {
  it('answers the tree of a query, and of one that does not parse', async () => {
    await using worker = await startBareWorker('parser');
    const good = await parseInWorker(worker, 'SELECT ward, count(*) FROM visits GROUP BY 1');
    assert.equal(good.kind === 'text' && JSON.parse(good.value).statements.length, 1);
    const bad = await parseInWorker(worker, 'SELEC 1');
    assert.equal(bad.kind === 'text' && JSON.parse(bad.value).error, true);
    const insert = await parseInWorker(worker, 'DELETE FROM visits');
    assert.equal(insert.kind === 'text' && JSON.parse(insert.value).error, true);
  });

  it('answers bound plans over empty tables, temporary tables included', async () => {
    await using worker = await startBareWorker('parser');
    const statements = [
      { sql: `CREATE TEMP TABLE "g" AS SELECT id, sum(cost) AS s FROM "d0"."visits" GROUP BY id`, isRun: true },
      { sql: `SELECT s FROM "g"`, isRun: false },
    ];
    for (let i = 0; i < 2; i++) {
      const answer = await planInWorker(worker, SCHEMA, statements);
      assert.equal(answer.kind, 'text');
      if (answer.kind === 'text') assert.match(answer.value[0] ?? '', /seq_scan/);
    }
    const wrong = await planInWorker(worker, SCHEMA, [{ sql: 'SELECT nothing FROM "d0"."visits"', isRun: false }]);
    assert.ok(wrong.kind === 'refused' || JSON.parse(wrong.value[0] ?? '').error === true);
    const files = await planInWorker(worker, SCHEMA, [{ sql: `SELECT * FROM read_text('/etc/passwd')`, isRun: false }]);
    assert.ok(files.kind === 'refused' || JSON.parse(files.value[0] ?? '').error === true);
  });

  it('refuses texts beyond the limit and texts that two readers could read differently', async () => {
    await using worker = await startBareWorker('parser');
    assert.deepEqual(await parseInWorker(worker, `SELECT '${'x'.repeat(17_000)}'`), {
      kind: 'refused',
      code: 'too-long',
    });
    assert.deepEqual(await parseInWorker(worker, 'SELECT 1\0; SELECT 2'), { kind: 'refused', code: 'failed' });
    const deep = await parseInWorker(worker, `SELECT ${'(1+'.repeat(3000)}1${')'.repeat(3000)}`);
    assert.ok(deep.kind === 'refused' || JSON.parse(deep.value).error === true);
    const wide = await parseInWorker(worker, `SELECT 1${' AND true'.repeat(1800)}`);
    assert.equal(wide.kind, 'text');
    const after = await parseInWorker(worker, 'SELECT 1');
    assert.equal(after.kind, 'text');
  });
});

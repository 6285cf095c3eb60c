import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LARGE_QUERIES, SMALL_QUERY } from '../../benchmarks/end-to-end/queries.ts';
import { RawHttp2 } from '../../benchmarks/end-to-end/raw-http2.ts';
import { prepareData } from '../../benchmarks/world/data.ts';
import { PlainDuckDb } from '../../benchmarks/world/plain-duckdb.ts';
import { ProcessUsage } from '../../benchmarks/world/process-usage.ts';

test('data of a size is the same on every machine, made once, and every query has an answer on it', async () => {
  const cache = mkdtempSync(join(tmpdir(), 'glovebox-bench-'));
  try {
    const made: string[] = [];
    const data = await prepareData(cache, 20_000, (text) => made.push(text));
    await prepareData(cache, 20_000, (text) => made.push(text));
    assert.equal(made.length, 1);
    using plain = await PlainDuckDb.open(data.plain, 1);
    assert.deepEqual(await plain.rows('select count(*), sum(amount), sum(person_id), sum(shop_id) from visits'), [
      FINGERPRINT,
    ]);
    for (const { sql, expected } of [SMALL_QUERY, ...LARGE_QUERIES]) {
      const all = await plain.rows(sql);
      assert.ok((await plain.rows(expected)).every((row) => all.includes(row)));
    }
    assert.equal((await plain.rows(SMALL_QUERY.expected)).length, 100);
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
});

/** Of 20,000 rows under the fixed seed; changes only with DuckDB's hash function. */
const FINGERPRINT = '["20000.0000000","99035568.0000","19874760.0000","9935896.00000"]';

test('the bare HTTP/2 floor delivers every byte it is asked for', async () => {
  await using floor = await RawHttp2.start();
  assert.ok((await floor.fetch(3 * 2 ** 20 + 17)) > 0);
});

test('CPU time of a process counts its work and its memory is what the system says', () => {
  const usage = new ProcessUsage(process.pid);
  const before = usage.cpuMs();
  let sum = 0;
  const end = process.cpuUsage().user + 50_000;
  while (process.cpuUsage().user < end) for (let i = 0; i < 1e5; i += 1) sum += i;
  assert.ok(sum > 0);
  assert.ok(usage.cpuMs() - before >= 40);
  assert.ok(Math.abs(usage.residentMiB() - process.memoryUsage.rss() / 2 ** 20) < 50);
});

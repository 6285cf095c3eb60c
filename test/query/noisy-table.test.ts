import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import type { SqlType } from '../../runtime/query/types.ts';
import { fillNoisyTable } from '../../runtime/query/differential/noisy-table.ts';

const DAYS = 2 ** 31 - 1;
const MICROS = 2n ** 63n - 1n;

test('days and moments without an end reach the engine like all others', async () => {
  const keys = (['date', 'timestamp'] as const).map((kind) => ({
    name: kind,
    type: { kind } as SqlType,
    values: null,
  }));
  const rows = [
    [DAYS, MICROS],
    [-DAYS, -MICROS],
    [19_782, 1_709_164_800_000_000n],
    [null, null],
  ];
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    for (const statement of fillNoisyTable({ keys, aggregates: [] }, 0, rows)) await connection.run(statement);
    const found = await connection.runAndReadAll(
      'SELECT CAST(k0 AS VARCHAR), CAST(k1 AS VARCHAR) FROM gb_n0 ORDER BY rn',
    );
    assert.deepEqual(found.getRows(), [
      ['infinity', 'infinity'],
      ['-infinity', '-infinity'],
      ['2024-02-29', '2024-02-29 00:00:00'],
      [null, null],
    ]);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
});

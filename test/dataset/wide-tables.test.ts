import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatasetError } from '../../runtime/dataset/dataset-error.ts';
import { registerDataset } from '../../runtime/dataset/ingest.ts';
import type { SourceReader } from '../../runtime/dataset/ingest-events.ts';
import { BenchFolder } from './bench-folder.ts';

const COLUMNS = 200;
const BATCH_ROWS = 2048;
const BATCHES = 20;

/** A reader of a table that is wider than memory has room for: 200 columns of 40,960 doubles, 64 MiB. */
const wide: SourceReader = {
  async *read() {
    const columns = Array.from({ length: COLUMNS }, (_, i) => ({ name: `q${i}`, type: { kind: 'double' as const } }));
    yield { kind: 'table', name: 'survey', label: 'survey.parquet', columns };
    for (let batch = 0; batch < BATCHES; batch++) {
      const columnsOf = columns.map((_, i) => {
        const values = Float64Array.from(
          { length: BATCH_ROWS },
          (_row, row) => (batch * BATCH_ROWS + row) * 1.000001 + i,
        );
        return { validity: null, values: new Uint8Array(values.buffer), offsets: null };
      });
      yield { kind: 'batch', batch: { rowCount: BATCH_ROWS, columns: columnsOf } };
    }
    yield { kind: 'end', rows: BATCHES * BATCH_ROWS };
  },
};

test('a table that is wider than memory has room for is refused as that, with what to do, and leaves nothing', async () => {
  await using bench = await BenchFolder.create();
  const needs = { root: bench.root, reader: wide, limits: { threads: 1, memoryMiB: 48 } };
  await assert.rejects(
    registerDataset(needs, 'a/wide', [await bench.source('survey.parquet', 'PAR1')]),
    (error) =>
      error instanceof DatasetError &&
      error.code === 'too-large' &&
      error.message ===
        'survey.parquet: a table needs more than 48 MiB of memory at once; split it into tables of fewer columns',
  );
  assert.deepEqual(await bench.left(), []);
});

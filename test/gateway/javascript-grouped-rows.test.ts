import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { groupedRows } from '../../runtime/gateway/javascript/grouped-rows.ts';
import { rowSource } from '../../runtime/gateway/javascript/rows.ts';
import type { ReadColumn, RowsRequest } from '../../runtime/gateway/javascript/row-request.ts';
import { groupsOfBatches } from '../../runtime/sandbox/javascript/group-batches.ts';
import type { GroupBy, GroupedRows } from '../../runtime/sandbox/javascript/source.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';

const folder = await mkdtemp(join(tmpdir(), 'glovebox-groups-'));
const pool = await WorkerPool.start({ root: join(import.meta.dirname, '..', '..') });
after(async () => {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
});

const path = join(folder, 'd0.duckdb');
const instance = await DuckDBInstance.create(path);
const connection = await instance.connect();
await connection.run(`CREATE TABLE t AS SELECT
  CASE WHEN i % 9 = 0 THEN NULL ELSE i END::DOUBLE AS v,
  CASE WHEN i % 5 = 0 THEN NULL WHEN i % 5 = 1 THEN 'north' WHEN i % 5 = 2 THEN 'south' ELSE 'west' END AS ward,
  CASE WHEN i % 7 = 0 THEN NULL ELSE i % 7 END::INTEGER AS grade,
  CASE WHEN i % 4 = 0 THEN NULL ELSE i % 4 = 1 END AS smokes,
  hash(i // 3)::UBIGINT AS __gb_u0, (i % 3)::UINTEGER AS __gb_rank
  FROM range(3000) AS r(i)`);
connection.closeSync();
instance.closeSync();

const column = (
  name: string,
  kind: ReadColumn['kind'],
  type: ReadColumn['type'],
  texts: readonly string[] = [],
): ReadColumn => ({
  name,
  kind,
  isNullable: true,
  type,
  texts,
  other: 'missing',
});

function request(rowCount: bigint): RowsRequest {
  return {
    pool,
    party: 'acme',
    dataset: { file: path, database: 'd0' },
    table: { physical: '"d0"."t"', rowCount, units: [{ hash: '__gb_u0' }] },
    columns: [
      column('v', 'float64', { kind: 'double' }),
      column('ward', 'dictionary', { kind: 'text' }, ['north', 'south', 'west']),
      column('grade', 'int32', { kind: 'integer', bits: 32, isSigned: true }),
      column('smokes', 'boolean', { kind: 'boolean' }),
    ],
    // No unit has more rows; with a bound both ways order the rows of a unit.
    rowsPerUnit: 3,
    isSorted: true,
    isNumbered: true,
    signal: new AbortController().signal,
  };
}

/** The values of each group in their order, missing ones as `null`. */
async function valuesOf(grouped: GroupedRows, first: number, end: number): Promise<readonly unknown[][]> {
  const groups = Array.from({ length: end - first }, (): unknown[] => []);
  for await (const { group, part } of grouped.rows(first, end)) {
    const { rows, columns } = part.batch;
    const picked = part.pick ?? Int32Array.from({ length: rows }, (_, i) => i);
    for (const row of picked) {
      const cells = columns.map(({ values }) => values[row]);
      groups[group - first]?.push(cells.map((cell) => (Number.isNaN(cell) ? null : cell)));
    }
  }
  return groups;
}

const groupings: readonly (GroupBy | undefined)[] = [
  undefined,
  { column: 'ward', keys: ['south', 'nowhere', 'north', 7] },
  { column: 'grade', keys: [3, 1.5, 6, 'text', -0] },
  { column: 'smokes', keys: [true, false, 1] },
  { column: 'ward', keys: ['nowhere'] },
];

test('the engine finds the groups, rows, order and units that a pass over all rows finds', async () => {
  const asked = request(3000n);
  const source = rowSource(asked);
  for (const groupBy of groupings) {
    const [engine, batches] = [groupedRows(asked, groupBy), groupsOfBatches(source, groupBy, undefined)];
    const [counts, expected] = [await engine.counts(), await batches.counts()];
    assert.deepEqual(counts, expected);
    const end = expected.rows.length;
    assert.deepEqual(await valuesOf(engine, 0, end), await valuesOf(batches, 0, end));
    if (end > 1) assert.deepEqual(await valuesOf(engine, 1, 3), await valuesOf(batches, 1, 3));
  }
});

test('a table that is counted in parts counts each unit once', async () => {
  const [whole, parts] = [groupedRows(request(3000n), groupings[1]), groupedRows(request(2n ** 23n), groupings[1])];
  assert.deepEqual(await parts.counts(), await whole.counts());
});

test('an engine that counts more rows than the table has is at fault', async () => {
  await assert.rejects(groupedRows(request(10n), groupings[1]).counts(), { name: 'WorkerFault' });
});

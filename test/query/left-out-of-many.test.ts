import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CatalogueTable } from '../../runtime/query/catalogue.ts';
import { ask, column, contextOf, grant, INTEGER, measure, openClinic, UNIT_COLUMNS } from './clinic.ts';

/**
 * 600 groups of twelve patients with two rows each, at places that are open, closed or not in the list of places. What the
 * filter leaves out of a group are its rows at closed places and those whose place is unknown.
 */
const STAYS = (place: string): string => `CREATE OR REPLACE TABLE stays AS SELECT *, ${UNIT_COLUMNS('patient')} FROM (
  SELECT (i // 2)::INTEGER AS patient, g::INTEGER AS g, (${place})::INTEGER AS place, 10::INTEGER AS pay
  FROM (SELECT i, i // 24 AS g, (i // 2) % 12 AS p, i % 2 AS visit FROM range(14400) r(i)))`;

const plain = { joins: 'allowed' as const, dataset: 'hospital/stays' };
const TABLES = [
  {
    ...plain,
    names: ['stays'],
    physical: '"main"."stays"',
    isPublic: false,
    columns: [
      column('patient', INTEGER, grant(['join'])),
      { ...column('g', INTEGER, grant(['group', 'filter'])), distinctValues: 600 },
      column('place', INTEGER, grant(['join'])),
      column('pay', INTEGER, measure(['sum'])),
    ],
    units: [{ keyColumns: ['patient'], domain: 'patient', hash: '__gb_u0', oneHot: '__gb_b0' }],
    rowCount: 1_000_000n,
  },
  {
    ...plain,
    names: ['places'],
    physical: '"main"."places"',
    isPublic: true,
    columns: [column('place', INTEGER, grant([])), column('is_open', INTEGER, grant([]))].map((one) => ({
      ...one,
      facts: { isComplete: true, low: null, high: null, mostRepeats: 1 },
    })),
    units: [],
    rowCount: 2n,
  },
] as unknown as readonly CatalogueTable[];

test('of very many groups, rows without a partner are left out like those that the filter leaves out', async () => {
  const connection = await openClinic('CREATE TABLE places AS SELECT * FROM (VALUES (1, 1), (2, 0)) t(place, is_open)');
  // Open for all but: in most groups five patients' second visit; nobody; few at a closed place; few at an unknown one; enough there.
  const place = `CASE WHEN g = 1 THEN 1 WHEN g = 2 THEN CASE WHEN p < 3 AND visit = 1 THEN 2 ELSE 1 END
    WHEN g = 3 THEN CASE WHEN p < 3 AND visit = 1 THEN 9 ELSE 1 END WHEN g = 4 THEN CASE WHEN p < 4 AND visit = 1 THEN 9 ELSE 1 END
    WHEN g = 5 THEN CASE WHEN p < 2 AND visit = 1 THEN 9 WHEN p IN (2, 3) AND visit = 1 THEN 2 ELSE 1 END
    WHEN p < 5 AND visit = 1 THEN 2 ELSE 1 END`;
  await connection.run(STAYS(place));
  const sql = 'SELECT g, sum(pay) AS cell FROM stays JOIN places USING (place) WHERE is_open = 1 GROUP BY g ORDER BY g';
  const answer = await ask(connection, sql, contextOf({ minUnits: 4 }, { tables: TABLES }));
  if (answer.kind !== 'answer') throw new Error(JSON.stringify(answer));
  const shown = new Set(answer.rows.map(([g]) => Number(g)));
  assert.deepEqual(
    Array.from({ length: 600 }, (_, g) => g).filter((g) => !shown.has(g)),
    [2, 3],
  );
  assert.deepEqual(
    answer.rows.slice(0, 4).map(([, cell]) => Number(cell)),
    [190, 240, 200, 200],
  );
});

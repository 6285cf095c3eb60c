import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CatalogueTable } from '../../runtime/query/catalogue.ts';
import { UNIT_WORDS } from '../../runtime/query/layout.ts';
import {
  column,
  comparable,
  compileText,
  contextOf,
  grant,
  INTEGER,
  measure,
  openClinic,
  SKETCH_COLUMNS,
  TEXT,
  UNIT_COLUMNS,
} from './clinic.ts';

const STAYS = `CREATE TABLE stays AS SELECT *, ${UNIT_COLUMNS('patient')}, hash(i, patient) AS __gb_t0, ${SKETCH_COLUMNS()}
  FROM (SELECT i, (hash(i) % 400)::INTEGER AS patient, 'ward ' || (i % 5) AS ward, (hash(i, 2) % 4)::INTEGER AS day,
    CASE WHEN hash(i, 3) % 9 > 0 THEN (hash(i, 4) % 50)::INTEGER END AS pay FROM range(3000) r(i));
  CREATE TABLE wards AS SELECT * FROM (VALUES ('ward 0', 'big'), ('ward 1', 'big'), ('ward 2', 'small'), ('ward 3', NULL)) t(ward, kind)`;

const QUESTIONS: readonly string[] = [
  'SELECT count(*) FROM stays',
  'SELECT ward, day, sum(pay) FROM stays GROUP BY ward, day',
  'SELECT day, count(*) FILTER (WHERE pay > 20), avg(pay) FROM stays WHERE day < 3 GROUP BY day',
  'SELECT kind, sum(pay) FROM stays JOIN wards ON stays.ward = wards.ward GROUP BY kind',
  'SELECT kind, count(*) FROM stays LEFT JOIN wards ON stays.ward = wards.ward GROUP BY kind',
  'SELECT ward, day, count(*) FROM stays GROUP BY ROLLUP (ward, day)',
  'SELECT ward, avg(n) FROM (SELECT patient, ward, count(*) AS n FROM stays GROUP BY patient, ward) GROUP BY ward',
];

describe('sketches by buckets', async () => {
  const connection = await openClinic(STAYS);

  const contextWith = (rowCount: bigint): ReturnType<typeof contextOf> => {
    const rest = { joins: 'allowed' as const, dataset: 'hospital/stays' };
    const unit = { keyColumns: ['patient'], domain: 'patient', hash: '__gb_u0', oneHot: '__gb_b0', tag: '__gb_t0' };
    const stays: CatalogueTable = {
      ...rest,
      names: ['stays'],
      physical: '"main"."stays"',
      isPublic: false,
      columns: [
        column('patient', INTEGER, grant(['join', 'group'])),
        column('ward', TEXT, grant(['group', 'filter', 'join'])),
        column('day', INTEGER, grant(['group', 'filter', 'compare'])),
        column('pay', INTEGER, measure(['sum', 'avg', 'count']), grant(['filter'])),
      ],
      units: [{ ...unit, words: UNIT_WORDS(0) }],
      rowCount,
    };
    const unique = { isComplete: true, low: null, high: null, mostRepeats: 1 };
    const wards: CatalogueTable = {
      ...rest,
      names: ['wards'],
      physical: '"main"."wards"',
      isPublic: true,
      columns: [{ ...column('ward', TEXT), facts: unique }, column('kind', TEXT)],
      units: [],
      rowCount: 4n,
    };
    return contextOf({ minUnits: 30, differencingGuard: true }, { tables: [stays, wards] });
  };

  /** Buckets by label and group, and how many statements read rows for them. */
  async function sketched(sql: string, rowCount: bigint): Promise<{ rows: readonly string[]; statements: number }> {
    const compiled = await compileText(connection, sql, contextWith(rowCount));
    const guard = compiled.kind === 'denied' ? undefined : compiled.enforced.guard;
    if (compiled.kind === 'denied' || guard === undefined) throw new Error(`${sql}: ${JSON.stringify(compiled)}`);
    for (const statement of [...compiled.enforced.setup, ...guard.setup])
      await connection.run(statement.replace('CREATE TEMP TABLE', 'CREATE OR REPLACE TEMP TABLE'));
    const found: string[] = [];
    for (const select of guard.sketches) {
      for (const row of (await connection.runAndReadAll(select)).getRows()) {
        const [block, series, ...rest] = row;
        const { label, form } = guard.blocks[Number(block)]?.series[Number(series)] ?? {};
        if (label !== undefined && form === undefined) found.push(`${label} ${comparable([rest]).join('')}`);
      }
    }
    return { rows: found.toSorted(), statements: guard.sketches.filter((one) => one.includes('bb')).length };
  }

  it('are the same for large tables, of which each partition is made by itself', async () => {
    let apart = 0;
    for (const sql of QUESTIONS) {
      const [small, large] = [await sketched(sql, 3000n), await sketched(sql, 4_000_000n)];
      assert.ok(small.rows.length > 30, sql);
      assert.deepEqual(large.rows, small.rows, sql);
      apart += large.statements > small.statements ? 1 : 0;
    }
    assert.equal(apart, QUESTIONS.length - 1, 'only values per unit are few enough for one pass');
  });
});

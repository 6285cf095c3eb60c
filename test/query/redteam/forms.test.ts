import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { leaksOf, type Person } from './oracle.ts';
import { OpenWorld } from './world.ts';
import { HOSPITAL } from './worlds.ts';

const patient = (i: number): Person => ({ key: `p${i}`, rows: { visits: `patient = ${i}`, patients: `pid = ${i}` } });
const everybody = Array.from({ length: 24 }, (_, i) => patient(i));

/** Several rows of one person stand in the inner query: sketches and units must count that person once all the same. */
const QUESTIONS: readonly string[] = [
  "SELECT sum(n), (SELECT count(*) FROM visits) FROM (SELECT patient, day, count(*) AS n FROM visits GROUP BY ALL) WHERE day > DATE '2024-01-01'",
  "SELECT sum(n) - (SELECT count(*) FROM visits) FROM (SELECT patient, diagnosis, count(*) AS n FROM visits GROUP BY ALL) WHERE diagnosis <> 'rare'",
  'SELECT ward, sum(n) FROM (SELECT patient, ward, count(*) AS n FROM visits GROUP BY patient, ward) v JOIN patients p ON v.patient = p.pid GROUP BY ROLLUP (ward)',
  'SELECT coalesce(a.ward, b.ward), a.n, b.n FROM (SELECT ward, count(*) AS n FROM visits GROUP BY ward) a FULL JOIN (SELECT ward, count(*) AS n FROM visits WHERE urgent GROUP BY ward) b USING (ward)',
  "SELECT sum(n), (SELECT count(*) FROM visits) FROM (SELECT v.patient, p.sex, count(*) AS n FROM visits v JOIN patients p ON v.patient = p.pid WHERE v.diagnosis <> 'rare' GROUP BY ALL)",
  'SELECT sex, sum(n), avg(c) FROM (SELECT v.patient, p.sex, count(*) AS n, sum(v.cost) AS c FROM visits v JOIN patients p ON v.patient = p.pid WHERE age < 60 GROUP BY ALL) GROUP BY ROLLUP (sex)',
  'SELECT ward, sum(n) FROM (SELECT p.pid, v.ward, count(*) AS n FROM patients p, visits v WHERE v.patient = p.pid GROUP BY ALL) GROUP BY ROLLUP (ward)',
  'SELECT count(*), (SELECT count(*) FROM visits v SEMI JOIN wards w ON v.ward = w.ward) FROM visits',
  'SELECT count(*), (SELECT count(*) FROM visits v ANTI JOIN wards w ON v.ward = w.ward AND w.floor > 1) FROM visits',
  'SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT 1 FROM wards w WHERE w.ward = visits.ward)) FROM visits',
  'SELECT sum(cost), sum(cost) FILTER (WHERE NOT EXISTS (SELECT 1 FROM wards w WHERE w.ward = visits.ward AND w.floor = 2)) FROM visits',
];

describe('rows per person and key, and outer joins of answers', async () => {
  const hospital = await OpenWorld.open(HOSPITAL);
  after(() => hospital.close());

  for (const sql of QUESTIONS) {
    it(`no sum of cells speaks of fewer than three people: ${sql}`, async () => {
      const leaks = await leaksOf(hospital, sql, everybody, 3);
      // Whether the one person with the rare diagnosis is there may decide what is withheld; nothing may be told of them.
      assert.deepEqual(
        leaks.filter(({ kind }) => kind === 'isolated'),
        [],
      );
    });
  }

  it('a person counts once among the units, however many rows they have in the inner query', async () => {
    const sql = (more: string): string =>
      `SELECT k, count(*) FROM (SELECT patient, ${more} AS k, count(*) AS n FROM visits GROUP BY patient, ${more}) GROUP BY k`;
    const seen = await hospital.ask(sql('ward'), { minUnits: 11 });
    assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
    assert.deepEqual(seen.kind === 'answer' ? seen.rows.map(([key]) => key) : [], ['south']);
  });
});

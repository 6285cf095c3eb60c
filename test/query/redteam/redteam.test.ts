import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { HONEST } from './honest.ts';
import { linesOf, plainLinesOf } from './lines.ts';
import { leaksOf, type Person } from './oracle.ts';
import { OpenWorld } from './world.ts';
import { BANK, FACTORY, HOSPITAL, TRADE } from './worlds.ts';

const DIGITS = 11;
const WORLDS = { HOSPITAL, BANK, FACTORY, TRADE };

const patient = (i: number): Person => ({ key: `p${i}`, rows: { visits: `patient = ${i}`, patients: `pid = ${i}` } });

/** Each would tell about one or two people if cells were judged one by one. */
const SUBTRACTING: readonly string[] = [
  "SELECT count(*), count(*) FILTER (WHERE ward='north'), count(*) FILTER (WHERE ward='south') FROM visits",
  "SELECT count(*) FILTER (WHERE ward='north'), count(*) FILTER (WHERE ward='south'), count(*) FILTER (WHERE ward='tiny'), count(*) FROM visits",
  "SELECT count(*) FILTER (WHERE urgent), count(*) FILTER (WHERE urgent OR diagnosis = 'rare') FROM visits",
  "SELECT sum(cost) FILTER (WHERE ward='north'), sum(cost) FILTER (WHERE ward='north' AND diagnosis <> 'rare') FROM visits",
  "SELECT count(DISTINCT CASE WHEN ward <> 'tiny' THEN patient END), count(DISTINCT patient) FROM visits",
  'SELECT sum(income * code) - 2 * sum(income) FROM patients',
  'SELECT sum(income), sum(income * (smoker * 1000000 + 1)) FROM patients',
  'SELECT sum(income), sum(coalesce(income, 1000000)) FROM patients',
  // Whoever has no income, or no ward in the public list, is left out of the second sum.
  'SELECT sum(code), sum(code + 0 * income) FROM patients',
  'SELECT sum(code) + sum(income) - sum(code + income) FROM patients',
  'SELECT sum(score), sum(score + 0 * w.beds) FROM visits v LEFT JOIN wards w ON v.ward = w.ward',
  'SELECT count(*), sum(0 * w.beds + 1) FROM visits v LEFT JOIN wards w ON v.ward = w.ward',
];

const DENIED: readonly string[] = [
  'SELECT count(DISTINCT CASE WHEN patient <> 3 THEN patient END) FROM visits',
  'SELECT count(DISTINCT nullif(patient, 3)) FROM visits',
  'SELECT count(DISTINCT least(pid, 7)) FROM patients',
  'SELECT count(*) FROM d0.visits',
  'SELECT count(*) FROM d0.main.visits',
  'SELECT count(*) FROM temp.gb0_g',
  'SELECT * FROM gb0_g',
  'SELECT * FROM "gb0_t"',
  'SELECT __gb_u0 FROM visits',
  'SELECT count(*) FROM visits GROUP BY "__gb_b0"',
  'SELECT "visits"."__gb_u0", count(*) FROM visits GROUP BY ALL',
  'SELECT count(*) FROM system.main.duckdb_tables',
  'SELECT * FROM information_schema.columns',
  'SELECT name, count(*) FROM visits GROUP BY 1',
  // Rounding as a comparison: 0 below half a unit in the last place of the large number, else one such unit.
  'SELECT sum((score * 1e-8 + 1e9) - 1e9) FROM visits',
  'SELECT sum(score * 1e-9 * 1e-9 * 1e-9) FROM visits',
  'SELECT avg(score * 1e9 * 1e9) FROM visits',
  'SELECT corr(score * 1e-8 + 1e9, cost) FROM visits',
  'SELECT sum(CASE WHEN urgent THEN score * 1e-8 + 1e9 ELSE -1e9 END) FROM visits',
  'SELECT sum(coalesce(cost * 1e-8 + 1e9, 0) - 1e9) FROM visits',
  // Overflow as a comparison.
  'SELECT sum(cost * 1000000000 * 1000000000 * 1000000000 * 1000000000 * 1000000000) FROM visits',
  'SELECT avg(income * 1000000000.0 * 1000000000.0 * 1000000000.0 * 1000000000.0) FROM patients',
  // A value that one person alone brings along.
  'SELECT count(DISTINCT w.kind) FROM visits v LEFT JOIN wards w ON v.ward = w.ward',
];

describe('a hospital under attack', async () => {
  const world = await OpenWorld.open(HOSPITAL);
  after(() => world.close());
  // Those who stand out, and at least three of everything else, so that large groups look large.
  const people = [0, 1, 2, 7, 8, 9, 12, 13, 14, 22, 23].map(patient);
  for (const sql of SUBTRACTING) {
    it(`no sum or difference of cells speaks of few people: ${sql}`, async () => {
      assert.equal((await world.ask(sql)).kind, 'answer');
      const found = await leaksOf(world, sql, people, 3);
      // Withheld or not may show that somebody is there at all ("none or enough"), which the security model says.
      assert.deepEqual(
        found.filter(({ kind }) => kind === 'isolated'),
        [],
      );
    });
  }
  for (const sql of DENIED) {
    it(`denied: ${sql}`, async () => {
      assert.equal((await world.ask(sql)).kind, 'denied');
    });
  }

  it('rows come in an order that does not depend on how they are stored', async () => {
    const sql = 'SELECT ward, count(*) AS n FROM visits GROUP BY ward';
    const found = await leaksOf(world, sql, [9, 11, 0, 22].map(patient), 3);
    assert.deepEqual(
      found.filter(({ kind }) => kind === 'flip'),
      [],
    );
  });
});

/** Answered in part only: so few are of one sex and age that the totals by age are withheld beside those by sex. */
const NOT_YET = /WITH adults|GROUPING SETS/;

for (const [name, queries] of Object.entries(HONEST)) {
  describe(`an analyst of ${name.toLowerCase()}`, async () => {
    const world = await OpenWorld.open(WORLDS[name as keyof typeof HONEST]);
    after(() => world.close());
    for (const sql of queries.filter((one) => !NOT_YET.test(one) && !one.includes('serial'))) {
      it(`gets what DuckDB says: ${sql}`, async () => {
        const seen = await world.ask(sql);
        assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
        if (seen.kind !== 'answer') return;
        const expected = await world.plain(sql.replace(/(bank|hospital\.records)\./, ''));
        const [ours, theirs] = [linesOf(seen, DIGITS), plainLinesOf(expected.rows, DIGITS)];
        const isOrdered = sql.includes('ORDER BY');
        assert.deepEqual(isOrdered ? ours : ours.toSorted(), isOrdered ? theirs : theirs.toSorted());
      });
    }
  });
}

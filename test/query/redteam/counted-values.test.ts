import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { leaksOf, type Person } from './oracle.ts';
import { OpenWorld, type World } from './world.ts';

/** Persons 0 to 9 have a debt, and 10 to 19 an income beside 0 to 5; 12 alone is of Bari. */
const CLUB: World = {
  name: 'club',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: club/members, grade: important }
privacyUnit: [id]
columns:
  id:     { rights: [countDistinct] }
  sex:    { rights: [group, filter] }
  city:   { rights: [group, filter] }
  debt:   { rights: [filter, aggregate], functions: [sum, avg, count, correlation] }
  income: { rights: [aggregate], functions: [sum, avg, count, correlation] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    members: `SELECT i::INTEGER AS id, ['f', 'm'][1 + i % 2] AS sex, CASE WHEN i = 12 THEN 'Bari' ELSE 'Rome' END AS city,
      CASE WHEN i < 10 THEN 11 + i * i END::INTEGER AS debt, CASE WHEN i < 6 OR i > 9 THEN 1000 + i * 37 END::INTEGER AS income FROM range(20) r(i)`,
  },
};
const everybody: readonly Person[] = Array.from({ length: 20 }, (_, i) => ({
  key: `m${i}`,
  rows: { members: `id = ${i}` },
}));

/** The one of Bari is the difference of two columns; each of them rests on ten people and more. */
const SUBTRACTING: readonly string[] = [
  "SELECT count(*) FILTER (WHERE debt IS NOT NULL OR city = 'Bari'), count(debt) FROM members",
  "SELECT count(debt), count_if(debt IS NOT NULL OR city = 'Bari') FROM members",
  "SELECT sum(CASE WHEN debt IS NOT NULL OR city = 'Bari' THEN 1 ELSE 0 END), count(debt) FROM members",
  "SELECT count(CASE WHEN debt IS NOT NULL OR city = 'Bari' THEN 1 END) - count(debt) FROM members",
  "SELECT count(CASE WHEN debt IS NOT NULL OR city = 'Bari' THEN 1 END), count(coalesce(debt, NULL)) FROM members",
  "SELECT count(DISTINCT CASE WHEN debt IS NOT NULL OR city = 'Bari' THEN id END), count(debt) FROM members",
  "SELECT count(*) FILTER (WHERE debt < 47 OR city = 'Bari'), regr_count(debt, income) FROM members",
  "SELECT count(*) FILTER (WHERE debt IS NOT NULL AND sex = 'f' OR city = 'Bari'), count(debt) FILTER (WHERE sex = 'f') FROM members",
  "SELECT sum((debt IS NOT NULL OR city = 'Bari')::INT), count(debt) FROM members",
];

/** What an analyst asks for about gaps, and gets. */
const HONEST: readonly string[] = [
  'SELECT count(*), count(debt), count(income) FROM members',
  "SELECT count(*), count(debt), count(*) FILTER (WHERE sex = 'f') FROM members",
  "SELECT count(debt), count(debt) FILTER (WHERE sex = 'f'), avg(debt) FILTER (WHERE sex = 'f') FROM members",
  'SELECT count(*), count(debt), avg(debt), count_if(debt > 20) FROM members',
];

/** With subtotals, whose groups are looked at in another way. */
const BESIDE: readonly string[] = [
  "SELECT sex, count(debt) AS n, count(*) FILTER (WHERE city = 'Rome') AS f FROM members GROUP BY ROLLUP (sex)",
  "SELECT sex, count(debt) AS n, count(CASE WHEN city = 'Rome' THEN 1 END) AS f, avg(income) FROM members GROUP BY CUBE (sex)",
];

describe('counts of values beside counts of rows', async () => {
  const club = await OpenWorld.open(CLUB);
  after(() => club.close());

  for (const sql of SUBTRACTING)
    it(`do not subtract to one person: ${sql}`, async () => {
      const seen = await club.ask(sql);
      assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
      const leaks = await leaksOf(club, sql, everybody, 3);
      // That somebody of Bari is there may decide what is withheld; nothing may be told of them.
      assert.deepEqual(
        leaks.filter(({ kind }) => kind === 'isolated'),
        [],
      );
    });

  for (const sql of BESIDE)
    it(`are answered with subtotals: ${sql}`, async () => {
      const seen = await club.ask(sql);
      assert.ok(seen.kind === 'answer');
      assert.ok(seen.rows.every(([, counted]) => counted !== null));
    });

  for (const sql of HONEST)
    it(`are all answered: ${sql}`, async () => {
      const seen = await club.ask(sql);
      assert.ok(seen.kind === 'answer');
      assert.deepEqual(
        seen.rows.map((row) => row.includes(null)),
        seen.rows.map(() => false),
      );
    });
});

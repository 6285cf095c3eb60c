import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plainly, shown, wrongIn } from './leave-one-out.ts';
import { OpenWorld, type World } from './world.ts';

/** Forty people with three visits each. The last visit of twelve is in ward E, where two of them have a bill. Minimum 5. */
const WORLD: World = {
  name: 'bills',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: bills, grade: important }
tables:
  people:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
  visits:
    privacyUnit: { columns: [person], via: person -> people.person }
    columns:
      person: { rights: [join, countDistinct] }
      ward:   { rights: [group, filter] }
      cost:   { rights: [aggregate], functions: [sum, avg, count, correlation, quantile] }
      bill:   { rights: [group, filter, countDistinct] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    people: 'SELECT i::INTEGER AS person FROM range(40) r(i)',
    visits: `SELECT (i % 40)::INTEGER AS person, CASE WHEN i >= 80 AND i % 40 < 12 THEN 'E' ELSE 'A' END AS ward,
      CASE WHEN i >= 80 AND i % 40 BETWEEN 2 AND 11 THEN NULL ELSE 100 + i * 37 % 1009 END::INTEGER AS cost,
      CASE WHEN cost IS NOT NULL THEN 'b' || i END AS bill FROM range(120) r(i)`,
  },
};

const NOTHING = { names: [], rows: [] };

/** Numbers that are 0, and never missing, for the ten who have no bill. */
const COUNTED: ((where: string) => string)[] = [
  'count(DISTINCT bill)',
  'approx_count_distinct(bill)',
  'regr_count(cost, cost * 2)',
].flatMap((made) =>
  ['sum(x)', 'avg(x)', 'avg(coalesce(x, 0))', 'stddev(x)', 'median(x)', 'quantile_cont(x, 1)', 'regr_avgx(n, x)'].map(
    (outer) => (where: string) =>
      `SELECT ${outer} AS a0 FROM (SELECT person, count(*) AS n, ${made} AS x FROM visits WHERE ${where} GROUP BY person)`,
  ),
);
COUNTED.push(
  (where) =>
    `SELECT avg(x) AS a0 FROM (SELECT person, 2 * count(DISTINCT bill) + 1 AS x FROM visits WHERE ${where} GROUP BY person)`,
  (where) => `SELECT count(DISTINCT coalesce(bill, 'none')) AS a0 FROM visits WHERE ${where}`,
  (where) => `SELECT count(DISTINCT concat(bill, '!')) AS a0 FROM visits WHERE ${where}`,
  (where) =>
    `SELECT sum(y) AS a0 FROM (SELECT person, sum(2 * x) AS y FROM (SELECT person, ward, count(DISTINCT bill) AS x FROM visits WHERE ${where} GROUP BY person, ward) GROUP BY person)`,
  (where) =>
    `SELECT avg(coalesce(x, 0)) AS a0 FROM people LEFT JOIN (SELECT person, count(DISTINCT bill) AS x FROM visits WHERE ${where} GROUP BY person) d USING (person)`,
  (where) =>
    `SELECT sum((SELECT count(DISTINCT v.bill) FROM visits v WHERE v.person = p.person AND v.${where})) AS a0 FROM people p`,
);

describe('how many values each unit has', () => {
  for (const rowCount of [0, 300_000])
    it(`shows nothing of the two who have any, and all of many, in tables of ${rowCount} rows`, async () => {
      const world = await OpenWorld.open(WORLD, {}, rowCount);
      try {
        for (const of of COUNTED) {
          const few = await world.ask(of("ward = 'E'"));
          const many = await world.ask(of("ward <> 'E'"));
          assert.equal(many.kind, 'answer', of(''));
          assert.ok(few.kind !== 'answer' || few.rows.flat().every((cell) => cell === null), of("ward = 'E'"));
          const isBlock = /median|quantile/.test(of(''));
          if (!isBlock) assert.deepEqual(wrongIn(shown(many) ?? NOTHING, await plainly(world, of("ward <> 'E'"))), []);
          assert.ok(many.kind === 'answer' && many.rows.flat().every((cell) => cell !== null), of("ward <> 'E'"));
        }
      } finally {
        await world.close();
      }
    });

  it('is a key and a condition as before', async () => {
    const world = await OpenWorld.open(WORLD);
    const each = 'SELECT person, count(DISTINCT bill) AS x FROM visits GROUP BY person';
    try {
      for (const sql of [
        `SELECT x AS k0, count(*) AS a0 FROM (${each}) GROUP BY x ORDER BY x`,
        `SELECT count(*) AS a0, sum(x) AS a1 FROM (${each} HAVING count(DISTINCT bill) > 2)`,
        `SELECT sum(CASE WHEN x > 2 THEN x ELSE 0 END) AS a0, count(*) FILTER (WHERE x = 2) AS a1 FROM (${each})`,
      ])
        assert.deepEqual(shown(await world.ask(sql))?.rows, (await plainly(world, sql)).rows, sql);
    } finally {
      await world.close();
    }
  });
});

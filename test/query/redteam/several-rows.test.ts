import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plainly, shown, wrongIn } from './leave-one-out.ts';
import { OpenWorld, type World } from './world.ts';

/** Forty people with one visit each, and one of ward M with a second one. Those of ward S came three times. Minimum 5. */
const WORLD: World = {
  name: 'several',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: several, grade: important }
tables:
  people:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
      kind:   { rights: [group] }
      income: { rights: [aggregate], functions: [sum, avg] }
  visits:
    privacyUnit: { columns: [person], via: person -> people.person }
    columns:
      person: { rights: [join, countDistinct] }
      ward:   { rights: [group, filter, join] }
      cost:   { rights: [aggregate, extremum], functions: [sum, avg, variance, stddev] }
      paid:   { rights: [aggregate], functions: [sum, avg] }
  rooms:
    public: true
    columns:
      ward: { rights: [join] }
      room: { rights: [group] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    rooms: `SELECT * FROM (VALUES ('M', 1), ('N', 2), ('S', 3), ('T', 4), ('T', 5)) t(ward, room)`,
    people: `SELECT i::INTEGER AS person, CASE WHEN i < 20 THEN 'a' ELSE 'b' END AS kind, (1000 + i * 37)::INTEGER AS income FROM range(40) r(i)`,
    visits: `SELECT (i % 40)::INTEGER AS person, CASE WHEN i % 40 IN (12, 13) THEN 'T' WHEN i % 40 < 12 THEN 'M' WHEN i % 40 < 24 THEN 'N' ELSE 'S' END AS ward,
      (100 + i * 7)::INTEGER AS cost, CASE WHEN i % 5 <> 3 THEN 100 + i * 7 END::INTEGER AS paid
      FROM range(120) r(i) WHERE i < 41 OR i % 40 > 23`,
  },
};

const NOTHING = { names: [], rows: [] };
const ROWS = "SELECT sum(cost) AS a0 FROM visits WHERE ward = 'M'";
const EACH = (made: string, ward = 'M'): string =>
  `SELECT sum(x) AS a0 FROM (SELECT person, ${made} AS x FROM visits WHERE ward = '${ward}' GROUP BY person)`;
const PEOPLE = 'SELECT sum(income) AS a0 FROM people';
const REPEATED = 'SELECT sum(p.income) AS a0 FROM people p JOIN visits v ON v.person = p.person';
const OF_M = "SELECT sum(income) AS a0 FROM people WHERE person IN (SELECT person FROM visits WHERE ward = 'M')";

/** Two numbers that differ by what one person's second row adds. */
const PAIRS: readonly (readonly [string, string])[] = [
  [ROWS, EACH('avg(cost)')],
  [ROWS, EACH('min(cost)')],
  [ROWS, EACH('max(cost)')],
  [EACH('sum(cost)'), EACH('avg(cost)')],
  [EACH('min(cost)'), EACH('max(cost)')],
  [EACH('avg(cost)'), EACH('max(cost)')],
  [ROWS.replace('cost', 'paid'), EACH('avg(paid)')],
  [OF_M, `${REPEATED} WHERE v.ward = 'M'`],
  [OF_M.replace('sum(', 'avg('), `${REPEATED.replace('sum(', 'avg(')} WHERE v.ward = 'M'`],
  // The two of ward T, of which the public table has two rows.
  ['SELECT count(*) AS a0 FROM visits', 'SELECT count(*) AS a0 FROM visits v JOIN rooms r ON r.ward = v.ward'],
  ['SELECT avg(cost) AS a0 FROM visits', 'SELECT avg(v.cost) AS a0 FROM visits v LEFT JOIN rooms r ON r.ward = v.ward'],
  [
    'SELECT kind AS k0, sum(income) AS a0 FROM people GROUP BY kind',
    'SELECT p.kind AS k0, sum(p.income) AS a0 FROM people p JOIN visits v ON v.person = p.person GROUP BY p.kind',
  ],
  [
    EACH('sum(cost)'),
    `SELECT sum(x) AS a0 FROM visits v JOIN (SELECT person, sum(cost) AS x FROM visits WHERE ward = 'M' GROUP BY person) d ON d.person = v.person WHERE v.ward = 'M'`,
  ],
];

/** Not so: whoever came several times is many, or the numbers speak of different values. */
const APART: readonly (readonly [string, string])[] = [
  [ROWS.replace("'M'", "'S'"), EACH('avg(cost)', 'S')],
  [EACH('min(cost)', 'S'), EACH('max(cost)', 'S')],
  [PEOPLE, REPEATED],
  [ROWS, EACH('sum(cost)')],
  [ROWS, EACH('avg(paid)')],
  ["SELECT count(*) AS a0 FROM visits WHERE ward = 'M'", EACH('avg(cost)')],
  [EACH('avg(cost)'), EACH('avg(cost)')],
  ['SELECT sum(income) AS a0 FROM people', EACH('avg(cost)')],
];

describe('the second row of one person', () => {
  for (const rowCount of [0, 300_000])
    it(`is not what two answers differ by, in tables of ${rowCount} rows`, async () => {
      const world = await OpenWorld.open(WORLD, { differencingGuard: true }, rowCount);
      try {
        const isShown = async (sql: string): Promise<boolean> => {
          const seen = await world.ask(sql);
          assert.equal(seen.kind, 'answer', sql);
          const answer = shown(seen) ?? NOTHING;
          assert.deepEqual(wrongIn(answer, await plainly(world, sql)), [], sql);
          return answer.rows.some(([sum]) => sum !== null);
        };
        const turned = rowCount > 0 ? [] : PAIRS.slice(0, 8).map(([one, other]) => [other, one] as const);
        for (const [first, second] of [...PAIRS, ...turned]) {
          world.forget();
          assert.equal(await isShown(first), true, first);
          assert.equal(await isShown(second), false, `${second} after ${first}`);
        }
        for (const [first, second] of APART) {
          world.forget();
          assert.equal(await isShown(first), true, first);
          assert.equal(await isShown(second), true, `${second} after ${first}`);
        }
      } finally {
        await world.close();
      }
    });

  it('is not what numbers of one answer differ by, beside each other or in one sum', async () => {
    const world = await OpenWorld.open(WORLD);
    const each = 'SELECT person, ward, sum(cost) AS s, avg(cost) AS a, min(cost) AS l, max(cost) AS g FROM visits';
    try {
      for (const sums of ['sum(s), sum(a)', 'sum(s - a)', 'avg(g), avg(l)', 'sum(g - l)', 'sum(s) - sum(g)']) {
        const sql = `SELECT ward AS k0, ${sums} FROM (${each} GROUP BY person, ward) GROUP BY ward`;
        assert.deepEqual(
          shown(await world.ask(sql))?.rows.map(([ward]) => ward),
          ['N', 'S'],
          sql,
        );
      }
      for (const sums of ['sum(s)', 'avg(a)', 'sum(g)', 'avg(a), count(*)', 'sum(s), stddev(s)']) {
        const sql = `SELECT ward AS k0, ${sums} FROM (${each} GROUP BY person, ward) GROUP BY ward`;
        assert.equal(shown(await world.ask(sql))?.rows.length, 3, sql);
      }
      for (const [first, second] of PAIRS.filter(([one]) => !one.includes('k0'))) {
        const answer = shown(await world.ask(`SELECT (${first}) AS a0, (${second}) AS a1`));
        assert.ok(answer?.rows.flat().includes(null), `${first} beside ${second}`);
      }
      const variance = `SELECT ward AS k0, sum(x) AS a0 FROM (SELECT person, ward, var_pop(cost) AS x FROM visits GROUP BY person, ward) GROUP BY ward`;
      assert.deepEqual(
        shown(await world.ask(variance))?.rows.map(([, sum]) => sum !== null),
        [false, false, true],
      );
    } finally {
      await world.close();
    }
  });
});

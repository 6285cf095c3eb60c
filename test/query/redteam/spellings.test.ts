import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { OpenWorld, type World } from './world.ts';

/**
 * Twelve patients of the south, of whom all have a cost, and eight of the north, of whom patient 15 alone has one: a sum over
 * everybody less that of the south is the cost of patient 15. `code` is 1 everywhere, `score` has gaps in the east alone.
 */
const WORLD: World = {
  name: 'spellings',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: hospital/stays, grade: important }
tables:
  patients:
    privacyUnit: [pid]
    columns:
      pid:  { rights: [join, countDistinct] }
      area: { rights: [group, filter] }
  stays:
    privacyUnit: { columns: [pid], via: patient -> patients.pid }
    columns:
      patient: { rights: [join, countDistinct] }
      ward:  { rights: [group, filter] }
      cost:  { rights: [aggregate, filter, group], functions: [sum, avg, count, correlation] }
      code:  { rights: [aggregate], functions: [sum, avg, correlation] }
      score: { rights: [aggregate], functions: [sum, avg, correlation] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 4, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    patients: `SELECT i::INTEGER AS pid, CASE WHEN i < 12 THEN 'a' ELSE 'b' END AS area FROM range(40) r(i)`,
    stays: `SELECT i::INTEGER AS patient, CASE WHEN i < 12 THEN 'south' WHEN i < 20 THEN 'north' ELSE 'east' END AS ward,
      CASE WHEN i BETWEEN 12 AND 19 AND i <> 15 THEN NULL ELSE 100 + i * 7 END::INTEGER AS cost, 1::INTEGER AS code,
      CASE WHEN i > 33 THEN NULL ELSE i + 0.5 END::DOUBLE AS score FROM range(40) r(i) WHERE i < 20 OR i > 27`,
  },
};
const SOUTH = 'FROM stays GROUP BY ward';
const TOTAL = 'SELECT sum(cost) AS t FROM stays';
const SPELLED = [
  `SELECT ward, sum(cost) AS s ${SOUTH}`,
  `SELECT ward, sum(coalesce(cost, 0)) AS s ${SOUTH}`,
  `SELECT ward, avg(coalesce(cost, 0)) AS s ${SOUTH}`,
  `SELECT ward, sum(cost * code) AS s ${SOUTH}`,
  `SELECT ward, sum(cost + 0 * code) AS s ${SOUTH}`,
  `SELECT ward, sum(code + cost) AS s ${SOUTH}`,
  `SELECT ward, sum(CASE WHEN cost > -1 THEN cost * code ELSE 0 END) AS s ${SOUTH}`,
  `SELECT ward, sum(cost) AS s FROM stays WHERE cost >= 0 GROUP BY ward`,
  `SELECT ward, regr_avgx(code, cost) AS s ${SOUTH}`,
];
const COUNTED = [
  `SELECT ward, count(cost) AS s ${SOUTH}`,
  'SELECT ward, count(*) AS s FROM stays WHERE cost >= 0 GROUP BY ward',
  'SELECT ward, count(*) FILTER (WHERE cost IS NOT NULL) AS s FROM stays GROUP BY ward',
];

for (const rowCount of [0, 1_000_000]) {
  describe(`spellings of one measure, tables said to have ${rowCount} rows`, () => {
    let world: OpenWorld;
    before(async () => {
      world = await OpenWorld.open(WORLD, {}, rowCount);
    });
    after(() => world.close());

    const shownOf = async (sql: string): Promise<readonly string[]> => {
      const seen = await world.ask(sql, { differencingGuard: true });
      if (seen.kind !== 'answer') throw new Error(JSON.stringify(seen));
      return seen.rows.flatMap((row) => (row.at(-1) === null ? [] : [String(row[0])])).toSorted();
    };

    for (const sql of SPELLED)
      it(`a sum over everybody and one that leaves out whoever has no value are not both told: ${sql}`, async () => {
        world.forget();
        assert.deepEqual(await shownOf(sql), ['east', 'south']);
        world.forget();
        assert.equal((await shownOf(TOTAL)).length, 1);
        assert.notDeepEqual(await shownOf(sql), ['east', 'south']);
      });

    for (const sql of COUNTED)
      it(`nor counts: ${sql}`, async () => {
        world.forget();
        await shownOf('SELECT count(cost) AS t FROM stays');
        assert.notDeepEqual(await shownOf(sql), ['east', 'south']);
      });

    it('other measures of the same groups are told, whoever lacks them', async () => {
      world.forget();
      for (const sql of [
        `SELECT ward, sum(cost) AS s ${SOUTH}`,
        `SELECT ward, sum(cost * code) AS s ${SOUTH}`,
        `SELECT ward, avg(cost) AS s ${SOUTH}`,
      ])
        assert.deepEqual(await shownOf(sql), ['east', 'south']);
      assert.deepEqual(await shownOf(`SELECT ward, sum(score) AS s ${SOUTH}`), ['east', 'north', 'south']);
      assert.deepEqual(await shownOf(`SELECT ward, count(*) AS s ${SOUTH}`), ['east', 'north', 'south']);
    });

    it('whoever a LEFT JOIN to values per unit fills up makes no answer fail', async () => {
      world.forget();
      const values = "(SELECT patient, count(*) AS n FROM stays WHERE ward = 'south' GROUP BY patient)";
      const sql = `SELECT p.area, count(*) AS s FROM patients p LEFT JOIN ${values} v ON p.pid = v.patient GROUP BY p.area`;
      assert.deepEqual(await shownOf(sql), ['a', 'b']);
    });
  });
}

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { plainly } from './leave-one-out.ts';
import { OpenWorld, type Seen, type World } from './world.ts';

/*
 * Conditions that leave out many people, of whom only one changes the answer. Of 60 patients each has three visits; the
 * first is a call, which costs nothing that is written down. Patient 7 alone has a rare diagnosis.
 */
const CALLS: World = {
  name: 'calls',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: practice/visits }
tables:
  visits:
    privacyUnit: [patient]
    columns:
      patient:   { rights: [countDistinct, join] }
      card:      { rights: [countDistinct] }
      nth:       { rights: [group, filter] }
      diagnosis: { rights: [group, filter] }
      mask:      { rights: [group, filter] }
      value:     { rights: [group, filter] }
      k0:        { rights: [group, filter] }
      cost:      { rights: [aggregate], functions: [sum, avg, count, variance], bounds: [0, 1000] }
      rebate:    { rights: [aggregate], functions: [sum, avg, count], bounds: [0, 1000] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 1000 } }
`,
  tables: {
    visits: `SELECT (i % 60)::INTEGER AS patient, 'card ' || (i % 60) AS card, (i // 60 + 1)::INTEGER AS nth,
      CASE WHEN i % 60 = 7 THEN 'rare' ELSE 'flu' END AS diagnosis, i % 2 AS mask, i % 3 AS value, i // 90 AS k0,
      CASE WHEN i >= 60 THEN (i * 37 % 100 + 1)::INTEGER END AS cost,
      CASE WHEN i >= 120 THEN (i % 50 + 1)::INTEGER END AS rebate
      FROM range(180) r(i)`,
  },
};

const PADDED = `NOT (diagnosis = 'rare' OR nth = 1)`;

/** Questions of which the numbers must not be told together, by the cells that would be one patient's. */
const ALONE: readonly string[] = [
  'count(DISTINCT patient)',
  'count(DISTINCT card)',
  'sum(cost)',
  'avg(cost)',
  'count(cost)',
  'variance(cost)',
  'sum(coalesce(cost, 0))',
  'sum(ifnull(cost, 0) * 2)',
  'sum(cost + 1)',
];

for (const [how, rowCount] of [
  ['one statement', 0],
  ['many statements', 10_000_000],
] as const) {
  describe(`conditions that are padded with people who add nothing, judged by ${how}`, async () => {
    const world = await OpenWorld.open(CALLS, {}, rowCount);
    after(() => world.close());
    const cells = (seen: Seen): readonly (readonly unknown[])[] => {
      assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
      return seen.kind === 'answer'
        ? seen.rows.map((row) => row.map((one) => (one === null ? null : Number(one))))
        : [];
    };

    for (const aggregate of ALONE) {
      it(`${aggregate} is not told of all but one`, async () => {
        const [plain] = cells(await world.ask(`SELECT ${aggregate} AS a FROM visits`));
        assert.notEqual(plain?.[0], null, 'of everybody it is told');
        const where = cells(await world.ask(`SELECT ${aggregate} AS a FROM visits WHERE ${PADDED}`));
        assert.equal(where[0]?.[0] ?? null, null);
        const [beside] = cells(
          await world.ask(`SELECT ${aggregate} AS a, ${aggregate} FILTER (WHERE ${PADDED}) AS b FROM visits`),
        );
        assert.equal(beside?.[1], null);
      });
    }

    it('nor of that one beside people who add nothing', async () => {
      for (const aggregate of [
        'sum(cost)',
        'sum(coalesce(cost, 0))',
        'avg(coalesce(cost, 0))',
        'sum(1 + ifnull(cost, 0))',
      ]) {
        const sql = `SELECT ${aggregate} AS a FROM visits WHERE diagnosis = 'rare' OR nth = 1`;
        assert.equal(cells(await world.ask(sql))[0]?.[0] ?? null, null, sql);
      }
    });

    it('nor where CASE or a sub-query per patient says the same', async () => {
      for (const sql of [
        `SELECT count(DISTINCT CASE WHEN ${PADDED} THEN patient END) AS a, count(DISTINCT patient) AS b FROM visits`,
        `SELECT sum(CASE WHEN ${PADDED} THEN cost END) AS a, sum(cost) AS b FROM visits`,
        `SELECT count(CASE WHEN ${PADDED} THEN cost END) AS a, count(cost) AS b FROM visits`,
        `SELECT avg(CASE WHEN ${PADDED} THEN coalesce(cost, 0) END) AS a, sum(cost) AS b FROM visits`,
        `SELECT sum(cost * rebate) FILTER (WHERE ${PADDED}) AS a, sum(cost * rebate) AS b FROM visits`,
        `SELECT count(*) AS a FROM (SELECT patient, sum(rebate) AS s FROM visits WHERE ${PADDED} GROUP BY patient) q`,
        `SELECT sum(s) AS a FROM (SELECT patient, sum(cost) AS s FROM visits WHERE ${PADDED} GROUP BY patient) q`,
        `SELECT count(s) AS a FROM (SELECT patient, sum(cost) AS s FROM visits WHERE ${PADDED} GROUP BY patient) q`,
      ])
        assert.equal(cells(await world.ask(sql))[0]?.[0] ?? null, null, sql);
    });

    it('nor of arms and sub-queries of one question', async () => {
      const [all, most] = ['nth > 1', `nth > 1 AND diagnosis <> 'rare'`];
      for (const aggregate of ['count(DISTINCT patient)', 'sum(cost)', 'count(cost)']) {
        const [one, other] = [all, most].map((where) => `SELECT ${aggregate} AS a FROM visits WHERE ${where}`);
        const arms = cells(await world.ask(`${one} UNION ALL ${other}`)).map(([a]) => a);
        assert.ok(arms.length < 2 || arms.includes(null), aggregate);
        assert.ok(cells(await world.ask(`SELECT (${one}) AS a, (${other}) AS b`))[0]?.includes(null), aggregate);
      }
    });

    it('and of everybody it is still told beside it', async () => {
      for (const sql of [
        `SELECT sum(CASE WHEN ${PADDED} THEN cost END) AS a, sum(cost) AS b FROM visits`,
        `SELECT count(DISTINCT patient) FILTER (WHERE ${PADDED}) AS a, count(DISTINCT patient) AS b FROM visits`,
      ])
        assert.notEqual(cells(await world.ask(sql))[0]?.[1], null, sql);
    });

    it('nor of two conditions that differ by that one', async () => {
      const [row] = cells(
        await world.ask(
          `SELECT count(DISTINCT patient) FILTER (WHERE nth > 1) AS a, count(DISTINCT patient) FILTER (WHERE nth > 1 AND diagnosis <> 'rare') AS b,
           sum(rebate) FILTER (WHERE nth > 1) AS c, sum(rebate) FILTER (WHERE nth = 3 AND diagnosis <> 'rare') AS d FROM visits`,
        ),
      );
      assert.ok(row?.[0] === null || row?.[1] === null);
      assert.ok(row?.[2] === null || row?.[3] === null);
    });

    it('nor of a total beside a part with all but one', async () => {
      const key = `CASE WHEN diagnosis = 'rare' OR nth = 1 THEN 1 ELSE 2 END`;
      for (const sets of ['ROLLUP (k)', 'CUBE (k, v)', 'GROUPING SETS ((k), (v), ())']) {
        const sql = `SELECT ${key} AS k, mask AS v, count(DISTINCT patient) AS a, grouping(k) AS g, grouping(v) AS h FROM visits GROUP BY ${sets === 'ROLLUP (k)' ? 'ROLLUP (k, v)' : sets}`;
        const told = cells(await world.ask(sql)).filter(([, , a]) => a !== null);
        const total = told.find(([, , , g, h]) => g === 1 && h === 1)?.[2];
        const part = told.find(([k, , , g, h]) => k === 2 && g === 0 && h === 1)?.[2];
        assert.ok(total === undefined || part === undefined || total === part, sql);
      }
    });

    it('what leaves out many who count is answered as the engine answers it', async () => {
      for (const sql of [
        `SELECT count(DISTINCT patient) AS a FROM visits WHERE nth > 1`,
        `SELECT count(DISTINCT patient) FILTER (WHERE mask = 1) AS a, count(DISTINCT patient) AS b FROM visits`,
        `SELECT sum(cost) AS a, sum(cost) FILTER (WHERE nth = 2) AS b FROM visits`,
        `SELECT sum(coalesce(cost, 0)) AS a, avg(cost) AS b FROM visits WHERE nth > 1`,
        `SELECT count(*) AS a, sum(s) AS b FROM (SELECT patient, sum(cost) AS s FROM visits WHERE nth > 1 GROUP BY patient) q`,
      ]) {
        const plain = await plainly(world, sql);
        assert.deepEqual(
          cells(await world.ask(sql)),
          plain.rows.map((row) => row.map(Number)),
          sql,
        );
      }
    });

    it('columns may be called as our own are', async () => {
      for (const [sql, rows] of [
        [
          `SELECT mask, k0, value, count(DISTINCT patient) FILTER (WHERE nth > 1) AS n FROM visits GROUP BY ALL ORDER BY ALL`,
          12,
        ],
        [
          `SELECT value, sum(cost) FILTER (WHERE mask = 1), sum(cost) FILTER (WHERE k0 = 1) FROM visits GROUP BY value`,
          3,
        ],
        [`SELECT k0, count(*) FILTER (WHERE mask = 1), count(*) FILTER (WHERE value = 1) FROM visits GROUP BY k0`, 2],
      ] as const)
        assert.equal(cells(await world.ask(sql)).length, rows, sql);
    });
  });
}

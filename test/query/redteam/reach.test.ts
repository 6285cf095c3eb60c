import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { leaksOf, type Person } from './oracle.ts';
import { OpenWorld, type World } from './world.ts';
import { FACTORY, HOSPITAL } from './worlds.ts';

const patient = (i: number): Person => ({ key: `p${i}`, rows: { visits: `patient = ${i}`, patients: `pid = ${i}` } });
const everybody = Array.from({ length: 24 }, (_, i) => patient(i));

/** Thirty people with an ordinary income and one with an extraordinary one; the public list of towns lacks a small one. */
const TOWN: World = {
  name: 'town',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: town, grade: important }
tables:
  people:
    privacyUnit: [id]
    columns:
      id:     { rights: [countDistinct] }
      town:   { rights: [group, filter, join], values: [big, mid, small] }
      sex:    { rights: [group, filter], values: [f, m] }
      rich:   { rights: [aggregate], functions: [sum, avg, variance, stddev, correlation, regressionSlope, quantile] }
      income: { rights: [aggregate], functions: [sum, avg, variance, stddev, correlation, regressionSlope, quantile] }
  towns:
    public: true
    columns:
      town:  { rights: [join] }
      river: { rights: [group, filter] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    people: `SELECT i::INTEGER AS id, CASE WHEN i = 30 THEN 'small' WHEN i % 2 = 0 THEN 'big' ELSE 'mid' END AS town,
      CASE WHEN i % 3 = 0 THEN 'f' ELSE 'm' END AS sex, (CASE WHEN i = 4 THEN 1000000 ELSE 1000 + i END)::INTEGER AS rich,
      (2000 + i * 37 % 401)::INTEGER AS income FROM range(31) r(i)`,
    towns: `SELECT * FROM (VALUES ('big', 'Rhine'), ('mid', 'Elbe')) t(town, river)`,
  },
};

describe('what a join, a moment, a list of keys and a quantile tell', async () => {
  const town = await OpenWorld.open(TOWN);
  const dominated = await OpenWorld.open(TOWN, { dominance: { n: 1, share: 0.5 } });
  const listed = await OpenWorld.open(TOWN, { smallGroups: 'null' });
  const hospital = await OpenWorld.open(HOSPITAL);
  const factory = await OpenWorld.open(FACTORY);
  after(() => Promise.all([town, dominated, listed, hospital, factory].map((world) => world.close())));
  const answer = async (world: OpenWorld, sql: string): Promise<readonly (readonly unknown[])[]> => {
    const seen = await world.ask(sql);
    assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
    return seen.kind === 'answer' ? seen.rows : [];
  };

  it('an inner join with a public table that lacks the town of one person is withheld like a filter', async () => {
    assert.deepEqual(await answer(town, 'SELECT count(*) FROM people JOIN towns USING (town)'), []);
    const grouped = await answer(town, 'SELECT river, count(*) FROM people JOIN towns USING (town) GROUP BY river');
    assert.deepEqual(grouped, []);
  });

  it('the same join is answered where everybody finds a partner, and LEFT JOIN leaves nobody out', async () => {
    const everyone =
      'SELECT t.river, count(*) FROM people p LEFT JOIN towns t ON p.town = t.town GROUP BY t.river ORDER BY 1';
    assert.deepEqual(await answer(town, everyone), [
      ['Elbe', 15n],
      ['Rhine', 15n],
    ]);
    await town.without({ people: 'id = 30' });
    const joined = await answer(
      town,
      'SELECT river, count(*) FROM people JOIN towns USING (town) GROUP BY river ORDER BY 1',
    );
    await town.reset();
    assert.deepEqual(joined, [
      ['Elbe', 15n],
      ['Rhine', 15n],
    ]);
  });

  it('a moment that one person makes is withheld under a dominance rule, one of many is not', async () => {
    const sql = 'SELECT variance(rich), stddev(rich), corr(rich, income), regr_slope(income, rich) FROM people';
    assert.deepEqual(await answer(dominated, sql), [[null, null, null, null]]);
    const [plain] = await answer(
      dominated,
      'SELECT variance(income), corr(income, income), median(income) FROM people',
    );
    assert.ok(plain?.every((value) => value !== null));
  });

  it('keys that WHERE excludes are not listed, keys that it keeps are', async () => {
    const sql =
      "SELECT sex, town, count(*) AS n FROM people WHERE sex = 'f' AND town <> 'mid' GROUP BY ALL ORDER BY ALL";
    assert.deepEqual(await answer(listed, sql), [
      ['f', 'big', 5n],
      ['f', 'small', null],
    ]);
  });

  it('quantiles of all fractions together are rounded means of disjoint blocks of enough people', async () => {
    const fractions = Array.from({ length: 41 }, (_, i) => i / 40);
    const sql = `SELECT ${fractions.map((q) => `quantile_cont(income, ${q}) AS q${q * 1000}`).join(', ')} FROM people`;
    const [row = []] = await answer(town, sql);
    const incomes = Array.from({ length: 31 }, (_, i) => 2000 + ((i * 37) % 401)).toSorted((a, b) => a - b);
    const different = [...new Set(row.map(Number))];
    assert.equal(different.length, 10);
    const blocks = Map.groupBy(incomes, (_, i) => Math.floor((i * 10) / 31));
    const means = [...blocks.values()].map((block) => {
      const step = 2 ** (Math.floor(Math.log2(Math.max(...block) - Math.min(...block))) - 2);
      return Math.round(block.reduce((sum, one) => sum + one, 0) / block.length / step) * step;
    });
    assert.ok([...blocks.values()].every((block) => block.length >= 3));
    assert.deepEqual(different.map((one) => one.toFixed(6)).toSorted(), means.map((one) => one.toFixed(6)).toSorted());
  });

  it('a quantile of too few people, and the top block of one unit, have no value', async () => {
    assert.deepEqual(await answer(town, "SELECT median(income) FROM people WHERE town = 'small'"), []);
    const [row] = await answer(dominated, 'SELECT quantile_cont(rich, 1.0), quantile_cont(rich, 0.5) FROM people');
    assert.equal(row?.[0], null);
    assert.ok(row?.[1] !== null);
  });

  for (const sql of [
    "SELECT avg((ward = 'tiny')::INT), count(*) FROM visits",
    'SELECT sum(urgent::INT), avg(urgent::INT), count_if(NOT urgent), count(*) FROM visits',
    "SELECT avg(CASE WHEN urgent THEN 5 WHEN diagnosis = 'rare' THEN 0 END), sum(CASE WHEN urgent THEN 5 END) FROM visits",
    "SELECT stddev(CASE WHEN ward = 'north' THEN cost WHEN diagnosis = 'rare' THEN 0 END), count(*) FROM visits",
    "SELECT ward, bool_or(diagnosis = 'rare') AS b, count(*) AS n FROM visits GROUP BY ward",
    "SELECT count_if(regexp_matches(ward, '^(north|south)$')), count(*) FROM visits",
    "SELECT count(*) FROM visits WHERE (ward, diagnosis) NOT IN (('north', 'rare'), ('x', 'y'))",
    "SELECT replace(ward, 'tiny', 'north') AS w, count(*) AS n FROM visits GROUP BY w",
  ]) {
    it(`no sum or difference of cells speaks of few people: ${sql}`, async () => {
      const seen = await hospital.ask(sql);
      assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
      const found = await leaksOf(hospital, sql, everybody, 3);
      assert.deepEqual(
        found.filter(({ kind }) => kind === 'isolated'),
        [],
      );
    });
  }

  for (const [sql, code, words] of [
    ['SELECT count(*) FROM visits JOIN (VALUES (1)) v(x) ON patient = x', 'column-right-missing', /`patient`/],
    ["SELECT count(*) FROM visits, (VALUES ('north'), ('north')) v(w) WHERE ward = w", 'values-beside-rows', /CASE/],
    ['SELECT max(n) FROM (SELECT patient, count(*) AS n FROM visits GROUP BY patient)', 'column-right-missing', /`n`/],
    ["SELECT count(*) FROM visits WHERE regexp_matches(ward, '(a)\\1')", 'wrong-arguments', /pattern|RE2/],
    ['SELECT count(*) FROM visits WHERE regexp_matches(ward, diagnosis)', 'wrong-arguments', /constant/],
    [
      "SELECT count(*) FROM visits WHERE replace(replace(ward, 'n', 'nnnnnnnnn'), 'n', 'nnnnnnnnnnn') = 'x'",
      'function-not-allowed',
      /longer/,
    ],
    ['SELECT median(income + income) FROM patients', 'measure-not-allowed', /one column/],
    ['SELECT median(cost) FROM visits', 'aggregate-not-granted', /quantile/],
    ['SELECT bool_or(cost > 5) FROM visits', 'column-right-missing', /filter/],
    ['SELECT avg((cost > 5)::INT) FROM visits', 'column-right-missing', /filter/],
    ['SELECT ward, grouping(diagnosis), count(*) FROM visits GROUP BY ROLLUP (ward)', 'wrong-arguments', /group keys/],
    ['VALUES (1)', 'sql-not-a-query', /VALUES/],
  ] as const) {
    it(`refused with words that help: ${sql}`, async () => {
      const seen = await hospital.ask(sql);
      assert.equal(seen.kind, 'denied');
      if (seen.kind !== 'denied') return;
      assert.equal(seen.code, code);
      const { reasons } = (await hospital.enforced(sql)) as {
        reasons: readonly { message: string; remedy: string | null }[];
      };
      assert.match(`${reasons[0]?.message} ${reasons[0]?.remedy}`, words);
    });
  }

  it('text that doubles in every sub-query is refused before it grows', { timeout: 60_000 }, async () => {
    const steps = Array.from({ length: 40 }, (_, i) => `c${i + 1} AS (SELECT x || x AS x FROM c${i})`);
    const seen = await hospital.ask(
      `WITH c0 AS (SELECT ward AS x FROM visits), ${steps.join(', ')} SELECT count(*) FROM c40 WHERE x = 'a'`,
    );
    assert.equal(seen.kind, 'denied');
  });
});

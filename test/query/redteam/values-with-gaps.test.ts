import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plainly, shown, wrongIn } from './leave-one-out.ts';
import { OpenWorld, type World } from './world.ts';

/**
 * Forty people with three visits each. The last visit of twelve is in ward E, where two of them have a cost and ten have
 * none, and that of nineteen others in ward F. Minimum 5.
 */
const WORLD: World = {
  name: 'gaps',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: gaps, grade: important }
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
      cost:   { rights: [aggregate, extremum], functions: [sum, avg, count] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    people: 'SELECT i::INTEGER AS person FROM range(40) r(i)',
    visits: `SELECT (i % 40)::INTEGER AS person, CASE WHEN i < 80 THEN 'A' WHEN i % 40 < 12 THEN 'E' WHEN i % 40 > 20 THEN 'F' ELSE 'A' END AS ward,
      CASE WHEN i >= 80 AND i % 40 BETWEEN 2 AND 11 THEN NULL ELSE 100 + i * 37 % 1009 END::INTEGER AS cost FROM range(120) r(i)`,
  },
};

const NOTHING = { names: [], rows: [] };

/** The same total, under a condition, in the spellings that are offered. */
const TOTALS: Readonly<Record<string, (where: string) => string>> = {
  rows: (where) => `SELECT sum(cost) AS a0 FROM visits WHERE ${where}`,
  'values per unit': (where) =>
    `SELECT sum(x) AS a0 FROM (SELECT person, sum(cost) AS x FROM visits WHERE ${where} GROUP BY person)`,
  'values of values': (where) =>
    `SELECT sum(x) AS a0 FROM (SELECT person, sum(y) AS x FROM (SELECT person, ward, sum(cost) AS y FROM visits WHERE ${where} GROUP BY person, ward) GROUP BY person)`,
  'left-joined values': (where) =>
    `SELECT sum(coalesce(d.x, 0)) AS a0 FROM people LEFT JOIN (SELECT person, sum(cost) AS x FROM visits WHERE ${where} GROUP BY person) d USING (person)`,
  'left-joined rows': (where) =>
    `SELECT sum(v.cost) AS a0, count(v.person) AS a1 FROM people p LEFT JOIN visits v ON v.person = p.person AND v.${where}`,
  'looked-up values': (where) =>
    `SELECT sum((SELECT sum(v.cost) FROM visits v WHERE v.person = p.person AND v.${where})) AS a0 FROM people p`,
  'filled values per unit': (where) =>
    `SELECT sum(x) AS a0 FROM (SELECT person, sum(coalesce(cost, 0)) AS x FROM visits WHERE ${where} GROUP BY person)`,
  'left-joined filled rows': (where) =>
    `SELECT sum(coalesce(v.cost, 0)) AS a0 FROM people p LEFT JOIN visits v ON v.person = p.person AND v.${where}`,
};

const isFilled = (first: string, second: string): boolean => `${first} ${second}`.includes('filled');

/** What is made of the costs of each person with 0 in place of missing ones; added up as well where it adds nothing else. */
const FILLED: Readonly<Record<string, 'answered' | 'refused'>> = {
  'sum(coalesce(cost, 0))': 'answered',
  'sum(ifnull(cost, 0))': 'answered',
  'avg(coalesce(cost, 0))': 'answered',
  'sum(coalesce(cost, 0) * 2)': 'answered',
  'sum(-coalesce(cost, 0))': 'answered',
  'sum(0.5 * coalesce(cost, 0))': 'answered',
  'sum(coalesce(cost, 0) + 1)': 'refused',
  'sum(2 * coalesce(cost, 0) - 3)': 'refused',
};
const [LESS, MORE] = ["ward NOT IN ('E', 'F')", "ward <> 'F'"];

describe('values per unit with 0 in place of missing ones', () => {
  for (const rowCount of [0, 300_000])
    it(`show nothing of the two who have one, and all of many, in tables of ${rowCount} rows`, async () => {
      const world = await OpenWorld.open(WORLD, {}, rowCount);
      try {
        for (const [made, expected] of Object.entries(FILLED)) {
          const of = (where: string): string =>
            `SELECT sum(x) AS a0, avg(x) AS a1 FROM (SELECT person, ${made} AS x FROM visits WHERE ${where} GROUP BY person)`;
          const few = await world.ask(of("ward = 'E'"));
          const many = await world.ask(of("ward <> 'E'"));
          assert.equal(many.kind, expected === 'answered' ? 'answer' : 'denied', made);
          assert.ok(few.kind !== 'answer' || few.rows.flat().every((cell) => cell === null), made);
          if (many.kind !== 'answer') continue;
          assert.deepEqual(wrongIn(shown(many) ?? NOTHING, await plainly(world, of("ward <> 'E'"))), [], made);
          assert.ok(
            many.rows.flat().every((cell) => cell !== null),
            made,
          );
        }
      } finally {
        await world.close();
      }
    });
});

describe('sums over people of whom two have no visit', () => {
  it('are shown, for they tell nothing of the two', async () => {
    const people = 'SELECT i::INTEGER AS person FROM range(42) r(i)';
    const world = await OpenWorld.open({ ...WORLD, tables: { ...WORLD.tables, people } });
    const rows = 'FROM people p LEFT JOIN visits v ON v.person = p.person';
    const each = (value: string): string => `(SELECT person, ${value} AS x FROM visits GROUP BY person)`;
    try {
      for (const sql of [
        `SELECT sum(v.cost) AS a0 ${rows}`,
        `SELECT sum(coalesce(v.cost, 0)) AS a0 ${rows}`,
        `SELECT sum(d.x) AS a0 FROM people LEFT JOIN ${each('sum(coalesce(cost, 0))')} d USING (person)`,
        `SELECT sum(coalesce(d.x, 0)) AS a0 FROM people LEFT JOIN ${each('sum(coalesce(cost, 0))')} d USING (person)`,
        `SELECT sum(d.x) AS a0 FROM people LEFT JOIN ${each('coalesce(sum(cost), 0)')} d USING (person)`,
      ]) {
        const answer = shown(await world.ask(sql)) ?? NOTHING;
        assert.deepEqual(answer.rows, [(await plainly(world, `SELECT sum(cost) AS a0 FROM visits`)).rows[0]], sql);
      }
    } finally {
      await world.close();
    }
  });
});

describe('totals over values of which many are missing', () => {
  for (const [size, rowCount] of [
    ['small', 0],
    ['large', 300_000],
  ] as const)
    it(`do not subtract to the few who have one, however they are spelled, in ${size} tables`, async () => {
      const world = await OpenWorld.open(WORLD, { differencingGuard: true }, rowCount);
      try {
        const sumOf = async (sql: string): Promise<string | null> => shown(await world.ask(sql))?.rows[0]?.[0] ?? null;
        for (const [first, less] of Object.entries(TOTALS))
          for (const [second, more] of Object.entries(TOTALS)) {
            if ((size === 'large' || isFilled(first, second)) && first !== 'rows' && second !== first) continue;
            world.forget();
            assert.ok((await sumOf(less(LESS))) !== null, first);
            // The same rows are no news, whatever they are called.
            assert.ok((await sumOf(more(LESS))) !== null, `${first} and ${second}`);
            assert.equal(await sumOf(more(MORE)), null, `${first} and ${second}`);
          }
      } finally {
        await world.close();
      }
    });

  it('do not within one answer', async () => {
    const world = await OpenWorld.open(WORLD);
    try {
      for (const [first, less] of Object.entries(TOTALS))
        for (const [second, more] of Object.entries(TOTALS)) {
          if (isFilled(first, second) && first !== 'rows') continue;
          const [a, b] = [less(LESS), more(MORE)].map((sql) => sql.replace(', count(v.person) AS a1', ''));
          const answer = shown(await world.ask(`${a} UNION ALL ${b}`));
          assert.ok(answer !== null, `${first} and ${second}`);
          const sums = answer.rows.filter(([sum]) => sum !== null);
          assert.equal(sums.length, 1, `${first} and ${second}: ${JSON.stringify(answer.rows)}`);
        }
    } finally {
      await world.close();
    }
  });
});

describe('values per unit beside everybody, where two have visits and no cost', () => {
  const COSTS =
    'SELECT i::INTEGER % 40 AS person, NULL::VARCHAR AS ward, CASE WHEN i % 40 < 2 THEN NULL ELSE 100 + i END::INTEGER AS cost FROM range(90) r(i)';
  const people = 'SELECT i::INTEGER AS person FROM range(42) r(i)';
  const beside = (value: string, made: string): string =>
    `SELECT avg(${value}) AS a0 FROM people LEFT JOIN (SELECT person, ${made} AS x FROM visits GROUP BY person) d USING (person)`;
  const MEANS = {
    costs: beside('coalesce(d.x, 0)', 'sum(cost)'),
    'costs, 0 in place of missing ones': beside('coalesce(d.x, 0)', 'coalesce(sum(cost), 0)'),
    'costs in cents, 0 in place of missing ones': beside('coalesce(d.x, 0) * 100', 'coalesce(sum(cost), 0)'),
    visits: beside('coalesce(d.x, 0)', 'count(*)'),
  };

  it('are told one after another, and tell nothing of the two', async () => {
    const world = await OpenWorld.open({ ...WORLD, tables: { people, visits: COSTS } }, { differencingGuard: true });
    try {
      for (const [first, before] of Object.entries(MEANS))
        for (const [second, next] of Object.entries(MEANS)) {
          world.forget();
          await world.ask(before);
          const answer = shown(await world.ask(next)) ?? NOTHING;
          assert.deepEqual(wrongIn(answer, await plainly(world, next)), [], `${second} after ${first}`);
          assert.ok(answer.rows[0]?.[0] !== undefined && answer.rows[0][0] !== null, `${second} after ${first}`);
        }
    } finally {
      await world.close();
    }
  });
});

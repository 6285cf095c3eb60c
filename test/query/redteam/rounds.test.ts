import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isolatedIn, shown, type Shown, withoutEach } from './leave-one-out.ts';
import type { Person } from './oracle.ts';
import { OpenWorld, type World } from './world.ts';

/**
 * Forty people who are seen in five rounds. Person 7 comes a sixth time, person 38 misses the last three, person 39 never
 * comes: whoever tells one round's people from another's, or people from visitors, speaks of them alone. Minimum 5.
 */
const ROUNDS: World = {
  name: 'rounds',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: rounds, grade: important }
tables:
  people:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
      sex:    { rights: [group, filter] }
      income: { rights: [aggregate], functions: [sum, avg, count], bounds: [0, 2000000] }
  visits:
    privacyUnit: { columns: [person], via: person -> people.person }
    columns:
      person:  { rights: [join, countDistinct] }
      clinic:  { rights: [group, filter] }
      disease: { rights: [group, filter] }
      day:     { rights: [group, filter, compare] }
      cost:    { rights: [aggregate], functions: [sum, avg, count], bounds: [0, 1000000] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 1000, differencing: guard } }
`,
  tables: {
    people: `SELECT i::INTEGER AS person, CASE WHEN i % 2 = 0 THEN 'f' ELSE 'm' END AS sex, 20000 + i * 7919 % 30011 AS income FROM range(40) r(i)`,
    visits: `SELECT (i % 40)::INTEGER AS person, CASE WHEN i = 167 OR i % 40 >= 20 THEN 'south' ELSE 'north' END AS clinic,
      CASE WHEN i // 40 = 4 AND i % 40 <= 12 THEN 'flu' WHEN i = 87 THEN 'rare' ELSE 'cold' END AS disease, (i // 40)::INTEGER AS day,
      CASE WHEN i % 40 BETWEEN 20 AND 27 THEN NULL ELSE 50 + i * 31 % 97 END::INTEGER AS cost
      FROM range(200) r(i) WHERE i % 40 < 38 OR (i % 40 = 38 AND i < 120) UNION ALL SELECT 7, 'north', 'cold', 9, 70`,
  },
};

const person = (i: number): Person => ({
  key: `p${i}`,
  rows: { people: `person = ${i}`, visits: `person = ${i}` },
});
/** Those who stand out, and enough of every kind for large groups to look large. */
const PEOPLE = [7, 38, 39, 0, 1, 2, 3, 4, 5, 6, 9, 20, 21, 22, 23, 24, 25, 28, 29, 30, 31, 33].map(person);

const placed = `(SELECT person, day, clinic, cost, row_number() OVER (PARTITION BY person ORDER BY day) AS r FROM visits)`;
const before_ = `(SELECT person, lag(day) OVER (PARTITION BY person ORDER BY day) AS d FROM visits)`;
const latest = (where: string): string =>
  `(SELECT * FROM visits WHERE ${where} QUALIFY row_number() OVER (PARTITION BY person ORDER BY day DESC) = 1)`;
const perUnit = (values: string, more = ''): string => `(SELECT person, ${values} FROM visits GROUP BY person ${more})`;

/** Questions that one consumer asks one after the other. */
const ATTACKS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'places in the order of a unit’s rows: who has a fifth row has a fourth': [
    [`SELECT r AS k0, count(*) AS a0 FROM ${placed} GROUP BY r`],
    [`SELECT count(*) FILTER (WHERE r = 3) AS a0, count(*) FILTER (WHERE r = 4) AS a1 FROM ${placed}`],
    [`SELECT sum(CASE WHEN r = 3 THEN 1 WHEN r = 4 THEN -1 ELSE 0 END) AS a0 FROM ${placed}`],
    [`SELECT r % 2 AS k0, count(*) AS a0 FROM ${placed} WHERE r IN (3, 4) GROUP BY 1`],
    [`SELECT clinic AS k0, r AS k1, count(*) AS a0 FROM ${placed} GROUP BY ALL`],
    [`SELECT r AS k0, count(*) AS a0 FROM ${placed} GROUP BY r HAVING count(*) > 30 ORDER BY a0 LIMIT 3`],
    [`SELECT count(*) AS a0 FROM ${placed} WHERE r = 3`, `SELECT count(*) AS a0 FROM ${placed} WHERE r = 4`],
    [`SELECT r AS k0, sum(p.income) AS a0 FROM people p JOIN ${placed} v USING (person) GROUP BY r`],
    [`SELECT d AS k0, count(*) AS a0 FROM ${before_} GROUP BY d`],
    [
      'SELECT k0, count(*) AS a0 FROM (SELECT dense_rank() OVER (PARTITION BY person ORDER BY day) AS k0 FROM visits) GROUP BY k0',
    ],
  ],
  'people counted in one table and in another': [
    ['SELECT count(*) AS a0 FROM people', 'SELECT count(DISTINCT person) AS a0 FROM visits'],
    ['SELECT count(DISTINCT person) AS a0 FROM visits', 'SELECT count(*) AS a0 FROM people'],
    ['SELECT count(*) AS a0 FROM people UNION ALL SELECT count(DISTINCT person) FROM visits'],
    ['SELECT count(*) AS a0 FROM people', `SELECT count(*) AS a0 FROM ${perUnit('count(*) AS n')}`],
    ['SELECT count(*) AS a0 FROM people', `SELECT count(*) AS a0 FROM ${before_} WHERE d IS NULL`],
    ['SELECT count(*) AS a0 FROM people', `SELECT count(*) AS a0 FROM ${latest('TRUE')}`],
    [
      "SELECT count(*) AS a0 FROM people WHERE sex = 'm'",
      "SELECT count(DISTINCT person) AS a0 FROM visits JOIN people USING (person) WHERE sex = 'm'",
    ],
  ],
  'a cohort, a flag and a join that say nearly the same': [
    [
      "SELECT count(*) AS a0 FROM people WHERE sex = 'm'",
      "SELECT count(*) AS a0 FROM people WHERE sex = 'm' AND person IN (SELECT person FROM visits)",
    ],
    [
      "SELECT sum(income) AS a0 FROM people WHERE person IN (SELECT person FROM visits WHERE clinic = 'north')",
      `SELECT sum(p.income) AS a0 FROM people p JOIN ${perUnit("bool_or(clinic = 'north') AS f, count(*) AS n")} v USING (person) WHERE f AND n <= 5`,
    ],
    [
      'SELECT sum(cost) AS a0 FROM visits',
      `SELECT sum(n) AS a0 FROM ${perUnit('sum(cost) AS n, count(*) AS m')} WHERE m <= 5`,
    ],
    [
      "SELECT sum(cost) AS a0 FROM visits WHERE person IN (SELECT person FROM visits WHERE clinic = 'south')",
      "SELECT sum(cost) AS a0 FROM visits WHERE person IN (SELECT person FROM visits GROUP BY person HAVING min(clinic) = 'south')",
    ],
    // Eight people without a cost and person 7 leave the cohort together.
    [
      'SELECT sum(cost) AS a0 FROM visits',
      'SELECT sum(cost) AS a0 FROM visits WHERE person NOT IN (SELECT person FROM visits WHERE day = 9)',
    ],
    [
      `SELECT c AS k0, sum(n) AS a0 FROM ${perUnit('sum(cost) AS n, max(clinic) AS c')} GROUP BY c`,
      `SELECT c AS k0, sum(n) AS a0 FROM ${perUnit('sum(cost) AS n, min(clinic) AS c')} GROUP BY c`,
    ],
  ],
  'many rows that change nothing, and one that moves a person': [
    ['day <= 4', "day <= 4 AND disease <> 'flu'"].map(
      (where) => `SELECT clinic AS k0, count(*) AS a0 FROM ${latest(where)} GROUP BY clinic`,
    ),
    ['day <= 4', "day <= 4 AND disease <> 'flu'"].map(
      (where) =>
        `SELECT v.clinic AS k0, sum(p.income) AS a0 FROM people p JOIN ${latest(where)} v USING (person) GROUP BY 1`,
    ),
  ],
};

describe('rounds of visits under attack', async () => {
  const world = await OpenWorld.open(ROUNDS);
  after(() => world.close());
  const released = new Map<string, { readonly sql: string; readonly answer: Shown }[]>();
  let without: readonly ReadonlyMap<string, Shown>[] = [];
  before(async () => {
    for (const questions of Object.values(ATTACKS).flat()) {
      world.forget();
      const own: { readonly sql: string; readonly answer: Shown }[] = [];
      for (const sql of questions) {
        const seen = await world.ask(sql);
        const answer = shown(seen);
        assert.ok(answer !== null, `${sql}: ${seen.kind === 'denied' ? seen.message : seen.kind}`);
        own.push({ sql, answer });
      }
      released.set(questions.join('; '), own);
    }
    const all = new Set(Object.values(ATTACKS).flat(2));
    without = await withoutEach(world, [...all], PEOPLE);
  });
  for (const [name, lists] of Object.entries(ATTACKS))
    it(`nothing is told of few people by ${name}`, () => {
      for (const questions of lists) {
        const own = released.get(questions.join('; ')) ?? [];
        assert.equal(own.length, questions.length);
        assert.equal(isolatedIn(own, without, PEOPLE, 5), null, JSON.stringify(own));
      }
    });

  it('what speaks of enough is told: the first rounds, and those who are seen', async () => {
    world.forget();
    const rounds = await world.ask(`SELECT r, count(*) FROM ${placed} WHERE r <= 3 GROUP BY r`);
    assert.deepEqual(rounds.kind === 'answer' ? rounds.rows.map(([r, n]) => [String(r), String(n)]) : null, [
      ['1', '39'],
      ['2', '39'],
      ['3', '39'],
    ]);
    world.forget();
    const same = await world.ask(
      "SELECT count(*) FROM people WHERE sex = 'f' UNION ALL SELECT count(DISTINCT person) FROM people WHERE sex = 'f'",
    );
    assert.deepEqual(same.kind === 'answer' ? same.rows.map(([n]) => String(n)) : null, ['20', '20']);
  });
});

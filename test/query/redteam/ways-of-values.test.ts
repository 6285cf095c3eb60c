import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { shown } from './leave-one-out.ts';
import { OpenWorld, type World } from './world.ts';

/** Forty people with a first visit each, and those of a second one: all known or none of their costs. */
const worldOf = (second: string): World => ({
  name: 'ways',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ways, grade: important }
tables:
  visits:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
      day:    { rights: [group, filter, order] }
      cost:   { rights: [aggregate, extremum, filter, order] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 8, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    visits: `SELECT (i % 40)::INTEGER AS person, (i // 40)::INTEGER AS day, CASE WHEN i < 44 THEN 1000 + (i * 7919) % 977 END::INTEGER AS cost
      FROM range(${second}) r(i)`,
  },
});

const of = (made: string): string =>
  `SELECT sum(x) AS a0 FROM (SELECT person, ${made} AS x FROM visits GROUP BY person)`;
const ordered = (rest: string): string =>
  `SELECT sum(cost) AS a0 FROM (SELECT cost, row_number() OVER (PARTITION BY person ORDER BY day) AS place FROM visits WHERE day < 1) WHERE ${rest}`;

/** For most people all of these are the one cost that there is, so two of them tell of the others what they differ by. */
const TRIALS = [
  {
    name: 'what is made of the costs of six who have several',
    // Four have two costs, two a cost and none.
    second: '46',
    ways: {
      'all of them': ['SELECT sum(cost) AS a0 FROM visits', of('sum(cost)'), of('sum(coalesce(cost, 0))')],
      'their means': [of('avg(cost)')],
      'their means, 0 for what is missing': [of('avg(coalesce(cost, 0))'), of('avg(ifnull(cost, 0))')],
      'the least': [of('min(cost)')],
    },
  },
  {
    name: 'the first costs of twenty of whom four have another one',
    second: '60',
    ways: {
      'all of them': ['SELECT sum(cost) AS a0 FROM visits', of('sum(cost)')],
      'the first': [ordered('place = 1'), ordered('place < 2')],
    },
  },
];

for (const { name, second, ways } of TRIALS)
  for (const rowCount of [0, 300_000])
    describe(`${name}, in tables of ${rowCount} rows`, () => {
      let world: OpenWorld;
      before(async () => {
        world = await OpenWorld.open(worldOf(second), { differencingGuard: true }, rowCount);
      });
      after(() => world.close());

      const told = async (sql: string): Promise<string | null> => shown(await world.ask(sql))?.rows[0]?.[0] ?? null;
      const all = Object.entries(ways).flatMap(([way, questions]) => questions.map((sql) => ({ way, sql })));
      for (const [index, first] of all.entries())
        it(`after ${first.sql}`, async () => {
          for (const next of all.slice(index)) {
            world.forget();
            assert.ok((await told(first.sql)) !== null, first.sql);
            assert.equal((await told(next.sql)) !== null, next.way === first.way, `${next.sql} after ${first.sql}`);
          }
        });
    });

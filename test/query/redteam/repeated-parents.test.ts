import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { shown } from './leave-one-out.ts';
import { OpenWorld, type World } from './world.ts';

/**
 * What belongs to a person (or to a stay in hospital), added up in the rows of its visits, and made into one value per person of
 * those rows. Who came twice, or never, is one person: totals that differ by that are not both told under the guard, whatever
 * they are called; totals over the same are.
 */

const policyOf = (name: string, tables: string): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${name}, grade: important }
tables:
${tables}
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 100 } }
`;

/** Person 0 came twice, person 1 never, everybody else once. */
const PEOPLE: World = {
  name: 'people',
  consumer: 'acme',
  policy: policyOf(
    'people',
    `  people:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct, group, filter] }
      income: { rights: [aggregate] }
  visits:
    privacyUnit: { columns: [person], via: person -> people.person }
    columns:
      person: { rights: [join, countDistinct] }`,
  ),
  tables: {
    people: 'SELECT i::INTEGER AS person, (1000 + (i * 7919) % 977)::INTEGER AS income FROM range(40) r(i)',
    visits: 'SELECT CASE WHEN i = 1 THEN 0 ELSE i END::INTEGER AS person FROM range(40) r(i)',
  },
};

const VISITED = 'FROM people p JOIN visits v ON v.person = p.person';
const ofVisits = (made: string): string =>
  `SELECT sum(a) AS a0 FROM (SELECT v.person, ${made} AS a ${VISITED} GROUP BY v.person)`;

/** By what they add up: everybody once, whoever came once, or each as often as they came. */
const INCOMES = {
  everybody: [
    'SELECT sum(income) AS a0 FROM people',
    'SELECT sum(p.income) AS a0 FROM people p LEFT JOIN (SELECT person, count(*) AS n FROM visits GROUP BY person) d ON d.person = p.person',
  ],
  'whoever came': [
    ofVisits('avg(p.income)'),
    ofVisits('any_value(p.income)'),
    'WITH d AS (SELECT person, count(*) AS n FROM visits GROUP BY person) SELECT sum(p.income) AS a0 FROM people p JOIN d ON d.person = p.person',
    `SELECT sum(income) AS a0 FROM (SELECT DISTINCT p.person, p.income ${VISITED})`,
  ],
  'as often as they came': [
    `SELECT sum(p.income) AS a0 ${VISITED}`,
    ofVisits('sum(p.income)'),
    'SELECT sum((SELECT avg(q.income) FROM people q WHERE q.person = v.person)) AS a0 FROM visits v',
  ],
};

/** Person 0 has two stays, everybody else one; the first stay of person 5 is told of by two visits. */
const STAYS: World = {
  name: 'stays',
  consumer: 'acme',
  policy: policyOf(
    'stays',
    `  people:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
  stays:
    privacyUnit: { columns: [person], via: person -> people.person }
    columns:
      stay:   { rights: [join] }
      person: { rights: [join, countDistinct] }
      cost:   { rights: [aggregate, group, extremum] }
  visits:
    privacyUnit: { columns: [person], via: [stay -> stays.stay, person -> people.person] }
    columns:
      stay: { rights: [join] }`,
  ),
  tables: {
    people: 'SELECT i::INTEGER AS person FROM range(40) r(i)',
    stays:
      'SELECT i::INTEGER AS stay, (i % 40)::INTEGER AS person, (1000 + (i * 7919) % 977)::INTEGER AS cost FROM range(41) r(i)',
    visits: 'SELECT CASE WHEN i = 41 THEN 5 ELSE i END::INTEGER AS stay FROM range(42) r(i)',
  },
};

const ofStays = (made: string, from: string): string =>
  `SELECT sum(a) AS a0 FROM (SELECT s.person, ${made} AS a FROM ${from} GROUP BY s.person)`;
const TOLD = 'stays s JOIN visits v ON v.stay = s.stay';
const COSTS = {
  'each stay': [
    'SELECT sum(cost) AS a0 FROM stays',
    ofStays('sum(s.cost)', 'stays s'),
    `SELECT sum(cost) AS a0 FROM (SELECT DISTINCT s.person, s.cost FROM ${TOLD})`,
  ],
  'each visit': [`SELECT sum(s.cost) AS a0 FROM ${TOLD}`, ofStays('sum(s.cost)', TOLD)],
  'means of stays': [ofStays('avg(s.cost)', 'stays s'), ofStays('avg(s.cost)', TOLD)],
  'dearest stays': [ofStays('max(s.cost)', 'stays s'), ofStays('max(s.cost)', TOLD)],
};

const TRIALS = [
  { name: 'incomes of people in the rows of their visits', world: PEOPLE, totals: INCOMES },
  { name: 'costs of stays in the rows of their visits', world: STAYS, totals: COSTS },
];

for (const { name, world, totals } of TRIALS)
  for (const rowCount of [0, 300_000])
    describe(`${name}, in tables of ${rowCount} rows`, () => {
      let open: OpenWorld;
      before(async () => {
        open = await OpenWorld.open(world, { differencingGuard: true }, rowCount);
      });
      after(() => open.close());

      const told = async (sql: string): Promise<string | null> => shown(await open.ask(sql))?.rows[0]?.[0] ?? null;
      const all = Object.entries(totals).flatMap(([of, questions]) => questions.map((sql) => ({ of, sql })));
      for (const [index, first] of all.entries())
        it(`after ${first.sql}`, async () => {
          // Of two, whichever comes second is compared alike.
          for (const second of all.slice(index)) {
            open.forget();
            assert.ok((await told(first.sql)) !== null, first.sql);
            const answer = await told(second.sql);
            assert.equal(answer !== null, second.of === first.of, `${second.sql} after ${first.sql}`);
          }
        });
    });

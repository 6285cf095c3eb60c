import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LANES } from '../../../runtime/release/lanes.ts';
import { plainly, shown } from './leave-one-out.ts';
import { OpenWorld, type World } from './world.ts';

/**
 * Sketches of large tables have one lane for many people. Two who share one and differ in the same way (two visits each, a mean in
 * place of a sum) must not take each other out of it.
 */
const PEOPLE = 60;
const worldOf = (twice: readonly number[]): World => ({
  name: 'lanes',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: lanes, grade: important }
tables:
  people:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
      income: { rights: [aggregate] }
  visits:
    privacyUnit: { columns: [person], via: person -> people.person }
    columns:
      person: { rights: [join, countDistinct] }
      cost:   { rights: [aggregate, extremum] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    people: `SELECT i::INTEGER AS person, (1000 + i * 7919 % 977)::INTEGER AS income FROM range(${PEOPLE}) r(i)`,
    visits: `SELECT person::INTEGER AS person, (100 + row_number() OVER () * 31 % 883)::INTEGER AS cost
      FROM (SELECT unnest(range(${PEOPLE})) AS person UNION ALL SELECT unnest([${twice.join(', ')}]::INTEGER[]))`,
  },
});

const of = (made: string): string =>
  `SELECT sum(x) AS a0 FROM (SELECT person, ${made} AS x FROM visits GROUP BY person)`;
const PAIRS = [
  [of('sum(cost)'), of('avg(cost)')],
  [of('sum(cost)'), of('max(cost)')],
  ['SELECT sum(cost) AS a0 FROM visits', of('min(cost)')],
  ['SELECT sum(income) AS a0 FROM people', 'SELECT sum(p.income) AS a0 FROM people p JOIN visits v USING (person)'],
] as const;

/** Two people of one lane: the lowest bits of the hash choose among 64 bits, those above the lane. */
async function twoOfOneLane(): Promise<readonly number[]> {
  const world = await OpenWorld.open(worldOf([]), {}, 300_000);
  try {
    const lanes = `SELECT person, ("__gb_u0" >> 6) % ${LANES} AS lane FROM d0.people`;
    const { rows } = await plainly(
      world,
      `SELECT list(person) AS people FROM (${lanes}) GROUP BY lane HAVING count(*) = 2 LIMIT 1`,
    );
    return String(rows[0]?.[0]).match(/\d+/g)?.map(Number) ?? [];
  } finally {
    await world.close();
  }
}

describe('two people who share a lane and differ in the same way', () => {
  it('are too few to be told by two totals', async () => {
    const twice = await twoOfOneLane();
    assert.equal(twice.length, 2);
    const world = await OpenWorld.open(worldOf(twice), { differencingGuard: true }, 300_000);
    try {
      for (const [first, second] of PAIRS) {
        world.forget();
        assert.ok((shown(await world.ask(first))?.rows[0]?.[0] ?? null) !== null, first);
        assert.equal(shown(await world.ask(second))?.rows[0]?.[0] ?? null, null, `${second} after ${first}`);
      }
    } finally {
      await world.close();
    }
  });
});

/** What WHERE leaves out ahead of values per unit, in tables so large that some of the units are looked at first. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { compileQuery } from '../../runtime/query/compile.ts';
import { plainly, shown } from './redteam/leave-one-out.ts';
import { OpenWorld, type World } from './redteam/world.ts';

const PEOPLE = 4_000;
const WORLD: World = {
  name: 'visits',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: visits, grade: important }
tables:
  visits:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
      day:    { rights: [group, filter] }
      cost:   { rights: [aggregate, filter] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    visits: `SELECT (i % ${PEOPLE})::INTEGER AS person, (i // ${PEOPLE})::INTEGER AS day,
      CASE WHEN i % 5 = 0 THEN NULL ELSE (1000 + (i * 7919) % 977) END::INTEGER AS cost FROM range(${3 * PEOPLE} + 6) r(i)`,
  },
};

const of = (where: string): string =>
  `SELECT count(*) AS a0, sum(n) AS a1, sum(c) AS a2 FROM (SELECT person, count(*) AS n, sum(cost) AS c FROM visits WHERE ${where} GROUP BY person)`;

describe('what WHERE leaves out ahead of values per unit of a large table', () => {
  let world: OpenWorld;
  before(async () => {
    world = await OpenWorld.open(WORLD, {}, 300_000);
  });
  after(() => world.close());

  it('is looked at in some of the units first, and in all of them if that decides nothing', async () => {
    const sql = of('day < 1');
    const compiled = compileQuery(await world.ast(sql), sql, world.context);
    assert.ok(compiled.kind !== 'denied');
    const { setup, gates = [] } = compiled.enforced;
    const decided = gates.filter(({ table }) => /_i\d+$/.test(table));
    // Once for the rows, and once for those that have a cost.
    assert.equal(decided.length, 2);
    for (const { from, to, table } of decided) {
      assert.equal(to, from + 1);
      assert.ok(setup[from]?.includes(`OR REPLACE TEMP TABLE "${table}"`));
      assert.ok(setup[from - 1]?.includes(`TEMP TABLE "${table}"`));
    }
  });

  for (const [where, expected] of [
    // Everybody loses a visit or two.
    ['day < 2', 'told'],
    ['day < 1', 'told'],
    // Six people have a fourth visit.
    ['day < 3', 'withheld'],
    // Nobody is left out; hardly anybody is kept; then those whose visits cost little, or nothing that is known.
    ['day < 4', 'told'],
    ['day >= 3', 'withheld'],
    ['cost > 1100', 'told'],
    ['cost IS NOT NULL', 'told'],
  ] as const)
    it(`${where}: ${expected}`, async () => {
      const answer = shown(await world.ask(of(where)));
      assert.equal(answer?.rows[0]?.[0] != null, expected === 'told');
      if (expected === 'told') assert.deepEqual(answer?.rows, (await plainly(world, of(where))).rows);
    });
});

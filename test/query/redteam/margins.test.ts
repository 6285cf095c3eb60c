import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { leaksOf, type Person } from './oracle.ts';
import { OpenWorld } from './world.ts';
import { BANK, FACTORY, HOSPITAL, TRADE } from './worlds.ts';

const patient = (i: number): Person => ({ key: `p${i}`, rows: { visits: `patient = ${i}`, patients: `pid = ${i}` } });
const account = (i: number): Person => ({
  key: `a${i}`,
  rows: { ledger: `branch = 'b${i % 3}' AND account = ${Math.floor(i / 3)}` },
});
const part = (i: number): Person => ({ key: `s${i}`, rows: { parts: `serial = 9007199254740993 + ${i}` } });
const buyer = (i: number): Person => ({ key: `b${i}`, rows: { deals: `buyer = 'buyer${i}'` } });

/** In each, some cells alone would be fine, and a subtotal minus what is below it would tell about one or two people. */
const ATTACKS = [
  {
    world: HOSPITAL,
    minUnits: 3,
    people: Array.from({ length: 24 }, (_, i) => patient(i)),
    queries: [
      'SELECT ward, diagnosis, count(*) AS n FROM visits GROUP BY CUBE (ward, diagnosis)',
      'SELECT ward, diagnosis, sum(cost) AS s FROM visits GROUP BY GROUPING SETS ((ward, diagnosis), (diagnosis), ())',
      'SELECT ward, count(*) FILTER (WHERE urgent) AS u, count(*) AS n FROM visits GROUP BY ROLLUP (ward)',
      'SELECT ward, count(DISTINCT patient) AS n FROM visits GROUP BY ROLLUP (ward)',
      'SELECT city, sex, count(*) AS n, sum(income) AS s FROM patients GROUP BY CUBE (city, sex)',
    ],
  },
  {
    world: BANK,
    minUnits: 4,
    people: [0, 3, 4, 5, 6, 12, 13, 30].map(account),
    queries: ['SELECT flagged, type, branch, sum(fee) AS s FROM ledger GROUP BY CUBE (flagged, type, branch)'],
  },
  {
    world: FACTORY,
    minUnits: 2,
    people: [0, 1, 3, 4, 5, 6, 9, 12].map(part),
    queries: [
      'SELECT line, ok, grade, sum(weight) AS w FROM parts GROUP BY ROLLUP (line, ok, grade)',
      'SELECT line, grade, count(*) AS n FROM parts GROUP BY GROUPING SETS ((line), (grade), (ok), ())',
    ],
  },
  {
    world: TRADE,
    minUnits: 3,
    people: [0, 2, 6, 12, 13, 14].map(buyer),
    queries: [
      'SELECT product, quarter, sum(pieces) AS s, sum(value) AS v FROM deals GROUP BY ROLLUP (product, quarter)',
    ],
  },
];

for (const { world, minUnits, people, queries } of ATTACKS) {
  describe(`subtotals of ${world.name}`, async () => {
    const open = await OpenWorld.open(world);
    after(() => open.close());
    for (const sql of queries) {
      it(`no sum or difference of subtotals and cells speaks of few people: ${sql}`, async () => {
        const seen = await open.ask(sql);
        assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
        const found = await leaksOf(open, sql, people, minUnits);
        assert.deepEqual(
          found.filter(({ kind }) => kind === 'isolated'),
          [],
        );
      });
    }
  });
}

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { OpenWorld, type World } from './world.ts';

/** Firm 0 makes more than half of product a, and firm 1 of b in half u; 24 firms with one deal each. */
const DEALS: World = {
  name: 'deals',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: trade/deals, grade: important }
privacyUnit: [firm]
columns:
  firm:    { rights: [countDistinct] }
  product: { rights: [group, filter] }
  half:    { rights: [group, filter] }
  value:   { rights: [aggregate, filter], functions: [sum, avg, count, regressionSlope] }
  pieces:  { rights: [aggregate], functions: [sum, avg, count, regressionSlope] }
  size:    { rights: [aggregate], functions: [sum, avg, regressionSlope] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, dominance: { n: 1, share: 0.5 }, maxRows: 100 } }
`,
  tables: {
    deals: `SELECT i::INTEGER AS firm, ['a', 'b', 'c'][1 + i % 3] AS product, ['u', 'v'][1 + i // 3 % 2] AS half,
      CASE i WHEN 0 THEN 1000 WHEN 1 THEN 400 ELSE 100 + i END::INTEGER AS value, (7 + i % 5)::INTEGER AS pieces,
      CASE i WHEN 0 THEN 1000 WHEN 3 THEN 980 ELSE i % 2 END::INTEGER AS size FROM range(24) r(i)`,
  },
};

/** Each subtracts to the sum of a group that the rule withholds where it is asked for. */
const SUBTRACTING: readonly string[] = [
  "SELECT sum(value), sum(value) FILTER (WHERE product <> 'a') FROM deals",
  "SELECT sum(value) FILTER (WHERE product <> 'a'), sum(value) FROM deals",
  "SELECT sum(value), sum(CASE WHEN product <> 'a' THEN value END) FROM deals",
  "SELECT sum(value), sum(CASE WHEN product = 'b' THEN value WHEN product = 'c' THEN value ELSE 0 END) FROM deals",
  "SELECT sum(value), sum(value) FILTER (WHERE product = 'b'), sum(value) FILTER (WHERE product = 'c') FROM deals",
  "SELECT sum(value), sum(2 * value + 1) FILTER (WHERE product <> 'a') FROM deals",
  "SELECT sum(value), sum(coalesce(value, 0)) FILTER (WHERE product <> 'a') FROM deals",
  "SELECT avg(value), avg(value) FILTER (WHERE product <> 'a') FROM deals",
  "SELECT avg(value), sum(value) FILTER (WHERE product <> 'a') FROM deals",
  "SELECT sum(value) FILTER (WHERE half = 'u'), sum(value) FILTER (WHERE half = 'u' AND product <> 'a') FROM deals",
  "SELECT sum(value), sum(value) FILTER (WHERE product <> 'c'), sum(value) FILTER (WHERE product <> 'b') FROM deals",
];

/** No firm makes more than half of any difference. */
const HONEST: readonly string[] = [
  "SELECT sum(value), sum(value) FILTER (WHERE product <> 'c') FROM deals",
  "SELECT count(*), sum(value), sum(pieces) FILTER (WHERE product <> 'a'), sum(pieces) FROM deals",
  "SELECT sum(value), count(*) FILTER (WHERE product <> 'a'), avg(value) FROM deals",
  'SELECT half, sum(pieces), avg(pieces), sum(value) FROM deals GROUP BY half',
];

describe('sums of one row under a dominance rule', async () => {
  const deals = await OpenWorld.open(DEALS);
  after(() => deals.close());
  const cells = async (sql: string): Promise<readonly unknown[]> => {
    const seen = await deals.ask(sql);
    assert.ok(seen.kind === 'answer', seen.kind);
    return seen.rows.flat();
  };

  it('are withheld where one firm makes most of them', async () => {
    assert.deepEqual(await cells("SELECT sum(value) FILTER (WHERE product = 'a') FROM deals"), [null]);
  });

  it('are withheld as means of pairs too, far as others may lie from the mean', async () => {
    for (const mean of [
      'avg(size)',
      'regr_avgy(size, pieces)',
      'regr_avgx(pieces, size)',
      'regr_intercept(size, pieces)',
      'regr_intercept(pieces, size)',
    ])
      assert.deepEqual(await cells(`SELECT ${mean} FROM deals WHERE product = 'a'`), [null], mean);
  });

  for (const sql of SUBTRACTING)
    it(`do not subtract to one that is dominated: ${sql}`, async () => {
      const shown = await cells(sql);
      assert.ok(shown.includes(null), String(shown));
      assert.ok(
        shown.some((one) => one !== null),
        String(shown),
      );
    });

  for (const sql of HONEST)
    it(`are all shown: ${sql}`, async () => {
      assert.ok(!(await cells(sql)).includes(null));
    });
});

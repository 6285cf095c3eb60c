/** People whom two providers know: what is asked of both at once, against DuckDB over the same rows. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openStage, type Stage } from './stage.ts';
import type { Shelf } from './worlds.ts';

const RULES = `allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10 } }
  - { id: private, mode: differentialPrivacy, release: { epsilonPerJob: 5, epsilonTotal: 500, delta: 1e-6, maxRowsPerUnit: 4 } }
`;

const CUSTOMERS: Shelf = {
  dataset: 'crm',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: crm, grade: internal }
tables:
  customers:
    privacyUnit: [customer]
    columns:
      customer: { rights: [join, countDistinct] }
      region:   { rights: [group, filter, join], values: [north, south] }
      born:     { rights: [aggregate], bounds: [1940, 2005] }
${RULES}`,
  // One whose number nobody knows.
  tables: {
    customers: `SELECT CASE WHEN i = 400 THEN NULL ELSE i END AS customer, ['north', 'south'][1 + i % 2] AS region,
      (1940 + i % 60)::INTEGER AS born FROM range(401) t(i)`,
  },
};

const ORDERS: Shelf = {
  dataset: 'sales',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: sales, grade: internal }
tables:
  orders:
    joins: onlyOnUnit
    privacyUnit: [buyer]
    columns:
      id:     { rights: [join] }
      buyer:  { rights: [join, countDistinct] }
      shop:   { rights: [group, filter, join], values: [web, street] }
      total:  { rights: [aggregate], bounds: [0, 100] }
  lines:
    joins: onlyOnUnit
    privacyUnit: { columns: [buyer], via: order -> orders.id }
    columns:
      order: { rights: [join] }
      kind:  { rights: [group, filter], values: [toys, food] }
${RULES}`,
  tables: {
    orders: `SELECT i AS id, CASE WHEN i % 90 = 0 THEN NULL WHEN i < 600 THEN 150 + i % 300 ELSE 150 + i % 150 END AS buyer,
      ['web', 'street'][1 + (i // 7) % 2] AS shop, (i % 101)::INTEGER AS total FROM range(900) t(i)`,
    lines: `SELECT i // 2 AS "order", ['toys', 'food'][1 + (i // 7) % 2] AS kind FROM range(1800) t(i)`,
  },
};

const COHORTS = [
  `SELECT region, count(*) AS n, avg(born) AS born FROM customers WHERE customer IN (SELECT buyer FROM orders WHERE shop = 'web') GROUP BY region`,
  `SELECT c.region, count(*) AS n FROM customers c WHERE c.customer IN (SELECT DISTINCT o.buyer FROM orders o) AND c.region = 'north' GROUP BY 1`,
  `SELECT region, count(*) AS n FROM customers c WHERE EXISTS (SELECT 1 FROM orders WHERE buyer = c.customer AND shop = 'street') GROUP BY region`,
  `SELECT region, count(*) AS n FROM customers c SEMI JOIN orders o ON o.buyer = c.customer AND o.shop = 'web' GROUP BY region`,
  `WITH often AS (SELECT buyer FROM orders GROUP BY buyer HAVING count(*) > 2)
   SELECT region, count(*) AS n FROM customers WHERE customer IN (SELECT buyer FROM often) GROUP BY region`,
  `SELECT shop, sum(total) AS n FROM orders WHERE buyer IN (SELECT customer FROM customers WHERE region = 'south') GROUP BY shop`,
  `SELECT region, count(*) AS n FROM customers c
   WHERE customer IN (SELECT buyer FROM orders WHERE shop = 'web') AND customer IN (SELECT buyer FROM orders WHERE shop = 'street') GROUP BY region`,
];
const JOINS = [
  `SELECT c.region, o.shop, count(*) AS n FROM customers c JOIN orders o ON o.buyer = c.customer GROUP BY 1, 2`,
  `SELECT l.kind, count(*) AS n FROM customers c JOIN orders o ON o.buyer = c.customer JOIN lines l ON l."order" = o.id GROUP BY 1`,
  `SELECT c.region, sum(v.n) AS n FROM customers c JOIN (SELECT buyer, count(*) AS n FROM orders GROUP BY buyer) v ON v.buyer = c.customer GROUP BY 1`,
];
/** Asked with noise only: minima cannot be counted in both where rows show the unit of one. */
const NOISY = [
  `SELECT region, count(*) AS n FROM customers WHERE customer NOT IN (SELECT buyer FROM orders WHERE shop = 'web') GROUP BY region`,
  `SELECT region, count(*) AS n FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.buyer = c.customer) GROUP BY region`,
  `SELECT region, count(*) FILTER (WHERE customer IN (SELECT buyer FROM orders)) AS n FROM customers GROUP BY region`,
  `SELECT count(*) AS people FROM (SELECT o.buyer, count(*) AS n FROM orders o JOIN customers c ON c.customer = o.buyer GROUP BY o.buyer) v WHERE n > 2`,
];
const BOTH = ['crm', 'sales'];

let stage: Stage;
before(async () => {
  stage = await openStage([CUSTOMERS, ORDERS]);
});
after(async () => {
  await stage[Symbol.asyncDispose]();
});

type Row = readonly (number | string | null)[];
const cell = (value: unknown): number | string | null =>
  value === null || typeof value === 'string' ? value : Number(value);
const sorted = (rows: readonly Row[]): readonly Row[] => rows.toSorted((a, b) => (String(a) < String(b) ? -1 : 1));

async function expected(text: string): Promise<readonly Row[]> {
  const answer = await stage.plain.runAndReadAll(text);
  return sorted(answer.getRowsJson().map((row) => row.map((value) => (isNumber(value) ? Number(value) : cell(value)))));
}
const isNumber = (value: unknown): boolean => typeof value === 'string' && /^-?[0-9.]+$/.test(value);

async function answered(text: string, rule: string): Promise<readonly Row[]> {
  const { job, table } = await stage.ask(BOTH, text, { rule });
  assert.deepEqual(job.reasons, [], text);
  const rows = (table?.toArray() ?? []).map((row) => Object.values((row as { toJSON(): object }).toJSON()).map(cell));
  return sorted(rows);
}

describe('people whom two providers know', () => {
  for (const text of [...JOINS, ...COHORTS])
    it(`are counted exactly: ${text.slice(0, 90)}`, async () => {
      assert.deepEqual(await answered(text, 'statistics'), await expected(text));
    });

  const [rows = '', , values = ''] = JOINS;
  const asked = COHORTS.filter((one) => !/avg\(|'north'|'south'/.test(one));
  for (const text of [rows, values, ...asked, ...NOISY])
    it(`are counted with noise: ${text.slice(0, 90)}`, async () => {
      const told = await answered(text, 'private');
      // An order of nobody is no reason to know nothing of anybody.
      const meant = await expected(text.replace(/NOT IN \((.*) WHERE/, 'NOT IN ($1 WHERE buyer IS NOT NULL AND'));
      assert.equal(told.length, meant.length);
      // Sixteen rows at most hang on one person: far beyond every noise that is likely.
      const most = 120;
      for (const [index, row] of told.entries())
        for (const [place, value] of row.entries()) {
          const there = meant[index]?.[place];
          if (typeof value === 'number' && typeof there === 'number') assert.ok(Math.abs(value - there) < most, text);
          else assert.equal(value, there);
        }
    });

  it('who is not known to the other is not told exactly, and the refusal says what may be asked', async () => {
    for (const text of NOISY.slice(0, 3)) {
      const { job } = await stage.ask(BOTH, text);
      assert.deepEqual(
        job.reasons.map(({ code }) => code),
        ['rows-not-released'],
      );
      assert.match(job.reasons[0]?.remedy ?? '', /customers\.customer IN \(SELECT buyer FROM orders/);
    }
  });

  it('noise is of all rows that a person can have in the join, and both providers count the loss', async () => {
    const [joins] = JOINS;
    const agreementIds = [...stage.agreements.values()];
    const sql = { text: joins ?? '', parameters: {} };
    const job = { computation: { kind: 'sql' as const, sql }, ruleId: 'private', agreementIds };
    const { guarantee, budget } = await stage.consumer.jobs.explain({ job });
    assert.match(guarantee, /at most 16 rows of each count/);
    assert.deepEqual(budget.map(({ dataset }) => dataset).toSorted(), BOTH);
  });

  it('a table that is joined only on its unit is not joined on anything else', async () => {
    const { job } = await stage.ask(BOTH, 'SELECT count(*) FROM customers c JOIN orders o ON c.region = o.shop');
    assert.deepEqual(
      job.reasons.map(({ code }) => code),
      ['join-not-on-unit'],
    );
    assert.match(job.reasons[0]?.remedy ?? '', /orders\.buyer = customers\.customer/);
  });

  it('what is joined otherwise than on the unit has no bound for noise', async () => {
    const text = 'SELECT count(*) FROM customers c JOIN lines l ON c.customer = l."order"';
    const { job } = await stage.ask(BOTH, text, { rule: 'private' });
    assert.notEqual(job.state, 'released');
  });
});

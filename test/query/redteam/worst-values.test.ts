import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { OpenWorld, type World } from './world.ts';

/** Two of the largest values that an exact number can have, one of the smallest, and days that no moment can be. */
const WORST: World = {
  name: 'worst',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: worst/rows, grade: important }
privacyUnit: [id]
columns:
  id:    { rights: [countDistinct, join] }
  name:  { rights: [group, filter] }
  day:   { rights: [group, filter, compare] }
  seen:  { rights: [group, filter, compare] }
  whole: { rights: [group, filter, aggregate], functions: [sum, avg, count, variance] }
  money: { rights: [group, filter, aggregate], functions: [sum, avg, count, variance] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    rows: `SELECT i::INTEGER AS id, CASE WHEN i = 0 THEN 'somebody' ELSE 'all' END AS name,
      CASE i WHEN 0 THEN DATE '5881580-07-10' WHEN 1 THEN DATE '290309-12-22 (BC)' WHEN 2 THEN DATE 'infinity' ELSE DATE '2024-02-29' END AS day,
      CASE i WHEN 0 THEN TIMESTAMP 'infinity' ELSE TIMESTAMP '2024-02-29 10:00:00' END AS seen,
      CASE WHEN i IN (0, 1) THEN 99999999999999999999999999999999999999 WHEN i = 2 THEN -99999999999999999999999999999999999999 ELSE i END::DECIMAL(38,0) AS whole,
      CASE WHEN i IN (0, 1) THEN 9999999999999999999999999999.9999999999 ELSE i END::DECIMAL(38,10) AS money FROM range(12) r(i)`,
  },
};

/** An error would tell that the value is there. */
const ANSWERED: readonly string[] = [
  'sum(whole)',
  'avg(whole)',
  'sum(money)',
  'avg(money)',
  'sum(abs(money))',
  'sum(coalesce(whole, 0))',
  'variance(whole)',
  "sum(CASE WHEN name = 'all' THEN whole END)",
  'sum(money - 1)',
  'sum(money) FILTER (WHERE whole > 0)',
  'count(money)',
].map((cell) => `SELECT ${cell} FROM rows`);
const GROUPED: readonly string[] = [
  'round(money)',
  'round(money, 2)',
  'floor(money)',
  'ceil(money)',
  'trunc(money)',
  'round(whole, -2)',
  "day > TIMESTAMP '2024-01-01'",
  "day > TIMESTAMP '2024-01-01 10:00:00'",
  'day < seen',
  'day = seen',
  "day IN (TIMESTAMP '2024-01-01 10:00:00', DATE '2024-02-29')",
  "day BETWEEN DATE '2024-01-01' AND TIMESTAMP '2024-12-31 23:59:59'",
  "nullif(day, TIMESTAMP '2024-01-01 10:00:00')",
  'coalesce(seen, day)',
  'greatest(day, seen)',
  'day + INTERVAL 3 DAY > day',
  "CASE WHEN name = 'all' THEN day ELSE seen END",
].map((key) => `SELECT ${key} AS k, count(*) FROM rows GROUP BY k`);
const PER_UNIT = ['SELECT avg(v) FROM (SELECT id, sum(money) AS v FROM rows GROUP BY id)'];

/** What would fail on the first row that it meets, so that CASE and AND tell whether there is one. */
const REFUSED: readonly string[] = [
  "lpad(name, 100, '')",
  "rpad(name, 100, '')",
  "regexp_extract(name, '(a)', 10)",
  "regexp_extract(name, '(a)', -1)",
  String.raw`regexp_extract(name, '\u0061')`,
  "regexp_replace(name, '[^]', 'x')",
].map((value) => `SELECT CASE WHEN name = 'somebody' THEN ${value} ELSE 'x' END AS k, count(*) FROM rows GROUP BY k`);

describe('the worst values', async () => {
  const worst = await OpenWorld.open(WORST);
  after(() => worst.close());

  for (const sql of [...ANSWERED, ...GROUPED, ...PER_UNIT])
    it(`make nothing fail: ${sql}`, async () => {
      const seen = await worst.ask(sql);
      assert.equal(seen.kind, 'answer', seen.kind === 'failed' ? seen.cause : '');
    });

  for (const sql of REFUSED)
    it(`are never asked for what fails on some text: ${sql}`, async () => {
      assert.equal((await worst.ask(sql)).kind, 'denied');
    });
});

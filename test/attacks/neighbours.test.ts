import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ReportMeterResponse } from '../../runtime/gen/messages.ts';
import { outlineOf } from './oracle.ts';
import { inTurns, openStage, type Stage } from './stage.ts';
import { BANK } from './worlds.ts';

/** Each speaks of customer 7, who alone is of LI, or of 33, who alone has a yacht; neither is in the other bank. */
const HUNTED: readonly string[] = [
  "SELECT count(*) FROM customers WHERE country = 'LI'",
  "SELECT sum(income) FROM customers WHERE country = 'LI' OR segment = 'none'",
  'SELECT country, count(*) AS n FROM customers GROUP BY country HAVING count(*) < 10',
  "SELECT 'hit' FROM customers WHERE country = 'LI' GROUP BY country",
  "SELECT coalesce((SELECT count(*) FROM customers WHERE country = 'LI'), -1) AS n",
  "SELECT c.country, x.n FROM countries c LEFT JOIN (SELECT country, count(*) AS n FROM customers WHERE country = 'LI' GROUP BY country) x ON c.country = x.country",
  'SELECT country FROM customers GROUP BY country ORDER BY count(*) LIMIT 1',
  "SELECT segment FROM customers GROUP BY segment HAVING count(*) FILTER (WHERE country = 'LI') > 0",
  "SELECT segment, count(*) FILTER (WHERE country = 'LI') AS n FROM customers WHERE country = 'LI' GROUP BY segment",
  "SELECT count(*) FROM loans WHERE product = 'yacht'",
  "SELECT product, sum(amount) FROM loans WHERE product = 'yacht' GROUP BY product",
  "SELECT max(n) FROM (SELECT product, count(*) AS n FROM loans WHERE product LIKE 'y%' GROUP BY product)",
  'SELECT avg(rate) FROM loans WHERE length(product) = 5',
  "SELECT count(DISTINCT customer_id) FROM loans WHERE product > 'x'",
  "SELECT upper(product) AS p, count(*) FROM loans WHERE product IN ('yacht', 'plane') GROUP BY p",
  "SELECT count(*) FROM loans l JOIN customers c ON l.customer_id = c.customer_id WHERE c.country = 'LI'",
  "SELECT sum(l.amount) FROM loans l JOIN customers c USING (customer_id) WHERE c.country = 'LI' AND l.product = 'car'",
  "SELECT DISTINCT product FROM loans WHERE product = 'yacht'",
  "SELECT 1 AS one FROM loans WHERE product = 'yacht' GROUP BY ALL",
  "SELECT stddev(amount), corr(amount, rate) FROM loans WHERE product = 'yacht'",
  "SELECT median(amount) FROM loans WHERE product = 'yacht'",
  "SELECT count(*) FROM loans WHERE product = 'yacht' UNION ALL SELECT count(*) FROM loans WHERE product = 'plane'",
  "SELECT avg(n) FROM (SELECT customer_id, count(*) AS n FROM loans WHERE product = 'yacht' GROUP BY customer_id)",
  "SELECT median(n) FROM (SELECT customer_id, count(*) AS n FROM loans WHERE product = 'yacht' GROUP BY customer_id)",
  'SELECT product, quantile_cont(n, 0.99) FROM (SELECT customer_id, product, count(*) AS n FROM loans GROUP BY ALL) GROUP BY product',
  'SELECT sum(nullif(days_late, 33)), sum(days_late) FROM loans GROUP BY product',
  'SELECT sum(greatest(days_late, 110)), sum(abs(days_late - 112)), avg(least(days_late, 1)) FROM loans GROUP BY product',
  "SELECT split_part(product, 'ach', 2) AS p, count(*) FROM loans GROUP BY p",
  'SELECT sum(abs(amount - 900000)) FROM loans',
  'SELECT ssn FROM customers',
  "SELECT count(*) FROM customers WHERE ssn = 'ssn-900049'",
  'SELECT customer_id, income FROM customers ORDER BY income DESC LIMIT 1',
  "SELECT CAST(country AS INTEGER) FROM customers WHERE country = 'LI'",
  "SELECT 1 / (CASE WHEN country = 'LI' THEN 0 ELSE 1 END) AS k, count(*) FROM customers GROUP BY k",
  'SELECT max(income) FROM customers',
  "SELECT count(*) FROM customers WHERE EXISTS (SELECT 1 FROM loans l WHERE l.customer_id = customers.customer_id AND l.product = 'yacht')",
  "SELECT string_agg(country, ',') FROM customers",
  "SELECT * FROM read_csv('/etc/passwd')",
];

/** What is measured of a job and may hang on how the machine felt, never on a row. */
const MEASURED = new Set(['cpuUs', 'cpuMs', 'wallMs', 'elapsedMs', 'slotMs']);

describe('a bank with and without the two customers that everybody looks for', () => {
  let bank: Stage;
  let without: Stage;
  before(async () => {
    bank = await openStage([BANK]);
    without = await openStage([BANK], { customers: 'customer_id IN (7, 33)', loans: 'customer_id IN (7, 33)' });
  });
  after(async () => {
    await bank[Symbol.asyncDispose]();
    await without[Symbol.asyncDispose]();
  });

  const both = async (tell: (stage: Stage) => Promise<string>): Promise<string | null> => {
    const [a, b] = await Promise.all([tell(bank), tell(without)]);
    return a === b ? null : `${a}\n  ${b}`;
  };

  it(`${HUNTED.length} questions about them are answered in the same words, states and numbers of rows`, async () => {
    const wrong = await inTurns(HUNTED, (sql) => both(async (stage) => outlineOf(await stage.ask('bank', sql))));
    assert.deepEqual(wrong, []);
  });

  it('who watches such a job sees the same states, and the same when it is asked for later', async () => {
    const wrong = await inTurns(HUNTED.slice(0, 16), (sql) =>
      both(async (stage) => {
        const agreementIds = [stage.agreements.get('bank') ?? ''];
        const { job } = await stage.consumer.jobs.submit({
          job: { computation: { kind: 'sql', sql: { text: `${sql} -- watched` } }, ruleId: 'statistics', agreementIds },
        });
        const last: string[] = [];
        for await (const seen of stage.consumer.jobs.watch({ id: job?.id ?? '' }))
          last.splice(0, last.length, outline(seen));
        const { job: later } = await stage.consumer.jobs.get({ id: job?.id ?? '' });
        return `${last.join()} ${later === null ? '' : outlineOf({ job: later, table: null })}`;
      }),
    );
    assert.deepEqual(wrong, []);
  });

  it('explaining them costs the same and says the same', async () => {
    const wrong = await inTurns(HUNTED, (text) =>
      both(async (stage) => {
        const agreementIds = [stage.agreements.get('bank') ?? ''];
        const job = { computation: { kind: 'sql' as const, sql: { text } }, ruleId: 'statistics', agreementIds };
        return outline(await stage.consumer.jobs.explain({ job })).replaceAll(agreementIds[0] ?? '', 'agr');
      }),
    );
    assert.deepEqual(wrong, []);
  });

  it('the meter of the consumer adds up to the same', async () => {
    const wrong = await both(async (stage) => outline(await meterOf(stage)));
    assert.equal(wrong, null);
  });
});

const meterOf = (stage: Stage): Promise<ReportMeterResponse> => stage.consumer.meters.report({});

/** Text of a message without names, times and measurements of its own. */
function outline(message: unknown): string {
  return JSON.stringify(message, (key, value: unknown) => {
    if (MEASURED.has(key) || /(^id|Id|AtMs|Ids|receipt|ticket|[dD]igest|resultSalt)$/.test(key)) return undefined;
    return typeof value === 'bigint' ? String(value) : value;
  }).replaceAll(/(job|agr)-[0-9a-f]+/g, '$1');
}

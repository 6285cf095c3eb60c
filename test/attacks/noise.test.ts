import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { outlineOf } from './oracle.ts';
import { type Held, inTurns, openStage, type Stage } from './stage.ts';
import { BANK } from './worlds.ts';

const NOISY = { rule: 'private' };

/** Answered with noise: declared keys, keys that a CASE spells out, whole tables, joins, every mechanism. */
const PUBLIC_SHAPE: readonly string[] = [
  'SELECT count(*) FROM loans',
  'SELECT segment, count(*) AS n, avg(income) FROM customers GROUP BY segment ORDER BY segment',
  "SELECT CASE WHEN days_late > 90 THEN 'npl' WHEN days_late > 0 THEN 'late' ELSE 'current' END AS b, count(*), sum(amount) FROM loans GROUP BY b ORDER BY b",
  "SELECT count(*) FROM customers WHERE country = 'LI'",
  "SELECT sum(income), count(*) FROM customers WHERE country = 'LI' OR country = 'Atlantis'",
  "SELECT count(*) FILTER (WHERE country = 'LI'), count(*) FROM customers",
  "SELECT sum(CASE WHEN product = 'yacht' THEN amount ELSE 0 END) FROM loans",
  'SELECT c.segment, count(*), sum(l.amount) FROM customers c JOIN loans l ON c.customer_id = l.customer_id GROUP BY c.segment ORDER BY 1',
  'SELECT avg(amount), stddev(amount), quantile_cont(amount, 0.99) FROM loans',
  'SELECT count(DISTINCT customer_id), count(DISTINCT loan_id) FROM loans',
  'SELECT corr(amount, rate) FROM loans',
  'SELECT count(*) FROM loans WHERE false',
  "SELECT segment, count(*) FROM customers WHERE segment <> 'private' GROUP BY segment ORDER BY 1",
  'WITH l AS (SELECT * FROM loans WHERE defaulted) SELECT count(*), sum(amount) FROM l',
  'SELECT count(*) FROM loans UNION ALL SELECT count(*) FROM customers',
  'SELECT segment, count(*) FROM customers GROUP BY ROLLUP (segment) ORDER BY 1',
  'SELECT DISTINCT segment FROM customers ORDER BY 1',
  "SELECT segment, n, sum(n) OVER () AS total, n / total AS share FROM (SELECT segment, count(*) AS n FROM customers WHERE country = 'LI' GROUP BY segment) ORDER BY 1",
  'SELECT segment, count(*) AS n, lag(count(*)) OVER (ORDER BY segment) AS before FROM customers GROUP BY segment ORDER BY 1',
  'WITH t AS (SELECT segment, count(*) AS n FROM customers GROUP BY segment) SELECT segment, n - (SELECT avg(n) FROM t) AS d FROM t ORDER BY 1',
  "SELECT n, count(*) FROM (SELECT customer_id, count(*) AS n FROM loans WHERE product = 'yacht' GROUP BY customer_id) GROUP BY n ORDER BY n",
  'SELECT avg(total), count(*) FROM (SELECT customer_id, sum(amount) AS total FROM loans GROUP BY customer_id)',
];

const REFUSED: readonly (readonly [string, string])[] = [
  ['SELECT count(*) FROM loans WHERE days_late > (SELECT avg(days_late) FROM loans)', 'differential-shape'],
  ['SELECT sum(CASE WHEN days_late > (SELECT count(*) FROM loans) THEN 1 END) FROM loans', 'differential-shape'],
  ['SELECT days_late > (SELECT avg(days_late) FROM loans) AS k, count(*) FROM loans GROUP BY k', 'differential-shape'],
  ['SELECT count(*) FROM loans, (SELECT avg(days_late) AS a FROM loans) WHERE days_late > a', 'join-with-released'],
  ['SELECT DISTINCT customer_id FROM customers', 'column-right-missing'],
  ['SELECT customer_id FROM (SELECT customer_id, count(*) AS n FROM loans GROUP BY customer_id)', 'rows-not-released'],
  [
    'SELECT total, count(*) FROM (SELECT customer_id, sum(amount) AS total FROM loans GROUP BY customer_id) GROUP BY 1',
    'column-right-missing',
  ],
  [
    'SELECT count(*) FROM (SELECT customer_id, sum(amount) AS t FROM loans GROUP BY customer_id) WHERE t > 5',
    'column-right-missing',
  ],
  [
    'SELECT max(t) FROM (SELECT customer_id, sum(amount) AS t FROM loans GROUP BY customer_id)',
    'aggregate-not-allowed',
  ],
  [
    'SELECT count(*) FROM (SELECT customer_id, max(amount) AS t FROM loans GROUP BY customer_id) WHERE t > 5',
    'column-right-missing',
  ],
  ['SELECT count(*) FROM customers WHERE income > 5', 'column-right-missing'],
  ['SELECT count(*) FROM loans WHERE customer_id = 33', 'column-right-missing'],
  ['SELECT customer_id, count(*) FROM loans GROUP BY 1', 'column-right-missing'],
  ['SELECT max(amount) FROM loans', 'aggregate-not-allowed'],
  ["SELECT string_agg(product, ',') FROM loans", 'aggregate-not-allowed'],
  ['SELECT arg_max(product, amount) FROM loans', 'aggregate-not-allowed'],
  ['SELECT any_value(product) FROM loans', 'aggregate-not-allowed'],
  ['SELECT closed::TIMESTAMP - opened AS d, count(*) FROM loans GROUP BY d', 'type-mismatch'],
  ['SELECT product, count(*) OVER () FROM loans', 'window-over-rows'],
  ['SELECT count(*) FROM loans a JOIN loans b USING (customer_id)', 'self-join'],
];

describe('a hostile consumer of noisy answers over gRPC', () => {
  let bank: Stage;
  let without: Stage;
  before(async () => {
    bank = await openStage([BANK]);
    // The only customer with a yacht: with noise even they must not show in any shape.
    without = await openStage([BANK], { customers: 'customer_id IN (7, 33)', loans: 'customer_id IN (7, 33)' });
  });
  after(async () => {
    await bank[Symbol.asyncDispose]();
    await without[Symbol.asyncDispose]();
  });
  const left = async (): Promise<bigint> => {
    const { budgets } = await bank.consumer.budgets.get({ dataset: 'bank' });
    return budgets[0]?.microEpsilonSpent ?? -1n;
  };
  const text = ({ table }: Held): string =>
    JSON.stringify(table?.toArray() ?? null, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
  /** Without the numbers that noise gives: intervals, and scales of ratios, which rest on noisy counts. */
  const shape = (held: Held): string => {
    const errors = held.job.errors.map((one) => ({ ...one, halfWidth: 0, low: [], high: [], noiseScale: [] }));
    // A moment of few noisy rows may have no value.
    return outlineOf({ ...held, job: { ...held.job, errors } }).replaceAll('NULL', '#');
  };

  it(`${PUBLIC_SHAPE.length} answers have the same shape, price and noise whoever is there`, async () => {
    const wrong = await inTurns(PUBLIC_SHAPE, async (sql) => {
      const [a, b] = await Promise.all([bank.ask('bank', sql, NOISY), without.ask('bank', sql, NOISY)]);
      if (a.job.state !== 'released') return `${sql}\n  ${a.job.state} ${JSON.stringify(a.job.reasons)}`;
      return shape(a) === shape(b) ? null : `${sql}\n  ${shape(a)}\n  ${shape(b)}`;
    });
    assert.deepEqual(wrong, []);
    assert.equal(await left(), BigInt(PUBLIC_SHAPE.length) * 500_000n, 'each cost exactly its epsilon');
  });

  it('keys that one customer makes are not told', async () => {
    const { job, table } = await bank.ask('bank', 'SELECT product, count(*) FROM loans GROUP BY product', NOISY);
    assert.ok(table !== null, job.reasons[0]?.message);
    assert.ok(!text({ job, table }).includes('yacht'));
  });

  it('the same question gives the same noise at no cost, however it is spelled; another one costs', async () => {
    const ask = (sql: string): Promise<Held> => bank.ask('bank', sql, NOISY);
    const before_ = await left();
    const first = await ask("SELECT count(*) AS n FROM customers WHERE segment = 'mass' AND birth_year > 1960");
    assert.equal((await left()) - before_, 500_000n);
    for (const again of [
      "select  count(*) as n from customers where birth_year > 1960 and segment = 'mass'",
      "SELECT count(*) AS n FROM customers AS c WHERE 'mass' = c.segment AND NOT (c.birth_year <= 1960) AND c.birth_year > 1960",
    ]) {
      const spent = await left();
      const held = await ask(again);
      const cost = (await left()) - spent;
      assert.ok(cost === 500_000n || (cost === 0n && text(held) === text(first)), `${again}: ${cost}`);
    }
    const spent = await left();
    const other = await ask(
      "SELECT count(*) AS n, count(*) * 2 AS m FROM customers WHERE segment = 'mass' AND birth_year > 1960",
    );
    assert.equal((await left()) - spent, 500_000n, 'another select list is another question');
    assert.deepEqual(
      other.job.columns.map(({ name }) => name),
      ['n', 'm'],
    );
  });

  it('HAVING, ORDER BY and LIMIT choose among noisy cells, and a ratio is that of the cells shown', async () => {
    const sql =
      'SELECT segment, count(*) AS n, count(*) * 2 AS twice FROM customers GROUP BY segment HAVING count(*) > 50 ORDER BY count(*) DESC LIMIT 2';
    const { table, job } = await bank.ask('bank', sql, NOISY);
    assert.ok(table !== null, job.reasons[0]?.message);
    const rows = table.toArray().map((row) => (row as { toJSON(): Record<string, unknown> }).toJSON());
    const counts = rows.map(({ n }) => Number(n));
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => b - a),
    );
    assert.ok(rows.every(({ n, twice }) => Number(twice) === 2 * Number(n) && Number(n) > 50));
  });

  it(`${REFUSED.length} statements are refused before anything is spent, each with its place`, async () => {
    const spent = await left();
    const wrong = await inTurns(REFUSED, async ([sql, code]) => {
      const { job } = await bank.ask('bank', sql, NOISY);
      const [first] = job.reasons;
      return job.state === 'denied' && first?.code === code && first.at !== null
        ? null
        : `${sql}\n  ${job.state} ${JSON.stringify(first)}`;
    });
    assert.deepEqual(wrong, []);
    assert.equal(await left(), spent);
  });

  it('explaining is free, lists what each noisy answer costs, and offers a query that runs', async () => {
    const spent = await left();
    const explain = (text: string): ReturnType<typeof bank.consumer.jobs.explain> =>
      bank.consumer.jobs.explain({
        job: {
          computation: { kind: 'sql', sql: { text, parameters: {} } },
          ruleId: 'private',
          agreementIds: [bank.agreements.get('bank') ?? ''],
        },
      });
    const sets = await explain('SELECT segment, count(*) FROM customers GROUP BY CUBE (segment)');
    assert.equal(sets.wouldRun, true);
    const shares = sets.enforced.filter((one) => one.includes("epsilon 0.25 of the job's budget"));
    assert.equal(shares.length, 2, sets.enforced.join('; '));
    const wrong = await explain(
      'SELECT segmant, count(*) AS n, rank() OVER (ORDER BY count(*)) AS r FROM customers GROUP BY segmant',
    );
    assert.equal(wrong.wouldRun, false);
    assert.match(wrong.repaired, /GROUP BY segment/);
    assert.equal((await explain(wrong.repaired)).wouldRun, true);
    assert.equal(await left(), spent);
    const { job } = await bank.ask('bank', wrong.repaired, NOISY);
    assert.equal(job.state, 'released');
  });

  it('the budget is spent to the last and not beyond', async () => {
    const all = 20_000_000n;
    const remaining = (all - (await left())) / 500_000n;
    const jobs = Array.from({ length: Number(remaining) + 3 }, (_, i) =>
      bank.ask('bank', `SELECT count(*) AS n${i} FROM loans WHERE days_late > ${i}`, NOISY),
    );
    const states = (await Promise.all(jobs)).map(({ job }) => job.reasons[0]?.code ?? job.state);
    assert.equal(states.filter((state) => state === 'released').length, Number(remaining));
    assert.equal(await left(), all);
  });
});

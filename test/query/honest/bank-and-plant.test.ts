import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Reason } from '../../../runtime/policy/reason.ts';
import { compileQuery } from '../../../runtime/query/compile.ts';
import type { KnownColumn } from '../../../runtime/query/repair/known-columns.ts';
import { repairQuery } from '../../../runtime/query/repair/repair.ts';
import { linesOf, plainLinesOf } from '../redteam/lines.ts';
import { OpenWorld } from '../redteam/world.ts';
import { BRANCH_BANK, PLANT } from './trade-worlds.ts';

const DIGITS = 9;

/** Answered as DuckDB answers them. */
const BANK_ASKS: readonly string[] = [
  // The label of a key.
  'SELECT b.branch_id, any_value(b.name) AS name, count(*) AS n FROM accounts a JOIN branches b USING (branch_id) GROUP BY b.branch_id',
  'SELECT b.name, sum(a.balance) / any_value(b.staff) AS per_head FROM accounts a JOIN branches b USING (branch_id) GROUP BY b.name',
  'SELECT first(b.name ORDER BY b.name) AS name, count(*) FROM accounts a LEFT JOIN branches b USING (branch_id) GROUP BY a.branch_id',
  'SELECT t.country, any_value(c.zone) AS z, any_value(c.rate) * sum(t.amount) AS x FROM transactions t JOIN countries c USING (country) GROUP BY ALL HAVING any_value(c.rate) > 0.5 ORDER BY any_value(c.zone), x',
  'SELECT seg, avg(n) FROM (SELECT a.customer_id, any_value(c.segment) AS seg, count(*) AS n FROM accounts a JOIN customers c USING (customer_id) GROUP BY a.customer_id) GROUP BY seg',
  // Aggregates of public tables beside private rows, and lists that stand first.
  'SELECT b.region, sum(a.balance) / r.staff AS per_head FROM accounts a JOIN branches b USING (branch_id) JOIN (SELECT region, sum(staff) AS staff FROM branches GROUP BY region) r ON r.region = b.region GROUP BY b.region, r.staff',
  'WITH reg AS (SELECT region, sum(staff) AS staff FROM branches GROUP BY region) SELECT b.region, count(*) AS n FROM accounts a JOIN branches b ON a.branch_id = b.branch_id JOIN reg ON reg.region = b.region WHERE reg.staff > 20 GROUP BY b.region',
  "WITH reg AS (SELECT region, sum(staff) AS staff FROM branches GROUP BY region) SELECT CASE WHEN reg.staff > 30 THEN 'large' ELSE 'small' END AS size, count(*) AS n, avg(a.balance) FROM accounts a JOIN branches b ON a.branch_id = b.branch_id LEFT JOIN reg ON reg.region = b.region GROUP BY size",
  'WITH zones AS (SELECT zone, count(*) AS countries FROM countries GROUP BY zone) SELECT z.countries, count(DISTINCT a.customer_id) FROM transactions t JOIN accounts a USING (account_id) JOIN countries c USING (country) JOIN zones z USING (zone) GROUP BY 1',
  'WITH r AS (SELECT region, sum(staff) AS staff FROM branches GROUP BY region), top AS (SELECT region, rank() OVER (ORDER BY staff DESC) AS rk FROM r) SELECT count(*) FROM accounts a JOIN branches b USING (branch_id) JOIN top t ON t.region = b.region WHERE t.rk = 1',
  'WITH top3 AS (SELECT branch_id, name, staff FROM branches ORDER BY staff DESC LIMIT 3) SELECT t.name, count(*), avg(balance) FROM accounts JOIN top3 t USING (branch_id) GROUP BY 1',
  'WITH r AS (SELECT region, sum(staff) AS staff FROM branches GROUP BY region), n AS (SELECT b.region, count(*) AS n FROM accounts a JOIN branches b USING (branch_id) GROUP BY 1) SELECT r.region, n.n / r.staff FROM r FULL JOIN n ON r.region = n.region',
  "SELECT v.label, b.region, count(*) FROM (VALUES ('giro', 'pay'), ('card', 'pay'), ('savings', 'save')) v(product, label) JOIN accounts a USING (product) JOIN branches b USING (branch_id) GROUP BY ALL",
  "SELECT label, count(*) FROM (VALUES ('giro', 'pay'), ('card', 'pay'), ('savings', 'save')) v(product, label), accounts a WHERE a.product = v.product GROUP BY label",
  // Values that are looked up for each row.
  'SELECT count(*) FROM customers c WHERE (SELECT count(*) FROM accounts a WHERE a.customer_id = c.customer_id) >= 2',
  'SELECT segment, avg((SELECT count(*) FROM accounts a WHERE a.customer_id = c.customer_id)) FROM customers c GROUP BY segment',
  "SELECT segment, avg((SELECT sum(a.balance) FROM accounts a WHERE a.customer_id = c.customer_id AND a.product = 'giro')) FROM customers c GROUP BY segment",
  'SELECT (SELECT b.region FROM branches b WHERE b.branch_id = a.branch_id) AS region, count(*), avg(balance) FROM accounts a GROUP BY 1 ORDER BY 2 DESC',
  'SELECT c.city, count(*) FROM customers c WHERE (SELECT avg(a.balance) FROM accounts a WHERE a.customer_id = c.customer_id) > (SELECT avg(balance) FROM accounts) GROUP BY c.city',
  "SELECT c.segment, count(*) FILTER (WHERE (SELECT count(*) FROM accounts a WHERE a.customer_id = c.customer_id AND a.product = 'card') = 0) AS without, count(*) FROM customers c GROUP BY 1",
  'SELECT (SELECT c.segment FROM customers c WHERE c.customer_id = a.customer_id) AS seg, count(*) FROM accounts a GROUP BY 1',
  'SELECT b.name, (SELECT count(*) FROM accounts a WHERE a.branch_id = b.branch_id) AS n FROM branches b',
  'SELECT a.branch_id, (SELECT b.name FROM branches b WHERE b.branch_id = a.branch_id) AS name, sum(a.balance) / (SELECT b.staff FROM branches b WHERE b.branch_id = a.branch_id) AS per_head FROM accounts a GROUP BY a.branch_id ORDER BY 1',
  'SELECT region, (SELECT sum(staff) FROM branches x WHERE x.region = b.region) AS s FROM branches b GROUP BY region',
  // Rows of a private table beside everybody.
  'SELECT c.segment, count(a.account_id) FROM customers c LEFT JOIN accounts a USING (customer_id) GROUP BY 1',
  "SELECT c.segment, count(DISTINCT a.customer_id) * 100.0 / count(DISTINCT c.customer_id) AS pct FROM customers c LEFT JOIN accounts a ON a.customer_id = c.customer_id AND a.product = 'giro' GROUP BY c.segment ORDER BY pct",
  "SELECT c.segment, count(*) AS without FROM customers c LEFT JOIN accounts a ON a.customer_id = c.customer_id AND a.product = 'giro' WHERE a.customer_id IS NULL GROUP BY c.segment",
  "SELECT count(a.customer_id), count(*) FROM customers c LEFT JOIN accounts a ON a.customer_id = c.customer_id AND a.product = 'card'",
  "SELECT count(*), count(total), avg(total) FROM (SELECT c.customer_id, sum(a.balance) AS total FROM customers c LEFT JOIN accounts a ON a.customer_id = c.customer_id AND a.product = 'card' GROUP BY 1)",
  "SELECT count(*), avg(n) FROM (SELECT c.customer_id AS id, count(a.customer_id) AS n FROM customers c LEFT JOIN accounts a ON a.customer_id = c.customer_id AND a.product = 'card' GROUP BY ALL)",
  'SELECT seg, avg(n) FROM (SELECT c.customer_id, c.segment AS seg, count(a.customer_id) AS n FROM customers c LEFT JOIN accounts a ON a.customer_id = c.customer_id GROUP BY c.customer_id, c.segment) GROUP BY seg',
  "SELECT n, count(*) AS customers FROM (SELECT c.customer_id, count(a.customer_id) AS n FROM customers c LEFT OUTER JOIN accounts a ON c.customer_id = a.customer_id AND a.product <> 'card' GROUP BY c.customer_id) WHERE n < 4 GROUP BY n ORDER BY n",
  'SELECT b.name, count(a.branch_id) FROM branches b LEFT JOIN accounts a USING (branch_id) GROUP BY b.name',
  // What declared bounds say.
  'SELECT avg(abs(amount)), sum(abs(fee)), avg(greatest(fee, 0)), sum(least(amount, 6000)), avg(nullif(amount, -1)), sum(abs(amount + fee)), sum(abs(amount * fee)) FROM transactions',
];

const PLANT_ASKS: readonly string[] = [
  // Time between moments.
  'SELECT avg(epoch(ended) - epoch(began)) / 60 AS minutes FROM faults',
  'SELECT code, avg(extract(epoch FROM ended) - extract(epoch FROM began)) / 60 AS m, sum(epoch(ended - began)) / 3600.0 AS h FROM faults GROUP BY code',
  "SELECT avg(date_part('epoch', ended - began)), sum((epoch(ended) - epoch(began)) * severity) FROM faults",
  'SELECT floor(epoch(ended - began) / 3600) AS h, count(*) FROM faults GROUP BY 1',
  // One figure of those who have faults, beside another of all machines.
  'WITH f AS (SELECT m.line, sum(f.cost) AS cost FROM faults f JOIN machines m USING (machine) GROUP BY 1), h AS (SELECT line, sum(hours) AS hours FROM machines GROUP BY 1) SELECT line, cost, hours, cost / hours AS per_hour FROM f JOIN h USING (line) ORDER BY line',
  'WITH f AS (SELECT m.line, avg(f.minutes) AS mean FROM faults f JOIN machines m USING (machine) GROUP BY 1), h AS (SELECT line, count(*) AS machines FROM machines GROUP BY 1) SELECT line, mean, machines FROM f JOIN h USING (line) ORDER BY line',
  // Two values of each machine.
  'SELECT corr(n, t), regr_slope(t, n) FROM (SELECT machine, count(*) AS n, avg(minutes) AS t FROM faults GROUP BY machine)',
  'SELECT m.model, any_value(mo.maker) AS maker, max(mo.power) AS power, avg(r.temp) FROM readings r JOIN machines m USING (machine) JOIN models mo USING (model) GROUP BY m.model',
  'SELECT m.line, count(*) FILTER (WHERE r.temp > mo.max_temp) AS over, count(*) AS n FROM readings r JOIN machines m USING (machine) JOIN models mo USING (model) GROUP BY m.line',
];

/** Refused questions, and the one that is offered in place of each. */
const REPAIRED: readonly (readonly [string, string])[] = [
  ["SELECT avg(date_diff('minute', began, ended)) FROM faults", 'SELECT avg(epoch(ended - began) / 60) FROM faults'],
  ['SELECT avg(ended - began) FROM faults', 'SELECT avg(epoch(ended - began)) FROM faults'],
  [
    "SELECT avg(date_diff('year', installed, DATE '2024-06-01')) AS age FROM machines",
    "SELECT avg(date_diff('day', installed, DATE '2024-06-01') / 365.25) AS age FROM machines",
  ],
  [
    'SELECT line, any_value(model) AS m, count(*) FROM machines GROUP BY line ORDER BY 3',
    'SELECT line, model AS m, count(*) FROM machines GROUP BY line, model ORDER BY 3',
  ],
  [
    'SELECT list(line ORDER BY n DESC) FROM (SELECT line, count(*) AS n FROM machines GROUP BY line)',
    "SELECT string_agg(CAST(line AS VARCHAR), ', ' ORDER BY n DESC) FROM (SELECT line, count(*) AS n FROM machines GROUP BY line)",
  ],
  [
    'SELECT max(n) FROM (SELECT machine, count(*) AS n FROM faults GROUP BY machine)',
    'SELECT quantile_cont(n, 0.95) FROM (SELECT machine, count(*) AS n FROM faults GROUP BY machine)',
  ],
];

/** Answered by the mean of a block of rows around what DuckDB answers. */
const NEARLY: readonly string[] = [
  'SELECT median(n) AS typical, quantile_cont(n, 0.9) AS p90 FROM (SELECT a.customer_id, count(*) AS n FROM accounts a JOIN transactions t USING (account_id) GROUP BY a.customer_id)',
  'SELECT quantile_cont(total, 0.5) FROM (SELECT customer_id, sum(balance) AS total FROM accounts GROUP BY customer_id)',
  'SELECT segment, median(n) FROM (SELECT c.customer_id, c.segment, count(*) AS n FROM customers c JOIN accounts a USING (customer_id) JOIN transactions t USING (account_id) GROUP BY 1, 2) GROUP BY segment ORDER BY segment',
  "SELECT median(coalesce(v.n, 0)) FROM customers c LEFT JOIN (SELECT customer_id, count(*) AS n FROM accounts WHERE product = 'card' GROUP BY 1) v USING (customer_id)",
  'SELECT median(2024 - born), quantile_cont(2024 - born, 0.9), median(income / 1000), quantile_cont(-income, 0.1), max(income * 2 + 1), min(-income) FROM customers',
  "SELECT median(closed - opened), quantile_cont(date_diff('day', opened, closed), 0.75), median(date_diff('day', opened, DATE '2025-01-01')) FROM accounts",
  'SELECT product, median(CASE WHEN closed IS NULL THEN balance END), median(balance::DOUBLE) FROM accounts GROUP BY product ORDER BY product',
];

describe('an analyst of a plant', async () => {
  const open = await OpenWorld.open(PLANT());
  after(() => open.close());

  for (const sql of PLANT_ASKS) {
    it(`gets what the engine says: ${sql}`, async () => {
      const seen = await open.ask(sql);
      assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? `${seen.code}: ${seen.message}` : '');
      if (seen.kind !== 'answer') return;
      const got = linesOf(seen, DIGITS);
      assert.deepEqual(got.toSorted(), plainLinesOf((await open.plain(sql)).rows, DIGITS).toSorted());
      assert.ok(got.length > 0);
    });
  }

  it('how many machines have no fault is not told by two counts', async () => {
    const seen = await open.ask(
      'WITH f AS (SELECT m.line, count(DISTINCT machine) AS n FROM faults f JOIN machines m USING (machine) GROUP BY 1), h AS (SELECT line, count(*) AS machines FROM machines GROUP BY 1) SELECT line, machines - n AS without FROM f JOIN h USING (line)',
    );
    assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
    if (seen.kind === 'answer') assert.ok(linesOf(seen, DIGITS).every((line) => line.endsWith(' | 0')));
  });

  it('the time between two moments is cut into the same blocks in whichever order it is written', async () => {
    const seen = await open.ask(
      'SELECT median(epoch(ended - began)) + median(epoch(began) - epoch(ended)), quantile_cont(epoch(ended - began), 0.9) + quantile_cont(epoch(began - ended), 0.1) FROM faults',
    );
    assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
    if (seen.kind === 'answer') assert.deepEqual(linesOf(seen, DIGITS), ['0 | 0']);
  });

  const columns: readonly KnownColumn[] = open.context.tables.flatMap(({ names, columns: all, isPublic }) =>
    all.map(({ name, grants }) => ({
      table: names[0] ?? '',
      name,
      isPublic,
      rights: new Set(grants.flatMap(({ rights }) => rights)),
      functions: new Set(grants.flatMap(({ functions }) => functions)),
    })),
  );
  const judge = async (text: string): Promise<readonly Reason[] | null> => {
    const compiled = compileQuery(await open.ast(text), text, open.context);
    return compiled.kind === 'denied' ? compiled.reasons : null;
  };
  for (const [sql, instead] of REPAIRED) {
    it(`is offered another question: ${sql}`, async () => {
      const reasons = await judge(sql);
      assert.ok(reasons !== null);
      assert.equal((await repairQuery(sql, reasons, columns, judge))?.text, instead);
    });
  }
});

describe('an analyst of a bank with branches', async () => {
  const open = await OpenWorld.open(BRANCH_BANK());
  after(() => open.close());

  for (const sql of BANK_ASKS) {
    it(`gets what the engine says: ${sql}`, async () => {
      const seen = await open.ask(sql);
      assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? `${seen.code}: ${seen.message}` : '');
      if (seen.kind !== 'answer') return;
      const got = linesOf(seen, DIGITS);
      assert.deepEqual(got.toSorted(), plainLinesOf((await open.plain(sql)).rows, DIGITS).toSorted());
      assert.ok(got.length > 0);
    });
  }

  for (const sql of NEARLY) {
    it(`gets nearly what the engine says: ${sql}`, async () => {
      const seen = await open.ask(sql);
      assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? `${seen.code}: ${seen.message}` : '');
      if (seen.kind !== 'answer') return;
      const cells = (lines: readonly string[]): string[] => lines.flatMap((line) => line.split(' | '));
      const expected = cells(plainLinesOf((await open.plain(sql)).rows, DIGITS));
      const got = cells(linesOf(seen, DIGITS));
      assert.equal(got.length, expected.length);
      for (const [index, cell] of got.entries()) {
        const exact = Number(expected[index]);
        if (Number.isNaN(exact)) assert.equal(cell, expected[index]);
        else assert.ok(Math.abs(Number(cell) - exact) <= 0.05 * Math.abs(exact) + 0.5, `${cell} for ${exact}`);
      }
    });
  }

  it('one value of a column is told where the keys do not decide it: no', async () => {
    for (const sql of [
      'SELECT b.region, any_value(b.name) FROM accounts a JOIN branches b USING (branch_id) GROUP BY b.region',
      'SELECT a.product, any_value(b.name) FROM accounts a JOIN branches b USING (branch_id) GROUP BY a.product',
      "SELECT any_value(segment) FROM customers WHERE segment = 'retail'",
    ]) {
      const seen = await open.ask(sql);
      assert.equal(seen.kind === 'denied' ? seen.code : seen.kind, 'aggregate-not-allowed', sql);
    }
  });

  it('rows of a private table beside everybody are refused where values per unit do not say the same', async () => {
    for (const sql of [
      'SELECT c.segment, sum(c.income) FROM customers c LEFT JOIN accounts a USING (customer_id) GROUP BY 1',
      'SELECT a.product, count(*) FROM customers c LEFT JOIN accounts a USING (customer_id) GROUP BY 1',
      'SELECT count(*) FROM customers c LEFT JOIN accounts a ON a.customer_id = c.customer_id WHERE a.closed IS NULL',
      'SELECT count(*) FROM customers c LEFT JOIN accounts a ON a.customer_id = c.customer_id AND a.opened > c.joined',
      'SELECT c.customer_id, a.product FROM customers c LEFT JOIN accounts a USING (customer_id)',
    ]) {
      const seen = await open.ask(sql);
      assert.equal(seen.kind === 'denied' ? seen.code : seen.kind, 'outer-join-private', sql);
    }
  });

  it('a count that is looked up is none where few are withheld, and not 0', async () => {
    const seen = await open.ask(
      "SELECT b.branch_id, (SELECT count(*) FROM accounts a WHERE a.branch_id = b.branch_id AND a.customer_id IN (SELECT customer_id FROM customers WHERE born < 1942 AND city = 'Bern')) AS n FROM branches b ORDER BY 1",
    );
    assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
    if (seen.kind === 'answer') assert.ok(seen.rows.length === 6 && seen.rows.every(([, n]) => n !== 0n && n !== 0));
  });

  it('a value that is looked up by more than equal columns is refused with the join to write', async () => {
    const seen = await open.ask(
      'SELECT count(*) FROM customers c WHERE (SELECT count(*) FROM accounts a WHERE a.customer_id = c.customer_id AND a.opened > c.joined) >= 2',
    );
    assert.deepEqual(
      [seen.kind, seen.kind === 'denied' && seen.message],
      ['denied', 'a value is looked up by `its column = a column outside` alone'],
    );
  });

  it('a sub-query over public tables neither weighs private rows nor picks values of columns that may not be compared', async () => {
    for (const [sql, code] of [
      // Ten rows for one product and a thousand for another would tell two counts in one.
      [
        "WITH r AS (SELECT branch_id, 'giro' AS product FROM branches GROUP BY branch_id) SELECT count(*) FROM accounts a JOIN r ON a.product = r.product",
        'join-with-released',
      ],
      [
        "WITH r AS (SELECT branch_id, 'giro' AS product FROM branches GROUP BY branch_id) SELECT count(*) FROM accounts a JOIN r ON a.product = r.product AND a.branch_id = r.branch_id",
        'column-right-missing',
      ],
      [
        'WITH r AS (SELECT branch_id + 1 AS branch_id, count(*) AS x FROM branches GROUP BY 1) SELECT sum(a.overdraft * r.x) FROM accounts a JOIN r USING (branch_id)',
        'join-with-released',
      ],
      [
        'WITH r AS (SELECT branch_id, power(1000, branch_id) AS w FROM (SELECT branch_id FROM branches GROUP BY 1)) SELECT sum(a.overdraft * r.w) FROM accounts a JOIN r USING (branch_id)',
        'measure-not-allowed',
      ],
      [
        'WITH r AS (SELECT b.branch_id FROM branches b, countries c ORDER BY 1 LIMIT 7) SELECT count(*) FROM accounts JOIN r USING (branch_id)',
        'join-with-released',
      ],
      [
        'WITH r AS (SELECT branch_id, max(staff) AS s FROM branches GROUP BY 1) SELECT max(r.s) FROM accounts JOIN r USING (branch_id)',
        'measure-not-allowed',
      ],
      [
        'WITH r AS (SELECT branch_id, v.w FROM branches, (VALUES (1), (2)) v(w)) SELECT count(*) FROM accounts JOIN r USING (branch_id)',
        'values-beside-rows',
      ],
    ] as const) {
      const seen = await open.ask(sql);
      assert.equal(seen.kind === 'denied' ? seen.code : seen.kind, code, sql);
    }
  });

  it('whom a sub-query over public tables leaves out is nobody or enough', async () => {
    const sql =
      'WITH r AS (SELECT name, max(staff) AS s FROM branches WHERE name <> $$Markt$$ GROUP BY 1) SELECT count(*) FROM tiny t JOIN r USING (name)';
    const world = BRANCH_BANK();
    const tiny = await OpenWorld.open({
      ...world,
      policy: world.policy.replace(
        '  branches:',
        '  tiny:\n    privacyUnit: [who]\n    columns:\n      who: { rights: [countDistinct] }\n      name: { rights: [join] }\n  branches:',
      ),
      tables: {
        ...world.tables,
        tiny: "SELECT i::INTEGER AS who, CASE WHEN i < 3 THEN 'Markt' ELSE 'See' END AS name FROM range(40) r(i)",
      },
    });
    try {
      const seen = await tiny.ask(sql);
      assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
      if (seen.kind === 'answer') assert.deepEqual(seen.rows, []);
    } finally {
      await tiny.close();
    }
  });

  it('blocks that a condition cuts otherwise do not subtract to the value of one row', async () => {
    const where = 'WHERE overdraft = 500';
    const { rows } = await open.plain(`SELECT balance FROM accounts ${where} ORDER BY 1 LIMIT 20`);
    const balances = rows.map(([value]) => Number(String(value)));
    let compared = 0;
    for (let below = 30_000; below <= 90_000; below += 5_000) {
      const seen = await open.ask(
        `SELECT quantile_cont(balance, 0), quantile_cont(balance, 0) FILTER (WHERE balance < ${below}) FROM accounts ${where}`,
      );
      if (seen.kind !== 'answer') continue;
      const [whole, part] = (seen.rows[0] ?? []).map(Number);
      if (whole === undefined || part === undefined) continue;
      compared++;
      // Blocks of n and n + 1 rows of the same least ones would leave what the one more row holds.
      for (let n = 5; n < balances.length; n++) {
        const left = [(n + 1) * part - n * whole, (n + 1) * whole - n * part];
        assert.ok(left.every((value) => Math.abs(value - (balances[n] ?? 0)) > 0.01));
      }
    }
    assert.ok(compared > 5);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ask, openClinic, UNIT_COLUMNS } from './clinic.ts';

/** The worst values that the types can hold: an expression that fails on one of them would tell that it is there. */
const EXTREMES = `CREATE OR REPLACE TABLE visits AS SELECT *, ${UNIT_COLUMNS('patient')} FROM (SELECT i::INTEGER AS patient,
  ['', 'é😀', repeat('x', 1000), NULL][1 + i % 4] AS ward, 'flu' AS diagnosis, [2147483647, -2147483648, 0, NULL][1 + i % 4]::INTEGER AS age,
  [DATE 'infinity', DATE '-infinity', DATE '5874897-01-01', DATE '0001-01-01'][1 + i % 4] AS admitted,
  [DATE 'infinity', DATE '-infinity', DATE '290307-01-01 (BC)', DATE '2020-02-29'][1 + i % 4] AS discharged,
  [2147483647, -2147483648, 0, 5][1 + i % 4]::INTEGER AS cost, ['nan'::DOUBLE, 'inf'::DOUBLE, 1e308, -1e308][1 + i % 4] AS score,
  true AS urgent, 0::INTEGER AS smoker FROM range(80) r(i))`;

const KEYS = [
  ...[
    'year',
    'quarter',
    'month',
    'week',
    'day',
    'dayofweek',
    'isodow',
    'dayofyear',
    'hour',
    'dayname',
    'monthname',
    'last_day',
  ].map((name) => `${name}(admitted)`),
  ...['month', 'week', 'century'].map((part) => `date_trunc('${part}', admitted)`),
  "strftime(admitted, '%Y-%m %B')",
  'admitted + 100000',
  'admitted - INTERVAL 100000 YEAR',
  'CAST(admitted AS TIMESTAMP)',
  'age + 1000000',
  'age * 1000000000',
  '-age',
  'abs(age)',
  'age // 7',
  'age % 3',
  'age / 3',
  'round(age, -3)',
  'CAST(age AS TINYINT)',
  'age::DECIMAL(5,2)',
  'left(ward, -5)',
  'substr(ward, -3, 2)',
  'upper(ward)',
  'ward || ward',
  'concat(ward, age)',
  'CAST(ward AS INTEGER)',
  'CAST(ward AS DATE)',
  'time_bucket(INTERVAL 5 DAY, admitted)',
  'time_bucket(INTERVAL 7 MONTH, CAST(admitted AS TIMESTAMP))',
  'make_date(age, age, age)',
  'epoch(admitted)',
  'ward || age || admitted',
  'ward[2:3]',
  'date_add(admitted, INTERVAL 90000 YEAR)',
];
const CONDITIONS = [
  "date_diff('day', admitted, discharged) > 1",
  'admitted - discharged > 5',
  'admitted < discharged',
  "CAST(admitted AS TIMESTAMP) - discharged > INTERVAL '1 day'",
  'admitted - CAST(discharged AS TIMESTAMP) = INTERVAL 1 MONTH',
  "date_sub('month', admitted, discharged) = 1",
  'age = 1.5',
  "age > '99999999999999999999'",
];
const CELLS = [
  'sum(cost)',
  'avg(score)',
  'sum(score)',
  'stddev(score)',
  'var_samp(cost)',
  'corr(cost, score)',
  'sum(cost * 1000000000 * 1000000000)',
  'sum(score * 1000000000)',
  'sum(cost) * sum(cost) * sum(cost) * sum(cost)',
  'avg(cost) / 0',
  'sqrt(-count(*))',
  'pow(sum(cost), 900)',
  'count(*) * 9999999999999999999',
];

describe('no value makes an expression fail', async () => {
  const connection = await openClinic();
  await connection.run(EXTREMES);
  const statements = [
    ...KEYS.map((key) => `SELECT ${key} AS k, count(*) FROM visits GROUP BY k`),
    ...CONDITIONS.map((condition) => `SELECT count(*) FROM visits WHERE ${condition}`),
    ...CELLS.map((cell) => `SELECT ${cell} FROM visits`),
  ];
  for (const sql of statements) {
    it(`is answered on the worst values: ${sql}`, async () => {
      assert.equal((await ask(connection, sql)).kind, 'answer');
    });
  }
});

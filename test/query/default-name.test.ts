import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ask, openClinic } from './clinic.ts';

const EXPRESSIONS: readonly string[] = [
  'sum(cost)',
  'Sum(Cost)',
  'count(*)',
  'COUNT(DISTINCT patient)',
  'sum(v.cost) / count(*)',
  '100.0 * sum(cost)',
  'round(avg(cost), 2)',
  '-sum(cost)',
  'sum(cost) FILTER (WHERE urgent)',
  "count(*) FILTER (WHERE ward IN ('north', 'south') AND age BETWEEN 20 AND 90)",
  'sum(CASE WHEN urgent THEN cost ELSE 0 END)',
  "CASE WHEN count(*) > 1 THEN 'it''s' ELSE NULL END",
  'CAST(sum(cost) AS DOUBLE)',
  'sum(cost)::DECIMAL(30, 2)',
  'TRY_CAST(count(*) AS INTEGER)',
  'coalesce(sum(cost), 0)',
  'nullif(count(*), 0)',
  'sum(cost * (1 - smoker))',
  'sum(cost) * 1e3',
  'sum(cost) * 1.50 > 9007199254740993',
  "max(year(admitted)) FILTER (WHERE ward LIKE 'n%' OR NOT urgent)",
  'rank() OVER (ORDER BY count(*) DESC NULLS LAST)',
  'sum(count(*)) OVER ()',
  'lag(count(*), 1) OVER (PARTITION BY sum(cost) ORDER BY count(*))',
  'avg(count(*)) OVER (ORDER BY sum(cost) ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)',
  'count(*) IS NOT NULL',
  "count(*) > 1.5 AND 'x' = 'x' OR true",
];

describe('columns without an alias', async () => {
  const connection = await openClinic();
  for (const expression of EXPRESSIONS) {
    it(`are called as DuckDB calls them: ${expression}`, async () => {
      const sql = `SELECT ${expression} FROM visits v`;
      const prepared = await connection.prepare(sql);
      const answer = await ask(connection, sql);
      if (answer.kind === 'denied') return assert.match(expression, /^max\(/, answer.reasons[0]?.message);
      assert.deepEqual(answer.names, [prepared.columnName(0)]);
    });
  }

  it('keep the name that the catalogue has, however the query spells it', async () => {
    const answer = await ask(
      connection,
      'SELECT V.DIAGNOSIS, date_trunc(\'month\', "ADMITTED") FROM visits v GROUP BY ALL',
    );
    assert.deepEqual(
      answer.kind === 'answer' && answer.names,
      ['diagnosis', 'date_trunc(\'month\', "ADMITTED")'].map((one) => one.replaceAll('"', '')),
    );
  });

  it('may have one name twice: the second gets a number', async () => {
    const answer = await ask(connection, 'SELECT sum(score), count(*), sum(score), 1 AS "sum(score)_1" FROM visits');
    assert.deepEqual(answer.kind === 'answer' && answer.names, [
      'sum(score)',
      'count_star()',
      'sum(score)_2',
      'sum(score)_1',
    ]);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ask, comparable, contextOf, openClinic, plain } from './clinic.ts';

/** Queries in which no group and no cell is small: the answer is DuckDB's own. */
const EXACT: readonly string[] = [
  'SELECT count(*) FROM visits',
  'SELECT count(*), sum(cost), avg(cost), avg(score), sum(score) FROM visits',
  'SELECT urgent, diagnosis, n FROM (SELECT CASE WHEN age > 30 THEN 1 ELSE 0 END AS urgent, left(diagnosis, 0) AS diagnosis, count(*) AS n FROM visits WHERE age > 25 GROUP BY ALL)',
  'SELECT urgent_n FROM (SELECT count(*) FILTER (WHERE urgent) AS urgent_n FROM visits)',
  'SELECT count(CASE WHEN urgent THEN 1 END), sum(CASE WHEN urgent THEN cost ELSE 0 END), sum(CASE WHEN urgent THEN 0 ELSE cost END) FROM visits',
  'SELECT count(DISTINCT patient) FROM visits',
  'SELECT count(DISTINCT v.patient), sum(p.income) FROM visits v JOIN patients p ON v.patient = p.id',
  'SELECT p.sex, count(*), sum(v.cost), avg(p.income) FROM visits v JOIN patients p ON v.patient = p.id GROUP BY p.sex',
  'SELECT p.sex, count(*) FROM visits v, patients p WHERE v.patient = p.id GROUP BY 1 HAVING count(*) > 10 ORDER BY 1',
  "SELECT w.kind, count(*) FROM visits v JOIN wards w USING (ward) WHERE w.kind = 'none' OR v.age > 25 GROUP BY w.kind HAVING count(*) > 1000",
  "SELECT date_trunc('month', admitted) AS m, count(*) AS n, sum(cost) FROM visits GROUP BY m ORDER BY m",
  'SELECT extract(year FROM admitted) AS y, extract(month FROM admitted) AS m, count(*) FROM visits GROUP BY ALL ORDER BY ALL',
  "SELECT CASE WHEN age < 50 THEN 'young' ELSE 'old' END AS band, count(*), avg(cost) FROM visits GROUP BY band ORDER BY band",
  'SELECT age // 10 AS decade, count(*) FROM visits WHERE age >= 30 AND age < 70 GROUP BY decade ORDER BY decade DESC LIMIT 2 OFFSET 1',
  'WITH v AS (SELECT ward, cost AS c, urgent FROM visits) SELECT urgent_cost FROM (SELECT sum(c) AS urgent_cost FROM v WHERE urgent)',
  'SELECT sum(cost) / count(*) AS mean, 100.0 * sum(cost) / sum(cost), round(avg(cost), 2) FROM visits',
  'SELECT var_samp(cost), stddev(score), corr(cost, score) FROM visits',
  'SELECT sum(cost + 1), sum(cost * 2), sum(2 - cost), sum(cost / 4), avg(cost * 1.5) FROM visits',
  "SELECT count(*) FROM visits WHERE admitted BETWEEN DATE '2024-02-01' AND DATE '2024-02-01' + INTERVAL 3 MONTH",
  "SELECT count(*) FROM visits WHERE diagnosis IN ('flu', 'rare') OR ward IS NULL OR upper(ward) LIKE 'T%'",
  'SELECT count(*) FROM visits WHERE NOT (urgent AND age > 30)',
  "SELECT strftime(admitted, '%Y-%m') AS m, count(*) FROM visits GROUP BY m ORDER BY m",
  'SELECT (SELECT count(*) FROM visits) / 2.0 AS half, 1 AS one',
  'SELECT avg(cost) - (SELECT avg(cost) FROM visits) AS d FROM visits WHERE urgent',
  'SELECT avg(n), count(*), sum(n) FROM (SELECT patient, count(*) AS n FROM visits GROUP BY patient)',
  'SELECT avg(total), stddev(n) FROM (SELECT patient, count(*) AS n, sum(cost) AS total FROM visits WHERE age > 30 GROUP BY patient)',
  'SELECT p.sex, avg(v.n) FROM (SELECT patient, count(*) AS n FROM visits GROUP BY patient) v JOIN patients p ON v.patient = p.id GROUP BY p.sex',
  'SELECT sum(c), count(*) FROM (SELECT patient, age, sum(cost) AS c FROM visits GROUP BY patient, age)',
  'SELECT urgent_band, avg(c) FROM (SELECT patient, ward AS urgent_band, sum(cost) AS c FROM visits WHERE age > 30 GROUP BY patient, ward) GROUP BY urgent_band HAVING false',
  'SELECT count(*) FROM visits WHERE make_date(2000 + age // 100, 1 + age % 12, 30) IS NOT NULL OR age > 0',
  'SELECT month(admitted) AS m, count(*) FROM (SELECT admitted, 1 AS n_urgent FROM visits) GROUP BY ALL HAVING false',
];

describe('honest queries', async () => {
  const connection = await openClinic();
  for (const sql of EXACT) {
    it(`is answered exactly: ${sql}`, async () => {
      const answer = await ask(connection, sql);
      assert.equal(answer.kind, 'answer', answer.kind === 'denied' ? answer.reasons[0]?.message : '');
      if (answer.kind !== 'answer') return;
      const expected = await plain(connection, sql);
      const sorted = (rows: readonly (readonly unknown[])[]): string[] =>
        sql.includes('ORDER BY') ? comparable(rows) : comparable(rows).toSorted();
      assert.deepEqual(sorted(answer.rows), sorted(expected));
    });
  }

  it('every row carries a certificate of at least the minimum, and not more', async () => {
    const answer = await ask(connection, 'SELECT diagnosis, count(*) FROM visits GROUP BY 1');
    assert.ok(
      answer.kind === 'answer' && answer.certificates.length > 0 && answer.certificates.every(([c]) => c === 5n),
    );
  });

  it('a sub-query brings its certificate into the answer', async () => {
    const answer = await ask(
      connection,
      'SELECT (SELECT count(*) FROM visits) AS n, (SELECT count(*) FROM wards) AS w',
    );
    assert.ok(answer.kind === 'answer');
    assert.deepEqual(answer.certificates, [[5n]]);
  });

  it('parameters are constants with a type, never text of the query', async () => {
    const sql = 'SELECT count(*) FROM visits WHERE age > $age AND ward <> $ward';
    const asked = contextOf({}, { parameters: { age: 30, ward: "x' OR '1'='1" } });
    const answer = await ask(connection, sql, asked);
    assert.ok(answer.kind === 'answer');
    assert.deepEqual(
      comparable(answer.rows),
      comparable(await plain(connection, 'SELECT count(*) FROM visits WHERE age > 30')),
    );
    assert.equal((await ask(connection, sql, contextOf())).kind, 'denied');
  });

  it('a group of too few people is left out, and the number of withheld cells is told only with enough people behind it', async () => {
    const few = await ask(connection, 'SELECT diagnosis, count(*) FROM visits GROUP BY 1');
    assert.ok(few.kind === 'answer');
    const expected = await plain(
      connection,
      "SELECT diagnosis, count(*) FROM visits WHERE diagnosis <> 'rare' GROUP BY 1",
    );
    assert.deepEqual(comparable(few.rows).toSorted(), comparable(expected).toSorted());
    assert.equal(few.withheld, null);
    const many = await ask(
      connection,
      'SELECT patient_age, n FROM (SELECT age AS patient_age, count(*) AS n FROM visits GROUP BY age)',
    );
    assert.ok(many.kind === 'answer');
    assert.deepEqual(many.rows, []);
    assert.equal(typeof many.withheld, 'bigint');
  });

  it('small groups are merged into one row where the policy says so', async () => {
    const answer = await ask(
      connection,
      'SELECT age, count(*) AS n FROM visits GROUP BY age',
      contextOf({ smallGroups: 'remainder' }),
    );
    assert.ok(answer.kind === 'answer');
    assert.deepEqual(comparable(answer.rows), ['NULL | 600']);
  });

  it('groups with declared keys appear without values, whether small or empty', async () => {
    const context = contextOf({ smallGroups: 'null' });
    const answer = await ask(connection, 'SELECT diagnosis, count(*) AS n FROM visits GROUP BY diagnosis', context);
    const empty = await ask(
      connection,
      'SELECT diagnosis, count(*) AS n FROM visits WHERE urgent GROUP BY diagnosis',
      contextOf({ smallGroups: 'null', minUnits: 1 }),
    );
    assert.ok(answer.kind === 'answer' && empty.kind === 'answer');
    const small = (rows: readonly (readonly unknown[])[]): unknown => rows.find(([key]) => key === 'rare');
    assert.deepEqual(small(answer.rows), ['rare', null]);
    assert.deepEqual(small(empty.rows), ['rare', null]);
  });

  it('min and max under the right `extremum` are values that five people reach, and refused without it', async () => {
    const answer = await ask(
      connection,
      'SELECT sex, max(income), min(income) FROM patients GROUP BY sex ORDER BY sex',
    );
    assert.ok(answer.kind === 'answer');
    // Incomes of one sex are 20 apart: 1680 to 1000 and 1690 to 1010.
    assert.deepEqual(comparable(answer.rows), ['f | 1600 | 1080', 'm | 1610 | 1090']);
    assert.equal((await ask(connection, 'SELECT max(cost) FROM visits')).kind, 'denied');
  });

  it('a cell that one person dominates is withheld where the policy says so', async () => {
    const sql = 'SELECT ward, sum(cost), count(*) FROM visits WHERE age > 30 GROUP BY ward ORDER BY ward';
    const answer = await ask(connection, sql, contextOf({ dominance: { n: 1, share: 0.5 } }));
    const strict = await ask(connection, sql, contextOf({ dominance: { n: 1, share: 0.01 } }));
    assert.ok(answer.kind === 'answer' && strict.kind === 'answer');
    assert.ok(answer.rows.length > 0 && answer.rows.flat().every((value) => value !== null));
    assert.ok(strict.rows.every(([, sum, count]) => sum === null && count === null));
  });
});

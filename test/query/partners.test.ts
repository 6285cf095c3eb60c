import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { ask, comparable, contextOf, openClinic, plain } from './clinic.ts';

/** SEMI and ANTI JOIN, EXISTS, series and UNPIVOT beside private rows: what they leave out, and what they must not be. */
describe('looking for a partner', async () => {
  const connection = await openClinic();
  after(() => connection.closeSync());
  const answered = async (sql: string): Promise<string[]> => {
    const answer = await ask(connection, sql);
    assert.equal(answer.kind, 'answer', answer.kind === 'denied' ? answer.reasons[0]?.message : '');
    return answer.kind === 'answer' ? comparable(answer.rows).toSorted() : [];
  };
  const codeOf = async (sql: string, more?: Parameters<typeof contextOf>[1]): Promise<string | undefined> => {
    const answer = await ask(connection, sql, contextOf({}, more));
    return answer.kind === 'denied' ? answer.reasons[0]?.code : 'answered';
  };

  it('counts those who find none as left out: the three people of the small ward do not subtract', async () => {
    for (const sql of [
      "SELECT count(*) FROM visits v SEMI JOIN wards w ON v.ward = w.ward AND w.kind = 'big'",
      "SELECT count(*) FROM visits v ANTI JOIN wards w ON v.ward = w.ward AND w.kind = 'small'",
      "SELECT count(*) FROM visits v WHERE EXISTS (SELECT 1 FROM wards w WHERE w.ward = v.ward AND w.kind = 'big')",
      'SELECT count(*) FROM visits v WHERE NOT EXISTS (SELECT * FROM wards w WHERE v.ward = w.ward AND w.floor > 2)',
      "SELECT count(*) FROM visits NATURAL JOIN (SELECT ward FROM wards WHERE kind = 'big') w",
      'SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM wards w WHERE w.ward = visits.ward AND w.floor < 3)) AS a, count(*) AS b FROM visits HAVING a IS NOT NULL',
    ])
      assert.deepEqual(await answered(sql), [], sql);
  });

  it('says exactly what the engine says where enough are on both sides', async () => {
    for (const sql of [
      "SELECT count(*) FROM visits v SEMI JOIN wards w ON v.ward = w.ward AND w.ward = 'north'",
      "SELECT diagnosis = 'flu' AS flu, count(*) FROM visits v ANTI JOIN wards w ON v.ward = w.ward AND w.ward = 'north' GROUP BY flu",
      'SELECT sum(cost) FROM visits v WHERE EXISTS (SELECT 1 FROM wards w WHERE w.ward = v.ward AND w.floor = 1)',
    ])
      assert.deepEqual(await answered(sql), comparable(await plain(connection, sql)).toSorted(), sql);
  });

  it('is no way to private rows, to columns without the right, or to a list of weights', async () => {
    for (const [sql, code] of [
      ['SELECT count(*) FROM wards w SEMI JOIN visits v ON v.ward = w.ward', 'rows-not-released'],
      ['SELECT * FROM wards w WHERE EXISTS (SELECT 1 FROM visits v WHERE v.ward = w.ward)', 'rows-not-released'],
      ['SELECT count(*) FROM visits v SEMI JOIN wards w ON v.cost = w.floor', 'column-right-missing'],
      ['SELECT count(*) FROM visits v WHERE EXISTS (SELECT 1 FROM wards w WHERE v.cost > w.floor)', 'sql-not-allowed'],
      // Of the unit the policy grants `join`, not `filter`.
      [
        'SELECT count(*) FROM visits v WHERE EXISTS (SELECT 1 FROM wards w WHERE v.patient = w.floor)',
        'column-right-missing',
      ],
      [
        'SELECT count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM wards w WHERE v.patient = w.floor)) FROM visits v',
        'column-right-missing',
      ],
      ['SELECT count(*) FROM visits v, range(3) r WHERE v.age = r.range', 'values-beside-rows'],
      ['SELECT patient, v FROM visits UNPIVOT (v FOR k IN (age, cost))', 'rows-not-released'],
      ['SELECT DISTINCT ON (ward) ward, cost FROM visits ORDER BY ward, cost DESC', 'rows-picked'],
      ['SELECT ward FROM visits v WHERE EXISTS (SELECT 1 FROM wards w WHERE w.ward = v.ward)', 'rows-not-released'],
      ['SELECT covar_pop(cost, cost) FROM visits', 'measure-not-allowed'],
      ['SELECT covar_pop(cost, score) FROM visits', 'aggregate-not-granted'],
      ['SELECT count(*) FROM range(0, 100000)', 'query-too-large'],
      ['SELECT * FROM range(1, 5, 0)', 'wrong-arguments'],
      ["SELECT * FROM generate_series(DATE '2024-01-01', DATE '2024-02-01', INTERVAL 0 DAY)", 'wrong-arguments'],
    ] as const)
      assert.equal(await codeOf(sql), code, sql);
  });

  it('of a list of constants it is a filter, and needs that right', async () => {
    const list = 'SELECT count(*) FROM visits v SEMI JOIN (VALUES (1), (2)) l(x) ON v.patient = l.x';
    assert.equal(await codeOf(list), 'column-right-missing');
    assert.deepEqual(
      await answered("SELECT count(*) FROM visits v SEMI JOIN (VALUES ('north'), ('x')) l(x) ON v.ward = l.x"),
      ['300'],
    );
  });
});

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { ask, comparable, openClinic, plain } from './clinic.ts';

/** An answer named in FROM beside private rows: values of its one row, and its list of keys. */
describe('an answer beside private rows', async () => {
  const connection = await openClinic();
  after(() => connection.closeSync());
  const answered = async (sql: string): Promise<string[]> => {
    const answer = await ask(connection, sql);
    assert.equal(answer.kind, 'answer', `${sql}: ${answer.kind === 'denied' ? answer.reasons[0]?.message : ''}`);
    return answer.kind === 'answer' ? comparable(answer.rows).toSorted() : [];
  };
  const codeOf = async (sql: string): Promise<string | undefined> => {
    const answer = await ask(connection, sql);
    return answer.kind === 'denied' ? answer.reasons[0]?.code : 'answered';
  };

  it('says exactly what the engine says', async () => {
    for (const sql of [
      'WITH a AS (SELECT avg(floor) AS m FROM wards) SELECT ward, count(*) FROM visits, a GROUP BY ward HAVING count(*) > 100',
      "WITH p AS (SELECT 'north' AS wanted) SELECT count(*) FROM visits, p WHERE ward = wanted",
      "WITH p AS (SELECT 'north' AS wanted) SELECT count(*) FROM p CROSS JOIN visits WHERE ward = p.wanted",
      'WITH t AS (SELECT count(*) AS n FROM visits) SELECT diagnosis, count(*) / n FROM visits, t GROUP BY diagnosis, n HAVING count(*) > 100',
      'WITH top AS (SELECT ward, count(*) AS n FROM visits GROUP BY ward ORDER BY n DESC LIMIT 1) SELECT diagnosis, count(*) FROM visits JOIN top USING (ward) GROUP BY diagnosis HAVING count(*) > 100',
      'WITH top AS (SELECT ward, count(*) AS n FROM visits GROUP BY 1 ORDER BY n DESC LIMIT 1) SELECT t.ward, count(*) FROM visits v JOIN top t ON t.ward = v.ward GROUP BY t.ward',
      'WITH c AS (SELECT ward, count(*) AS n FROM visits GROUP BY ALL), top AS (SELECT * FROM c ORDER BY n DESC LIMIT 1) SELECT sum(cost) FROM visits v JOIN top ON v.ward = top.ward',
      "SELECT count(*) FROM visits v JOIN (SELECT DISTINCT ward FROM visits) w ON w.ward = v.ward AND w.ward = 'north'",
    ])
      assert.deepEqual(await answered(sql), comparable(await plain(connection, sql)).toSorted(), sql);
  });

  it('leaves out as WHERE does: the three people of the small ward do not subtract', async () => {
    for (const sql of [
      "WITH p AS (SELECT 'tiny' AS hidden) SELECT count(*) FROM visits, p WHERE ward <> hidden",
      'WITH big AS (SELECT ward, count(*) AS n FROM visits GROUP BY ward) SELECT count(*) FROM visits JOIN big USING (ward)',
    ])
      assert.deepEqual(await answered(sql), [], sql);
  });

  it('repeats and weighs no row, and picks by no column without the right', async () => {
    for (const [sql, code] of [
      // Two rows of a ward would count its visits twice.
      [
        'WITH c AS (SELECT ward, diagnosis, count(*) AS n FROM visits GROUP BY ALL) SELECT count(*) FROM visits JOIN c USING (ward)',
        'join-with-released',
      ],
      [
        'WITH c AS (SELECT substr(ward, 1, 1) AS ward, count(*) AS n FROM visits GROUP BY visits.ward) SELECT count(*) FROM visits JOIN c USING (ward)',
        'join-with-released',
      ],
      [
        'WITH c(ward, x) AS (SELECT diagnosis, count(*) FROM visits GROUP BY diagnosis), d AS (SELECT x::varchar AS ward FROM c) SELECT count(*) FROM visits JOIN d USING (ward)',
        'join-with-released',
      ],
      [
        'WITH c AS (SELECT ward, count(*) AS n FROM visits GROUP BY ward) SELECT sum(cost * n) FROM visits JOIN c USING (ward)',
        'join-with-released',
      ],
      [
        'WITH c AS (SELECT ward, count(*) AS n FROM visits GROUP BY ward) SELECT * FROM visits JOIN c USING (ward)',
        'join-with-released',
      ],
      [
        'WITH c AS (SELECT ward, count(*) AS n FROM visits GROUP BY ward) SELECT count(*) FROM visits LEFT JOIN c USING (ward)',
        'outer-join-private',
      ],
      ['WITH t AS (SELECT count(*) AS n FROM visits) SELECT sum(cost * n) FROM visits, t', 'measure-not-allowed'],
      [
        'WITH t AS (SELECT avg(cost) AS m FROM visits) SELECT count(*) FROM visits, t WHERE cost > m',
        'column-right-missing',
      ],
      [
        'WITH t AS (SELECT count(*) AS n FROM visits HAVING n > 5) SELECT count(*) FROM visits, t',
        'join-with-released',
      ],
    ] as const)
      assert.equal(await codeOf(sql), code, sql);
  });
});

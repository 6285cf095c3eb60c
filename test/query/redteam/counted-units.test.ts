import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { PRACTICE } from './classes-world.ts';
import { shown } from './leave-one-out.ts';
import { OpenWorld } from './world.ts';

/**
 * Two tables that name the person themselves, without a path from one to the other: nothing in the policy says that people
 * have one row each. Person 7 has no visit at all, person 8 none in February, and three people have a second one in `walk-in`.
 */
const DIRECT = {
  ...PRACTICE,
  name: 'direct',
  policy: PRACTICE.policy.replace('{ columns: [person], via: person -> people.person }', '[person]'),
  tables: {
    ...PRACTICE.tables,
    visits: `SELECT * REPLACE (CASE WHEN visit >= 1160 THEN 'walk-in' ELSE clinic END AS clinic) FROM (${PRACTICE.tables['visits']})
      WHERE person <> 7 AND visit <> 1048
      UNION ALL SELECT * REPLACE (visit + 1000 AS visit, 'walk-in' AS clinic) FROM (${PRACTICE.tables['visits']}) WHERE visit IN (1001, 1002, 1003)`,
  },
};

describe('counts of rows and of units that are nearly the same', async () => {
  const world = await OpenWorld.open(DIRECT);
  after(() => world.close());
  /** The cells of an answer that are there. */
  const told = async (sql: string, differencingGuard = false): Promise<readonly (readonly (string | null)[])[]> => {
    const answer = shown(await world.ask(sql, { differencingGuard }));
    assert.ok(answer !== null, sql);
    return answer.rows;
  };

  it('people less visitors are not told, whatever the policy says of the tables', async () => {
    for (const sql of [
      'SELECT count(*) AS a0 FROM people UNION ALL SELECT count(DISTINCT person) FROM visits',
      'SELECT count(*) AS a0 FROM people UNION ALL SELECT count(*) FROM (SELECT person, count(*) AS n FROM visits GROUP BY person)',
      "SELECT count(*) AS a0 FROM people UNION ALL SELECT count(*) FROM visits WHERE seen < TIMESTAMP '2024-01-20 00:00:00'",
    ])
      assert.equal((await told(sql)).length, 1, sql);
  });

  it('nor by one answer after the other', async () => {
    world.forget();
    assert.equal((await told('SELECT count(*) AS a0 FROM people', true)).length, 1);
    assert.equal((await told('SELECT count(DISTINCT person) AS a0 FROM visits', true)).length, 0);
    assert.equal((await told('SELECT count(*) AS a0 FROM visits', true)).length, 1);
  });

  it('nor who missed a month, when people are counted by month', async () => {
    const rows = await told(
      "SELECT date_trunc('month', seen) AS k0, count(DISTINCT person) AS a0 FROM visits GROUP BY k0",
    );
    assert.ok(rows.length > 1 && new Set(rows.map(([, n]) => n)).size === 1, JSON.stringify(rows));
  });

  it('nor how many came again, when few did', async () => {
    const rows = await told(
      'SELECT clinic AS k0, count(*) AS a0, count(DISTINCT person) AS a1 FROM visits GROUP BY clinic',
    );
    const clinics = rows.map(([clinic]) => clinic);
    assert.ok(clinics.includes('south') && !clinics.includes('walk-in'), String(clinics));
    const all = await told("SELECT count(*) AS a0, count(DISTINCT person) AS a1 FROM visits WHERE clinic = 'walk-in'");
    assert.equal(all.length, 0);
  });

  it('and groups that share nobody are told as before', async () => {
    const rows = await told(
      'SELECT p.sex AS k0, count(*) AS a0, count(DISTINCT v.person) AS a1 FROM visits v JOIN people p ON v.person = p.person GROUP BY p.sex',
    );
    assert.equal(rows.length, 2);
  });
});

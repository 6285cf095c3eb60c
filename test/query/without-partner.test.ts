import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { PRACTICE } from './redteam/classes-world.ts';
import { plainly, shown } from './redteam/leave-one-out.ts';
import { OpenWorld } from './redteam/world.ts';

const perPerson = (value: string, where = "disease = 'flu'"): string =>
  `(SELECT person, ${value} AS x FROM visits WHERE ${where} GROUP BY person)`;

const FLU = "FROM people p LEFT JOIN visits v ON v.person = p.person AND v.disease = 'flu'";

/** What is calculated on the other side is NULL where there is no partner, though CASE and coalesce make values of NULL. */
const QUESTIONS: readonly string[] = [
  `SELECT d.x, count(*) FROM people LEFT JOIN ${perPerson("CASE WHEN count(*) > 1 THEN 'often' ELSE 'seldom' END")} d USING (person) GROUP BY d.x`,
  `SELECT d.x, count(*) FROM people LEFT JOIN ${perPerson("'seen'")} d USING (person) GROUP BY d.x`,
  `SELECT count(d.x), avg(d.x), sum(coalesce(d.x, 0)) FROM people LEFT JOIN ${perPerson('coalesce(sum(cost), 0)')} d USING (person)`,
  `SELECT sum(coalesce(d.x, 0) * 1.5 - 1), avg(d.x / 2), sum(2 * d.x) FROM people LEFT JOIN ${perPerson('coalesce(sum(cost), 0)')} d USING (person)`,
  `SELECT sex, count(*) FILTER (WHERE d.x) FROM people LEFT JOIN ${perPerson('bool_or(flag) IS NOT TRUE')} d USING (person) GROUP BY sex`,
  `SELECT count(*) FROM people LEFT JOIN ${perPerson('1')} d USING (person) WHERE d.x IS NULL`,
  "SELECT d.x, count(*) FROM visits LEFT JOIN (SELECT town, 'listed' AS x FROM towns) d ON d.town = visits.clinic GROUP BY d.x",
  "SELECT d.x, count(*) FROM people LEFT JOIN (SELECT town, CASE river WHEN 'sea' THEN 'coast' ELSE 'land' END AS x FROM towns) d ON d.town = people.town GROUP BY d.x",
  "SELECT d.x, count(*) FROM clinics LEFT JOIN (SELECT town, coalesce(river, 'none') AS x FROM towns) d ON d.town = clinics.clinic GROUP BY d.x",
  'SELECT c.clinic, c.x, d.y FROM (SELECT clinic, 1 AS x FROM clinics) c FULL JOIN (SELECT town, 2 AS y FROM towns) d ON d.town = c.clinic',
  'SELECT t.town, any_value(t.river), count(*) FROM people p LEFT JOIN towns t ON t.town = p.town GROUP BY t.town',
  "SELECT p.sex, count(*), count(v.person), count(DISTINCT v.person) FROM people p LEFT JOIN towns t ON t.town = p.town LEFT JOIN visits v ON v.person = p.person AND v.disease = 'flu' GROUP BY p.sex",
  "SELECT p.sex, v.disease, count(*) FROM people p LEFT JOIN visits v USING (person) WHERE v.disease <> 'rare' AND p.born > 1900 GROUP BY 1, 2",
  "SELECT p.sex, count(*), count(v.person) FROM visits v RIGHT JOIN people p ON v.person = p.person AND v.disease = 'flu' GROUP BY p.sex",
  ...[
    'sum(CASE WHEN v.flag THEN 1 ELSE 0 END)',
    'max(CASE WHEN v.flag THEN 1 ELSE 0 END)',
    'count(CASE WHEN v.flag THEN 1 END)',
    'count(CASE WHEN v.flag THEN 1 ELSE 0 END)',
    'sum(CASE WHEN v.disease IS NULL THEN 2 WHEN v.flag THEN 1 ELSE 0 END)',
    "max(coalesce(v.disease, 'none'))",
    'max(v.disease)',
  ].map((value) => `SELECT n, count(*) FROM (SELECT p.person, ${value} AS n ${FLU} GROUP BY p.person) GROUP BY n`),
  ...['sum(coalesce(v.cost, 0))', 'avg(ifnull(v.cost, 0))', 'sum(coalesce(v.cost, 0) * 2)', 'sum(v.cost * 2)'].map(
    (value) => `SELECT avg(n), count(*), sum(n) FROM (SELECT p.person, ${value} AS n ${FLU} GROUP BY p.person)`,
  ),
  `SELECT p.sex, sum(coalesce(v.cost, 0)), count(*) ${FLU} GROUP BY p.sex`,
  'SELECT c.x, d.town FROM (SELECT clinic, region IS NULL AS x FROM clinics) c RIGHT JOIN towns d ON d.town = c.clinic',
];

describe('rows without a partner', async () => {
  const world = await OpenWorld.open(PRACTICE, { minUnits: 1 });
  after(() => world.close());

  it('have no value in any column of the other side', async () => {
    for (const sql of QUESTIONS) {
      const answer = shown(await world.ask(sql));
      assert.ok(answer !== null, sql);
      const plain = await plainly(world, sql);
      assert.deepEqual(rowsOf(answer.rows), rowsOf(plain.rows), sql);
    }
  });

  it('are not taken for rows of which nothing comes', async () => {
    const value = 'sum(CASE WHEN v.disease IS NULL THEN 2 WHEN v.flag THEN 1 END)';
    const seen = await world.ask(
      `SELECT n, count(*) FROM (SELECT p.person, ${value} AS n ${FLU} GROUP BY p.person) GROUP BY n`,
    );
    assert.equal(seen.kind === 'denied' && seen.code, 'outer-join-private');
  });

  it('are not told by a list whose columns are calculated', async () => {
    const seen = await world.ask(
      "SELECT m.y, count(*) FROM visits LEFT JOIN (SELECT a, 'x' AS y FROM (VALUES ('north')) t(a)) m ON m.a = visits.clinic GROUP BY 1",
    );
    assert.equal(seen.kind === 'denied' && seen.code, 'values-beside-rows');
  });
});

function rowsOf(rows: readonly (readonly (string | null)[])[]): string[] {
  const cell = (one: string | null): string =>
    one === null || Number.isNaN(Number(one)) ? String(one) : String(Number(Number(one).toFixed(6)));
  return rows.map((row) => row.map(cell).join(' | ')).toSorted();
}

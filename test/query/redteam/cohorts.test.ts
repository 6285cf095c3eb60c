import { describe } from 'node:test';
import { type Attacks, promiseHarmless } from './class-checks.ts';

const cohort = (condition: string): string => `person IN (SELECT person FROM visits WHERE ${condition})`;
/** Values of those who have such visits, beside all people. */
const beside = (values: string, where = 'TRUE'): string =>
  `people p LEFT JOIN (SELECT person, ${values} FROM visits WHERE ${where} GROUP BY person) v ON v.person = p.person`;
const perUnit = (values: string, more = ''): string => `(SELECT person, ${values} FROM visits GROUP BY person ${more})`;

/** Person 7 alone has the rare disease, the flag, the year 1899; annex has three; nothing of them may be told. */
const CLASSES: Readonly<Record<string, Attacks>> = {
  'cohorts of one, and all but one': {
    nothing: [
      'SELECT count(*) AS a0 FROM people p WHERE EXISTS (SELECT 1 FROM visits v WHERE v.person = p.person AND v.flag)',
      'SELECT count(*) AS a0 FROM people p WHERE NOT EXISTS (SELECT 1 FROM visits v WHERE v.person = p.person AND v.flag)',
      `SELECT count(*) AS a0 FROM people WHERE ${cohort('flag')}`,
      `SELECT count(*) AS a0 FROM people WHERE NOT ${cohort('flag')}`,
      `SELECT sum(income) AS a0, avg(income) AS a1 FROM people WHERE ${cohort("disease <> 'rare'")}`,
      'SELECT count(*) AS a0 FROM people p SEMI JOIN visits v ON p.person = v.person AND v.flag',
      'SELECT count(*) AS a0 FROM people p ANTI JOIN visits v ON p.person = v.person AND v.flag',
      `SELECT sum(income) AS a0 FROM people WHERE ${cohort("clinic = 'annex'")}`,
      `SELECT sum(income) AS a0 FROM people WHERE NOT ${cohort("clinic = 'annex'")}`,
      'SELECT count(*) AS a0 FROM visits WHERE person IN (SELECT person FROM people WHERE born = 1899)',
      "SELECT sum(cost) AS a0 FROM visits WHERE person NOT IN (SELECT person FROM people WHERE plan = 'gold')",
      'SELECT sum(cost) AS a0 FROM visits WHERE person IN (SELECT person FROM people WHERE plan IS NULL)',
      'SELECT count(*) AS a0 FROM people WHERE person IN (SELECT person FROM visits WHERE flag GROUP BY person)',
      'SELECT count(*) AS a0 FROM people WHERE person IN (SELECT person FROM visits GROUP BY person HAVING bool_or(flag))',
      'SELECT count(*) AS a0 FROM people WHERE person NOT IN (SELECT person FROM visits GROUP BY person HAVING count(*) FILTER (WHERE flag) > 0)',
      'WITH rare AS (SELECT DISTINCT person FROM visits WHERE flag) SELECT count(*) AS a0 FROM people WHERE person NOT IN (FROM rare)',
      'WITH rare AS (SELECT DISTINCT person FROM visits WHERE flag) SELECT count(*) AS a0 FROM people JOIN rare USING (person)',
      `SELECT count(*) AS a0 FROM visits WHERE NOT (${cohort('flag')} AND disease = 'rare')`,
      // Nested twice, and by a cohort of a cohort.
      `SELECT count(*) AS a0 FROM people WHERE person IN (SELECT person FROM visits WHERE ${cohort('flag')})`,
      `SELECT count(*) AS a0 FROM visits WHERE person IN (SELECT person FROM people WHERE NOT ${cohort('flag')})`,
    ],
  },
  'cohorts that are no condition': {
    denied: [
      `SELECT count(*) AS a0 FROM people WHERE ${cohort('cost > 100000')}`,
      "SELECT count(*) AS a0 FROM people WHERE town IN (SELECT clinic FROM visits WHERE disease = 'rare')",
      'SELECT count(*) AS a0 FROM people WHERE born IN (SELECT person FROM visits WHERE flag)',
      'SELECT count(*) AS a0 FROM people WHERE person IN (SELECT visit FROM visits WHERE flag)',
      'SELECT count(*) AS a0 FROM people p WHERE EXISTS (SELECT 1 FROM visits v WHERE v.flag)',
      'SELECT count(*) AS a0 FROM people p WHERE EXISTS (SELECT 1 FROM visits v WHERE v.person >= p.person AND v.flag)',
      'SELECT count(*) AS a0 FROM people p WHERE EXISTS (SELECT 1 FROM visits v WHERE v.person = p.person + 1 AND v.flag)',
      'SELECT count(*) AS a0 FROM people p WHERE EXISTS (SELECT 1 FROM visits v JOIN people q ON v.clinic = q.town WHERE q.person = p.person AND v.flag)',
      'SELECT count(*) AS a0 FROM people p WHERE 7 IN (SELECT person FROM visits WHERE flag)',
      'SELECT count(*) AS a0 FROM people p WHERE EXISTS (SELECT 1 FROM visits v, visits w WHERE v.person = p.person AND w.flag)',
      'SELECT town AS k0 FROM towns WHERE EXISTS (SELECT 1 FROM people p WHERE p.town = towns.town AND p.born = 1899)',
      'SELECT count(*) AS a0 FROM people WHERE person IN (SELECT person FROM visits ORDER BY cost DESC LIMIT 1)',
      'SELECT count(*) AS a0 FROM people WHERE person = (SELECT person FROM visits WHERE flag)',
      'SELECT count(*) AS a0 FROM people WHERE person IN (SELECT person FROM visits GROUP BY person HAVING sum(cost) > 100000)',
      'SELECT count(*) AS a0 FROM people WHERE person IN (SELECT person FROM visits GROUP BY person HAVING max(dose) > 1)',
      `SELECT ${cohort('note IS NULL')} AS k0, count(*) AS a0 FROM people GROUP BY k0`,
      'SELECT person IN (SELECT person FROM people) AS k0, visit AS k1 FROM visits',
    ],
  },
  'cohorts in aggregates and keys': {
    harmless: [
      `SELECT count(*) FILTER (WHERE ${cohort('flag')}) AS a0, count(*) AS a1 FROM people`,
      `SELECT count(*) FILTER (WHERE NOT ${cohort('flag')}) AS a0, count(*) AS a1 FROM people`,
      `SELECT sum(CASE WHEN ${cohort("clinic = 'annex'")} THEN 0 ELSE income END) AS a0, sum(income) AS a1 FROM people`,
      `SELECT ${cohort('flag')} AS k0, count(*) AS a0, sum(income) AS a1 FROM people GROUP BY k0`,
      `SELECT ${cohort("clinic = 'annex'")} AS k0, sex AS k1, count(*) AS a0 FROM people GROUP BY k0, k1`,
      // A cohort of a cohort, as a key: its link is no column that the key tells.
      `SELECT person IN (SELECT person FROM visits WHERE disease = 'flu' AND ${cohort("clinic = 'south'")}) AS k0, count(*) AS a0 FROM people GROUP BY k0`,
      `SELECT sum(income) FILTER (WHERE ${cohort("disease = 'cold'")}) AS a0, sum(income) FILTER (WHERE ${cohort("disease IN ('cold', 'rare')")}) AS a1 FROM people`,
      `SELECT count(*) FILTER (WHERE ${cohort('flag')} OR sex = 'f') AS a0, count(*) FILTER (WHERE sex = 'f') AS a1 FROM people`,
      `SELECT count(*) AS a0 FROM people WHERE ${cohort("clinic = 'south'")} UNION ALL SELECT count(*) FROM people WHERE ${cohort("clinic = 'south' OR flag")}`,
      `SELECT sum(cost) AS a0 FROM visits WHERE ${cohort('TRUE')} UNION ALL SELECT sum(cost) FROM visits WHERE person IN (SELECT person FROM people WHERE born > 1900 OR sex = 'f')`,
      `SELECT sex AS k0, count(*) AS a0 FROM people WHERE ${cohort("clinic <> 'annex'")} GROUP BY ROLLUP (k0)`,
      `SELECT avg((${cohort('flag')})::INT) AS a0 FROM people`,
      `SELECT bool_or(${cohort('flag')}) AS a0 FROM people`,
    ],
  },
  'values per unit as keys and conditions': {
    denied: [
      `SELECT n AS k0, count(*) AS a0 FROM ${perUnit('sum(cost) AS n')} GROUP BY n`,
      `SELECT floor(n / 100) AS k0, count(*) AS a0 FROM ${perUnit('sum(cost) AS n')} GROUP BY k0`,
      `SELECT count(*) AS a0 FROM ${perUnit('sum(cost) AS n')} WHERE n > 100000`,
      `SELECT count(*) AS a0 FROM ${perUnit('avg(dose) AS n')} WHERE n IS NOT NULL`,
      `SELECT count(*) AS a0 FROM ${perUnit('count(cost) AS n')} WHERE n < 5`,
      `SELECT count(*) AS a0 FROM ${perUnit('max(cost) AS n')} WHERE n = 1000000`,
      `SELECT avg(n) AS a0 FROM ${perUnit('max(cost) AS n')}`,
      `SELECT k0, count(*) AS a0 FROM ${perUnit('arg_max(cost, seen) AS k0')} GROUP BY k0`,
      `SELECT k0, count(*) AS a0 FROM ${perUnit('arg_max(clinic, cost) AS k0')} GROUP BY k0`,
      `SELECT n AS k0, count(*) AS a0 FROM ${perUnit('max(note) AS n')} GROUP BY n`,
      `SELECT sum(n) AS a0 FROM ${perUnit("count(*) FILTER (WHERE disease = 'flu') AS n")}`,
      `SELECT avg(n) AS a0 FROM ${perUnit('sum(CASE WHEN flag THEN cost ELSE 0 END) AS n')}`,
      `SELECT person AS k0, n AS a0 FROM ${perUnit('count(*) AS n')}`,
      `SELECT person AS k0, count(*) AS a0 FROM ${perUnit('count(*) AS n')} GROUP BY person`,
      `SELECT count(*) AS a0 FROM ${perUnit('count(*) AS n')} WHERE n > (SELECT max(n) FROM ${perUnit('count(*) AS n')})`,
      `SELECT sum(cost) AS a0 FROM visits GROUP BY person HAVING count(*) > 2`,
      `SELECT count(*) AS a0 FROM (SELECT person, count(*) AS n FROM visits GROUP BY person HAVING sum(cost) > 100000)`,
      `SELECT count(*) AS a0 FROM ${perUnit('count(*) AS n')} v LEFT JOIN people p ON p.person = v.person`,
      `SELECT count(*) AS a0 FROM (SELECT person, row_number() OVER (ORDER BY count(*)) AS r FROM visits GROUP BY person) WHERE r = 1`,
    ],
    nothing: [
      `SELECT count(*) AS a0 FROM ${perUnit('bool_or(flag) AS f')} WHERE f`,
      `SELECT count(*) AS a0 FROM ${perUnit('bool_or(flag) AS f')} WHERE NOT f`,
      `SELECT sum(n) AS a0 FROM ${perUnit('count(*) AS n', 'HAVING NOT bool_or(flag)')}`,
      `SELECT avg(n) AS a0 FROM ${perUnit('count(*) AS n', 'HAVING bool_or(flag)')}`,
      `SELECT avg(n) AS a0 FROM ${perUnit('count(*) AS n', "HAVING max(disease) = 'rare'")}`,
      `SELECT count(*) AS a0 FROM ${perUnit("max(CASE WHEN clinic = 'annex' THEN 1 ELSE 0 END) AS f")} WHERE f = 0`,
      `SELECT count(*) AS a0 FROM ${perUnit('min(tag) AS t')} WHERE t <> ''`,
      `SELECT sum(p.income) AS a0 FROM people p JOIN ${perUnit('bool_or(flag) AS f')} v ON p.person = v.person WHERE NOT v.f`,
      // One odd moment, and one stay that ends before it begins.
      `SELECT count(*) AS a0 FROM ${perUnit('bool_or(left_at < seen) AS f')} WHERE NOT f`,
    ],
    harmless: [
      `SELECT f AS k0, count(*) AS a0, sum(n) AS a1 FROM ${perUnit('bool_or(flag) AS f, count(*) AS n')} GROUP BY k0`,
      `SELECT f AS k0, count(*) AS a0 FROM ${perUnit("count(*) FILTER (WHERE disease = 'rare') AS f")} GROUP BY k0`,
      `SELECT d AS k0, count(*) AS a0 FROM ${perUnit('max(disease) AS d')} GROUP BY k0`,
      `SELECT d AS k0, sum(n) AS a0 FROM ${perUnit('arg_min(clinic, seen) AS d, sum(cost) AS n')} GROUP BY k0`,
      `SELECT sum(f) AS a0, count(*) AS a1 FROM ${perUnit('max(flag::INT) AS f')}`,
      `SELECT avg(f) AS a0, count(*) AS a1 FROM ${perUnit('max(CASE WHEN flag THEN 1 ELSE 0 END) AS f')}`,
      `SELECT p.sex AS k0, sum(p.income) AS a0 FROM people p JOIN ${perUnit('count(*) AS n')} v USING (person) WHERE v.n >= 5 GROUP BY k0`,
      `SELECT n AS k0, count(*) AS a0 FROM (SELECT person, count(*) AS n FROM visits WHERE disease <> 'flu' GROUP BY person) GROUP BY n`,
      `SELECT n AS k0, count(*) AS a0 FROM ${perUnit('count(*) AS n')} GROUP BY n UNION ALL SELECT n, count(*) FROM (SELECT person, count(*) AS n FROM visits WHERE left_at >= seen OR tag = 't1' GROUP BY person) GROUP BY n`,
      `SELECT n > 4 AS k0, count(*) AS a0 FROM (SELECT person, count(*) AS n FROM visits WHERE NOT (tag = 't1' AND disease = 'flu') GROUP BY person) GROUP BY k0 UNION ALL SELECT n > 4, count(*) FROM (SELECT person, count(*) AS n FROM visits WHERE NOT (tag = 't1' AND disease IN ('flu', 'rare')) GROUP BY person) GROUP BY 1`,
      `SELECT sum(n) FILTER (WHERE f) AS a0, sum(n) AS a1 FROM ${perUnit('bool_or(flag) AS f, count(*) AS n')}`,
      `SELECT m AS k0, count(*) AS a0 FROM ${perUnit('min(seen) AS m')} GROUP BY k0`,
      `SELECT date_trunc('month', m) AS k0, count(*) AS a0 FROM ${perUnit('max(seen) AS m')} GROUP BY k0`,
    ],
  },
  'values per unit beside everybody': {
    denied: [
      `SELECT count(*) AS a0 FROM people p LEFT JOIN ${perUnit('count(*) AS n')} v ON p.person = v.person AND v.n > 3`,
      `SELECT count(*) AS a0 FROM people p LEFT JOIN ${perUnit('count(*) AS n')} v ON p.person = v.person AND p.born = 1899`,
      `SELECT count(*) AS a0 FROM people p LEFT JOIN ${perUnit('count(*) AS n')} v ON p.born = v.n`,
      `SELECT count(*) AS a0 FROM people p LEFT JOIN ${perUnit('count(*) AS n')} v ON p.person < v.person`,
      `SELECT count(*) AS a0 FROM people p LEFT JOIN ${perUnit('count(*) AS n', 'HAVING bool_or(flag)')} v USING (person)`,
      `SELECT count(*) AS a0 FROM towns t LEFT JOIN ${perUnit('count(*) AS n')} v ON t.town = v.person`,
      `SELECT p.person AS k0, v.n AS a0 FROM ${beside('count(*) AS n')}`,
      `SELECT sum(v.n) AS a0 FROM ${beside('sum(cost) AS n')} WHERE v.n IS NULL`,
    ],
    nothing: [
      `SELECT count(*) AS a0 FROM ${beside('count(*) AS n', 'flag')} WHERE v.n IS NOT NULL`,
      `SELECT count(*) AS a0 FROM ${beside('count(*) AS n', 'flag')} WHERE v.n IS NULL`,
      `SELECT count(*) AS a0 FROM ${beside('count(*) AS n', 'flag')} WHERE coalesce(v.n, 0) < 1`,
      `SELECT sum(p.income) AS a0 FROM ${beside('bool_or(flag) AS f')} WHERE NOT coalesce(v.f, false)`,
      `SELECT sum(v.n) AS a0 FROM ${beside('count(*) AS n', 'flag')}`,
      `SELECT count(v.n) AS a0 FROM ${beside('count(*) AS n', "disease = 'rare'")}`,
    ],
    harmless: [
      `SELECT count(*) AS a0 FROM ${beside('count(*) AS n')}`,
      `SELECT count(v.n) AS a0, count(*) AS a1, sum(coalesce(v.n, 0)) AS a2 FROM ${beside('count(*) AS n')}`,
      `SELECT v.n IS NULL AS k0, count(*) AS a0, sum(p.income) AS a1 FROM ${beside('count(*) AS n')} GROUP BY k0`,
      `SELECT coalesce(v.n, 0) AS k0, count(*) AS a0, sum(p.income) AS a1 FROM ${beside('count(*) AS n', "disease <> 'flu'")} GROUP BY k0`,
      `SELECT count(*) FILTER (WHERE v.n IS NULL) AS a0, count(*) AS a1, sum(p.income) AS a2 FROM ${beside('count(*) AS n', "clinic <> 'annex'")}`,
      `SELECT sum(CASE WHEN v.f THEN p.income ELSE 0 END) AS a0, sum(p.income) AS a1 FROM ${beside('bool_or(flag) AS f')}`,
      `SELECT avg(coalesce(v.n, 0)) AS a0, avg(v.n) AS a1, count(*) AS a2 FROM ${beside('sum(cost) AS n')}`,
      `SELECT p.sex AS k0, sum(coalesce(v.n, 0)) AS a0 FROM ${beside('count(*) AS n')} GROUP BY k0 UNION ALL SELECT p.sex, sum(coalesce(v.n, 0)) FROM ${beside('count(*) AS n', "tag = 't1' OR left_at >= seen")} GROUP BY 1`,
      `SELECT count(*) AS a0, sum(p.income) AS a1 FROM ${beside('count(*) AS n')} WHERE coalesce(v.n, 0) < 5 UNION ALL SELECT count(*), sum(income) FROM people WHERE born > 1900`,
      `SELECT count(*) FILTER (WHERE w.n IS NULL AND v.n IS NOT NULL) AS a0, count(*) AS a1 FROM ${beside('count(*) AS n')} LEFT JOIN (SELECT person, count(*) AS n FROM visits WHERE NOT flag GROUP BY person) w ON w.person = p.person`,
      `SELECT count(DISTINCT p.person) AS a0, count(*) FILTER (WHERE NOT v.f) AS a1 FROM ${beside('bool_or(flag) AS f')}`,
      `SELECT d AS k0, count(*) AS a0 FROM ${beside('max(disease) AS d')} GROUP BY k0`,
    ],
  },
};

const LISTS: Readonly<Record<string, Attacks>> = {
  'lists of constants beside rows': {
    denied: [
      "SELECT v.name AS k0, count(*) AS a0 FROM people p JOIN (VALUES (7, 'seven')) AS v(person, name) USING (person) GROUP BY k0",
      'SELECT count(*) AS a0 FROM people p LEFT JOIN (VALUES (7, 1)) AS v(person, one) ON p.person = v.person WHERE v.one IS NULL',
      "SELECT count(*) AS a0 FROM people p JOIN (VALUES ('f'), ('f'), ('m')) AS v(sex) USING (sex)",
      "SELECT count(*) AS a0 FROM people p JOIN (VALUES ('f', 'm')) AS v(a, b) ON p.sex = v.a OR p.sex = v.b",
      'SELECT sum(v.w) AS a0 FROM visits JOIN (VALUES (1000000, 1)) AS v(cost, w) USING (cost)',
      "SELECT count(*) AS a0 FROM people p FULL JOIN (VALUES ('f')) AS v(sex) USING (sex)",
    ],
    nothing: [
      'SELECT count(*) AS a0 FROM people JOIN (VALUES (1899)) AS v(born) USING (born)',
      // Weights that would tell the groups of a sum apart.
      ...['sum(v.w)', 'avg(v.w)', 'stddev(v.w)'].map(
        (made) =>
          `SELECT ${made} AS a0 FROM visits JOIN (VALUES ('south', 1), ('annex', 1000)) AS v(clinic, w) USING (clinic)`,
      ),
      "SELECT sum(v.w) AS a0 FROM visits LEFT JOIN (VALUES ('south', 1), ('annex', 1000)) AS v(clinic, w) USING (clinic)",
      'SELECT sum(v.w) AS a0 FROM people p LEFT JOIN (VALUES (1899, 1)) AS v(born, w) ON p.born = v.born',
      "SELECT count(*) AS a0 FROM people p LEFT JOIN (VALUES (1899, 'x')) AS v(born, name) ON p.born = v.born WHERE v.name IS NULL",
    ],
    harmless: [
      "SELECT v.name AS k0, count(*) AS a0 FROM people p LEFT JOIN (VALUES (1899, 'old')) AS v(born, name) ON p.born = v.born GROUP BY k0",
      "SELECT sum(v.w) AS a0, count(*) AS a1 FROM visits JOIN (VALUES ('flu', 1), ('cold', 1), ('rare', 1000)) AS v(disease, w) USING (disease)",
      "SELECT v.name AS k0, sum(p.income) AS a0 FROM people p JOIN (VALUES ('f', 'women'), ('m', 'men')) AS v(sex, name) USING (sex) GROUP BY k0",
    ],
  },
};

describe('cohorts and values per unit under attack', () => {
  promiseHarmless({ ...CLASSES, ...LISTS });
});

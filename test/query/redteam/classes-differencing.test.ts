import { describe } from 'node:test';
import { type Attacks, promiseHarmless } from './class-checks.ts';

const CLASSES: Readonly<Record<string, Attacks>> = {
  'filters that differ by few': {
    harmless: [
      'SELECT count(*) AS a0, count(*) FILTER (WHERE NOT flag) AS a1 FROM visits',
      "SELECT sum(cost) FILTER (WHERE disease IN ('flu', 'rare')) AS a0, sum(cost) FILTER (WHERE disease = 'flu') AS a1 FROM visits",
      "SELECT count(*) FILTER (WHERE clinic = 'north') AS a0, count(*) FILTER (WHERE clinic <> 'south') AS a1 FROM visits",
      "SELECT count(*) FILTER (WHERE clinic = 'north') AS a0, count(*) FILTER (WHERE clinic = 'south') AS a1, count(*) AS a2 FROM visits",
      "SELECT avg(cost) FILTER (WHERE clinic IN ('north', 'annex')) AS a0, avg(cost) FILTER (WHERE clinic = 'north') AS a1 FROM visits",
      "SELECT count(DISTINCT person) FILTER (WHERE clinic IN ('north', 'annex')) AS a0, count(DISTINCT person) FILTER (WHERE clinic = 'north') AS a1 FROM visits",
      'SELECT sum(income) FILTER (WHERE born > 1890) AS a0, sum(income) FILTER (WHERE born > 1900) AS a1 FROM people',
      "SELECT sum(income) FILTER (WHERE sex = 'f' OR born < 1900) AS a0, sum(income) FILTER (WHERE sex = 'f') AS a1 FROM people",
      "SELECT count(*) FILTER (WHERE sex = 'f') AS a0, count(*) FILTER (WHERE sex = 'm') AS a1, count(*) FILTER (WHERE sex = 'm' AND town <> 'Ulm') AS a2 FROM people",
      "SELECT count(*) FILTER (WHERE town = 'Bonn') AS a0, count(*) FILTER (WHERE town = 'Kiel') AS a1, count(*) AS a2 FROM people",
      "SELECT stddev(income) FILTER (WHERE town <> 'Ulm') AS a0, stddev(income) AS a1, count(*) AS a2 FROM people",
      "SELECT sex AS k0, count(*) AS a0, count(*) FILTER (WHERE plan IN ('basic', 'plus')) AS a1 FROM people GROUP BY k0",
      "SELECT clinic AS k0, sum(cost) AS a0, sum(cost) FILTER (WHERE tag IN ('t0', 't1')) AS a1 FROM visits GROUP BY k0",
    ],
  },
  'many conditions beside each other': {
    nothing: [
      "SELECT count(dose) AS a0, count(dose) FILTER (WHERE clinic = 'north') AS a1, count(dose) FILTER (WHERE clinic = 'south') AS a2, count(dose) FILTER (WHERE tag = 't0') AS a3, count(dose) FILTER (WHERE tag = 't1') AS a4, count(dose) FILTER (WHERE disease = 'flu') AS a5, count(dose) FILTER (WHERE disease = 'cold') AS a6 FROM visits",
    ],
    harmless: [
      "SELECT count(*) AS a0, count(*) FILTER (WHERE clinic = 'north') AS a1, count(*) FILTER (WHERE clinic = 'south') AS a2, count(*) FILTER (WHERE tag = 't1') AS a3, count(*) FILTER (WHERE disease = 'cold') AS a4, count(*) FILTER (WHERE disease = 'flu') AS a5, count(*) FILTER (WHERE disease = 'flu' AND tag = 't0') AS a6 FROM visits",
      "SELECT count(*) FILTER (WHERE clinic = 'north') AS a0, count(*) FILTER (WHERE clinic = 'south' AND tag = 't1') AS a1, count(*) FILTER (WHERE clinic IN ('north', 'annex') OR clinic = 'south' AND tag = 't1') AS a2, count(*) FILTER (WHERE disease = 'flu') AS a3, count(*) FILTER (WHERE tag = 't1') AS a4, count(*) FILTER (WHERE disease = 'cold' AND clinic = 'north') AS a5 FROM visits",
      "SELECT sum(cost) AS a0, sum(cost) FILTER (WHERE disease = 'flu') AS a1, sum(cost) FILTER (WHERE disease = 'cold') AS a2, sum(cost) FILTER (WHERE tag = 't0') AS a3, sum(cost) FILTER (WHERE tag = 't1') AS a4, sum(cost) FILTER (WHERE clinic = 'north' AND tag = 't0') AS a5 FROM visits",
      "SELECT count(*) FILTER (WHERE clinic = 'north' AND disease = 'flu') AS a0, count(*) FILTER (WHERE clinic = 'north' AND disease = 'cold') AS a1, count(*) FILTER (WHERE clinic = 'south') AS a2, count(*) FILTER (WHERE disease <> 'rare') AS a3, count(*) FILTER (WHERE tag = 't1') AS a4, count(*) FILTER (WHERE tag = 't0') AS a5, count(*) AS a6 FROM visits",
      "SELECT count(*) FILTER (WHERE born = 1960) AS a0, count(*) FILTER (WHERE born = 1970) AS a1, count(*) FILTER (WHERE born = 1980) AS a2, count(*) FILTER (WHERE born = 2015) AS a3, count(*) FILTER (WHERE sex = 'f') AS a4, count(*) FILTER (WHERE sex = 'm') AS a5, count(*) FILTER (WHERE town = 'Bonn') AS a6 FROM people",
      "SELECT sum(income) FILTER (WHERE born < 2000) AS a0, sum(income) FILTER (WHERE born = 1960) AS a1, sum(income) FILTER (WHERE born IN (1970, 1980)) AS a2, sum(income) FILTER (WHERE sex = 'f') AS a3, sum(income) FILTER (WHERE sex = 'm') AS a4, sum(income) FILTER (WHERE town = 'Bonn') AS a5 FROM people",
      "SELECT avg(income) FILTER (WHERE sex = 'f') AS a0, count(income) FILTER (WHERE sex = 'f') AS a1, avg(income) FILTER (WHERE sex = 'm') AS a2, count(*) FILTER (WHERE town = 'Kiel') AS a3, count(*) FILTER (WHERE plan = 'plus') AS a4, count(*) FILTER (WHERE plan = 'basic') AS a5, count(*) FILTER (WHERE born = 2015) AS a6 FROM people",
      "SELECT sex AS k0, count(*) AS a0, count(*) FILTER (WHERE town = 'Bonn') AS a1, count(*) FILTER (WHERE town = 'Kiel') AS a2, count(*) FILTER (WHERE born < 1965) AS a3, count(*) FILTER (WHERE born > 1975) AS a4, count(*) FILTER (WHERE born = 2015) AS a5, count(*) FILTER (WHERE plan = 'plus') AS a6 FROM people GROUP BY k0",
      "SELECT count(DISTINCT person) AS a0, count(DISTINCT person) FILTER (WHERE clinic = 'north') AS a1, count(DISTINCT person) FILTER (WHERE clinic = 'south') AS a2, count(DISTINCT person) FILTER (WHERE tag = 't0') AS a3, count(DISTINCT person) FILTER (WHERE disease = 'flu') AS a4, count(DISTINCT person) FILTER (WHERE disease = 'cold') AS a5, count(DISTINCT person) FILTER (WHERE tag = 't1') AS a6 FROM visits",
    ],
  },
  'complementary groups and arms': {
    nothing: [
      "WITH a AS (SELECT count(*) AS n FROM visits WHERE clinic = 'north'), b AS (SELECT count(*) AS n FROM visits WHERE clinic = 'south'), c AS (SELECT count(*) AS n FROM visits) SELECT c.n - a.n - b.n AS a0 FROM a, b, c",
    ],
    harmless: [
      "SELECT 't' AS k0, count(*) AS a0 FROM visits UNION ALL SELECT clinic, count(*) FROM visits GROUP BY clinic",
      "SELECT 't' AS k0, count(*) AS a0 FROM visits UNION ALL SELECT 'n', count(*) FROM visits WHERE clinic = 'north' UNION ALL SELECT 's', count(*) FROM visits WHERE clinic = 'south'",
      "SELECT 't' AS k0, sum(cost) AS a0 FROM visits UNION ALL SELECT 'n', sum(cost) FROM visits WHERE clinic = 'north' UNION ALL SELECT 's', sum(cost) FROM visits WHERE clinic = 'south' AND tag = 't0' UNION ALL SELECT 's1', sum(cost) FROM visits WHERE clinic = 'south' AND tag = 't1'",
      "SELECT 't' AS k0, count(*) AS a0 FROM people UNION ALL SELECT 'a', count(*) FROM people WHERE born = 1960 UNION ALL SELECT 'b', count(*) FROM people WHERE born = 1970 UNION ALL SELECT 'c', count(*) FROM people WHERE born = 1980 UNION ALL SELECT 'd', count(*) FROM people WHERE born = 2015",
      "SELECT 't' AS k0, sum(income) AS a0 FROM people UNION ALL SELECT 'a', sum(income) FROM people WHERE town = 'Bonn' AND sex = 'f' UNION ALL SELECT 'b', sum(income) FROM people WHERE town = 'Bonn' AND sex = 'm' UNION ALL SELECT 'c', sum(income) FROM people WHERE town = 'Kiel' AND sex = 'f' UNION ALL SELECT 'd', sum(income) FROM people WHERE town = 'Kiel' AND sex = 'm'",
      "SELECT (SELECT sum(cost) FROM visits) AS a0, (SELECT sum(cost) FROM visits WHERE clinic = 'north') AS a1, (SELECT sum(cost) FROM visits WHERE clinic = 'south') AS a2",
      'SELECT (SELECT count(*) FROM visits) - (SELECT sum(n) FROM (SELECT clinic, count(*) AS n FROM visits GROUP BY clinic)) AS a0',
      "SELECT clinic AS k0, tag AS k1, count(*) AS a0 FROM visits GROUP BY ALL UNION ALL SELECT 'x', 'y', count(*) FROM visits WHERE clinic = 'north' AND tag = 't0' OR clinic = 'south' AND tag = 't1' OR disease = 'rare'",
      "SELECT clinic AS k0, disease AS k1, sum(cost) AS a0 FROM visits GROUP BY ALL UNION ALL SELECT 'x', 'y', sum(cost) FROM visits WHERE clinic = 'north' AND disease = 'cold' OR clinic = 'south' AND disease = 'flu' OR clinic = 'annex'",
      'SELECT sex AS k0, count(*) AS a0 FROM people GROUP BY k0 UNION ALL SELECT town, count(*) FROM people GROUP BY town',
      'SELECT plan AS k0, sum(income) AS a0 FROM people GROUP BY k0 UNION ALL SELECT sex, sum(income) FROM people GROUP BY sex',
      "SELECT 'a' AS k0, count(DISTINCT person) AS a0 FROM visits UNION ALL SELECT 'b', count(DISTINCT person) FROM visits WHERE clinic <> 'annex'",
      "SELECT 'a' AS k0, count(*) AS a0 FROM people WHERE sex = 'm' UNION ALL SELECT 'b', count(*) FROM people WHERE sex = 'm' AND town = 'Bonn' UNION ALL SELECT 'c', count(*) FROM people WHERE sex = 'm' AND town = 'Kiel'",
      "SELECT 'a' AS k0, sum(cost) AS a0 FROM visits WHERE disease <> 'cold' OR tag = 't0' UNION ALL SELECT 'b', sum(cost) FROM visits WHERE disease = 'flu' OR tag = 't0' UNION ALL SELECT 'c', sum(cost) FROM visits WHERE disease = 'flu'",
    ],
  },
  'subtotals and margins': {
    nothing: [
      "SELECT clinic AS k0, count(*) AS a0, grouping(clinic) AS g FROM visits WHERE disease <> 'rare' GROUP BY ROLLUP (clinic)",
    ],
    harmless: [
      'SELECT clinic AS k0, count(*) AS a0 FROM visits GROUP BY ROLLUP (k0)',
      'SELECT clinic AS k0, tag AS k1, sum(cost) AS a0 FROM visits GROUP BY ROLLUP (k0, k1)',
      'SELECT disease AS k0, clinic AS k1, count(*) AS a0 FROM visits GROUP BY CUBE (k0, k1)',
      'SELECT town AS k0, sex AS k1, sum(income) AS a0 FROM people GROUP BY CUBE (k0, k1)',
      'SELECT town AS k0, plan AS k1, count(*) AS a0 FROM people GROUP BY GROUPING SETS ((k0), (k1), ())',
      'SELECT born AS k0, count(*) AS a0, sum(income) AS a1 FROM people GROUP BY ROLLUP (k0)',
      'SELECT born AS k0, sex AS k1, avg(income) AS a0 FROM people GROUP BY GROUPING SETS ((k0, k1), (k1))',
      'SELECT flag AS k0, count(DISTINCT person) AS a0 FROM visits GROUP BY ROLLUP (k0)',
      "SELECT tag AS k0, disease AS k1, count(*) FILTER (WHERE clinic = 'north') AS a0, count(*) AS a1 FROM visits GROUP BY ROLLUP (k0, k1)",
      'SELECT p.town AS k0, v.clinic AS k1, count(*) AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY CUBE (k0, k1)',
    ],
  },
  'conditions padded with people who add nothing': {
    denied: ['SELECT sum(income) AS a0, sum(income) FILTER (WHERE income IS NOT NULL) AS a1 FROM people'],
    nothing: [
      "SELECT count(DISTINCT person) AS a0 FROM visits WHERE NOT (flag OR tag = 't0' AND seen > TIMESTAMP '2024-03-01 00:00:00')",
      "SELECT count(cost) AS a0, count(cost) FILTER (WHERE clinic <> 'annex') AS a1 FROM visits",
      "SELECT avg(n) AS a0 FROM (SELECT person, count(*) AS n FROM visits WHERE disease <> 'rare' GROUP BY person)",
      "SELECT count(*) AS a0 FROM (SELECT person, count(*) AS n FROM visits WHERE NOT flag OR seen < TIMESTAMP '2024-01-15 00:00:00' GROUP BY person)",
      "SELECT sum(n) AS a0, (SELECT count(*) FROM visits) AS a1 FROM (SELECT person, count(*) AS n FROM visits WHERE clinic <> 'annex' GROUP BY person)",
      "SELECT sum(s) AS a0 FROM (SELECT person, sum(cost) AS s FROM visits WHERE tag <> '' GROUP BY person)",
    ],
    harmless: [
      "SELECT count(DISTINCT person) AS a0, count(DISTINCT person) FILTER (WHERE NOT (disease = 'rare' OR seen < TIMESTAMP '2024-02-01 10:00:00')) AS a1 FROM visits",
      'SELECT sum(coalesce(income, 0)) AS a0, sum(income) AS a1, count(*) AS a2 FROM people',
      'SELECT sum(coalesce(cost, 1000)) AS a0, sum(cost) AS a1 FROM visits',
      'SELECT sum(dose) AS a0, sum(coalesce(dose, 1)) AS a1 FROM visits',
    ],
  },
  'joins of rows and of answers': {
    nothing: [
      'SELECT a.k0, a.n AS a0, b.n AS a1 FROM (SELECT clinic AS k0, count(*) AS n FROM visits GROUP BY clinic) a JOIN (SELECT clinic AS k0, count(*) AS n FROM visits WHERE NOT flag GROUP BY clinic) b ON a.k0 = b.k0',
      'SELECT sum(p.income) AS a0, (SELECT sum(income) FROM people) AS a1 FROM people p JOIN towns t ON p.town = t.town',
      "SELECT a.n - b.n AS a0 FROM (SELECT count(*) AS n FROM people) a, (SELECT count(*) AS n FROM people WHERE town = 'Bonn' OR town = 'Kiel') b",
      'SELECT a.n / b.n AS a0 FROM (SELECT sum(income) AS n FROM people) a, (SELECT sum(income) AS n FROM people WHERE born <> 1899) b',
    ],
    harmless: [
      "SELECT p.town AS k0, sum(v.cost) AS a0, sum(v.cost) FILTER (WHERE p.plan IN ('basic', 'plus')) AS a1 FROM visits v JOIN people p ON v.person = p.person GROUP BY k0",
      "SELECT a.k0, a.n AS a0, b.n AS a1 FROM (SELECT sex AS k0, sum(income) AS n FROM people GROUP BY sex) a LEFT JOIN (SELECT sex AS k0, sum(income) AS n FROM people WHERE town <> 'Ulm' GROUP BY sex) b ON a.k0 = b.k0",
      'SELECT c.region AS k0, count(*) AS a0 FROM visits v JOIN clinics c ON v.clinic = c.clinic GROUP BY k0 UNION ALL SELECT clinic, count(*) FROM visits GROUP BY clinic',
      "SELECT count(*) AS a0, (SELECT count(*) FROM visits v JOIN people p ON v.person = p.person WHERE p.town IN ('Bonn', 'Kiel')) AS a1 FROM visits",
      "SELECT sum(CASE WHEN t.river = 'Rhine' THEN p.income END) AS a0, sum(CASE WHEN t.river = 'sea' THEN p.income END) AS a1, sum(p.income) AS a2 FROM people p LEFT JOIN towns t ON p.town = t.town",
      'SELECT p.sex AS k0, count(*) AS a0, count(t.river) AS a1 FROM people p LEFT JOIN towns t ON p.town = t.town GROUP BY k0',
    ],
  },
  'what belongs to a person, added up over visits': {
    nothing: [
      "SELECT date_trunc('day', v.seen) AS k0, sum(p.income) AS a0 FROM visits v JOIN people p ON v.person = p.person WHERE v.tag IS NOT NULL GROUP BY k0",
      "SELECT sum(p.income) FILTER (WHERE v.seen < TIMESTAMP '2024-01-15 00:00:00') AS a0, sum(p.income) FILTER (WHERE v.seen = TIMESTAMP '2024-01-31 00:00:00') AS a1 FROM visits v JOIN people p ON v.person = p.person",
    ],
    harmless: [
      'SELECT v.seen AS k0, sum(p.income) AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY k0',
      'SELECT v.seen AS k0, avg(p.income) AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY k0',
      "SELECT v.seen AS k0, sum(p.income) FILTER (WHERE v.clinic = 'north') AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY k0",
      'SELECT v.seen AS k0, v.clinic AS k1, sum(p.income) AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY ROLLUP (k0, k1)',
      'SELECT v.seen AS k0, sum(p.income * 2 + 1) AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY k0',
      'SELECT v.seen AS k0, variance(p.income) AS a0, count(p.income) AS a1 FROM visits v JOIN people p ON v.person = p.person GROUP BY k0',
      'SELECT k0, a0 - lag(a0) OVER (ORDER BY k0) AS a0 FROM (SELECT v.seen AS k0, sum(p.income) AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY v.seen)',
      "SELECT 'a' AS k0, sum(p.income) AS a0 FROM visits v JOIN people p ON v.person = p.person WHERE v.seen < TIMESTAMP '2024-01-15 00:00:00' UNION ALL SELECT 'b', sum(income) FROM people WHERE town <> 'Ulm'",
      "SELECT v.seen AS k0, sum(CASE WHEN v.clinic = 'north' THEN p.income ELSE 0 END) AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY k0",
      'SELECT v.seen AS k0, sum(coalesce(p.income, 0)) AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY k0',
    ],
  },
  'branches of CASE in several places': {
    nothing: [
      "SELECT 'a' AS k0, sum(CASE WHEN disease = 'flu' THEN cost WHEN clinic = 'north' THEN 2 * cost WHEN clinic = 'south' THEN 3 * cost END) AS a0 FROM visits UNION ALL SELECT 'b', sum(CASE WHEN disease IN ('flu', 'rare') THEN cost WHEN clinic = 'north' THEN 2 * cost WHEN clinic = 'south' THEN 3 * cost END) FROM visits",
      "WITH a AS (SELECT sum(CASE WHEN disease = 'flu' THEN cost WHEN clinic = 'north' THEN cost END) AS n FROM visits), b AS (SELECT sum(cost) AS n FROM visits WHERE disease = 'flu' OR clinic IN ('north', 'annex')) SELECT b.n - a.n AS a0 FROM a, b",
      "WITH a AS (SELECT avg(CASE WHEN disease = 'flu' THEN cost WHEN clinic = 'north' THEN cost END) AS n FROM visits), b AS (SELECT avg(cost) AS n FROM visits WHERE disease = 'flu' OR clinic IN ('north', 'annex')) SELECT b.n - a.n AS a0 FROM a, b",
    ],
    harmless: [
      "SELECT 'a' AS k0, sum(CASE WHEN disease = 'flu' THEN cost WHEN disease = 'cold' AND clinic = 'north' THEN cost END) AS a0 FROM visits UNION ALL SELECT 'b', sum(cost) FROM visits WHERE disease = 'flu' OR disease = 'cold' AND clinic IN ('north', 'annex')",
      "SELECT 'a' AS k0, sum(CASE WHEN disease = 'flu' THEN cost WHEN disease = 'cold' AND clinic = 'north' THEN cost ELSE 0 END) AS a0 FROM visits UNION ALL SELECT 'b', sum(CASE WHEN disease = 'flu' THEN cost WHEN disease = 'cold' AND clinic IN ('north', 'annex') THEN cost ELSE 0 END) FROM visits",
      "SELECT (SELECT count(CASE WHEN disease = 'flu' THEN 1 WHEN disease = 'cold' AND clinic = 'north' THEN 1 END) FROM visits) AS a0, (SELECT count(*) FROM visits WHERE disease = 'flu' OR disease = 'cold' AND clinic <> 'south') AS a1",
      "SELECT (SELECT count(DISTINCT CASE WHEN clinic = 'south' AND tag = 't0' THEN person WHEN clinic = 'north' THEN person END) FROM visits) AS a0, (SELECT count(DISTINCT person) FROM visits WHERE clinic = 'south' AND tag = 't0' OR clinic IN ('north', 'annex')) AS a1",
      "SELECT 'a' AS k0, sum(CASE WHEN tag = 't0' OR disease = 'rare' THEN cost WHEN clinic = 'north' THEN 2 * cost END) AS a0 FROM visits UNION ALL SELECT 'b', sum(CASE WHEN tag = 't0' THEN cost WHEN clinic = 'north' THEN 2 * cost END) FROM visits",
      "SELECT tag AS k0, sum(CASE WHEN disease = 'flu' THEN cost WHEN clinic = 'north' THEN cost END) AS a0 FROM visits GROUP BY k0 UNION ALL SELECT tag, sum(cost) FROM visits WHERE disease = 'flu' OR clinic <> 'south' GROUP BY tag",
      "SELECT sex AS k0, sum(CASE WHEN town = 'Bonn' THEN income WHEN plan = 'plus' THEN income END) AS a0 FROM people GROUP BY k0 UNION ALL SELECT sex, sum(income) FROM people WHERE town = 'Bonn' OR plan IN ('plus', 'gold') GROUP BY sex",
    ],
  },
};

describe('differences within one answer', () => promiseHarmless(CLASSES));

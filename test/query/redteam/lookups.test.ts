import { describe } from 'node:test';
import { type Attacks, promiseHarmless } from './class-checks.ts';

const visitsOf = (value: string, where = 'TRUE'): string =>
  `(SELECT ${value} FROM visits v WHERE v.person = p.person AND ${where})`;
const beside = (on = 'TRUE'): string => `people p LEFT JOIN visits v ON v.person = p.person AND ${on}`;

/** Person 7 alone has the rare disease, the flag, the year 1899; annex has three; nothing of them may be told. */
const CLASSES: Readonly<Record<string, Attacks>> = {
  'values that are looked up': {
    denied: [
      `SELECT p.person, ${visitsOf('count(*)')} AS n FROM people p`,
      `SELECT count(*) AS a0 FROM people p WHERE ${visitsOf('sum(v.cost)')} > 100000`,
      `SELECT ${visitsOf('max(v.cost)')} AS k0, count(*) AS a0 FROM people p GROUP BY k0`,
      `SELECT avg(${visitsOf('max(v.cost)')}) AS a0 FROM people p`,
      `SELECT sum(${visitsOf('count(*) FILTER (WHERE v.flag)')}) AS a0 FROM people p`,
      'SELECT count(*) AS a0 FROM people p WHERE (SELECT count(*) FROM visits v WHERE v.clinic = p.town) > 3',
      'SELECT (SELECT p.income FROM people p WHERE p.person = v.person) AS k0, count(*) AS a0 FROM visits v GROUP BY k0',
      'SELECT t.town, (SELECT max(p.born) FROM people p WHERE p.town = t.town) AS k0 FROM towns t',
    ],
    nothing: [
      `SELECT count(*) AS a0 FROM people p WHERE ${visitsOf('max(v.note)')} = 'not a number'`,
      `SELECT count(*) AS a0 FROM people p WHERE ${visitsOf('count(*)', 'v.flag')} > 0`,
      `SELECT count(*) AS a0 FROM people p WHERE ${visitsOf('count(*)', 'v.flag')} = 0`,
      `SELECT sum(p.income) AS a0 FROM people p WHERE ${visitsOf('count(*)', "v.clinic = 'annex'")} = 0`,
      `SELECT count(*) AS a0 FROM visits v WHERE (SELECT p.plan FROM people p WHERE p.person = v.person) <> 'gold'`,
    ],
    harmless: [
      `SELECT ${visitsOf('count(*)', 'v.flag')} AS k0, count(*) AS a0, sum(p.income) AS a1 FROM people p GROUP BY k0`,
      `SELECT avg(${visitsOf('count(*)', "v.disease = 'flu'")}) AS a0, avg(${visitsOf('count(*)', "v.disease IN ('flu', 'rare')")}) AS a1 FROM people p`,
      `SELECT sum(${visitsOf('sum(v.cost)')}) AS a0, sum(${visitsOf('sum(v.cost)', "v.clinic <> 'annex'")}) AS a1 FROM people p`,
      `SELECT sex AS k0, count(*) FILTER (WHERE ${visitsOf('count(*)', 'v.flag')} = 0) AS a0, count(*) AS a1 FROM people p GROUP BY sex`,
      'SELECT t.town AS k0, (SELECT sum(income) FROM people p WHERE p.town = t.town) AS a0 FROM towns t',
      'SELECT c.clinic AS k0, (SELECT count(*) FROM visits v WHERE v.clinic = c.clinic) AS a0 FROM clinics c',
      'SELECT c.region AS k0, (SELECT sum(v.cost) FROM visits v WHERE v.clinic = c.clinic) AS a0, (SELECT count(*) FROM visits v WHERE v.clinic = c.clinic AND NOT v.flag) AS a1 FROM clinics c',
    ],
  },
  'private rows beside everybody': {
    denied: [
      `SELECT v.cost AS k0, count(*) AS a0 FROM ${beside()} GROUP BY k0`,
      `SELECT p.person, count(v.person) FROM ${beside()} GROUP BY p.person`,
      `SELECT count(*) AS a0 FROM people p LEFT JOIN visits v ON v.clinic = p.town`,
      `SELECT n AS k0, count(*) AS a0 FROM (SELECT p.person, sum(v.cost) AS n FROM ${beside()} GROUP BY p.person) GROUP BY n`,
      `SELECT count(*) AS a0 FROM (SELECT p.person, max(v.cost) AS n FROM ${beside()} GROUP BY 1) WHERE n = 1000000`,
    ],
    nothing: [
      `SELECT count(*) AS a0 FROM ${beside('v.flag')} WHERE v.person IS NULL`,
      `SELECT sum(p.income) AS a0 FROM ${beside("v.clinic = 'annex'")} WHERE v.person IS NULL`,
      `SELECT count(v.person) AS a0 FROM ${beside('v.flag')}`,
      `SELECT sum(v.cost) AS a0 FROM ${beside('v.flag')}`,
      `SELECT count(*) AS a0 FROM ${beside("v.disease <> 'rare'")}`,
      `SELECT count(*) AS a0 FROM ${beside('v.flag')}`,
    ],
    harmless: [
      'SELECT count(*) AS a0 FROM people p LEFT JOIN visits v USING (person)',
      `SELECT p.sex AS k0, count(DISTINCT v.person) AS a0, count(DISTINCT p.person) AS a1 FROM ${beside('v.flag')} GROUP BY p.sex`,
      `SELECT p.sex AS k0, count(DISTINCT v.person) AS a0, count(DISTINCT p.person) AS a1 FROM ${beside("v.clinic = 'annex'")} GROUP BY p.sex`,
      `SELECT p.town AS k0, count(v.person) AS a0, count(*) AS a1, sum(v.cost) AS a2 FROM ${beside("v.disease <> 'rare'")} GROUP BY p.town`,
      `SELECT n AS k0, count(*) AS a0 FROM (SELECT p.person, count(v.person) AS n FROM ${beside("v.disease <> 'rare'")} GROUP BY p.person) GROUP BY n`,
      `SELECT count(total) AS a0, sum(total) AS a1, count(*) AS a2 FROM (SELECT p.person, sum(v.cost) AS total FROM ${beside('NOT v.flag')} GROUP BY 1)`,
      `SELECT count(v.person) AS a0 FROM ${beside()} UNION ALL SELECT count(v.person) FROM ${beside("v.disease <> 'rare'")}`,
    ],
  },
  'labels that a key decides': {
    denied: [
      'SELECT any_value(town) AS k0, count(*) AS a0 FROM people GROUP BY sex',
      'SELECT sex AS k0, first(income) AS a0 FROM people GROUP BY sex',
      'SELECT c.region AS k0, any_value(c.clinic) AS k1, count(*) AS a0 FROM visits JOIN clinics c USING (clinic) GROUP BY c.region',
      // A clinic stands twice in the list, so its number of beds is not decided.
      'SELECT clinic AS k0, any_value(c.beds) AS k1, count(*) AS a0 FROM visits JOIN clinics c USING (clinic) GROUP BY clinic',
      'SELECT v.seen AS k0, any_value(p.income) AS a0 FROM visits v JOIN people p USING (person) GROUP BY v.seen',
    ],
    harmless: [
      'SELECT p.town AS k0, any_value(t.river) AS k1, count(*) AS a0 FROM people p LEFT JOIN towns t ON t.town = p.town GROUP BY p.town',
      'SELECT k0, count(*) AS a0 FROM (SELECT v.person, any_value(p.plan) AS k0, count(*) AS n FROM visits v JOIN people p USING (person) GROUP BY v.person) GROUP BY k0',
    ],
  },
  'aggregates of public tables beside private rows': {
    denied: [
      "WITH r AS (SELECT town, 'basic' AS plan FROM towns GROUP BY town) SELECT count(*) AS a0 FROM people p JOIN r ON p.plan = r.plan",
      'WITH r AS (SELECT c.clinic, c.beds FROM clinics c ORDER BY 1) SELECT count(*) AS a0 FROM visits JOIN r USING (clinic)',
      'WITH r AS (SELECT clinic, max(beds) * 1000 AS w FROM clinics GROUP BY clinic) SELECT sum(v.cost * r.w) AS a0 FROM visits v JOIN r USING (clinic)',
    ],
    nothing: [
      'WITH r AS (SELECT clinic, max(beds) AS beds FROM clinics GROUP BY clinic HAVING max(beds) > 2) SELECT count(*) AS a0 FROM visits JOIN r USING (clinic)',
      'WITH r AS (SELECT town, max(river) AS river FROM towns GROUP BY town) SELECT count(*) AS a0 FROM people JOIN r USING (town)',
    ],
    harmless: [
      'WITH r AS (SELECT clinic, max(beds) AS beds FROM clinics GROUP BY clinic) SELECT r.beds AS k0, sum(v.cost) AS a0, count(*) AS a1 FROM visits v LEFT JOIN r ON r.clinic = v.clinic GROUP BY k0',
      'WITH r AS (SELECT clinic, max(beds) AS beds FROM clinics GROUP BY clinic) SELECT count(*) FILTER (WHERE r.beds > 2) AS a0, count(*) AS a1, sum(v.cost) FILTER (WHERE r.beds > 2) AS a2 FROM visits v LEFT JOIN r ON r.clinic = v.clinic',
    ],
  },
  'cells that rest on rows of one of two tables': {
    harmless: [
      // Costs of those who have such visits, beside figures of all people.
      "WITH f AS (SELECT p.sex AS k0, sum(v.cost) AS a0, count(*) AS a1 FROM visits v JOIN people p USING (person) WHERE v.clinic <> 'annex' GROUP BY 1), h AS (SELECT sex AS k0, sum(income) AS a2, count(*) AS a3 FROM people GROUP BY 1) SELECT k0, a0, a1, a2, a3 FROM f JOIN h USING (k0)",
      "SELECT sum(v.cost) AS a0 FROM visits v JOIN people p USING (person) UNION ALL SELECT sum(v.cost) FROM visits v JOIN people p USING (person) WHERE v.disease <> 'rare' OR p.sex = 'f'",
      "SELECT count(*) AS a0 FROM visits v JOIN people p USING (person) WHERE p.born > 1900 OR v.seen > TIMESTAMP '2024-02-01' UNION ALL SELECT count(*) FROM visits",
      "SELECT count(DISTINCT p.person) AS a0 FROM visits v JOIN people p USING (person) WHERE v.clinic <> 'annex' UNION ALL SELECT count(*) FROM people",
      "SELECT sum(p.income) AS a0 FROM visits v JOIN people p USING (person) WHERE v.disease <> 'rare' UNION ALL SELECT sum(p.income) FROM visits v JOIN people p USING (person)",
    ],
  },
  'quantiles of values per unit': {
    denied: [
      'SELECT median(n) AS a0 FROM (SELECT person, max(cost) AS n FROM visits GROUP BY person)',
      'SELECT median(n) AS a0 FROM (SELECT person, sum(dose) AS n FROM visits GROUP BY person)',
      'SELECT median(n) AS a0 FROM (SELECT person, count(*) FILTER (WHERE flag) AS n FROM visits GROUP BY person)',
      'SELECT median(income + born) AS a0 FROM people',
      'SELECT max(n) AS a0 FROM (SELECT person, count(*) AS n FROM visits GROUP BY person)',
    ],
    harmless: [
      'SELECT median(n) AS a0, quantile_cont(n, 1) AS a1 FROM (SELECT person, count(*) AS n FROM visits GROUP BY person)',
      'SELECT corr(n, c) AS a0 FROM (SELECT person, count(*) AS n, sum(cost) AS c FROM visits GROUP BY person)',
    ],
  },
};

describe('lookups, left joins and labels under attack', () => {
  promiseHarmless(CLASSES);
});

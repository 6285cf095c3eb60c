import type { Person } from './oracle.ts';
import type { World } from './world.ts';

/**
 * Forty people with five visits each, and one who stands out in every way that a column can show: person 7 alone has the
 * rare disease, the odd town, the plan `gold`, the year 1899, a cost of a million, NaN, a missing note, a flag. A clinic
 * `annex` has three people, and twelve people are children. The public list of towns lacks the odd one, and one of the
 * clinics stands twice in the list of clinics. Minimum 5.
 */
export const PRACTICE: World = {
  name: 'practice',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: practice, grade: important }
tables:
  people:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
      sex:    { rights: [group, filter, order] }
      born:   { rights: [group, filter, compare] }
      town:   { rights: [group, filter, join] }
      plan:   { rights: [group, filter] }
      income: { rights: [aggregate], functions: [sum, avg, count, variance, stddev, quantile, correlation, regressionSlope], bounds: [0, 2000000] }
  visits:
    privacyUnit: { columns: [person], via: person -> people.person }
    columns:
      visit:     { rights: [join, countDistinct] }
      person:    { rights: [join, countDistinct] }
      clinic:    { rights: [group, filter, join, order] }
      disease:   { rights: [group, filter] }
      seen:      { rights: [group, filter, compare] }
      left_at:   { rights: [group, filter, compare] }
      note:      { rights: [filter] }
      flag:      { rights: [group, filter] }
      tag:       { rights: [group, filter] }
      cost:      { rights: [aggregate], functions: [sum, avg, count, variance, stddev, quantile, correlation, regressionSlope], bounds: [0, 1000000] }
      dose:      { rights: [aggregate], functions: [sum, avg, count, stddev] }
      big:       { rights: [aggregate], functions: [sum, avg] }
  clinics:
    public: true
    columns:
      clinic: { rights: [join, group, filter] }
      region: { rights: [group, filter] }
      beds:   { rights: [group, filter] }
  towns:
    public: true
    columns:
      town:  { rights: [join, group] }
      river: { rights: [group, filter] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 1000 } }
`,
  tables: {
    people: `SELECT i::INTEGER AS person, CASE WHEN i % 2 = 0 THEN 'f' ELSE 'm' END AS sex,
      CASE WHEN i = 7 THEN 1899 WHEN i % 40 >= 28 THEN 2015 ELSE 1960 + i % 3 * 10 END::INTEGER AS born,
      CASE WHEN i = 7 THEN 'Ulm' WHEN i % 4 < 2 THEN 'Bonn' ELSE 'Kiel' END AS town,
      CASE WHEN i = 7 THEN 'gold' WHEN i = 9 THEN NULL WHEN i % 2 = 0 THEN 'basic' ELSE 'plus' END AS plan,
      CASE WHEN i = 7 THEN 1999999 WHEN i = 11 THEN NULL ELSE 20000 + i * 7919 % 30011 END::INTEGER AS income FROM range(40) r(i)`,
    visits: `SELECT (1000 + i)::BIGINT AS visit, (i % 40)::INTEGER AS person,
      CASE WHEN i % 40 IN (1, 2, 3) THEN 'annex' WHEN i % 40 < 20 THEN 'north' ELSE 'south' END AS clinic,
      CASE WHEN i % 40 = 7 THEN 'rare' WHEN i % 3 = 0 THEN 'flu' ELSE 'cold' END AS disease,
      TIMESTAMP '2024-01-01 00:00:00' + to_days((i // 40 * 30)::INTEGER) + to_seconds(CASE WHEN i = 47 THEN 12345 ELSE 0 END) AS seen,
      TIMESTAMP '2024-01-02 00:00:00' + to_days((i // 40 * 30 + i % 40 % 3)::INTEGER) - to_days(CASE WHEN i = 87 THEN 9 ELSE 0 END) AS left_at,
      CASE WHEN i % 40 = 7 THEN 'not a number' ELSE CAST(i % 5 AS VARCHAR) END AS note,
      i % 40 = 7 AS flag, CASE WHEN i = 127 THEN NULL WHEN i % 40 = 7 THEN '' ELSE 't' || (i % 2) END AS tag,
      CASE WHEN i = 7 THEN 1000000 WHEN i = 13 THEN NULL ELSE 50 + i * 31 % 97 END::INTEGER AS cost,
      CASE WHEN i = 47 THEN 'nan'::DOUBLE WHEN i = 48 THEN 'inf'::DOUBLE WHEN i = 49 THEN -0.0::DOUBLE ELSE (i % 13) * 0.125 END AS dose,
      (CASE WHEN i = 87 THEN 99999999999999999999999999999999999999 ELSE i END)::HUGEINT AS big FROM range(200) r(i)`,
    clinics: `SELECT * FROM (VALUES ('north', 'n', 10), ('south', 's', 20), ('south', 's', 20), ('annex', 'n', 2), ('west', 'w', 5)) t(clinic, region, beds)`,
    towns: `SELECT * FROM (VALUES ('Bonn', 'Rhine'), ('Kiel', 'sea')) t(town, river)`,
  },
};

export const MIN_UNITS = 5;

export function person(i: number): Person {
  return { key: `p${i}`, rows: { people: `person = ${i}`, visits: `person = ${i}` } };
}

/** The one who stands out, the few of the annex, and enough of each other kind for large groups to look large. */
export const SOME: readonly Person[] = [
  7, 1, 2, 3, 9, 11, 13, 0, 4, 5, 6, 8, 10, 12, 15, 17, 20, 21, 22, 23, 24, 28, 29, 30, 31, 33,
].map(person);

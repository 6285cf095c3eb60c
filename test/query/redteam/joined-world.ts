/** A random practice whose people have visits or none, and one total in the many ways in which joins and sub-queries spell it. */
import type { Choice } from './grammar.ts';
import type { Person } from './oracle.ts';
import type { World } from './world.ts';

const PEOPLE = 24;
export const EVERYBODY: readonly Person[] = Array.from({ length: PEOPLE }, (_, i) => ({
  key: `p${i}`,
  rows: { people: `person = ${i}`, visits: `person = ${i}` },
}));

/** `strays`: rows of nobody, visits of people who are not there, and one clinic that no list names. Minimum 3. */
export function randomPractice(choice: Choice, strays: boolean): World {
  const text = (value: string | null): string => (value === null ? 'NULL' : `'${value}'`);
  const few = <T>(share: number, rare: T, others: readonly T[]): T => (choice.chance(share) ? rare : choice.of(others));
  const visit = (person: string): string =>
    `(${[
      person,
      text(few(0.1, strays && choice.chance(0.5) ? 'Z' : null, ['A', 'B', 'C', 'D', 'E'])),
      choice.below(4),
      text(few(0.08, 'rare', ['flu', 'cold'])),
      few(0.1, 'NULL', [String(1000 + choice.below(90_000))]),
      choice.chance(0.2),
    ].join(', ')})`;
  const person = (name: string): string =>
    `(${[
      name,
      text(choice.of(['f', 'm'])),
      20 + choice.below(3) * 10,
      few(0.1, 'NULL', [String(100_000 + choice.below(900_000))]),
    ].join(', ')})`;
  const everybody = Array.from({ length: PEOPLE }, (_, i) => String(i));
  const people = [...everybody, ...(strays ? ['NULL', 'NULL'] : [])].map(person);
  const visitors = everybody.flatMap((one) => Array.from({ length: choice.below(5) }, () => one));
  const visits = [...visitors, ...(strays ? ['NULL', 'NULL', '901', '902'] : [])].map(visit);
  const values = (rows: readonly string[], columns: string): string => `(VALUES ${rows.join(', ')}) t(${columns})`;
  return {
    name: 'joined',
    consumer: 'acme',
    policy: POLICY,
    tables: {
      people: `SELECT person::INTEGER AS person, sex, age::INTEGER AS age, income::INTEGER AS income FROM ${values(people, 'person, sex, age, income')}`,
      visits: `SELECT person::INTEGER AS person, clinic, day::INTEGER AS day, kind, cost::INTEGER AS cost, flag FROM ${values(visits, 'person, clinic, day, kind, cost, flag')}`,
      clinics: `SELECT * FROM (VALUES ('A', 'n', 10), ('B', 's', 20), ('C', 's', 20), ('D', NULL, 2), ('W', 'w', 5), (NULL, 'n', 7)) t(clinic, region, beds)`,
      staff: `SELECT * FROM (VALUES ('A', 5), ('A', 2), ('B', 7), ('C', 1), ('E', NULL), (NULL, 9)) t(clinic, heads)`,
    },
  };
}

const POLICY = `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: joined, grade: important }
tables:
  people:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
      sex:    { rights: [group, filter] }
      age:    { rights: [group, filter] }
      income: { rights: [aggregate], functions: [sum, avg, count], bounds: [0, 2000000] }
  visits:
    privacyUnit: { columns: [person], via: person -> people.person }
    columns:
      person: { rights: [join, countDistinct] }
      clinic: { rights: [group, filter, join] }
      day:    { rights: [group, filter] }
      kind:   { rights: [group, filter] }
      cost:   { rights: [aggregate, filter], functions: [sum, avg, count], bounds: [0, 100000] }
      flag:   { rights: [group, filter] }
  clinics:
    public: true
    columns: { clinic: { rights: [join, group] }, region: { rights: [group, filter] }, beds: { rights: [group, filter] } }
  staff:
    public: true
    columns: { clinic: { rights: [join, group] }, heads: { rights: [group, filter] } }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 1000 } }
`;

/** Each leaves out nobody, a few, or many. */
const CONDITIONS: readonly string[] = [
  'TRUE',
  "v.kind <> 'rare'",
  "v.clinic <> 'D'",
  'v.clinic IS NOT NULL',
  "(v.kind <> 'rare' OR v.day > 0)",
  'v.cost > 5000',
  "v.kind = 'flu'",
  'NOT v.flag',
];
const LISTED = '(SELECT clinic, max(heads) AS x FROM staff GROUP BY clinic)';
const LABELLED = "(SELECT clinic, CASE WHEN clinic IN ('A', 'B', 'C') THEN 'large' ELSE 'small' END AS x FROM clinics)";
const JOINED = 'visits v JOIN people p ON v.person = p.person';

/** A total, or a number of people, by `key` or of all; rows are called k0, the number a0. */
export function spelling(choice: Choice, key: string | null): string {
  const where = choice.of(CONDITIONS);
  const of = (cell: string, from: string): string =>
    `SELECT ${key === null ? '' : `p.${key} AS k0, `}${cell} AS a0 FROM ${from}${key === null ? '' : ` GROUP BY p.${key}`}`;
  const each = (value: string): string =>
    `(SELECT person, ${value} AS x FROM visits v WHERE ${where} GROUP BY person) d ON d.person = p.person`;
  const look = (value: string): string => `(SELECT ${value} FROM visits v WHERE v.person = p.person AND ${where})`;
  const left = `people p LEFT JOIN visits v ON v.person = p.person AND ${where}`;
  const kinds = "CASE WHEN count(*) > 1 THEN 'many' ELSE 'few' END";
  const some = choice.of(['> 0', '= 0', '> 1', '< 3']);
  const named = choice.of(["= 'many'", "= 'few'", 'IS NULL', 'IS NOT NULL']);
  return choice.of([
    of('sum(v.cost)', `${JOINED} WHERE ${where}`),
    of('sum(v.cost)', left),
    of('count(DISTINCT v.person)', left),
    of('sum(p.income)', `${left} WHERE v.person IS NULL`),
    of(`sum(${look('sum(v.cost)')})`, 'people p'),
    of(`count(*) FILTER (WHERE ${look('count(*)')} ${some})`, 'people p'),
    of(`sum(p.income) FILTER (WHERE ${look('count(*)')} ${some})`, 'people p'),
    of(
      'sum(v.cost)',
      `${JOINED} WHERE ${look('count(*)').replaceAll('v.', 'w.').replace('visits v', 'visits w')} ${some}`,
    ),
    of('sum(d.x)', `people p ${choice.of(['LEFT JOIN', 'JOIN'])} ${each('sum(cost)')}`),
    of('sum(coalesce(d.x, 0))', `people p LEFT JOIN ${each('coalesce(sum(v.cost), 0)')}`),
    of(
      'sum(d.x)',
      `people p LEFT JOIN (SELECT person, sum(y) AS x FROM (SELECT person, clinic, sum(cost) AS y FROM visits v WHERE ${where} GROUP BY person, clinic) GROUP BY person) d ON d.person = p.person`,
    ),
    of(`count(*) FILTER (WHERE d.x ${named})`, `people p LEFT JOIN ${each(kinds)}`),
    of(`sum(p.income) FILTER (WHERE d.x ${named})`, `people p LEFT JOIN ${each(kinds)}`),
    of('count(d.x)', `people p LEFT JOIN ${each(choice.of(["'seen'", 'count(*)', 'max(day)']))}`),
    of(
      'sum(v.cost)',
      `${JOINED} ${choice.of(['JOIN', 'LEFT JOIN'])} ${LISTED} d ON d.clinic = v.clinic WHERE ${choice.of([where, 'd.x > 1', 'd.x IS NOT NULL', 'd.x IS NULL OR d.x > 1'])}`,
    ),
    of(
      `sum(v.cost) FILTER (WHERE d.x ${choice.of(["= 'large'", "= 'small'", 'IS NULL'])})`,
      `${JOINED} LEFT JOIN ${LABELLED} d ON d.clinic = v.clinic WHERE ${where}`,
    ),
    of(
      'sum(v.cost)',
      `${JOINED} WHERE (SELECT c.region FROM clinics c WHERE c.clinic = v.clinic) ${choice.of(["= 'n'", 'IS NULL', "<> 's'"])}`,
    ),
    of(`sum(CASE WHEN ${where} THEN v.cost END)`, JOINED),
    of('sum(greatest(v.cost, 0))', `${JOINED} WHERE ${where}`),
    of(
      'sum(p.income)',
      `people p WHERE ${choice.of(['', 'NOT '])}EXISTS (SELECT 1 FROM visits v WHERE v.person = p.person AND ${where})`,
    ),
    of('sum(p.income)', 'people p'),
    of('count(*)', 'people p'),
  ]);
}

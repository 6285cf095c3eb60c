/** Questions to a random world: joins, values per unit, cohorts, windows and measures in any combination. */
import { pick, type Random } from './random-world.ts';

interface Source {
  readonly from: string;
  readonly measures: readonly string[];
  readonly keys: readonly string[];
  readonly conditions: readonly string[];
  /** Columns that are the privacy unit. */
  readonly units?: readonly string[];
}

const visits = (at: string): Omit<Source, 'from'> => ({
  units: [`${at}.patient`],
  measures: ['cost', 'stay', 'big', 'share', 'tiny', 'paid'].map((name) => `${at}.${name}`),
  keys: ['ward', 'stay', 'day', 'code', 'share', 'paid'].map((name) => `${at}.${name}`),
  conditions: [
    `${at}.stay > 3`,
    `${at}.ward = 'north'`,
    `${at}.share IS NOT NULL`,
    `${at}.stay % 2 = 0`,
    `${at}.patient IN (SELECT id FROM patients WHERE age > 5)`,
    `${at}.patient NOT IN (SELECT patient FROM stays WHERE days > 3)`,
    `${at}.patient IN (SELECT patient FROM visits GROUP BY patient HAVING count(*) >= 2)`,
    `${at}.patient IN (SELECT id FROM labs)`,
  ],
});
const patients: Omit<Source, 'from'> = {
  units: ['p.id'],
  measures: ['p.age', 'p.score', 'p.weight'],
  keys: ['p.town', 'p.age', 'p.born', 'p.score'],
  conditions: ['p.age > 5', "p.town = 'A'", "p.id IN (SELECT patient FROM visits WHERE ward = 'north')"],
};
const stays: Omit<Source, 'from'> = { measures: ['s.days'], keys: ['s.ward'], conditions: ['s.days > 3'] };
const items: Omit<Source, 'from'> = {
  measures: ['i.price', 'i.quantity'],
  keys: ['i.kind'],
  conditions: ["i.kind = 'drug'", 'i.quantity > 1'],
};
const values: Omit<Source, 'from'> = { measures: ['n', 'n * 2'], keys: ['n'], conditions: ['n > 1', 'n IS NULL'] };
const named: Omit<Source, 'from'> = { measures: ['c.label'], keys: ['c.name'], conditions: ["c.name <> 'a'"] };

function of(from: string, ...parts: readonly Omit<Source, 'from'>[]): Source {
  return {
    from,
    measures: parts.flatMap(({ measures }) => measures),
    keys: parts.flatMap(({ keys }) => keys),
    conditions: parts.flatMap(({ conditions }) => conditions),
    units: parts.flatMap(({ units }) => units ?? []),
  };
}

const VALUES: readonly string[] = [
  'count(*)',
  'count(DISTINCT ward)',
  'sum(stay)',
  'avg(stay)',
  'sum(big)',
  'avg(share)',
  'min(stay)',
  'max(stay)',
  "count(*) FILTER (WHERE ward = 'north')",
  'sum(CASE WHEN stay > 3 THEN stay ELSE 1 END)',
  'arg_max(stay, day)',
  'CASE WHEN count(*) > 1 THEN 3 ELSE 1 END',
  'coalesce(sum(stay), 7)',
  '5',
];

function sources(random: Random): readonly Source[] {
  const value = pick(random, VALUES);
  const where = pick(random, ['', ' WHERE stay BETWEEN 0 AND 40']);
  const lookedUp = ['count(*)', value].map(
    (one) => `(SELECT ${one} FROM visits w WHERE w.patient = p.id${pick(random, ['', ' AND w.stay > 3'])})`,
  );
  const each = `(SELECT patient, ${value} AS n FROM visits${where} GROUP BY patient)`;
  return [
    of('visits v', visits('v')),
    of('patients p', patients),
    of('items i', items),
    of('labs l', { measures: ['l.value'], keys: ['l.kind'], conditions: ["l.kind = 'x'"] }),
    of('visits v JOIN patients p ON v.patient = p.id', visits('v'), patients),
    of('visits v JOIN stays s ON v.patient = s.patient', visits('v'), stays),
    of('items i JOIN stays s ON i.stay = s.number JOIN visits v ON v.patient = s.patient', items, stays, visits('v')),
    of('labs l JOIN patients p ON l.id = p.id', patients),
    of('labs l JOIN visits v ON l.id = v.patient', visits('v')),
    of('visits v LEFT JOIN wards w ON v.ward = w.ward', visits('v'), {
      measures: ['w.floor'],
      keys: ['w.floor'],
      conditions: ['w.floor = 2'],
    }),
    of('visits v JOIN prices x ON v.ward = x.ward', visits('v'), {
      measures: ['x.price', 'v.stay * x.price'],
      keys: ['x.price'],
      conditions: ['x.price > 7'],
    }),
    of('visits v JOIN codes c ON v.patient = c.code', visits('v'), named),
    of('visits v JOIN codes c ON v.code = c.code', visits('v'), named),
    of('visits v LEFT JOIN codes c ON v.label = c.label', visits('v'), named),
    of('visits v ANTI JOIN patients p ON v.patient = p.id AND p.age > 30', visits('v')),
    of(
      '(SELECT patient, ward, stay, cost FROM visits QUALIFY row_number() OVER (PARTITION BY patient ORDER BY day) = 1) v JOIN stays s ON v.patient = s.patient',
      { measures: ['v.stay', 'v.cost'], keys: ['v.ward'], conditions: ['v.stay > 3'] },
      stays,
    ),
    of('(SELECT patient, stay, lag(stay) OVER (PARTITION BY patient ORDER BY day) n FROM visits) v', {
      measures: ['stay'],
      keys: ['n'],
      conditions: ['n > 1'],
    }),
    of(`${each} u`, values),
    of(`patients p LEFT JOIN ${each} u ON u.patient = p.id`, patients, values),
    of(`stays s LEFT JOIN ${each} u ON u.patient = s.patient`, stays, values),
    of(`${each} u JOIN stays s ON u.patient = s.patient`, stays, values),
    of(`(SELECT patient, ward, ${value} AS n FROM visits${where} GROUP BY patient, ward) u`, values),
    of(`patients p LEFT JOIN visits v ON v.patient = p.id${pick(random, ['', ' AND v.stay > 3'])}`, patients, {
      measures: ['v.stay', 'v.big', 'v.patient'],
      keys: ['p.town'],
      conditions: ['v.patient IS NULL', 'p.age > 5'],
      units: ['v.patient', 'p.id'],
    }),
    of('patients p', patients, {
      measures: lookedUp,
      keys: lookedUp,
      conditions: lookedUp.flatMap((one) => [`${one} > 1`, `${one} IS NULL`]),
    }),
    of(
      "visits v LEFT JOIN (SELECT ward, sum(floor) AS floors, CASE WHEN max(floor) > 1 THEN 'high' ELSE 'low' END AS label FROM wards GROUP BY ward) d ON d.ward = v.ward",
      visits('v'),
      { measures: ['v.stay'], keys: ['d.floors', 'd.label'], conditions: ['d.floors > 1', "d.label = 'low'"] },
    ),
  ];
}

export function randomQuestion(random: Random): string {
  const source = pick(random, sources(random));
  const one = (among: readonly string[]): string => pick(random, among);
  const condition = (): string => one(source.conditions);
  const measure = (): string => {
    const [a, b] = [one(source.measures), one(source.measures)];
    return one([
      a,
      a,
      a,
      `-${a}`,
      `${a} * -0.125`,
      `${a} / 4 - 3`,
      `${a} + ${b}`,
      `${a} * ${b}`,
      `(${a} + 0.1) * (${b} - 0.3)`,
      `coalesce(${a}, 1)`,
      `CASE WHEN ${condition()} THEN ${a} WHEN ${condition()} THEN ${b} END`,
    ]);
  };
  const filter = (): string => (random() < 0.2 ? ` FILTER (WHERE ${condition()})` : '');
  const aggregate = (): string =>
    one([
      `count(*)${filter()}`,
      `count(${measure()})`,
      `sum(${measure()})${filter()}`,
      `sum(${measure()})`,
      `avg(${measure()})`,
      `variance(${measure()})`,
      `count(DISTINCT ${one(source.keys)})${filter()}`,
      ...(source.units ?? []).map((unit) => `count(DISTINCT ${unit})${filter()}`),
      `median(${one(source.measures)})`,
      `corr(${measure()}, ${measure()})${filter()}`,
      `covar_pop(${measure()}, ${measure()})`,
    ]);
  const keys = Array.from({ length: Math.floor(random() * 2.5) }, () =>
    one([...source.keys, `CASE WHEN ${condition()} THEN 'yes' ELSE 'no' END`]),
  );
  const cells = Array.from({ length: 1 + Math.floor(random() * 3) }, aggregate);
  const where = random() < 0.4 ? ` WHERE ${condition()}` : '';
  const listed = keys.join(', ');
  const group = keys.length === 0 ? '' : ` GROUP BY ${one([listed, listed, `ROLLUP (${listed})`])}`;
  const columns = [...keys, ...cells].map((column, index) => `${column} AS c${index}`);
  return `SELECT ${columns.join(', ')} FROM ${source.from}${where}${group}`;
}

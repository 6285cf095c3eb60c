import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { AggregateRelease } from '../../../runtime/policy/model.ts';
import { compare, type Leak, type Person } from './oracle.ts';
import { OpenWorld, type Seen, type World } from './world.ts';
import { HOSPITAL } from './worlds.ts';

const patient = (i: number): Person => ({ key: `p${i}`, rows: { visits: `patient = ${i}`, patients: `pid = ${i}` } });
// At least three of each sex in each large ward, both of the small ward, and those who stand out.
const people = [0, 2, 8, 1, 5, 7, 10, 12, 14, 11, 13, 15, 22, 23].map(patient);

/** What a consumer holds after several questions, as if it were one answer. */
async function afterAll(
  world: OpenWorld,
  questions: readonly string[],
  terms: Partial<AggregateRelease>,
): Promise<Seen> {
  world.forget();
  const rows = [];
  for (const sql of questions) {
    const seen = await world.ask(sql, terms);
    assert.equal(seen.kind, 'answer', sql);
    if (seen.kind === 'answer') rows.push(...seen.rows);
  }
  return { kind: 'answer', names: [], types: [], rows, withheld: null };
}

/** Each is harmless alone; together they speak of one or two people. */
const ATTACKS: Readonly<Record<string, readonly string[]>> = {
  'total minus visible parts': ['SELECT count(*) FROM visits', 'SELECT ward, count(*) FROM visits GROUP BY ward'],
  'visible parts, then the total': [
    'SELECT ward, sum(score) FROM visits GROUP BY ward',
    'SELECT sum(score) FROM visits',
  ],
  'two groupings with other small groups': [
    'SELECT ward, sum(score) FROM visits GROUP BY ward',
    'SELECT sex, sum(score) FROM visits JOIN patients ON patient = pid GROUP BY sex',
  ],
  'sliding ranges': [
    "SELECT sum(score) FROM visits WHERE ward BETWEEN 'p' AND 't'",
    "SELECT sum(score) FROM visits WHERE ward BETWEEN 'q' AND 'u'",
  ],
  'a condition re-spelled, over rows counted in another way': [
    "SELECT count(*) FROM patients WHERE city = '北京'",
    "SELECT count(DISTINCT pid) FROM patients WHERE NOT (lower(city) = 'köln')",
  ],
  'people counted, not rows': [
    "SELECT count(DISTINCT patient) FROM visits WHERE ward = 'south'",
    "SELECT count(DISTINCT patient) FROM visits WHERE ward <> 'north'",
  ],
  'a join that repeats rows': [
    "SELECT sum(score) FROM visits WHERE ward = 'south'",
    "SELECT sum(score) / 2 FROM visits JOIN patients ON patient = pid JOIN wards ON visits.ward = wards.ward WHERE visits.ward = 'south' AND city = '北京'",
  ],
  'a margin of a finer grouping': [
    'SELECT sex, count(*) FROM visits JOIN patients ON patient = pid GROUP BY sex',
    'SELECT sex, ward, count(*) FROM visits JOIN patients ON patient = pid GROUP BY sex, ward',
  ],
  'per-unit values that add up again': [
    "SELECT count(*) FROM visits WHERE ward = 'south'",
    "SELECT sum(n) FROM (SELECT patient, count(*) AS n FROM visits WHERE ward <> 'north' GROUP BY patient)",
  ],
};

/** Seen together in one query; no guard is asked for. */
const IN_ONE: readonly string[] = [
  "SELECT ward, count(*) FROM visits GROUP BY ward UNION ALL SELECT 'all', count(*) FROM visits",
  "SELECT 'all' AS w, count(*) FROM visits UNION ALL SELECT ward, count(*) FROM visits GROUP BY ward",
  'SELECT ward, count(*), (SELECT count(*) FROM visits) AS total FROM visits GROUP BY ward',
  'SELECT (SELECT sum(score) FROM visits) - sum(n) FROM (SELECT ward, sum(score) AS n FROM visits GROUP BY ward)',
  'WITH a AS (SELECT ward, sum(score) AS s FROM visits GROUP BY ward), b AS (SELECT sum(score) AS s FROM visits) SELECT sum(a.s) - max(b.s) FROM a, b',
];

interface Trial {
  readonly name: string;
  readonly questions: readonly string[];
  readonly terms: Partial<AggregateRelease>;
}
const guarded = Object.entries(ATTACKS).map(([name, questions]): Trial => ({
  name,
  questions,
  terms: { differencingGuard: true },
}));
const open = Object.entries(ATTACKS).map(([name, questions]): Trial => ({ name, questions, terms: {} }));
const inOne = IN_ONE.map((sql): Trial => ({ name: sql, questions: [sql], terms: {} }));

/** Combinations of the answers of each trial that speak of fewer than three people. */
async function isolatedIn(
  world: OpenWorld,
  trials: readonly Trial[],
  flipped: Parameters<typeof compare>[4] = 'nobody',
): Promise<ReadonlyMap<Trial, readonly Leak[]>> {
  const ask = async (): Promise<Seen[]> => {
    const seen: Seen[] = [];
    for (const { questions, terms } of trials) seen.push(await afterAll(world, questions, terms));
    return seen;
  };
  const whole = await ask();
  const without: Seen[][] = [];
  for (const person of people) {
    await world.without(person.rows);
    without.push(await ask());
  }
  await world.reset();
  return new Map(
    trials.map((trial, t) => {
      const seen = whole[t];
      assert.ok(seen !== undefined);
      const others = without.map((one) => one[t] ?? seen);
      // Which cells are there may show that somebody is (none or enough); what they say must not be about few.
      return [trial, compare(seen, others, people, 3, flipped).filter(({ kind }) => kind === 'isolated')];
    }),
  );
}

describe('several questions that subtract', async () => {
  const world = await OpenWorld.open(HOSPITAL);
  after(() => world.close());
  let found: ReadonlyMap<Trial, readonly Leak[]> = new Map();
  before(async () => {
    found = await isolatedIn(world, [...guarded, ...open, ...inOne]);
  });
  for (const trial of guarded) {
    it(`with the guard, nothing adds up to few people: ${trial.name}`, () => {
      assert.deepEqual(found.get(trial), []);
    });
  }
  for (const trial of open) {
    it(`without it, something does, so the guard is what stops it: ${trial.name}`, () => {
      assert.notDeepEqual(found.get(trial), []);
    });
  }
  for (const trial of inOne) {
    it(`within one query the guard needs no asking: ${trial.name}`, () => {
      assert.deepEqual(found.get(trial), []);
    });
  }

  it('an answer is given again, whole, when the same is asked again', async () => {
    world.forget();
    const terms = { differencingGuard: true };
    const sql = 'SELECT ward, sum(score) FROM visits GROUP BY ward';
    const first = await world.ask(sql, terms);
    assert.deepEqual(await world.ask(sql, terms), first);
    const other = await world.ask('SELECT ward, avg(score), count(*) FROM visits GROUP BY ward', terms);
    assert.equal(other.kind === 'answer' ? other.rows.length : 0, 2);
  });

  it('shares of a whole keep every part when nothing small was left out', async () => {
    const seen = await world.ask(
      'SELECT sex, count(*) * 1.0 / (SELECT count(*) FROM patients) FROM patients GROUP BY sex',
    );
    assert.equal(seen.kind === 'answer' ? seen.rows.length : 0, 2);
  });
});

// Cells of large tables are sketched in another way, in the pass that makes the groups: see release/lanes.ts.
describe('several questions that subtract, to tables taken for large', async () => {
  const world = await OpenWorld.open(HOSPITAL, {}, 1_000_000);
  after(() => world.close());
  let found: ReadonlyMap<Trial, readonly Leak[]> = new Map();
  before(async () => {
    found = await isolatedIn(world, [...guarded, ...inOne], 'perhaps among them');
  });
  for (const trial of [...guarded, ...inOne]) {
    it(`nothing adds up to few people: ${trial.name}`, () => {
      assert.deepEqual(found.get(trial), []);
    });
  }

  it('a pass that joins repeat rows in, and one without, make the same sketches', async () => {
    const lanes = async (from: string): Promise<string[]> => {
      world.forget();
      const sql = `SELECT v.ward AS w, sum(score) FROM ${from} GROUP BY v.ward`;
      const seen = await world.ask(sql, { differencingGuard: true });
      assert.equal(seen.kind === 'answer' ? seen.rows.length : 0, 2, JSON.stringify(seen));
      return world.shown.map(({ label, sketch }) => `${label} ${sketch.join(' ')}`).toSorted();
    };
    const plain = await lanes('visits AS v');
    assert.ok(plain.length > 0 && plain.every((one) => one.includes('"lanes"')));
    // Each row of wards named south is there twice.
    const repeated = await lanes('visits AS v LEFT JOIN wards ON v.ward = wards.ward');
    const ofRows = (sketches: readonly string[]): readonly string[] =>
      sketches.filter((one) => !one.includes('"values"'));
    assert.deepEqual(ofRows(repeated), ofRows(plain));
    // What is added up twice is not what is added up once.
    assert.notDeepEqual(repeated, plain);
    // Unique along the path to the unit, so nothing is repeated; patients have sketches of their own.
    const joined = new Set(await lanes('visits AS v JOIN patients ON patient = pid'));
    for (const one of plain) assert.ok(joined.has(one));
  });
});

/** Ten have no x in the middle part, and one has: sums up to there and beyond differ in many rows and in one value. */
const GAPS: World = {
  name: 'gaps',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: gaps, grade: internal }
tables:
  stays:
    privacyUnit: [id]
    columns:
      id:   { rights: [join] }
      part: { rights: [filter] }
      x:    { rights: [aggregate], functions: [sum, count, avg] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 1000 } }
`,
  tables: {
    stays: `SELECT i::INTEGER AS id, (i // 10)::INTEGER AS part,
      CASE WHEN i // 10 = 1 AND i <> 15 THEN NULL ELSE i END::INTEGER AS x FROM range(30) r(i)`,
  },
};

for (const [size, rowCount] of [
  ['small', 0],
  ['large', 1_000_000],
] as const) {
  describe(`values that are missing under one filter and not under another, in a ${size} table`, async () => {
    const world = await OpenWorld.open(GAPS, {}, rowCount);
    after(() => world.close());
    const questions = [
      'SELECT sum(x) FILTER (WHERE part < 1) FROM stays',
      'SELECT sum(x) FILTER (WHERE part < 2) FROM stays',
    ];
    const both = async (terms: Partial<AggregateRelease>): Promise<unknown[]> => {
      world.forget();
      const sums: unknown[] = [];
      for (const sql of questions) {
        const seen = await world.ask(sql, terms);
        sums.push(seen.kind === 'answer' ? (seen.rows[0]?.[0] ?? null) : seen.kind);
      }
      return sums;
    };
    it('two sums that differ by one value are both told without the guard', async () => {
      assert.deepEqual((await both({})).map(Number), [45, 60]);
    });
    it('and the second one is withheld with it', async () => {
      const [first, second] = await both({ differencingGuard: true });
      assert.equal(Number(first), 45);
      assert.equal(second, null);
    });
  });
}

/** Questions over several noisy answers, or over one row per unit: what they are worth, and what they cannot tell. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { prepareComposed } from '../../runtime/job/prepare-composed.ts';
import type { ColumnAccuracy } from '../../runtime/job/prepare.ts';
import { resultSchemaOf } from '../../runtime/dataset/run-enforced.ts';
import type { DifferentialPrivacyRelease } from '../../runtime/policy/model.ts';
import { checkPlan } from '../../runtime/query/check-plan.ts';
import type { ComposedQuery } from '../../runtime/query/differential/compose.ts';
import { type NoisyBlock, planOf } from '../../runtime/query/differential/noisy-block.ts';
import { fillNoisyTable } from '../../runtime/query/differential/noisy-table.ts';
import { type Cell, rowsOf } from '../../runtime/release/column-values.ts';
import type { Entropy } from '../../runtime/release/entropy.ts';
import type { Measure } from '../../runtime/release/mechanisms/mechanism.ts';
import {
  lossOf,
  lossOfAll,
  type NoisedPlan,
  queriesOf,
  shareBudget,
  WHOLE_TABLE,
} from '../../runtime/release/noised-plan.ts';
import { releaseWith } from '../../runtime/release/release-noised.ts';
import { SYSTEM_ENTROPY } from '../release/entropy-source.ts';
import { epsilonLowerBound } from '../release/privacy-audit.ts';
import { Hospital, readerOf, RELEASE, type World } from './differential-world.ts';

const WARDS = ['north', 'south', 'east'] as const;

/** Nobody has more visits than are kept, or values out of bounds: an answer without noise is DuckDB's. */
const calm: World = {
  patients: Array.from({ length: 60 }, (_, id) => ({ id, age: (id * 17) % 100, town: ['A', 'B'][id % 2] ?? 'A' })),
  visits: Array.from({ length: 90 }, (_, i) => ({
    patient: i % 60,
    ward: WARDS[i % 3] ?? 'north',
    cost: i % 8 === 0 ? null : (i * 37) % 1000,
    stay: (i * 13) % 30,
  })),
};
const HEAVY = 7;
/** One patient with more rows than count, at the bounds, with wards and stays of many kinds. */
const heavy: World = {
  patients: calm.patients,
  visits: [
    ...calm.visits.filter(({ patient }) => patient !== HEAVY),
    ...Array.from({ length: 30 }, (_, i) => ({
      patient: HEAVY,
      ward: WARDS[i % 2] ?? 'north',
      cost: 1000,
      stay: 30 - i,
    })),
    { patient: null, ward: 'south', cost: 3, stay: 1 },
    { patient: 777, ward: 'north', cost: 4, stay: 2 },
  ],
};
const without: World = {
  patients: heavy.patients.filter(({ id }) => id !== HEAVY),
  visits: heavy.visits.filter(({ patient }) => patient !== HEAVY),
};

let quiet: Hospital;
let sides: readonly [Hospital, Hospital];
before(async () => {
  quiet = await Hospital.open(calm);
  sides = [await Hospital.open(heavy), await Hospital.open(without)];
});
after(() => {
  for (const one of [quiet, ...sides]) one.close();
});

async function composed(hospital: Hospital, sql: string): Promise<ComposedQuery> {
  const query = await hospital.compile(sql);
  assert.ok(query.kind === 'composed', query.kind === 'denied' ? query.reasons[0]?.message : 'one aggregation');
  return query;
}

/** So much budget that the noise is 0. */
const LAVISH: DifferentialPrivacyRelease = { ...RELEASE, microEpsilonPerJob: 1e12 };

interface Answered {
  readonly rows: readonly (readonly Cell[])[];
  readonly errors: readonly ColumnAccuracy[];
}

async function answered(
  hospital: Hospital,
  sql: string,
  release: DifferentialPrivacyRelease,
  entropy: Entropy = SYSTEM_ENTROPY,
): Promise<Answered> {
  const prepared = prepareComposed(
    {
      sha256: (text) => text,
      entropy,
      image: 'test',
      schemaOf: resultSchemaOf,
      run: (enforced) => hospital.execution(enforced),
    },
    await composed(hospital, sql),
    { consumer: 'acme', release, clause: 'test', permits: [], datasets: [] },
  );
  assert.ok(prepared.kind === 'prepared');
  const { batches, summary } = prepared.execute(AbortSignal.timeout(20_000));
  const rows: Cell[][] = [];
  for await (const batch of batches) rows.push(...rowsOf(prepared.schema, batch));
  const ended = summary();
  assert.ok(ended.kind === 'done');
  assert.equal(ended.rowsScanned, 0, 'the number of rows would tell of one person');
  return { rows, errors: ended.errors ?? [] };
}

/** Statement, and for each noisy answer behind it the rows that one patient can have there. */
const OFFERED: readonly (readonly [string, readonly number[]])[] = [
  [
    'select ward, count(*) n from visits group by ward union all select null, count(*) from visits order by n, ward',
    [2, 2],
  ],
  ['select ward, count(*) n, sum(stay) s from visits group by rollup (ward) order by ward', [2, 2]],
  [
    'select ward, stay > 9 as long, grouping(ward, stay > 9) g, count(*) from visits group by cube (ward, stay > 9) order by all',
    [2, 2, 2, 2],
  ],
  ['select ward, count(*) from visits group by grouping sets ((ward), (ward), ()) order by all', [2, 2]],
  ['select distinct ward from visits order by ward', [2]],
  ['select ward from visits group by ward order by 1', [2]],
  [
    'select ward, count(*) n, sum(count(*)) over (order by ward) r, rank() over (order by count(*), ward) k from visits group by ward order by ward',
    [2],
  ],
  ['select ward, count(*) n from visits group by ward qualify row_number() over (order by n desc, ward) = 1', [2]],
  [
    'with t as (select ward, count(*) n from visits group by ward) select ward, n - (select min(n) from t) d, n * 100 / (select sum(n) from t) p from t order by ward',
    [2],
  ],
  [
    'select a.ward, a.n, b.m from (select ward, count(*) n from visits group by ward) a join (select ward, sum(stay) m from visits where stay > 5 group by ward) b using (ward) order by 1',
    [2, 2],
  ],
  [
    'select w.floor, sum(t.n) n from wards w join (select ward, count(*) n from visits group by ward) t on t.ward = w.ward group by w.floor order by 1',
    [2],
  ],
  ['select max(n) - min(n) d, count(*) c from (select ward, count(*) n from visits group by ward) x', [2]],
  ["select ward, upper(ward) || ': ' || count(*) as label from visits group by ward order by 1", [2]],
  [
    'select town, count(distinct id) n from patients group by town union all select ward, count(distinct patient) from visits group by ward order by 1',
    [2, 2],
  ],
  [
    "select v.k, t.n from (values (1, 'north'), (2, 'nowhere')) v(k, ward) left join (select ward, count(*) n from visits group by ward) t on t.ward = v.ward order by 1",
    [2],
  ],
];
/** One row of each patient, aggregated once more. */
const PER_UNIT: readonly (readonly [string, readonly number[]])[] = [
  ['select count(*) c, sum(n) s from (select patient, count(*) n from visits group by patient) x', [1]],
  [
    'select n, count(*) from (select patient, count(*) n from visits where stay > 2 group by patient) x group by n order by n',
    [1],
  ],
  ['select sum(s) a, sum(c) b from (select patient, sum(stay) s, count(cost) c from visits group by patient) x', [1]],
  [
    'select ward, sum(n), count(*) from (select patient, ward, count(*) n from visits group by patient, ward) x group by ward order by 1',
    [2],
  ],
  [
    'select town, sum(n) from (select patient, count(*) n from visits group by patient) x join patients on id = patient group by town order by 1',
    [2],
  ],
  [
    "with v as (select patient, sum(stay * 2 - 1) s from visits where ward <> 'east' group by patient) select sum(s) filter (where town = 'A') a from v join patients on id = patient",
    [2],
  ],
  [
    'select f, count(*) c, sum(n) s from (select patient, bool_or(stay > 9) f, count(*) n from visits group by patient) group by f order by f',
    [1],
  ],
  [
    'select w, count(*) c from (select patient, upper(max(ward)) w from visits group by patient having count(*) > 1) group by w order by w',
    [1],
  ],
  [
    "select sum(n) a, sum(l::int) b, count(*) c from (select patient, count(*) filter (where ward = 'north') n, bool_and(stay > 3) l from visits group by patient)",
    [1],
  ],
  ['select count(*) c from (select distinct patient from visits where stay > 4)', [1]],
  ['select count(*) c, sum(w) s from (select patient, count(distinct ward) w from visits group by patient)', [1]],
  [
    'select ward, n, count(*) c from (select patient, ward, count(*) n from visits join wards using (ward) group by patient, ward) group by all order by all',
    [2],
  ],
  [
    'select town, count(*) c, sum(coalesce(n, 0)) s, count(n) k from patients left join (select patient, count(*) n from visits group by patient) v on v.patient = id group by town order by town',
    [2],
  ],
  [
    "select ward, count(*) c, sum(coalesce(n, 0)) s from visits left join (select patient, count(*) n from visits where ward = 'north' group by patient) v using (patient) group by ward order by ward",
    [2],
  ],
  [
    'select coalesce(a.n, 0) - coalesce(b.n, 0) d, count(*) c from patients left join (select patient, count(*) n from visits where stay > 9 group by patient) a on a.patient = id left join (select patient, count(*) n from visits where stay <= 9 group by patient) b on b.patient = id group by d order by d',
    [2],
  ],
];
/** Rows in the order of those of their patient. */
const ORDERED: readonly (readonly [string, readonly number[]])[] = [
  [
    'select ward, count(*) c, sum(stay) s from (select *, row_number() over (partition by patient order by stay desc, ward) k from visits) where k = 1 group by ward order by ward',
    [1],
  ],
  [
    'select ward, count(*) c from (select * from visits qualify row_number() over (partition by patient order by stay) = 1) group by ward order by ward',
    [1],
  ],
  [
    'select ward, count(*) c, sum(stay) s from (select distinct on (patient) patient, ward, stay from visits order by patient, stay, ward) group by ward order by ward',
    [1],
  ],
  [
    'select b, ward, count(*) c from (select ward, lag(ward) over (partition by patient order by stay, ward) as b from visits) group by all order by all',
    [2],
  ],
  [
    'select k, count(*) c from (select rank() over (partition by patient order by ward) k from visits) where k < 3 group by k order by k',
    [2],
  ],
  [
    'select town, f.ward, count(*) c from patients join (select distinct on (patient) patient, ward from visits order by patient, stay) f on f.patient = id group by all order by all',
    [1],
  ],
];

for (const [sql, bounds] of [...OFFERED, ...PER_UNIT, ...ORDERED]) {
  test(`without noise it is what DuckDB answers: ${sql}`, async () => {
    const lavish = { ...LAVISH, maxRows: 1000 };
    const verdict = await quiet.compile(sql, lavish);
    // A plain aggregation is computed in the gateway; within another query it is not.
    const { rows } = await answered(quiet, verdict.kind === 'permitted' ? `select * from (${sql})` : sql, lavish);
    const told = (cells: readonly (readonly Cell[])[]): readonly string[] =>
      cells.map((row) => row.map(String).join(' | '));
    assert.deepEqual(told(rows), told(await quiet.plainly(sql)));
    const blocks = verdict.kind === 'composed' ? verdict.blocks : verdict.kind === 'permitted' ? [verdict] : [];
    assert.deepEqual(
      blocks.map(({ rowsPerUnit }) => rowsPerUnit),
      bounds,
    );
  });
}

const blocksOf = async (hospital: Hospital, sql: string): Promise<readonly NoisyBlock[]> => {
  const query = await hospital.compile(sql);
  assert.ok(query.kind !== 'denied', query.kind === 'denied' ? query.reasons[0]?.message : '');
  return query.kind === 'composed' ? query.blocks : [query];
};

for (const [sql] of [...OFFERED, ...PER_UNIT, ...ORDERED]) {
  test(`no patient moves an exact part by more than its noise is made for: ${sql}`, async () => {
    const [full, less] = [await blocksOf(sides[0], sql), await blocksOf(sides[1], sql)];
    for (const [index, block] of full.entries()) {
      const other = less[index];
      assert.ok(other !== undefined && other.enforced.canonical === block.enforced.canonical, 'it depends on rows');
      const plan = planOf(
        RELEASE,
        block.rowsPerUnit,
        block.aggregates.map(({ aggregate }) => aggregate),
        block.keys.length === 0 ? WHOLE_TABLE : { kind: 'private' },
      );
      const read = async (
        side: Hospital,
        of: NoisyBlock,
      ): Promise<Map<string, Awaited<ReturnType<Hospital['exact']>>[number]>> =>
        new Map((await side.exact(of)).map((group) => [JSON.stringify(group.key, text), group]));
      const [a, b] = [await read(sides[0], block), await read(sides[1], other)];
      for (const { query } of queriesOf(plan).queries) {
        let [l1, l2] = [0n, 0n];
        for (const key of new Set([...a.keys(), ...b.keys()])) {
          const second = query.evaluate(readerOf(b.get(key)));
          query.evaluate(readerOf(a.get(key))).forEach((value, i) => {
            const moved = value - (second[i] ?? 0n);
            l1 += moved < 0n ? -moved : moved;
            l2 += moved * moved;
          });
        }
        assert.ok(l1 <= query.l1 && l2 <= query.l2Squared, `${query.id} moved by ${l1}, declared ${query.l1}`);
      }
    }
  });
}

test('the second gate reads the parts, and what is computed of them, as they were meant; no private table is in the latter', async () => {
  for (const [sql] of [...OFFERED, ...PER_UNIT, ...ORDERED]) {
    const query = await sides[0].compile(sql);
    assert.ok(query.kind !== 'denied');
    for (const { enforced } of await blocksOf(sides[0], sql)) {
      const plans = [await sides[0].plan(enforced.result), await sides[0].plan(enforced.summary)];
      const checked = checkPlan(plans, enforced, sides[0].context());
      assert.equal(checked.kind, 'ok', `${sql}: ${checked.kind === 'denied' ? checked.reasons[0]?.message : ''}`);
    }
    if (query.kind !== 'composed') continue;
    assert.ok(!/"d0"\."(visits|patients)"/.test(query.post.result), 'it reads private rows');
    assert.deepEqual(query.post.setup, []);
  }
});

test('parts share one budget: together they cost no more than the job, in both kinds of noise', async () => {
  for (const noise of ['laplace', 'gaussian'] as const) {
    const release = { ...RELEASE, noise, microEpsilonPerJob: 1_000_003 };
    for (const [sql] of OFFERED) {
      const blocks = await blocksOf(quiet, sql);
      const whole = blocks.map((block) =>
        planOf(
          release,
          block.rowsPerUnit,
          block.aggregates.map(({ aggregate }) => aggregate),
          { kind: 'private' },
        ),
      );
      const [parts, [first]] = [lossOfAll(shareBudget(whole)), whole];
      assert.ok(first !== undefined);
      const most = lossOf(first);
      assert.equal(parts.kind, most.kind);
      const [spent = 0, allowed = 0] = [parts, most].map((one) =>
        one.kind === 'pure' ? one.microEpsilon : one.nanoRho,
      );
      assert.ok(spent <= allowed && spent > allowed - 50 && parts.femtoDelta <= most.femtoDelta);
    }
  }
});

test('cells that are shown as they are carry their own interval, computed ones none', async () => {
  const sql =
    "select ward, count(*) n, count(*) * 2 twice from visits group by ward union all select 'all', count(*), 0 from visits order by ward";
  const { rows, errors } = await answered(quiet, sql, RELEASE);
  assert.deepEqual(
    errors.map(({ column }) => column),
    ['n'],
  );
  const [{ cells } = { cells: undefined }] = errors;
  assert.equal(cells?.low.length, 4);
  for (const [index, row] of rows.entries()) {
    const [low, high] = [cells?.low[index] ?? NaN, cells?.high[index] ?? NaN];
    assert.ok(low <= Number(row[1]) && Number(row[1]) <= high, `row ${index}`);
  }
});

test('a value per unit is known by the columns that it is made of', async () => {
  const query = await quiet.compile(
    'select n, sum(s), count(distinct p) from (select patient p, count(*) n, sum(cost) s from visits where stay > 3 group by patient) group by n',
  );
  assert.ok(query.kind !== 'denied');
  assert.deepEqual(
    query.footprint.columns.map(({ column, uses }) => [column, uses]),
    [
      ['cost', ['sum']],
      ['patient', ['countDistinct']],
      ['stay', ['filter']],
    ],
  );
});

test('what WITH names is released once, however often it is read', async () => {
  const sql =
    'with t as (select ward, count(*) n from visits group by ward) select a.n = b.n as same from t a join t b using (ward)';
  assert.equal((await composed(quiet, sql)).blocks.length, 1);
  const { rows } = await answered(quiet, sql, RELEASE);
  assert.deepEqual(rows, [[true], [true], [true]]);
});

test('texts of every kind come through the noisy tables as they are', async () => {
  const strange = ["O'Neil", '', '"); DROP TABLE gb_n0; --', '\\', '日本\n', "'' OR ''"];
  const world: World = {
    visits: [],
    patients: Array.from({ length: 360 }, (_, id) => ({
      id,
      age: 1,
      town: (strange[id % 6] ?? '').replaceAll("'", "''"),
    })),
  };
  const hospital = await Hospital.open(world);
  try {
    const { rows } = await answered(hospital, 'select distinct town from patients order by town', LAVISH);
    assert.deepEqual(new Set(rows.flat()), new Set(strange));
  } finally {
    hospital.close();
  }
});

test('what would not fit into the engine is refused before anything is spent', async () => {
  const query = await composed(quiet, 'select distinct ward from visits');
  const [block] = query.blocks;
  assert.ok(block !== undefined);
  const values = Array.from({ length: 9_000 }, (_, i) => `${i} ${'x'.repeat(4_000)}`);
  const wide = { ...block, keys: block.keys.map((key) => ({ ...key, values })) };
  const prepared = prepareComposed(
    { sha256: (one) => one, entropy: SYSTEM_ENTROPY, image: '', schemaOf: resultSchemaOf, run: () => assert.fail() },
    { ...query, blocks: [wide] },
    { consumer: 'acme', release: RELEASE, clause: 'test', permits: [], datasets: [] },
  );
  assert.equal(prepared.kind === 'denied' ? prepared.reasons[0]?.code : '', 'too-many-keys');
});

test('tens of thousands of noisy groups reach the engine', async () => {
  const query = await composed(quiet, 'select distinct ward from visits');
  const [block] = query.blocks;
  assert.ok(block !== undefined);
  const rows = Array.from({ length: 30_000 }, (_, i) => [`${i} ${'x'.repeat(40)}`, BigInt(i)]);
  const setup = fillNoisyTable(block, 0, rows);
  assert.ok(setup.join('').length > 2 ** 20 && setup.length === 30);
  const { batches } = quiet.execution({ ...query.post, setup });
  let count = 0;
  for await (const batch of batches) count += batch.rowCount;
  assert.ok(count > 0);
});

test('a budget that cannot be shared is refused before anything is spent', async () => {
  const prepared = prepareComposed(
    { sha256: (one) => one, entropy: SYSTEM_ENTROPY, image: '', schemaOf: resultSchemaOf, run: () => assert.fail() },
    await composed(quiet, 'select town from patients group by town union all select town from patients group by 1'),
    { consumer: 'acme', release: { ...RELEASE, delta: 1e-15 }, clause: 'test', permits: [], datasets: [] },
  );
  assert.equal(prepared.kind === 'denied' ? prepared.reasons[0]?.code : '', 'budget-too-small');
});

test('keys of every type come through', async () => {
  const sql = `select id, id > 3 as old, cast(id as decimal(9,2)) / 4 as q, cast(null as varchar) as n, id * 1.5e0 as f,
    case when id > 2 then date '2024-01-31' else date '1950-02-03' end as d,
    case when id > 1 then timestamp '2024-01-31 10:00:00.5' else timestamp '1900-01-01 00:00:01' end as t
    from patients group by all order by 1`;
  const many = await Hospital.open({
    visits: [],
    patients: Array.from({ length: 300 }, (_, i) => ({ id: i, age: i % 5, town: 'A' })),
  });
  try {
    const asked = sql.replaceAll('id', 'age');
    const { rows } = await answered(many, asked, LAVISH);
    assert.equal(rows.length, 5);
    assert.deepEqual(
      rows.map((row) => row.map(String)),
      (await many.plainly(asked)).map((row) => row.map(String)),
    );
  } finally {
    many.close();
  }
});

test('every shape that released values may take is taken by noisy ones', async () => {
  const many = await Hospital.open({
    visits: [],
    patients: Array.from({ length: 300 }, (_, i) => ({ id: i, age: i % 5, town: i % 3 === 0 ? 'A' : 'B' })),
  });
  try {
    for (const asked of [
      'select distinct on (town) town, age, count(*) as n from patients group by all order by town, n desc, age',
      'select town, k, v from (select town, count(*) as n, count(*) filter (where age > 2) as old from patients group by town) unpivot (v for k in (n, old)) order by all',
      'select i, coalesce(n, 0) as n from range(7) r(i) left join (select age, count(*) as n from patients group by age) t on t.age = i order by i',
      'with n as (select town, count(*) as n from patients group by town) select town, n from n semi join (select town from n where n > 150) b using (town) order by town',
      'select town, age, sum(n) filter (where age > 1) over (partition by town) as s from (select town, age, count(*) as n from patients group by all) order by all',
      'select town, n from (select town, count(*) as n from patients group by town) natural join (select distinct town from patients) order by town',
    ]) {
      const { rows } = await answered(many, asked, LAVISH);
      const seen = rows.map((row) => row.map(String));
      assert.deepEqual(
        seen,
        (await many.plainly(asked)).map((row) => row.map(String)),
        asked,
      );
      assert.ok(seen.length > 0);
    }
  } finally {
    many.close();
  }
});

test('an empty noisy answer is an empty table', async () => {
  const query = await composed(sides[0], 'select distinct town from patients');
  const [block] = query.blocks;
  assert.ok(block !== undefined);
  const { batches } = sides[0].execution({ ...query.post, setup: fillNoisyTable(block, 0, []) });
  for await (const batch of batches) assert.equal(batch.rowCount, 0);
});

// The guarantee as an outsider would test it. A false alarm has a probability of at most 1e-6 for all of these together.
const RELEASES = 8_000;
const EPSILON = RELEASE.microEpsilonPerJob / 1e6;
type Twist = (plans: readonly NoisedPlan[]) => readonly NoisedPlan[];

async function measured(sql: string, twist: Twist = shareBudget): Promise<number> {
  const outputs = await Promise.all(
    sides.map(async (side) => {
      const blocks = await blocksOf(side, sql);
      const plans = twist(
        blocks.map(({ rowsPerUnit, aggregates }) =>
          planOf(
            RELEASE,
            rowsPerUnit,
            aggregates.map(({ aggregate }) => aggregate),
            WHOLE_TABLE,
          ),
        ),
      );
      const ready = await Promise.all(
        blocks.map(async (block, index) => {
          const plan = plans[index];
          assert.ok(plan !== undefined);
          const exact = (await side.exact(block)).filter(({ key }) => key.every((cell) => cell !== 'south'));
          return { plan, shared: queriesOf(plan), exact: exact.map((group) => ({ ...group, key: [] })).slice(0, 1) };
        }),
      );
      return Array.from({ length: RELEASES }, () =>
        ready.reduce((sum, { plan, shared, exact }) => {
          const [row] = releaseWith(plan, shared, exact, POOLED).rows;
          return sum + (row?.aggregates[0]?.[0]?.value ?? 0);
        }, 0),
      );
    }),
  );
  return epsilonLowerBound(outputs[0] ?? [], outputs[1] ?? [], { delta: RELEASE.delta, alpha: 1e-7 });
}

let pool = new Uint8Array(0);
let next = 0;
const POOLED: Entropy = {
  bytes: (count) => {
    if (next + count > pool.length) [pool, next] = [Uint8Array.from(SYSTEM_ENTROPY.bytes(count * 256)), 0];
    next += count;
    return pool.subarray(next - count, next);
  },
};

const FOUR = ['*', 'stay', '1', 'distinct patient']
  .map((of) => `select count(${of}) from visits where stay >= 0`)
  .join(' union all ');
const SUM_PER_UNIT = 'select sum(s) from (select patient, sum(cost) s from visits group by patient) x';
for (const sql of [FOUR, SUM_PER_UNIT]) {
  test(`two neighbours cannot be told apart by more than epsilon: ${sql}`, async () => {
    const found = await measured(sql);
    assert.ok(found <= EPSILON, `measured ${found}, promised ${EPSILON}`);
  });
}

test('the same test finds parts that each spend the whole budget', async () => {
  const found = await measured(FOUR, (plans) => plans);
  assert.ok(found > EPSILON, `measured only ${found}`);
});

test('the same test finds a sum per unit that is bounded like one row', async () => {
  const halved = (measure: Measure): Measure => ({ ...measure, low: measure.low / 2n, high: measure.high / 2n });
  const found = await measured(SUM_PER_UNIT, (plans) =>
    shareBudget(plans).map((plan) => ({
      ...plan,
      aggregates: plan.aggregates.map((one) => (one.kind === 'sum' ? { ...one, measure: halved(one.measure) } : one)),
    })),
  );
  assert.ok(found > EPSILON, `measured only ${found}`);
});

function text(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}

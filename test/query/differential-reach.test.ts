import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkPlan } from '../../runtime/query/check-plan.ts';
import type { DifferentialQuery } from '../../runtime/query/differential/compile.ts';
import { planOf } from '../../runtime/query/differential/noisy-block.ts';
import { queriesOf, WHOLE_TABLE } from '../../runtime/release/noised-plan.ts';
import { releaseWith } from '../../runtime/release/release-noised.ts';
import { SYSTEM_ENTROPY } from '../release/entropy-source.ts';
import { Hospital, readerOf, RELEASE, type World } from './differential-world.ts';

const WARDS = ['north', 'south', 'east'] as const;

/** Patients with many rows, outliers, missing values, values at the bounds, and rows of nobody. */
const world: World = {
  patients: Array.from({ length: 9 }, (_, id) => ({ id, age: id * 17, town: id % 2 === 0 ? 'A' : `B${id}` })),
  visits: [
    ...Array.from({ length: 24 }, (_, i) => ({
      patient: i % 9,
      ward: WARDS[i % 3] ?? 'north',
      cost: [0, 1000, 1e300, -50, 12.345, 999.999, 500][i % 7] ?? null,
      stay: (i * 13) % 37,
    })),
    { patient: 4, ward: 'north', cost: null, stay: 30 },
    { patient: 4, ward: 'north', cost: Number.POSITIVE_INFINITY, stay: -100 },
    { patient: null, ward: 'south', cost: 3, stay: 1 },
    { patient: 77, ward: 'north', cost: 4, stay: 2 },
  ],
};

const without = (id: number): World => ({
  patients: world.patients.filter((one) => one.id !== id),
  visits: world.visits.filter((one) => one.patient !== id),
});

let full: Hospital;
const neighbours: Hospital[] = [];
before(async () => {
  full = await Hospital.open(world);
  for (const id of [0, 4, 5, 8]) neighbours.push(await Hospital.open(without(id)));
});
after(() => {
  for (const one of [full, ...neighbours]) one.close();
});

async function permitted(hospital: Hospital, sql: string): Promise<DifferentialQuery> {
  const query = await hospital.compile(sql);
  assert.ok(query.kind === 'permitted', query.kind === 'denied' ? query.reasons[0]?.message : '');
  return query;
}

/** Rows that one patient can have in the answer: 2 are kept of each private table. */
const offered: readonly (readonly [string, number])[] = [
  ['select count(*), sum(cost), avg(cost) from visits', 2],
  ['select ward, count(*), variance(cost), stddev(stay) from visits group by ward', 2],
  ['select v.ward, count(*), sum(v.cost), avg(p.age) from visits v join patients p on v.patient = p.id group by 1', 2],
  ['select p.town, count(distinct v.patient) from visits v, patients p where v.patient = p.id group by 1', 2],
  ['select w.floor, count(*), sum(stay) from visits v join wards w using (ward) group by w.floor', 2],
  ['select w.floor, count(*), sum(stay) from visits v left join wards w on v.ward = w.ward group by w.floor', 2],
  ['select count(*), sum(x.price) from visits v join prices x on v.ward = x.ward', 4],
  ['select sum(v.cost * x.price), sum(v.stay * (1 - x.price)) from visits v join prices x on v.ward = x.ward', 4],
  ['select sum(cost * stay), sum(cost + stay * 0.5), avg(cost / 4 - 3) from visits', 2],
  ['select sum(-stay), sum(2 * cost), sum(cost * -0.125), sum(cost * 0) from visits', 2],
  ["select sum(case when ward = 'north' then cost else 0 end), count(case when stay > 3 then 1 end) from visits", 2],
  ["select sum(cost) filter (where ward = 'north'), count(*) filter (where stay between 1 and 9) from visits", 2],
  ['select count(distinct ward), count(distinct patient) filter (where stay > 5) from visits', 2],
  ['select median(cost), quantile_cont(stay, 0.9), median(age) from visits join patients on patient = id', 2],
  ['select histogram(age) from patients', 2],
  ["select histogram(stay) filter (where ward = 'south') from visits", 2],
  ['select corr(cost, stay), regr_slope(stay, cost) from visits', 2],
  [
    'select covar_pop(cost, stay), covar_samp(stay, cost), regr_r2(stay, cost), regr_intercept(cost, stay) from visits',
    2,
  ],
  ['select count(*), sum(cost) from visits v semi join wards w on v.ward = w.ward and w.floor = 2', 2],
  ['select sum(stay) from visits v where not exists (select 1 from wards w where w.ward = v.ward and w.floor = 1)', 2],
  ['select count(*) from visits v natural join (select ward from wards where floor = 2) w', 2],
  ['select variance((cost + 0.1) * (stay + 0.3)), corr(cost + 0.7, stay * (cost - 0.3)) from visits', 2],
  [
    'select town, count(*) from (select patient, ward from visits where stay > 0) v join patients p on v.patient = p.id group by town',
    2,
  ],
  ['with long as (select * from visits where stay > 3) select ward, avg(cost) from long group by ward', 2],
  ['select count(*) from visits where ward in (select ward from wards where floor = 2)', 2],
  // Cohorts: who is in one follows from the rows of the unit alone, so nobody moves more than without it.
  ['select count(*), sum(cost) from visits where patient in (select id from patients where age > 30)', 2],
  ['select count(*), avg(age) from patients where id in (select patient from visits where stay > 9)', 2],
  [
    "select town, count(*) from patients p where not exists (select 1 from visits v where v.patient = p.id and v.ward = 'north') group by town",
    2,
  ],
  [
    'select count(*), sum(age) from patients where id in (select patient from visits group by patient having count(*) >= 2)',
    2,
  ],
  ['select sum(cost) from visits v semi join patients p on v.patient = p.id and p.age < 70', 2],
  [
    "select count(*) filter (where patient in (select patient from visits where ward = 'east')), count(*) from visits",
    2,
  ],
  [
    'select sum(case when patient not in (select patient from visits where stay > 20) then cost else 0 end) from visits',
    2,
  ],
  ["select case when stay > 7 then 'long' else 'short' end as kind, count(*) from visits group by all", 2],
  ['select ward, sum(cost) / count(*) as mean from visits group by ward having count(*) > 1 order by mean desc', 2],
  ['select sum(coalesce(cost, 1)), avg(case when cost > 10 then cost * stay when stay > 5 then 7 end) from visits', 2],
];
for (const [sql, rowsPerUnit] of offered) {
  test(`no patient moves the exact part by more than its noise is made for: ${sql}`, async () => {
    const query = await permitted(full, sql);
    assert.equal(query.rowsPerUnit, rowsPerUnit);
    const plan = planOf(
      RELEASE,
      query.rowsPerUnit,
      query.aggregates.map(({ aggregate }) => aggregate),
      query.keys.length === 0 ? WHOLE_TABLE : { kind: 'private' },
    );
    const exact = new Map((await full.exact(query)).map((group) => [JSON.stringify(group.key, text), group]));
    for (const neighbour of neighbours) {
      const other = await permitted(neighbour, sql);
      assert.equal(other.enforced.canonical, query.enforced.canonical, 'the statement depends on rows');
      const groups = new Map((await neighbour.exact(other)).map((group) => [JSON.stringify(group.key, text), group]));
      for (const { query: asked } of queriesOf(plan).queries) {
        let [l1, l2] = [0n, 0n];
        for (const key of new Set([...exact.keys(), ...groups.keys()])) {
          const after = asked.evaluate(readerOf(groups.get(key)));
          asked.evaluate(readerOf(exact.get(key))).forEach((value, i) => {
            const moved = value - (after[i] ?? 0n);
            l1 += moved < 0n ? -moved : moved;
            l2 += moved * moved;
          });
        }
        assert.ok(l1 <= asked.l1, `${asked.id} moved by ${l1}, declared ${asked.l1}`);
        assert.ok(l2 <= asked.l2Squared, `${asked.id} moved by ${l2} squared, declared ${asked.l2Squared}`);
      }
    }
  });

  test(`the second gate reads it as it was meant: ${sql}`, async () => {
    const { enforced } = await permitted(full, sql);
    const plans = [await full.plan(enforced.result), await full.plan(enforced.summary)];
    const checked = checkPlan(plans, enforced, full.context());
    assert.equal(checked.kind, 'ok', checked.kind === 'denied' ? checked.reasons[0]?.message : '');
  });
}

test('a bounded expression is computed to the last step of its grid', async () => {
  const query = await permitted(
    full,
    'select sum(stay * 0.5 + 1), sum(case when stay > 3 then stay else -1 end) from visits',
  );
  const [group] = await full.exact(query);
  const kept = await permitted(
    full,
    'select sum(stay), count(*), count(*) filter (where stay > 3), sum(stay) filter (where stay > 3) from visits',
  );
  const [plain] = await full.exact(kept);
  const [first, second] = [...(group?.values.values() ?? [])];
  const [sum, rows, long, sumLong] = [...(plain?.values.values() ?? [])].map(Number);
  assert.equal(Number(first) / 2, (sum ?? 0) / 2 + (rows ?? 0));
  assert.equal(Number(second), (sumLong ?? 0) - ((rows ?? 0) - (long ?? 0)));
});

test('no number of groups is refused, because that would be told without noise', async () => {
  const query = await permitted(full, 'select town, count(*) from patients group by town');
  assert.ok(!/LIMIT/.test(query.enforced.result));
  const plan = planOf(
    RELEASE,
    query.rowsPerUnit,
    query.aggregates.map(({ aggregate }) => aggregate),
    { kind: 'private' },
  );
  const groups = Array.from({ length: 120_000 }, (_, i) => ({ key: [`t${i}`], values: new Map([['rows', 1n]]) }));
  const { rows } = releaseWith(plan, queriesOf(plan), groups, SYSTEM_ENTROPY);
  assert.ok(rows.length <= 2, `${rows.length} groups of one row each appeared`);
});

test('what a CASE spells out is a public key, in every type that a list can name', async () => {
  const keysOf = async (expression: string): Promise<readonly unknown[]> => {
    const query = await permitted(full, `select ${expression} as k, count(*) from visits group by 1`);
    return query.keys.map(({ values }) => values);
  };
  assert.deepEqual(await keysOf("case when stay > 3 then 'a' when stay > 2 then 'b' else 'a' end"), [['a', 'b']]);
  assert.deepEqual(await keysOf('case when stay > 3 then 1 else 2 end'), [[1, 2]]);
  assert.deepEqual(await keysOf('case when stay > 3 then true else false end'), [[true, false]]);
  assert.deepEqual(await keysOf("case when stay > 3 then 'a' end"), [null], 'a missing value is not in a list');
  assert.deepEqual(await keysOf('case when stay > 3 then 1.5 else 2 end'), [null]);
  assert.deepEqual(await keysOf('ward'), [['north', 'south', 'east']]);
  assert.deepEqual(await keysOf('stay'), [null]);
});

test('what lower, upper and coalesce make of declared values is a public key', async () => {
  const keysOf = async (expression: string): Promise<readonly unknown[]> => {
    const query = await permitted(full, `select ${expression} as k, count(*) from visits group by 1`);
    return query.keys.map(({ values }) => values);
  };
  assert.deepEqual(await keysOf('upper(ward)'), [['NORTH', 'SOUTH', 'EAST']]);
  assert.deepEqual(await keysOf("coalesce(ward, 'unknown')"), [['north', 'south', 'east', 'unknown']]);
  assert.deepEqual(await keysOf("lower(coalesce(ward, 'East'))"), [['north', 'south', 'east']]);
  assert.deepEqual(await keysOf("coalesce(ward, 'Straße')"), [['north', 'south', 'east', 'Straße']]);
  assert.deepEqual(await keysOf("upper(coalesce(ward, 'Straße'))"), [null], 'engines change its case differently');
  assert.deepEqual(await keysOf('substr(ward, 1, 1)'), [null]);
  assert.deepEqual(await keysOf('coalesce(stay, 0)'), [null]);
});

const refused: readonly (readonly [string, string])[] = [
  ['select count(*) from visits a, visits b where a.patient = b.patient', 'self-join'],
  ['select count(*) from visits, wards', 'join-not-linked'],
  ['select count(*) from visits v join patients p on v.stay = p.age', 'differential-units'],
  ['select count(*) from wards', 'differential-shape'],
  ['select count(*) from (select * from visits order by cost limit 3) x', 'rows-picked'],
  ['select count(*) from visits where ward in (select town from patients where age > 3)', 'rows-not-released'],
  ['select count(*) from visits where patient in (select age from patients)', 'rows-not-released'],
  ['select count(*) from visits where stay > (select avg(stay) from visits)', 'differential-shape'],
  ['select sum(age) from patients left join visits on patient = id', 'outer-join-private'],
  ['select sum(cost * cost) from visits', 'measure-not-allowed'],
  ['select sum(floor(cost)) from visits', 'measure-not-allowed'],
  ['select sum(1e30 * cost * 1e30) from visits', 'constant-too-large'],
  ['select cost + count(*) from visits', 'column-not-grouped'],
  ['select ward, stay, count(*) from visits group by ward', 'column-not-grouped'],
  ['select ward from visits group by ward having max(cost) > 3', 'aggregate-not-allowed'],
  ['select count(*) from visits having cost > 3', 'column-not-grouped'],
  ['select count(*) from visits order by cost', 'column-not-grouped'],
  ['select n, s from (select patient, count(*) n, sum(cost) s from visits group by patient) x', 'rows-not-released'],
  ['select count(*) from visits, (select avg(stay) a from visits) x where stay > a', 'join-with-released'],
  ['select histogram(age), rank() over () from patients', 'differential-shape'],
  [
    'with n as (select ward, count(*) as c from visits group by ward) select count(*) from visits v semi join n on v.ward = n.ward and n.c > 5',
    'differential-shape',
  ],
  [
    'with n as (select ward, count(*) as c from visits group by ward) select count(*) from visits v where exists (select 1 from n where n.ward = v.ward)',
    'differential-shape',
  ],
  [
    'with n as (select ward, count(*) as c from visits group by ward) select count(*) from visits v join (select w.* from wards w semi join n on w.ward = n.ward) x on v.ward = x.ward',
    'join-with-released',
  ],
  [
    'with n as (select ward, count(*) as c from visits group by ward) select count(*) from wards w anti join n on w.ward = n.ward join visits v on v.ward = w.ward',
    'join-with-released',
  ],
  ['select count(*) from visits v, range(3) r where v.stay = r.range', 'values-beside-rows'],
];
for (const [sql, code] of refused) {
  test(`refused with differential privacy: ${sql}`, async () => {
    const verdict = await full.compile(sql);
    assert.ok(verdict.kind === 'denied', 'it was permitted');
    assert.equal(verdict.reasons[0]?.code, code, verdict.reasons[0]?.message);
  });
}

function text(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}

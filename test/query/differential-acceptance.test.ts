/** The guarantee as an outsider would test it: real SQL over the layouts of two neighbouring datasets, released many times. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { planOf } from '../../runtime/query/differential/noisy-block.ts';
import { queriesOf, WHOLE_TABLE, type NoisedPlan } from '../../runtime/release/noised-plan.ts';
import { releaseWith, type ExactGroup, type NoisedRelease } from '../../runtime/release/release-noised.ts';
import { SYSTEM_ENTROPY } from '../release/entropy-source.ts';
import { epsilonLowerBound } from '../release/privacy-audit.ts';
import { Hospital, RELEASE, type World } from './differential-world.ts';

const RELEASES = 8_000;
/** One patient with as many rows as count, at the bounds, in a town of its own. */
const world: World = {
  patients: Array.from({ length: 12 }, (_, id) => ({ id, age: 30 + id, town: id === 7 ? 'alone' : 'A' })),
  visits: [
    ...Array.from({ length: 12 }, (_, i) => ({ patient: i, ward: 'south', cost: 10 * i, stay: i })),
    ...Array.from({ length: 30 }, () => ({ patient: 7, ward: 'north', cost: 1000, stay: 30 })),
  ],
};
const without: World = {
  patients: world.patients.filter(({ id }) => id !== 7),
  visits: world.visits.filter(({ patient }) => patient !== 7),
};

let sides: readonly Hospital[];
before(async () => {
  sides = await Promise.all([Hospital.open(world), Hospital.open(without)]);
});
after(() => {
  for (const side of sides) side.close();
});

const EPSILON = RELEASE.microEpsilonPerJob / 1e6;

async function measured(sql: string, rowsPerUnit?: number): Promise<number> {
  const outputs = await Promise.all(
    sides.map(async (side) => {
      const query = await side.compile(sql);
      assert.ok(query.kind === 'permitted', query.kind === 'denied' ? query.reasons[0]?.message : '');
      const plan: NoisedPlan = planOf(
        RELEASE,
        rowsPerUnit ?? query.rowsPerUnit,
        query.aggregates.map(({ aggregate }) => aggregate),
        query.keys.length === 0 ? WHOLE_TABLE : { kind: 'private' },
      );
      const exact = await side.exact(query);
      return released(plan, exact);
    }),
  );
  return epsilonLowerBound(outputs[0] ?? [], outputs[1] ?? [], { delta: RELEASE.delta, alpha: 1e-4 / 20 });
}

function released(plan: NoisedPlan, exact: readonly ExactGroup[]): readonly number[] {
  const shared = queriesOf(plan);
  return Array.from({ length: RELEASES }, () => statistic(releaseWith(plan, shared, exact, SYSTEM_ENTROPY)));
}

/** All first numbers of all groups together: a group that appears or not shows as well. */
function statistic({ rows }: NoisedRelease): number {
  return rows.reduce((sum, { aggregates }) => sum + (aggregates[0]?.[0]?.value ?? 0), rows.length * 1e6);
}

const RIGHT = [
  'select count(*) from visits',
  "select sum(cost) from visits where ward = 'north'",
  'select sum(x.price) from visits v join prices x on v.ward = x.ward',
  'select sum(cost * stay) filter (where stay > 2) from visits',
  'select town, count(*) from visits join patients on patient = id group by town',
] as const;
for (const sql of RIGHT) {
  test(`two neighbours cannot be told apart by more than epsilon: ${sql}`, async () => {
    const found = await measured(sql);
    assert.ok(found <= EPSILON, `measured ${found}, promised ${EPSILON}`);
  });
}

test('the same test finds a join whose rows per unit were not counted', async () => {
  const found = await measured('select sum(x.price) from visits v join prices x on v.ward = x.ward', 1);
  assert.ok(found > EPSILON, `measured only ${found}`);
});

/** What a policy lacks for noise is named as that, and not as a budget that is too small. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { NoisyWorld, seeded } from './honest/noisy-world.ts';

/** More edges than an answer has bins for. */
const MANY = Array.from({ length: 1100 }, (_, edge) => edge + 1);
const TERMS = 'epsilonPerJob: 4, epsilonTotal: 400, delta: 0, maxRowsPerUnit: 2';

let open: NoisyWorld;
before(async () => {
  open = await NoisyWorld.open({
    name: 'bench',
    consumer: 'acme',
    policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: bench, grade: internal }
tables:
  runs:
    privacyUnit: [worker]
    columns:
      worker: { rights: [countDistinct] }
      line:   { rights: [group, filter] }
      shift:  { rights: [group, filter], values: [early, late] }
      parts:  { rights: [aggregate], functions: [sum, avg, count, quantile, histogram], bounds: [0, 2000], bins: [${MANY.join(', ')}] }
allow:
  - { id: private, mode: differentialPrivacy, release: { ${TERMS} } }
`,
    tables: {
      runs: `SELECT i % 40 AS worker, 'L' || i % 3 AS line, ['early', 'late'][1 + i % 2] AS shift, i % 9 AS parts FROM range(80) r(i)`,
    },
  });
});
after(() => open.close());

for (const [sql, code, remedy] of [
  ['SELECT line, count(*) FROM runs GROUP BY line', 'delta-missing', /declares/],
  ['SELECT median(parts) FROM runs', 'bins-not-usable', /ascending/],
] as const)
  it(`${code}: ${sql}`, async () => {
    const seen = await open.ask(sql, seeded(1));
    assert.ok(seen.kind === 'denied', seen.kind);
    assert.equal(seen.code, code);
    assert.match(seen.remedy, remedy);
  });

it('declared keys need no delta', async () => {
  const seen = await open.ask('SELECT shift, count(*) FROM runs GROUP BY shift', seeded(2));
  assert.equal(seen.kind, 'answer');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agree, DATASET, type Member, rowsOf, startWorld } from './world.ts';

/** Large enough for sketches by XOR: 4,000 patients, of whom 12 have no other rows than the dear ones. */
const ROWS = 270_000;
const csv = (): string => {
  const lines = Array.from({ length: ROWS }, (_, i) => {
    const patient = i % 4000;
    return `${patient},w${patient % 3},${Math.floor(i / 4000) % 7},${patient < 12 ? 90 : (i * 7) % 50}`;
  });
  return `patient_id,ward,day,cost\n${lines.join('\n')}\n`;
};
const policy = (version: number, more = ''): string => `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${DATASET}, grade: important, version: ${version} }
privacyUnit: [patient_id]
columns:
  patient_id: { rights: [join] }
  ward:       { rights: [group, filter] }
  cost:       { rights: [aggregate, filter], functions: [sum, avg, count], bounds: [0, 3000] }
${more}allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10, smallGroups: drop, maxRows: 1000, differencing: guard } }
`;

/** The rows of the answer as text; of a refusal its reasons. */
async function ask(consumer: Member, agreement: string, text: string): Promise<readonly string[]> {
  const ended = await consumer.jobs.run({ computation: { kind: 'sql', sql: { text } }, agreementIds: [agreement] });
  if (ended.kind !== 'released') return ended.reasons.map(({ code, message }) => `${code}: ${message}`);
  return rowsOf(ended.table).map((row) => Object.values(row).join(' '));
}

test('a large table is guarded by its cuboids, and each policy has its own', async () => {
  await using world = await startWorld({ csv: csv(), policy: policy(1) });
  const acme = await world.consumer('acme');
  const byWard = 'select ward, count(*) as n from visits';
  const all = ['w0 90045', 'w1 89978', 'w2 89977'];
  assert.deepEqual(await ask(acme, acme.agreement, `${byWard} group by ward order by ward`), all);
  const { complaints } = await world.owner.policies.attach({
    document: policy(2, '  day: { rights: [group, filter] }\n'),
  });
  assert.deepEqual(complaints, []);
  const agreement = await agree(world.owner, acme);
  // Columns that the first policy did not show, hence no plan over its tables could read.
  const days = await ask(acme, agreement, 'select day, sum(cost) as s from visits group by day order by day');
  assert.equal(days.length, 7, days.join());
  const cheap = await ask(acme, agreement, `${byWard} where cost < 45 group by ward order by ward`);
  assert.equal(cheap.length, 3, cheap.join());
  // The same rows in other words are known already; four patients more in each ward are too few.
  assert.deepEqual(await ask(acme, agreement, `${byWard} where not cost >= 45 group by ward order by ward`), cheap);
  assert.deepEqual(await ask(acme, agreement, `${byWard} where cost < 45 or cost = 90 group by ward`), []);
});

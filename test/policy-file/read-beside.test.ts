import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Complaint, parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import { MAX_INLINE_CHARACTERS, ReaderBusy, readPolicy } from '../../runtime/policy-file/read-beside.ts';

const policyOf = (columns: number, more = ''): string => `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: visits, grade: important, version: 7 }
privacyUnit: [patient_id]
columns:
  patient_id: { rights: [join, countDistinct] }
${Array.from({ length: columns }, (_, at) => `  column_${at}: { rights: [aggregate, filter], bounds: [0, 3000] }`).join('\n')}
${more}allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10, smallGroups: drop, maxRows: 1000 } }
`;

describe('a long policy, read in a thread of its own', () => {
  it('is read as a short one is, with its version and the places of what is wrong', async () => {
    for (const text of [policyOf(2), policyOf(400)]) {
      const [beside, here] = [await readPolicy(text, 'p.yaml'), parsePolicy(text, 'p.yaml')];
      assert.ok(beside.kind === 'policy' && here.kind === 'policy');
      assert.deepEqual(beside.policy, here.policy);
      assert.equal(beside.named, 7);
      const problems = [{ path: ['columns', 'column_1'], message: 'is not in the dataset' }];
      assert.deepEqual(
        await beside.complaintsAt(problems),
        problems.map(({ path, message }): Complaint => here.complaintAt(path, message)),
      );
    }
    const broken = policyOf(400, 'unknown: 1\n');
    assert.deepEqual(await readPolicy(broken, 'p.yaml'), parsePolicy(broken, 'p.yaml'));
  });

  it('keeps nobody else waiting: timers run while it is read', async () => {
    const text = policyOf(1000);
    assert.ok(text.length > MAX_INLINE_CHARACTERS);
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    const before = performance.eventLoopUtilization();
    await readPolicy(text, 'q.yaml');
    clearInterval(timer);
    assert.ok(turns > 3, `${turns} turns`);
    assert.ok(performance.eventLoopUtilization(before).utilization < 0.9);
  });

  it('is refused while too many wait, and read again afterwards; text that is hostile ends as a complaint', async () => {
    const texts = Array.from({ length: 40 }, (_, at) => `# ${at}\n${'#\n'.repeat(MAX_INLINE_CHARACTERS / 2)}`);
    const answers = await Promise.allSettled(texts.map((text) => readPolicy(text, 'r.yaml')));
    const refused = answers.filter((one) => one.status === 'rejected');
    assert.equal(refused.length, 8);
    for (const { reason } of refused) assert.ok(reason instanceof ReaderBusy);
    const answered = answers.filter((one) => one.status === 'fulfilled');
    for (const { value } of answered) assert.equal(value.kind, 'complaints');
    assert.equal((await readPolicy(policyOf(400), 'p.yaml')).kind, 'policy');
  });
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import { type DatasetGrade, gradeProblems, GRADES, packProblems, RULE_PACKS } from '../../runtime/policy/grade-pack.ts';
import type { UsagePolicy } from '../../runtime/policy/model.ts';
import { widenings } from '../../runtime/policy/refine.ts';

const text = readFileSync(join(import.meta.dirname, '..', '..', 'policies', 'hospital-visits.yaml'), 'utf8');
function policy(...changes: readonly (readonly [string, string])[]): UsagePolicy {
  const changed = changes.reduce((from, [old, now]) => {
    assert.ok(from.includes(old), old);
    return from.replace(old, now);
  }, text);
  const parsed = parsePolicy(changed, 'p.yaml');
  return parsed.kind === 'policy' ? parsed.policy : assert.fail(JSON.stringify(parsed.complaints));
}
const graded = (grade: DatasetGrade['grade'], more: Partial<DatasetGrade> = {}): DatasetGrade => ({
  grade,
  isConfirmed: false,
  proposed: [],
  ...more,
});

test('each pack is at least as strict as the one below it, so a higher grade never allows more', () => {
  for (const [index, grade] of GRADES.entries()) {
    const [lower, pack] = [RULE_PACKS[GRADES[Math.max(0, index - 1)] ?? 'public'], RULE_PACKS[grade]];
    if (!pack.mayBeOffered) continue;
    assert.ok(lower.mayBeOffered && pack.minUnits >= lower.minUnits && pack.approvals >= lower.approvals);
    assert.ok((pack.microEpsilonPerJob ?? Infinity) <= (lower.microEpsilonPerJob ?? Infinity));
    assert.ok((pack.microEpsilonTotal ?? Infinity) <= (lower.microEpsilonTotal ?? Infinity));
  }
  assert.equal(RULE_PACKS.core.mayBeOffered, false);
});

for (const [from, to, place] of [
  ['minUnits: 10, smallGroups', 'minUnits: 4, smallGroups', 'allow.0.release.minUnits'],
  ['epsilonPerJob: 0.5, epsilonTotal: 4', 'epsilonPerJob: 6, epsilonTotal: 8', 'allow.1.release.epsilonPerJob'],
  ['epsilonTotal: 4', 'epsilonTotal: 21', 'allow.1.release.epsilonTotal'],
  ['programs: [sum, mean, dot, linear], minUnits: 10', 'programs: [sum], minUnits: 3', 'allow.2.release.minUnits'],
  ['epsilonPerJob: 1, outputs', 'epsilonPerJob: 1, epsilonTotal: 30, outputs', 'allow.3.release.epsilonTotal'],
  ['atLeast: namespaced', 'atLeast: confined', 'allow.3.when'],
  ['quorum: 2', 'quorum: 1', 'allow.4.when'],
  ['release: { minUnits: 10, maxRows: 200 }', 'release: { minUnits: 4, maxRows: 200 }', 'allow.4.release.minUnits'],
  ['grade: important', 'grade: internal', 'metadata.grade'],
] as const)
  test(`important data is not offered with ${to}, and the complaint names the place`, () => {
    assert.deepEqual(gradeProblems(policy(), graded('important')), []);
    const found = gradeProblems(policy([from, to]), graded('important'));
    assert.deepEqual(
      found.map(({ path }) => path.join('.')),
      [place],
    );
    assert.deepEqual(gradeProblems(policy([from, to]), graded(null)), [], 'no grade, no demands');
  });

test('data of grade core is offered under no rules, whatever its policy says', () => {
  assert.equal(gradeProblems(policy(['grade: important', 'grade: core']), graded('core')).length, 1);
});

test('what a recogniser proposes waits for somebody’s word: of the dataset, the policy or the column', () => {
  const proposed = [{ table: 'visits', column: 'ward', grade: 'core' }] as const;
  const problems = (of: UsagePolicy, more: Partial<DatasetGrade> = {}): number =>
    gradeProblems(of, graded(null, { proposed, ...more })).length;
  assert.equal(problems(policy()), 1);
  assert.equal(problems(policy(), { isConfirmed: true }), 0);
  const answered = proposed.map((one) => ({ ...one, isAnswered: true }));
  assert.equal(problems(policy(), { proposed: answered }), 0, 'said of an earlier version');
  assert.equal(problems(policy(['rights: [group, filter, order]', 'rights: [group], grade: internal'])), 0);
  assert.equal(problems(policy(['grade: important', 'grade: core'])), 0);
  assert.equal(problems(policy(['rights: [group, filter, order]', 'rights: [join, countDistinct]'])), 0, 'never shown');
  assert.equal(problems(policy(['  ward:       { rights: [group, filter, order] }\n', ''])), 0, 'not usable at all');
});

test('a policy that meets a pack still meets it when any number of it is narrowed', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 5, max: 1000 }),
      fc.integer({ min: 5, max: 1000 }),
      fc.double({ min: 0.1, max: 5, noNaN: true }),
      (units, more, epsilon) => {
        const wide = policy(['minUnits: 10, smallGroups', `minUnits: ${units}, smallGroups`]);
        const perJob = `epsilonPerJob: ${(epsilon / 10).toFixed(3)}`;
        const narrow = policy(
          ['minUnits: 10, smallGroups', `minUnits: ${units + more}, smallGroups`],
          ['epsilonPerJob: 0.5', perJob],
        );
        assert.ok(widenings(wide, narrow).every((term) => !term.includes('statistics')));
        assert.deepEqual(packProblems(narrow, 'important'), []);
      },
    ),
    { numRuns: 50 },
  );
});

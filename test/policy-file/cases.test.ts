import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { runPolicyCases } from '../../runtime/policy-file/cases.ts';
import { complaintText, parsePolicy } from '../../runtime/policy-file/parse-policy.ts';

const FOLDER = join(import.meta.dirname, '../../policies/cases');
const policyIn = (ref: unknown): ReturnType<Parameters<typeof runPolicyCases>[2]['policyOf']> => {
  const text = typeof ref === 'string' ? readFileSync(join(FOLDER, ref), 'utf8') : JSON.stringify(ref);
  const parsed = parsePolicy(text, String(ref));
  return parsed.kind === 'policy' ? parsed.policy : (parsed.complaints.map(complaintText)[0] ?? '');
};
const run = (text: string): ReturnType<typeof runPolicyCases> =>
  runPolicyCases(text, 'cases.yaml', { nowMs: Date.UTC(2026, 5, 1), policyOf: policyIn });

for (const file of readdirSync(FOLDER)) {
  test(`policies/cases/${file}: every case holds`, () => {
    const answer = run(readFileSync(join(FOLDER, file), 'utf8'));
    assert.ok(
      answer.kind === 'ran',
      answer.kind === 'complaints' ? answer.complaints.map(complaintText).join('\n') : '',
    );
    for (const { name, difference } of answer.results) assert.equal(difference, '', name);
  });
}

test('a case that does not hold fails and says what came instead', () => {
  const answer = run(`
policy: ../clinical.yaml
cases:
  - { request: { consumer: a, mode: aggregate }, expect: deny }
  - { request: { consumer: a, mode: sandbox }, expect: permit }
  - { request: { consumer: a, mode: aggregate }, expect: { permit: other } }
  - { request: { consumer: a, mode: aggregate }, expect: { permit: statistics, release: { minUnits: 11 } } }
  - { request: { consumer: a, mode: sandbox }, expect: { deny: [too-late] } }
`);
  assert.ok(answer.kind === 'ran');
  assert.deepEqual(
    answer.results.map(({ passed, difference }) => [passed, difference]),
    [
      [false, 'expected a denial; it is permitted by statistics'],
      [false, 'expected a permit; it is denied (mode-not-allowed)'],
      [false, 'expected a permit by other; it is permitted by statistics'],
      [false, 'expected minUnits 11; it is 10'],
      [false, 'expected reason too-late; it is denied (mode-not-allowed)'],
    ],
  );
});

test('a file may be the list of cases alone, each with its policy', () => {
  const one = '{ policy: ../clinical.yaml, request: { consumer: a, mode: aggregate }, expect: permit }';
  const answer = run(`- ${one}\n- ${one}`);
  assert.ok(answer.kind === 'ran' && answer.results.every(({ passed }) => passed));
  const broken = run(`- ${one}\n- ${one.replace('permit', 'maybe')}`);
  assert.ok(broken.kind === 'complaints' && broken.complaints[0]?.line === 2);
});

test('a file of cases with an unknown key, no policy or a broken policy is refused with its place', () => {
  const place = (text: string): string => {
    const answer = run(text);
    assert.ok(answer.kind === 'complaints');
    return complaintText(answer.complaints[0] ?? assert.fail());
  };
  const one = '{ request: { consumer: a, mode: aggregate }, expect: permit }';
  assert.match(place(`cases:\n  - ${one}`), /^cases\.yaml:2:5 .*no policy/);
  assert.match(
    place(`policy: ../clinical.yaml\ncases:\n  - { request: { consumer: a, mode: raw }, expect: permit }`),
    /:3:/,
  );
  assert.match(place(`policy: ../clinical.yaml\ncase: []`), /cases\.yaml:1:1/);
  assert.match(place(`policy: { kind: UsagePolicy }\ncases:\n  - ${one}`), /cases\.yaml:1:9 policy/);
  assert.match(place('cases: ['), /cases\.yaml:1/);
});

test('damaged files of cases are refused, never a crash', () => {
  const whole = readFileSync(join(FOLDER, 'clinical.yaml'), 'utf8');
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(20), fc.string({ maxLength: 3 }), (at, cut, put) => {
      runPolicyCases(whole.slice(0, at) + put + whole.slice(at + cut), 'x', {
        nowMs: 0,
        policyOf: (ref) => (ref === '../clinical.yaml' ? policyIn(ref) : 'unknown'),
      });
    }),
    { numRuns: 150 },
  );
});

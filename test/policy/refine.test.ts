import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import { purposeIncludes } from '../../runtime/policy/purposes.ts';
import { steerings, widenings } from '../../runtime/policy/refine.ts';

const text = readFileSync(join(import.meta.dirname, '..', '..', 'policies', 'hospital-visits.yaml'), 'utf8');
function policy(from = '', to = ''): Parameters<typeof widenings>[0] {
  const parsed = parsePolicy(text.replace(from, to), 'p.yaml');
  assert.equal(parsed.kind, 'policy', JSON.stringify(parsed));
  return parsed.kind === 'policy' ? parsed.policy : assert.fail();
}

test('a policy refines itself', () => assert.deepEqual(widenings(policy(), policy()), []));

const narrower: readonly (readonly [string, string])[] = [
  ['minUnits: 10, smallGroups', 'minUnits: 20, smallGroups'],
  ['max: 500', 'max: 5'],
  ['per: P30D', 'per: P60D'],
  ['notAfter: 2027-01-01', 'notAfter: 2026-06-01'],
  ['functions: [sum, avg, count]', 'functions: [sum]'],
  ['rights: [group, filter, order]', 'rights: [group]'],
  ['epsilonTotal: 4', 'epsilonTotal: 1'],
];
for (const [from, to] of narrower) {
  test(`${from} → ${to} narrows, and back again widens`, () => {
    assert.deepEqual(widenings(policy(), policy(from, to)), []);
    assert.equal(widenings(policy(from, to), policy()).length, 1);
  });
}

test('what chooses rows, clips, units or held-back groups in another way is named, however narrow it looks', () => {
  assert.deepEqual(steerings(policy(), policy()), []);
  for (const [from, to, term] of [
    ['bounds: [0, 3000]', 'bounds: [10, 100]', /bounds$/],
    ['columns:  ', 'rows: "patient_id <> 7"\ncolumns:', /rows$/],
    ['privacyUnit: [patient_id]', 'privacyUnit: [patient_id, ward]', /privacyUnits$/],
    ['share: 0.5', 'share: 0.4', /dominance$/],
  ] as const) {
    const [found, ...others] = steerings(policy(), policy(from, to));
    assert.match(found ?? '', term);
    assert.deepEqual(others, []);
  }
});

test('leaving out a deny rule or a duty widens', () => {
  assert.deepEqual(
    widenings(policy(), policy('  - { id: abroad, mode: export, when: { recipientOutside: [CN] } }\n', '  []\n')),
    ['deny.abroad'],
  );
  assert.deepEqual(widenings(policy(), policy('  - { do: log }\n', '')), ['duties.0']);
});

test('an allowed purpose includes the narrower ones and not the broader ones', () => {
  assert.ok(purposeIncludes('ResearchAndDevelopment', 'MedicalResearch'));
  assert.ok(purposeIncludes('https://w3id.org/dpv#Marketing', 'dpv:TargetedAdvertising'));
  assert.ok(!purposeIncludes('MedicalResearch', 'ResearchAndDevelopment'));
  assert.ok(purposeIncludes('own-purpose', 'own-purpose'));
});

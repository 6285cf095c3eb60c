import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../property.ts';
import { decide } from '../../../runtime/policy/decide.ts';
import type { UsagePolicy } from '../../../runtime/policy/model.ts';
import { policyToOdrl } from '../../../runtime/policy/odrl/compile.ts';
import { judgeByOdrl } from '../../../runtime/policy/odrl/judge.ts';
import { policyFromOdrl } from '../../../runtime/policy/odrl/parse.ts';
import { purposeIncludes } from '../../../runtime/policy/purposes.ts';
import { evaluateCondition } from '../../../runtime/policy-file/condition.ts';
import { parsePolicy } from '../../../runtime/policy-file/parse-policy.ts';
import { policyDocumentOf } from '../../../runtime/policy-file/write-document.ts';
import { anyPolicy, anyRequest, sparsePolicy } from './arbitrary-policy.ts';

const ODRL = 'http://www.w3.org/ns/odrl/2/';
const GB = 'https://glovebox.dev/ns/v1#';

const POLICY = ((): UsagePolicy => {
  const parsed = parsePolicy(
    `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: hospital/visits, version: 3, grade: important }
privacyUnit: [patient_id]
columns:
  patient_id: { rights: [join, countDistinct] }
  cost: { rights: [aggregate], functions: [sum], bounds: [0, 3000] }
defaults: { consumers: [acme], purposes: [RiskManagement], notBefore: 2026-01-01, notAfter: 2027-01-01 }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10 }, when: { count: { max: 500, per: P30D } } }
deny:
  - { id: abroad, mode: export, when: { recipientOutside: [CN] } }
duties:
  - { do: pay, meter: job, unitPrice: "0.80", currency: CNY }
`,
    'p.yaml',
  );
  assert.ok(parsed.kind === 'policy');
  return parsed.policy;
})();

test('every policy comes back from ODRL exactly as it went', () => {
  fc.assert(
    fc.property(anyPolicy, (policy) => {
      const imported = policyFromOdrl(JSON.stringify(policyToOdrl(policy, 'hospital')));
      assert.ok(imported.kind === 'policy', imported.kind === 'refused' ? imported.reason : '');
      assert.deepEqual(imported.policy, policy);
      assert.equal(imported.assigner, 'hospital');
    }),
    { numRuns: 150 },
  );
});

test('every policy comes back from its document exactly as it went', () => {
  fc.assert(
    fc.property(anyPolicy, (policy) => {
      const parsed = parsePolicy(policyDocumentOf(policy), 'written.yaml');
      assert.ok(parsed.kind === 'policy', JSON.stringify(parsed.kind === 'complaints' ? parsed.complaints : ''));
      assert.deepEqual(parsed.policy, policy);
    }),
    { numRuns: 100 },
  );
});

test('decide and the ODRL evaluator agree about every policy and request', () => {
  let permits = 0;
  const knowledge = { purposeIncludes, evaluate: evaluateCondition };
  fc.assert(
    fc.property(
      fc.oneof(anyPolicy, sparsePolicy),
      fc.array(anyRequest, { minLength: 5, maxLength: 10 }),
      (policy, requests) => {
        for (const request of requests) {
          const ours = decide(policy, request, knowledge);
          const theirs = judgeByOdrl(policy, request, knowledge);
          assert.equal(theirs.kind, ours.kind);
          if (ours.kind !== 'permitted') continue;
          assert.ok(theirs.kind === 'permitted' && theirs.rule === ours.rule.id);
          permits += 1;
        }
      },
    ),
    { numRuns: 400 },
  );
  assert.ok(permits > 20, `the generator must reach permits, not only denials: ${permits}`);
});

test('an exported policy says everything in full IRIs, and release terms refine the action', () => {
  const odrl = policyToOdrl(POLICY, 'hospital');
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(walk);
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      assert.match(key, /^(@id|@type|@value|https?:\/\/.+)$/);
      if (key === '@id') assert.match(String(inner), /^(https?:\/\/|urn:)/);
      else if (key !== '@value') walk(inner);
    }
  };
  walk(odrl);
  const text = JSON.stringify(odrl);
  for (const term of [
    'permission',
    'prohibition',
    'obligation',
    'assigner',
    'target',
    'refinement',
    'count',
    'purpose',
  ])
    assert.ok(text.includes(`"${ODRL}${term}"`), term);
  const [permission] = odrl[`${ODRL}permission`] as unknown as readonly Record<
    string,
    readonly Record<string, unknown>[]
  >[];
  const [action] = permission?.[`${ODRL}action`] ?? [];
  assert.match(JSON.stringify(action?.[`${ODRL}refinement`]), /ns\/v1#minUnits.*odrl\/2\/gteq.*"@value":"10"/);
});

test('what is not in the profile is refused, and the refusal names it', () => {
  const whole = JSON.stringify(policyToOdrl(POLICY, 'hospital'));
  const cases: readonly (readonly [RegExp | string, string, RegExp])[] = [
    [`${ODRL}count"`, `${ODRL}percentage"`, /left operand `odrl:percentage`/],
    [`${ODRL}purpose"`, `purpose"`, /relative name/],
    [`{"@id":"${ODRL}gteq"}`, `{"@id":"${ODRL}isPartOf"}`, /operator `odrl:isPartOf`/],
    [`${GB}row"`, `${GB}kilorow"`, /unit `gb:kilorow`/],
    [`${GB}export"`, `${ODRL}sell"`, /not an action/],
    [`${ODRL}compensate"`, `${ODRL}grantUse"`, /not a duty/],
    [`${GB}onViolation"`, `${GB}onviolation"`, /gb:onViolation|gb:onviolation/],
    [`${GB}grade"`, `${ODRL}remedy"`, /gb:grade/],
    ['"2026-01-01T00:00:00.000Z"', '"2026-01-01T00:00:00"', /zone/],
    ['"PT2592000S"', '"P1M"', /duration/],
    [`"${ODRL}target":[{"@id":"urn:glovebox:dataset:hospital%2Fvisits"}],`, '', /target/],
    [`"${ODRL}Offer"`, `"${ODRL}Set"`, /type/],
    ['"10"', '"1e1"', /number/],
  ];
  for (const [from, to, expected] of cases) {
    const changed = whole.replaceAll(from as string, to);
    assert.notEqual(changed, whole, `${String(from)} is not in the document`);
    const answer = policyFromOdrl(changed);
    assert.ok(answer.kind === 'refused', `${String(from)} → ${to}`);
    assert.match(answer.reason, expected);
  }
  for (const bad of [
    '',
    '[]',
    '{}',
    'null',
    '[1]',
    '{"@graph":[]}',
    `{"${ODRL}permission":[]}`,
    whole.slice(1),
    `[${whole},${whole}]`,
  ])
    assert.equal(policyFromOdrl(bad).kind, 'refused');
});

test('where rules conflict the prohibition wins, and a document that wants it otherwise is refused', () => {
  const whole = JSON.stringify(policyToOdrl(POLICY, 'hospital'));
  const said = `"${ODRL}conflict":[{"@id":"${ODRL}prohibit","@type":["${ODRL}ConflictTerm"]}],`;
  assert.ok(whole.includes(said));
  assert.equal(policyFromOdrl(whole).kind, 'policy');
  for (const other of ['perm', 'invalid', 'first'])
    assert.match(
      refusalOf(whole.replace(`${ODRL}prohibit`, ODRL + other)),
      new RegExp(`odrl.*${other}.*prohibition always`),
    );
  assert.match(refusalOf(whole.replace(said, said.replace('}],', `},{"@id":"${ODRL}perm"}],`))), /prohibition always/);
  assert.match(refusalOf(whole.replace(said, '')), /void where rules conflict/);
  const permissive = JSON.stringify(policyToOdrl({ ...POLICY, deny: [] }, 'hospital'));
  assert.equal(policyFromOdrl(permissive.replace(said, '')).kind, 'policy', 'without prohibitions nothing conflicts');
});

const refusalOf = (document: string): string => {
  const answer = policyFromOdrl(document);
  assert.ok(answer.kind === 'refused', document.slice(0, 200));
  return answer.reason;
};

test('a permission that leaves out a default of the policy is refused', () => {
  const odrl = structuredClone(policyToOdrl(POLICY, 'hospital')) as Record<string, Record<string, unknown[]>[]>;
  const [permission] = odrl[`${ODRL}permission`] ?? [];
  assert.ok(permission !== undefined);
  permission[`${ODRL}constraint`] = (permission[`${ODRL}constraint`] ?? []).slice(1);
  const answer = policyFromOdrl(JSON.stringify(odrl));
  assert.ok(answer.kind === 'refused');
  assert.match(answer.reason, /defaults/);
});

test('damaged documents are refused, never a crash and never another policy', () => {
  const whole = JSON.stringify(policyToOdrl(POLICY, 'hospital'));
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(40), fc.string({ maxLength: 3 }), (at, cut, put) => {
      const answer = policyFromOdrl(whole.slice(0, at) + put + whole.slice(at + cut));
      assert.ok(answer.kind === 'policy' || answer.reason.length > 0);
    }),
    { numRuns: 500 },
  );
});

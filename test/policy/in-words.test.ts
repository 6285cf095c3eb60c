import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import { policyInWords } from '../../runtime/policy/in-words.ts';
import type { UsagePolicy } from '../../runtime/policy/model.ts';

/** Says everything that a policy can say at least once. */
const EVERYTHING = `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: hospital/visits, version: 3, grade: important }
tables:
  visits:
    privacyUnit: { columns: [patient_id], via: visit_id -> stays.visit_id }
    rows: "cost > 0"
    joins: onlyOnUnit
    columns:
      visit_id: { rights: [join] }
      cost: { rights: [aggregate], functions: [sum, histogram], bounds: [0, 3000], bins: [10, 20], grade: internal }
      ward: { rights: [group], values: [a, 1, true], consumers: [acme] }
  stays:
    privacyUnit: [patient_id]
    columns: { visit_id: { rights: [join] }, patient_id: { rights: [countDistinct] } }
  wards:
    public: true
    columns: { name: { rights: [group], values: public } }
defaults: { consumers: [acme], purposes: [RiskManagement], notBefore: 2026-01-01, notAfter: 2027-01-01 }
allow:
  - { id: a, mode: aggregate, release: { minUnits: 10, smallGroups: drop, dominance: { n: 1, share: 0.5 }, maxRows: 100, differencing: guard }, when: { count: { max: 5, per: P30D }, condition: "consumer == 'acme'" } }
  - { id: b, mode: differentialPrivacy, release: { epsilonPerJob: 0.5, epsilonTotal: 4, epsilonDataset: 9, per: P7D, accounting: zcdp, noise: gaussian, delta: 1e-6, deltaTotal: 1e-5, maxRowsPerUnit: 20, minUnits: 5 } }
  - { id: c, mode: homomorphic, release: { schemes: [bgv], securityBits: 128, programs: [sum], minUnits: 10, maxQueries: 7 } }
  - { id: d, mode: sandbox, release: { methods: [blocks], epsilonPerJob: 1, epsilonTotal: 2, epsilonDataset: 3, outputs: 8, maxRowsPerUnit: 2, tier: strict, limits: { wallMs: 60000, cpuMs: 30000, memoryMiB: 256, blocks: 100, rounds: 9 } }, when: { images: [javascript], isolation: { atLeast: namespaced } } }
  - { id: e, mode: approvedCode, release: { minUnits: 10, maxRows: 200, limits: { wallMs: 1500 } }, when: { digests: ["sha256:${'0'.repeat(64)}"], approvals: { quorum: 2, by: [owner, dpo] }, recipientInside: [CN] } }
deny:
  - { id: f, mode: export, when: { recipientOutside: [CN] } }
duties:
  - { do: notify, to: provider, on: release }
  - { do: pay, meter: job, unitPrice: "0.80", currency: CNY }
  - { do: delete, what: sandbox, within: PT1H }
onViolation: { stop: agreement, alert: low }
`;

test('the words of a policy tell every term: whatever is changed in the policy changes them', () => {
  const policy = read(EVERYTHING);
  const words = policyInWords(policy).join('\n');
  const silent = leavesOf(policy).filter((path) => policyInWords(changedAt(policy, path)).join('\n') === words);
  assert.deepEqual(
    silent.map((path) => path.join('.')),
    // Each says the same once more: the mode is that of the release.
    policy.allow.map((_, i) => `allow.${i}.mode`),
  );
});

test('a policy over one table names its columns plainly', () => {
  const text = readFileSync(join(import.meta.dirname, '../../policies/hospital-visits.yaml'), 'utf8');
  const words = policyInWords(read(text));
  assert.ok(words.includes('the table protects patient_id'));
  assert.ok(words.includes('ward: group, filter, order'));
  assert.ok(words.includes('duty: delete sandbox after release within 1 hour'), words.join('\n'));
});

function read(text: string): UsagePolicy {
  const parsed = parsePolicy(text, 'policy.yaml');
  assert.ok(parsed.kind === 'policy', JSON.stringify(parsed));
  return parsed.policy;
}

type Path = readonly (string | number)[];

function leavesOf(value: unknown, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return value === null ? [] : [path];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, [...path, key]));
}

/** A copy with another value at one place: another word of a closed list, where the type has one. */
function changedAt(policy: UsagePolicy, path: Path): UsagePolicy {
  const copy = structuredClone(policy) as unknown;
  let inner = copy as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) inner = inner[key] as typeof inner;
  const last = path.at(-1) ?? '';
  inner[last] = other(inner[last], path);
  return copy as UsagePolicy;
}

function other(value: unknown, path: Path): unknown {
  const closed = [
    ['allowed', 'onlyOnUnit'],
    ['before', 'release', 'after'],
    ['laplace', 'gaussian'],
  ].find((words) => words.includes(String(value)));
  if (path.at(-1) === 'values') return [];
  if (path.at(-1) === 'kind') return value === 'number' ? 'text' : 'number';
  if (closed !== undefined) return closed.find((word) => word !== value);
  if (typeof value === 'number') return value * 2 + 1;
  return typeof value === 'boolean' ? !value : `${String(value)}x`;
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { decide, type Knowledge, type Permit, type Request } from '../../runtime/policy/decide.ts';
import { meetPermits, meetRelease } from '../../runtime/policy/meet.ts';
import type { AggregateRelease, Conditions, UsagePolicy } from '../../runtime/policy/model.ts';
import { NO_CODE_LIMITS, NO_CONDITIONS } from '../../runtime/policy/model.ts';

const release: AggregateRelease = {
  mode: 'aggregate',
  minUnits: 10,
  smallGroups: 'drop',
  dominance: null,
  maxRows: 100,
  maxBytes: 1000,
  differencingGuard: false,
};
const policy = (when: Partial<Conditions> = {}, more: Partial<UsagePolicy> = {}): UsagePolicy => ({
  dataset: 'hospital/visits',
  version: 3,
  grade: 'important',
  tables: [],
  defaults: NO_CONDITIONS,
  allow: [{ id: 'statistics', mode: 'aggregate', when: { ...NO_CONDITIONS, ...when }, release }],
  deny: [],
  duties: [],
  onViolation: { stop: 'job', alert: 'high' },
  ...more,
});
const request = (more: Partial<Request> = {}): Request => ({
  consumer: 'acme',
  groups: [],
  mode: 'aggregate',
  rule: null,
  purpose: null,
  now: Date.UTC(2026, 5, 1),
  agreedAtMs: null,
  isolation: 'namespaced',
  recipientCountry: null,
  image: null,
  codeDigest: null,
  approvers: [],
  ...more,
});
const knowledge: Knowledge = {
  purposeIncludes: (allowed, purpose) => allowed === purpose,
  evaluate: (condition) => {
    if (condition === 'broken') throw new Error('cannot evaluate');
    return condition === 'true';
  },
};
const codes = (verdict: ReturnType<typeof decide>): readonly string[] =>
  verdict.kind === 'denied' ? verdict.reasons.map(({ code }) => code) : [];

test('a policy without rules allows nothing', () => {
  assert.deepEqual(codes(decide(policy({}, { allow: [] }), request(), knowledge)), ['mode-not-allowed']);
});

test('what a rule allows is permitted, under the terms of that rule', () => {
  const verdict = decide(policy(), request(), knowledge);
  assert.equal(verdict.kind === 'permitted' && verdict.clause, 'hospital/visits v3 allow[statistics]');
});

const conditions: readonly (readonly [string, Partial<Conditions>, Partial<Request>, Partial<Request>])[] = [
  ['consumer-not-allowed', { consumers: ['acme'] }, { consumer: 'acme' }, { consumer: 'other' }],
  ['consumer-not-allowed', { consumers: ['group:lab'] }, { groups: ['lab'] }, { consumer: 'lab' }],
  ['purpose-not-allowed', { purposes: ['Research'] }, { purpose: 'Research' }, { purpose: 'Marketing' }],
  ['purpose-missing', { purposes: ['Research'] }, { purpose: 'Research' }, {}],
  ['too-early', { notBefore: 1000 }, { now: 1000 }, { now: 999 }],
  ['too-late', { notAfter: 1000 }, { now: 999 }, { now: 1000 }],
  ['too-late', { elapsedMs: 1000 }, { now: 6000, agreedAtMs: 5000 }, { now: 6001, agreedAtMs: 5000 }],
  ['too-late', { elapsedMs: 1000 }, { now: 0, agreedAtMs: 0 }, { now: 0, agreedAtMs: null }],
  ['credential-missing', { credentials: ['a', 'b'] }, { groups: ['b', 'c', 'a'] }, { groups: ['a', 'c'] }],
  ['isolation-too-low', { isolationAtLeast: 'namespaced' }, { isolation: 'vm' }, { isolation: 'confined' }],
  ['image-not-allowed', { images: ['javascript'] }, { image: 'javascript' }, {}],
  ['code-not-approved', { digests: ['sha256:a'] }, { codeDigest: 'sha256:a' }, { codeDigest: 'sha256:b' }],
  [
    'approvals-missing',
    { approvals: { quorum: 2, by: ['a', 'b'] } },
    { approvers: ['a', 'b'] },
    { approvers: ['a', 'a', 'c'] },
  ],
  ['recipient-location', { recipientInside: ['CN'] }, { recipientCountry: 'CN' }, {}],
  ['condition-not-met', { condition: 'true' }, {}, { now: -1 }],
];
for (const [code, when, good, bad] of conditions) {
  test(`${code}: the condition ${JSON.stringify(when)} admits and denies, and holds in defaults too`, () => {
    const isCondition = code === 'condition-not-met';
    for (const place of [policy(when), policy({}, { defaults: { ...NO_CONDITIONS, ...when } })]) {
      assert.equal(decide(place, request(good), knowledge).kind, 'permitted');
    }
    const denying = isCondition ? policy({ condition: 'false' }) : policy(when);
    assert.deepEqual(codes(decide(denying, request(bad), knowledge)), [code]);
  });
}

test('a condition that cannot be evaluated denies, in an allow rule and in a deny rule', () => {
  assert.deepEqual(codes(decide(policy({ condition: 'broken' }), request(), knowledge)), ['condition-not-met']);
  const deny = [{ id: 'no', mode: 'any' as const, when: { ...NO_CONDITIONS, condition: 'broken' } }];
  assert.deepEqual(codes(decide(policy({}, { deny }), request(), knowledge)), ['rule-forbids']);
  const broken = { ...knowledge, purposeIncludes: () => assert.fail('no such list') };
  const forbidden = [{ id: 'no', mode: 'any' as const, when: { ...NO_CONDITIONS, purposes: ['Marketing'] } }];
  const asked = request({ purpose: 'Research' });
  assert.equal(decide(policy({}, { deny: forbidden }), asked, knowledge).kind, 'permitted');
  assert.deepEqual(codes(decide(policy({}, { deny: forbidden }), asked, broken)), ['rule-forbids']);
});

test('a deny rule beats every allow rule', () => {
  const deny = [{ id: 'no', mode: 'aggregate' as const, when: { ...NO_CONDITIONS, consumers: ['acme'] } }];
  assert.deepEqual(codes(decide(policy({}, { deny }), request(), knowledge)), ['rule-forbids']);
  assert.equal(decide(policy({}, { deny }), request({ consumer: 'other' }), knowledge).kind, 'permitted');
});

test('export to a place outside is forbidden, and an unknown place counts as outside', () => {
  const deny = [{ id: 'abroad', mode: 'export' as const, when: { ...NO_CONDITIONS, recipientOutside: ['CN'] } }];
  const exporting = policy({}, { deny });
  assert.deepEqual(codes(decide(exporting, request(), knowledge)), ['rule-forbids']);
  assert.deepEqual(codes(decide(exporting, request({ recipientCountry: 'FR' }), knowledge)), ['rule-forbids']);
  assert.equal(decide(exporting, request({ recipientCountry: 'CN' }), knowledge).kind, 'permitted');
});

test('when several rules allow a job it has to name one', () => {
  const two = policy({}, { allow: [...policy().allow, { ...policy().allow[0]!, id: 'loose' }] });
  assert.deepEqual(codes(decide(two, request(), knowledge)), ['rule-ambiguous']);
  const verdict = decide(two, request({ rule: 'loose' }), knowledge);
  assert.equal(verdict.kind === 'permitted' && verdict.rule.id, 'loose');
  assert.deepEqual(codes(decide(two, request({ rule: 'none' }), knowledge)), ['rule-unknown']);
});

const anyRelease: fc.Arbitrary<AggregateRelease> = fc.record(
  {
    mode: fc.constant('aggregate' as const),
    minUnits: fc.integer({ min: 1, max: 100 }),
    smallGroups: fc.constantFrom('drop' as const, 'remainder' as const, 'null' as const, 'refuse' as const),
    dominance: fc.option(
      fc.record(
        { n: fc.integer({ min: 1, max: 5 }), share: fc.double({ min: 0.1, max: 0.9, noNaN: true }) },
        { noNullPrototype: true },
      ),
    ),
    maxRows: fc.nat(1000),
    maxBytes: fc.nat(1000),
    differencingGuard: fc.boolean(),
  },
  { noNullPrototype: true },
);

test('the meet of two releases is commutative, associative, idempotent and at least as strict as both', () => {
  fc.assert(
    fc.property(anyRelease, anyRelease, anyRelease, (a, b, c) => {
      const ab = meetRelease(a, b) as AggregateRelease;
      assert.deepEqual(ab, meetRelease(b, a));
      assert.deepEqual(meetRelease(ab, c), meetRelease(a, meetRelease(b, c) as AggregateRelease));
      assert.deepEqual(meetRelease(a, a), a);
      for (const one of [a, b]) {
        assert.ok(ab.minUnits >= one.minUnits && ab.maxRows <= one.maxRows && ab.maxBytes <= one.maxBytes);
        assert.ok(
          one.dominance === null ||
            (ab.dominance !== null && ab.dominance.n >= one.dominance.n && ab.dominance.share <= one.dominance.share),
        );
      }
    }),
  );
});

test('datasets whose policies release in different modes cannot meet', () => {
  const permit = decide(policy(), request(), knowledge) as Permit;
  const other: Permit = {
    ...permit,
    release: { mode: 'approvedCode', minUnits: 1, maxRows: 1, maxBytes: 1, limits: NO_CODE_LIMITS },
  };
  assert.equal(meetPermits([permit, permit]).kind, 'met');
  assert.equal(meetPermits([permit, other]).kind, 'denied');
  assert.equal(meetPermits([]).kind, 'denied');
});

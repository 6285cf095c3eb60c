import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { decide } from '../../runtime/policy/decide.ts';
import type { UsagePolicy } from '../../runtime/policy/model.ts';
import { evaluateCondition } from '../../runtime/policy-file/condition.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import { purposeIncludes } from '../../runtime/policy/purposes.ts';
import { steerings, widenings } from '../../runtime/policy/refine.ts';
import { fc } from '../property.ts';
import { anyPolicy, anyRequest } from './odrl/arbitrary-policy.ts';

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
  ['notAfter: 2027-01-01', 'notAfter: 2027-01-01, elapsedTime: P30D'],
  ['notAfter: 2027-01-01', 'notAfter: 2027-01-01, credentials: [iso27001]'],
  ['functions: [sum, avg, count]', 'functions: [sum]'],
  ['rights: [group, filter, order]', 'rights: [group]'],
  ['epsilonTotal: 4', 'epsilonTotal: 1'],
  ['outputs: 8', 'outputs: 8, limits: { wallMs: 60000, blocks: 100 }'],
  ['maxRows: 200', 'maxRows: 200, limits: { memoryMiB: 128 }'],
];
for (const [from, to] of narrower) {
  test(`${from} → ${to} narrows, and back again widens`, () => {
    assert.deepEqual(widenings(policy(), policy(from, to)), []);
    assert.equal(widenings(policy(from, to), policy()).length, 1);
  });
}

test('a counter-offer may lower each limit of code alone; one that is raised or left out widens', () => {
  const limited = (limits: string): UsagePolicy => policy('outputs: 8', `outputs: 8, limits: { ${limits} }`);
  const base = limited('wallMs: 60000, cpuMs: 30000, memoryMiB: 256, blocks: 100, rounds: 9');
  const lower = ['wallMs: 59999', 'cpuMs: 29999', 'memoryMiB: 255', 'blocks: 99', 'rounds: 8'];
  const others = 'wallMs: 60000, cpuMs: 30000, memoryMiB: 256, blocks: 100, rounds: 9'.split(', ');
  for (const [i, one] of lower.entries()) {
    const narrowed = limited(others.with(i, one).join(', '));
    assert.deepEqual(widenings(base, narrowed), []);
    assert.deepEqual(widenings(narrowed, base), ['allow.code.release']);
    assert.deepEqual(widenings(base, limited(others.toSpliced(i, 1).join(', '))), ['allow.code.release']);
  }
});

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

test('a lower grade, a milder answer to violations and a duty that stood twice are named as wider', () => {
  const base = policy();
  const [table] = base.tables;
  const [column, ...others] = table?.columns ?? [];
  assert.ok(table !== undefined && column !== undefined);
  const core = { ...base, tables: [{ ...table, columns: [{ ...column, grade: 'core' as const }, ...others] }] };
  assert.deepEqual(widenings(core, core), []);
  assert.deepEqual(widenings(core, base), [`tables..columns.${column.name}.grade`]);
  assert.deepEqual(widenings(base, { ...base, grade: 'public' }), ['metadata.grade']);
  const strict = { ...base, onViolation: { stop: 'agreement', alert: 'high' } as const };
  assert.deepEqual(widenings(strict, { ...base, onViolation: { stop: 'job', alert: 'low' } }), [
    'onViolation.stop',
    'onViolation.alert',
  ]);
  assert.deepEqual(widenings({ ...base, onViolation: { stop: 'job', alert: 'low' } }, strict), []);
  const [duty] = base.duties;
  assert.ok(duty !== undefined);
  assert.deepEqual(widenings({ ...base, duties: [duty, duty] }, { ...base, duties: [duty] }), ['duties.1']);
});

test('an allowed purpose includes the narrower ones and not the broader ones', () => {
  assert.ok(purposeIncludes('ResearchAndDevelopment', 'MedicalResearch'));
  assert.ok(purposeIncludes('https://w3id.org/dpv#Marketing', 'dpv:TargetedAdvertising'));
  assert.ok(!purposeIncludes('MedicalResearch', 'ResearchAndDevelopment'));
  assert.ok(purposeIncludes('own-purpose', 'own-purpose'));
});

test('what is accepted as narrower permits nothing that the offer would not have permitted', () => {
  const knowledge = { purposeIncludes, evaluate: evaluateCondition };
  let accepted = 0;
  fc.assert(
    fc.property(
      anyPolicy,
      anyPolicy,
      fc.nat(),
      fc.array(anyRequest, { maxLength: 20 }),
      (base, other, pick, requests) => {
        // One condition of one place comes from another policy: often narrower, often not.
        const keys = Object.keys(base.defaults) as (keyof UsagePolicy['defaults'])[];
        const key = keys[pick % keys.length] ?? 'count';
        const changed = { ...base.defaults, [key]: other.defaults[key] };
        const offer: UsagePolicy =
          pick % 2 === 0
            ? { ...base, defaults: changed }
            : { ...base, allow: base.allow.map((rule) => ({ ...rule, when: { ...rule.when, [key]: changed[key] } })) };
        if (widenings(base, offer).length > 0) return;
        accepted += 1;
        for (const request of requests) {
          const now = decide(offer, request, knowledge);
          if (now.kind === 'denied') continue;
          const named = { ...request, rule: now.rule.id };
          assert.equal(decide(base, named, knowledge).kind, 'permitted', `${key}: ${JSON.stringify(request)}`);
        }
      },
    ),
    { numRuns: 1500 },
  );
  assert.ok(accepted > 200, `${accepted} of 1500 were narrower`);
});
